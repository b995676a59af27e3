"""The end of a run: the winner exported and proven, the comparison, the verdict, the page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from rich.console import Console

from morphogen.config import Config
from morphogen.methods.phases import RETRAIN
from morphogen.protocols import MorphogenError
from morphogen.report.record import RunRecord
from morphogen.report.verdict import Verdict
from morphogen.runs.account import account
from morphogen.runs.assembly import Parts
from morphogen.runs.reading import read
from morphogen.runs.whole import write_whole
from morphogen.runs.winner import ARMS, arm_of, has_weights, winning
from morphogen.space import Architecture
from morphogen.trial import Trial

__all__ = ["Result", "conclude", "export_again", "rewrite_report"]


@final
@dataclass(frozen=True)
class Result:
    """What a run gave.

    Args:
        folder: The run folder.
        parts: What it was made of.
        record: All of it, for the page; `record.verdict` says whether the search was worth it.
        winner: The finished training that is exported; on a table, the best trial.
        exported: Whether `folder / "best"` holds the proven network.
        export_error: Why it does not, where it should.
    """

    folder: Path
    parts: Parts
    record: RunRecord
    winner: Trial
    exported: bool
    export_error: str | None = None

    @property
    def best(self) -> Architecture:
        """The architecture that won."""
        assert self.winner.architecture is not None
        return self.winner.architecture

    @property
    def verdict(self) -> Verdict:
        """Whether the search was better than random search at equal budget."""
        return self.record.verdict

    def export(self, to: str | Path) -> dict[str, Any]:
        """Write the winner as a network that needs nothing of ours, and prove it."""
        return _export(self.folder, self.parts, self.winner, Path(to))

    @property
    def json(self) -> dict[str, Any]:
        """For machines."""
        from morphogen.report.terminal import summary

        return {
            "folder": str(self.folder),
            "winner": {
                "trial": self.winner.id,
                "found_by": arm_of(self.winner),
                "metrics": dict(self.winner.outcome.metrics if self.winner.outcome else {}),
            },
            "exported": str(self.folder / "best") if self.exported else None,
            "export_error": self.export_error,
            "report": str(self.folder / "report.html"),
            **summary(self.record),
        }

    def show(self, console: Console) -> None:
        """For a terminal."""
        from morphogen.report.terminal import show

        show(self.record, console)
        console.print(f"report  {self.folder / 'report.html'}", markup=False, soft_wrap=True)
        if self.exported:
            console.print(
                f"network {self.folder / 'best' / 'model.py'} (verified: equal logits without morphogen)",
                markup=False,
                soft_wrap=True,
            )
        if self.export_error is not None:
            console.print(f"not exported: {self.export_error}", markup=False, soft_wrap=True)


def conclude(folder: Path, config: Config, parts: Parts, trials: Sequence[Trial], seconds: float) -> Result:
    """Export the winner, write the page and `result.json`. A network that cannot be exported loses nothing of the rest."""
    winner = winning(trials)
    exported, reason = parts.data is not None and has_weights(folder, winner), None
    for draft in folder.glob(".best-*"):  # of an export that was killed
        shutil.rmtree(draft, ignore_errors=True)
    if exported:
        try:
            _export(folder, parts, winner, folder / "best")
        except (MorphogenError, ValueError) as error:
            exported, reason = False, str(error)
    elif parts.data is not None:
        reason = "no finalist was retrained: give a larger budget"
    result = Result(folder, parts, account(folder, config, parts, trials, winner, seconds), winner, exported, reason)
    _write_report(result.record, folder)
    write_whole(folder / "result.json", json.dumps(result.json, indent=1))
    return result


def rewrite_report(folder: Path) -> Path:
    """Write the page again from the record; also of a run that is not finished."""
    config, parts, trials = read(folder)
    record = account(
        folder, config, parts, trials, winning(trials), sum(t.outcome.seconds for t in trials if t.outcome)
    )
    return _write_report(record, folder)


def export_again(folder: Path, to: Path) -> dict[str, Any]:
    """Export the winner of a run to another place; `finalist` tells whether it was trained as one, or in the search only."""
    _, parts, trials = read(folder)
    winner = winning(trials)
    if parts.data is None:
        raise MorphogenError(f"{folder} searched a table: nothing was trained that could be exported")
    if not has_weights(folder, winner):
        raise MorphogenError(f"{folder} has no finished training yet: `morphogen resume {folder}` first")
    return _export(folder, parts, winner, to)


def _export(folder: Path, parts: Parts, winner: Trial, to: Path) -> dict[str, Any]:
    from morphogen.export import export
    from morphogen.nn.network import network
    from morphogen.training import checkpoint

    assert parts.data is not None
    assert parts.skeletons is not None
    assert winner.architecture is not None
    trained = checkpoint.load(folder / "trials" / str(winner.id))
    if trained is None:
        raise MorphogenError(f"the weights of trial {winner.id} in {folder} are gone or damaged: it cannot be exported")
    built = network(
        parts.space.fix(winner.architecture), parts.skeletons["final" if winner.phase == RETRAIN else "search"]
    )
    built.load_state_dict(trained["network"])
    data = parts.data
    card = {
        "data": {"name": data.name, "image": list(data.image), "classes": list(data.class_names)},
        "normalization": {"mean": list(data.mean), "std": list(data.std)},
        "metrics": dict(winner.outcome.metrics) if winner.outcome else {},
        "found_by": ARMS.get(arm_of(winner), arm_of(winner)),
        "trial": winner.id,
    }
    exported = export(built, to, image=data.image, architecture=winner.architecture, card=card)
    return {
        "folder": str(to),
        "files": [str(p) for p in exported.paths.values()],
        "finalist": winner.phase == RETRAIN,
    }


def _write_report(record: RunRecord, folder: Path) -> Path:
    from morphogen.report.page import write_report

    return write_report(record, folder / "report.html")
