"""Numbers in a person's units: percent, thousands, minutes."""

from __future__ import annotations

import math

__all__ = ["COUNTS", "count", "duration", "is_fraction", "metric_text", "metric_title", "number", "percent", "points"]

MISSING = "–"


def percent(fraction: float | None, digits: int = 2) -> str:
    """`0.9912` -> `99.12 %`."""
    return MISSING if fraction is None or not math.isfinite(fraction) else f"{100 * fraction:.{digits}f} %"


def points(difference: float, digits: int = 1) -> str:
    """A difference of two fractions, in percentage points and signed: `0.008` -> `+0.8`."""
    text = f"{100 * difference:+.{digits}f}"
    return text.replace("-", "+") if float(text) == 0 else text


def number(value: float | None) -> str:
    """Four significant digits."""
    return MISSING if value is None or not math.isfinite(value) else f"{value:.4g}"


def count(value: float | None) -> str:
    """`12345` -> `12.3 k`, `1234567` -> `1.23 M`."""
    if value is None or not math.isfinite(value):
        return MISSING
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= 0.9995 * size:
            return f"{value / size:.3g} {unit}" if abs(value) < 999.5 * size else f"{value / size:.0f} {unit}"
    return f"{value:.4g}"


def duration(seconds: float | None) -> str:
    """`93` -> `1 min 33 s`, `0.25` -> `0.25 s`."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def metric_text(metric: str, value: float | None) -> str:
    """A metric's value in the unit that its name implies."""
    if is_fraction(metric):
        return percent(value)
    if metric in COUNTS:
        return count(value)
    if metric == "seconds":
        return duration(value)
    return number(value)


def metric_title(metric: str) -> str:
    """A metric's name as the title of an axis or a column, with its unit."""
    if is_fraction(metric):
        return f"{_words(metric)} (%)"
    if metric in COUNTS:
        return COUNTS[metric]
    for ending, unit in (("_ms", "ms"), ("_mb", "MB"), ("_seconds", "s")):
        if metric.endswith(ending):
            return f"{_words(metric.removesuffix(ending))} ({unit})"
    return _words(metric)


def is_fraction(metric: str) -> bool:
    """Whether a metric is an accuracy, a number of 0 to 1 that people read in percent."""
    return metric == "accuracy" or metric.endswith("_accuracy")


COUNTS = {"params": "Parameters", "macs": "Multiply-accumulates (MACs)", "flops": "FLOPs"}


def _words(metric: str) -> str:
    text = metric.replace("_", " ")
    return text[:1].upper() + text[1:]
