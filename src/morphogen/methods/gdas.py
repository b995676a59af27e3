"""Differentiable search that runs one operation at a time."""

from __future__ import annotations

from functools import partial

from morphogen.methods.one_shot import Setting, architecture_lr, gradient_method, recipe
from morphogen.oneshot import Gumbel
from morphogen.oneshot.regime import Regime
from morphogen.protocols import Phase

__all__ = ["gdas"]


def gdas(
    setting: Setting,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float = 0.025,
    arch_lr: float | None = None,
    seeds: int = 1,
    shortlist: int = 1,
    start: float = 0.0,
    most_skips: int | None = None,
    sharpness: bool = False,
    recompute: bool = False,
) -> list[Phase]:
    """GDAS: one sampled operation runs on each edge, and the gradient reaches its probability.

    Dong and Yang 2019, "Searching for a Robust Neural Architecture in Four GPU Hours" (arXiv:1910.04465).

    Args:
        setting: What it is given.
        epochs: Of the supernet; by default those of a full training.
        batch_size: Of the weights and of the architecture.
        lr: Of the weights, at the beginning.
        arch_lr: Of the architecture; by default `architecture_lr(3e-4, ...)`.
        seeds: How many supernets; the best of what they find is kept.
        shortlist: After how many of the last epochs what the supernet would end at is trained, briefly, for the best to
            be kept.
        start: The share of the epochs in which only weights learn; the paper has none, PC-DARTS 0.3. Options without
            weights, pools and skips, are ahead as long as the others are untrained.
        most_skips: Stop a supernet before a cell has so many skips.
        sharpness: Record the sharpness of the architecture's minimum after every epoch.
        recompute: Let cells run again in backward: about half the memory, for about 1.4 times the time.
    """
    regime = Regime(
        recipe(setting.data, epochs, batch_size, lr),
        start=start,
        most_skips=most_skips,
        sharpness=sharpness,
        recompute=recompute,
    )
    make = partial(Gumbel, lr=arch_lr or architecture_lr(3e-4, setting.data, regime))
    return gradient_method(setting, make, regime, seeds=seeds, shortlist=shortlist)
