"""The charts of a report, as plain JSON for plotly.js.

Colors are names (`var:search`) that the page looks up in its style sheet, so that the charts follow its theme.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import accumulate
from typing import Any

from morphogen.report.luck import band, best_so_far
from morphogen.report.record import RunRecord
from morphogen.report.units import COUNTS, count, is_fraction, metric_text, metric_title
from morphogen.report.verdict import Arm
from morphogen.trial import Trial

__all__ = ["Figure", "against_cost", "curves", "figure_of", "progress"]

Figure = dict[str, Any]
MOST_CURVES = 12


def progress(record: RunRecord, *, over_seconds: bool) -> Figure | None:
    """Best so far of the search and of the random arm, with the band of what other random searches would have had.

    None where no trial worked.
    """
    search, random = record.search_arm, record.random_arm
    if not search.worked:
        return None
    traces: list[dict[str, Any]] = []
    lowest = []
    if random is not None and len(random.worked) > 1:
        x = _steps(random, over_seconds, even=True)
        worst, best = band(random.losses, 0.975), band(random.losses, 0.025)
        typical = band(random.losses, 0.5)
        # before enough trials worked there is no band to show
        shown = [i for i in range(len(x)) if all(math.isfinite(y) for y in (worst[i], best[i]))]
        edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "legendgroup": "band"}
        traces += [
            {**edge, "x": _at(x, shown), "y": _metric(record, _at(worst, shown)), "showlegend": False},
            {**edge, "x": _at(x, shown), "y": _metric(record, _at(best, shown)), "fill": "tonexty",
             "fillcolor": "var:random-band", "name": "95 % of random searches"},
            {"x": _at(x, shown), "y": _metric(record, _at(typical, shown)), "mode": "lines",
             "name": "typical random search", "line": {"color": "var:random", "width": 1.5, "dash": "dot"},
             "hovertemplate": _hover(record, over_seconds)},
        ]  # fmt: skip
        lowest += _at(worst, shown)[:1] if len(shown) < 4 else [worst[shown[len(shown) // 8]]]
    for arm, name, color in ((random, "random search", "random"), (search, "search", "search")):
        if arm is None or not arm.worked:
            continue
        x, losses = _steps(arm, over_seconds), best_so_far(arm.losses)
        shown = [i for i, y in enumerate(losses) if math.isfinite(y)]
        lowest.append(losses[shown[len(shown) // 8]])
        traces.append(
            {"x": _at(x, shown), "y": _metric(record, _at(losses, shown)), "mode": "lines", "name": name,
             "line": {"color": f"var:{color}", "width": 2.5 if color == "search" else 2, "shape": "hv"},
             "hovertemplate": _hover(record, over_seconds)}
        )  # fmt: skip
    ends = _metric(record, [min(search.worked + (random.worked if random else [])), max(lowest)])
    room = 0.06 * abs(ends[1] - ends[0]) or 0.01
    y_range = [min(ends) - room, max(ends) + room]
    x_title = "Seconds spent on trials" if over_seconds else "Trials"
    return figure_of(traces, x_title, metric_title(record.objective.metric), y_range)


def against_cost(record: RunRecord, cost: str) -> Figure | None:
    """The first objective against `params` or `macs`, with the Pareto front. None where no trial has both."""
    traces: list[dict[str, Any]] = []
    every: list[tuple[float, float, Trial]] = []
    arms = (("search", record.search[-1:], "circle"), ("random", record.random, "diamond-open"))
    for name, phases, symbol in arms:
        trials = [t for p in phases for t in record.phases.get(p, ()) if _shown(t, cost)]
        points = [(t.outcome.metrics[cost], t.loss, t) for t in trials if t.outcome is not None]
        every += points
        if points:
            traces.append(
                {"x": [p[0] for p in points], "y": _metric(record, [p[1] for p in points]), "mode": "markers",
                 "name": "search" if name == "search" else "random search",
                 "text": [_point(record, t, cost) for *_, t in points], "hovertemplate": "%{text}<extra></extra>",
                 "marker": {"color": f"var:{name}", "size": 7.5, "symbol": symbol, "opacity": 0.8}}
            )  # fmt: skip
    if not every:
        return None
    front: list[tuple[float, float, Trial]] = []
    for point in sorted(every, key=lambda p: (p[0], p[1], p[2].id)):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    traces.insert(
        0,
        {"x": [p[0] for p in front], "y": _metric(record, [p[1] for p in front]), "mode": "lines",
         "name": "Pareto front", "line": {"color": "var:front", "width": 1.5, "shape": "hv"}, "hoverinfo": "skip"},
    )  # fmt: skip
    figure = figure_of(traces, COUNTS.get(cost, metric_title(cost)), metric_title(record.objective.metric))
    lowest, highest = min(p[0] for p in every), max(p[0] for p in every)
    if lowest > 0 and highest / lowest > 20:
        figure["layout"]["xaxis"].update(type="log", dtick=1)
    return figure


def curves(record: RunRecord) -> list[tuple[str, Figure]]:
    """What the best trials logged on their way: title and chart, the objective first, two metrics at most."""
    worked = sorted(
        (t for t in record.trials if t.outcome is not None and not t.failed), key=lambda t: (t.violation, t.loss, t.id)
    )
    logged = [t for t in worked if t.outcome is not None and t.outcome.curves][:MOST_CURVES]
    names = list(dict.fromkeys(name for t in logged if t.outcome is not None for name in t.outcome.curves))
    names.sort(key=lambda n: (n != record.objective.metric, not n.endswith(record.objective.metric)))
    best = record.best.id if record.best is not None else None
    found = []
    for name in names[:2]:
        traces: list[dict[str, Any]] = []
        for t in reversed(logged):
            line = t.outcome.curves.get(name) if t.outcome is not None else None
            if not line:
                continue
            percent = 100 if is_fraction(name) else 1
            look = {"color": "var:search", "width": 3} if t.id == best else {"color": "var:other", "width": 1.2}
            values = [percent * v if math.isfinite(v) else None for _, v in line]
            traces.append(
                {"x": [s for s, _ in line], "y": values, "line": look,
                 "mode": "lines+markers" if len(line) < 3 else "lines",
                 "name": "best trial" if t.id == best else "other good trials", "legendgroup": str(t.id == best),
                 "showlegend": t.id == best or not any(x["legendgroup"] == "False" for x in traces),
                 "hovertemplate": f"{escape(t.phase)} trial {t.id}<br>%{{y:.4~g}}<extra></extra>"}
            )  # fmt: skip
        if traces:
            found.append((metric_title(name), figure_of(traces, "Step", metric_title(name))))
    return found


def figure_of(
    traces: list[dict[str, Any]], x_title: str, y_title: str, y_range: Sequence[float] | None = None
) -> Figure:
    axis = {
        "gridcolor": "var:grid",
        "linecolor": "var:axis",
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": "var:axis",
    }
    layout = {
        "xaxis": {**axis, "title": {"text": x_title}, "tickformat": "~s", "automargin": True},
        "yaxis": {
            **axis,
            "title": {"text": y_title},
            "automargin": True,
            **({"range": list(y_range)} if y_range else {}),
        },
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)"},
        "margin": {"l": 8, "r": 12, "t": 8, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "var:ink", "size": 12, "family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif"},
        "hoverlabel": {"bgcolor": "var:card", "bordercolor": "var:axis", "font": {"color": "var:ink"}},
        "hovermode": "closest",
    }
    return {"data": [{"type": "scatter", **trace} for trace in traces], "layout": layout}


def _steps(arm: Arm, over_seconds: bool, *, even: bool = False) -> list[float]:
    """Where each trial stands; `even`: after t average trials, as the band is of any order."""
    if not over_seconds:
        return [float(t) for t in range(1, len(arm.losses) + 1)]
    return (
        [sum(arm.seconds) / len(arm.seconds) * t for t in range(1, len(arm.seconds) + 1)]
        if even
        else list(accumulate(arm.seconds))
    )


def _at(values: Sequence[float], places: Sequence[int]) -> list[float]:
    return [values[i] for i in places]


def _metric(record: RunRecord, losses: Sequence[float]) -> list[float]:
    percent = 100 if is_fraction(record.objective.metric) else 1
    return [percent * record.objective.metric_value(loss) for loss in losses]


def _hover(record: RunRecord, over_seconds: bool) -> str:
    unit = " %" if is_fraction(record.objective.metric) else ""
    return ("after %{x:.1f} s" if over_seconds else "trial %{x:d}") + f": %{{y:.4~g}}{unit}"


def _shown(trial: Trial, cost: str) -> bool:
    if trial.outcome is None or trial.failed or trial.violation > 0 or not math.isfinite(trial.loss):
        return False
    return math.isfinite(trial.outcome.metrics.get(cost, math.inf))


def _point(record: RunRecord, trial: Trial, cost: str) -> str:
    assert trial.outcome is not None
    value = metric_text(record.objective.metric, record.objective.metric_value(trial.loss))
    return escape(f"{trial.phase} trial {trial.id}: {value}, {count(trial.outcome.metrics[cost])} {cost}")
