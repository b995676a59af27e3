import math

import pytest

from morphogen.report.units import count, duration, metric_text, metric_title, percent, points


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (650, "650"),
        (12_400, "12.4 k"),
        (999_600, "1 M"),
        (1_234_567, "1.23 M"),
        (5.6e8, "560 M"),
        (2e13, "20 T"),
    ],
)
def test_counts_have_three_digits_and_a_unit(value: float, text: str) -> None:
    assert text == count(value)


@pytest.mark.parametrize(
    ("value", "text"), [(0.25, "0.25 s"), (14.2, "14.2 s"), (93, "1 min 33 s"), (7260, "2 h 1 min")]
)
def test_durations_are_in_the_unit_of_a_person(value: float, text: str) -> None:
    assert text == duration(value)


def test_what_is_missing_is_a_dash() -> None:
    assert ["–"] * 4 == [count(None), duration(math.nan), percent(None), metric_text("params", math.inf)]


def test_a_difference_of_nothing_has_no_minus() -> None:
    assert ("+0.0", "-0.3", "+0.8") == (points(-0.0001), points(-0.003), points(0.008))


def test_a_metric_is_shown_in_the_unit_that_its_name_implies() -> None:
    assert "98.90 %" == metric_text("valid_accuracy", 0.989)
    assert "Latency (ms)" == metric_title("latency_ms")
    assert "Valid accuracy (%)" == metric_title("valid_accuracy")
    assert "0.1235" == metric_text("loss", 0.12345)
