"""Randomized trees as a predictor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from morphogen.predictors import Encoding
from morphogen.predictors.encodings import OneHot, matrix, vocabulary
from morphogen.space import Architecture, Space

__all__ = ["Forest"]

Array = NDArray[np.float64]


@final
@dataclass
class Forest:
    """A random forest; the deviation is that between its trees.

    Breiman 2001; as a surrogate, Hutter et al. 2011, SMAC. scikit-learn's, on one thread.

    Differs: of SMAC's two terms of the deviation, only that between the trees' means.

    Args:
        space: Of the architectures.
        encoding: What the trees split on, by default one-hot.
        trees: How many there are.
    """

    space: Space
    encoding: Encoding | None = None
    trees: int = 100
    _fitted: tuple[Any, NDArray[np.uint64]] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.trees < 2:
            raise ValueError(f"trees={self.trees}: two or more are needed for a deviation")
        self.encoding = self.encoding or OneHot(self.space)

    def fit(self, architectures: Sequence[Architecture], values: Array, rng: np.random.Generator) -> None:
        from sklearn.ensemble import RandomForestRegressor

        assert self.encoding is not None
        words = self.encoding(architectures)
        known = vocabulary(words)
        forest = RandomForestRegressor(
            self.trees, min_samples_leaf=2, max_features=0.8, random_state=int(rng.integers(2**31))
        )
        forest.fit(matrix(words, known), values)
        self._fitted = forest, known

    def predict(self, architectures: Sequence[Architecture]) -> tuple[Array, Array]:
        if self._fitted is None:
            raise ValueError("the forest was not fitted: call fit(architectures, values, rng) first")
        assert self.encoding is not None
        forest, known = self._fitted
        encoded = matrix(self.encoding(architectures), known)
        each = np.stack([tree.predict(encoded) for tree in forest.estimators_])
        return each.mean(0), each.std(0)
