"""Train on only where the learning curve may still end below the best."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from heapq import nsmallest
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
CANDIDATES = 8
"""Of each amount, so many of the lowest losses are extrapolated: the others have little chance beside them."""


@final
@dataclass(frozen=True, slots=True)
class _Paused:
    """A training that is not at its end: its last trial, and its curve."""

    trial: Trial
    curve: tuple[tuple[float, float], ...]


@final
@dataclass
class CurveStopping:
    """Train everything a little; go on with what its curve says may end below the best one so far.

    Domhan et al. 2015 (IJCAI), section 4: at certain amounts the curve is extrapolated, and the training is not gone on
    with where the probability of beating the best is below `chance`, their 0.05. Curves are extrapolated by families of
    curves and, as soon as enough trainings came to their end, by a regression on those (Baker et al. 2018,
    arXiv:1705.10823), of which the surer one counts.

    As in Swersky et al. 2014, "Freeze-Thaw Bayesian Optimization" (arXiv:1406.3896), a training pauses at each look,
    and none is given up for good: the likeliest to beat the best is gone on with, by what is known then. A bound on the
    chance alone would spend nearly everything on going on, since children of the best are never hopeless; so going on
    gets a fixed `share` of what is spent: half, as in successive halving every round spends the same (Jamieson &
    Talwalkar 2016, arXiv:1502.07943, Algorithm 1).

    Differs: a fidelity is a proposal, so a training that goes on is another trial that continues it, at `lowest`,
    `lowest * eta`, ...; points between come from the curve that a trial has logged. The strategy inside is told of a
    training once, after the first look, of the expected end, and so compares like with like; without experience it is
    told of the loss. `chance` holds once `warm_up` trainings came to their end; what violates a limit more than the
    best does is then not gone on with either. What is spent is counted in amounts of the axis.

    Args:
        space: Where to search.
        strategy: What proposes architectures; by default random search without repetition.
        axis: The fidelity axis that grows.
        lowest: Amount after which a curve is looked at first.
        full: The estimator's full amount; it is proposed as the axis left out.
        eta: The factor between looks.
        chance: A training goes on where it beats the best with at least this probability.
        warm_up: How many trainings come to their end whatever their chance.
        share: Of what is spent, for going on after the first look.
        metric: The curve that is the first objective's; by default the first one that ends at a trial's loss, or at its
            negative. Without such a curve, losses of the trials are the points.
    """

    space: Space
    strategy: Strategy | None = None
    axis: str = EPOCHS
    lowest: float = 1
    full: float = 27
    eta: int = 3
    chance: float = 0.05
    warm_up: int = 5
    share: float = 0.5
    metric: str | None = None
    amounts: tuple[float, ...] = field(init=False)
    inner: Strategy = field(init=False)
    ends: list[tuple[Curve, float]] = field(default_factory=list, init=False)
    """Curves and losses of the trainings that came to their end."""
    best: tuple[float, float] = field(default=(math.inf, math.inf), init=False)
    """Violation and loss of the best of them."""
    paused: dict[int, _Paused] = field(default_factory=dict, init=False)
    """Those that may be gone on with, by the id of their last trial, in the order of telling."""
    spent: tuple[float, float] = field(default=(0.0, 0.0), init=False)
    """On first looks, and on going on."""

    def __post_init__(self) -> None:
        if not 0 <= self.chance < 1:
            raise ValueError(f"chance={self.chance} is a probability below 1")
        if not 0 < self.share < 1:
            raise ValueError(f"share={self.share} must be above 0 and below 1: some for first looks, some for going on")
        self.amounts = rungs(self.lowest, self.full, self.eta)
        self.inner = self.strategy if self.strategy is not None else Deduplicated(RandomSearch(self.space), self.space)

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        looks, on = self.spent
        for trial in pending:
            look, more = self._cost(trial)
            looks, on = looks + look, on + more
        underway = {t.proposal.warm_start for t in pending}
        turn = on * (1 - self.share) <= looks * self.share
        if turn and (id := self._likeliest(underway)) is not None:
            return self._further(id)
        fresh = self.inner.ask([self._plain(t) for t in pending if t.proposal.warm_start is None], rng)
        if fresh is not None:
            return replace(fresh, fidelity={**fresh.fidelity, self.axis: self.amounts[0]})
        # nothing new is left, or none before more is told: no reason to wait for its turn
        id = None if turn else self._likeliest(underway)
        return None if id is None else self._further(id)

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        look, more = self._cost(trial)
        self.spent = self.spent[0] + look, self.spent[1] + more
        before = None if trial.proposal.warm_start is None else self.paused.pop(trial.proposal.warm_start, None)
        curve = (*(before.curve if before is not None else ()), *self._points(trial, before))
        worked = math.isfinite(trial.loss) and trial.architecture is not None
        over = self.axis not in trial.proposal.fidelity
        if before is None:
            end = self._end(curve) if worked else None
            losses = trial.losses if end is None else (end.mean, *trial.losses[1:])
            self.inner.tell(replace(self._plain(trial), losses=losses), rng)
        if worked and over:
            self.ends.append((curve, trial.loss))
            self.best = min(self.best, (trial.violation, trial.loss))
        elif worked:
            self.paused[trial.id] = _Paused(trial, curve)

    def _cost(self, trial: Trial) -> tuple[float, float]:
        """What a trial adds to first looks and to going on; nothing if it is neither, as somebody else's full one."""
        before = self.paused.get(trial.proposal.warm_start) if trial.proposal.warm_start is not None else None
        if before is not None:
            return 0.0, self._amount(trial) - before.curve[-1][0]
        return (self._amount(trial), 0.0) if self.axis in trial.proposal.fidelity else (0.0, 0.0)

    def _likeliest(self, underway: Collection[int | None]) -> int | None:
        """The paused training that is likeliest to beat the best; None where no one's chance is enough."""
        groups: dict[float, list[tuple[float, float, int]]] = {}
        for id, paused in self.paused.items():
            if id not in underway:
                groups.setdefault(paused.curve[-1][0], []).append((paused.trial.violation, paused.trial.loss, id))
        found = []
        for violation, loss, id in (entry for group in groups.values() for entry in nsmallest(CANDIDATES, group)):
            end = self._end(self.paused[id].curve)
            chance = 1.0 if end is None else end.below(self.best[1])
            if len(self.ends) < self.warm_up or (violation <= self.best[0] and chance >= self.chance):
                found.append((violation, -chance, loss, id))
        return min(found)[-1] if found else None

    def _further(self, id: int) -> Proposal:
        """The same training at the next amount."""
        paused = self.paused[id]
        proposal = paused.trial.proposal
        amount = next(a for a in self.amounts if a > paused.curve[-1][0])
        rest = {axis: a for axis, a in proposal.fidelity.items() if axis != self.axis}
        fidelity = rest if amount >= self.full else {**rest, self.axis: amount}
        return replace(proposal, fidelity=fidelity, warm_start=id)

    def _end(self, curve: Curve) -> End | None:
        found = [e for e in (extrapolated(curve, self.full), regressed(curve, self.ends, self.full)) if e is not None]
        return min(found, key=lambda e: e.deviation, default=None)

    def _points(self, trial: Trial, before: _Paused | None) -> list[tuple[float, float]]:
        """What a trial adds to its curve, as losses."""
        at = self._amount(trial)
        begin = before.curve[-1][0] if before is not None else 0.0
        return [*((x, loss) for x, loss in self._logged(trial) if begin < x < at), (at, trial.loss)]

    def _logged(self, trial: Trial) -> Curve:
        """What the training logged of the first objective, as losses."""
        # it is over epochs
        curves = trial.outcome.curves if trial.outcome is not None and self.axis == EPOCHS else {}
        for name, logged in curves.items():
            if self.metric in (None, name) and logged:
                for sign in (-1.0, 1.0):
                    if math.isclose(sign * logged[-1][1], trial.loss, rel_tol=1e-6, abs_tol=1e-9):
                        return tuple((float(x), sign * float(y)) for x, y in logged)
        return ()

    def _amount(self, trial: Trial) -> float:
        return float(trial.proposal.fidelity.get(self.axis, self.full))

    def _plain(self, trial: Trial) -> Trial:
        """As the strategy inside asked for it: at full fidelity."""
        rest = {axis: amount for axis, amount in trial.proposal.fidelity.items() if axis != self.axis}
        return replace(trial, proposal=replace(trial.proposal, fidelity=rest))
