"""Curves of bounded length."""

from itertools import pairwise

import pytest

from morphogen.executors.curves import MAX_METRICS, MAX_POINTS, Recorder, thin


@pytest.mark.parametrize("steps", [0, 1, MAX_POINTS - 1, MAX_POINTS, 3 * MAX_POINTS, 100_000])
def test_a_curve_covers_the_training_evenly_and_stays_short(steps):
    heard = []
    recorder = Recorder(lambda step, metrics: heard.append((step, metrics["loss"])))
    for step in range(steps):
        recorder(step, {"loss": step / 2})
    curve = recorder.curves.get("loss", [])
    assert len(curve) <= MAX_POINTS
    assert min(steps, MAX_POINTS // 2 - 1) <= len(curve)
    assert all((step, step / 2) == point for (step, _), point in zip(curve, curve, strict=True))
    gaps = {b[0] - a[0] for a, b in pairwise(curve)}
    assert len(gaps) <= 1
    assert set(curve) <= set(heard)
    assert len(heard) <= 10 * MAX_POINTS


def test_metrics_with_steps_in_their_names_are_no_flood():
    recorder = Recorder(lambda step, metrics: None)
    for step in range(10_000):
        recorder(step, {f"loss at {step}": 1.0})
    assert MAX_METRICS == len(recorder.curves)


def test_metrics_have_points_of_their_own():
    recorder = Recorder(lambda step, metrics: None)
    for step in range(5000):
        recorder(step, {"loss": 1.0} | ({"accuracy": 0.5} if step % 1000 == 0 else {}))
    assert [(0.0, 0.5), (1000.0, 0.5), (2000.0, 0.5), (3000.0, 0.5), (4000.0, 0.5)] == recorder.curves["accuracy"]


@pytest.mark.parametrize("length", [0, 1, MAX_POINTS, MAX_POINTS + 1, 10 * MAX_POINTS])
def test_thinning_keeps_the_first_point_and_the_bound(length):
    thinned = thin([(i, i) for i in range(length)])
    assert len(thinned) <= MAX_POINTS
    assert [(0.0, 0.0)][:length] == thinned[:1]
