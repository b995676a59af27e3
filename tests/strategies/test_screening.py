"""Rounds of little trainings, then full ones of the best."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from morphogen.choice import Choice
from morphogen.estimators.toy import ToyTable
from morphogen.protocols import Strategy
from morphogen.space import Space
from morphogen.strategies import Deduplicated, RandomSearch, RegularizedEvolution, Screening
from morphogen.testing import StrategySuite
from morphogen.trial import Outcome, Proposal, Trial

TABLE = ToyTable()


class TestAroundEvolution(StrategySuite):
    def make(self, space: Space) -> Strategy:
        return Screening(space, Deduplicated(RegularizedEvolution(space, 8, 3), space), lowest=3, first=10)


class Listener:
    """Random search that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Trial] = []
        self.random = Deduplicated(RandomSearch(TABLE.space), TABLE.space)

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        return self.random.ask(pending, rng)

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        self.told.append(trial)
        self.random.tell(trial, rng)


def around(inside: Strategy | None = None, *, lowest: float = 9, first: int = 4) -> Screening:
    return Screening(TABLE.space, inside or Listener(), lowest=lowest, full=18, first=first)


def judged(id: int, proposal: Proposal, loss: float) -> Trial:
    return Trial(id, "search", proposal, Outcome({"accuracy": -loss}), (loss,))


def step(strategy: Strategy, id: int, loss: float) -> Trial:
    proposal = strategy.ask([], np.random.default_rng(id))
    assert proposal is not None
    trial = judged(id, proposal, loss)
    strategy.tell(trial, np.random.default_rng(id))
    return trial


def test_a_round_searches_a_little_and_then_spends_as_much_on_full_trainings_and_rounds_double() -> None:
    strategy = around()
    told = [step(strategy, id, -0.5 + id / 100) for id in range(24)]
    amounts = [t.proposal.fidelity.get("epochs", 18) for t in told]
    assert [9] * 4 + [18] * 2 + [9] * 4 + [18] * 2 + [9] * 8 + [18] * 4 == amounts


def test_a_full_training_continues_a_little_one_and_none_is_continued_twice() -> None:
    strategy = around()
    told = [step(strategy, id, -0.5 + id / 100) for id in range(24)]
    full = [t for t in told if not t.proposal.fidelity]
    origins = [t.proposal.warm_start for t in full]
    assert len(set(origins)) == len(full) == 8
    for trial, origin in zip(full, origins, strict=True):
        assert origin is not None
        assert told[origin].architecture == trial.architecture
        assert {"epochs": 9} == told[origin].proposal.fidelity


def test_the_strategy_inside_is_told_of_little_trainings_only_as_if_they_were_full() -> None:
    inside = Listener()
    strategy = around(inside)
    told = [step(strategy, id, -0.5 + id / 100) for id in range(12)]
    assert [t.id for t in told if t.proposal.fidelity] == [t.id for t in inside.told]
    assert all(not t.proposal.fidelity for t in inside.told)


def test_a_lucky_value_among_bad_neighbors_is_not_the_best() -> None:
    space = Space(tuple(Choice(f"layer{i}", ("conv", "pool")) for i in range(6)))
    everything = list(space.enumerate())
    strategy = Screening(space, lowest=1, full=len(everything), first=len(everything))
    rng = np.random.default_rng(0)
    pools = {a: sum(a[c.name] == "pool" for c in space.choices) for a in everything}
    loss = {a: 0.1 * n for a, n in pools.items()}
    noise = {a: float(rng.normal(0, 0.05)) for a in everything}
    best = min(everything, key=lambda a: loss[a])
    lucky = next(a for a in everything if pools[a] == 2)
    noise[lucky], noise[best] = -0.21, 0.0
    for id, a in enumerate(everything):
        strategy.tell(judged(id, Proposal(a, {"epochs": 1}), loss[a] + noise[a]), rng)
    proposal = strategy.ask([], rng)
    assert min(everything, key=lambda a: loss[a] + noise[a]) == lucky
    assert proposal is not None
    assert proposal.architecture == best


def test_full_trainings_wait_for_little_ones_that_are_underway() -> None:
    strategy = around()
    for id in range(3):
        step(strategy, id, -0.5)
    last = strategy.ask([], np.random.default_rng(3))
    assert last is not None
    assert strategy.ask([Trial(3, "search", last)], np.random.default_rng(4)) is None
    strategy.tell(judged(3, last, -0.6), np.random.default_rng(3))
    full = strategy.ask([], np.random.default_rng(4))
    assert full is not None
    assert {} == full.fidelity


def test_what_is_being_continued_is_not_continued_again() -> None:
    strategy = around()
    for id in range(4):
        step(strategy, id, -0.5 + id / 100)
    pending: list[Trial] = []
    for id in range(4, 7):
        proposal = strategy.ask(pending, np.random.default_rng(id))
        assert proposal is not None
        pending.append(Trial(id, "search", proposal))
    assert [False, False, True] == ["epochs" in t.proposal.fidelity for t in pending]
    assert pending[0].proposal.warm_start != pending[1].proposal.warm_start


def test_what_failed_or_violates_a_limit_is_not_continued_while_others_are_left() -> None:
    strategy = around()
    for id in range(4):
        proposal = strategy.ask([], np.random.default_rng(id))
        assert proposal is not None
        trial = judged(id, proposal, -0.5 - id / 10)
        if id == 3:
            trial = replace(trial, violation=0.5)
        if id == 2:
            trial = replace(trial, outcome=Outcome(error="diverged"), losses=(float("inf"),))
        strategy.tell(trial, np.random.default_rng(id))
    assert {0, 1} == {step(strategy, id, -0.5).proposal.warm_start for id in (4, 5)}


def test_where_nothing_new_is_left_the_rest_is_trained_in_full() -> None:
    space = Space((Choice("layer", ("conv", "pool", "skip")),))
    strategy = Screening(space, lowest=1, full=27)
    told = [step(strategy, id, -0.5 + id / 100) for id in range(6)]
    assert {0, 1, 2} == {t.proposal.warm_start for t in told[3:]}
    assert strategy.ask([], np.random.default_rng(6)) is None


@pytest.mark.parametrize(("lowest", "full"), [(0, 9), (9, 9), (1, float("inf"))])
def test_amounts_that_are_not_two_are_refused(lowest: float, full: float) -> None:
    with pytest.raises(ValueError, match="below full="):
        Screening(TABLE.space, lowest=lowest, full=full)


def test_a_round_without_trainings_is_refused() -> None:
    with pytest.raises(ValueError, match="first=0 must be 1 or more"):
        Screening(TABLE.space, first=0)
