"""Given proposals, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from morphogen.trial import Proposal, Trial

__all__ = ["Each"]


@final
@dataclass
class Each:
    """Proposes what it was given, in order, and then nothing: retraining finalists, seed architectures, a list of one's own."""

    proposals: Sequence[Proposal]
    told: int = field(default=0, init=False)

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        next = self.told + len(pending)
        return self.proposals[next] if next < len(self.proposals) else None

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        self.told += 1
