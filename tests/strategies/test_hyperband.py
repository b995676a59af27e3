from collections import Counter

import numpy as np
import pytest

from morphogen.estimators.toy import ToyTable, toy_space
from morphogen.protocols import Strategy
from morphogen.space import Space
from morphogen.strategies import Hyperband, Tpe
from morphogen.testing import StrategySuite
from morphogen.testing.strategy import run
from morphogen.trial import Outcome, Trial

TABLE = ToyTable()


class TestHyperbandAroundTpe(StrategySuite):
    def make(self, space: Space) -> Strategy:
        return Hyperband(space, Tpe(space))


def test_shares_are_those_of_the_table_in_the_paper() -> None:
    assert [81, 34, 15, 8, 5] == Hyperband(toy_space(), full=81).shares


def test_new_architectures_enter_brackets_by_their_shares() -> None:
    strategy = Hyperband(toy_space(), full=9)
    pending: list[Trial] = []
    for id in range(2 * (9 + 5 + 3)):
        proposal = strategy.ask(pending, np.random.default_rng(id))
        assert proposal is not None
        pending.append(Trial(id, "search", proposal))
    entered = Counter((t.proposal.origin["bracket"], t.proposal.fidelity.get("epochs", 9)) for t in pending)
    assert {(0, 1.0): 18, (1, 3.0): 10, (2, 9): 6} == entered


def test_promotions_stay_in_their_bracket() -> None:
    trials = run(Hyperband(TABLE.space), TABLE, 150).told
    by_id = {t.id: t for t in trials}
    promoted = [t for t in trials if t.proposal.warm_start is not None]
    for trial in promoted:
        before = by_id[trial.proposal.warm_start].proposal  # type: ignore[index]
        assert before.origin["bracket"] == trial.proposal.origin["bracket"]
        assert before.architecture == trial.proposal.architecture
        assert before.fidelity["epochs"] * 3 == trial.proposal.fidelity.get("epochs", 27)
    assert {0, 1, 2} == {t.proposal.origin["bracket"] for t in promoted}


def test_a_trial_of_somebody_else_counts_as_a_full_one() -> None:
    strategy = Hyperband(toy_space())
    proposal = Hyperband(toy_space()).inner.ask([], np.random.default_rng(0))
    assert proposal is not None
    strategy.tell(Trial(0, "search", proposal, Outcome(), (1.0,)), np.random.default_rng(0))
    assert [0, 0, 0, 1] == strategy.entered


def test_rungs_that_halve_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="below full=1"):
        Hyperband(toy_space(), full=1)
