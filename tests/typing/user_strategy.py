"""A user's own strategies: no base class, only the methods."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from morphogen import Architecture, Choice, Proposal, Space, Trial, When
from morphogen.moves import crossover, mutate, neighbors
from morphogen.protocols import Strategy


@dataclass
class HillClimbing:
    """Mutates the best so far."""

    space: Space
    best: Trial | None = None
    seen: set[Architecture] = field(default_factory=set)

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        if len(pending) > 8:
            return None
        if self.best is None or self.best.architecture is None:
            return Proposal(self.space.sample(rng), fidelity={"epochs": 3}, origin={"why": "first"})
        child = mutate(self.best.architecture, rng)
        if child in self.seen:
            child = crossover(child, self.space.sample_uniform(rng), rng)
        return Proposal(child, warm_start=self.best.id)

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        if trial.architecture is not None:
            self.seen.add(trial.architecture)
        if not trial.failed and (self.best is None or trial.losses < self.best.losses):
            self.best = trial


class Everything:
    """Asks for every architecture in turn."""

    def __init__(self, space: Space) -> None:
        self.left = list(space.enumerate())

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        return Proposal(self.left[-1]) if self.left else None

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        self.left = [a for a in self.left if a != trial.architecture]


space = Space((Choice("op", ("conv", "skip")), Choice("kernel", ("3", "5"), when=When("op", ("conv",)))))
strategies: list[Strategy] = [HillClimbing(space), Everything(space)]
near: list[Architecture] = list(neighbors(space.parse("op=skip")))
option: str | tuple[str, ...] = near[0]["op"]
