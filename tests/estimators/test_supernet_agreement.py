import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from morphogen.choice import Choice
from morphogen.estimators.supernet_agreement import agreement
from morphogen.objective import Objective
from morphogen.space import Space
from morphogen.trial import Outcome

SPACE = Space(tuple(Choice(name, tuple("01234"), ordered=True) for name in "ab"))


@dataclass
class Formula:
    """Accuracy is the sum of the digits, times a factor."""

    factor: float
    asked: list = field(default_factory=list)
    measured: frozenset = frozenset()

    def __call__(self, proposal, context):
        self.asked.append((proposal, context))
        return Outcome({"accuracy": self.factor * sum(int(proposal.architecture.picks[n][0]) for n in "ab")})

    def cost(self, proposal):
        return 2.0


@pytest.mark.parametrize(("factor", "tau"), [(0.1, 1.0), (-0.1, -1.0), (0.0, 0.0)])
def test_the_rank_correlation_of_two_formulas(tmp_path, factor, tau):
    said, shared, alone = [], Formula(0.05), Formula(factor)
    found = agreement(SPACE, tmp_path, shared, alone, np.random.default_rng(0), k=6, say=said.append)
    assert pytest.approx(tau) == found.tau
    assert 6 == len(set(found.architectures)) == len(found.shared) == len(found.alone)
    assert said[0].endswith("6 trainings, a cost of 12 in all")
    assert all(context.warm_start == tmp_path for _, context in shared.asked)
    assert all(context.warm_start is None for _, context in alone.asked)


def test_the_price_is_in_seconds_where_they_are_known_and_every_training_is_told(tmp_path):
    said = []
    agreement(SPACE, tmp_path, Formula(0.05), Formula(0.1), np.random.default_rng(0), k=3, seconds=7.0, say=said.append)
    assert said[0].endswith("3 trainings, about 21 s in all")
    assert ["1 of 3: ", "2 of 3: ", "3 of 3: "] == [line[:8] for line in said[1:]]


@pytest.mark.parametrize("k", [1, 26])
def test_what_cannot_be_ranked_is_refused(tmp_path, k):
    with pytest.raises(ValueError, match=f"k={k} architectures cannot be ranked: expected 2 to 25"):
        agreement(SPACE, tmp_path, Formula(1.0), Formula(1.0), np.random.default_rng(0), k=k)


def test_errors_are_ranked_as_accuracies_are_and_a_failed_training_is_the_worst(tmp_path):
    class Errors(Formula):
        def __call__(self, proposal, context):
            accuracy = super().__call__(proposal, context).metrics["accuracy"]
            return Outcome({"mae": 1 - accuracy}) if accuracy else Outcome(error="it diverged")

    rng, said = np.random.default_rng(0), []
    space = Space((Choice("a", tuple("01234"), ordered=True), Choice("b", ("0", "1"), ordered=True)))
    found = agreement(space, tmp_path, Errors(0.05), Errors(0.1), rng, k=10, sought=Objective("mae"), say=said.append)
    assert 1.0 == found.tau
    assert math.inf in found.alone
    assert "mae" in said[1]
    assert Objective("mae") == found.sought
