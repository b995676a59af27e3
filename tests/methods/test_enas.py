"""ENAS, as a method, on its two spaces."""

import pytest

from morphogen.config import parse
from morphogen.methods.enas import enas, restarts
from morphogen.oneshot.enas_macro import MacroPolicy
from morphogen.oneshot.enas_micro import MicroPolicy
from morphogen.spaces.enas_macro import enas_macro
from morphogen.spaces.enas_micro import enas_micro
from setting_of import DATA, setting_of

PHASES = ["supernet", "search", "random", "baselines", "retrain", "test"]
QUICK = {"strategy_options": {"epochs": 1, "steps": 1, "aggregate": 2, "candidates": 2}}


@pytest.mark.slow
def test_it_searches_cells_retrains_tests_and_exports(whole_search, phases_of):
    result = whole_search("enas", skeleton={"channels": 8, "cells": 3, "stem_multiplier": 1}, **QUICK)
    assert "enas-micro" == result.best.space.name
    assert PHASES == phases_of(result)
    assert result.exported


@pytest.mark.slow
def test_it_searches_layers_retrains_tests_and_exports(whole_search, phases_of):
    result = whole_search("enas", "enas-macro", skeleton={"channels": 8}, **QUICK)
    assert "enas-macro" == result.best.space.name
    assert 12 == sum(name.endswith("/op") for name in result.best.picks)
    assert PHASES == phases_of(result)
    assert result.exported


def supernet(setting, **options):
    """What trains the supernet, and its distribution."""
    _, estimator = enas(setting, **options)[0].start([])
    return estimator, estimator.make(setting.space)


def test_cells_are_what_it_searches_where_nobody_says_what():
    assert "enas-micro" == parse({"strategy": "enas"}, "test").space


@pytest.mark.parametrize(
    ("space", "policy", "decay"), [(enas_macro(2), MacroPolicy, 5e-4), (enas_micro(1), MicroPolicy, 2e-4)]
)
def test_each_space_has_the_numbers_of_its_script(space, policy, decay):
    estimator, controller = supernet(setting_of(space))
    recipe = estimator.regime.recipe
    assert type(controller.policy) is policy
    assert decay == recipe.weight_decay
    assert recipe.nesterov
    assert 0.05 == recipe.lr
    assert 0.1 == estimator.regime.share
    assert controller.baseline is None


def test_the_controller_sees_as_many_samples_for_a_step_of_the_weights_as_published():
    _, controller = supernet(setting_of(enas_macro(2)), batch_size=1, aggregate=1)
    assert round(0.9 * len(DATA.train)) * 1000 / 352 == pytest.approx(controller.steps, abs=1)


def test_short_searches_have_a_higher_rate():
    _, controller = supernet(setting_of(enas_macro(2)), epochs=1)
    assert 0.01 == controller._optimizer.param_groups[0]["lr"]
    _, controller = supernet(setting_of(enas_macro(2)), epochs=1, arch_lr=0.002)
    assert 0.002 == controller._optimizer.param_groups[0]["lr"]


def test_a_controller_that_starts_later_has_fewer_steps_for_the_same_way():
    half = 310 * 50 // 40  # epochs of 40 steps with which the published rate doubles
    estimator, controller = supernet(setting_of(enas_macro(2)), epochs=2 * half, steps=40, start=0.75)
    assert 0.75 == estimator.regime.start
    assert controller._optimizer.param_groups[0]["lr"] == pytest.approx(0.002, rel=0.01)


@pytest.mark.parametrize(("epochs", "first"), [(310, 10), (150, 10), (30, 10), (90, 13), (7, 7), (1, 1)])
def test_the_cycles_of_the_rate_end_with_the_training(epochs, first):
    schedule = restarts(epochs, 0.001)
    assert first == schedule.first
    assert schedule(0.05, 0, epochs) == pytest.approx(0.05)
    assert schedule(0.05, epochs - 1e-6, epochs) < 0.003
