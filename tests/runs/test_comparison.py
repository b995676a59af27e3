"""`morphogen compare`: runs side by side."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import morphogen
from morphogen.objective import Objective
from morphogen.runs.comparison import Comparison, Side, compare, difference
from morphogen.trial import Outcome, Proposal, Trial


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    settings: dict[str, Any] = {"data": None, "table": "toy", "trials": 8, "final": {"finalists": 1, "seeds": 2}}
    return [morphogen.search(**settings, seed=s, out=folder / f"run{s}").folder for s in range(2)]


def test_two_runs_are_shown_and_their_winners_compared(runs: list[Path]) -> None:
    compared = compare(runs)
    body = json.loads(json.dumps(compared.json, allow_nan=False))
    assert [8, 8] == [r["trials"] for r in body["runs"]]
    assert all(r["verdict"] in ("better", "not better", "cannot tell") for r in body["runs"])
    (found,) = body["differences"]
    assert found["low"] < found["difference"] < found["high"]
    console = Console(width=200, record=True)
    compared.show(console)
    assert found["sentence"] in console.export_text()


def test_one_run_is_nothing_to_compare(runs: list[Path]) -> None:
    with pytest.raises(ValueError, match="two runs or more, got 1"):
        compare(runs[:1])


def side(runs: list[Path], values: list[float], **config: Any) -> Side:
    """The first run, as if its winner had been trained to these accuracies."""
    real: Comparison = compare([runs[0], runs[0]])
    trials = [Trial(i, "retrain", Proposal(None), Outcome({"accuracy": v}), (-v,)) for i, v in enumerate(values)]
    one = real.sides[0]
    return replace(one, winner=trials, finalists=[values], config=one.config.model_copy(update=config))


def test_a_difference_beyond_the_noise_of_seeds_is_told(runs: list[Path]) -> None:
    good, bad = side(runs, [0.90, 0.91, 0.905]), side(runs, [0.80, 0.81, 0.805])
    found = difference(good, bad)
    assert "better than" in found.sentence
    assert "+10.00 points" in found.sentence
    assert "worse than" in difference(bad, good).sentence
    # twice the standard error of a mean of three, times Student's 2.776 for four degrees of freedom
    assert found.high is not None
    assert pytest.approx(0.1 + 2.7764 * 0.005 * (2 / 3) ** 0.5, abs=1e-5) == found.high


def test_within_the_noise_it_cannot_be_told(runs: list[Path]) -> None:
    assert "not told apart" in difference(side(runs, [0.80, 0.90]), side(runs, [0.79, 0.88])).sentence
    assert "one seed" in difference(side(runs, [0.80]), side(runs, [0.79])).sentence


def test_what_is_judged_otherwise_is_not_compared(runs: list[Path]) -> None:
    here = side(runs, [0.8, 0.9])
    assert "different data" in difference(here, side(runs, [0.8, 0.9], table="other")).sentence
    assert "different data" in difference(here, replace(here, objective=Objective("loss"))).sentence
