"""How far a run is, from its record alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from morphogen.config import Config
from morphogen.objective import Objective
from morphogen.predictors.validation import Ranked
from morphogen.protocols import Event, Store
from morphogen.record import recorded
from morphogen.runs.assembly import assemble
from morphogen.runs.folder import read_config, where
from morphogen.runs.ranking import Ranking
from morphogen.runs.tally import Tally
from morphogen.store import open as open_store
from morphogen.trial import Trial

__all__ = ["Status", "status", "trial_json"]


def status(folder: Path, last: int | None = 10) -> Status:
    """Read a run's record; `last` trials are listed, None for all."""
    config = read_config(folder)
    parts = assemble(config)
    store = open_store(where(folder, config), readonly=True)
    try:
        tally = Tally(parts.objectives, parts.limits).read(folder).catch_up(store)
        events = store.stream() if last is None else _end(store, tally.events, last)
        listed = recorded(events, parts.space, parts.objectives, parts.limits)
    finally:
        store.close()
    shown = listed if last is None else listed[-last:] if last else []
    return Status(folder, config, parts.objectives, tally, shown, Ranking.read(folder))


def _end(store: Store, events: int, trials: int) -> list[Event]:
    """The end of a record, with at least so many trials and all that is recorded of them."""
    span = 64 + 4 * trials
    while True:
        end = list(store.stream(max(0, events - span)))
        if span >= events or sum(e.kind == "asked" for e in end) >= trials:
            return end
        span *= 4


@final
@dataclass(frozen=True)
class Status:
    """A run as it is recorded."""

    folder: Path
    config: Config
    objectives: tuple[Objective, ...]
    tally: Tally
    listed: list[Trial]
    """The trials to list."""
    ranking: list[Ranked]
    """How well the strategy's predictor ordered what it was not shown."""

    @property
    def summary(self) -> dict[str, Any]:
        """Counts, seconds and the best trial, for every phase."""
        phases = {
            name: {
                "asked": count.asked,
                "finished": count.finished,
                "failed": count.failed,
                "seconds": count.seconds,
                "best": count.best,
            }
            for name, count in self.tally.phases.items()
        }
        return {
            "folder": str(self.folder),
            "space": self.config.space if self.config.table is None else self.config.table,
            "strategy": self.config.strategy,
            **{key: sum(p[key] for p in phases.values()) for key in ("asked", "finished", "failed")},
            "concluded": (self.folder / "result.json").is_file(),
            "phases": phases,
            **({"predictor": [asdict(r) for r in self.ranking]} if self.ranking else {}),
        }

    @property
    def json(self) -> dict[str, Any]:
        """For `--json`: the summary, and the listed trials."""
        return {**self.summary, "trials": [trial_json(t) for t in self.listed]}

    def show(self, console: Console) -> None:
        """For a terminal."""
        summary = self.summary
        console.print(f"{self.folder}: {summary['strategy']} on {summary['space']}", markup=False, soft_wrap=True)
        phases = Table("phase", "asked", "finished", "failed", "seconds", f"best {self.objectives[0].metric}", box=None)
        for name, p in summary["phases"].items():
            metric = p["best"].get(self.objectives[0].metric) if p["best"] else None
            numbers = [str(p["asked"]), str(p["finished"]), str(p["failed"]), f"{p['seconds']:.1f}"]
            phases.add_row(
                escape(name), *numbers, "" if metric is None else f"{float(metric):.4f} (trial {p['best']['id']})"
            )
        console.print(phases)
        if self.ranking:
            console.print(self.ranking[-1].text, markup=False, soft_wrap=True)
        trials = Table("trial", "phase", "state", self.objectives[0].metric, "seconds", "architecture", box=None)
        for t in self.listed:
            state = "running or waiting" if t.outcome is None else "failed" if t.failed else "finished"
            value = "" if t.outcome is None or t.failed else f"{self.objectives[0].metric_value(t.loss):.4f}"
            seconds = "" if t.outcome is None else f"{t.outcome.seconds:.1f}"
            text = "" if t.architecture is None else t.architecture.text
            trials.add_row(
                str(t.id), escape(t.phase), state, value, seconds, escape(text[:60] + ("…" if len(text) > 60 else ""))
            )
        console.print(trials)
        if not summary["concluded"]:
            console.print(
                f"not concluded; if nothing works on it: morphogen resume {self.folder}", markup=False, soft_wrap=True
            )


def trial_json(trial: Trial) -> dict[str, Any]:
    """A trial for machines."""
    outcome = trial.outcome
    return {
        "id": trial.id,
        "phase": trial.phase,
        "state": "pending" if outcome is None else "failed" if trial.failed else "finished",
        "metrics": {} if outcome is None else outcome.json["metrics"],
        "seconds": None if outcome is None else outcome.seconds,
        "error": None if outcome is None else outcome.error,
        "proposal": trial.proposal.json,
    }
