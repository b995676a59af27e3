"""Given architectures first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from morphogen.protocols import Strategy
from morphogen.trial import Proposal, Trial

__all__ = ["Started"]


@final
@dataclass
class Started:
    """Proposes seed architectures, in order, then whatever a strategy does, which is told of them like of its own.

    A strategy that learns from its own samples only (`on_policy`) is not told of them: they count for the run, not for it.

    Args:
        strategy: What goes on from there.
        proposals: The seed architectures.
        on_policy: Whether the strategy must not learn from what it did not sample.
    """

    strategy: Strategy
    proposals: Sequence[Proposal]
    on_policy: bool = False
    told: int = field(default=0, init=False)

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        # every trial of the phase is asked here, so that those told and pending are how many were
        asked = self.told + len(pending)
        if asked < len(self.proposals):
            return self.proposals[asked]
        own = [t for t in pending if not self._seed(t)] if self.on_policy else pending
        return self.strategy.ask(own, rng)

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        self.told += 1
        if not (self.on_policy and self._seed(trial)):
            self.strategy.tell(trial, rng)

    def _seed(self, trial: Trial) -> bool:
        return "start" in trial.proposal.origin
