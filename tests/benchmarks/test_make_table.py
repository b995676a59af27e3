"""The program that makes a table of one's own: it goes on where it was, and its table is read."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from morphogen.estimators.tables import load
from morphogen.training.data import Data, data


@pytest.fixture(scope="module")
def program() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "make_table.py"
    spec = importlib.util.spec_from_file_location("make_table", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_table"] = module  # the space names its network by it
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def images() -> Data:
    digits = data("digits")
    few = {"train": digits.train.images[:64], "valid": digits.valid.images[:32]}
    labels = {"train": digits.train.labels[:64], "valid": digits.valid.labels[:32]}
    return Data.from_arrays(few["train"], labels["train"], x_valid=few["valid"], y_valid=labels["valid"], name="few")


def test_a_table_is_made_and_a_broken_off_one_goes_on_to_the_same(
    program: ModuleType, images: Data, tmp_path: Path
) -> None:
    plan = program.Plan(tmp_path, epochs=2, limit=3)
    program.make(plan, images, say=lambda text: None)
    made = dict(np.load(tmp_path / "table.npz"))
    record = tmp_path / "trainings.jsonl"
    lines = record.read_bytes().splitlines(keepends=True)
    assert 6 == len(lines)
    record.write_bytes(b"".join(lines[:4]) + lines[4][:50])  # killed while it wrote
    program.make(plan, images, say=lambda text: None)
    again = dict(np.load(tmp_path / "table.npz"))
    assert made.keys() == again.keys()
    for name in made.keys() - {"seconds"}:
        assert (made[name] == again[name]).all(), name
    table = load(tmp_path)
    architecture = next(table.space.enumerate())
    entry = table.entry(architecture, {}, 0)
    assert {"accuracy", "params", "macs"} == set(entry.metrics)
    assert 2 == len(entry.curves["accuracy"])
    assert table.entry(architecture, {"epochs": 1}, 0).seconds == pytest.approx(entry.seconds / 2)


def test_the_space_has_about_a_thousand_architectures(program: ModuleType) -> None:
    assert 1250 == program.space().size
