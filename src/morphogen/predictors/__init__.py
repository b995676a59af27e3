"""Encodings of architectures, and predictors: surrogates from architectures to a metric.

An *encoding* turns architectures into bags of items (`encodings.py`); a *predictor* learns values from
pairs and gives a mean and a standard deviation for others. Strategies take any of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from morphogen.catalog import lazy
from morphogen.space import Architecture

EXPORTS = {
    "Adjacency": "encodings",
    "Averaged": "averaged",
    "Boosted": "boosted",
    "Calibrated": "calibrated",
    "Counts": "encodings",
    "Forest": "forest",
    "GaussianProcess": "gaussian_process",
    "MlpEnsemble": "mlp_ensemble",
    "OneHot": "encodings",
    "Paths": "encodings",
    "Ranked": "ranked",
    "WeisfeilerLehman": "encodings",
}
__all__ = ["Encoding", "Predictive", "Predictor", *EXPORTS]  # noqa: PLE0604 - the table is the list
__getattr__, __dir__ = lazy(__name__, EXPORTS)


class Encoding(Protocol):
    """What a predictor sees of an architecture: a bag of items, hashed to integers; 0 is no item.

    The space is given when the encoding is made; `encodings.matrix` turns bags into counts.
    """

    def __call__(self, architectures: Sequence[Architecture]) -> NDArray[np.uint64]:
        """The bags, `(architectures, items)`."""
        ...


class Predictor(Protocol):
    """Learns a function of architectures from its values."""

    def fit(self, architectures: Sequence[Architecture], values: NDArray[np.float64], rng: np.random.Generator) -> None:
        """Forget what was learned and learn from these pairs; a function of the arguments."""
        ...

    def predict(self, architectures: Sequence[Architecture]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation for each architecture.

        Raises:
            ValueError: Nothing was fitted.
        """
        ...


@runtime_checkable
class Predictive(Protocol):
    """A strategy that proposes what a predictor likes; how well that one ranks is then told while it searches."""

    def surrogate(self) -> Predictor:
        """A new one of the kind that it asks, which has learned nothing; what is predicted are losses."""
        ...
