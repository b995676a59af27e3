"""How well a predictor orders architectures that it was not shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from morphogen.predictors import Predictor
from morphogen.space import Architecture

__all__ = ["RankCorrelation", "Ranked", "cross_validated", "out_of_fold"]

Array = NDArray[np.float64]


@final
@dataclass(frozen=True, slots=True)
class RankCorrelation:
    """Of predicted and true values: 1 for the same order, 0 for no relation, -1 for the opposite one.

    Args:
        kendall: Tau-b, Kendall 1945: of pairs, the share ordered alike minus the share ordered otherwise.
        spearman: Rho, Spearman 1904: the correlation of the ranks.
    """

    kendall: float
    spearman: float


@final
@dataclass(frozen=True, slots=True)
class Ranked:
    """A rank correlation in the course of a search.

    Args:
        trials: So many had worked.
        of: So many were divided into folds: the latest at the fullest fidelity.
        kendall: As in `RankCorrelation`.
        spearman: As in `RankCorrelation`.
    """

    trials: int
    of: int
    kendall: float
    spearman: float

    @property
    def text(self) -> str:
        """In a sentence."""
        return (
            f"after {self.trials} trials the predictor orders {self.of} that it was not shown (5 folds) with "
            f"Kendall's tau {self.kendall:.2f} (1: as measured, 0: no relation)"
        )


def out_of_fold(
    make: Callable[[], Predictor],
    architectures: Sequence[Architecture],
    values: Array,
    rng: np.random.Generator,
    folds: int = 5,
) -> Array:
    """For each architecture, what is predicted by a model that was fitted to the other folds.

    Stone 1974, "Cross-Validatory Choice and Assessment of Statistical Predictions".

    Args:
        make: A new predictor.
        architectures: Each once: what is in two folds was shown.
        values: Theirs.
        rng: Divides into folds, and is what fits draw from.
        folds: How many; of fewer architectures each is a fold of its own.

    Raises:
        ValueError: Fewer than two folds or architectures, or another number of values.
    """
    n = len(architectures)
    if folds < 2 or n < 2 or len(values) != n:
        raise ValueError(
            f"folds={folds}, {n} architectures and {len(values)} values: expected 2 or more of each, one value each"
        )
    fold = rng.permutation(n) % min(folds, n)
    predicted = np.empty(n)
    for k in range(min(folds, n)):
        predictor = make()
        predictor.fit([a for a, f in zip(architectures, fold, strict=True) if f != k], values[fold != k], rng)
        mean, _ = predictor.predict([a for a, f in zip(architectures, fold, strict=True) if f == k])
        predicted[fold == k] = mean
    return predicted


def cross_validated(
    make: Callable[[], Predictor],
    architectures: Sequence[Architecture],
    values: Array,
    rng: np.random.Generator,
    folds: int = 5,
) -> RankCorrelation:
    """The rank correlation of what was predicted out of fold with the values; 0 where either is all equal.

    The arguments are those of `out_of_fold`.
    """
    from scipy.stats import kendalltau, spearmanr

    predicted = out_of_fold(make, architectures, values, rng, folds)
    if np.ptp(predicted) == 0 or np.ptp(values) == 0:
        return RankCorrelation(0.0, 0.0)
    return RankCorrelation(float(kendalltau(predicted, values)[0]), float(spearmanr(predicted, values)[0]))
