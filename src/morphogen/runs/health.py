"""How well the supernets of a run are: what was watched while they trained, and on request what costs more to know."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from morphogen.estimators.supernet_accuracy import SupernetAccuracy
from morphogen.estimators.supernet_agreement import Agreement, agreement
from morphogen.estimators.supernet_training import SupernetTraining
from morphogen.methods.phases import RANDOM, SEARCH, SUPERNET
from morphogen.objective import best
from morphogen.oneshot import health as signs
from morphogen.protocols import Context, MorphogenError
from morphogen.report.units import is_fraction, metric_text
from morphogen.runs.assembly import Parts
from morphogen.runs.judging import trained_by
from morphogen.runs.reading import read
from morphogen.study import TRIAL
from morphogen.training import checkpoint
from morphogen.trial import Curves, Trial

__all__ = ["Health", "Supernet", "health"]

MIXED = "supernet_"
"""Of the name of what is sought, as all that is in the sum has it."""

MEANING = {
    "train_loss": "of the shared weights",
    signs.SKIPPED: "of the operations that it would end at, those that are skips",
    signs.NONE: "mean weight of `none`, which is never picked",
    signs.ENTROPY: "of the weights; 1: undecided",
    signs.REWARD: "mean of what the controller sampled, by what is sought",
    signs.BASELINE: "moving average that rewards are compared with",
    signs.SURPRISE: "nats; 0: it samples one architecture",
    signs.SHARPNESS: "largest eigenvalue of the validation loss over the logits",
}
SHARES = frozenset({signs.SKIPPED, signs.NONE})
REWARDS = frozenset({signs.REWARD, signs.BASELINE})


@final
@dataclass(frozen=True)
class Supernet:
    """One supernet of a run, as far as it came.

    Args:
        trial: Its trial; the outcome may still be missing.
        folder: Of the trial.
        epochs: Behind it.
        horizon: All its epochs.
        curves: After every epoch.
        stopped: Whether it was ended because skips took over.
    """

    trial: Trial
    folder: Path
    epochs: int
    horizon: int
    curves: Curves
    stopped: bool

    @property
    def state(self) -> str:
        """In a word or two."""
        if self.trial.outcome is None:
            return "not finished"
        return "failed" if self.trial.outcome.error is not None else "finished"

    @property
    def notes(self) -> list[str]:
        """What a person should know, in words."""
        if self.epochs == 0:
            return ["no epoch is over yet: there is nothing to see"]
        told = signs.warnings(self.curves)
        if self.stopped:
            told.append(
                f"it was ended after {self.epochs} epochs: another one would have had too many skips (most_skips)"
            )
        if not (MEANING.keys() - {"train_loss"}) & self.curves.keys():
            told.append(
                "it learned shared weights only, there are no signs of what an architecture learns; whether these "
                "weights rank architectures is told by --agreement 8"
            )
        return told

    @property
    def json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "trial": self.trial.id,
            "state": self.state,
            "epochs": self.epochs,
            "horizon": self.horizon,
            "curves": {name: [[step, _finite(value)] for step, value in ps] for name, ps in self.curves.items()},
            "notes": self.notes,
        }


@final
@dataclass(frozen=True)
class Health:
    """What is known of the supernets of a run.

    Args:
        folder: The run.
        supernets: In the order in which they were asked for.
        asked: The trial that what follows is of.
        sharpness: The largest eigenvalue of the Hessian of the validation loss over the logits, where wanted.
        agreement: With architectures trained alone, where wanted.
    """

    folder: Path
    supernets: Sequence[Supernet]
    asked: int | None = None
    sharpness: float | None = None
    agreement: Agreement | None = None

    @property
    def json(self) -> dict[str, Any]:
        """For machines; a training that failed has its metric null, as has what is no number."""
        found: dict[str, Any] = {"folder": str(self.folder), "supernets": [s.json for s in self.supernets]}
        if self.sharpness is not None:
            found["sharpness"] = {"trial": self.asked, "eigenvalue": _finite(self.sharpness)}
        if (ranked := self.agreement) is not None:
            found["agreement"] = {
                "trial": self.asked,
                "tau": ranked.tau,
                "by_luck": _by_luck(len(ranked.shared)),
                "architectures": [
                    {"architecture": a.json, "shared": _finite(s), "alone": _finite(t)}
                    for a, s, t in zip(ranked.architectures, ranked.shared, ranked.alone, strict=True)
                ],
            }
        return found

    def show(self, console: Console) -> None:
        """For a terminal."""
        for supernet in self.supernets:
            console.print(
                f"supernet of trial {supernet.trial.id}: {supernet.epochs} of {supernet.horizon} epochs, "
                f"{supernet.state}",
                markup=False,
                soft_wrap=True,
            )
            table = Table("sign", "first", "last", "", box=None)
            mixed = {name: "of all that is in the sum" for name in supernet.curves if name.startswith(MIXED)}
            for name, meaning in {**mixed, **MEANING}.items():
                if points := supernet.curves.get(name):
                    share = name in SHARES or any(map(is_fraction, mixed if name in REWARDS else (name,)))
                    first, last = (f"{points[i][1]:.1%}" if share else f"{points[i][1]:.4g}" for i in (0, -1))
                    table.add_row(name.replace("_", " "), first, last, meaning)
            if table.row_count:
                console.print(table)
            for note in supernet.notes:
                console.print(f"note: {escape(note)}", soft_wrap=True)
        if self.sharpness is not None:
            console.print(f"sharpness of trial {self.asked}: largest eigenvalue {self.sharpness:.4g}", soft_wrap=True)
        if (ranked := self.agreement) is not None:
            table = Table("shared weights", "alone", "architecture", box=None)
            for a, *values in sorted(
                zip(ranked.architectures, ranked.shared, ranked.alone, strict=True),
                key=lambda row: -ranked.sought.gain(row[2]),
            ):
                text = escape(a.text[:60] + ("…" if len(a.text) > 60 else ""))
                table.add_row(
                    *("failed" if math.isinf(x) else metric_text(ranked.sought.metric, x) for x in values), text
                )
            console.print(table)
            n = len(ranked.shared)
            console.print(
                f"agreement of trial {self.asked}: Kendall's tau {ranked.tau:.2f} over {n} architectures (1 the same "
                f"order, 0 none; by luck alone within {_by_luck(n):.2f} of 0, 95 times of 100)",
                soft_wrap=True,
            )


def health(
    folder: Path,
    *,
    sharpness: bool = False,
    agreement_of: int | None = None,
    trial: int | None = None,
    say: Callable[[str], None] = print,
) -> Health:
    """Read what a run recorded of its supernets, also while it goes on or after it was killed.

    What is asked for beyond that is computed from a supernet's last checkpoint, and its price is said first.

    Args:
        folder: The run.
        sharpness: Whether to compute the largest eigenvalue of the Hessian of the validation loss over the logits.
        agreement_of: With how many architectures, trained alone as the search trains its own, to compare the supernet.
        trial: Of which supernet; by default the best that is finished, else the one that has come furthest.
        say: Is told prices and progress.

    Raises:
        MorphogenError: The run trains no supernet, has not begun one, or the checkpoint is gone.
        ValueError: No such trial, a supernet that has no sharpness, or a number of architectures that cannot be ranked.
    """
    config, parts, trials = read(folder)
    training = _training(folder, config.strategy, parts)
    assert training.regime is not None
    assert training.sought is not None
    horizon, metric = training.regime.recipe.epochs, training.sought.metric
    supernets = [_supernet(folder, t, horizon, metric) for t in trials if t.phase == SUPERNET]
    went_on = {s.trial.proposal.warm_start for s in supernets if s.epochs}  # a pause: the next trial tells all of it
    supernets = [s for s in supernets if s.trial.id not in went_on]
    if not supernets:
        raise MorphogenError(f"{folder} has not begun its supernet yet: `morphogen resume {folder}`")
    if not sharpness and agreement_of is None:
        return Health(folder, supernets)
    chosen = _chosen(supernets, trial)
    if sharpness and not training.relaxes():
        raise ValueError(
            f"a supernet of {config.strategy} learns no logits that its loss could be sharp in: ask for --agreement, "
            "or for the sharpness of a gradient method such as darts"
        )
    if agreement_of is not None and not 2 <= agreement_of <= training.space.size:
        raise ValueError(f"{agreement_of} architectures cannot be ranked: expected 2 to {training.space.size}")
    if checkpoint.load(chosen.folder) is None:
        raise MorphogenError(f"trial {chosen.trial.id} of {folder} has no checkpoint, or only a damaged one")
    seed = int(np.random.default_rng((config.seed, chosen.trial.id, TRIAL)).integers(2**31))
    context = Context(seed, folder=chosen.folder, device=parts.device)
    return Health(
        folder,
        supernets,
        chosen.trial.id,
        training.sharpness(context, say) if sharpness else None,
        None if agreement_of is None else _agreement(training, parts, trials, context, agreement_of, say),
    )


def _training(folder: Path, strategy: str, parts: Parts) -> SupernetTraining:
    """The estimator of the phase that trains supernets."""
    for phase in parts.phases:
        if phase.name == SUPERNET:
            _, estimator = phase.start(())
            assert isinstance(estimator, SupernetTraining)
            return estimator
    raise MorphogenError(
        f"{folder} has no supernet: {strategy} judges every architecture on its own; darts, enas, single-path and "
        "their like train one"
    )


def _supernet(folder: Path, trial: Trial, horizon: int, metric: str) -> Supernet:
    """From the record where the trial is finished, else from its last checkpoint."""
    place = folder / "trials" / str(trial.id)
    state = checkpoint.load(place)
    learned: Mapping[str, Any] = {} if state is None else state["learned"]
    curves: Curves = learned.get("curves", {})
    if trial.outcome is not None and trial.outcome.curves:
        curves = trial.outcome.curves
    if metric in curves:  # of the mixture; the trial's own is of what it found
        curves = {f"{MIXED}{metric}": curves[metric], **{k: v for k, v in curves.items() if k != metric}}
    epochs = int(max((points[-1][0] for points in curves.values() if points), default=0))
    return Supernet(trial, place, epochs, horizon, curves, bool(learned.get("stopped", False)))


def _chosen(supernets: Sequence[Supernet], trial: int | None) -> Supernet:
    known = {s.trial.id: s for s in supernets}
    if trial is not None:
        if trial not in known:
            raise ValueError(f"trial {trial} is no supernet of this run; these are {', '.join(map(str, known))}")
        return known[trial]
    finished = best(s.trial for s in supernets if s.trial.outcome is not None)
    return known[finished.id] if finished is not None else max(supernets, key=lambda s: s.epochs)


def _agreement(
    training: SupernetTraining,
    parts: Parts,
    trials: Sequence[Trial],
    context: Context,
    k: int,
    say: Callable[[str], None],
) -> Agreement:
    alone = trained_by(parts.judges.search)
    assert alone is not None
    assert training.regime is not None
    assert context.folder is not None
    assert training.sought is not None
    recorded = [
        t.outcome.seconds
        for t in trials
        if t.phase in (SEARCH, RANDOM) and t.proposal.warm_start is None and t.outcome is not None and not t.failed
    ]
    shared = SupernetAccuracy(
        training.space,
        training.data,
        training.skeleton,
        training.regime.calibration,
        training.regime.recipe.batch_size,
        training.mixed,
    )
    return agreement(
        training.space,
        context.folder,
        shared,
        alone,
        np.random.default_rng((context.seed, k)),
        k=k,
        seed=context.seed,
        device=context.device,
        seconds=math.fsum(recorded) / len(recorded) if recorded else None,
        sought=training.sought,
        say=say,
    )


def _by_luck(n: int) -> float:
    """How far from 0 tau is in 5 of 100 random orders of so many: its normal approximation (Kendall 1938)."""
    return min(1.0, 1.96 * math.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1))))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
