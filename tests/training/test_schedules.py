"""Schedules against values of the released code of the papers, computed apart from this project."""

import json
from pathlib import Path

import pytest

from morphogen.training.schedules import (
    Constant,
    Cosine,
    Exponential,
    PerEpoch,
    Restarts,
    Steps,
    darts_drop_path,
    enas_keep,
    scheduled_keep,
    scheduled_keep_by_depth,
    warm_up,
)

VECTORS = json.loads((Path(__file__).parent / "schedule_vectors.json").read_text())


def close(value: float) -> object:
    return pytest.approx(value, rel=1e-9, abs=1e-15)


def test_cosine_is_that_of_the_darts_search() -> None:
    for row in VECTORS["darts_search_lr"]:
        assert close(row["lr"]) == Cosine(floor=0.001)(0.025, row["epoch"], 50)


def test_cosine_is_that_of_the_darts_retraining() -> None:
    for row in VECTORS["darts_train_lr"]:
        assert close(row["lr"]) == Cosine()(0.025, row["epoch"], 600)


def test_exponential_is_that_of_darts_on_imagenet() -> None:
    for row in VECTORS["darts_imagenet_lr"]:
        assert close(row["lr"]) == Exponential(0.97)(0.1, row["epoch"], 250)


def test_restarts_are_those_of_enas() -> None:
    for row in VECTORS["enas_cosine_restarts"]:
        assert close(row["lr_macro_search"]) == Restarts(10, 2, 0.0005)(0.05, row["epoch"], 310)
        assert close(row["lr_paper"]) == Restarts(10, 2, 0.001)(0.05, row["epoch"], 310)


def test_drop_path_of_darts_is_linear_in_epochs() -> None:
    for row in VECTORS["darts_drop_path_prob"]:
        assert close(row["p"]) == darts_drop_path(0.2, row["epoch"], row["epochs"])


def test_scheduled_drop_path_is_that_of_nasnet() -> None:
    for row in VECTORS["scheduled_drop_path_v1_linear_in_time_only"]:
        assert close(row["keep"]) == scheduled_keep(row["step_ratio"], row["final_keep"])
    for row in VECTORS["scheduled_drop_path_v3"]:
        keep = scheduled_keep_by_depth(row["step_ratio"], row["cell"], row["total_cells"], row["final_keep"])
        assert close(row["keep"]) == keep


def test_drop_path_of_enas_is_that_of_its_code() -> None:
    for row in VECTORS["enas_drop_path"]:
        keep = enas_keep(
            row["global_step"], row["num_train_steps"], row["layer_id"], row["num_layers"], row["final_keep"]
        )
        assert close(row["keep"]) == keep


def test_steps_fall_at_shares_of_the_horizon() -> None:
    assert [1.0, 1.0, 0.1, close(0.01)] == [Steps()(1.0, epoch, 40) for epoch in (0, 19.9, 20, 30)]


def test_per_epoch_moves_only_between_epochs() -> None:
    held = PerEpoch(Cosine())
    assert Cosine()(0.1, 3, 10) == held(0.1, 3.9, 10)
    assert Cosine()(0.1, 3, 10) > Cosine()(0.1, 3.9, 10)


def test_constant_is_constant_and_warm_up_is_linear() -> None:
    assert Constant()(0.1, 7, 10) == 0.1
    assert [warm_up(epoch, 2.0) for epoch in (0.5, 1.0, 2.0, 5.0)] == [0.25, 0.5, 1.0, 1.0]
    assert warm_up(0.0, 0.0) == 1.0
