import numpy as np
import pytest

from morphogen.estimators.toy import ToyTable, toy_space
from morphogen.strategies import Genetic, RandomSearch
from morphogen.testing.strategy import run
from morphogen.trial import Outcome, Proposal, Trial


def taught(strategy: Genetic, count: int) -> None:
    for id in range(count):
        proposal = Proposal(strategy.space.sample(np.random.default_rng(id)))
        strategy.tell(Trial(id, "search", proposal, Outcome({"x": id}), (float(id % 7),)), np.random.default_rng(id))


def test_the_best_of_all_that_was_told_survive() -> None:
    strategy = Genetic(toy_space(), population_size=5, tournament_size=2)
    taught(strategy, 30)
    assert [0, 7, 14, 21, 28] == [trial.id for *_, trial in strategy.population]


def test_a_child_has_only_decisions_of_its_parents_where_nothing_mutates() -> None:
    strategy = Genetic(toy_space(), population_size=10, tournament_size=2, crossover_rate=1.0, mutation_rate=0.0)
    taught(strategy, 30)
    parents = {trial.id: trial.architecture for *_, trial in strategy.population}
    crossed = 0
    for seed in range(40):
        proposal = strategy.ask([], np.random.default_rng(seed))
        assert proposal is not None
        assert proposal.architecture is not None
        origins = [parents[id] for id in proposal.origin["parents"]]
        strange = [
            name
            for name, picked in proposal.architecture.picks.items()
            if all(a.picks.get(name) != picked for a in origins)
        ]
        changed = len(strange) + (len(origins) == 1)
        crossed += changed == 0
    assert crossed > 20


def test_limits_decide_before_losses() -> None:
    strategy = Genetic(toy_space(), population_size=1, tournament_size=1)
    for id, (loss, violation) in enumerate([(0.0, 0.5), (9.0, 0.0)]):
        proposal = Proposal(strategy.space.sample(np.random.default_rng(id)))
        strategy.tell(Trial(id, "search", proposal, Outcome(), (loss,), violation), np.random.default_rng(id))
    assert 1 == strategy.population[0][-1].id


def test_it_beats_random_search_on_the_toy_table() -> None:
    table = ToyTable()

    def mean_best(make: type) -> float:
        return float(
            np.mean([min(t.loss for t in run(make(table.space), table, 100, slots=1, seed=s).told) for s in range(6)])
        )

    assert mean_best(Genetic) < mean_best(RandomSearch)


@pytest.mark.parametrize("wrong", [{"tournament_size": 0}, {"tournament_size": 30}, {"mutation_rate": 1.5}])
def test_what_cannot_work_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Genetic(toy_space(), **wrong)
