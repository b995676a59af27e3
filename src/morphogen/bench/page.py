"""A benchmark as one HTML page that needs no network: figures of anytime regret, and the tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from morphogen.bench.measures import Band
from morphogen.bench.results import RANDOM, Bench, OnTable
from morphogen.bench.show import heading, row_texts, titles
from morphogen.report.charts import Figure, figure_of
from morphogen.report.page import embedded, needed, policy_of
from morphogen.report.units import is_fraction
from morphogen.training.files import write_whole

__all__ = ["figures", "render", "write"]

PALETTE = (
    "#0072b2",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#7a5cc2",
    "#8c6d31",
    "#d62728",
    "#17a2a2",
    "#5c8a00",
    "#b05a9a",
    "#4a6fa5",
)
"""Colors that are told apart with any sight, as far as there are so many (Okabe & Ito 2008 first); random search has its own."""


def write(bench: Bench, path: Path) -> Path:
    """Write the page, whole or not at all.

    Raises:
        MorphogenError: The packages of the extra `report` are not installed.
    """
    text = render(bench).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: file.write(text))
    return path


def render(bench: Bench) -> str:
    """The page as text; everything that a person named is escaped, and only its own scripts run."""
    jinja2, markup = needed("jinja2"), needed("markupsafe").Markup
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader("morphogen.bench", "template"), jinja2.PackageLoader("morphogen.report", "template")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    plotly = needed("plotly.offline").get_plotlyjs()
    script, css = (environment.loader.get_source(environment, f"page.{ending}")[0] for ending in ("js", "css"))
    charts = figures(bench)
    sections = []
    for i, on in enumerate(bench.tables):
        names = sorted(on.replays, key=lambda s: (on.ranks[s], s))
        sections.append(
            {"name": on.title, "about": heading(on), "charts": [2 * i, 2 * i + 1], "titles": titles(on), "refused": on.refused,
             "rows": [row_texts(on, s) for s in names], "predictors": on.predictors}
        )  # fmt: skip
    page: str = environment.get_template("bench.html").render(
        policy=policy_of([plotly, script]),
        css=markup(css),
        script=markup(script),
        plotly=markup(plotly),
        figures=markup(embedded(charts)),
        sections=sections,
        bench=bench,
    )
    return page


def figures(bench: Bench) -> list[Figure]:
    """For each table, regret after queries and after simulated hours."""
    found = []
    for on in bench.tables:
        places = np.arange(1, on.budget + 1)
        found.append(_regret(on, on.bands, places.tolist(), "Queries (full trainings)"))
        hours = (on.seconds / 3600).tolist()
        found.append(_regret(on, on.bands_over_time, hours, "Simulated hours"))
    return found


def _regret(on: OnTable, bands: Any, places: Sequence[float], x_title: str) -> Figure:
    factor = 100 if is_fraction(on.metric) else 1
    traces: list[dict[str, Any]] = []
    others = [s for s in on.replays if s != RANDOM]
    for strategy in [RANDOM, *others]:
        color = "var:random" if strategy == RANDOM else PALETTE[others.index(strategy) % len(PALETTE)]
        fill = (
            "var:random-band"
            if strategy == RANDOM
            else f"rgba({','.join(str(int(color[i : i + 2], 16)) for i in (1, 3, 5))},.13)"
        )
        dash = "solid" if strategy == RANDOM or others.index(strategy) < len(PALETTE) else "dash"
        band: Band = bands[strategy]
        edge = {
            "mode": "lines",
            "line": {"width": 0, "shape": "hv"},
            "hoverinfo": "skip",
            "legendgroup": strategy,
            "showlegend": False,
        }
        low, high = (_positive(factor * end) for end in (band.low, band.high))
        shown = [i for i, y in enumerate(low) if y is not None and high[i] is not None]
        traces += [
            {**edge, "x": [places[i] for i in shown], "y": [high[i] for i in shown]},
            {**edge, "x": [places[i] for i in shown], "y": [low[i] for i in shown], "fill": "tonexty", "fillcolor": fill},
            {"x": list(places), "y": _positive(factor * band.mean), "mode": "lines", "name": strategy, "legendgroup": strategy,
             "line": {"color": color, "width": 2, "shape": "hv", "dash": dash}, "hovertemplate": f"{strategy}<br>%{{x:.4~g}}: %{{y:.3~g}}<extra></extra>"},
        ]  # fmt: skip
    figure = figure_of(traces, x_title, "Regret (points)" if factor == 100 else "Regret")
    figure["layout"]["yaxis"]["type"] = "log"
    figure["layout"]["xaxis"]["tickformat"] = "~g"  # "500m" hours would be read as minutes
    return figure


def _positive(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[float | None]:
    """For a logarithmic axis: a line ends where nothing is left to regret."""
    return [float(v) if v > 1e-9 else None for v in values]
