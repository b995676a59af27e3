from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from morphogen.estimators.tabular import Tabular
from morphogen.estimators.toy import ToyTable
from morphogen.executors import Virtual
from morphogen.protocols import Context, Phase, Stop
from morphogen.space import Architecture, Choice, Cost, Limit, Space
from morphogen.store import Memory
from morphogen.strategies import HillClimbing
from morphogen.strategies.hill_climbing import grown
from morphogen.study import Study
from morphogen.testing.strategy import run
from morphogen.trial import Outcome, Proposal, Trial
from strategies.asking import searched

SPACE = Space(
    (
        *(Choice(f"width{i}", ("8", "16", "32", "64"), ordered=True) for i in range(3)),
        Choice("op", ("conv", "pool")),
        Choice("skips", ("0", "1", "2"), pick=(0, 3)),
    )
)
TABLE = ToyTable()


def size(architecture: Architecture) -> int:
    return sum(SPACE[name].options.index(picked[0]) for name, picked in architecture.picks.items() if "w" in name)


WEIGHTS = {"inherited": 0.7}


def test_it_begins_small_and_every_move_enlarges() -> None:
    trials = searched(HillClimbing(SPACE, neighbors=4), lambda a: -float(size(a)), 9, metrics=WEIGHTS)
    by_id = {t.id: t for t in trials}
    assert trials[0].architecture is not None
    assert 0 == size(trials[0].architecture)
    assert "parent" not in trials[0].proposal.origin
    for trial in trials[1:]:
        parent = by_id[trial.proposal.origin["parent"]]
        assert parent.architecture is not None
        assert trial.architecture is not None
        assert size(trial.architecture) >= size(parent.architecture)
        assert len(trial.architecture["skips"]) >= len(parent.architecture["skips"])


def test_a_step_is_children_and_the_incumbent_again_all_with_its_weights() -> None:
    trials = searched(HillClimbing(SPACE, neighbors=4), lambda a: -float(size(a)), 17, metrics=WEIGHTS)
    for _, some in groupby(trials[1:], key=lambda t: t.proposal.origin["step"]):
        family = list(some)
        parent = trials[family[0].proposal.origin["parent"]]
        assert 4 == len(family)
        assert {parent.id} == {t.proposal.warm_start for t in family}
        assert [False, False, False, True] == [t.architecture == parent.architecture for t in family]
        assert 4 == len({t.architecture for t in family})


@pytest.mark.parametrize(
    ("metrics", "parents"), [(WEIGHTS, [0, 0, 0, 3, 3, 3, 5, 5, 5]), ({}, [0, 0, 0, 3, 3, 3, 3, 3, 3])]
)
def test_it_goes_on_from_the_best_of_a_step_or_without_weights_from_the_best_so_far(
    metrics: dict[str, float], parents: list[int]
) -> None:
    losses = iter([5.0, 4.0, 6.0, 3.0, 3.5, 3.1, 9.0, 3.2, 7.0, 1.0])
    trials = searched(HillClimbing(SPACE, neighbors=3), lambda a: next(losses), 10, metrics=metrics)
    assert parents == [t.proposal.origin["parent"] for t in trials[1:]]


def test_without_weights_nothing_is_asked_for_twice() -> None:
    trials = searched(HillClimbing(SPACE, neighbors=4), lambda a: -float(size(a)), 60)
    assert 60 == len({t.architecture for t in trials})
    assert all(t.proposal.warm_start is None for t in trials[2:])


def test_inheritance_can_be_turned_off() -> None:
    trials = searched(HillClimbing(SPACE, inherit=False), lambda a: -float(size(a)), 30, metrics=WEIGHTS)
    assert all(t.proposal.warm_start is None for t in trials)
    assert 30 == len({t.architecture for t in trials})


def test_where_nothing_grows_any_more_it_goes_on_and_ends_with_the_space() -> None:
    small = Space(SPACE.choices[:2])
    trials = searched(HillClimbing(small, neighbors=3), lambda a: 0.0, 50)
    assert small.size == len(trials) == len({t.architecture for t in trials})


def test_it_may_begin_anywhere_and_from_several() -> None:
    trials = searched(HillClimbing(SPACE, starts=5, growing=False), lambda a: float(size(a)), 6)
    assert [False] * 5 + [True] == ["parent" in t.proposal.origin for t in trials]
    assert len({size(t.architecture) for t in trials if t.architecture is not None}) > 1
    best = min(trials[:5], key=lambda t: t.loss)
    assert best.id == trials[5].proposal.origin["parent"]


def test_an_earlier_run_has_no_weights_to_hand_on() -> None:
    strategy = HillClimbing(SPACE)
    architecture = SPACE.sample(np.random.default_rng(0))
    strategy.tell(Trial(-1, "earlier", Proposal(architecture), Outcome(), (0.0,)), np.random.default_rng(0))
    child = strategy.ask([], np.random.default_rng(1))
    assert child is not None
    assert (-1, None) == (child.origin["parent"], child.warm_start)


def test_the_next_step_waits_for_all_of_this_one() -> None:
    strategy = HillClimbing(SPACE, neighbors=3)
    first = strategy.ask([], np.random.default_rng(0))
    assert first is not None
    root = Trial(0, "search", first)
    assert strategy.ask([root], np.random.default_rng(0)) is None
    strategy.tell(Trial(0, "search", first, Outcome(), (1.0,)), np.random.default_rng(0))
    pending: list[Trial] = []
    for id in (1, 2):
        proposal = strategy.ask(pending, np.random.default_rng(id))
        assert proposal is not None
        pending.append(Trial(id, "search", proposal))
    assert strategy.ask(pending, np.random.default_rng(3)) is None
    told = Trial(1, "search", pending[0].proposal, Outcome(WEIGHTS), (2.0,))
    strategy.tell(told, np.random.default_rng(0))
    again = strategy.ask(pending[1:], np.random.default_rng(3))
    assert again is not None
    assert (first.architecture, 0) == (again.architecture, again.warm_start)


def test_growing_takes_one_step_within_the_limits() -> None:
    widths = Cost("params", {((f"width{i}", o),): float(o) for i in range(3) for o in ("8", "16", "32", "64")})
    space = Space(SPACE.choices[:3], (Limit(widths, 40.0),))
    small = space.architecture({f"width{i}": "8" for i in range(3)})
    rng = np.random.default_rng(0)
    assert {32.0} == {widths(grown(small, rng).picks) for _ in range(20)}  # type: ignore[union-attr]
    second = space.architecture({"width0": "16", "width1": "16", "width2": "8"})
    assert grown(second, rng) is None


@dataclass(frozen=True)
class HandsOn:
    """Answers from a table, and fails where the weights to begin with are gone."""

    measured: frozenset[str] = frozenset()

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        assert context.folder is not None
        if context.warm_start is not None and not (context.warm_start / "checkpoint.pt").exists():
            return Outcome(error="the weights are gone")
        context.folder.mkdir(parents=True)
        (context.folder / "checkpoint.pt").touch()
        found = Tabular(TABLE)(proposal, context)
        return Outcome({**found.metrics, "inherited": 0.5}, seconds=found.seconds) if found.error is None else found

    def cost(self, proposal: Proposal) -> float:
        return Tabular(TABLE).cost(proposal)


@pytest.mark.parametrize("workers", [1, 4])
def test_weights_are_there_as_long_as_somebody_may_begin_with_them(tmp_path: Path, workers: int) -> None:
    study = Study(TABLE.space, Memory(), Virtual(workers), TABLE.objectives, folder=tmp_path, slots=4)
    strategy = HillClimbing(TABLE.space, neighbors=6)
    study.run([Phase("search", lambda told: (strategy, HandsOn()), lambda told: Stop(trials=60), keep=1)])
    assert 60 == len(study.told)
    assert all(t.outcome is None or t.outcome.error != "the weights are gone" for t in study.told)
    kept = list(tmp_path.glob("trials/*/checkpoint.pt"))
    assert 1 <= len(kept) <= 14  # the best, and two families


def test_on_a_table_it_is_better_than_its_beginning_by_far() -> None:
    def best(trials: list[Any]) -> float:
        return max(TABLE.truth(t.architecture) or 0.0 for t in trials if not t.failed)

    told = run(HillClimbing(TABLE.space), TABLE, 80).told
    assert best(told[:1]) < 0.7
    assert best(told) > 0.88
