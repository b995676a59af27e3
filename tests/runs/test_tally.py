"""Counts of a record: equal to those of its trials, from wherever counting begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from morphogen import store
from morphogen.estimators import Tabular
from morphogen.estimators.toy import ToyTable
from morphogen.executors import Inline
from morphogen.objective import MeasuredLimit, best
from morphogen.protocols import Event, MorphogenError, Phase, Stop, Store
from morphogen.runs.tally import TALLY, Tally
from morphogen.strategies import RandomSearch
from morphogen.study import Study
from morphogen.trial import Trial

TABLE = ToyTable()
LIMITS = (MeasuredLimit("params", 2000.0),)


@pytest.fixture(scope="module")
def told() -> tuple[Store, list[Trial]]:
    """A record of two phases, with failures."""
    memory = store.open("memory:")
    study = Study(TABLE.space, memory, Inline(), TABLE.objectives, limits=LIMITS)
    start = RandomSearch(TABLE.space), Tabular(TABLE)
    phases = [Phase(name, lambda told: start, lambda told, most=n: Stop(most)) for name, n in (("one", 60), ("two", 9))]
    return memory, study.run(phases)


def test_counts_are_those_of_the_trials(told: tuple[Store, list[Trial]]) -> None:
    memory, trials = told
    tally = Tally(TABLE.objectives, LIMITS).catch_up(memory)
    assert 138 == tally.events
    for name, count in tally.phases.items():
        mine = [trial for trial in trials if trial.phase == name]
        winner = best(mine)
        assert winner is not None
        assert winner.outcome is not None
        assert (len(mine), len(mine), sum(t.failed for t in mine)) == (count.asked, count.finished, count.failed)
        assert {"id": winner.id, **winner.outcome.metrics} == count.best
        assert pytest.approx(sum(t.outcome.seconds for t in mine if t.outcome is not None)) == count.seconds


@pytest.mark.parametrize("counted", [0, 1, 77, 138])
def test_counting_goes_on_from_what_was_kept(counted: int, told: tuple[Store, list[Trial]], tmp_path: Path) -> None:
    memory, _ = told
    expected = Tally(TABLE.objectives, LIMITS).catch_up(memory)
    first = Tally(TABLE.objectives, LIMITS)
    add = first.keeping(tmp_path, every=0)
    for event in memory.events()[:counted]:
        add(event)
    kept = Tally(TABLE.objectives, LIMITS).read(tmp_path)
    assert counted == kept.events
    assert expected == kept.catch_up(memory)


def test_what_was_counted_in_another_record_is_counted_again(told: tuple[Store, list[Trial]], tmp_path: Path) -> None:
    memory, _ = told
    Tally(TABLE.objectives, LIMITS).catch_up(memory).write(tmp_path)
    other = store.open("memory:")
    other.append(memory.events()[:20])
    again = Tally(TABLE.objectives, LIMITS).read(tmp_path).catch_up(other)
    assert Tally(TABLE.objectives, LIMITS).catch_up(other) == again
    assert 20 == again.events


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    Tally(TABLE.objectives).write(tmp_path / "missing")
    assert not (tmp_path / "missing" / TALLY).exists()


def test_an_outcome_that_is_none_is_named() -> None:
    tally = Tally(TABLE.objectives)
    tally.add(Event("asked", 0, {"phase": "one"}))
    with pytest.raises(MorphogenError, match="'finished' of trial 0"):
        tally.add(Event("finished", 0, {"metrics": {"accuracy": "high"}}))
