"""`--start` and `--from`: what a search begins with."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import morphogen
from morphogen import config as configuration
from morphogen.estimators.toy import ToyTable, toy_space
from morphogen.protocols import MorphogenError
from morphogen.runs import earlier, run
from morphogen.runs.assembly import assemble
from morphogen.runs.reading import read
from morphogen.space import Space
from morphogen.strategies import RandomSearch
from morphogen.trial import Proposal, Trial

SMALL = "depth=3 0/op=conv3 0/width=8 1/op=conv3 1/width=8 2/op=pool 2/width=8 skips="
SETTINGS: dict[str, Any] = {"data": None, "table": "toy", "control": False, "final": {"finalists": 1, "seeds": 1},
    "strategy_options": {"population_size": 10, "tournament_size": 3}}  # fmt: skip


@dataclass
class Listening:
    """Random search that keeps what it is told."""

    space: Space
    on_policy: ClassVar[bool] = False
    told: list[Trial] = field(default_factory=list)

    def ask(self, pending: list[Trial], rng: np.random.Generator) -> Proposal | None:
        return RandomSearch(self.space).ask(pending, rng)

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        self.told.append(trial)


@dataclass
class OnPolicy(Listening):
    """Says that it must learn from its own samples only."""

    on_policy: ClassVar[bool] = True


def searched(folder: Path, **settings: Any) -> list[Trial]:
    config = configuration.parse({**SETTINGS, "strategy": "regularized-evolution", **settings}, "test")
    parts = assemble(config)
    run.proceed(run.create(config, folder), config, parts)
    return [t for t in read(folder)[2] if t.phase == "search"]


def test_seed_architectures_are_tried_first_and_told_to_the_strategy() -> None:
    space = toy_space()
    other = space.sample(np.random.default_rng(0))
    strategy: Any = earlier.begun(Listening, space, [SMALL, str(other.json).replace("'", '"')], [], seed=0)(space)
    rng = np.random.default_rng(1)
    first = strategy.ask([], rng)
    pending = [Trial(0, "search", first)]
    second = strategy.ask(pending, rng)
    assert [space.parse(SMALL), other] == [first.architecture, second.architecture]
    assert second == strategy.ask(pending, rng)
    for id, proposal in enumerate((first, second)):
        strategy.tell(Trial(id, "search", proposal), rng)
    assert [0, 1] == [t.id for t in strategy.strategy.told]
    assert "start" not in strategy.ask([], rng).origin


def test_a_strategy_that_learns_from_its_own_samples_is_not_told_of_seeds() -> None:
    space = toy_space()
    strategy: Any = earlier.begun(OnPolicy, space, [SMALL], [], seed=0)(space)
    rng = np.random.default_rng(1)
    strategy.tell(Trial(0, "search", strategy.ask([], rng)), rng)
    own = Trial(1, "search", strategy.ask([], rng))
    strategy.tell(own, rng)
    assert [own] == strategy.strategy.told
    with pytest.raises(ValueError, match="its own samples only"):
        earlier.begun(OnPolicy, space, [], [own], seed=0)(space)


def test_a_text_that_is_no_architecture_is_said() -> None:
    with pytest.raises(ValueError, match="does not map genotypes"):
        earlier.begun(Listening, toy_space(), ["zoo:darts-v2"], [], seed=0)


def test_an_earlier_run_is_told_and_nothing_of_it_is_tried_again(tmp_path: Path) -> None:
    before = searched(tmp_path / "one", trials=20, seed=1)
    after = searched(tmp_path / "two", trials=12, seed=1, from_run=str(tmp_path / "one"), start=[SMALL])
    assert toy_space().parse(SMALL) == after[0].architecture
    tried = {t.architecture for t in before}
    assert not tried & {t.architecture for t in after[1:]}
    # its population is full from the beginning: children, of parents that are in the other run
    parents = [t.proposal.origin["parent"] for t in after[1:]]
    assert parents[0] < 0


def test_a_run_keeps_what_it_was_told_of(tmp_path: Path) -> None:
    searched(tmp_path / "one", trials=20, seed=1)
    expected = searched(tmp_path / "two", trials=8, from_run=str(tmp_path / "one"))
    shutil.rmtree(tmp_path / "one")
    assert expected == [t for t in read(tmp_path / "two")[2] if t.phase == "search"]
    # as if killed after its first trials: the record is begun again, the rest is the same
    for record in (tmp_path / "two").glob("trials.sqlite*"):
        record.unlink()
    morphogen.resume(tmp_path / "two")
    assert expected == [t for t in read(tmp_path / "two")[2] if t.phase == "search"]
    (tmp_path / "two" / earlier.EARLIER).unlink()
    with pytest.raises(MorphogenError, match="gone or damaged"):
        morphogen.resume(tmp_path / "two")


def test_a_run_of_another_objective_or_of_nothing_is_refused(tmp_path: Path) -> None:
    searched(tmp_path / "one", trials=4)
    with pytest.raises(MorphogenError, match="sought accuracy, this search seeks macs"):
        searched(tmp_path / "two", trials=2, objectives=["min:macs"], from_run=str(tmp_path / "one"))
    with pytest.raises(MorphogenError, match="holds no run"):
        searched(tmp_path / "two", trials=2, from_run=str(tmp_path))


def test_a_run_whose_strategy_has_no_name_can_be_learned_from(tmp_path: Path) -> None:
    settings = {key: value for key, value in SETTINGS.items() if key != "strategy_options"}
    morphogen.search(strategy=Listening, out=tmp_path / "one", trials=4, **settings)
    searched(tmp_path / "two", trials=2, from_run=str(tmp_path / "one"))
    assert 4 == len(earlier.load(tmp_path / "two" / earlier.EARLIER, toy_space(), ToyTable().objectives))
