"""Many trainings of little, then full ones of the best: two fidelities, in rounds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import final

import numpy as np

from morphogen.predictors.layout import layout
from morphogen.protocols import Strategy
from morphogen.space import Space
from morphogen.strategies.acquisition import squashed
from morphogen.strategies.bayesian import Bayesian
from morphogen.strategies.modeled import Modeled, architectures
from morphogen.trial import Proposal, Trial

__all__ = ["Screening"]


@final
@dataclass
class Screening:
    """Search with trainings of `lowest`; then spend as much again on full trainings of the best; then search on.

    Successive halving with two rungs, each of which spends the same (Jamieson & Talwalkar 2016, arXiv:1502.07943,
    Algorithm 1), in rounds that double, since how much there is to spend is not known. Nothing is promoted before a
    round's search is over: while the search still learns, what is best so far is soon left behind.

    Which are the best is said by the mean of a Gaussian process that is fitted to the trainings of `lowest`, not by
    what each of them gave: the best of many noisy values is mostly lucky (Frazier 2018, arXiv:1807.02811, section 4.2,
    on what to choose where values are noisy).

    Differs: what is trained a little is proposed by a strategy. It is told of these trainings only, as if they were
    everything, so that it compares like with like; a full training continues the little one.

    Args:
        space: Where to search.
        strategy: What proposes architectures; by default Bayesian optimization.
        axis: The fidelity axis that has two amounts.
        lowest: The amount of a training in the search.
        full: The estimator's full amount; it is proposed as the axis left out.
        first: Trainings of `lowest` in the first round; at the end of the next there have been twice as many. Who knows
            how much there is to spend gives half of it to the first round.
    """

    space: Space
    strategy: Strategy | None = None
    axis: str = "epochs"
    lowest: float = 1
    full: float = 27
    first: int = 64
    inner: Strategy = field(init=False)
    little: Modeled = field(init=False)
    """The trainings of `lowest`."""
    gone: set[int] = field(default_factory=set, init=False)
    """The ids of those that were continued."""

    def __post_init__(self) -> None:
        if not 0 < self.lowest < self.full < float("inf"):
            raise ValueError(
                f"lowest={self.lowest:g} must be above 0 and below full={self.full:g}, the estimator's full amount"
            )
        if self.first < 1:
            raise ValueError(
                f"first={self.first} must be 1 or more: what is trained in full was trained a little first"
            )
        self.inner = self.strategy if self.strategy is not None else Bayesian(self.space)
        # asked only between rounds, so that fitting anew to all of them costs little
        self.little = Modeled(self.space, 2, 256, 256, (1, 1, 1), (False,), 1, squashed)

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        searching = [self._plain(t) for t in pending if self._is_little(t)]
        gone = self.gone | {w for t in pending if (w := t.proposal.warm_start) is not None}
        asked = len(self.little.trials) + len(searching)
        due = self._round_is_over(asked) and len(gone) * self.full < asked * self.lowest
        if due and searching:
            return None  # they take little, and any of them may be the best
        if due and (best := self._best(gone)) is not None:
            return self._in_full(best)
        fresh = self.inner.ask(searching, rng)
        if fresh is not None:
            return replace(fresh, fidelity={**fresh.fidelity, self.axis: self.lowest})
        # nothing new is left: no reason to wait for the end of the round
        best = None if searching else self._best(gone)
        return None if best is None else self._in_full(best)

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        if self._is_little(trial):
            self.little.tell(trial)
            self.inner.tell(self._plain(trial), rng)
        elif trial.proposal.warm_start is not None:
            self.gone.add(trial.proposal.warm_start)

    def _round_is_over(self, asked: int) -> bool:
        """After `first`, twice, four times, ... as many."""
        rounds, rest = divmod(asked, self.first)
        return rest == 0 and rounds > 0 and rounds & (rounds - 1) == 0

    def _best(self, gone: Collection[int]) -> Trial | None:
        """Of those that worked and were not continued, the one of the lowest posterior mean."""
        trials = self.little.trials
        left = [i for i, t in enumerate(trials) if isfinite(t.loss) and t.id not in gone]
        if not left:
            return None
        losses = squashed(trials)
        if sum(map(self.little.worked, trials)) >= 2:
            data, values = self.little.standardized(trials, losses, self.little.points)
            posterior, _ = self.little.posterior(trials, data, values, [])
            kernel = posterior.kernel
            mean, _ = posterior.mean(kernel.points(layout(self.space).read(architectures(trials, left))))
        else:
            mean = losses[left]
        least = min(trials[i].violation for i in left)
        return trials[min(zip(left, mean, strict=True), key=lambda e: (trials[e[0]].violation > least, e[1]))[0]]

    def _in_full(self, trial: Trial) -> Proposal:
        return replace(self._plain(trial).proposal, warm_start=trial.id)

    def _is_little(self, trial: Trial) -> bool:
        proposal = trial.proposal
        return proposal.architecture is not None and proposal.fidelity.get(self.axis) == self.lowest

    def _plain(self, trial: Trial) -> Trial:
        """As the strategy inside asked for it: at full fidelity."""
        rest = {axis: amount for axis, amount in trial.proposal.fidelity.items() if axis != self.axis}
        return replace(trial, proposal=replace(trial.proposal, fidelity=rest))
