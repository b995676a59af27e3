"""Differentiable architecture search, first and second order."""

from __future__ import annotations

from functools import partial

from morphogen.methods.one_shot import Setting, architecture_lr, gradient_method, recipe
from morphogen.oneshot import Softmax
from morphogen.oneshot.gradients import Gradient, first_order
from morphogen.oneshot.regime import Regime
from morphogen.oneshot.second_order import SecondOrder, second_order_exact
from morphogen.protocols import Phase

__all__ = ["darts", "darts_second_order"]


def darts(
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
    """First-order DARTS: a supernet of weighted sums, weights and architecture by gradient, then discretized.

    Liu et al. 2019, "DARTS: Differentiable Architecture Search" (arXiv:1806.09055), section 2.3 with xi = 0, and 3.1.

    Args:
        setting: What it is given.
        epochs: Of the supernet; by default those of a full training.
        batch_size: Of the weights and of the architecture.
        lr: Of the weights, at the beginning.
        arch_lr: Of the architecture; by default `architecture_lr(3e-4, ...)`.
        seeds: How many supernets; the best of what they find is kept. The paper takes four.
        shortlist: After how many of the last epochs what the supernet would end at is trained, briefly, for the best to
            be kept.
        start: The share of the epochs in which only weights learn; the paper has none, PC-DARTS 0.3. Options without
            weights, pools and skips, are ahead as long as the others are untrained.
        most_skips: Stop a supernet before a cell has so many skips.
        sharpness: Record the sharpness of the architecture's minimum after every epoch.
        recompute: Let cells run again in backward: about half the memory, for about 1.4 times the time.
    """
    return _darts(
        setting, first_order, epochs, batch_size, lr, arch_lr, seeds, shortlist, start, most_skips, sharpness, recompute
    )


def darts_second_order(
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
    exact: bool = False,
) -> list[Phase]:
    """Second-order DARTS: the architecture learns through one virtual step of the weights.

    Liu et al. 2019, "DARTS: Differentiable Architecture Search" (arXiv:1806.09055), section 2.3, eq. (7) and (8).

    Args:
        setting: What it is given.
        epochs: Of the supernet; by default those of a full training.
        batch_size: Of the weights and of the architecture.
        lr: Of the weights, at the beginning.
        arch_lr: Of the architecture; by default `architecture_lr(3e-4, ...)`.
        seeds: How many supernets; the best of what they find is kept. The paper takes four.
        shortlist: After how many of the last epochs what the supernet would end at is trained, briefly, for the best to
            be kept.
        start: The share of the epochs in which only weights learn; the paper has none, PC-DARTS 0.3. Options without
            weights, pools and skips, are ahead as long as the others are untrained.
        most_skips: Stop a supernet before a cell has so many skips.
        sharpness: Record the sharpness of the architecture's minimum after every epoch.
        recompute: Let cells run again in backward: about half the memory, for about 1.4 times the time.
        exact: Take the Hessian-vector product itself, not its finite difference.
    """
    gradient: Gradient = second_order_exact if exact else SecondOrder()
    return _darts(
        setting, gradient, epochs, batch_size, lr, arch_lr, seeds, shortlist, start, most_skips, sharpness, recompute
    )


def _darts(
    setting: Setting,
    gradient: Gradient,
    epochs: int | None,
    batch_size: int | None,
    lr: float,
    arch_lr: float | None,
    seeds: int,
    shortlist: int,
    start: float,
    most_skips: int | None,
    sharpness: bool,
    recompute: bool,
) -> list[Phase]:
    regime = Regime(
        recipe(setting.data, epochs, batch_size, lr),
        start=start,
        most_skips=most_skips,
        sharpness=sharpness,
        recompute=recompute,
    )
    make = partial(Softmax, lr=arch_lr or architecture_lr(3e-4, setting.data, regime), gradient=gradient)
    return gradient_method(setting, make, regime, seeds=seeds, shortlist=shortlist)
