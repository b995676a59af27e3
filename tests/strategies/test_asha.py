from itertools import pairwise

import numpy as np
import pytest

from morphogen.estimators.tabular import Tabular
from morphogen.estimators.toy import ToyTable, toy_space
from morphogen.executors import Virtual
from morphogen.protocols import Phase, Stop, Strategy
from morphogen.space import Space
from morphogen.store import Memory
from morphogen.strategies import Asha, Deduplicated, RegularizedEvolution, Tpe
from morphogen.strategies.asha import rungs
from morphogen.study import Study
from morphogen.testing import StrategySuite
from morphogen.trial import Outcome, Trial

TABLE = ToyTable()


class TestAshaAroundTpe(StrategySuite):
    def make(self, space: Space) -> Strategy:
        return Asha(space, Tpe(space))


class TestAshaAroundEvolution(StrategySuite):
    def make(self, space: Space) -> Strategy:
        return Deduplicated(Asha(space, Deduplicated(RegularizedEvolution(space, 8, 3), space), lowest=3), space)


class Listener:
    """Notes what it is told."""

    def __init__(self, multi_fidelity: bool) -> None:
        self.told: list[Trial] = []
        self.pending: list[int] = []
        self.multi_fidelity = multi_fidelity
        self.source = Asha(TABLE.space).inner.strategy

    def ask(self, pending, rng):  # type: ignore[no-untyped-def]
        self.pending.append(len(pending))
        return self.source.ask(pending, rng)

    def tell(self, trial, rng):  # type: ignore[no-untyped-def]
        self.told.append(trial)


def run(strategy: Strategy, trials: int, slots: int = 1) -> list[Trial]:
    study = Study(TABLE.space, Memory(), Virtual(1), TABLE.objectives, slots=slots)
    study.run([Phase("search", lambda told: (strategy, Tabular(TABLE)), lambda told: Stop(trials=trials))])
    return study.told


def judged(strategy: Asha, losses: list[float], pending: list[Trial] | None = None) -> list[Trial]:
    """Trials one by one, told with these losses; infinite ones failed."""
    trials: list[Trial] = []
    for loss in losses:
        proposal = strategy.ask(pending or [], np.random.default_rng(len(trials)))
        assert proposal is not None
        outcome = Outcome(error="diverged") if loss == np.inf else Outcome()
        trials.append(Trial(len(trials), "search", proposal, outcome, (loss,)))
        strategy.tell(trials[-1], np.random.default_rng(len(trials)))
    return trials


def amounts(trials: list[Trial]) -> list[float]:
    return [t.proposal.fidelity.get("epochs", 27) for t in trials]


def test_the_best_third_of_a_rung_goes_on_as_soon_as_it_is_known() -> None:
    trials = judged(Asha(toy_space()), [5, 3, 4, 3, 9, 9, 2, 2, 9, 9, 1, 1, 1])
    assert [1, 1, 1, 3, 1, 1, 1, 3, 1, 1, 1, 3, 9] == amounts(trials)
    assert [None, None, None, 1, None, None, None, 6, None, None, None, 10, 11] == [
        t.proposal.warm_start for t in trials
    ]
    assert all(trials[w].architecture == t.architecture for t in trials if (w := t.proposal.warm_start) is not None)


def test_what_is_being_promoted_is_not_promoted_again() -> None:
    strategy = Asha(toy_space())
    trials = judged(strategy, [5, 3, 4])
    promoted = strategy.ask([], np.random.default_rng(0))
    assert promoted is not None
    other = strategy.ask([Trial(3, "search", promoted)], np.random.default_rng(0))
    assert other is not None
    assert (1, None) == (promoted.warm_start, other.warm_start)
    assert {"epochs": 1.0} == other.fidelity
    assert trials[1].architecture == promoted.architecture


def test_failed_trials_count_in_their_rung_and_are_never_promoted() -> None:
    inf = np.inf
    assert [1, 1, 1, 1, 1, 1, 1] == amounts(judged(Asha(toy_space()), [inf] * 7))
    assert [1, 1, 1, 3] == amounts(judged(Asha(toy_space()), [inf, inf, 5, 1]))


def test_the_last_rung_is_proposed_as_full() -> None:
    trials = run(Asha(TABLE.space), 120)
    assert {1.0, 3.0, 9.0, 27} == set(amounts(trials))
    assert all("epochs" not in t.proposal.fidelity or t.proposal.fidelity["epochs"] < 27 for t in trials)
    counts = [sum(a == amount for a in amounts(trials)) for amount in (1, 3, 9, 27)]
    assert all(few <= many / 3 for many, few in pairwise(counts))


def test_where_each_is_better_than_those_before_still_only_a_third_goes_on() -> None:
    trials = judged(Asha(toy_space(), full=3), [-loss for loss in range(40)])
    assert [1, 1, 1, 27] * 10 == amounts(trials)


def test_its_winner_is_better_than_the_mean_of_full_trials_for_the_same_epochs() -> None:
    trials = run(Asha(TABLE.space), 300, slots=4)
    best = min(t.loss for t in trials if not t.proposal.fidelity)
    full = [TABLE.entry(TABLE.space.sample(np.random.default_rng(i)), {}, seed=i) for i in range(200)]
    assert -best > float(np.quantile([e.metrics["accuracy"] for e in full if e.error is None], 0.9))


def test_the_strategy_inside_sees_a_search_at_one_fidelity() -> None:
    inside = Listener(multi_fidelity=False)
    trials = run(Asha(TABLE.space, inside), 40, slots=4)
    own = [t for t in trials if t.proposal.warm_start is None]
    assert [t.id for t in own] == [t.id for t in inside.told]
    assert all(not t.proposal.fidelity for t in inside.told)
    assert len(own) < 40


def test_one_for_several_fidelities_is_told_everything_as_it_is() -> None:
    inside = Listener(multi_fidelity=True)
    assert run(Asha(TABLE.space, inside), 40, slots=4) == inside.told


@pytest.mark.parametrize(
    ("lowest", "full", "eta", "expected"),
    [
        (1, 27, 3, (1, 3, 9, 27)),
        (1, 30, 3, (1, 3, 9, 30)),
        (1, 10, 3, (1, 3, 10)),
        (2, 16, 2, (2, 4, 8, 16)),
        (0.1, 1, 4, (0.1, 0.4, 1)),
        (1, 2, 3, (1, 2)),
    ],
)
def test_rungs_grow_by_eta_up_to_everything(lowest: float, full: float, eta: int, expected: tuple[float, ...]) -> None:
    assert expected == rungs(lowest, full, eta)


@pytest.mark.parametrize(
    ("lowest", "full", "eta", "says"), [(3, 3, 3, "below full=3"), (0, 9, 3, "above 0"), (1, 9, 1, "eta=1")]
)
def test_rungs_that_halve_nothing_are_refused(lowest: float, full: float, eta: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Asha(toy_space(), lowest=lowest, full=full, eta=eta)
