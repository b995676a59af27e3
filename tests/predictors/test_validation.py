from collections.abc import Sequence

import numpy as np
import pytest

from morphogen.predictors import GaussianProcess
from morphogen.predictors.validation import cross_validated, out_of_fold
from morphogen.space import Architecture, Choice, Space

SPACE = Space(tuple(Choice(f"c{i}", ("a", "b", "c")) for i in range(4)))
SOME = list(SPACE.enumerate())[::3]


class Remembers:
    """Predicts what it was shown, else nothing: only a leak from a fold into its own fit would help it."""

    def fit(self, architectures: Sequence[Architecture], values: np.ndarray, rng: np.random.Generator) -> None:
        self.known = dict(zip(architectures, values.tolist(), strict=True))

    def predict(self, architectures: Sequence[Architecture]) -> tuple[np.ndarray, np.ndarray]:
        return np.array([self.known.get(a, -1.0) for a in architectures]), np.ones(len(architectures))


def worth(a: Architecture) -> float:
    return float(sum((i + 1) * "abc".index(str(a[f"c{i}"])) for i in range(4)))


def test_no_architecture_is_predicted_by_a_model_that_was_shown_it() -> None:
    values = np.array([worth(a) for a in SOME])
    assert {-1.0} == set(out_of_fold(Remembers, SOME, values, np.random.default_rng(0)).tolist())
    assert 0.0 == cross_validated(Remembers, SOME, values, np.random.default_rng(0)).kendall


def test_what_can_be_learned_correlates_and_noise_does_not() -> None:
    values, rng = np.array([worth(a) for a in SOME]), np.random.default_rng(0)
    found = cross_validated(lambda: GaussianProcess(SPACE), SOME, values, rng, folds=3)
    assert found.kendall > 0.8
    assert found.spearman > 0.9
    noise = cross_validated(lambda: GaussianProcess(SPACE), SOME, rng.normal(size=len(SOME)), rng, folds=3)
    assert abs(noise.kendall) < 0.5


@pytest.mark.parametrize(("folds", "n"), [(1, 10), (5, 1)])
def test_what_cannot_be_divided_is_refused(folds: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"folds={folds}, {n} architectures"):
        cross_validated(Remembers, SOME[:n], np.zeros(n), np.random.default_rng(0), folds)
