"""A child of two parents, as genetic algorithms make it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from morphogen.moves import crossover, mutate
from morphogen.trial import Proposal, Trial

__all__ = ["Offspring"]


@final
@dataclass(frozen=True)
class Offspring:
    """By crossover, by mutation, or by both.

    Args:
        crossover_rate: How often a child has two parents; otherwise it is a mutation of one.
        mutation_rate: How often a child of two parents is mutated as well; one that equals a parent always is.

    Raises:
        ValueError: One of them is no probability.
    """

    crossover_rate: float
    mutation_rate: float

    def __post_init__(self) -> None:
        for name in ("crossover_rate", "mutation_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} is not a probability")

    def __call__(self, mother: Trial, father: Trial, rng: np.random.Generator) -> Proposal:
        """A child; its parents are in `origin`."""
        assert mother.architecture is not None
        assert father.architecture is not None
        if mother is father or rng.random() >= self.crossover_rate:
            return Proposal(mutate(mother.architecture, rng), origin={"parents": [mother.id]})
        child = crossover(mother.architecture, father.architecture, rng)
        if child in (mother.architecture, father.architecture) or rng.random() < self.mutation_rate:
            child = mutate(child, rng)
        return Proposal(child, origin={"parents": [mother.id, father.id]})
