"""Several estimators as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

from morphogen.objective import MeasuredLimit
from morphogen.protocols import Context, Estimator
from morphogen.trial import Outcome, Proposal

__all__ = ["Combined"]


@final
@dataclass(frozen=True, init=False)
class Combined:
    """Judges by several estimators, one after another; what a cheap one rules out, a dear one never sees.

    `Combined(Complexity(...), Latency(...), Training(...), limits=[MeasuredLimit("latency_ms", 5.0)])` trains
    nothing that is slower than 5 ms. Such a trial has failed, and says why; the metrics that it has are kept.

    Metrics and curves are put together (where two estimators give a metric of one name, the later one's counts),
    seconds and declared costs add up, and a failure ends the trial. All of them share the trial's seed and folder;
    what only one understands, such as its fidelity axes, the others must ignore.

    Args:
        estimators: The cheapest first.
        limits: The most that metrics may be; each is looked at as soon as it is known.

    Raises:
        ValueError: No estimator.
    """

    estimators: tuple[Estimator, ...]
    limits: tuple[MeasuredLimit, ...]

    def __init__(self, *estimators: Estimator, limits: Sequence[MeasuredLimit] = ()) -> None:
        if not estimators:
            raise ValueError("Combined puts estimators together, and got none: give it one or more, the cheapest first")
        object.__setattr__(self, "estimators", estimators)
        object.__setattr__(self, "limits", tuple(limits))

    @property
    def measured(self) -> frozenset[str]:
        return frozenset().union(*(estimator.measured for estimator in self.estimators))

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        total = Outcome()
        for position, estimator in enumerate(self.estimators, start=1):
            total = _together(total, estimator(proposal, context))
            if total.error is not None:
                break
            over = [limit for limit in self.limits if limit.excess(total) > 0]
            if over and position < len(self.estimators):
                return replace(total, error=_ruled_out(over[0], total))
        return total

    def ending_with(self, estimator: Estimator) -> Combined:
        """The same with another estimator in the last one's place, the dearest."""
        return Combined(*self.estimators[:-1], estimator, limits=self.limits)

    def cost(self, proposal: Proposal) -> float:
        """What they cost together: no limit is known to bite before it does."""
        return sum(estimator.cost(proposal) for estimator in self.estimators)


def _together(earlier: Outcome, later: Outcome) -> Outcome:
    return Outcome(
        {**earlier.metrics, **later.metrics},
        {**earlier.curves, **later.curves},
        later.found if later.found is not None else earlier.found,
        earlier.seconds + later.seconds,
        later.error,
    )


def _ruled_out(limit: MeasuredLimit, outcome: Outcome) -> str:
    value = outcome.metrics[limit.metric]
    return f"ruled out before the rest: {limit.metric} is {value:g}, and may be {limit.at_most:g} at most"
