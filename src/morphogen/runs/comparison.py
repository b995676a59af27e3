"""Runs side by side, and whether what they found differs by more than chance."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import mean, variance
from typing import Any, final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from morphogen.config import Config
from morphogen.methods.phases import RANDOM, RETRAIN, SEARCH, means
from morphogen.objective import Objective, best
from morphogen.report.units import count, duration, is_fraction, metric_text, number, points
from morphogen.runs.reading import read
from morphogen.trial import Trial

__all__ = ["Comparison", "Difference", "Side", "compare", "difference"]

CONFIDENCE = 0.95


@final
@dataclass(frozen=True)
class Side:
    """One run.

    Args:
        folder: Its folder.
        config: Its configuration.
        objective: Its first objective.
        trials: All of them.
        winner: The trainings of the winner with several seeds; where nothing was retrained, the best trial alone.
        finalists: The retrained metric of every finalist and seed.
        answer: What the run's own comparison with random search said; None where it is not concluded.
    """

    folder: Path
    config: Config
    objective: Objective
    trials: Sequence[Trial]
    winner: Sequence[Trial]
    finalists: Sequence[Sequence[float]]
    answer: str | None

    @property
    def values(self) -> list[float]:
        """The first objective of the winner, for each training."""
        return [self.objective.metric_value(t.loss) for t in self.winner]

    @property
    def retrained(self) -> bool:
        """Whether the winner was trained again."""
        return bool(self.winner) and self.winner[0].phase == RETRAIN

    @property
    def judged_on(self) -> tuple[Any, ...]:
        """What has to be equal for two winners to be comparable: data, split, metric, and the final training."""
        final = self.config.final
        settings = {
            "recipe": {**self.config.training, **final.training},
            "skeleton": {**self.config.skeleton, **final.skeleton},
        }
        # the seeds that train a finalist may differ in number
        recipe = {k: v for k, v in settings["recipe"].items() if k != "epochs" or k in final.training}
        on = self.config.table if self.config.table is not None else (self.config.data, self.config.split_seed)
        return on, self.objective, json.dumps([recipe, settings["skeleton"]], sort_keys=True, default=str)

    @property
    def json(self) -> dict[str, Any]:
        """Plain JSON."""
        chosen = self.winner[0] if self.winner else None
        metrics = dict(chosen.outcome.metrics) if chosen is not None and chosen.outcome is not None else {}
        finished = [t for t in self.trials if t.outcome is not None]
        return {
            "run": str(self.folder),
            "strategy": self.config.strategy,
            "on": self.config.table
            if self.config.table is not None
            else f"{self.config.space} with {self.config.data}",
            "trials": sum(t.phase == SEARCH for t in finished),
            "failed": sum(t.failed for t in finished),
            "seconds": sum(t.outcome.seconds for t in finished if t.outcome is not None),
            "search_seconds": sum(t.outcome.seconds for t in finished if t.outcome is not None and t.phase == SEARCH),
            "metric": self.objective.metric,
            "best": mean(self.values) if self.winner else None,
            "values": self.values,
            "retrained": self.retrained,
            "params": metrics.get("params"),
            "macs": metrics.get("macs"),
            "architecture": None if chosen is None or chosen.architecture is None else chosen.architecture.json,
            "verdict": self.answer,
        }


@final
@dataclass(frozen=True)
class Difference:
    """The winner of one run minus that of another, in the direction in which more is better."""

    first: str
    second: str
    estimate: float | None
    low: float | None
    high: float | None
    sentence: str

    @property
    def json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "first": self.first,
            "second": self.second,
            "difference": self.estimate,
            "low": self.low,
            "high": self.high,
            "sentence": self.sentence,
        }


@final
@dataclass(frozen=True)
class Comparison:
    """Runs and their differences, two by two."""

    sides: Sequence[Side]
    differences: Sequence[Difference]

    @property
    def json(self) -> dict[str, Any]:
        """For machines."""
        return {"runs": [s.json for s in self.sides], "differences": [d.json for d in self.differences]}

    def show(self, console: Console) -> None:
        """For a terminal."""
        table = Table(
            "run", "strategy", "trials", "best", "parameters", "MACs", "seconds", "against random search", box=None
        )
        for side in self.sides:
            row = side.json
            best = metric_text(row["metric"], row["best"])
            spread = f" ±{_number(row['metric'], math.sqrt(variance(side.values)))}" if len(side.values) > 1 else ""
            cells = [
                row["run"],
                row["strategy"],
                str(row["trials"]),
                best + spread,
                count(row["params"]),
                count(row["macs"]),
            ]
            table.add_row(*map(escape, [*cells, duration(row["seconds"]), row["verdict"] or "not concluded"]))
        console.print(table)
        for found in self.differences:
            console.print(found.sentence, markup=False, soft_wrap=True)


def compare(folders: Sequence[Path]) -> Comparison:
    """Read runs and compare their winners, two by two.

    Raises:
        ValueError: Fewer than two.
        MorphogenError: A folder holds no run.
    """
    if len(folders) < 2:
        raise ValueError(f"compare needs two runs or more, got {len(folders)}")
    sides = [_side(folder) for folder in folders]
    pairs = list(combinations(sides, 2))
    return Comparison(sides, [difference(a, b, len(pairs)) for a, b in pairs])


def _side(folder: Path) -> Side:
    config, parts, trials = read(folder)
    told = [t for t in trials if t.outcome is not None]
    groups = sorted(
        (g for arm in (SEARCH, RANDOM) for g in means(told, arm)),
        key=lambda g: (sum(t.violation for t in g) / len(g), _loss(g)),
    )
    own = [g for g in groups if g[0].proposal.origin.get("arm") == SEARCH]
    lone = best(t for t in told if t.phase == SEARCH)
    winner = own[0] if own else [lone] if lone is not None else []
    finalists = [[-t.loss for t in g] for g in groups]
    return Side(folder, config, parts.objectives[0], trials, winner, finalists, _answer(folder))


def _loss(trials: Sequence[Trial]) -> float:
    return sum(t.loss for t in trials) / len(trials)


def _answer(folder: Path) -> str | None:
    try:
        found = json.loads((folder / "result.json").read_text(encoding="utf-8"))["verdict"]
        return str(found["answer"] if isinstance(found, dict) else found)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def difference(a: Side, b: Side, pairs: int = 1) -> Difference:
    """What the winner of `a` is better by than that of `b`, from their retrainings.

    The spread of seeds is pooled over all finalists of both runs, the interval is Student's, with Bonferroni's correction
    where several pairs are compared. It speaks of these two winners: how lucky each search was, one run does not show.
    """
    from scipy.stats import t as student

    names = str(a.folder), str(b.folder)

    def untold(reason: str) -> Difference:
        return Difference(*names, None, None, None, f"{names[0]} and {names[1]}: cannot tell, {reason}.")

    if a.judged_on != b.judged_on:
        return untold("they are judged on different data, metrics or final trainings")
    if not (a.winner and b.winner):
        return untold("no trial worked in one of them")
    if not (a.retrained and b.retrained):
        return untold("the best of noisy trials compare badly: the finalists of both have to be retrained")
    seeds = [s for s in (*a.finalists, *b.finalists) if len(s) > 1]
    freedom = sum(len(s) - 1 for s in seeds)
    if not freedom:
        return untold("the finalists were retrained with one seed, which does not show the noise of training")
    mine, theirs = ([-t.loss for t in side.winner] for side in (a, b))
    estimate = mean(mine) - mean(theirs)
    spread = math.sqrt(sum(variance(s) * (len(s) - 1) for s in seeds) / freedom)
    quantile = float(student.ppf(1 - (1 - CONFIDENCE) / 2 / pairs, freedom))
    margin = quantile * spread * math.sqrt(1 / len(mine) + 1 / len(theirs))
    low, high = estimate - margin, estimate + margin
    said = (
        f"better than that of {names[1]}"
        if low > 0
        else f"worse than that of {names[1]}"
        if high < 0
        else f"not told apart from that of {names[1]}"
    )
    metric = a.objective.metric
    numbers = f"{_signed(metric, estimate)} ({100 * CONFIDENCE:g} % interval {_signed(metric, low)} to {_signed(metric, high)}"
    return Difference(
        *names, estimate, low, high,
        f"The winner of {names[0]} is {said}: {numbers}, {len(mine)} and {len(theirs)} trainings, {metric}, above 0: better).",
    )  # fmt: skip


def _signed(metric: str, value: float) -> str:
    return f"{points(value, 2)} points" if is_fraction(metric) else f"{value:+.4g}"


def _number(metric: str, value: float) -> str:
    return f"{100 * value:.2f}" if is_fraction(metric) else number(value)
