"""A genetic algorithm."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from morphogen.space import Space
from morphogen.strategies.offspring import Offspring
from morphogen.trial import Proposal, Trial

__all__ = ["Genetic"]


@final
@dataclass
class Genetic:
    """Children of two tournament winners by uniform crossover and mutation; the best so far survive.

    Holland 1975 and Goldberg 1989, for architectures Xie & Yuille 2017, "Genetic CNN" (arXiv:1703.01513), Algorithm
    1; uniform crossover after Syswerda 1989, and tournaments after Goldberg & Deb 1991.

    Differs: steady state, one child at a time, so that no worker waits for a generation; survivors are the best of all
    that was told; a tournament instead of the roulette wheel; mutation changes a decision, not a bit, and a child
    that crossover left equal to a parent is always mutated.

    Args:
        space: Where to search.
        population_size: How many survive.
        tournament_size: How many members a parent is the best of.
        crossover_rate: How often a child has two parents; otherwise it is a mutation of one.
        mutation_rate: How often a child of two parents is mutated as well.
    """

    space: Space
    population_size: int = 20
    tournament_size: int = 5
    crossover_rate: float = 0.5
    mutation_rate: float = 0.5
    population: list[tuple[float, float, int, Trial]] = field(default_factory=list, init=False)
    told: int = field(default=0, init=False)
    child_of: Offspring = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= self.tournament_size <= self.population_size:
            raise ValueError(
                f"tournament_size={self.tournament_size} must be between 1 and population_size={self.population_size}"
            )
        self.child_of = Offspring(self.crossover_rate, self.mutation_rate)

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        if self.told + len(pending) < self.population_size or not self.population:
            return Proposal(self.space.sample(rng))
        return self.child_of(self._winner(rng), self._winner(rng), rng)

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        self.told += 1
        if trial.architecture is not None:
            # ids differ, so trials themselves are never compared
            insort(self.population, (trial.violation, trial.loss, trial.id, trial))
            del self.population[self.population_size :]

    def _winner(self, rng: np.random.Generator) -> Trial:
        size = min(self.tournament_size, len(self.population))
        members = rng.choice(len(self.population), size=size, replace=False)
        return self.population[int(members.min())][-1]  # they are sorted, the best first
