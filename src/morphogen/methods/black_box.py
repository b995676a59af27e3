"""Any strategy that proposes architectures one by one, with all that makes its result trustworthy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import final

from morphogen.methods.phases import RANDOM, SEARCH, baselines, random_arm, retrain, search, test
from morphogen.protocols import Estimator, Phase, Strategy
from morphogen.space import Space
from morphogen.trial import Fidelity

__all__ = ["EARLY", "TRIALS", "Judges", "Plan", "Reserve", "black_box", "conclusion", "horizon"]

TRIALS = 64
"""Of a search where nobody says how many."""


@final
@dataclass(frozen=True)
class Judges:
    """The estimators of a run.

    Args:
        search: Judges proposals during the search, and in the random arm.
        final: Trains finalists in full; None where nothing is to be retrained.
        baselines: Trains the named baselines.
        test: Opens the test split for a trained network.
        full: The full amount on each fidelity axis of `search`.
    """

    search: Estimator
    final: Estimator | None = None
    baselines: Estimator | None = None
    test: Estimator | None = None
    full: Fidelity = field(default_factory=dict)


RESERVE = 30.0
"""Seconds for the test split, the proof of the export and the report, where nobody has measured them."""


@final
@dataclass
class Reserve:
    """Seconds for the test split, the proof of the export and the report.

    Args:
        measure: Tells what is known of it by now, which may change while a run goes on.
    """

    measure: Callable[[], float] | None = None

    def __call__(self) -> float:
        return RESERVE if self.measure is None else self.measure()


@final
@dataclass(frozen=True)
class Plan:
    """How much of everything.

    Args:
        trials: Of the search; None where only time ends it.
        budget: Seconds for everything until the prompt returns; None: no limit.
        control: Whether there is a random arm.
        finalists: Of each arm.
        seeds: Trainings of each finalist.
        baseline_names: Which plain networks are trained beside.
        reserve: What the end of the run takes.
    """

    trials: int | None = TRIALS
    budget: float | None = None
    control: bool = True
    finalists: int = 2
    seeds: int = 3
    baseline_names: tuple[str, ...] = ("plain", "logistic-regression")
    reserve: Reserve = field(default_factory=Reserve)

    @property
    def fills(self) -> bool:
        """Whether only time ends the run: what is left of it then goes to more seeds of the finalists."""
        return self.budget is not None and self.trials is None

    def latest(self) -> float | None:
        """The elapsed seconds at which trials have to be over, by what is known now of what comes after them."""
        return None if self.budget is None else self.budget - min(self.reserve(), self.budget / 3)

    def until(self, share: float) -> float | None:
        """The elapsed seconds at which a share of the budget is over; the last part is kept for the export and the page."""
        return None if self.budget is None else share * (self.budget - min(RESERVE, self.budget / 3))

    def searching(self, share: float = 1.0) -> float | None:
        """The elapsed seconds at which a share of the search's own time is over."""
        return self.until(share * (ARMS / 2 if self.control else ARMS))

    def first(self, share: float = 1.0) -> float | None:
        """The elapsed seconds until which the search waits for its first trial: some time of the finalists is left."""
        return self.until(share * FIRST)


ARMS, BASELINES, FIRST = 0.56, 0.66, 0.75
"""Shares of the rest at which the arms end, and the baselines, and at the latest the first trial of a search. What one
leaves over, the next ones have."""

EARLY = 0.7
"""The share of the time of a first trial that a supernet before it may have."""

MORE = 10
"""Times as many seeds of the finalists, while there is time left."""


def black_box(strategy: Callable[[Space], Strategy], space: Space, judges: Judges, plan: Plan) -> list[Phase]:
    """Search, then all that makes its result trustworthy."""
    return [
        search(strategy, space, judges.search, plan.trials, plan.searching(), plan.first()),
        *conclusion(space, judges, plan),
    ]


def horizon(plan: Plan) -> int:
    """How many trials a method may reckon with; where only time ends the search, the usual number."""
    return TRIALS if plan.trials is None else plan.trials


def conclusion(space: Space, judges: Judges, plan: Plan) -> list[Phase]:
    """Random arm at equal budget, finalists of both with several seeds, baselines, and the test split once."""
    phases: list[Phase] = []
    arms: Sequence[str] = (SEARCH,)
    if plan.control:
        phases.append(random_arm(space, judges.search, plan.until(ARMS)))
        arms = (SEARCH, RANDOM)
    if judges.baselines is not None and plan.baseline_names:
        # cheap, and in front: without them there is nothing to compare with, and the retraining takes all that is left
        phases.append(baselines(judges.baselines, plan.baseline_names, plan.until(BASELINES)))
    if judges.final is not None:
        seeds = plan.seeds * (MORE if plan.fills else 1)
        phases.append(retrain(judges.final, arms, plan.finalists, seeds, plan.latest))
    if judges.test is not None:
        phases.append(test(judges.test, arms))
    return phases
