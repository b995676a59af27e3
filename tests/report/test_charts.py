import json
from dataclasses import replace
from typing import Any

import plotly.graph_objects as go
import pytest

from morphogen.report.charts import Figure, against_cost, curves, progress
from morphogen.trial import Outcome
from report.invented import record


def plain(value: Any) -> Any:
    """A figure with real colors in the place of the page's names."""
    if isinstance(value, str) and value.startswith("var:"):
        return "#123456"
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list) else value


def all_figures() -> list[Figure]:
    made = record()
    found = [progress(made, over_seconds=s) for s in (True, False)] + [
        against_cost(made, c) for c in ("params", "macs")
    ]
    return [f for f in found if f is not None] + [f for _, f in curves(made)]


def test_every_figure_is_valid_for_plotly_and_plain_json() -> None:
    figures = all_figures()
    assert 6 == len(figures)
    for figure in figures:
        go.Figure(plain(figure))
        json.dumps(figure, allow_nan=False)


def test_best_so_far_ends_at_the_best_and_never_falls() -> None:
    made = record()
    figure = progress(made, over_seconds=False)
    assert figure is not None
    line = next(t for t in figure["data"] if t.get("name") == "search")
    assert sorted(line["y"]) == line["y"]
    assert made.best is not None
    assert line["y"][-1] == pytest.approx(-100 * made.best.loss)


def test_over_seconds_a_line_ends_at_what_the_arm_spent() -> None:
    made = record()
    figure = progress(made, over_seconds=True)
    assert figure is not None
    line = next(t for t in figure["data"] if t.get("name") == "search")
    assert line["x"][-1] == pytest.approx(sum(made.search_arm.seconds))


def test_no_point_is_left_above_the_pareto_front() -> None:
    figure = against_cost(record(), "params")
    assert figure is not None
    front, *arms = figure["data"]
    assert sorted(front["y"]) == front["y"]
    for arm in arms:
        for x, y in zip(arm["x"], arm["y"], strict=True):
            assert y <= max(b for a, b in zip(front["x"], front["y"], strict=True) if a <= x)


def test_there_is_no_chart_without_data() -> None:
    made = record()
    failed = {
        n: [replace(t, outcome=Outcome(error="x"), losses=(float("inf"),)) for t in ts] for n, ts in made.phases.items()
    }
    empty = record(phases=failed)
    assert (None, None, []) == (progress(empty, over_seconds=False), against_cost(empty, "params"), curves(empty))
    assert against_cost(made, "latency_ms") is None


def test_without_a_random_arm_the_search_is_drawn_alone() -> None:
    figure = progress(record(phases={"search": record().phases["search"]}), over_seconds=False)
    assert figure is not None
    assert ["search"] == [t.get("name") for t in figure["data"]]
