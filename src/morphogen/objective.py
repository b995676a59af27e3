"""What is sought: metrics with a direction, bounds on measured metrics, and which trials are best."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

from morphogen.trial import Outcome, Trial

__all__ = [
    "MAXIMIZED",
    "MeasuredLimit",
    "Objective",
    "best",
    "dominates",
    "judge",
    "objective",
    "pareto_front",
    "told_by",
]

MAXIMIZED = frozenset({"accuracy", "top5", "images_per_second", "auc", "f1"})
"""Metrics of which more is better, where nobody says so."""


@final
@dataclass(frozen=True, slots=True)
class Objective:
    """A metric and its direction. The only place where a sign is turned.

    Args:
        metric: Name of a metric that the estimator gives.
        maximize: Whether more is better.
    """

    metric: str
    maximize: bool = False

    def loss(self, outcome: Outcome) -> float:
        """The metric, to be minimized; infinite where the trial failed or the metric is NaN.

        Raises:
            KeyError: The estimator gives no such metric.
        """
        if outcome.error is not None:
            return math.inf
        if self.metric not in outcome.metrics:
            gives = ", ".join(outcome.metrics) or "none"
            raise KeyError(f"the estimator gives no metric '{self.metric}'; it gives {gives}")
        return -self.gain(outcome.metrics[self.metric])

    def gain(self, value: float) -> float:
        """A value of the metric, turned so that more is better; NaN is minus infinity."""
        if math.isnan(value):  # nothing compares with it, so it would pass for the best
            return -math.inf
        return value if self.maximize else -value

    def metric_value(self, loss: float) -> float:
        """The metric in its natural direction, from a loss."""
        return -loss if self.maximize else loss


def objective(text: str) -> Objective:
    """`accuracy`, `latency_ms`, or with an explicit direction `max:f1`, `min:loss`."""
    direction, colon, metric = text.partition(":")
    if colon and direction in ("max", "min"):
        return Objective(metric, maximize=direction == "max")
    return Objective(text, maximize=text in MAXIMIZED)


def told_by(metrics: Sequence[str], objectives: Iterable[Objective]) -> Objective:
    """The first of the objectives that these metrics tell; where they tell none, their own first one."""
    return next((o for o in objectives if o.metric in metrics), objective(metrics[0]))


@final
@dataclass(frozen=True, slots=True)
class MeasuredLimit:
    """The most that a measured metric may be, such as `latency_ms`; the excess is a trial's `violation`."""

    metric: str
    at_most: float

    def excess(self, outcome: Outcome) -> float:
        """By how much the metric is over the limit, relative to it; infinite where the trial failed or it is NaN.

        A metric that the estimator does not give (the limit is not measured in this phase) counts as met.
        """
        if outcome.error is not None:
            return math.inf
        value = outcome.metrics.get(self.metric, self.at_most)
        if math.isnan(value):
            return math.inf
        return (value - self.at_most) / max(abs(self.at_most), 1e-12) if value > self.at_most else 0.0


def judge(
    trial: Trial,
    outcome: Outcome,
    objectives: Sequence[Objective],
    limits: Sequence[MeasuredLimit] = (),
    *,
    aside: bool = False,
) -> Trial:
    """The trial with its outcome, losses and violation.

    Args:
        trial: That was judged.
        outcome: What came back.
        objectives: What is sought.
        limits: What must be met.
        aside: Whether a metric may be missing; its loss is then infinite.

    Raises:
        KeyError: A metric is missing that may not.
    """
    losses = [math.inf if aside and o.metric not in outcome.metrics else o.loss(outcome) for o in objectives]
    violation = sum(limit.excess(outcome) for limit in limits) if limits else 0.0
    return Trial(trial.id, trial.phase, trial.proposal, outcome, tuple(losses), violation)


def best(trials: Iterable[Trial]) -> Trial | None:
    """The trial with the least violation, then the least loss; the earliest of equals. None where all failed."""
    worked = [t for t in trials if t.outcome is not None and not t.failed]
    return min(worked, key=lambda t: (t.violation, t.loss, t.id), default=None)


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether `a` is nowhere worse than `b` and somewhere better, all minimized."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


def pareto_front(trials: Iterable[Trial]) -> list[Trial]:
    """The trials that no other dominates, feasible ones only, by their first loss; equal losses are kept once."""
    front: list[Trial] = []
    worked = [t for t in trials if t.outcome is not None and not t.failed and t.violation == 0]
    for trial in sorted(worked, key=lambda t: (t.losses, t.id)):
        if not any(kept.losses == trial.losses or dominates(kept.losses, trial.losses) for kept in front):
            front.append(trial)
    return front
