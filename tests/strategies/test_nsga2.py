import numpy as np
import pytest

from morphogen.estimators.toy import ToyTable, toy_space
from morphogen.objective import dominates
from morphogen.pareto import hypervolume
from morphogen.protocols import Strategy
from morphogen.space import Space
from morphogen.strategies import Nsga2, RandomSearch
from morphogen.trial import FULL, Outcome, Proposal, Trial

Judged = tuple[tuple[float, ...], float]


def taught(strategy: Nsga2, judged: list[Judged]) -> None:
    for id, (losses, violation) in enumerate(judged):
        proposal = Proposal(strategy.space.sample(np.random.default_rng(id)))
        outcome = Outcome(error="diverged") if np.inf in losses else Outcome()
        strategy.tell(Trial(id, "search", proposal, outcome, losses, violation), np.random.default_rng(id))


def test_survivors_are_the_best_fronts_then_the_least_crowded() -> None:
    strategy = Nsga2(toy_space(), population_size=4)
    taught(strategy, [((0, 10), 0), ((10, 0), 0), ((1, 9), 0), ((5, 5), 0), ((1.1, 8.9), 0), ((11, 11), 0)])
    assert [0, 1, 3, 4] == [t.id for t in strategy.population]


def test_what_meets_the_limits_is_before_what_does_not_and_failures_are_last() -> None:
    strategy = Nsga2(toy_space(), population_size=4)
    taught(strategy, [((np.inf, np.inf), 0), ((0, 0), 0.5), ((9, 9), 0), ((1, 1), 0.1)])
    assert [2, 3, 1, 0] == [t.id for t in strategy.population]


def test_equal_losses_survive_once_while_there_are_others() -> None:
    strategy = Nsga2(toy_space(), population_size=3)
    taught(strategy, [((0, 1), 0), ((0, 1), 0), ((1, 0), 0), ((2, 2), 0)])
    assert {0, 2, 3} == {t.id for t in strategy.population}


def test_with_one_objective_the_best_survive() -> None:
    strategy = Nsga2(toy_space(), population_size=3)
    taught(strategy, [((float(x),), 0) for x in (5, 3, 4, 1, 2)])
    assert [3, 4, 1] == [t.id for t in strategy.population]


def test_generations_are_selected_as_a_whole() -> None:
    strategy = Nsga2(toy_space(), population_size=3, offspring=3)
    taught(strategy, [((float(x),), 0) for x in (5, 3, 4, 1, 2)])
    assert [1, 2, 0] == [t.id for t in strategy.population]
    assert [3, 4] == [t.id for t in strategy.children]


def test_no_survivor_is_dominated_by_one_that_was_dropped() -> None:
    losses = np.random.default_rng(0).random((80, 3))
    strategy = Nsga2(toy_space(), population_size=15)
    taught(strategy, [(tuple(row.tolist()), 0.0) for row in losses])
    kept = {t.id for t in strategy.population}
    assert not any(dominates(losses[i], losses[k]) for i in range(80) if i not in kept for k in kept)


def test_it_beats_random_search_on_accuracy_and_macs() -> None:
    table = ToyTable()

    def volume(strategy: Strategy, seed: int) -> float:
        found = []
        for id in range(120):
            proposal = strategy.ask([], np.random.default_rng((seed, id, 0)))
            assert proposal is not None
            assert proposal.architecture is not None
            entry = table.entry(proposal.architecture, FULL, seed=id)
            losses = (
                (-entry.metrics["accuracy"], entry.metrics["macs"] / 1e5) if entry.error is None else (np.inf, np.inf)
            )
            found.append(losses)
            strategy.tell(Trial(id, "search", proposal, Outcome(error=entry.error), losses), np.random.default_rng(id))
        return hypervolume(found, (0.0, 1.0))

    assert mean_of(volume, Nsga2, table.space) > mean_of(volume, RandomSearch, table.space)


def mean_of(volume, make: type, space: Space) -> float:  # type: ignore[no-untyped-def]
    return float(np.mean([volume(make(space), seed) for seed in range(4)]))


@pytest.mark.parametrize("wrong", [{"population_size": 1}, {"offspring": 0}, {"crossover_rate": -0.1}])
def test_what_cannot_work_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Nsga2(toy_space(), **wrong)
