"""What a run comes to, in a terminal, and as JSON for machines."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from morphogen.report.record import Row, RunRecord
from morphogen.report.units import count, duration, is_fraction, metric_text, metric_title

__all__ = ["show", "summary", "table"]

NUMBERS = range(1, 5)
COLORS = {"better": "green", "not better": "yellow", "cannot tell": "cyan"}


def show(record: RunRecord, console: Console | None = None) -> None:
    """Print the comparison, the verdict, and what the run did; plain text where the console is no terminal."""
    console = console or Console()
    parts: list[RenderableType] = [Text(line) for line in _facts(record)]
    if record.rows:
        parts += [Text(""), table(record) if console.is_terminal else Text("\n".join(_aligned(record))), Text("")]
    verdict = record.verdict
    parts.append(Text(verdict.sentence, style=f"bold {COLORS[verdict.answer]}"))
    parts += [Text(f"  {note}") for note in verdict.notes]
    parts += [Text.assemble(("note: ", "yellow"), warning) for warning in record.warnings]
    console.print(Group(*parts), soft_wrap=not console.is_terminal)


def table(record: RunRecord) -> Table:
    """The networks side by side. `Text` in every cell: a name is no markup."""
    first, *rest = _cells(record)
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, title in enumerate(first):
        made.add_column(title, justify="right" if i in NUMBERS else "left", overflow="fold", no_wrap=i in NUMBERS)
    for i, cells in enumerate(rest):
        made.add_row(*map(Text, cells), style="bold" if i == 0 else "")
    return made


def summary(record: RunRecord) -> dict[str, Any]:
    """The same as plain JSON: numbers in natural units, None where there is none."""
    best, architecture = record.best, record.architecture
    return {
        "name": record.name,
        "space": record.space.name,
        "seed": record.seed,
        "seconds": record.seconds,
        "objectives": [{"metric": o.metric, "maximize": o.maximize} for o in record.objectives],
        "phases": {
            name: {
                "trials": sum(t.outcome is not None for t in trials),
                "failed": sum(t.failed for t in trials),
                "seconds": sum(t.outcome.seconds for t in trials if t.outcome is not None),
            }
            for name, trials in record.phases.items()
        },
        "best": None
        if best is None or best.outcome is None
        else {"trial": best.id, "metrics": _finite(best.outcome.metrics)},
        "architecture": None if architecture is None else architecture.json,
        "comparison": [
            {
                "name": row.name,
                record.compared: row.accuracy,
                "seeds": [a if math.isfinite(a) else None for a in row.accuracies],
                "params": row.params,
                "macs": row.macs,
                "seconds": row.seconds,
                "note": row.note,
            }
            for row in record.rows
        ],
        "verdict": record.verdict.json,
        **({"predictor": [asdict(rank) for rank in record.ranks]} if record.ranks else {}),
        "warnings": list(record.warnings),
    }


def _facts(record: RunRecord) -> list[str]:
    failed = len(record.failures)
    took = "" if record.seconds is None else f" in {duration(record.seconds)}"
    lines = [f"{record.name}: {len(record.trials)} trials{took}" + (f", {failed} of them failed" if failed else "")]
    best = record.best
    if best is not None:
        value = metric_text(record.objective.metric, record.objective.metric_value(best.loss))
        lines.append(f"best trial of the search: {best.id}, {record.objective.metric} {value}")
    elif record.search:
        lines.append("no trial of the search worked")
    lines += [rank.text for rank in record.ranks[-1:]]
    return lines


def _cells(record: RunRecord) -> list[list[str]]:
    """The table, titles first."""
    notes = any(row.note for row in record.rows)
    title = metric_title(record.compared).removesuffix(" (%)").lower()
    lines = [["network", title, "parameters", "MACs", "training", *[""] * notes]]
    for row in record.rows:
        numbers = [_accuracy(record, row), count(row.params), count(row.macs), duration(row.seconds)]
        lines.append([row.name, *numbers, *[row.note] * notes])
    return lines


def _aligned(record: RunRecord) -> list[str]:
    """The table for a file or a pipe: no lines, no colors, nothing wrapped."""
    lines = _cells(record)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def cell(i: int, text: str) -> str:
        return text.rjust(widths[i]) if i in NUMBERS else text.ljust(widths[i])

    return ["  ".join(cell(i, text) for i, text in enumerate(line)).rstrip() for line in lines]


def _accuracy(record: RunRecord, row: Row) -> str:
    text = metric_text(record.compared, row.accuracy)
    if row.spread is None:
        return text
    return f"{text} ± {100 * row.spread:.2f}" if is_fraction(record.compared) else f"{text} ± {row.spread:.2g}"


def _finite(metrics: Any) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}
