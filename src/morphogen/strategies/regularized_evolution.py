"""Aging evolution."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from morphogen.moves import mutate
from morphogen.space import Space
from morphogen.trial import Proposal, Trial

__all__ = ["RegularizedEvolution"]


@final
@dataclass
class RegularizedEvolution:
    """Mutate the best of a random tournament; retire the oldest, not the worst.

    Real et al. 2019, "Regularized Evolution for Image Classifier Architecture Search" (arXiv:1802.01548), Algorithm 1.

    Differs: asynchronous (a child is born as soon as a worker is free; pending proposals count towards the initial
    population); a failed trial enters the population with an infinite loss and so ages like any other.

    Args:
        space: Where to search.
        population_size: P of the paper.
        tournament_size: S of the paper; S = 1 is random search over mutations.
    """

    space: Space
    population_size: int = 25
    tournament_size: int = 15
    population: deque[Trial] = field(default_factory=deque, init=False)
    told: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not 1 <= self.tournament_size <= self.population_size:
            raise ValueError(
                f"tournament_size={self.tournament_size} must be between 1 and population_size={self.population_size}"
            )

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        if self.told + len(pending) < self.population_size or not self.population:
            return Proposal(self.space.sample(rng))
        members = rng.choice(len(self.population), size=min(self.tournament_size, len(self.population)), replace=False)
        parent = min((self.population[i] for i in members), key=lambda t: (t.violation, t.loss, t.id))
        assert parent.architecture is not None
        return Proposal(mutate(parent.architecture, rng), origin={"parent": parent.id})

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        self.told += 1
        self.population.append(trial)
        if len(self.population) > self.population_size:
            self.population.popleft()
