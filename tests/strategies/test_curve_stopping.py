"""Trainings that are stopped early by their curves."""

from dataclasses import replace

import numpy as np
import pytest

from morphogen.estimators.tabular import Tabular
from morphogen.estimators.toy import ToyTable
from morphogen.executors import Virtual
from morphogen.protocols import Phase, Stop, Strategy
from morphogen.space import Space
from morphogen.store import Memory
from morphogen.strategies import CurveStopping, RegularizedEvolution
from morphogen.study import Study
from morphogen.testing import StrategySuite
from morphogen.trial import Outcome, Proposal, Trial

TABLE = ToyTable()


class TestAroundEvolution(StrategySuite):
    def make(self, space: Space) -> Strategy:
        return CurveStopping(space, RegularizedEvolution(space, 8, 3), lowest=3, warm_up=2)


def step(strategy: CurveStopping, id: int, loss: float, curve: list[tuple[float, float]] | None = None) -> Trial:
    """Ask, judge with this loss and curve of accuracies, tell."""
    proposal = strategy.ask([], np.random.default_rng(id))
    assert proposal is not None
    curves = {} if curve is None else {"accuracy": curve}
    trial = Trial(id, "search", proposal, Outcome({"accuracy": -loss}, curves), (loss,))
    strategy.tell(trial, np.random.default_rng(id))
    return trial


def test_a_training_goes_on_from_its_own_checkpoint_at_growing_amounts() -> None:
    strategy = CurveStopping(TABLE.space, lowest=1, full=27, share=0.99)
    told = [step(strategy, id, loss) for id, loss in enumerate((-0.3, -0.5, -0.6, -0.7))]
    assert [{"epochs": 1}, {"epochs": 3}, {"epochs": 9}, {}] == [t.proposal.fidelity for t in told]
    assert [None, 0, 1, 2] == [t.proposal.warm_start for t in told]
    assert 1 == len({t.architecture for t in told})
    assert (0.0, -0.7) == strategy.best
    assert step(strategy, 4, -0.1).architecture != told[0].architecture


def test_going_on_costs_as_much_as_first_looks() -> None:
    strategy = CurveStopping(TABLE.space, lowest=1, full=3)
    told = [step(strategy, id, -0.5 + id / 100) for id in range(7)]
    assert [1, 3, 1, 3, 1, 1, 3] == [t.proposal.fidelity.get("epochs", 3) for t in told]
    assert [0, 2, 4] == [t.proposal.warm_start for t in told if t.proposal.warm_start is not None]
    assert (4.0, 6.0) == strategy.spent


def test_what_is_underway_counts_as_spent_and_is_not_gone_on_with_again() -> None:
    strategy = CurveStopping(TABLE.space, lowest=1, full=3)
    step(strategy, 0, -0.5)
    further = strategy.ask([], np.random.default_rng(1))
    assert further is not None
    other = strategy.ask([Trial(1, "search", further)], np.random.default_rng(1))
    assert other is not None
    assert (0, None) == (further.warm_start, other.warm_start)


def flat(level: float, upto: int) -> list[tuple[float, float]]:
    return [(float(e), level - 0.2 / e) for e in range(1, upto + 1)]


def test_a_curve_that_will_not_reach_the_best_pauses_and_a_likelier_one_goes_on() -> None:
    strategy = CurveStopping(TABLE.space, lowest=9, full=27, warm_up=1, share=0.9)
    step(strategy, 0, -flat(0.9, 9)[-1][1], flat(0.9, 9))
    step(strategy, 1, -0.9)
    poor = step(strategy, 2, -flat(0.5, 9)[-1][1], flat(0.5, 9))
    good = step(strategy, 3, -flat(0.95, 9)[-1][1], flat(0.95, 9))
    assert good.architecture != poor.architecture
    assert [2, 3] == list(strategy.paused)
    assert 3 == step(strategy, 4, -0.95).proposal.warm_start
    assert [2] == list(strategy.paused)


def test_where_nothing_new_is_left_it_goes_on() -> None:
    class Exhausted:
        def ask(self, pending: list[Trial], rng: np.random.Generator) -> Proposal | None:
            return None

        def tell(self, trial: Trial, rng: np.random.Generator) -> None: ...

    strategy = CurveStopping(TABLE.space, lowest=1, full=3)
    for id in range(3):
        step(strategy, id, -0.5)
    strategy.inner = Exhausted()
    assert [2, None] == [
        None if (p := strategy.ask(pending, np.random.default_rng(0))) is None else p.warm_start
        for pending in ([], [Trial(3, "search", Proposal(None, {}, 2))])
    ]


class Listener:
    """Proposes at random and notes what it is told."""

    def __init__(self, space: Space) -> None:
        self.space, self.told, self.pending = space, list[Trial](), list[int]()

    def ask(self, pending: list[Trial], rng: np.random.Generator) -> Proposal:
        self.pending.append(len(pending))
        return Proposal(self.space.sample(rng))

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        self.told.append(trial)


def test_the_strategy_inside_is_told_of_each_training_once_after_the_first_look() -> None:
    inside = Listener(TABLE.space)
    strategy = CurveStopping(TABLE.space, inside, lowest=1, full=9, share=0.99)
    for id, loss in enumerate((-0.3, -0.5, -0.7)):
        step(strategy, id, loss)
    assert [({}, -0.3)] == [(t.proposal.fidelity, t.loss) for t in inside.told]
    step(strategy, 3, float("inf"))
    assert [-0.3, float("inf")] == [t.loss for t in inside.told]
    assert [0, 0] == inside.pending


def test_with_experience_the_strategy_inside_is_told_of_the_expected_end() -> None:
    inside = Listener(TABLE.space)
    strategy = CurveStopping(TABLE.space, inside, lowest=1, full=3)
    strategy.ends = [([(1.0, x)], x - 0.4) for x in np.linspace(-0.5, 0.0, 20)]
    step(strategy, 0, -0.25)
    assert [-0.65] == pytest.approx([t.loss for t in inside.told])


def run(strategy: Strategy, seconds: float) -> list[Trial]:
    study = Study(TABLE.space, Memory(), Virtual(1), TABLE.objectives, slots=1)
    study.run([Phase("search", lambda told: (strategy, Tabular(TABLE)), lambda told: Stop(seconds=seconds))])
    return study.told


def test_for_the_same_cost_more_architectures_are_seen() -> None:
    seconds = 30 * TABLE.entry(next(TABLE.space.enumerate()), {}, 0).seconds
    mostly, half = (run(CurveStopping(TABLE.space, share=share), seconds) for share in (0.9, 0.5))
    count = [len({t.architecture for t in told}) for told in (mostly, half)]
    assert count[1] > 1.3 * count[0]


def test_what_violates_a_limit_is_not_gone_on_with_after_the_warm_up() -> None:
    strategy = CurveStopping(TABLE.space, lowest=1, full=3, warm_up=1, share=0.9)
    step(strategy, 0, -0.5)
    step(strategy, 1, -0.9)
    proposal = strategy.ask([], np.random.default_rng(9))
    assert proposal is not None
    trial = Trial(2, "search", proposal, Outcome({"accuracy": 0.99}), (-0.99,))
    strategy.tell(replace(trial, violation=0.2), np.random.default_rng(9))
    further = strategy.ask([], np.random.default_rng(9))
    assert further is not None
    assert further.warm_start is None


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_that_leaves_nothing_for_the_rest_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="below 1: some for first looks"):
        CurveStopping(TABLE.space, share=share)


def test_a_chance_that_is_no_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="probability below 1"):
        CurveStopping(TABLE.space, chance=1.0)


@pytest.mark.parametrize("metric", [None, "error"])
def test_the_curve_is_that_of_the_objective(metric: str | None) -> None:
    strategy = CurveStopping(TABLE.space, lowest=3, full=9, metric=metric)
    proposal = strategy.ask([], np.random.default_rng(0))
    assert proposal is not None
    curves = {
        "accuracy": [(1.0, 0.1), (2.0, 0.5), (3.0, 0.7)],
        "error": [(1.0, 0.9), (2.0, 0.4), (3.0, 0.2)],
    }
    strategy.tell(Trial(0, "search", proposal, Outcome({"error": 0.2}, curves), (0.2,)), np.random.default_rng(0))
    assert [(1.0, 0.9), (2.0, 0.4), (3.0, 0.2)] == list(strategy.paused[0].curve)


def test_a_curve_of_something_else_is_none() -> None:
    strategy = CurveStopping(TABLE.space, lowest=3, full=9)
    proposal = strategy.ask([], np.random.default_rng(0))
    assert proposal is not None
    curves = {"accuracy": [(1.0, 0.1), (2.0, 0.5), (3.0, 0.7)]}
    strategy.tell(Trial(0, "search", proposal, Outcome({"error": 0.2}, curves), (0.2,)), np.random.default_rng(0))
    assert [(3.0, 0.2)] == list(strategy.paused[0].curve)
