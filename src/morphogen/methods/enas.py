"""A controller and the weights that all its architectures share, trained in turn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import final

from morphogen.methods.one_shot import Setting, gradient_method, recipe
from morphogen.oneshot import Controller
from morphogen.oneshot.enas_macro import MacroPolicy
from morphogen.oneshot.regime import Regime
from morphogen.protocols import Phase
from morphogen.space import Space
from morphogen.training.recipe import Recipe
from morphogen.training.schedules import PerEpoch, Restarts

__all__ = ["enas", "restarts"]

LONGER = 3
"""Every step trains one architecture only: so many times the epochs of a full training."""

HIGHEST = 0.01
"""The highest rate of the controller's Adam."""


@final
@dataclass(frozen=True)
class _Published:
    """What the scripts of the released code set.

    Args:
        weight_decay: Of the weights; twice their coefficient, which multiplies the sum of squares without a half.
        arch_lr: Of the controller's Adam.
        updates: Its steps in a whole search.
        samples: That the controller learns from, for each step of the weights.
        aggregate: Samples a step.
    """

    weight_decay: float
    arch_lr: float
    updates: int
    samples: float
    aggregate: int


LAYERS = _Published(5e-4, 1e-3, 310 * 50, 1000 / 352, 20)
CELLS = _Published(2e-4, 3.5e-3, 150 * 30, 300 / 282, 10)


def enas(
    setting: Setting,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float = 0.05,
    arch_lr: float | None = None,
    start: float = 0.0,
    steps: int | None = None,
    aggregate: int | None = None,
    entropy: float = 1e-4,
    skip_weight: float = 0.8,
    candidates: int = 10,
    seeds: int = 1,
    shortlist: int = 1,
) -> list[Phase]:
    """ENAS: the weights train on architectures that a controller samples; it learns from their accuracy.

    Pham et al. 2018, "Efficient Neural Architecture Search via Parameter Sharing" (arXiv:1802.03268), with the numbers
    of the released scripts: SGD with Nesterov's momentum and restarts of its rate, one image of ten for the controller.

    **Differs**: shorter searches have fewer steps of the controller, with a higher rate, up to 0.01; the average of
    rewards begins with the first one, since there are not the hundreds of samples that it takes to get there from 0;
    gradients of the weights are clipped at 5, which the released code means to do; and what `Controller` says.

    Args:
        setting: What it is given; `enas-macro` and `enas-micro` have controllers of their own, other spaces a
            general one.
        epochs: Of the supernet; by default three times those of a full training.
        batch_size: Of the weights and of the controller.
        lr: Of the weights, at the beginning of each cycle.
        arch_lr: Of the controller.
        start: The share of the epochs in which only weights learn, on what a new controller samples.
        steps: Of the controller, after each epoch.
        aggregate: Samples that a step of the controller averages over.
        entropy: Weight of the entropy in the reward.
        skip_weight: Weight of the penalty on skips.
        candidates: Architectures that are sampled in the end, for the best to be kept.
        seeds: How many supernets; the best of what they find is kept.
        shortlist: After how many of the last epochs what the supernet would end at is trained, briefly, for the best to
            be kept.
    """
    numbers = _published(setting.space)
    base = recipe(setting.data, epochs, batch_size, lr)
    horizon = base.epochs if epochs is not None else LONGER * base.epochs
    weights = replace(
        base,
        epochs=horizon,
        nesterov=True,
        weight_decay=numbers.weight_decay,
        schedule=PerEpoch(restarts(horizon, floor=min(5e-4, lr))),
    )
    regime = Regime(weights, share=0.1, start=start)
    aggregate = aggregate or numbers.aggregate
    steps = steps or max(1, round(_steps(setting, weights, regime) * numbers.samples / aggregate))
    faster = numbers.arch_lr * numbers.updates / (steps * horizon * (1 - start))
    make = partial(
        Controller,
        lr=arch_lr or min(max(numbers.arch_lr, faster), HIGHEST),
        steps=steps,
        aggregate=aggregate,
        baseline=None,
        entropy=entropy,
        skip_weight=skip_weight,
        candidates=candidates,
    )
    return gradient_method(setting, make, regime, seeds=seeds, shortlist=shortlist)


def restarts(epochs: int, floor: float) -> Restarts:
    """Cycles that double and end with the training; the first has 10 epochs in 310 and in 150, more where that fits."""
    cycles = 1
    while 10 * (2 ** (cycles + 1) - 1) <= epochs:
        cycles += 1
    return Restarts(-(-epochs // (2**cycles - 1)), 2, floor)


def _published(space: Space) -> _Published:
    return LAYERS if MacroPolicy.serves(space) else CELLS


def _steps(setting: Setting, weights: Recipe, regime: Regime) -> int:
    """Of the weights, in an epoch."""
    images = len(setting.data.train) * (1 - regime.share)
    return max(1, round(images / weights.batch_size))
