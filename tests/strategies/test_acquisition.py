from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from morphogen.estimators.toy import toy_space
from morphogen.predictors.layout import States, layout
from morphogen.space import Choice, Space
from morphogen.strategies.acquisition import (
    Candidates,
    flattened,
    fullest,
    log_expected_improvement,
    most_promising,
    novel,
    pool,
    representative,
    search,
    squashed,
)
from morphogen.trial import Outcome, Proposal, Trial

SMALL = Space((Choice("a", ("x", "y")), Choice("b", ("x", "y"))))


def trial(id: int, loss: float, violation: float = 0.0, **fidelity: float) -> Trial:
    return Trial(id, "search", Proposal(None, fidelity), Outcome(), (loss,), violation)


def test_squashing_keeps_the_order_and_flattens_the_worse_half() -> None:
    losses = [0.1, 0.2, 0.3, 0.4, 0.5, 50.0]
    out = squashed([trial(i, x) for i, x in enumerate(losses)])
    assert (np.diff(out) > 0).all()
    assert out[5] - out[4] < 4 * (out[3] - out[0])
    assert out.mean() == pytest.approx(0)
    assert out.std() == pytest.approx(1)


def test_what_violates_is_behind_what_does_not_and_failures_behind_all() -> None:
    out = squashed(
        [
            trial(0, 0.9),
            trial(1, 0.5),
            trial(2, 0.1, violation=0.2),
            trial(3, 0.1, violation=2.0),
            trial(4, np.inf, np.inf),
        ]
    )
    assert [1, 0, 2, 3, 4] == np.argsort(out).tolist()


def test_equal_losses_are_all_zero() -> None:
    assert [0.0, 0.0] == squashed([trial(0, 3.0), trial(1, 3.0)]).tolist()


def test_each_objective_is_flattened_in_its_own_units_and_a_missing_one_counts_as_failed() -> None:
    trials = [replace(trial(i, 0.0), losses=(float(i), 100.0 * i)) for i in range(6)]
    first, second = (flattened([*trials, trial(6, 1.0)], objective) for objective in (0, 1))
    assert second.unit == pytest.approx(100 * flattened(trials).unit)
    assert first.values[:6].tolist() != second.values[:6].tolist()  # the seventh moves the median of the first only
    assert second.values[6] == second.values[:6].max() + 0.5


def test_the_best_and_the_latest_represent_many() -> None:
    losses = np.array([5.0, 1.0, 9.0, 0.0, 8.0, 7.0, 6.0])
    assert [1, 3, 5, 6] == representative(losses, 4).tolist()
    assert 7 == len(representative(losses, 7))


def test_of_a_small_space_the_largest_acquisition_that_is_not_taken_is_found() -> None:
    best = SMALL.architecture({"a": "y", "b": "y"})

    def acquisition(candidates: Candidates) -> np.ndarray:
        assert candidates.which is not None
        return candidates.states.sum(1).astype(float)

    rows, rng = layout(SMALL), np.random.default_rng(0)
    assert best == most_promising(rows, acquisition, [], set(), rng)
    assert best != most_promising(rows, acquisition, [], {SMALL.identity(best)}, rng)
    assert most_promising(rows, acquisition, [], {SMALL.identity(a) for a in SMALL.enumerate()}, rng) is None


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (2.0, 0.5), (-1.0, 0.3), (4.0, 1.0)])
def test_expected_improvement_is_the_integral(mean: float, deviation: float) -> None:
    improvement, _ = quad(
        lambda y: (0.5 - y) * norm.pdf(y, mean, deviation), mean - 40 * deviation, 0.5, points=[mean], limit=200
    )
    found = log_expected_improvement(np.array([mean]), np.array([deviation]), 0.5)
    assert np.exp(found[0]) == pytest.approx(improvement, rel=1e-4)


def test_its_logarithm_still_ranks_far_away() -> None:
    far = log_expected_improvement(np.array([5.9, 6.1, 7.0, 50.0, 60.0]), np.ones(5), 0.0)
    assert np.isfinite(far).all()
    assert (np.diff(far) < 0).all()


def test_the_fullest_fidelity_with_enough_trials_is_used() -> None:
    cheap, full = [trial(i, 1.0, epochs=3) for i in range(6)], [trial(9, 0.5)]
    assert cheap == fullest([*cheap, *full], enough=3)
    assert full == fullest([*cheap, *full], enough=1)
    assert [] == fullest([], enough=3)


def test_the_pool_has_one_architecture_of_each_identity() -> None:
    small = pool(SMALL)
    assert small is not None
    assert 4 == len(set(small.identities)) == len(small.states)
    assert pool(toy_space()) is None


def test_novel_finds_the_last_one_left_and_then_none() -> None:
    every = list(SMALL.enumerate())
    taken = {a.code for a in every[1:]}
    assert every[0] == novel(SMALL, taken, np.random.default_rng(0))
    assert novel(SMALL, {a.code for a in every}, np.random.default_rng(0)) is None


def test_the_search_climbs_to_the_maximum_of_an_acquisition() -> None:
    space, rng = toy_space(), np.random.default_rng(0)
    view = layout(space)
    goal = view.read([space.sample(rng)])[0]

    def acquisition(states: States) -> np.ndarray:
        return -(states != goal).sum(1).astype(float)

    found = search(view, [space.sample(rng) for _ in range(3)], acquisition, rng, rounds=12)
    assert goal.tolist() == found[0].tolist()
