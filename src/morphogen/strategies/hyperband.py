"""Hyperband: successive halving that hedges how little is enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from morphogen.protocols import Strategy
from morphogen.space import Space
from morphogen.strategies.asha import Halving, Inner, rungs
from morphogen.strategies.deduplicated import Deduplicated
from morphogen.strategies.random_search import RandomSearch
from morphogen.trial import Proposal, Trial

__all__ = ["Hyperband"]


@final
@dataclass
class Hyperband:
    """Successive halving from every rung: from many architectures tried a little to a few tried fully.

    Li et al. 2018, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization" (arXiv:1603.06560),
    Algorithm 1, with asynchronous brackets (Li et al. 2020, arXiv:1810.05934, section 3.3).

    Differs: all brackets are open at a time; a new architecture enters the one that is furthest behind its share, and
    the shares are those of Algorithm 1, `ceil((s_max + 1) / (s + 1) * eta^s)` for the bracket of `s` halvings. What
    enters is proposed by a strategy (as in `Asha`), which is told of each proposal of its own once, from the rung
    where it entered, unless it says `multi_fidelity = True` in its class.

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
    brackets: list[Halving] = field(init=False)
    entered: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.inner = Inner(
            self.strategy if self.strategy is not None else Deduplicated(RandomSearch(self.space), self.space)
        )
        amounts = rungs(self.lowest, self.full, self.eta)
        self.brackets = [Halving(self.axis, amounts[start:], self.eta) for start in range(len(amounts))]
        self.entered = [0] * len(self.brackets)

    @property
    def shares(self) -> list[int]:
        """How many architectures enter each bracket in one round of all of them."""
        most = len(self.brackets) - 1
        return [math.ceil((most + 1) / (s + 1) * self.eta**s) for s in reversed(range(len(self.brackets)))]

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        for bracket in self.brackets:
            promotion = bracket.promotion(pending)
            if promotion is not None:
                return promotion
        fresh = self.inner.ask(pending, rng)
        if fresh is None:
            return None
        entered = list(self.entered)
        for trial in pending:
            if trial.proposal.warm_start is None:
                entered[self._bracket(trial)] += 1
        at = max(range(len(entered)), key=lambda b: (self.shares[b] / (entered[b] + 1), -b))
        return self.brackets[at].entry(fresh, 0, bracket=at)

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        at = self._bracket(trial)
        self.brackets[at].tell(trial)
        if trial.proposal.warm_start is None:
            self.entered[at] += 1
        self.inner.tell(trial, rng)

    def _bracket(self, trial: Trial) -> int:
        """Noted in its origin; what somebody else proposed counts in the last one, which is full trials."""
        noted = trial.proposal.origin.get("bracket")
        return noted if isinstance(noted, int) and 0 <= noted < len(self.brackets) else len(self.brackets) - 1
