"""Aging evolution of cells, as a method."""

import pytest

from morphogen.config import parse
from morphogen.methods.amoebanet import amoebanet
from morphogen.spaces.amoebanet import amoebanet as space_of
from morphogen.strategies import Deduplicated, RegularizedEvolution
from setting_of import setting_of, strategy_of

SMALL = {"skeleton": {"channels": 8, "cells": 3}}


@pytest.mark.slow
def test_it_searches_retrains_tests_and_exports(whole_search, phases_of):
    result = whole_search("amoebanet", **SMALL)
    assert "amoebanet" == result.best.space.name
    assert ["search", "random", "baselines", "retrain", "test"] == phases_of(result)
    assert result.exported


def test_the_space_has_eight_operations_that_are_added():
    space = space_of()
    assert "amoebanet" == parse({"strategy": "amoebanet"}, "test").space
    assert 8 == len(space["normal/2/a/op"].options)
    assert "normal/2/combine" not in space
    assert 2 * 5 * 4 == len(space.choices)


@pytest.mark.parametrize(
    ("trials", "population", "tournament"), [(20_000, 100, 25), (400, 100, 25), (64, 16, 4), (None, 16, 4), (4, 2, 1)]
)
def test_the_population_is_the_papers_where_there_are_enough_trials(trials, population, tournament):
    strategy = strategy_of(amoebanet(setting_of(space_of(), trials=trials)))
    assert isinstance(strategy, Deduplicated)
    assert isinstance(strategy.strategy, RegularizedEvolution)
    assert population == strategy.strategy.population_size
    assert tournament == strategy.strategy.tournament_size


def test_what_cannot_be_is_refused_before_anything_runs():
    with pytest.raises(ValueError, match="tournament_size=9"):
        amoebanet(setting_of(space_of()), population_size=4, tournament_size=9)
