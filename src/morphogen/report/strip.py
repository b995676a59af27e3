"""The interval of a verdict, as a small picture."""

from __future__ import annotations

from html import escape

from morphogen.report.units import is_fraction, number, points
from morphogen.report.verdict import Verdict

__all__ = ["strip"]

WIDTH, HEIGHT, EDGE, LINE = 460, 74, 46, 34


def strip(verdict: Verdict) -> str:
    """An SVG of the estimate and its interval against zero, styled by the page; empty where there is no interval."""
    if verdict.difference is None or verdict.low is None or verdict.high is None:
        return ""
    least, most = min(verdict.low, 0.0), max(verdict.high, 0.0)
    span = most - least or 1.0

    def x(value: float) -> float:
        return EDGE + (WIDTH - 2 * EDGE) * (value - least) / span

    def text(value: float) -> str:
        return points(value) if is_fraction(verdict.metric) else number(value)

    unit = "points" if is_fraction(verdict.metric) else verdict.metric
    low, middle, high, zero = x(verdict.low), x(verdict.difference), x(verdict.high), x(0.0)
    label = f"{text(verdict.difference)} {unit}, interval {text(verdict.low)} to {text(verdict.high)}"
    ends = [(low, verdict.low), (high, verdict.high)] if high - low > 60 else []
    return (
        f'<svg class="strip" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
        f'<line class="base" x1="{EDGE / 2:.0f}" x2="{WIDTH - EDGE / 2:.0f}" y1="{LINE}" y2="{LINE}"/>'
        f'<line class="zero" x1="{zero:.1f}" x2="{zero:.1f}" y1="{LINE - 16}" y2="{LINE + 16}"/>'
        f'<text x="{zero:.1f}" y="{HEIGHT - 8}" text-anchor="middle">no difference</text>'
        f'<line class="interval" x1="{low:.1f}" x2="{high:.1f}" y1="{LINE}" y2="{LINE}"/>'
        f'<circle class="estimate" cx="{middle:.1f}" cy="{LINE}" r="7"/>'
        f'<text x="{middle:.1f}" y="{LINE - 18}" text-anchor="middle">{escape(text(verdict.difference))}</text>'
        + "".join(
            f'<text x="{at:.1f}" y="{LINE - 10}" text-anchor="middle">{escape(text(v))}</text>'
            for at, v in ends
            if abs(at - middle) > 40
        )
        + "</svg>"
    )
