"""A predictor of ranks: values far off, as those of networks that hardly learn, do not decide what is learned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import final

import numpy as np
from numpy.typing import NDArray

from morphogen.predictors import Predictor
from morphogen.space import Architecture

__all__ = ["Ranked"]

Array = NDArray[np.float64]
BEYOND = 1.0
"""Normal scores beyond the best and the worst value that a prediction may reach; there the line of the ends goes on."""
OUTER = 0.1
"""Share of the values that says how that line rises."""


@final
@dataclass
class Ranked:
    """Learns the normal scores of the values and gives values back.

    A normal score is the normal quantile of the rank (van der Waerden 1952). The way back is the piecewise linear
    function through the values, so means keep their order and deviations have the unit of the values.

    Args:
        make: Makes the predictor of the scores.
    """

    make: Callable[[], Predictor]
    _fitted: tuple[Predictor, Array, Array] | None = field(default=None, init=False, repr=False)

    def fit(self, architectures: Sequence[Architecture], values: Array, rng: np.random.Generator) -> None:
        each, inverse, times = np.unique(np.asarray(values, float), return_inverse=True, return_counts=True)
        middle = (np.cumsum(times) - times / 2) / len(values)
        scores = np.array([NormalDist().inv_cdf(float(share)) for share in middle])
        predictor = self.make()
        predictor.fit(architectures, scores[inverse], rng)
        self._fitted = predictor, *_extended(scores, each)

    def predict(self, architectures: Sequence[Architecture]) -> tuple[Array, Array]:
        if self._fitted is None:
            raise ValueError("nothing was fitted: call fit(architectures, values, rng) first")
        predictor, scores, values = self._fitted
        mean, deviation = predictor.predict(architectures)
        above, below = (np.interp(mean + sign * deviation, scores, values) for sign in (1, -1))
        return np.interp(mean, scores, values), (above - below) / 2


def _extended(scores: Array, values: Array) -> tuple[Array, Array]:
    """With a point beyond each end, so that predictions beyond it differ."""
    if len(values) < 2:
        return np.array([-BEYOND, BEYOND]), np.repeat(values, 2)
    outer = max(1, round(OUTER * len(values)))
    low = (values[outer] - values[0]) / (scores[outer] - scores[0])
    high = (values[-1] - values[-1 - outer]) / (scores[-1] - scores[-1 - outer])
    return (
        np.concatenate(([scores[0] - BEYOND], scores, [scores[-1] + BEYOND])),
        np.concatenate(([values[0] - low * BEYOND], values, [values[-1] + high * BEYOND])),
    )
