"""Rewards of trials, and the baseline that they are compared with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

from morphogen.catalog import resolve
from morphogen.trial import Trial

__all__ = ["Advantages", "BestOfLast", "Reward", "negative_loss"]

Reward = Callable[[Trial], float]
"""From a trial that worked to a number, more is better."""


def negative_loss(trial: Trial) -> float:
    """The first objective, more being better (an accuracy as it is), minus the trial's violation of measured limits."""
    return -trial.loss - trial.violation


@final
@dataclass(frozen=True)
class BestOfLast:
    """The best accuracy of the last epochs, to a power: cubed, the differences between good networks count more.

    Zoph & Le 2017 (arXiv:1611.01578), section 4.1: the maximum validation accuracy of the last 5 epochs,
    cubed. Without a curve, the final accuracy, cubed. Where the first objective is not to maximize this
    metric, `negative_loss`.

    Args:
        metric: The accuracy, 0 to 1.
        last: Points at the end of the curve.
        power: Exponent.
    """

    metric: str = "accuracy"
    last: int = 5
    power: float = 3.0

    def __call__(self, trial: Trial) -> float:
        outcome = trial.outcome
        final = None if outcome is None else outcome.metrics.get(self.metric)
        if outcome is None or final is None or final != -trial.loss or not 0 <= final <= 1:
            return negative_loss(trial)
        curve = [value for _, value in outcome.curves.get(self.metric, ())[-self.last :] if math.isfinite(value)]
        return math.pow(max(curve, default=final), self.power) - trial.violation


@final
@dataclass
class Advantages:
    """Rewards minus an exponential moving average of the rewards before: what a policy gradient is weighted with.

    The average starts with the first reward. A failed trial has the lowest reward told so far; before there
    is one, its advantage is 0 and the average does not move.

    Args:
        reward: From a trial to its reward; a name `package.module:function` is imported.
        decay: How much of the average stays, at each reward.
    """

    reward: Reward | str
    decay: float
    average: float | None = field(default=None, init=False)
    lowest: float | None = field(default=None, init=False)
    _reward: Reward = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay={self.decay}: expected a number of [0, 1)")
        self._reward = resolve(self.reward) if isinstance(self.reward, str) else self.reward

    def __call__(self, trial: Trial) -> float:
        """The advantage of a trial over those told before it; learns its reward."""
        reward = math.nan if trial.failed else self._reward(trial)
        if not math.isfinite(reward):
            if self.lowest is None:
                return 0.0
            reward = self.lowest
        self.lowest = reward if self.lowest is None else min(self.lowest, reward)
        before = reward if self.average is None else self.average
        self.average = self.decay * before + (1 - self.decay) * reward
        return reward - before
