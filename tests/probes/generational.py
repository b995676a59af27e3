"""A probe of the laws: a PNAS-like generational search. It answers None until a generation is told, then grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from morphogen.space import Architecture, Space
from morphogen.trial import Proposal, Trial


@dataclass
class Generational:
    """Networks grow by a layer a generation: extend the beam, score by a fitted additive predictor, keep the best."""

    space: Space
    beam: int = 10
    depths: tuple[str, ...] = ("3", "4", "5")
    told: list[Trial] = field(default_factory=list)
    generation: list[dict] = field(default_factory=list)
    at: int = 0
    done: int = 0

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        if not self.generation and self.at == 0:  # the first generation is drawn, not predicted
            asked = self.done + len(pending)
            first = self.space.restrict({"depth": self.depths[:1]}).sample(rng)
            return Proposal(self.space.architecture(first.json)) if asked < self.beam else None
        asked = self.done + len(pending)
        return Proposal(self.space.architecture(self.generation[asked])) if asked < len(self.generation) else None

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        self.told.append(trial)
        self.done += 1
        if self.done < (len(self.generation) or self.beam) or self.at + 1 == len(self.depths):
            return
        last = self.told[-self.done :]
        self.at, self.done = self.at + 1, 0
        parents = sorted(last, key=lambda t: (t.losses, t.id))[: self.beam]
        children = []
        for parent in parents:
            grown = {**dict(parent.architecture.picks.items()), "depth": (self.depths[self.at],)}
            children += [self.space.complete(grown, rng) for _ in range(5)]
        scores = {c: self._predict(c) for c in dict.fromkeys(children)}
        self.generation = [c.json for c in sorted(scores, key=lambda c: (scores[c], c.code))[: self.beam]]

    def _predict(self, architecture: Architecture) -> float:
        """The mean loss, option by option, of the told trials that share it."""
        means = []
        for name, picked in architecture.picks.items():
            shared = [t.loss for t in self.told if not t.failed and t.architecture.picks.get(name) == picked]
            means.append(float(np.mean(shared)) if shared else 0.0)
        return sum(means) / len(means)
