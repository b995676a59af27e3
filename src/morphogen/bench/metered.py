"""A strategy that is stopped when it has spent its queries."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from morphogen.protocols import Strategy
from morphogen.trial import Fidelity, Proposal, Trial

__all__ = ["Metered"]


@final
@dataclass
class Metered:
    """Asks a strategy until its queries are spent.

    A query is one full training. A lower fidelity counts by its share (3 of 27 epochs: a ninth of a query); what goes on
    from an earlier trial counts by what it adds; what begins with the weights of a full training is another one.

    Args:
        strategy: The one that is asked.
        budget: Queries.
        full: The full amount on every fidelity axis.
        over: Whether nothing is left to find after a trial.
    """

    strategy: Strategy
    budget: float
    full: Fidelity
    over: Callable[[Trial], bool]
    spent: float = field(default=0.0, init=False)
    seconds: float = field(default=0.0, init=False)
    """Of the processor, in `ask` and `tell`: a measurement, nothing that decides."""
    finished: bool = field(default=False, init=False)
    shares: dict[int, float] = field(default_factory=dict, init=False)

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        if self.finished or self.spent + sum(self.price(t.proposal) for t in pending) >= self.budget - 1e-9:
            return None
        start = time.process_time()
        proposal = self.strategy.ask(pending, rng)
        self.seconds += time.process_time() - start
        return proposal

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        self.spent += self.price(trial.proposal)
        self.shares[trial.id] = self.share(trial.proposal)
        self.finished = self.finished or self.over(trial)
        start = time.process_time()
        self.strategy.tell(trial, rng)
        self.seconds += time.process_time() - start

    def share(self, proposal: Proposal) -> float:
        """Of a full training, from its beginning."""
        return math.prod(min(1.0, proposal.fidelity.get(axis, full) / full) for axis, full in self.full.items())

    def price(self, proposal: Proposal) -> float:
        """Queries that a proposal costs."""
        before = 0.0 if proposal.warm_start is None else self.shares.get(proposal.warm_start, 0.0)
        share = self.share(proposal)
        return share - before if before < share else share
