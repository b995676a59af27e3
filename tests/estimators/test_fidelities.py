"""The fidelity axes of a training, on networks of DARTS."""

from pathlib import Path

import numpy as np
import pytest

from morphogen.estimators import Training
from morphogen.estimators.fidelities import Amounts, full_amounts
from morphogen.protocols import Context
from morphogen.spaces import space as find_space
from morphogen.spaces.skeleton import Skeleton
from morphogen.training.data import Data
from morphogen.training.recipe import Recipe
from morphogen.trial import Proposal

SPACE = find_space("darts")
RNG = np.random.default_rng(0)
DATA = Data.from_arrays(RNG.integers(0, 256, (60, 12, 12)), np.arange(60) % 3, name="noise")
JUDGE = Training(
    SPACE, DATA, Recipe(epochs=2, batch_size=16, warmup=2.0), Skeleton(channels=4, cells=5, stem_multiplier=1)
)
ARCHITECTURE = SPACE.sample(np.random.default_rng(1))


def test_every_axis_has_its_full_amount() -> None:
    assert {"epochs": 2, "images": 36, "image_size": 12, "channels": 4, "cells": 5} == JUDGE.full
    assert {"epochs": 1, "images": 36, "image_size": 12} == full_amounts(1, DATA, None)


@pytest.mark.parametrize("fidelity", [{"channels": 2}, {"cells": 3}, {"image_size": 8}, {"images": 18}])
def test_a_lower_fidelity_costs_less_trains_and_tells_the_size_of_the_full_network(fidelity: dict[str, int]) -> None:
    full = Proposal(ARCHITECTURE)
    less = Proposal(ARCHITECTURE, {"epochs": 1, **fidelity})
    assert JUDGE.cost(less) < JUDGE.cost(full) / 2
    low, high = JUDGE(less, Context(seed=0)), JUDGE(full, Context(seed=0))
    assert low.error is None
    assert {k: high.metrics[k] for k in ("params", "macs")} == {k: low.metrics[k] for k in ("params", "macs")}


def test_more_cells_start_from_the_weights_that_fit_with_a_warm_up(tmp_path: Path) -> None:
    context = Context(seed=0, folder=tmp_path / "0")
    JUDGE(Proposal(ARCHITECTURE, {"epochs": 2, "cells": 3}), context)
    high = JUDGE(Proposal(ARCHITECTURE, warm_start=0), Context(seed=0, warm_start=tmp_path / "0"))
    anew = JUDGE(Proposal(ARCHITECTURE), Context(seed=0))
    assert [1.0, 2.0] == [step for step, _ in high.curves["loss"]]
    assert anew.curves["train_loss"] != high.curves["train_loss"]
    assert anew.curves["lr"] == high.curves["lr"]


def test_weights_of_a_smaller_network_are_not_announced_as_those_of_the_full_one(tmp_path: Path) -> None:
    JUDGE(Proposal(ARCHITECTURE, {"channels": 2}), Context(seed=0, folder=tmp_path))
    assert not (tmp_path / "weights.safetensors").exists()


def test_the_width_of_images_follows_their_height() -> None:
    wide = Data.from_arrays(RNG.integers(0, 256, (20, 1, 8, 16)), np.arange(20) % 2, name="wide")
    asked = Amounts.of({"image_size": 4}, full_amounts(1, wide, Skeleton()), wide, Skeleton())
    assert (4, 8) == asked.image_size
    assert (1, 4, 8) == asked.skeleton.image
