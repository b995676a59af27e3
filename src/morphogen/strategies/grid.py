"""Every architecture of a space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from morphogen.space import Architecture, Space
from morphogen.trial import Proposal, Trial

__all__ = ["Grid"]

SHUFFLED = 1_000_000
"""The largest space (size, limits aside) that is listed whole to be shuffled."""


@final
@dataclass
class Grid:
    """Every architecture of the space once, one of each identity, in the order of its choices; then nothing.

    Args:
        space: What is enumerated.
        shuffle: A seed: in random order, so that a part of the grid is spread over the space; None keeps the order.
    """

    space: Space
    shuffle: int | None = None
    at: int = field(default=0, init=False)
    """How many at the start of the list are told."""
    seen: set[bytes] = field(default_factory=set, init=False)
    _list: _Listing | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.shuffle is not None and self.space.size > SHUFFLED:
            raise ValueError(
                f"the space has {self.space.size:,} architectures, {SHUFFLED:,} is the most that can be shuffled"
            )

    def __getstate__(self) -> dict[str, Any]:
        # the list follows from the space
        return {**self.__dict__, "_list": None}

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        taken = {self.space.identity(t.architecture) for t in pending if t.architecture is not None}
        at = self.at
        while (item := self._listed(at)) is not None:
            identity, architecture = item
            if identity not in self.seen and identity not in taken:
                return Proposal(architecture)
            at += 1
        return None

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        if trial.architecture is None:
            return
        self.seen.add(self.space.identity(trial.architecture))
        while (item := self._listed(self.at)) is not None and item[0] in self.seen:
            self.at += 1

    def _listed(self, at: int) -> tuple[bytes, Architecture] | None:
        if self._list is None:
            self._list = _Listing(self.space, self.shuffle)
        return self._list[at]


@final
class _Listing:
    """The architectures of a space in order, listed as far as was needed."""

    def __init__(self, space: Space, shuffle: int | None) -> None:
        self._known: set[bytes] = set()
        self._items: list[tuple[bytes, Architecture]] = []
        self._rest = self._distinct(space)
        if shuffle is not None:
            items = list(self._rest)
            self._items = [items[i] for i in np.random.default_rng(shuffle).permutation(len(items))]

    def __getitem__(self, at: int) -> tuple[bytes, Architecture] | None:
        while len(self._items) <= at:
            item = next(self._rest, None)
            if item is None:
                return None
            self._items.append(item)
        return self._items[at]

    def _distinct(self, space: Space) -> Iterator[tuple[bytes, Architecture]]:
        for architecture in space.enumerate():
            identity = space.identity(architecture)
            if identity not in self._known:
                self._known.add(identity)
                yield identity, architecture
