"""What the benchmark programs compute, on numbers that are known; they are run by hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from morphogen.pareto import hypervolume as exact_volume
from morphogen.trial import Outcome


def program(name: str) -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look themselves up in it
    spec.loader.exec_module(module)
    return module


def test_a_run_that_never_finds_the_optimum_is_not_found_by_any_query() -> None:
    runs = [{"regrets": [3.0, 1.0, 0.0], "seconds": 0.3}, {"regrets": [2.0] * 300, "seconds": 3.0}]
    row = program("efficiency").row("some", runs, 300)
    assert 0.5 == row["found@150"] == row["found@300"]
    assert (3 + 300) / 2 == row["queries"]
    assert 1.0 == row["regret@20"]


def test_the_hypervolume_of_two_losses_is_that_of_the_package() -> None:
    program_ = program("hypervolume")
    losses = np.random.default_rng(0).random((60, 2)) * 1.3
    assert exact_volume(losses, (1, 1)) == pytest.approx(program_.volume(losses))
    assert 0.0 == program_.volume(np.array([[1.0, 0.0], [2.0, 2.0]]))


def test_what_is_not_installed_for_the_rivals_is_said() -> None:
    reasons = program("hypervolume").missing("/nonexistent/python")
    assert {"pymoo-nsga2", "optuna-nsga2", "optuna-motpe"} == set(reasons)
    assert "cannot be run" in reasons["pymoo-nsga2"]


@pytest.mark.parametrize("name", ["asha", "genetic", "hyperband", "local-search", "nsga2", "tpe"])
def test_a_record_is_taken_up_and_the_next_trial_asked_for(name: str) -> None:
    row = program("resumes").resume(name, 40)
    assert 40 == row["trials"]
    assert row["seconds"] >= row["told"] + row["asked"] >= row["asked"] > 0


def test_settings_are_chosen_by_images_that_the_table_does_not_use(tmp_path: Path) -> None:
    methods, source = program("methods"), tmp_path / "data.npz"
    splits = {"train": range(22), "valid": range(22, 26), "test": range(26, 34)}
    arrays = {}
    for split, values in splits.items():
        arrays[f"x_{split}"] = np.array(values, dtype=np.uint8)[:, None, None].repeat(8, 1).repeat(8, 2)
        arrays[f"y_{split}"] = np.arange(len(values)) % 2
    np.savez(source, **arrays)

    def taken(unused: bool) -> list[list[int]]:
        with np.load(methods.prepare(str(source), tmp_path, (6, 2, 8), 2, unused)) as file:
            return [sorted(file[f"x_{split}"].reshape(-1, 16)[:, 0].tolist()) for split in splits]

    table, others = taken(unused=False), taken(unused=True)
    assert [6, 2, 8] == list(map(len, others)) == list(map(len, table))
    assert {*range(26, 34)} == set(table[2])
    assert 16 == len({i for split in others for i in split} - {i for split in table for i in split})


def test_random_search_ends_with_the_best_that_its_seconds_sufficed_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    methods = program("methods")
    sequence = [(f"a{i}", Outcome({"accuracy": a}, seconds=10.0), tmp_path) for i, a in enumerate((0.5, 0.7, 0.6, 0.8))]
    monkeypatch.setattr(methods, "assemble", lambda config: None)
    monkeypatch.setattr(methods, "_sequence", lambda parts, seed, folder: iter(sequence))
    monkeypatch.setattr(
        methods, "tested", lambda parts, seed, architecture, folder: {"a0": 0.4, "a1": 0.9, "a3": 0.8}[architecture]
    )
    assert [0.9, 0.4, 0.8, 0.9] == methods.at_random("darts", 0, tmp_path, [25.0, 5.0, 31.0, 20.0])


def test_a_row_says_how_far_a_method_is_from_random_search() -> None:
    methods = program("methods")
    found = [methods.Found(0.84, 100.0, 1), methods.Found(0.86, 120.0, 2)]
    row = methods.Row("some", "darts", found, [0.85, 0.85, 0.85])
    seeds = "84.00, 86.00; 85.00, 85.00, 85.00"
    assert ["some", "2", "110", "85.00", "85.00", "+0.00", "1.00", "1.5", seeds] == row.cells
    assert "| some | 2 | 110 |" in methods.page([row], "command", "about")


def test_methods_with_the_same_random_searches_share_their_luck() -> None:
    methods = program("methods")
    sure = [methods.Found(0.85, 100.0, 0)] * 2
    table = [methods.Row(name, "darts", sure, [0.80, 0.84]) for name in "ab"]
    assert pytest.approx((3.0, 2.0)) == methods.overall(table)  # apart it would be 1.41
    apart = [table[0], methods.Row("b", "enas-micro", sure, [0.84, 0.80])]
    assert pytest.approx((3.0, 2**0.5)) == methods.overall(apart)
