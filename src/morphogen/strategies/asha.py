"""Asynchronous successive halving, around any strategy."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np

from morphogen.protocols import Strategy
from morphogen.space import Space
from morphogen.strategies.deduplicated import Deduplicated
from morphogen.strategies.random_search import RandomSearch
from morphogen.trial import Fidelity, Proposal, Trial

__all__ = ["Asha", "Halving", "Inner", "rungs"]


@final
@dataclass
class Asha:
    """Try many architectures a little; go on with the best `1 / eta` of each rung as soon as there is one.

    Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning" (arXiv:1810.05934), Algorithm 2. The rungs
    are `lowest`, `lowest * eta`, ... and `full`; a promoted architecture goes on from the checkpoint of its trial
    before. Of a rung, at most one in `eta` is promoted (Li et al. 2022, "Hyper-Tune", arXiv:2201.06834, delayed ASHA):
    where later architectures are better than earlier ones, as those of a strategy that learns are, each of them is
    among the best of its rung when it comes, and the budget would go to the highest rung.

    Differs: what enters the lowest rung is proposed by a strategy. It is told of each proposal of its own once, from
    the lowest rung and as if that were everything, so that it compares like with like; one that says `multi_fidelity
    = True` in its class is told every trial as it is. A trial that failed counts in its rung and is never promoted.
    Trials are compared by violation, then by the first loss.

    Args:
        space: Where to search.
        strategy: What proposes architectures; by default random search without repetition.
        axis: The fidelity axis that grows.
        lowest: Amount at the lowest rung.
        full: The estimator's full amount; it is proposed as the axis left out.
        eta: One of so many is promoted; the factor between rungs.
    """

    space: Space
    strategy: Strategy | None = None
    axis: str = "epochs"
    lowest: float = 1
    full: float = 27
    eta: int = 3
    inner: Inner = field(init=False)
    halving: Halving = field(init=False)

    def __post_init__(self) -> None:
        self.inner = Inner(
            self.strategy if self.strategy is not None else Deduplicated(RandomSearch(self.space), self.space)
        )
        self.halving = Halving(self.axis, rungs(self.lowest, self.full, self.eta), self.eta)

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        promotion = self.halving.promotion(pending)
        if promotion is not None:
            return promotion
        fresh = self.inner.ask(pending, rng)
        return None if fresh is None else self.halving.entry(fresh, 0)

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        self.halving.tell(trial)
        self.inner.tell(trial, rng)


def rungs(lowest: float, full: float, eta: int) -> tuple[float, ...]:
    """`lowest * eta^k` below `full`, then `full`; without one that is nearer to `full` than a factor of `sqrt(eta)`.

    Raises:
        ValueError: No amount below `full`, or an `eta` that halves nothing.
    """
    if eta < 2:
        raise ValueError(f"eta={eta}: one of two or more has to be promoted")
    if not 0 < lowest < full < math.inf:
        raise ValueError(f"lowest={lowest:g} must be above 0 and below full={full:g}, the estimator's full amount")
    amounts = [float(lowest)]
    while amounts[-1] * eta * math.sqrt(eta) <= full:
        amounts.append(amounts[-1] * eta)
    return (*amounts, float(full))


@final
@dataclass
class Halving:
    """The rungs of one bracket: what was told at each, in order, and which of it goes on.

    Args:
        axis: The fidelity axis that grows.
        amounts: The amount at each rung; the last is everything.
        eta: One of so many is promoted.
    """

    axis: str
    amounts: tuple[float, ...]
    eta: int
    ranks: list[list[tuple[float, float, int]]] = field(init=False)
    """Per rung, violation, loss and id of every trial, in order."""
    waiting: list[list[tuple[float, float, int, Trial]]] = field(init=False)
    """Per rung, those that may be promoted one day: without those that failed or were promoted."""
    promoted: list[int] = field(init=False)
    """Per rung, how many went on from it."""
    places: dict[int, int] = field(default_factory=dict, init=False)
    """The rungs of those that wait, by id."""

    def __post_init__(self) -> None:
        self.ranks = [[] for _ in self.amounts]
        self.waiting = [[] for _ in self.amounts]
        self.promoted = [0] * len(self.amounts)

    def fidelity(self, rung: int) -> Fidelity:
        """The amount of a rung, as it is proposed; the full one is left out."""
        return {} if rung == len(self.amounts) - 1 else {self.axis: self.amounts[rung]}

    def rung(self, proposal: Proposal) -> int:
        """The highest rung that a proposal is not below; the lowest for one that is below all."""
        amount = proposal.fidelity.get(self.axis)
        return len(self.amounts) - 1 if amount is None else max(bisect_right(self.amounts, amount) - 1, 0)

    def entry(self, fresh: Proposal, rung: int, **note: Any) -> Proposal:
        """A new architecture at the rung where its bracket starts."""
        rest = {axis: amount for axis, amount in fresh.fidelity.items() if axis != self.axis}
        return replace(fresh, fidelity={**rest, **self.fidelity(rung)}, origin={**fresh.origin, **note})

    def tell(self, trial: Trial) -> None:
        """Rank the trial at its rung; the one that it goes on from is promoted."""
        rung = self.rung(trial.proposal)
        insort(self.ranks[rung], (trial.violation, trial.loss, trial.id))
        if rung + 1 < len(self.amounts) and math.isfinite(trial.loss) and trial.architecture is not None:
            insort(self.waiting[rung], (trial.violation, trial.loss, trial.id, trial))
            self.places[trial.id] = rung
        before = trial.proposal.warm_start
        if before is not None and rung > 0:
            self.promoted[rung - 1] += 1
            if self.places.get(before) == rung - 1:
                del self.places[before]
                below = self.waiting[rung - 1]
                del below[next(i for i, entry in enumerate(below) if entry[2] == before)]

    def promotion(self, pending: Sequence[Trial]) -> Proposal | None:
        """One of the best `1 / eta` of a rung, for the next one; the highest rung first (Algorithm 2, `get_job`)."""
        underway = {w: self.places[w] for t in pending if (w := t.proposal.warm_start) in self.places}
        taken = Counter(underway.values())
        for rung in reversed(range(len(self.amounts) - 1)):
            most = len(self.ranks[rung]) // self.eta
            if self.promoted[rung] + taken[rung] >= most:
                continue
            for violation, loss, id, trial in self.waiting[rung]:
                if bisect_left(self.ranks[rung], (violation, loss, id)) >= most:
                    break
                if id not in underway:
                    rest = {axis: amount for axis, amount in trial.proposal.fidelity.items() if axis != self.axis}
                    return replace(trial.proposal, fidelity={**rest, **self.fidelity(rung + 1)}, warm_start=id)
        return None


@final
@dataclass
class Inner:
    """A strategy that proposes what enters the lowest rung, and what it is told of it.

    Args:
        strategy: The strategy.
    """

    strategy: Strategy
    plains: dict[int, tuple[Trial, Trial]] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Pending trials and how they are told, by id: making them anew for each proposal is slow with many workers."""

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        """What it would try next."""
        if self._all:
            return self.strategy.ask(pending, rng)
        plains, self.plains = self.plains, {}
        for trial in pending:
            if trial.proposal.warm_start is None:
                known = plains.get(trial.id)
                self.plains[trial.id] = known if known and known[0] is trial else (trial, self._plain(trial))
        return self.strategy.ask([plain for _, plain in self.plains.values()], rng)

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        """Every trial, or the first of each proposal of its own."""
        if self._all:
            self.strategy.tell(trial, rng)
        elif trial.proposal.warm_start is None:
            self.strategy.tell(self._plain(trial), rng)

    @property
    def _all(self) -> bool:
        return bool(getattr(self.strategy, "multi_fidelity", False))

    @staticmethod
    def _plain(trial: Trial) -> Trial:
        """As the strategy asked for it: at full fidelity."""
        return replace(trial, proposal=replace(trial.proposal, fidelity={}))
