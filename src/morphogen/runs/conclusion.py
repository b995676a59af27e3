"""The end of a run: the winner exported and proven, the comparison, the verdict, the page."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, final

from rich.console import Console

from morphogen.config import Config
from morphogen.methods.phases import BASELINES, RANDOM, RETRAIN, SEARCH, SUPERNET, TEST, means, trained
from morphogen.objective import best
from morphogen.protocols import MorphogenError
from morphogen.report.record import Row, RunRecord
from morphogen.report.verdict import Verdict
from morphogen.runs.assembly import Parts
from morphogen.runs.folder import CONFIG
from morphogen.runs.ranking import Ranking
from morphogen.runs.reading import read
from morphogen.runs.whole import write_whole
from morphogen.space import Architecture
from morphogen.trial import Trial

__all__ = ["Result", "conclude", "export_again", "rewrite_report", "winning"]

ARMS = {SEARCH: "search", RANDOM: "random arm"}


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
                "found_by": _arm(self.winner),
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
    exported, reason = parts.data is not None and _has_weights(folder, winner), None
    for draft in folder.glob(".best-*"):  # of an export that was killed
        shutil.rmtree(draft, ignore_errors=True)
    if exported:
        try:
            _export(folder, parts, winner, folder / "best")
        except (MorphogenError, ValueError) as error:
            exported, reason = False, str(error)
    elif parts.data is not None:
        reason = "no finalist was retrained: give a larger budget"
    result = Result(folder, parts, _record(folder, config, parts, trials, winner, seconds), winner, exported, reason)
    _write_report(result.record, folder)
    write_whole(folder / "result.json", json.dumps(result.json, indent=1))
    return result


def rewrite_report(folder: Path) -> Path:
    """Write the page again from the record; also of a run that is not finished."""
    config, parts, trials = read(folder)
    record = _record(
        folder, config, parts, trials, winning(trials), sum(t.outcome.seconds for t in trials if t.outcome)
    )
    return _write_report(record, folder)


def export_again(folder: Path, to: Path) -> dict[str, Any]:
    """Export the winner of a run to another place; `finalist` tells whether it was trained as one, or in the search only."""
    _, parts, trials = read(folder)
    winner = winning(trials)
    if parts.data is None:
        raise MorphogenError(f"{folder} searched a table: nothing was trained that could be exported")
    if not _has_weights(folder, winner):
        raise MorphogenError(f"{folder} has no finished training yet: `morphogen resume {folder}` first")
    return _export(folder, parts, winner, to)


def winning(trials: Sequence[Trial]) -> Trial:
    """The best training of the finalist with the best mean, of either arm; without retraining, the best trial."""
    groups = [group for arm in ARMS for group in means(trials, arm)[:1]]
    if groups:
        chosen = min(
            groups, key=lambda ts: (sum(t.violation for t in ts) / len(ts), sum(t.loss for t in ts) / len(ts), ts[0].id)
        )
        winner = best(chosen)
    else:
        winner = best(t for t in trials if t.phase == SEARCH)
    if winner is None:
        raise MorphogenError("no trial worked yet: there is nothing to conclude")
    return winner


def _has_weights(folder: Path, winner: Trial) -> bool:
    """Whether it was trained in full: as a finalist, or at least, where time was too short for those, in the search."""
    return winner.phase == RETRAIN or (
        not winner.proposal.fidelity and any((folder / "trials" / str(winner.id)).glob("*.pt"))
    )


def _arm(trial: Trial) -> str:
    return str(trial.proposal.origin.get("arm", trial.phase))


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
        "found_by": ARMS.get(_arm(winner), _arm(winner)),
        "trial": winner.id,
    }
    exported = export(built, to, image=data.image, architecture=winner.architecture, card=card)
    return {
        "folder": str(to),
        "files": [str(p) for p in exported.paths.values()],
        "finalist": winner.phase == RETRAIN,
    }


def _record(
    folder: Path, config: Config, parts: Parts, trials: Sequence[Trial], winner: Trial, seconds: float
) -> RunRecord:
    phases = {name: [t for t in trials if t.phase == name] for name in dict.fromkeys(t.phase for t in trials)}
    measured = {o.metric for o in parts.objectives} & set(parts.judges.search.measured)
    warnings = (
        [f"{', '.join(sorted(measured))} is measured: the run resumes exactly, it does not repeat exactly"]
        if measured
        else []
    )
    if config.order == "finish":
        warnings.append("trials were told in order of arrival: the run resumes exactly, it does not repeat")
    if SUPERNET in phases:
        from morphogen.oneshot.health import warnings as unwell

        for trial in phases[SUPERNET]:
            if trial.outcome is not None:
                warnings += [f"supernet of trial {trial.id}: {said}" for said in unwell(trial.outcome.curves)]
    retrained = [t for t in phases.get(RETRAIN, ()) if t.outcome is not None and not t.failed]
    if not retrained and parts.data is not None and _has_weights(folder, winner):
        warnings.append("time was too short to train a finalist anew: the network is the one that the search trained")
    if short := sum(trained(t) < max(map(trained, retrained)) for t in retrained):
        warnings.append(
            f"time cut {short} of {len(retrained)} trainings of finalists short: they count only for a finalist without a whole one"
        )
    metric = parts.objectives[0].metric
    return RunRecord(
        name=folder.name,
        space=parts.space,
        phases=phases,
        objectives=parts.objectives,
        rows=_rows(trials, winner),
        search=[name for name in (SUPERNET, SEARCH) if name in phases],
        winner=winner.architecture,
        retrained_search=_retrained(parts, trials, SEARCH),
        retrained_random=_retrained(parts, trials, RANDOM),
        ranks=Ranking.read(folder),
        metric=metric,
        seed=config.seed,
        settings=config.model_dump(mode="json", exclude_none=True),
        command=f"morphogen search {folder / CONFIG}",
        versions=_versions(),
        seconds=seconds,
        warnings=warnings,
    )


def _retrained(parts: Parts, trials: Sequence[Trial], arm: str) -> list[list[float]]:
    """More is better, as the verdict wants it."""
    return [[-t.loss for t in group] for group in means(trials, arm)]


def _rows(trials: Sequence[Trial], winner: Trial) -> list[Row]:
    """The winner, the winner of the other arm, and the baselines: on the test split where it was opened."""
    rows: list[Row] = []
    tests = {t.proposal.warm_start: t for t in trials if t.phase == TEST and not t.failed}
    arms = [arm for arm in ARMS if means(trials, arm)]
    for arm in sorted(arms, key=lambda a: a != _arm(winner)):
        group = means(trials, arm)[0]
        chosen = best(group)
        assert chosen is not None
        name = "winner" if chosen.id == winner.id else f"best of the {ARMS[arm]}"
        rows.append(_row(name, chosen, tests, f"found by the {ARMS[arm]}" if name == "winner" else "", group))
    for trial in trials:
        if trial.phase == BASELINES and not trial.failed and trial.outcome is not None:
            rows.append(_row(str(trial.proposal.origin["baseline"]).replace("-", " "), trial, tests, "", [trial]))
    return rows


def _row(name: str, trial: Trial, tests: dict[int | None, Trial], note: str, group: Sequence[Trial]) -> Row:
    assert trial.outcome is not None
    tested = tests.get(trial.id)
    outcome = tested.outcome if tested is not None else None
    accuracies = (
        [outcome.metrics.get("accuracy", float("nan"))]
        if outcome is not None
        else [t.outcome.metrics.get("accuracy", float("nan")) for t in group if t.outcome]
    )
    where = "test split" if outcome is not None else "validation split"
    metrics = trial.outcome.metrics
    return Row(
        name,
        accuracies,
        metrics.get("params"),
        metrics.get("macs"),
        trial.outcome.seconds,
        f"{note}, {where}" if note else where,
    )


def _write_report(record: RunRecord, folder: Path) -> Path:
    from morphogen.report.page import write_report

    return write_report(record, folder / "report.html")


def _versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for package in ("morphogen", "torch", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
