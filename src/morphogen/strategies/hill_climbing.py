"""Hill climbing by network morphisms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from morphogen.choice import Choice, Pick
from morphogen.moves import mutate
from morphogen.space import Architecture, Space
from morphogen.strategies.acquisition import novel
from morphogen.trial import Proposal, Trial

__all__ = ["HillClimbing"]

DECISIONS = 10
"""Of so many decisions, a child changes one; of 50, the 5 of the paper."""
MOST = 5
"""n_NM in the paper."""
ATTEMPTS = 10
"""How often a new child is looked for at each distance."""


@final
@dataclass
class HillClimbing:
    """Train a few children of the best network, each with its weights; go on from the best of them.

    Elsken, Metzen, Hutter 2017, "Simple and Efficient Architecture Search for Convolutional Neural Networks"
    (arXiv:1711.04528), Algorithm 1. A step is `neighbors - 1` children of the incumbent, each changed by `morphisms`
    random moves, and the incumbent itself, trained again from its own weights, so that all have as many epochs behind
    them. The search begins with a small network: where options are ordered numbers (widths, depths, kernels), with the
    least, and moves enlarge them by one option, which is a network morphism wherever there is one
    (`morphogen.nn.morphism`). Any other decision changes to any other value. Every child is a whole training at the
    estimator's full fidelity, of which the recipe's cosine is one cycle of SGDR: `training.epochs` is the paper's
    epoch_neigh, 17.

    **Differs**: where nothing grows any more, or everything near was tried, moves are any mutations, and more of them;
    the final training is from new weights, as after every search. Where the estimator has no weights to hand on (a
    table, a user's own function, nothing kept on disk), it is plain hill climbing: the incumbent is not asked for again,
    and replaced by what is better only.

    Args:
        space: Where to search.
        neighbors: n_neigh of the paper: trials of a step.
        morphisms: n_NM of the paper: moves between a child and its parent; by default a tenth of the decisions, 5 at
            most.
        starts: How many networks the first incumbent is the best of.
        growing: Whether the search begins small and grows; else it begins anywhere, and moves are any mutations.
        inherit: Whether children begin with the weights of their parent.

    Raises:
        ValueError: Fewer than two neighbors, or less than one move or start.
    """

    space: Space
    neighbors: int = 8
    morphisms: int | None = None
    starts: int = 1
    growing: bool = True
    inherit: bool = True
    incumbent: Trial | None = field(default=None, init=False)
    told: int = field(default=0, init=False)
    step: int = field(default=0, init=False)
    children: list[Trial] = field(default_factory=list, init=False)
    """Of this step, told."""
    inherits: bool | None = field(default=None, init=False)
    """Whether the estimator hands weights on; None: not known yet."""
    seen: set[bytes] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        if self.neighbors < 2:
            raise ValueError(f"neighbors={self.neighbors}: a step is a child and the incumbent, or more")
        for name in ("morphisms", "starts"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise ValueError(f"{name}={number}: it is a number from 1 on")
        if not self.inherit:
            self.inherits = False

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        if self.incumbent is None or self.told + len(pending) < self.starts:
            if self.told + len(pending) >= self.starts and pending:
                return None
            return self._start(pending, rng)
        asked = [t for t in pending if t.proposal.origin.get("step") == self.step]
        if len(asked) + len(self.children) >= self.neighbors:
            return None
        if (
            len(asked) + len(self.children) == self.neighbors - 1
            and self.inherits is not False
            and self.incumbent.id >= 0
        ):
            if self.inherits is None and asked:
                return None  # one of them will show it
            if self.inherits:
                return self._child(self.incumbent, self._architecture)
        child = self._novel(pending, rng)
        return None if child is None else self._child(self.incumbent, child)

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        self.told += 1
        if trial.architecture is None:
            return
        self.seen.add(self.space.identity(trial.architecture))
        if trial.proposal.origin.get("step") != self.step or self.incumbent is None:
            if not trial.failed and (self.incumbent is None or _quality(trial) < _quality(self.incumbent)):
                self._move(trial)
            return
        if self.inherits is None and trial.outcome is not None and not trial.failed:
            self.inherits = trial.outcome.metrics.get("inherited", 0.0) > 0
        self.children.append(trial)
        if len(self.children) >= self.neighbors:
            # with weights, one of the children is the incumbent, trained as long as they are
            family = self.children if self.inherits else (self.incumbent, *self.children)
            found = min(family, key=_quality)
            self._move(self.incumbent if found.failed else found)

    # --- steps --------------------------------------------------------------------------------------------------------

    def _move(self, to: Trial) -> None:
        """The next step, from there."""
        self.incumbent, self.children, self.step = to, [], self.step + 1

    @property
    def _architecture(self) -> Architecture:
        assert self.incumbent is not None
        assert self.incumbent.architecture is not None
        return self.incumbent.architecture

    def _child(self, parent: Trial, architecture: Architecture) -> Proposal:
        # an earlier run's trial has no weights here
        warm_start = parent.id if self.inherits is not False and parent.id >= 0 else None
        return Proposal(architecture, warm_start=warm_start, origin={"parent": parent.id, "step": self.step})

    def _start(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        taken = self._taken(pending)
        for _ in range(ATTEMPTS):
            start = self._smallest(rng) if self.growing else self.space.sample(rng)
            if self.space.identity(start) not in taken:
                return Proposal(start)
        found = novel(self.space, taken, rng)
        return None if found is None else Proposal(found)

    def _smallest(self, rng: np.random.Generator) -> Architecture:
        """The least of every ordered choice, as far as that is allowed; everything else uniform."""
        return self.space.complete({}, rng, {c.name: [(o,) for o in c.pickable] for c in self.space if _grows(c)})

    def _novel(self, pending: Sequence[Trial], rng: np.random.Generator) -> Architecture | None:
        """A child that nobody has asked for: the longer that takes, the further away."""
        taken, moves = self._taken(pending), self.morphisms or self._usual
        for distance in range(moves, moves + MOST):
            for _ in range(ATTEMPTS):
                child = self._architecture
                for _ in range(distance):
                    child = self._moved(child, rng)
                if self.space.identity(child) not in taken:
                    return child
        return novel(self.space, taken, rng)

    @property
    def _usual(self) -> int:
        return min(MOST, -(-len(self._architecture) // DECISIONS))

    def _moved(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        larger = grown(architecture, rng) if self.growing else None
        if larger is not None:
            return larger
        try:
            return mutate(architecture, rng)
        except ValueError:  # the only one of its space
            return architecture

    def _taken(self, pending: Iterable[Trial]) -> set[bytes]:
        return self.seen | {self.space.identity(t.architecture) for t in pending if t.architecture is not None}


def grown(architecture: Architecture, rng: np.random.Generator) -> Architecture | None:
    """Change one decision, uniform over those that can change: an ordered one to its next option, a subset by one more,
    any other to any other value. What that brings into existence is decided uniformly. None where nothing can change.
    """
    space, picks = architecture.space, architecture.picks
    changeable = list(picks)
    while changeable:
        choice = space[changeable.pop(int(rng.integers(len(changeable))))]
        values = _larger(choice, picks[choice.name])
        while values:
            changed = {**picks, choice.name: values.pop(int(rng.integers(len(values))))}
            if space.feasible(changed):
                return space.complete(changed, rng)
    return None


def _grows(choice: Choice) -> bool:
    return choice.ordered and choice.single


def _larger(choice: Choice, have: Pick) -> list[Pick]:
    if _grows(choice):
        at = choice.pickable.index(have[0])
        return [(o,) for o in choice.pickable[at + 1 : at + 2]]
    others = [o for o in choice.pickable if o not in have]
    if choice.single:
        return [(o,) for o in others]
    low, high = choice.bounds
    if low == high:  # as many as before
        return [choice.sort((*(o for o in have if o != gone), new)) for gone in have for new in others]
    return [choice.sort((*have, new)) for new in others] if len(have) < high else []


def _quality(trial: Trial) -> tuple[float, tuple[float, ...], int]:
    return trial.violation, trial.losses, trial.id
