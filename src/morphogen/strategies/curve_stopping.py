"""Train on only while the learning curve may still end below the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from morphogen.predictors.curves import Curve, End, extrapolated, regressed
from morphogen.protocols import Strategy
from morphogen.space import Space
from morphogen.strategies.asha import rungs
from morphogen.strategies.deduplicated import Deduplicated
from morphogen.strategies.random_search import RandomSearch
from morphogen.trial import Proposal, Trial

__all__ = ["CurveStopping"]

EPOCHS = "epochs"


@final
@dataclass(frozen=True, slots=True)
class _Started:
    """A training that is not at its end: what was proposed first, and its curve."""

    first: Trial
    curve: tuple[tuple[float, float], ...]


@final
@dataclass
class CurveStopping:
    """Stop a training whose curve says that it will hardly end below the best one so far.

    Domhan et al. 2015 (IJCAI), section 4: at certain amounts the curve is extrapolated, and the training is ended where
    the probability of beating the best is below `chance`. Until enough trainings came to their end, curves are
    extrapolated by families of curves; then by a regression on those trainings as well (Baker et al. 2018,
    arXiv:1705.10823), of which the surer one counts. Of one point and no experience nothing is known, and the training
    goes on.

    Differs: `chance` is 0.3 and not 0.05, as what counts is the best for the cost, and not that none is missed. A
    fidelity is a proposal, so a training that goes on is another trial that continues it, at `lowest`, `lowest * eta`,
    ...; points between come from the curve that a trial has logged. The strategy inside is told of a training once, when
    it is over: of one that was stopped, the expected end. The `warm_up` first trainings are not stopped, so that there is
    experience. After those, what violates a limit more than the best does is not gone on with.

    Args:
        space: Where to search.
        strategy: What proposes architectures; by default random search without repetition.
        axis: The fidelity axis that grows.
        lowest: Amount after which a curve is looked at first.
        full: The estimator's full amount; it is proposed as the axis left out.
        eta: The factor between looks.
        chance: A training goes on where it beats the best with at least this probability.
        warm_up: How many trainings are brought to their end first.
        metric: The curve that is the first objective's; without it, losses of the trials are the points.
    """

    space: Space
    strategy: Strategy | None = None
    axis: str = EPOCHS
    lowest: float = 1
    full: float = 27
    eta: int = 3
    chance: float = 0.3
    warm_up: int = 5
    metric: str = "accuracy"
    amounts: tuple[float, ...] = field(init=False)
    inner: Strategy = field(init=False)
    ends: list[tuple[Curve, float]] = field(default_factory=list, init=False)
    """Curves and losses of the trainings that came to their end."""
    best: tuple[float, float] = field(default=(math.inf, math.inf), init=False)
    """Violation and loss of the best of them."""
    waiting: dict[int, _Started] = field(default_factory=dict, init=False)
    """Those to go on with, by the id of their last trial, in the order of telling."""

    def __post_init__(self) -> None:
        if not 0 <= self.chance < 1:
            raise ValueError(f"chance={self.chance} is a probability below 1")
        self.amounts = rungs(self.lowest, self.full, self.eta)
        self.inner = self.strategy if self.strategy is not None else Deduplicated(RandomSearch(self.space), self.space)

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        underway = {t.proposal.warm_start for t in pending}
        for id, started in self.waiting.items():
            if id not in underway:
                at = started.curve[-1][0]
                amount = next(a for a in self.amounts if a > at)
                rest = {k: v for k, v in started.first.proposal.fidelity.items() if k != self.axis}
                fidelity = rest if amount >= self.full else {**rest, self.axis: amount}
                return replace(started.first.proposal, fidelity=fidelity, warm_start=id)
        # what was begun is not told yet, as the strategy inside sees it
        begun = [s.first for s in self.waiting.values()]
        fresh = self.inner.ask([*begun, *(self._plain(t) for t in pending if t.proposal.warm_start is None)], rng)
        if fresh is None:
            return None
        return replace(fresh, fidelity={**fresh.fidelity, self.axis: self.amounts[0]})

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        before = None if trial.proposal.warm_start is None else self.waiting.pop(trial.proposal.warm_start, None)
        first = self._plain(trial) if before is None else before.first
        curve = (*(before.curve if before is not None else ()), *self._points(trial, before))
        over = self.axis not in trial.proposal.fidelity
        if over or trial.architecture is None or not math.isfinite(trial.loss):
            if over and math.isfinite(trial.loss):
                self.ends.append((curve, trial.loss))
                self.best = min(self.best, (trial.violation, trial.loss))
            self.inner.tell(replace(first, outcome=trial.outcome, losses=trial.losses, violation=trial.violation), rng)
            return
        end = self._end(curve)
        if len(self.ends) < self.warm_up or (trial.violation <= self.best[0] and self._goes_on(end)):
            self.waiting[trial.id] = _Started(first, curve)
            return
        loss = end.mean if end is not None else trial.loss
        losses = (loss, *trial.losses[1:])
        self.inner.tell(replace(first, outcome=trial.outcome, losses=losses, violation=trial.violation), rng)

    def _goes_on(self, end: End | None) -> bool:
        return end is None or end.below(self.best[1]) >= self.chance

    def _end(self, curve: Curve) -> End | None:
        found = [e for e in (extrapolated(curve, self.full), regressed(curve, self.ends, self.full)) if e is not None]
        return min(found, key=lambda e: e.deviation, default=None)

    def _points(self, trial: Trial, before: _Started | None) -> list[tuple[float, float]]:
        """What a trial adds to its curve, as losses."""
        at = float(trial.proposal.fidelity.get(self.axis, self.full))
        begin = before.curve[-1][0] if before is not None else 0.0
        # what trainings log is over epochs
        curves = trial.outcome.curves if trial.outcome is not None and self.axis == EPOCHS else {}
        logged = curves.get(self.metric, ())
        points = [(float(x), float(y)) for x, y in logged if begin < x < at]
        sign = -1.0 if logged and math.isclose(logged[-1][1], -trial.loss, rel_tol=1e-6, abs_tol=1e-9) else 1.0
        return [*((x, sign * y) for x, y in points), (at, trial.loss)]

    def _plain(self, trial: Trial) -> Trial:
        """As the strategy inside asked for it: at full fidelity."""
        rest = {axis: amount for axis, amount in trial.proposal.fidelity.items() if axis != self.axis}
        return replace(trial, proposal=replace(trial.proposal, fidelity=rest))
