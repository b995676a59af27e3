"""The account of a run: out of its configuration and its trials, what the page shows."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from morphogen.config import Config
from morphogen.methods.phases import BASELINES, RANDOM, RETRAIN, SEARCH, SUPERNET, TEST, means, trained
from morphogen.objective import best, told_by
from morphogen.report.record import Row, RunRecord
from morphogen.runs.assembly import Parts
from morphogen.runs.folder import CONFIG
from morphogen.runs.ranking import Ranking
from morphogen.runs.winner import ARMS, arm_of, has_weights
from morphogen.trial import Trial

__all__ = ["account"]


def account(
    folder: Path, config: Config, parts: Parts, trials: Sequence[Trial], winner: Trial, seconds: float
) -> RunRecord:
    """All of a run, for its page.

    Args:
        folder: The run folder.
        config: Of the run.
        parts: What it was made of.
        trials: All of them, by id.
        winner: One of them.
        seconds: That the run has taken.
    """
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

        went_on = {trial.proposal.warm_start for trial in phases[SUPERNET]}  # their curves begin with these
        for trial in phases[SUPERNET]:
            if trial.outcome is not None and trial.id not in went_on:
                warnings += [f"supernet of trial {trial.id}: {said}" for said in unwell(trial.outcome.curves)]
    retrained = [t for t in phases.get(RETRAIN, ()) if t.outcome is not None and not t.failed]
    if not retrained and parts.data is not None and has_weights(folder, winner):
        warnings.append("time was too short to train a finalist anew: the network is the one that the search trained")
    if short := sum(trained(t) < max(map(trained, retrained)) for t in retrained):
        warnings.append(
            f"time cut {short} of {len(retrained)} trainings of finalists short: they count only for a finalist without a whole one"
        )
    metric = parts.objectives[0].metric
    compared = metric if parts.data is None else told_by(parts.data.task.metrics, parts.objectives).metric
    return RunRecord(
        name=folder.name,
        space=parts.space,
        phases=phases,
        objectives=parts.objectives,
        rows=_rows(trials, winner, compared),
        search=[name for name in (SUPERNET, SEARCH) if name in phases],
        winner=winner.architecture,
        retrained_search=_retrained(parts, trials, SEARCH),
        retrained_random=_retrained(parts, trials, RANDOM),
        ranks=Ranking.read(folder),
        metric=metric,
        compared=compared,
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


def _rows(trials: Sequence[Trial], winner: Trial, metric: str) -> list[Row]:
    """The winner, the winner of the other arm, and the baselines: on the test split where it was opened."""
    rows: list[Row] = []
    tests = {t.proposal.warm_start: t for t in trials if t.phase == TEST and not t.failed}
    arms = [arm for arm in ARMS if means(trials, arm)]
    for arm in sorted(arms, key=lambda a: a != arm_of(winner)):
        group = means(trials, arm)[0]
        chosen = best(group)
        assert chosen is not None
        name = "winner" if chosen.id == winner.id else f"best of the {ARMS[arm]}"
        rows.append(_row(name, chosen, tests, f"found by the {ARMS[arm]}" if name == "winner" else "", group, metric))
    for trial in trials:
        if trial.phase == BASELINES and not trial.failed and trial.outcome is not None:
            rows.append(
                _row(str(trial.proposal.origin["baseline"]).replace("-", " "), trial, tests, "", [trial], metric)
            )
    return rows


def _row(
    name: str, trial: Trial, tests: dict[int | None, Trial], note: str, group: Sequence[Trial], metric: str
) -> Row:
    assert trial.outcome is not None
    tested = tests.get(trial.id)
    outcome = tested.outcome if tested is not None else None
    outcomes = [outcome] if outcome is not None else [t.outcome for t in group if t.outcome]
    accuracies = [o.metrics.get(metric, float("nan")) for o in outcomes]
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


def _versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for package in ("morphogen", "torch", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
