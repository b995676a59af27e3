"""The table that comes with the package."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import kendalltau

from morphogen.estimators.tables import SHIPPED, load
from morphogen.estimators.tabular import Tabular
from morphogen.protocols import Context
from morphogen.runs.tables import table
from morphogen.testing.estimator import EstimatorSuite
from morphogen.trial import Proposal


@pytest.fixture(scope="module")
def digits():
    return load(SHIPPED["digits"])


def arrays():
    with np.load(SHIPPED["digits"].replace(".toml", ".npz"), allow_pickle=False) as saved:
        return dict(saved)


def test_it_is_found_by_its_name(digits):
    assert digits is table("digits")


def test_it_has_every_architecture_of_its_space_with_a_curve(digits):
    assert 1250 == digits.space.size == len(arrays()["architecture"])
    judge = Tabular(digits)
    rng = np.random.default_rng(0)
    for _ in range(20):
        outcome = judge(Proposal(digits.space.sample(rng)), Context(seed=0))
        assert outcome.error is None
        assert 12 == len(outcome.curves["accuracy"])
        assert outcome.curves["accuracy"][-1][1] == pytest.approx(outcome.metrics["accuracy"], abs=1e-3)


def test_seeds_agree_on_what_is_good_and_accuracies_are_spread():
    accuracy = arrays()["accuracy"]
    taus = [kendalltau(accuracy[:, a], accuracy[:, b]).statistic for a, b in combinations(range(accuracy.shape[1]), 2)]
    assert min(taus) > 0.7
    assert accuracy.max() - accuracy.min() > 0.1


class TestShipped(EstimatorSuite):
    def make(self):
        return Tabular(load(SHIPPED["digits"]))

    def proposal(self):
        return Proposal(load(SHIPPED["digits"]).space.sample(np.random.default_rng(0)))
