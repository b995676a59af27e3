from dataclasses import replace

import numpy as np
import pytest

from morphogen.pareto import hypervolume
from morphogen.space import Architecture, Choice, Cost, Limit, Space
from morphogen.strategies.acquisition import log_expected_improvement
from morphogen.strategies.ehvi import Ehvi, log_hypervolume_improvement
from morphogen.strategies.random_search import RandomSearch
from morphogen.trial import Outcome, Proposal, Trial
from strategies.asking import searched

CELL = Space(tuple(Choice(f"{v}<-{u}", ("none", "skip_connect", "conv")) for v in range(1, 4) for u in range(v)))


def accuracy_and_cost(a: Architecture) -> tuple[float, float]:
    """More convolutions are better and dearer; where they are matters for one objective only."""
    worth = {"none": 0.0, "skip_connect": 0.4, "conv": 1.0}
    gain = sum((1 + 0.3 * i) * worth[str(a[c.name])] for i, c in enumerate(CELL))
    return -gain + 2.0 * (a["3<-0"] == "conv"), float(sum(a[c.name] == "conv" for c in CELL))


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_the_improvement_is_the_mean_over_draws_of_what_they_add(objectives: int) -> None:
    rng = np.random.default_rng(objectives)
    front, reference = rng.normal(size=(5, objectives)), np.full(objectives, 1.5)
    mean, deviation = 0.7 * rng.normal(size=(3, objectives)) - 0.5, 0.2 + 0.6 * rng.random((3, objectives))
    exact = np.exp(log_hypervolume_improvement(mean, deviation, front, reference))
    before = hypervolume(front, reference)
    for i in range(3):
        drawn = rng.normal(mean[i], deviation[i], size=(3000, objectives))
        drawn = np.where(drawn > 0, np.expm1(drawn), drawn)  # losses are flattened before they are modeled
        added = np.array([hypervolume(np.vstack([front, row]), reference) - before for row in drawn])
        assert abs(exact[i] - added.mean()) < 4.5 * added.std() / len(added) ** 0.5


def test_with_one_objective_it_is_the_expected_improvement_on_the_best() -> None:
    mean, deviation = np.array([-1.0, -2.0, -0.5, -1.2]), np.array([0.5, 0.1, 1.0, 0.01])
    front = np.array([[-0.3], [-1.1]])
    found = log_hypervolume_improvement(mean[:, None], deviation[:, None], front, np.array([-0.1]))
    np.testing.assert_allclose(log_expected_improvement(mean, deviation, -1.1), found, rtol=1e-9)


def test_without_a_front_it_is_the_expected_volume_to_the_reference() -> None:
    sure = np.full((1, 2), 1e-9)
    found = np.exp(log_hypervolume_improvement(np.array([[-1.0, -2.0]]), sure, np.zeros((0, 2)), np.array([0.0, -0.5])))
    assert [1.0 * 1.5] == pytest.approx(found.tolist())


def test_members_that_others_dominate_change_nothing() -> None:
    rng = np.random.default_rng(0)
    mean, deviation, reference = rng.normal(size=(20, 2)), np.full((20, 2), 0.3), np.array([1.0, 1.0])
    front = np.array([[-1.0, 0.5], [0.0, -0.5]])
    more = np.vstack([front, [[0.5, 0.6], [0.0, -0.5], [3.0, -2.0]]])
    first, second = (log_hypervolume_improvement(mean, deviation, f, reference) for f in (front, more))
    np.testing.assert_array_equal(first, second)


def test_far_from_the_front_it_still_ranks() -> None:
    front, reference = np.array([[-1.0, -1.0]]), np.array([0.0, 0.0])
    mean = np.array([[30.0, 30.0], [20.0, 30.0], [20.0, 20.0], [10.0, 20.0]])
    found = log_hypervolume_improvement(mean, np.ones((4, 2)), front, reference)
    assert np.isfinite(found).all()
    assert [0, 1, 2, 3] == np.argsort(found).tolist()


def test_it_finds_more_of_the_trade_off_than_random_search() -> None:
    reference = (3.0, 6.1)
    everything = hypervolume([accuracy_and_cost(a) for a in CELL.enumerate()], reference)
    ours, random = (
        [hypervolume([t.losses for t in searched(make(CELL), accuracy_and_cost, 40, s)], reference) for s in range(2)]
        for make in (Ehvi, RandomSearch)
    )
    assert min(ours) > max(random)
    assert min(ours) > 0.97 * everything


def test_three_objectives_are_searched_in_a_space_too_large_to_enumerate() -> None:
    space = Space(tuple(Choice(f"{i}/width", ("8", "16", "32", "64", "128"), ordered=True) for i in range(8)))

    def losses(a: Architecture) -> tuple[float, ...]:
        widths = [float(str(a[c.name])) for c in space]
        return -float(np.log2(widths).sum()), sum(widths), max(widths) - min(widths)

    told = searched(Ehvi(space, startup=6), losses, 14)
    assert 14 == len({t.architecture for t in told})


def test_failures_violations_and_missing_objectives_do_not_stop_it() -> None:
    strategy = Ehvi(CELL, startup=4)
    for id in range(16):
        proposal = strategy.ask([], np.random.default_rng(id))
        assert proposal is not None and proposal.architecture is not None
        trial = Trial(id, "search", proposal, Outcome(), accuracy_and_cost(proposal.architecture), violation=id % 2)
        if id % 3 == 0:
            trial = replace(trial, outcome=Outcome(error="diverged"), losses=(float("inf"),))
        strategy.tell(trial, np.random.default_rng(id))
    assert strategy.ask([], np.random.default_rng(0)) is not None


def test_violations_steer_it_to_what_is_within_the_measured_limits() -> None:
    strategy = Ehvi(CELL)
    for id in range(32):
        proposal = strategy.ask([], np.random.default_rng(id))
        assert proposal is not None and proposal.architecture is not None
        losses = accuracy_and_cost(proposal.architecture)
        trial = Trial(id, "search", proposal, Outcome(), losses, violation=max(0.0, losses[1] - 2) / 2)
        strategy.tell(trial, np.random.default_rng(id))
    assert sum(t.violation == 0 for t in strategy.told.trials[12:]) > 10


def test_pending_trials_are_neither_repeated_nor_crowded() -> None:
    strategy = Ehvi(CELL)
    searched(strategy, accuracy_and_cost, 20)
    pending: list[Trial] = []
    for id in range(100, 106):
        proposal = strategy.ask(pending, np.random.default_rng(0))
        assert proposal is not None
        pending.append(Trial(id, "search", proposal))
    assert 6 == len({t.architecture for t in pending})
    assert len({accuracy_and_cost(t.architecture) for t in pending if t.architecture is not None}) > 3


def test_a_cache_of_what_was_told_changes_no_proposal() -> None:
    warm = Ehvi(CELL, startup=4)
    told = searched(warm, accuracy_and_cost, 21)
    cold = Ehvi(CELL, startup=4)
    for trial in told:
        cold.tell(trial, np.random.default_rng(0))
    assert cold.ask([], np.random.default_rng(9)) == warm.ask([], np.random.default_rng(9))


def test_limits_of_the_space_are_kept_and_a_space_that_is_used_up_ends() -> None:
    choices = tuple(Choice(f"{i}/width", ("1", "2", "3"), ordered=True) for i in range(3))
    cost = Cost("width", {((c.name, o),): float(o) for c in choices for o in c.options})
    space = Space(choices, limits=(Limit(cost, 6.0),))
    told = searched(Ehvi(space, startup=3), lambda a: (-cost(a.picks), cost(a.picks) ** 2), 30)
    architectures = [t.architecture for t in told if t.architecture is not None]
    assert len(list(space.enumerate())) == len(set(architectures)) == len(told)


def test_supernets_are_passed_over() -> None:
    strategy = Ehvi(CELL)
    strategy.tell(Trial(0, "search", Proposal(None), Outcome(), (1.0, 2.0)), np.random.default_rng(0))
    assert [] == strategy.told.trials


@pytest.mark.parametrize("wrong", [{"startup": 1}, {"fitted": 1}, {"points": 2}, {"beyond": 0.0}])
def test_numbers_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Ehvi(CELL, **wrong)  # type: ignore[arg-type]
