"""Which children belong to one gradient, where several controllers sample at the same time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar, final

__all__ = ["Key", "Replicas"]

Child = TypeVar("Child")
Key = tuple[int, int]
"""A replica, and the number of its minibatch."""


@final
@dataclass
class Replicas(Generic[Child]):
    """Collects children until a replica has its minibatch.

    Zoph & Le 2017 (arXiv:1611.01578), section 3.2: each replica samples m children and sends their gradient
    once all have converged; replicas do not wait for each other. A replica goes on with its next minibatch
    when all others are at work, so any number of children may be pending.

    Args:
        replicas: K of the paper.
        children: m of the paper, per minibatch.
    """

    replicas: int
    children: int
    waiting: dict[Key, list[Child]] = field(default_factory=dict, init=False)
    finished: set[Key] = field(default_factory=set, init=False)
    first: int = field(default=0, init=False)
    """All minibatches below this number are finished."""

    def __post_init__(self) -> None:
        if self.replicas < 1 or self.children < 1:
            raise ValueError(f"replicas={self.replicas}, children={self.children}: both must be at least 1")

    def place(self, pending: Iterable[Key]) -> Key:
        """Where the next child belongs, given where those that are not told yet do."""
        taken = Counter({key: len(children) for key, children in self.waiting.items()})
        taken.update(pending)
        for number in count(self.first):
            for replica in range(self.replicas):
                key = replica, number
                if key not in self.finished and taken[key] < self.children:
                    return key
        raise AssertionError("unreachable")

    def collect(self, key: Key | None, child: Child) -> list[Child] | None:
        """Add a child; the whole minibatch, once it is complete. A child without a place takes the next free one."""
        if key is None or key in self.finished or key[1] < self.first or not 0 <= key[0] < self.replicas:
            key = self.place(())
        children = self.waiting.setdefault(key, [])
        children.append(child)
        if len(children) < self.children:
            return None
        del self.waiting[key]
        self.finished.add(key)
        while all((replica, self.first) in self.finished for replica in range(self.replicas)):
            self.finished -= {(replica, self.first) for replica in range(self.replicas)}
            self.first += 1
        return children
