"""The report: one HTML file that needs no network and no server."""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from morphogen.protocols import MorphogenError
from morphogen.report.charts import Figure, against_cost, curves, progress
from morphogen.report.draw import colors_of, svg
from morphogen.report.graph import graphs_of, groups_of
from morphogen.report.record import RunRecord
from morphogen.report.strip import strip
from morphogen.report.units import COUNTS, count, duration, is_fraction, metric_text, metric_title, percent
from morphogen.trial import Trial

__all__ = ["embedded", "needed", "policy_of", "render", "write_report"]

MOST_ROWS = 500
MOST_TEXT = 300
MARKS = {"better": "✓", "not better": "✗", "cannot tell": "?"}


def write_report(record: RunRecord, path: str | os.PathLike[str]) -> Path:
    """Write the page, whole or not at all: an interrupted or failing write leaves what was there.

    Raises:
        MorphogenError: The packages of the extra `report` are not installed.
    """
    path, page = Path(path), render(record)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(page)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp's own is for nobody else's eyes
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def render(record: RunRecord) -> str:
    """The page as text.

    Everything that a person or a trial named is escaped. A content security policy lets no other script run than the
    page's own two, which it knows by their hashes, and nothing be fetched. Styles may be inline: plotly.js sets them on
    the elements that it makes.

    Raises:
        MorphogenError: The packages of the extra `report` are not installed.
    """
    jinja2, markup = needed("jinja2"), needed("markupsafe").Markup
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("morphogen.report", "template"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    charts, figures = _charts(record)
    plotly = needed("plotly.offline").get_plotlyjs() if charts else ""
    script, css = (environment.loader.get_source(environment, f"page.{ending}")[0] for ending in ("js", "css"))
    rows = [_row(record, i) for i in range(len(record.rows))]
    page: str = environment.get_template("page.html").render(
        **_architecture(record, markup),
        record=record,
        policy=policy_of([plotly, script] if charts else [script]),
        css=markup(css),
        script=markup(script),
        plotly=markup(plotly),
        figures=markup(embedded(figures)),
        subtitle=_subtitle(record),
        headline=_headline(record),
        verdict=record.verdict,
        mark=MARKS[record.verdict.answer],
        strip=markup(strip(record.verdict)),
        rows=rows,
        accuracy_title=metric_title(record.compared).removesuffix(" (%)"),
        notes=any(row.note for row in record.rows),
        spreads=any(row["spread"] for row in rows),
        charts=charts,
        table=_table(record),
        failures=[_failure(t) for t in record.failures[:MOST_ROWS]],
        failures_note=_failures_note(record),
        settings=dict(_settings({"seed": record.seed, **{k: v for k, v in record.settings.items() if k != "seed"}})),
    )
    return page


def needed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise MorphogenError(
            f"the report needs the package '{package}', which is not installed: pip install 'morphogen[report]'"
        ) from None


def policy_of(scripts: Sequence[str]) -> str:
    hashes = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts)
    allowed = " ".join(f"'sha256-{h}'" for h in hashes)
    rest = "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {allowed}; {rest}"


def embedded(value: Any) -> str:
    """JSON that may stand in a script element: no `<`, `>` or `&` that HTML would read."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _subtitle(record: RunRecord) -> list[str]:
    return [
        *([f"space {record.space.name}"] if record.space.name else []),
        f"{len(record.trials)} trials",
        *([duration(record.seconds)] if record.seconds is not None else []),
        *([record.started] if record.started else []),
    ]


def _headline(record: RunRecord) -> dict[str, Any]:
    """The winner's numbers: as retrained, where it was, else as searched."""
    facts: list[dict[str, str]] = []

    def fact(name: str, value: str, note: str = "") -> None:
        facts.append({"name": name, "value": value, "note": note})

    best = record.best
    if record.rows:
        row = record.rows[0]
        seeds = len(row.accuracies)
        spread = f"± {100 * row.spread:.2f}, {seeds} seeds" if row.spread is not None else ""
        title, params, macs = f"The {row.name}" if row.name == "winner" else row.name, row.params, row.macs
        fact(metric_title(record.compared).removesuffix(" (%)"), metric_text(record.compared, row.accuracy), spread)
    elif best is not None and best.outcome is not None:
        metric, metrics = record.objective.metric, best.outcome.metrics
        title, params, macs = "The best trial", metrics.get("params"), metrics.get("macs")
        fact(
            metric_title(metric).removesuffix(" (%)"),
            metric_text(metric, record.objective.metric_value(best.loss)),
            "as searched, not retrained",
        )
    else:
        title, params, macs = "No trial of the search worked", None, None
    if params is not None:
        fact("Parameters", count(params))
    if macs is not None:
        fact("MACs", count(macs))
    for name, arm in (("Search", record.search_arm), ("Random arm", record.random_arm)):
        if arm is not None:
            failed = len(
                [t for t in record.failures if t.phase in (record.search if name == "Search" else record.random)]
            )
            note = ", ".join(
                [f"{failed} failed"] * (failed > 0) + [duration(sum(arm.seconds))] * (sum(arm.seconds) > 0)
            )
            fact(name, f"{len(arm.losses)} trials", note)
    return {"title": title, "facts": facts}


def _row(record: RunRecord, i: int) -> dict[str, str]:
    row = record.rows[i]
    return {
        "name": row.name,
        "accuracy": metric_text(record.compared, row.accuracy),
        "spread": ""
        if row.spread is None
        else f"± {percent(row.spread).removesuffix(' %')}"
        if is_fraction(record.compared)
        else f"± {row.spread:.2g}",
        "params": count(row.params),
        "macs": count(row.macs),
        "seconds": duration(row.seconds),
        "note": row.note,
    }


def _settings(settings: Mapping[str, Any], of: str = "") -> Iterator[tuple[str, str]]:
    """Names and values as the configuration file writes them, a line each; what is empty says nothing."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _settings(value, f"{of}{name}.")
        elif isinstance(value, (list, tuple)):
            if value:
                yield f"{of}{name}", ", ".join(map(str, value))
        else:
            yield f"{of}{name}", str(value).lower() if isinstance(value, bool) else str(value)


def _charts(record: RunRecord) -> tuple[list[dict[str, Any]], list[Figure]]:
    """The charts that there is data for, and their figures by number."""
    metric = metric_title(record.objective.metric).removesuffix(" (%)")
    band = "The band: where 95 % of such random searches would be." if record.random_arm else ""
    wanted: list[tuple[str, str, Figure | None]] = [
        ("Best so far, by trials", band, progress(record, over_seconds=False)),
        (
            "Best so far, by seconds",
            "The seconds of all trials, added up.",
            progress(record, over_seconds=True),
        ),
        *(
            (f"{metric} against {name}", "", against_cost(record, cost))
            for cost, name in (("params", "parameters"), ("macs", "MACs"))
        ),
        *((f"Learning curves: {title}", "Of the best trials.", figure) for title, figure in curves(record)),
    ]
    found = [(title, text, figure) for title, text, figure in wanted if figure is not None]
    return [{"figure": i, "title": title, "text": text} for i, (title, text, _) in enumerate(found)], [
        f for *_, f in found
    ]


def _architecture(record: RunRecord, markup: Any) -> dict[str, Any]:
    architecture = record.architecture
    if architecture is None:
        return {"cells": [], "groups": {}, "text": ""}
    graphs = graphs_of(architecture)
    colors = colors_of(e.label for graph in graphs.values() for e in graph.edges if e.label)
    cells = [{"title": f"Cell {name}" if name else "Cell", "svg": markup(svg(g, colors))} for name, g in graphs.items()]
    return {"cells": cells, "groups": groups_of(architecture), "text": architecture.text}


def _table(record: RunRecord) -> dict[str, Any]:
    worked = sorted((t for t in record.trials if not t.failed), key=lambda t: (t.violation, t.loss, t.id))
    shown = worked[:MOST_ROWS]
    note = f"{len(worked)} trials that worked" + (
        f", of which the best {MOST_ROWS} are shown" if len(worked) > MOST_ROWS else ""
    )
    metrics = [o.metric for o in record.objectives]
    metrics += [m for m in COUNTS if m not in metrics and any(t.outcome and m in t.outcome.metrics for t in shown)]
    columns = [{"title": "Trial", "number": True}, {"title": "Phase", "number": False}]
    columns += [
        {"title": "MACs" if m == "macs" else metric_title(m).removesuffix(" (%)"), "number": True} for m in metrics
    ]
    columns += [{"title": "Seconds", "number": True}, {"title": "Architecture", "number": False}]
    winner = next((t.id for t in shown if t.architecture is not None and t.architecture == record.architecture), None)
    rows = [{"winner": t.id == winner, "cells": _cells(t, metrics)} for t in shown]
    return {"note": note + ".", "columns": columns, "rows": rows}


def _cells(trial: Trial, metrics: Sequence[str]) -> list[dict[str, Any]]:
    assert trial.outcome is not None
    text = "" if trial.architecture is None else trial.architecture.text
    values = [(m, trial.outcome.metrics.get(m)) for m in metrics]
    return [
        {"text": trial.id, "value": trial.id, "code": False},
        {"text": trial.phase, "value": None, "code": False},
        *({"text": metric_text(m, v), "value": "" if v is None else v, "code": False} for m, v in values),
        {"text": f"{trial.outcome.seconds:.3g}", "value": trial.outcome.seconds, "code": False},
        {"text": text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}…", "value": None, "code": True},
    ]


def _failure(trial: Trial) -> dict[str, Any]:
    assert trial.outcome is not None
    assert trial.outcome.error is not None
    reason, _, more = trial.outcome.error.strip().partition("\n")
    return {"id": trial.id, "phase": trial.phase, "reason": reason or "no reason given", "more": more}


def _failures_note(record: RunRecord) -> str:
    failed, every = len(record.failures), len(record.trials)
    more = f" The first {MOST_ROWS} are shown." if failed > MOST_ROWS else ""
    return (
        f"{failed} of {every} trials failed. A failed trial is a result: the search went on and learned from it.{more}"
    )
