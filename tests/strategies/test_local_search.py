import numpy as np
import pytest

from morphogen.space import Architecture, Choice, Cost, Limit, Space
from morphogen.strategies import LocalSearch
from morphogen.trial import Outcome, Proposal, Trial
from strategies.asking import searched

LETTERS = Space(tuple(Choice(f"c{i}", ("a", "b", "c")) for i in range(4)))


def unordered(architecture: Architecture) -> bytes:
    return "".join(sorted(str(o) for o in architecture.values())).encode()


def distance(a: Architecture, b: Architecture) -> int:
    return sum(a[name] != b[name] for name in a)


def test_it_walks_from_better_to_better_by_single_decisions() -> None:
    trials = searched(LocalSearch(LETTERS, starts=1), lambda a: sum("abc".index(str(o)) for o in a.values()), 40)
    incumbent = trials[0]
    for trial in trials[1:]:
        if "parent" not in trial.proposal.origin:
            break
        assert trial.architecture is not None
        assert incumbent.architecture is not None
        assert incumbent.id == trial.proposal.origin["parent"]
        assert 1 == distance(trial.architecture, incumbent.architecture)
        if trial.loss < incumbent.loss:
            incumbent = trial
    assert 0 == incumbent.loss


def test_it_starts_again_where_no_neighbor_is_better() -> None:
    trials = searched(LocalSearch(LETTERS, starts=1), lambda a: 0.0, 12)
    assert [False, *[True] * 8, False] == ["parent" in t.proposal.origin for t in trials[:10]]
    assert 9 == trials[10].proposal.origin["parent"]


def test_every_architecture_is_asked_for_once_and_then_nothing() -> None:
    trials = searched(LocalSearch(LETTERS), lambda a: float(a["c0"] == "a") - float(a["c1"] == "b"), 200)
    assert 81 == len(trials) == len({t.architecture for t in trials})


def test_isomorphic_architectures_are_asked_for_once() -> None:
    space = Space(LETTERS.choices, canonical=unordered)
    trials = searched(LocalSearch(space), lambda a: 0.0, 200)
    assert 15 == len(trials) == len({unordered(t.architecture) for t in trials if t.architecture is not None})


def test_pending_neighbors_are_not_asked_for_again_and_a_start_follows_them() -> None:
    strategy = LocalSearch(LETTERS, starts=1)
    first = searched(strategy, lambda a: 0.0, 1)[0]
    pending: list[Trial] = []
    for id in range(1, 10):
        proposal = strategy.ask(pending, np.random.default_rng(id))
        assert proposal is not None
        pending.append(Trial(id, "search", proposal))
    assert 9 == len({t.architecture for t in pending})
    assert [*[{"parent": first.id}] * 8, {}] == [t.proposal.origin for t in pending]


def test_a_start_that_was_told_early_waits_until_the_neighbors_are_told() -> None:
    strategy = LocalSearch(LETTERS, starts=1)
    first = searched(strategy, lambda a: 0.0, 1)[0]
    pending: list[Trial] = []
    for id in range(1, 10):
        proposal = strategy.ask(pending, np.random.default_rng(id))
        assert proposal is not None
        pending.append(Trial(id, "search", proposal, Outcome(), (1.0,)))
    start = pending.pop()
    strategy.tell(start, np.random.default_rng(0))
    assert strategy.incumbent == first
    for trial in pending:
        strategy.tell(trial, np.random.default_rng(0))
    assert strategy.incumbent == start


def test_neighbors_stay_within_the_limits() -> None:
    cost = Cost("letters", {((f"c{i}", "c"),): 1.0 for i in range(4)})
    space = Space(LETTERS.choices, limits=(Limit(cost, 1.0),))
    trials = searched(LocalSearch(space), lambda a: -sum(o == "c" for o in a.values()), 200)
    assert 16 + 4 * 8 == len(trials)


def test_the_first_incumbent_is_the_best_start() -> None:
    strategy = LocalSearch(LETTERS, starts=6)
    trials = searched(strategy, lambda a: float(hash(a) % 97), 6)
    assert strategy.incumbent == min(trials, key=lambda t: t.loss)
    assert not any(t.proposal.origin for t in trials)


def test_no_start_is_refused() -> None:
    with pytest.raises(ValueError, match="starts=0"):
        LocalSearch(LETTERS, starts=0)
    assert LocalSearch(LETTERS).ask([], np.random.default_rng(0)) != Proposal(None)
