"""A benchmark in a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from morphogen.bench.results import RANDOM, Bench, OnTable
from morphogen.report.units import duration, is_fraction, metric_text, metric_title

__all__ = ["heading", "regret_text", "row_texts", "show", "titles"]


MOST_WIDE = 400


def show(bench: Bench, console: Console) -> None:
    """A table for each table, and the ranks over all."""
    for on in bench.tables:
        console.print(f"[bold]{escape(on.name)}[/bold]: {escape(heading(on))}", soft_wrap=True)
        table = Table(*titles(on), box=None)
        for column in table.columns[1:]:
            column.justify, column.no_wrap = "right", True
        table.columns[0].no_wrap = True
        for strategy in sorted(on.replays, key=lambda s: (on.ranks[s], s)):
            table.add_row(*map(escape, row_texts(on, strategy)))
        _whole(table, console)
        for name, found in on.predictors.items():
            numbers = f"Kendall {found.kendall:.2f}, Spearman {found.spearman:.2f}"
            console.print(f"predictor {escape(name)}: cross-validated rank correlation {numbers}", soft_wrap=True)
        for name, reason in on.refused.items():
            console.print(f"[dim]not run: {escape(name)}: {escape(reason)}[/dim]", soft_wrap=True)
        console.print()
    if len(bench.tables) > 1:
        ranks = Table("strategy", "mean rank", "regret / random's", box=None)
        for name, rank in bench.mean_ranks.items():
            relative = bench.relative[name]
            ranks.add_row(escape(name), f"{rank:.2f}", "" if relative is None else f"{relative:.2f}")
        console.print(f"over {len(bench.tables)} tables, by the regret at {bench.settings.budget} queries:")
        _whole(ranks, console)
    console.print(
        f"[dim]regret: mean over {bench.settings.seeds} seeds, of the incumbent without noise; in brackets its 95 % interval "
        "(bootstrap). better or worse than random search: two-sided Mann-Whitney test on the regret at the end, "
        "Holm-adjusted, at 5 %.[/dim]"
    )


def _whole(table: Table, console: Console) -> None:
    """Print a table as wide as it is: numbers that were cut off would be worse than lines that a terminal breaks."""
    needed = console.measure(table, options=console.options.update(width=MOST_WIDE)).maximum
    before = console.width
    try:
        console.width = max(needed, before)
        console.print(table)
    finally:
        console.width = before


def heading(on: OnTable) -> str:
    """What a table is, in one line."""
    title = metric_title(on.metric)
    optimum = metric_text(on.metric, on.table.optimum)
    unit = ", regret in percentage points" if is_fraction(on.metric) else ""
    return f"{title}, best {optimum}{unit}"


def titles(on: OnTable) -> list[str]:
    """The columns."""
    report = getattr(on.table, "report", None)
    return [
        "strategy", *([str(report).replace("_", " ")] if report else []), "against random", *(f"regret@{q}" for q in on.checkpoints),
        "queries to best", "found", "simulated", "busy", "ms/ask",
    ]  # fmt: skip


def row_texts(on: OnTable, strategy: str) -> list[str]:
    """A strategy's cells."""
    row = on.row(strategy)
    regrets = [regret_text(on.metric, row["regret"][str(q)]["mean"]) for q in on.checkpoints]
    low, high = (regret_text(on.metric, row["regret"][str(on.budget)][end]) for end in ("low", "high"))
    regrets[-1] += f" ({low}-{high})"
    queries, versus, report = row["queries"], row["against_random"], getattr(on.table, "report", None)
    against = "" if versus is None else f"{versus['end']['answer']} (p {_p(versus['end']['p'])})"
    found = row["reported"]
    told = ""
    if report and found is not None:
        told = f"{metric_text(report, found['mean'])} ±{regret_text(report, found['sd'])}"
    return [
        strategy,
        *([told] if report else []),
        against if strategy != RANDOM else "-",
        *regrets,
        f"{queries['mean']:.1f}±{queries['se']:.1f}",
        f"{100 * queries['found']:.0f} %",
        duration(row["simulated_seconds"]),
        f"{100 * row['utilization']:.0f} %",
        f"{row['ask_ms']:.2g}",
    ]


def regret_text(metric: str, value: float) -> str:
    """A regret, in points for accuracies."""
    return f"{100 * value:.3f}" if is_fraction(metric) else f"{value:.3g}"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"
