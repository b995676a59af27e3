"""Where a learning curve will end.

Two sources, as they need different things. Families of curves fitted to the points that there are (Domhan et al. 2015)
need a few points and nothing else. A regression from the same part of other curves to their ends (Baker et al. 2017)
needs some trainings that came to their end, and then only one point.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Curve", "End", "extrapolated", "regressed"]

Array = NDArray[np.float64]
Curve = Sequence[tuple[float, float]]
"""`(amount, loss)`, in rising order of amounts."""

LEAST_POINTS = 4
"""Of a curve, before a family with three parameters says anything."""
LEAST_ENDS = 5
"""Curves that came to their end, before a regression says anything."""
FLOOR = 1e-9


@final
@dataclass(frozen=True, slots=True)
class End:
    """What the loss at the end is expected to be: a normal distribution."""

    mean: float
    deviation: float

    def below(self, bound: float) -> float:
        """The probability that it is below a bound."""
        if self.deviation <= 0:
            return float(self.mean < bound)
        return 0.5 * math.erfc((self.mean - bound) / (self.deviation * math.sqrt(2.0)))


# Domhan et al. 2015, Table 1, as `a + b * shape(x, c)`: level and size of every family are linear, one shape is
# searched. Their Janoschek and Weibull are `exp4`'s shape in another notation, their ilog2 is loglog's; hill3, MMF are
# `hill`.
FAMILIES: dict[str, tuple[Callable[[Array, Array], Array], Array]] = {
    "pow3": (lambda x, c: x**-c, np.geomspace(0.1, 3.0, 12)),
    "exp": (lambda x, c: np.exp(-((x / x.max()) ** 0.5) * c), np.geomspace(0.5, 12.0, 12)),
    "exp4": (lambda x, c: np.exp(-(x / x.max()) * c), np.geomspace(0.5, 20.0, 12)),
    "hill": (lambda x, c: 1.0 / (1.0 + (x / x.max() * c)), np.geomspace(0.5, 50.0, 12)),
    "log_power": (lambda x, c: 1.0 / (1.0 + np.log1p(x) ** c), np.geomspace(0.5, 4.0, 8)),
    "loglog": (lambda x, c: 1.0 / np.log(x + c), np.geomspace(1.5, 20.0, 8)),
}


def extrapolated(curve: Curve, full: float) -> End | None:
    """Where a falling loss will be at the full amount, by an ensemble of families; None for too few points.

    Domhan et al. 2015, "Speeding up Automatic Hyperparameter Optimization of Deep Neural Networks by Extrapolation of
    Learning Curves" (IJCAI), section 3: a weighted combination of parametric families.

    Differs: no Markov chain. Each family is fitted by least squares on a grid over its one shape parameter, level and
    size in closed form; weights of families and shapes are their likelihoods with the best residual as noise (an Akaike
    weight, all have as many parameters), later points counting more. The spread is that among the weighted members
    and the residual. Only members that do not rise again are taken.

    Args:
        curve: `(amount, loss)`.
        full: The amount at the end.
    """
    points = [(x, y) for x, y in curve if x > 0 and math.isfinite(y)]
    if len(points) < LEAST_POINTS:
        return None
    x, y = (np.array(column, float) for column in zip(*points, strict=True))
    if x[-1] >= full:
        return End(float(y[-1]), 0.0)
    scale = float(y.max() - y.min()) or 1.0
    weight = np.linspace(0.2, 1.0, len(x))
    weight /= weight.sum()
    both = np.append(x, full)
    falling = np.concatenate([shape(both[None, :], grid[:, None]) for shape, grid in FAMILIES.values()])
    basis, last = falling[:, :-1], falling[:, -1]
    level, center = float(weight @ y), basis @ weight
    away = basis - center[:, None]
    spread = away**2 @ weight
    told = spread >= FLOOR**2
    size = np.maximum(away @ (weight * (y - level)) / np.where(told, spread, 1.0), 0.0)
    error = ((y - level - size[:, None] * away) ** 2 @ weight)[told]
    end = (level + size * (last - center))[told]
    freedom = len(x) / max(len(x) - 3, 1)
    noise = max(float(error.min()) * freedom, (1e-3 * scale) ** 2)
    member = np.exp(-0.5 * len(x) * (error - error.min()) / noise)
    member /= member.sum()
    mean = float(member @ end)
    return End(mean, math.sqrt(float(member @ (end - mean) ** 2) + noise))


def regressed(curve: Curve, others: Sequence[tuple[Curve, float]], full: float) -> End | None:
    """Where a loss will be at the end, from trainings that came to theirs; None for too few of them.

    Baker et al. 2018, "Accelerating Neural Architecture Search using Performance Prediction" (arXiv:1705.10823):
    a regression on the part of the curve that there is. The features are the last value and, where all curves have
    earlier points, the mean slope over the second half.

    Differs: ridge regression instead of nu-SVR, with its predictive variance; near the end of what was seen trainings
    are compared by rank of last value anyhow, and a line has no hyperparameters to tune. Those that are near in their
    last value count more, since the relation is bent.

    Args:
        curve: `(amount, loss)` of the training in question.
        others: Curves and the losses at their ends.
        full: The amount at the end.
    """
    if not curve or curve[-1][0] >= full:
        return None if not curve else End(curve[-1][1], 0.0)
    at = curve[-1][0]
    rows = [(_features(c, at), end) for c, end in others if c and c[0][0] <= at and math.isfinite(end)]
    if len(rows) < LEAST_ENDS:
        return None
    count = min(len(mine := _features(curve, at)), *(len(row) for row, _ in rows))
    x = np.array([row[:count] for row, _ in rows])
    y = np.array([end for _, end in rows])
    query = np.array(mine[:count])
    keep = np.isfinite(x).all(1)
    x, y = x[keep], y[keep]
    if len(y) < LEAST_ENDS or not np.isfinite(query).all():
        return None
    width = max(float(x[:, 0].std()), FLOOR)
    nearness = np.exp(-0.5 * ((x[:, 0] - query[0]) / (2 * width)) ** 2) + 0.05
    nearness *= len(y) / nearness.sum()
    center, spread = np.average(x, axis=0, weights=nearness), np.maximum(x.std(0), FLOOR)
    design = np.column_stack([np.ones(len(y)), (x - center) / spread])
    point = np.append(1.0, (query - center) / spread)
    gram = design.T @ (design * nearness[:, None]) + np.diag([0.0, *[0.1] * count])
    inverse = np.linalg.inv(gram)
    coefficients = inverse @ (design.T @ (y * nearness))
    residual = y - design @ coefficients
    freedom = max(float(nearness.sum()) - count - 1, 1.0)
    variance = float(nearness @ residual**2) / freedom
    # of few points the spread itself is little known: the variance of Student's distribution
    variance *= (1.0 + float(point @ inverse @ point)) * freedom / max(freedom - 2.0, 0.5)
    return End(float(point @ coefficients), math.sqrt(max(variance, FLOOR**2)))


def _features(curve: Curve, at: float) -> list[float]:
    """Of the curve up to an amount: its last value, and the slope of its second half where it has one."""
    points = [(x, y) for x, y in curve if x <= at]
    last = points[-1]
    half = points[len(points) // 2 - 1] if len(points) > 1 else last
    return [last[1]] if half[0] == last[0] else [last[1], (last[1] - half[1]) / (last[0] - half[0])]
