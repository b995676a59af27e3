"""Progressive search: from simple to complex, guided by a predictor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, final

import numpy as np
from numpy.typing import NDArray

from morphogen.choice import Pick
from morphogen.predictors.layout import States, layout
from morphogen.predictors.recurrent import Ensemble
from morphogen.space import Architecture, Space
from morphogen.strategies.nesting import require_nested
from morphogen.trial import Proposal, Trial

__all__ = ["Predictor", "Progressive", "growth"]

ATTEMPTS = 1000
"""Draws of a first level that is too large to enumerate, before one that was proposed already is accepted."""


class Predictor(Protocol):
    """Learns from architectures with known targets (0 to 1, more is better) to predict those of others."""

    def fit(
        self,
        architectures: Sequence[Architecture],
        targets: NDArray[np.float64],
        rng: np.random.Generator,
        *,
        first: bool,
    ) -> Callable[[Sequence[Architecture]], NDArray[np.float64]]:
        """Fit from scratch; `first`: only the first level is known."""
        ...


def growth(space: Space) -> tuple[Space, ...]:
    """Nested spaces from simple to complex.

    Where an ordered choice switches other choices on (`blocks`, `depth`), a level is one option of it. Else
    choices are opened group by group (those that follow each other with the same path before the last `/`;
    choice by choice, if that is one group); what is not open yet has its first option, or its first few where
    more are picked.

    Raises:
        ValueError: The limits of the space leave nothing of a level.
    """
    switches = {c.when.choice for c in space if c.when is not None}
    depth = next((c for c in space if c.name in switches and c.ordered and c.single), None)
    if depth is not None:
        return tuple(space.restrict({depth.name: (o,)}) for o in depth.pickable)
    groups: list[tuple[str, list[str]]] = []
    for choice in space:
        path = choice.name.rpartition("/")[0]
        if not groups or groups[-1][0] != path:
            groups.append((path, []))
        groups[-1][1].append(choice.name)
    names = [group for _, group in groups] if len(groups) > 1 else [[c.name] for c in space]
    closed = {c.name: c.pickable[: c.bounds[0]] for c in space}
    levels = []
    for group in names:
        for name in group:
            del closed[name]
        levels.append(space.restrict(closed))
    return tuple(levels)


@final
@dataclass
class Progressive:
    """Train simple architectures, extend all that were kept, train what a predictor likes best, and so on.

    Liu et al. 2018, "Progressive Neural Architecture Search" (arXiv:1712.00559), algorithm 1: all 136 cells
    of one block; then each kept cell with every possible next block, of which the K = 256 with the best
    predictions are trained and kept.

    A level is a space nested in `space`. A choice that is the same in a level and in the one before keeps the
    pick of the architecture that is extended; the others are open. Of the first level, where there is no
    predictor yet, at most K architectures are trained, drawn uniformly. Isomorphic architectures
    (`Space.identity`) are trained once: where an extension is what an earlier level trained (a decision was opened
    and stayed as it was), it is kept without another training.

    Differs: the next level starts when all of the last one are told, so workers wait at its end. Failed
    trials are not extended (unless all failed) and count as the lowest target so far. The predictor sees
    accuracies as they are; losses that are not minus a number of 0 to 1 are scaled to 0 to 1 over all trials
    told.

    Args:
        space: Where to search.
        beam: K: how many architectures a level trains at most.
        levels: Nested spaces; by default `growth(space)`.
        predictor: By default the ensemble of perceptrons that found PNASNet-5.
        enumerable: The largest first level that is enumerated, to train every one of its architectures; of a
            larger one K are drawn.
    """

    space: Space
    beam: int = 256
    levels: Sequence[Space] = ()
    predictor: Predictor | None = None
    enumerable: int = 1024
    told: list[Trial] = field(default_factory=list, init=False, repr=False)
    level: int = field(default=0, init=False)
    current: list[Trial] = field(default_factory=list, init=False, repr=False)
    """Told trials of the level."""
    kept: list[Trial] = field(default_factory=list, init=False, repr=False)
    """Told trials of earlier levels that are among the best of this one, too."""
    queue: list[Architecture] = field(default_factory=list, init=False, repr=False)
    """What the level trains, best prediction first; of the first level, what there is to draw from."""

    def __post_init__(self) -> None:
        if self.beam < 1:
            raise ValueError(f"beam={self.beam}: at least one architecture a level is needed")
        self.levels = tuple(self.levels) or growth(self.space)
        require_nested(self.space, self.levels, "levels")
        if self.levels[0].size <= self.enumerable:
            points = (self.space.architecture(a.picks) for a in self.levels[0].enumerate())
            self.queue = list(self._distinct(points, None))

    def surrogate(self) -> _OfLosses:
        """Its predictor, of losses instead of accuracies."""
        return _OfLosses(self._learner)

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        running = [t for t in pending if t.proposal.origin.get("level") == self.level]
        at = len(self.current) + len(running)
        if self.level == len(self.levels) or at >= self._size:
            return None
        architecture = self._draw([*self.current, *running], rng) if self.level == 0 else self.queue[at]
        return Proposal(architecture, origin={"level": self.level})

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        if trial.proposal.architecture is None:
            return
        self.told.append(trial)
        if trial.proposal.origin.get("level") != self.level:
            return
        self.current.append(trial)
        if len(self.current) == self._size:
            self._advance(rng)

    @property
    def _size(self) -> int:
        """How many architectures the level trains."""
        return min(self.beam, len(self.queue)) if self.queue else self.beam

    def _draw(self, taken: Sequence[Trial], rng: np.random.Generator) -> Architecture:
        """A uniform one of the first level that is not proposed yet."""
        known = {self.space.identity(t.proposal.architecture) for t in taken if t.proposal.architecture is not None}
        if self.queue:
            left = [a for a in self.queue if self.space.identity(a) not in known]
            return left[int(rng.integers(len(left)))]
        for _ in range(ATTEMPTS):
            architecture = self.space.architecture(self.levels[0].sample_uniform(rng).picks)
            if self.space.identity(architecture) not in known:
                break
        return architecture

    def _advance(self, rng: np.random.Generator) -> None:
        """Begin the next level that has anything to train."""
        known = {self.space.identity(a): t for t in self.told if (a := t.proposal.architecture) is not None}
        while True:
            self.level += 1
            if self.level == len(self.levels):
                self.queue, self.current, self.kept = [], [], []
                return
            best = [(self.space.identity(a), a) for a in self._next(rng)]
            self.current, self.kept = [], [known[identity] for identity, _ in best if identity in known]
            self.queue = [a for identity, a in best if identity not in known]
            if self.queue:
                return

    def _next(self, rng: np.random.Generator) -> list[Architecture]:
        """Extend what the last level trained and kept; the best by prediction."""
        level = [*self.kept, *self.current]
        parents = [a for t in level if not t.failed and (a := t.proposal.architecture) is not None]
        parents = parents or [a for t in level if (a := t.proposal.architecture) is not None]
        predict = self._fit(rng)
        states, scores = [], []
        places = layout(self.space)
        for children in self._extended(parents):
            states.append(children)
            scores.append(predict(places.architectures(children)))
        rows = np.concatenate(states)
        ranked = rows[np.argsort(-np.concatenate(scores), kind="stable")]
        chunks = (places.architectures(ranked[i : i + 256]) for i in range(0, len(ranked), 256))
        return list(self._distinct((a for chunk in chunks for a in chunk), self.beam))

    def _fit(self, rng: np.random.Generator) -> Callable[[Sequence[Architecture]], NDArray[np.float64]]:
        worked = [-t.loss - t.violation for t in self.told if not t.failed]
        if not worked:
            return lambda some: rng.random(len(some))
        low, high = min(worked), max(worked)
        targets = np.array([low if t.failed else -t.loss - t.violation for t in self.told])
        if low < 0 or high > 1:
            targets = (targets - low) / (high - low) if high > low else np.full(len(targets), 0.5)
        architectures = [a for t in self.told if (a := t.proposal.architecture) is not None]
        return self._learner.fit(architectures, targets, rng, first=self.level == 1)

    @property
    def _learner(self) -> Predictor:
        return self.predictor or Ensemble(self.space)

    def _extended(self, parents: Sequence[Architecture]) -> Iterator[States]:
        """For each parent, all its extensions; parents with the same open choices share their enumeration."""
        before, level, places = self.levels[self.level - 1], self.levels[self.level], layout(self.space)
        same = {
            c.name
            for c in level
            if c.name in before and (before[c.name].options, before[c.name].pick) == (c.options, c.pick)
        }
        switches = {c.when.choice for c in self.space if c.when is not None}
        known: dict[object, tuple[States, NDArray[np.bool_]]] = {}
        for parent in parents:
            kept = {name: picked for name, picked in parent.picks.items() if name in same}
            # the open choices depend on the kept ones by conditions, and by limits on everything
            key = frozenset(kept), tuple(p for name, p in kept.items() if name in switches or level.limits)
            if key not in known:
                known[key] = self._open(level, kept)
            added, exists = known[key]
            yield added + places.read([parent]) * exists

    def _open(self, level: Space, kept: Mapping[str, Pick]) -> tuple[States, NDArray[np.bool_]]:
        """The states of the open choices in all extensions, 0 elsewhere; and where a kept choice exists."""
        places = layout(self.space)
        states = places.read([self.space.architecture(a.picks) for a in level.enumerate(kept)])
        columns = np.zeros(places.width, bool)
        for name in kept:
            columns[places.block(name).columns] = True
        return np.where(columns, 0, states).astype(np.uint8), columns & (states > 0)

    def _distinct(self, architectures: Iterator[Architecture], most: int | None) -> Iterator[Architecture]:
        """Without isomorphic repetitions, the first `most`."""
        seen: set[bytes] = set()
        for architecture in architectures:
            identity = self.space.identity(architecture)
            if identity not in seen:
                seen.add(identity)
                yield architecture
                if len(seen) == most:
                    return


@final
@dataclass
class _OfLosses:
    """A predictor of accuracies, as one of losses: the least loss that it is shown counts as 1, the largest as 0."""

    predictor: Predictor
    _predicted: Callable[[Sequence[Architecture]], NDArray[np.float64]] | None = field(default=None, init=False)
    _range: tuple[float, float] = field(default=(0.0, 1.0), init=False)

    def fit(self, architectures: Sequence[Architecture], values: NDArray[np.float64], rng: np.random.Generator) -> None:
        worst, span = float(values.max()), float(np.ptp(values)) or 1.0
        self._range = worst, span
        self._predicted = self.predictor.fit(architectures, (worst - values) / span, rng, first=False)

    def predict(self, architectures: Sequence[Architecture]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self._predicted is None:
            raise ValueError("the predictor was not fitted: call fit(architectures, values, rng) first")
        worst, span = self._range
        mean = worst - span * self._predicted(architectures)
        return mean, np.zeros_like(mean)  # of how sure it is, it says nothing
