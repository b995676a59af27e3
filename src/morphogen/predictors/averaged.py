"""Several predictors as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from morphogen.predictors import Predictor
from morphogen.space import Architecture

__all__ = ["Averaged"]

Array = NDArray[np.float64]


@final
@dataclass
class Averaged:
    """The mixture, in equal parts: its mean, and the deviation within and between its parts.

    Args:
        predictors: Of the same architectures and values; each is fitted.
    """

    predictors: Sequence[Predictor]

    def __post_init__(self) -> None:
        if not self.predictors:
            raise ValueError("Averaged puts predictors together, and got none")

    def fit(self, architectures: Sequence[Architecture], values: Array, rng: np.random.Generator) -> None:
        for predictor in self.predictors:
            predictor.fit(architectures, values, rng)

    def predict(self, architectures: Sequence[Architecture]) -> tuple[Array, Array]:
        means, deviations = map(np.stack, zip(*(p.predict(architectures) for p in self.predictors), strict=True))
        return means.mean(0), np.sqrt((deviations**2).mean(0) + means.var(0))
