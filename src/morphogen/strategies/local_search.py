"""Local search: walk downhill from architecture to neighboring architecture."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from morphogen.predictors.layout import layout
from morphogen.space import Architecture, Space
from morphogen.strategies.acquisition import novel
from morphogen.trial import Proposal, Trial

__all__ = ["LocalSearch"]


@final
@dataclass
class LocalSearch:
    """Ask for the neighbors of an incumbent in random order; the first that is better is the next incumbent.

    White et al. 2021, "Exploring the Loss Landscape in Neural Architecture Search" (arXiv:2005.02960), Algorithm 1,
    in the variant that moves as soon as a neighbor is better, and starts again from a random architecture at a local
    optimum.

    A neighbor differs in one decision; decisions that only exist with the new value are made at random. An architecture
    isomorphic to one that was told or is pending is not asked for.

    Differs: asynchronous. While the last neighbors are pending, the next start is asked for; whatever is better than
    the incumbent becomes it, and the best of the other starts is where the search goes on at a local optimum.

    Args:
        space: Where to search.
        starts: How many random architectures the first incumbent is the best of.
    """

    space: Space
    starts: int = 5
    incumbent: Trial | None = field(default=None, init=False)
    near: dict[bytes, Architecture] = field(default_factory=dict, init=False)
    waiting: list[Trial] = field(default_factory=list, init=False)
    told: int = field(default=0, init=False)
    seen: set[bytes] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        if self.starts < 1:
            raise ValueError(f"starts={self.starts}: the search needs at least one architecture to start from")

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        taken = {self.space.identity(t.architecture) for t in pending if t.architecture is not None}
        if self.incumbent is not None and self.told + len(pending) >= self.starts:
            left = self._untried(taken)
            if left:
                return Proposal(left[int(rng.integers(len(left)))], origin={"parent": self.incumbent.id})
        start = novel(self.space, self.seen | taken, rng)
        return None if start is None else Proposal(start)

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        self.told += 1
        if trial.architecture is None:
            return
        self.seen.add(self.space.identity(trial.architecture))
        if self.incumbent is None or _quality(trial) < _quality(self.incumbent):
            self._move(trial, rng)
        elif "parent" not in trial.proposal.origin and self.told > self.starts:
            self.waiting.append(trial)
        # pending neighbors are untried here: the incumbent stays until all are told
        while self.waiting and not self._untried(()):
            self.waiting.sort(key=lambda t: (*_quality(t), t.id))
            self._move(self.waiting.pop(0), rng)

    def _move(self, trial: Trial, rng: np.random.Generator) -> None:
        assert trial.architecture is not None
        self.incumbent = trial
        rows = layout(self.space)
        near = rows.architectures(rows.neighbors(rows.read([trial.architecture]), rng))
        self.near = {self.space.identity(a): a for a in near if self.space.feasible(a.picks)}

    def _untried(self, taken: Container[bytes]) -> list[Architecture]:
        return [a for identity, a in self.near.items() if identity not in self.seen and identity not in taken]


def _quality(trial: Trial) -> tuple[float, float]:
    return trial.violation, trial.loss
