"""Differentiable search on a part of the channels."""

from __future__ import annotations

from functools import partial

from morphogen.estimators.complexity import suited_skeleton
from morphogen.methods.one_shot import Setting, architecture_lr, gradient_method, recipe
from morphogen.oneshot import Softmax
from morphogen.oneshot.partial import PartialChannels
from morphogen.oneshot.regime import Regime
from morphogen.protocols import Phase

__all__ = ["pc_darts"]


def pc_darts(
    setting: Setting,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float = 0.025,
    arch_lr: float | None = None,
    seeds: int = 1,
    shortlist: int = 1,
    most_skips: int | None = None,
    sharpness: bool = False,
    recompute: bool = False,
    k: int | None = None,
    start: float = 0.3,
) -> list[Phase]:
    """PC-DARTS: first-order DARTS on one of k channels, with normalized edges; the architecture starts learning late.

    Xu et al. 2020, "PC-DARTS: Partial Channel Connections for Memory-Efficient Architecture Search" (arXiv:1907.05737).

    Args:
        setting: What it is given. The network of its space takes `mixed`.
        epochs: Of the supernet; by default those of a full training.
        batch_size: Of the weights and of the architecture.
        lr: Of the weights, at the beginning. **Differs**: the paper has 0.1, for its batches of 256.
        arch_lr: Of the architecture; by default `architecture_lr(6e-4, ...)`.
        seeds: How many supernets; the best of what they find is kept.
        shortlist: After how many of the last epochs what the supernet would end at is trained, briefly, for the best to
            be kept.
        most_skips: Stop a supernet before a cell has so many skips.
        sharpness: Record the sharpness of the architecture's minimum after every epoch.
        recompute: Let cells run again in backward: about half the memory, for about 1.4 times the time.
        k: One of how many channels goes through the operations; by default four, as in the paper, or fewer, where less than
            its four channels would be left to compute on.
        start: The share of the epochs in which only weights learn; 15 of 50 in the paper.
    """
    regime = Regime(
        recipe(setting.data, epochs, batch_size, lr),
        start=start,
        most_skips=most_skips,
        sharpness=sharpness,
        recompute=recompute,
    )
    make = partial(Softmax, lr=arch_lr or architecture_lr(6e-4, setting.data, regime), edges=True)
    return gradient_method(
        setting,
        make,
        regime,
        seeds=seeds,
        shortlist=shortlist,
        mixed=PartialChannels(_suited_k(setting) if k is None else k),
    )


def _suited_k(setting: Setting) -> int:
    """One of as many channels as leave four to compute on, at most 4: the paper searches with 16 channels, and k = 4."""
    skeleton = suited_skeleton(setting.space, setting.skeletons["search"])
    return max(2, min(4, getattr(skeleton, "channels", 16) // 4))
