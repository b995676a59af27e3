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
    strategy = CurveStopping(TABLE.space, lowest=1, full=27, warm_up=1)
    told = [step(strategy, id, loss) for id, loss in enumerate((-0.3, -0.5, -0.6, -0.7))]
    assert [{"epochs": 1}, {"epochs": 3}, {"epochs": 9}, {}] == [t.proposal.fidelity for t in told]
    assert [None, 0, 1, 2] == [t.proposal.warm_start for t in told]
    assert 1 == len({t.architecture for t in told})
    assert (0.0, -0.7) == strategy.best
    assert step(strategy, 4, -0.1).architecture != told[0].architecture


def flat(level: float, upto: int) -> list[tuple[float, float]]:
    return [(float(e), level - 0.2 / e) for e in range(1, upto + 1)]


def test_a_curve_that_will_not_reach_the_best_is_not_gone_on_with() -> None:
    strategy = CurveStopping(TABLE.space, lowest=9, full=27, warm_up=1)
    step(strategy, 0, -flat(0.9, 9)[-1][1], flat(0.9, 9))
    step(strategy, 1, -0.9)
    poor = step(strategy, 2, -flat(0.5, 9)[-1][1], flat(0.5, 9))
    assert {} == strategy.waiting
    assert step(strategy, 3, -flat(0.95, 9)[-1][1], flat(0.95, 9)).architecture != poor.architecture
    assert [3] == list(strategy.waiting)


class Listener:
    """Proposes at random and notes what it is told."""

    def __init__(self, space: Space) -> None:
        self.space, self.told, self.pending = space, list[Trial](), list[int]()

    def ask(self, pending: list[Trial], rng: np.random.Generator) -> Proposal:
        self.pending.append(len(pending))
        return Proposal(self.space.sample(rng))

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        self.told.append(trial)


def test_the_strategy_inside_is_told_of_each_training_once_when_it_is_over() -> None:
    inside = Listener(TABLE.space)
    strategy = CurveStopping(TABLE.space, inside, lowest=1, full=9, warm_up=1)
    for id, loss in enumerate((-0.3, -0.5, -0.7)):
        step(strategy, id, loss)
    assert [({}, -0.7)] == [(t.proposal.fidelity, t.loss) for t in inside.told]
    step(strategy, 3, float("inf"))
    assert 2 == len(inside.told)
    assert [0, 0] == inside.pending


def run(strategy: Strategy, seconds: float) -> list[Trial]:
    study = Study(TABLE.space, Memory(), Virtual(1), TABLE.objectives, slots=1)
    study.run([Phase("search", lambda told: (strategy, Tabular(TABLE)), lambda told: Stop(seconds=seconds))])
    return study.told


def test_for_the_same_cost_more_architectures_are_seen() -> None:
    seconds = 30 * TABLE.entry(next(TABLE.space.enumerate()), {}, 0).seconds
    plain = run(CurveStopping(TABLE.space, chance=0.0), seconds)
    stopped = run(CurveStopping(TABLE.space), seconds)
    count = [len({t.architecture for t in told}) for told in (plain, stopped)]
    assert count[1] > 1.3 * count[0]


def test_a_violation_ends_a_training_after_the_warm_up() -> None:
    strategy = CurveStopping(TABLE.space, lowest=1, full=3, warm_up=1)
    step(strategy, 0, -0.5)
    step(strategy, 1, -0.9)
    proposal = strategy.ask([], np.random.default_rng(9))
    assert proposal is not None
    trial = Trial(2, "search", proposal, Outcome({"accuracy": 0.99}), (-0.99,))
    strategy.tell(replace(trial, violation=0.2), np.random.default_rng(9))
    assert {} == strategy.waiting


def test_a_chance_that_is_no_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="probability below 1"):
        CurveStopping(TABLE.space, chance=1.0)
