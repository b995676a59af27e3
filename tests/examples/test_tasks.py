"""The examples of tasks other than one class an image, from the search to the page."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

import morphogen
from morphogen.runs.conclusion import Result

SMALL: dict[str, Any] = {
    "data_options": {"limit": 60},
    "skeleton": {"channels": 4},
    "slots": 1,
    "trials": 2,
    "training": {"epochs": 1},
    "final": {"finalists": 1, "seeds": 1, "training": {"epochs": 1}, "skeleton": {"auxiliary": False}},
}


def searched(folder: Path, **settings: Any) -> Result:
    return morphogen.search("darts", executor="inline", out=folder, **{**SMALL, **settings})


def test_errors_of_numbers_are_told_for_every_network(tmp_path: Path) -> None:
    result = searched(tmp_path / "run", data="regression:data", strategy="random-search")
    assert {"winner", "plain", "logistic regression"} <= {row.name for row in result.record.rows}
    assert all(row.accuracy is not None and row.accuracy > 0 for row in result.record.rows)
    assert all(
        row["mae"] == pytest.approx(kept.accuracy)
        for row, kept in zip(result.json["comparison"], result.record.rows, strict=True)
    )
    assert "Mae" in (result.folder / "report.html").read_text()
    assert math.isfinite(json.loads((result.folder / "best" / "card.json").read_text())["metrics"]["mae"])


def test_a_supernet_learns_any_number_of_labels_and_the_run_seeks_what_it_is_told(tmp_path: Path) -> None:
    options = {"epochs": 1, "batch_size": 12}
    result = searched(
        tmp_path / "run", data="multi_label:data", strategy="darts", strategy_options=options, objectives=("max:exact",)
    )
    (supernet,) = result.record.phases["supernet"]
    assert supernet.outcome is not None
    assert {"accuracy", "exact", "supernet_exact"} <= supernet.outcome.metrics.keys()
    assert "exact" == result.record.compared
    assert all(row.accuracy is not None and 0 <= row.accuracy <= 1 for row in result.record.rows)


def test_networks_are_compared_by_what_the_task_measures_where_something_else_comes_first(tmp_path: Path) -> None:
    result = searched(
        tmp_path / "run", data="digits", strategy="random-search", objectives=("params", "accuracy"), control=False
    )
    assert ("params", "accuracy") == (result.record.metric, result.record.compared)
    assert all(0 <= row["accuracy"] <= 1 for row in result.json["comparison"])
