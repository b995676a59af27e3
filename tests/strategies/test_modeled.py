import pickle
from collections.abc import Sequence

import numpy as np
import pytest

from morphogen.predictors.layout import layout
from morphogen.space import Architecture, Choice, Space
from morphogen.strategies.acquisition import squashed
from morphogen.strategies.modeled import Modeled, architectures
from morphogen.trial import Outcome, Proposal, Trial

SPACE = Space(tuple(Choice(f"c{i}", ("a", "b", "c")) for i in range(3)))
EVERYTHING = list(SPACE.enumerate())


def modeled(told: int, objectives: int | None = 1, losses: Sequence[float] = ()) -> Modeled:
    found = Modeled(SPACE, 4, 20, 10, (4, 4, 4), (False, True), objectives, squashed)
    for id, architecture in enumerate(EVERYTHING[:told]):
        found.tell(Trial(id, "search", Proposal(architecture), Outcome(), tuple(losses) or (float(id % 5),)))
    return found


def test_the_model_is_asked_when_there_is_enough_to_model() -> None:
    asked: list[int] = []

    def promising(
        trials: list[Trial], waiting: list[Architecture], taken: set[bytes], rng: np.random.Generator
    ) -> Architecture | None:
        asked.append(len(trials))
        assert len(trials) + len(waiting) == len(taken)
        return EVERYTHING[-1]

    pending = [Trial(99, "search", Proposal(EVERYTHING[20]))]
    found = [modeled(n).ask(pending, promising, np.random.default_rng(0)) for n in (3, 4, 6)]
    assert [4, 6] == asked
    assert [Proposal(EVERYTHING[-1])] * 2 == found[1:]


def test_what_the_model_does_not_find_is_found_at_random_until_nothing_is_left() -> None:
    rng = np.random.default_rng(0)
    assert Proposal(EVERYTHING[26]) == modeled(26).ask([], lambda *_: None, rng)
    assert modeled(27).ask([], lambda *_: None, rng) is None


@pytest.mark.parametrize(("objectives", "losses", "expected"), [(1, (1.0, np.inf), True), (None, (1.0, np.inf), False)])
def test_a_trial_worked_if_the_losses_that_are_modeled_are_finite(
    objectives: int | None, losses: tuple[float, ...], expected: bool
) -> None:
    told = modeled(1, objectives, losses)
    assert expected == told.worked(told.trials[0])


def test_parameters_are_fitted_at_fixed_counts_and_are_not_pickled() -> None:
    thetas = []
    for n in (8, 9, 12):
        told = modeled(n)
        states = layout(SPACE).read(architectures(told.trials, range(n)))
        posterior, _ = told.posterior(told.trials, states, np.zeros(n), [])
        thetas.append(posterior.theta.tolist())
        assert {} == pickle.loads(pickle.dumps(told))._fits
    assert thetas[0] == thetas[1] != thetas[2]


def test_what_is_waited_for_counts_as_if_it_came_out_as_expected() -> None:
    told = modeled(8)
    data, values = told.standardized(told.trials, squashed(told.trials), 20)
    waiting = EVERYTHING[20:22]
    posterior, expected = told.posterior(told.trials, data, values, waiting)
    alone, nothing = told.posterior(told.trials, data, values, [])
    points = alone.kernel.points(layout(SPACE).read(waiting))
    assert (2, 0) == (len(expected), len(nothing))
    np.testing.assert_allclose(alone.mean(points)[0], expected)
    assert (
        posterior.deviation(points, posterior.mean(points)[1]) < alone.deviation(points, alone.mean(points)[1])
    ).all()


@pytest.mark.parametrize("wrong", [{"startup": 1}, {"fitted": 1}, {"points": 2}])
def test_numbers_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Modeled(
            **{"space": SPACE, "startup": 4, "points": 9, "fitted": 9, **wrong},
            every=(1, 1, 1),
            whole=(False,),
            objectives=1,
            losses=squashed,
        )  # type: ignore[arg-type]
