"""Recipes: validated once, with every optimizer."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from morphogen.training.data import SOURCES, Data
from morphogen.training.recipe import FALLBACK, OPTIMIZERS, RECIPES, Recipe, recipe_for


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"optimizer": "sdg"}, "no optimizer 'sdg', did you mean 'sgd'"),
        ({"epochs": 0}, "epochs=0 in a recipe: it must be above 0"),
        ({"lr": float("nan")}, "lr=nan"),
        ({"weight_decay": -1e-4}, "weight_decay=-0.0001"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
        ({"clip": 0.0}, "clip=0.0"),
    ],
)
def test_impossible_numbers_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe(**wrong)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_takes_the_recipes_numbers(name: str) -> None:
    layer = nn.Linear(3, 2)
    optimizer = Recipe(optimizer=name, lr=0.02, weight_decay=1e-3).make_optimizer(layer.parameters())
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]) == (0.02, 1e-3)
    before = layer.weight.detach().clone()
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert not torch.equal(before, layer.weight)


def test_sgd_without_momentum_does_not_look_ahead() -> None:
    assert not Recipe(momentum=0.0).make_optimizer(nn.Linear(1, 1).parameters()).param_groups[0]["nesterov"]


def test_every_known_data_set_has_a_recipe_and_any_other_gets_one() -> None:
    assert set(SOURCES) == set(RECIPES)
    made = Data.from_arrays(np.zeros((20, 4, 4), np.uint8), np.arange(20) % 2)
    assert FALLBACK is recipe_for(made)
    short = recipe_for(made, epochs=2)
    assert (short.epochs, short.warmup) == (2, 0.5)


def test_recipes_pickle_and_compare() -> None:
    for recipe in RECIPES.values():
        assert recipe == pickle.loads(pickle.dumps(recipe))
