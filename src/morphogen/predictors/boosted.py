"""Gradient-boosted trees as a predictor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from morphogen.predictors import Encoding
from morphogen.predictors.encodings import OneHot, matrix, paths_or_one_hot, vocabulary
from morphogen.space import Architecture, Space

__all__ = ["Boosted"]

Array = NDArray[np.float64]


@final
@dataclass
class Boosted:
    """Stochastic gradient boosting, several times on bootstrap samples; the deviation is that between them.

    Friedman 2002, "Stochastic gradient boosting"; as a surrogate, Luo et al. 2020, GBDT-NAS (arXiv:2007.04785), and
    among the best of White et al. 2021 (arXiv:2104.01177) for some hundred architectures. scikit-learn's, on one
    thread.

    Args:
        space: Of the architectures.
        encodings: What the trees split on; by default one-hot, and paths where the space has cells.
        members: How many are boosted.
        trees: Of each.
        rate: By which each tree is shrunk.
        depth: Of a tree.
    """

    space: Space
    encodings: Sequence[Encoding] | None = None
    members: int = 8
    trees: int = 150
    rate: float = 0.06
    depth: int = 4
    _fitted: tuple[list[Any], list[NDArray[np.uint64]]] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.members < 2 or self.trees < 1 or self.depth < 1 or not 0 < self.rate <= 1:
            raise ValueError(
                f"members={self.members} must be 2 or more, trees={self.trees} and depth={self.depth} 1 or more, "
                f"rate={self.rate} above 0 and at most 1"
            )
        if self.encodings is None:
            paths = paths_or_one_hot(self.space)
            self.encodings = (paths,) if isinstance(paths, OneHot) else (OneHot(self.space), paths)

    def fit(self, architectures: Sequence[Architecture], values: Array, rng: np.random.Generator) -> None:
        from sklearn.ensemble import GradientBoostingRegressor

        assert self.encodings is not None
        words = [encoding(architectures) for encoding in self.encodings]
        known = [vocabulary(some) for some in words]
        x = np.hstack([matrix(some, which) for some, which in zip(words, known, strict=True)])
        members = []
        for _ in range(self.members):
            drawn = rng.integers(len(values), size=len(values))
            member = GradientBoostingRegressor(
                n_estimators=self.trees,
                learning_rate=self.rate,
                max_depth=self.depth,
                subsample=0.8,
                max_features=0.5,
                min_samples_leaf=2,
                random_state=int(rng.integers(2**31)),
            )
            members.append(member.fit(x[drawn], values[drawn]))
        self._fitted = members, known

    def predict(self, architectures: Sequence[Architecture]) -> tuple[Array, Array]:
        if self._fitted is None:
            raise ValueError("the boosted trees were not fitted: call fit(architectures, values, rng) first")
        assert self.encodings is not None
        members, known = self._fitted
        x = np.hstack([matrix(e(architectures), which) for e, which in zip(self.encodings, known, strict=True)])
        each = np.stack([member.predict(x) for member in members])
        return each.mean(0), each.std(0)
