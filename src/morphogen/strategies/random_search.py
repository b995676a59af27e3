"""Random search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from morphogen.space import Space
from morphogen.trial import Proposal, Trial

__all__ = ["RandomSearch"]


@final
@dataclass
class RandomSearch:
    """Every decision uniform: the baseline that every search has to beat.

    Li & Talwalkar 2019, "Random Search and Reproducibility for Neural Architecture Search" (arXiv:1902.07638).

    Args:
        space: Where to search.
    """

    space: Space

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        return Proposal(self.space.sample(rng))

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        """Nothing to learn."""
