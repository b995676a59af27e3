"""NSGA-II: a genetic algorithm for several objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from morphogen.pareto import crowding, fronts
from morphogen.space import Space
from morphogen.strategies.offspring import Offspring
from morphogen.trial import Proposal, Trial

__all__ = ["Nsga2"]


@final
@dataclass
class Nsga2:
    """Children of parents that are on better fronts or less crowded; of parents and children, the same survive.

    Deb et al. 2002, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II" (IEEE TEC 6:2), for architectures
    Lu et al. 2019, NSGA-Net (arXiv:1810.03522). Limits by constrained domination (section VI-A). Any number of
    objectives: with one, it is an elitist genetic algorithm.

    Differs: by default steady state, survivors are selected after each child (Durillo et al. 2009), so that no worker
    waits for a generation; `offspring = population_size` are the generations of the paper. Uniform crossover and a
    mutation of one decision stand for those of real numbers. A failed trial is behind every other, whatever its
    objectives. Of equal losses only one survives while there are others.

    Args:
        space: Where to search.
        population_size: N of the paper.
        offspring: How many children are told before survivors are selected.
        crossover_rate: How often a child has two parents; otherwise it is a mutation of one.
        mutation_rate: How often a child of two parents is mutated as well.
    """

    space: Space
    population_size: int = 20
    offspring: int = 1
    crossover_rate: float = 0.9
    mutation_rate: float = 0.5
    population: list[Trial] = field(default_factory=list, init=False)
    """The survivors, the best first: by front, then by crowding."""
    children: list[Trial] = field(default_factory=list, init=False)
    told: int = field(default=0, init=False)
    child_of: Offspring = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.population_size < 2 or self.offspring < 1:
            raise ValueError(
                f"population_size={self.population_size} must be 2 or more and offspring={self.offspring} 1 or more"
            )
        self.child_of = Offspring(self.crossover_rate, self.mutation_rate)

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        if self.told + len(pending) < self.population_size or not self.population:
            return Proposal(self.space.sample(rng))
        return self.child_of(self._winner(rng), self._winner(rng), rng)

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        self.told += 1
        if trial.architecture is None:
            return
        self.children.append(trial)
        if self.told <= self.population_size or len(self.children) >= self.offspring:
            self.population = _survivors([*self.population, *self.children], self.population_size)
            self.children = []

    def _winner(self, rng: np.random.Generator) -> Trial:
        """Binary tournament by the crowded comparison: the population is sorted by it."""
        size = min(2, len(self.population))
        return self.population[int(rng.choice(len(self.population), size=size, replace=False).min())]


def _survivors(trials: list[Trial], most: int) -> list[Trial]:
    """The best by front, then by crowding, then the earliest."""
    width = max(len(t.losses) for t in trials)
    losses = np.array([t.losses if len(t.losses) == width else (np.inf,) * width for t in trials]).reshape(
        len(trials), width
    )
    worked = np.isfinite(losses).all(1)
    violations = np.where(worked, [t.violation for t in trials], np.inf)
    ranks = fronts(losses, violations)
    # equal losses have no distance between them, and would fill the population
    first: dict[tuple[float, ...], int] = {}
    copies = np.array([first.setdefault((t.violation, *t.losses), i) != i for i, t in enumerate(trials)]) & worked
    apart = np.zeros(len(trials))
    for rank in range(int(ranks.max()) + 1):
        members = np.flatnonzero((ranks == rank) & worked & ~copies)
        apart[members] = crowding(losses[members])
    ids = [t.id for t in trials]
    order = sorted(range(len(trials)), key=lambda i: (not worked[i], bool(copies[i]), ranks[i], -apart[i], ids[i]))
    return [trials[i] for i in order[:most]]
