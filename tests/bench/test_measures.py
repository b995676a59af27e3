"""Bands, queries, ranks and significance."""

from __future__ import annotations

import numpy as np
import pytest

from morphogen.bench import measures
from morphogen.bench.replaying import Replay


def run(seed: int, spent: list[float], regret: list[float], found: float | None = None) -> Replay:
    return Replay(seed, spent, [10 * s for s in spent], regret, found, 0, 1.0, 0.0)


def test_regret_is_a_step_function_of_queries_and_of_time() -> None:
    runs = [run(0, [1, 2, 3], [0.5, 0.5, 0.1]), run(1, [0.5, 1.5], [0.4, 0.0])]
    assert [[0.5, 0.5, 0.1, 0.1], [0.4, 0.0, 0.0, 0.0]] == measures.by_queries(runs, 4, worst=0.9).tolist()
    assert [[0.9, 0.5, 0.1], [0.9, 0.4, 0.0]] == measures.by_seconds(
        runs, np.asarray([0.0, 12.0, 30.0]), worst=0.9
    ).tolist()


def test_the_band_is_around_the_mean_and_shrinks_with_seeds() -> None:
    rng = np.random.default_rng(1)
    few, many = (measures.band(rng.exponential(size=(n, 3))) for n in (5, 500))
    for band in (few, many):
        assert (band.low <= band.mean).all()
        assert (band.mean <= band.high).all()
    assert ((many.high - many.low) < (few.high - few.low)).all()


def test_the_band_covers_the_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    bands = measures.band(rng.exponential(size=(30, 400)))
    assert 0.85 < float(((bands.low <= 1) & (bands.high >= 1)).mean()) < 0.99


def test_a_run_that_never_finds_the_best_counts_with_all_its_queries() -> None:
    found = measures.queries([run(0, [1], [0.0], found=10), run(1, [1], [0.5])], budget=40)
    assert {"mean": 25.0, "se": 15.0, "median": 25.0, "found": 0.5} == found


def test_better_and_worse_than_random_are_told_apart_from_chance() -> None:
    rng = np.random.default_rng(3)
    areas = {
        "random": rng.normal(size=30),
        "good": rng.normal(-2, size=30),
        "bad": rng.normal(2, size=30),
        "same": rng.normal(size=30),
    }
    found = measures.significance({k: v.tolist() for k, v in areas.items()}, "random")
    assert {"good": "better", "bad": "worse", "same": "cannot tell"} == {k: v.answer for k, v in found.items()}
    assert found["good"].chance > 0.8
    assert found["bad"].chance < 0.2


def test_equal_runs_are_not_told_apart() -> None:
    found = measures.significance({"random": [1.0, 1.0], "other": [1.0, 1.0]}, "random")
    assert "cannot tell" == found["other"].answer


def test_holm_adjusts_as_in_its_definition() -> None:
    assert pytest.approx([0.03, 0.06, 0.06]) == measures.holm([0.01, 0.04, 0.03])


def test_equal_values_share_a_rank() -> None:
    assert {"a": 1.5, "b": 1.5, "c": 3.0} == measures.ranks({"a": 0.1, "b": 0.1, "c": 0.2})
