"""How far a run is, from its record alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from morphogen.config import Config
from morphogen.objective import Objective, best
from morphogen.runs import run
from morphogen.trial import Trial

__all__ = ["Status", "status", "trial_json"]


def status(folder: Path, last: int | None = 10) -> Status:
    """Read a run's record; `last` trials are listed, None for all."""
    config, parts, trials = run.read(folder)
    return Status(folder, config, parts.objectives, trials, last)


@final
@dataclass(frozen=True)
class Status:
    """A run as it is recorded."""

    folder: Path
    config: Config
    objectives: tuple[Objective, ...]
    trials: list[Trial]
    last: int | None

    @property
    def summary(self) -> dict[str, Any]:
        """Counts, seconds and the best trial, for every phase."""
        phases: dict[str, Any] = {}
        for name in dict.fromkeys(t.phase for t in self.trials):
            trials = [t for t in self.trials if t.phase == name]
            finished = [t for t in trials if t.outcome is not None]
            incumbent = best(finished)
            phases[name] = {
                "asked": len(trials),
                "finished": len(finished),
                "failed": sum(t.failed for t in finished),
                "seconds": sum(t.outcome.seconds for t in finished if t.outcome is not None),
                "best": None if incumbent is None else {"id": incumbent.id, **trial_json(incumbent)["metrics"]},
            }
        return {
            "folder": str(self.folder),
            "space": self.config.space if self.config.table is None else self.config.table,
            "strategy": self.config.strategy,
            "asked": len(self.trials),
            "finished": sum(t.outcome is not None for t in self.trials),
            "failed": sum(t.failed for t in self.trials),
            "concluded": (self.folder / "result.json").is_file(),
            "phases": phases,
        }

    @property
    def listed(self) -> list[Trial]:
        """The trials to list."""
        return self.trials if self.last is None else self.trials[len(self.trials) - min(self.last, len(self.trials)) :]

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
            phases.add_row(escape(name), *numbers, "" if metric is None else f"{metric:.4f} (trial {p['best']['id']})")
        console.print(phases)
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
