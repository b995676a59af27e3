import pytest

from morphogen.estimators.toy import ToyTable, toy_space
from morphogen.strategies.bananas import Bananas
from morphogen.strategies.random_search import RandomSearch
from morphogen.testing.strategy import run


def test_it_beats_random_search_on_the_toy_table() -> None:
    table = ToyTable()
    ours, random = (
        [min(t.loss for t in run(make(table.space), table, 60, slots=1, seed=seed).told) for seed in range(3)]
        for make in (Bananas, RandomSearch)
    )
    assert sum(ours) < sum(random)


def test_no_network_is_asked_twice() -> None:
    told = run(Bananas(toy_space()), ToyTable(), 60, slots=4).told
    assert 60 == len({t.architecture for t in told})


def test_numbers_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        Bananas(toy_space(), every=0)
