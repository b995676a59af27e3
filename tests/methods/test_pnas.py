"""Progressive search, as a method."""

import pytest

from morphogen.config import parse
from morphogen.methods.pnas import pnas
from morphogen.spaces.pnas import PNAS
from morphogen.strategies import Progressive
from setting_of import setting_of, strategy_of

SMALL = {"skeleton": {"channels": 8, "cells": 3}}


@pytest.mark.slow
def test_it_searches_retrains_tests_and_exports(whole_search, phases_of):
    result = whole_search("pnas", **SMALL)
    assert "pnas" == result.best.space.name
    assert ["search", "random", "baselines", "retrain", "test"] == phases_of(result)
    assert result.exported


def test_the_space_and_the_numbers_are_those_of_the_paper():
    assert "pnas" == parse({"strategy": "pnas"}, "test").space
    strategy = strategy_of(pnas(setting_of(PNAS, trials=5000)))
    assert isinstance(strategy, Progressive)
    assert 256 == strategy.beam
    assert 136 == len(strategy.queue)
    assert 5 == len(strategy.levels)


def test_with_all_of_the_papers_trials_the_beam_is_the_papers():
    assert 256 == strategy_of(pnas(setting_of(PNAS, trials=1160))).beam


def test_few_trials_reach_five_blocks():
    assert 12 == strategy_of(pnas(setting_of(PNAS, trials=64))).beam
    assert 12 == strategy_of(pnas(setting_of(PNAS, trials=None))).beam
    assert 1 == strategy_of(pnas(setting_of(PNAS, trials=3))).beam
