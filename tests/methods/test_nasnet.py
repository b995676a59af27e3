"""Cells by proximal policy optimization, as a method."""

import pytest

from morphogen.config import parse
from morphogen.methods.nasnet import nasnet
from morphogen.spaces.nasnet import NASNET
from morphogen.strategies import Ppo
from setting_of import setting_of, strategy_of

SMALL = {"skeleton": {"channels": 8, "cells": 3}}


@pytest.mark.slow
def test_it_searches_retrains_tests_and_exports(whole_search, phases_of):
    result = whole_search("nasnet", **SMALL)
    assert "nasnet" == result.best.space.name
    assert ["search", "random", "baselines", "retrain", "test"] == phases_of(result)
    assert result.exported


def test_the_space_and_the_numbers_are_those_of_the_paper():
    assert "nasnet" == parse({"strategy": "nasnet"}, "test").space
    strategy = strategy_of(nasnet(setting_of(NASNET)))
    assert isinstance(strategy, Ppo)
    assert (100, 1, 0.1, 3.5e-4, 20, 1e-5, 0.95) == (
        strategy.hidden,
        strategy.layers,
        strategy.bound,
        strategy.learning_rate,
        strategy.minibatch,
        strategy.entropy,
        strategy.decay,
    )


def test_what_cannot_be_is_refused_before_anything_runs():
    with pytest.raises(ValueError, match="minibatch=0"):
        nasnet(setting_of(NASNET), minibatch=0)
