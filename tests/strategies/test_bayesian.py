from dataclasses import replace

import numpy as np
import pytest

from morphogen.estimators.toy import ToyTable, toy_space
from morphogen.space import Architecture, Choice, Cost, Limit, Space
from morphogen.strategies.bayesian import Bayesian
from morphogen.strategies.random_search import RandomSearch
from morphogen.testing.strategy import run
from morphogen.trial import Outcome, Proposal, Trial

CELL = Space(tuple(Choice(f"{v}<-{u}", ("none", "skip_connect", "conv")) for v in range(1, 4) for u in range(v)))


def told(strategy: Bayesian, architecture: Architecture, loss: float, violation: float = 0.0) -> None:
    id = len(strategy.told.trials)
    outcome = Outcome({"loss": loss}) if np.isfinite(loss) else Outcome(error="diverged")
    strategy.tell(Trial(id, "search", Proposal(architecture), outcome, (loss,), violation), np.random.default_rng(id))


def taught(strategy: Bayesian, n: int) -> Bayesian:
    rng = np.random.default_rng(0)
    for _ in range(n):
        a = strategy.space.sample(rng)
        told(strategy, a, float(sum(a.code) % 7))
    return strategy


def test_it_beats_random_search_on_the_toy_table() -> None:
    table = ToyTable()
    ours, random = (
        [min(t.loss for t in run(make(table.space), table, 40, slots=1, seed=seed).told) for seed in range(3)]
        for make in (Bayesian, RandomSearch)
    )
    assert all(a < b for a, b in zip(ours, random, strict=True))


def test_it_finds_the_optimum_of_a_small_cell_space_early() -> None:
    def loss(a: Architecture) -> float:
        worth = {"none": 0.0, "skip_connect": 0.4, "conv": 1.0}
        return -sum((1 + 0.3 * i) * worth[str(a[c.name])] for i, c in enumerate(CELL)) + 2.0 * (a["3<-0"] == "conv")

    best = min(map(loss, CELL.enumerate()))
    strategy = Bayesian(CELL)
    for id in range(40):
        proposal = strategy.ask([], np.random.default_rng(id))
        assert proposal is not None and proposal.architecture is not None
        told(strategy, proposal.architecture, loss(proposal.architecture))
    assert best == min(t.loss for t in strategy.told.trials)


def test_a_cache_of_what_was_told_changes_no_proposal() -> None:
    warm = Bayesian(toy_space())
    rng = np.random.default_rng(0)
    for n in range(30):
        told(warm, toy_space().sample(rng), float(rng.random()))
        warm.ask([], np.random.default_rng(n))
    cold = Bayesian(toy_space())
    for t in warm.told.trials:
        cold.tell(t, rng)
    assert cold.ask([], np.random.default_rng(9)) == warm.ask([], np.random.default_rng(9))


def test_pending_trials_are_neither_repeated_nor_crowded() -> None:
    strategy = taught(Bayesian(CELL), 20)
    pending: list[Trial] = []
    for id in range(100, 108):
        proposal = strategy.ask(pending, np.random.default_rng(0))
        assert proposal is not None
        pending.append(Trial(id, "search", proposal))
    assert 8 == len({t.architecture for t in pending})


def test_a_space_that_is_used_up_ends() -> None:
    space = Space((Choice("a", ("x", "y", "z")), Choice("b", ("x", "y", "z"))))
    strategy = Bayesian(space)
    asked = set()
    for id in range(9):
        proposal = strategy.ask([], np.random.default_rng(id))
        assert proposal is not None and proposal.architecture is not None
        asked.add(proposal.architecture)
        told(strategy, proposal.architecture, float(id))
    assert 9 == len(asked)
    assert strategy.ask([], np.random.default_rng(9)) is None


def test_limits_of_the_space_are_kept() -> None:
    choices = tuple(Choice(f"{i}/width", ("8", "16", "32", "64"), ordered=True) for i in range(8))
    cost = Cost("width", {((c.name, o),): float(o) for c in choices for o in c.options})
    space = Space(choices, limits=(Limit(cost, 160.0),))
    strategy = Bayesian(space)
    for id in range(14):
        proposal = strategy.ask([], np.random.default_rng(id))
        assert proposal is not None and proposal.architecture is not None
        assert cost(proposal.architecture.picks) <= 160.0
        told(strategy, proposal.architecture, -cost(proposal.architecture.picks))


def test_violations_steer_it_to_what_is_within_the_measured_limits() -> None:
    space = Space(tuple(Choice(f"c{i}", ("a", "b")) for i in range(10)))
    strategy = Bayesian(space)
    for id in range(40):
        proposal = strategy.ask([], np.random.default_rng(id))
        assert proposal is not None and proposal.architecture is not None
        b = sum(o == "b" for o in proposal.architecture.values())
        told(
            strategy, proposal.architecture, -float(b), violation=max(0.0, (b - 4) / 4)
        )  # the more b the better, up to 4
    late = strategy.told.trials[25:]
    assert -4.0 == min(t.loss for t in strategy.told.trials if t.violation == 0)
    assert sum(t.violation == 0 for t in late) > len(late) / 3


def test_supernets_are_passed_over() -> None:
    strategy = Bayesian(CELL)
    strategy.tell(Trial(0, "search", Proposal(None), Outcome({"loss": 1.0}), (1.0,)), np.random.default_rng(0))
    assert [] == strategy.told.trials


def test_trials_of_a_lower_fidelity_serve_until_there_are_enough_full_ones() -> None:
    strategy = taught(Bayesian(CELL), 12)
    low = Bayesian(CELL)
    for t in strategy.told.trials:
        low.tell(replace(t, proposal=Proposal(t.architecture, {"epochs": 3})), np.random.default_rng(0))
    assert strategy.ask([], np.random.default_rng(0)) == low.ask([], np.random.default_rng(0))


def test_numbers_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="startup=1"):
        Bayesian(CELL, startup=1)


def test_deviations_count_more_every_other_time_while_nothing_better_is_found() -> None:
    strategy = Bayesian(CELL, patience=10)
    improving, stale = -np.arange(20.0), np.array([-1.0, *[0.0] * 19])
    assert [1.0, 1.0] == [strategy._wider(improving, waiting) for waiting in (0, 1)]
    assert sorted(strategy._wider(stale, waiting) for waiting in (0, 1)) == [1.0, pytest.approx(2.9)]
    assert 3.0 == max(strategy._wider(np.array([-1.0, *[0.0] * 99]), waiting) for waiting in (0, 1))
