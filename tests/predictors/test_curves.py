"""Where learning curves end."""

import math

import numpy as np
import pytest

from morphogen.predictors.curves import End, extrapolated, regressed


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: 0.1 + 0.8 * x**-0.6,
        lambda x: 0.2 + 0.7 * np.exp(-x / 9),
        lambda x: -0.9 + 0.8 / (1 + 0.3 * x),
    ],
)
def test_a_third_of_a_smooth_curve_tells_its_end(loss) -> None:  # type: ignore[no-untyped-def]
    curve = [(float(x), float(loss(float(x)))) for x in range(1, 17)]
    found = extrapolated(curve, 48)
    assert found is not None
    assert float(loss(48.0)) == pytest.approx(found.mean, abs=0.1 * (curve[0][1] - curve[-1][1]))
    assert 0 < found.deviation < 0.2


def test_a_curve_is_not_expected_to_rise_again() -> None:
    found = extrapolated([(1.0, 0.5), (2.0, 0.5), (3.0, 0.5), (4.0, 0.52), (5.0, 0.51)], 50)
    assert found is not None
    assert 0.45 < found.mean <= 0.52


def test_of_too_few_points_nothing_is_known() -> None:
    assert extrapolated([(1.0, 0.5), (2.0, 0.4), (3.0, math.inf)], 10) is None
    assert regressed([(1.0, 0.5)], [([(1.0, 0.5)], 0.4)] * 4, 10) is None
    assert regressed([], [([(1.0, 0.5)], 0.4)] * 9, 10) is None


def test_one_point_and_trainings_that_ended_tell_the_end() -> None:
    rng = np.random.default_rng(0)
    early = rng.random(40)
    others = [([(12.0, float(x))], float(0.3 * x + 0.1 + 0.01 * rng.standard_normal())) for x in early]
    found = regressed([(12.0, 0.5)], others, 200)
    assert found is not None
    assert 0.25 == pytest.approx(found.mean, abs=0.01)
    assert 0.005 < found.deviation < 0.03


def test_at_the_full_amount_the_end_is_what_it_is() -> None:
    curve = [(1.0, 0.5), (2.0, 0.4), (3.0, 0.35), (4.0, 0.3)]
    assert End(0.3, 0.0) == extrapolated(curve, 4) == regressed(curve, [], 4)


def test_the_probability_of_ending_below_is_that_of_a_normal_distribution() -> None:
    assert 0.5 == End(1.0, 2.0).below(1.0)
    assert 0.8413 == pytest.approx(End(1.0, 2.0).below(3.0), abs=1e-4)
    assert (1.0, 0.0) == (End(1.0, 0.0).below(2.0), End(1.0, 0.0).below(1.0))
