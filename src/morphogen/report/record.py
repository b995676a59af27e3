"""What a report is made of: plain pieces of a run, in one frozen object."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import mean, stdev
from typing import Any, final

import numpy as np

from morphogen.objective import Objective, best
from morphogen.predictors.validation import Ranked
from morphogen.report.verdict import Arm, Verdict, compare
from morphogen.space import Architecture, Space
from morphogen.trial import Trial

__all__ = ["Row", "RunRecord"]


@final
@dataclass(frozen=True)
class Row:
    """One network of the comparison table.

    Args:
        name: What a person calls it: `winner`, `plain network`, `logistic regression`, `random arm's winner`.
        accuracies: One for each seed it was trained with, 0 to 1, on images that the search did not see. Not finite
            where a training failed.
        params: Parameters; None where the notion does not apply.
        macs: Multiply-accumulates of one image.
        seconds: Of training, for one seed.
        note: Anything else, in a few words.
    """

    name: str
    accuracies: Sequence[float] = ()
    params: float | None = None
    macs: float | None = None
    seconds: float | None = None
    note: str = ""

    @property
    def accuracy(self) -> float | None:
        """The mean over the seeds that worked."""
        worked = [a for a in self.accuracies if math.isfinite(a)]
        return float(mean(worked)) if worked else None

    @property
    def spread(self) -> float | None:
        """The standard deviation over seeds; None with one."""
        worked = [a for a in self.accuracies if math.isfinite(a)]
        return float(stdev(worked)) if len(worked) > 1 else None


@final
@dataclass(frozen=True)
class RunRecord:
    """A run, as its report tells it.

    Args:
        name: Of the run.
        space: That was searched.
        phases: Name -> trials in the order told. Trials that are not finished are left out of the report.
        objectives: Of the search; the first one is shown.
        rows: The comparison table. The first row is the winner.
        winner: The architecture that is drawn; by default the best of the search.
        search: The phases that make up the search. Best so far is taken over the last of them; the seconds of those
            before (a supernet's training) count as spent.
        random: The phases of the random arm at equal budget.
        retrained_search: Per finalist of the search, winner first, the accuracies of its retraining, one a seed.
        retrained_random: The same for the random arm.
        ranks: How well the predictor of the strategy ordered what it was not shown, in the course of the search.
        metric: Of the retraining.
        compared: The metric in the comparison table; by default that of the retraining.
        margin: The smallest difference in it that matters.
        seed: Of the run.
        settings: Everything resolved, name -> value.
        command: What repeats the run.
        versions: Package -> version.
        started: When, as text.
        seconds: How long the run took, by the clock on the wall.
        warnings: What a reader must know, such as "an objective is measured: repetition is not exact".
    """

    name: str
    space: Space
    phases: Mapping[str, Sequence[Trial]]
    objectives: Sequence[Objective]
    rows: Sequence[Row] = ()
    winner: Architecture | None = None
    search: Sequence[str] = ("search",)
    random: Sequence[str] = ("random",)
    retrained_search: Sequence[Sequence[float]] = ()
    retrained_random: Sequence[Sequence[float]] = ()
    ranks: Sequence[Ranked] = ()
    metric: str = "accuracy"
    compared: str = ""
    margin: float = 0.002
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    started: str = ""
    seconds: float | None = None
    warnings: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "compared", self.compared or self.metric)
        if not self.objectives:
            raise ValueError("a report needs the objectives of the run, got none")
        if unknown := [name for name in self.search if name not in self.phases]:
            raise ValueError(
                f"the run has no phase '{unknown[0]}' for the search; it has {', '.join(self.phases) or 'none'}"
            )

    @property
    def objective(self) -> Objective:
        """The first objective."""
        return self.objectives[0]

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """Every finished trial, in the order of phases and of telling."""
        return tuple(t for trials in self.phases.values() for t in trials if t.outcome is not None)

    @cached_property
    def search_arm(self) -> Arm:
        """The search, as the verdict sees it."""
        return self._arm(self.search, self.retrained_search)

    @cached_property
    def random_arm(self) -> Arm | None:
        """The random arm; None where no trial of it was told."""
        arm = self._arm([name for name in self.random if name in self.phases], self.retrained_random)
        return arm if arm.losses else None

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the search is better than random search. The same record always gives the same."""
        retrained = self.search_arm.retrained and self.random_arm is not None and self.random_arm.retrained
        metric = self.metric if retrained else self.objective.metric
        margin = self.margin if retrained or metric == self.metric else 0.0
        return compare(self.search_arm, self.random_arm, np.random.default_rng(self.seed), metric=metric, margin=margin)

    @cached_property
    def best(self) -> Trial | None:
        """The best trial of the search."""
        return best(t for t in self.phases[self.search[-1]]) if self.search else None

    @property
    def architecture(self) -> Architecture | None:
        """The winner."""
        return self.winner if self.winner is not None else self.best.architecture if self.best is not None else None

    @property
    def failures(self) -> list[Trial]:
        """The trials that failed."""
        return [t for t in self.trials if t.failed]

    def _arm(self, phases: Sequence[str], retrained: Sequence[Sequence[float]]) -> Arm:
        told = [(t, name == phases[-1]) for name in phases for t in self.phases[name] if t.outcome is not None]
        losses = tuple(
            float(t.loss) if counts and not t.failed and t.violation == 0 else math.inf for t, counts in told
        )
        return Arm(losses, tuple(t.outcome.seconds for t, _ in told if t.outcome is not None), retrained)
