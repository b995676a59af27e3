"""Deviations that mean what they say: scaled by what a predictor misses when it is cross-validated."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np
from numpy.typing import NDArray

from morphogen.predictors import Predictor
from morphogen.space import Architecture

__all__ = ["Calibrated", "kendall"]

Array = NDArray[np.float64]
NORMAL_90 = 1.6448536269514722
"""Half of a 90 % interval, in standard deviations."""


@final
@dataclass
class Calibrated:
    """A predictor whose 90 % intervals held 90 % of what it was cross-validated on.

    In each fold the values left out are compared with their predictions. The deviation is `sqrt((a s)^2 + b^2)`, of the
    predictor's own `s`: `b` is the part of the error that `s` knows nothing of, `a` makes up the rest; the two are taken
    from a grid by the likelihood of the left-out values, and then scaled until nine tenths are inside (split conformal
    prediction on cross-validated residuals: Papadopoulos et al. 2002; Barber et al. 2021, arXiv:1905.02928, CV+).

    Args:
        make: Makes the predictor, anew for each fold.
        folds: Parts of the data, each left out in turn.
    """

    make: Callable[[], Predictor]
    folds: int = 5
    predictor: Predictor | None = field(default=None, init=False)
    tau: float = field(default=math.nan, init=False)
    """Kendall's rank correlation of cross-validated predictions with the values."""
    scale: tuple[float, float] = field(default=(1.0, 0.0), init=False)
    """`a` and `b`."""

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ValueError(f"folds={self.folds}: two or more are needed, to learn from the one and look at the other")

    def fit(self, architectures: Sequence[Architecture], values: Array, rng: np.random.Generator) -> None:
        count = len(values)
        if count < self.folds:
            raise ValueError(f"{count} values cannot be cross-validated in {self.folds} folds")
        mean, deviation = np.empty(count), np.empty(count)
        order = rng.permutation(count)
        for fold in range(self.folds):
            out = order[fold :: self.folds]
            rest = np.setdiff1d(order, out)
            predictor = self.make()
            predictor.fit([architectures[i] for i in rest], values[rest], rng)
            mean[out], deviation[out] = predictor.predict([architectures[i] for i in out])
        off = np.abs(values - mean)
        self.tau = kendall(mean, values)
        self.scale = _scale(off, deviation)
        self.predictor = self.make()
        self.predictor.fit(architectures, values, rng)

    def predict(self, architectures: Sequence[Architecture]) -> tuple[Array, Array]:
        if self.predictor is None:
            raise ValueError("nothing was fitted: call fit(architectures, values, rng) first")
        mean, deviation = self.predictor.predict(architectures)
        a, b = self.scale
        return mean, np.sqrt((a * deviation) ** 2 + b**2)


def _scale(off: Array, deviation: Array) -> tuple[float, float]:
    typical = float(np.median(off)) / 0.6745 or 1e-12
    best = (math.inf, 1.0, typical)
    for a in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0):
        for b in (0.1, 0.3, 0.6, 1.0, 1.5):
            sigma = np.sqrt((a * deviation) ** 2 + (b * typical) ** 2)
            # few values are far off in many tables: a heavy tail (Student's with 4 degrees) does not let them decide
            loss = float(np.mean(np.log(sigma) + 2.5 * np.log1p((off / sigma) ** 2 / 4)))
            best = min(best, (loss, a, b * typical))
    _, a, b = best
    z = np.sort(off / np.sqrt((a * deviation) ** 2 + b**2))
    held = float(z[min(math.ceil(0.9 * (len(z) + 1)), len(z)) - 1])
    return a * held / NORMAL_90, b * held / NORMAL_90


def kendall(a: Array, b: Array) -> float:
    """Kendall's tau-b; 0 where one of them is constant. Infinite values are beyond all others, and equal."""
    x, y = _orders(a), _orders(b)
    norm = math.sqrt(float(np.abs(x).sum()) * float(np.abs(y).sum()))
    return float((x * y).sum()) / norm if norm else 0.0


def _orders(values: Array) -> Array:
    """Of every pair, the sign of its difference."""
    return np.subtract(values[:, None] > values, values[:, None] < values, dtype=np.float64)
