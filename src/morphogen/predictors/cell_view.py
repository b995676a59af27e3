"""One cell of a space as a graph, asked about many architectures at once.

Which links there are, what they have for an operation in which state, and which paths they form follow from the space:
these are indexes and tables, made once. Of architectures, only states are looked up in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, final

import numpy as np
from numpy.typing import NDArray

from morphogen.predictors.layout import Block, States
from morphogen.predictors.words import ALWAYS, Lookup, Words, mix, word

__all__ = ["CellView", "Ends", "Link", "PathTree"]

NONE = frozenset({"none", "zero", "zeroize"})
IDENTITY = frozenset({"skip_connect", "identity", "skip"})

Mask = NDArray[np.bool_]
Indexes = NDArray[np.intp]
Value = TypeVar("Value", np.bool_, np.uint64)


@final
@dataclass(frozen=True, slots=True)
class Link:
    """A possible edge, there where `present` (a choice and an option of it) is picked, with an operation, if any."""

    source: int
    target: int
    present: tuple[Block, int] | None
    operation: Block | None


@final
class Ends:
    """What each of several links is attached to, as a number; links that are attached to the same are together."""

    def __init__(self, of: Sequence[int]) -> None:
        self.of: Indexes = np.array(of, np.intp)
        self._order = np.argsort(self.of, kind="stable")
        self._distinct, self._starts = np.unique(self.of[self._order], return_index=True)
        self.links: list[tuple[int, Indexes]] = list(
            zip(self._distinct.tolist(), np.split(self._order, self._starts[1:]), strict=True)
        )
        """In rising order, what links are attached to, and which links."""

    def join(self, by: np.ufunc, values: NDArray[Value], most: int) -> NDArray[Value]:
        """The links' values `(links, n)` added up (or another `by`) where they are attached: `(most, n)`."""
        out = np.zeros((most, values.shape[1]), values.dtype)
        out[self._distinct] = by.reduceat(values[self._order], self._starts, axis=0)
        return out


@final
class PathTree:
    """Paths, as the links that they follow. Their beginnings are a tree: what several share is walked once.

    Args:
        paths: Distinct, none of them empty.
    """

    def __init__(self, paths: Sequence[tuple[int, ...]]) -> None:
        self.count = len(paths)
        number = {path: i for i, path in enumerate(paths)}
        self.steps: list[tuple[Indexes, Indexes, Indexes, Indexes]] = []
        """For each length: which beginning, one link shorter, is continued; by which link; which are paths; of which
        number."""
        shorter: dict[tuple[int, ...], int] = {(): 0}
        for length in range(1, max(map(len, paths), default=0) + 1):
            longer = {p: i for i, p in enumerate(dict.fromkeys(p[:length] for p in paths if len(p) >= length))}
            step = (
                [shorter[p[:-1]] for p in longer],
                [p[-1] for p in longer],
                [i for p, i in longer.items() if p in number],
                [number[p] for p in longer if p in number],
            )
            before, links, whole, numbers = (np.array(part, np.intp) for part in step)
            self.steps.append((before, links, whole, numbers))
            shorter = longer


@final
@dataclass(frozen=True, eq=False)
class CellView:
    """One cell of a space: its nodes, inputs first and in topological order, and its possible edges."""

    name: str
    nodes: tuple[str, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    links: tuple[Link, ...]
    operations: Mapping[int, Block]
    paths: PathTree | None

    @cached_property
    def sources(self) -> Ends:
        """The nodes that the links come from."""
        return Ends([k.source for k in self.links])

    @cached_property
    def targets(self) -> Ends:
        """The nodes that the links lead to."""
        return Ends([k.target for k in self.links])

    def present(self, states: States) -> Mask:
        """Where a link exists and is on a path from an input to an output: `(links, n)`."""
        exists = self._picked(states) & self._passable(states)
        reached = np.zeros((len(self.nodes), len(states)), bool)
        leaves = reached.copy()
        reached[list(self.inputs)] = True
        for node, links in self.targets.links:
            reached[node] = (reached[self.sources.of[links]] & exists[links]).any(0)
        leaves[list(self.outputs)] = True
        for node, links in reversed(self.sources.links):
            leaves[node] |= (leaves[self.targets.of[links]] & exists[links]).any(0)
        return exists & reached[self.sources.of] & leaves[self.targets.of]

    def entered(self, present: Mask) -> Mask:
        """To which nodes a link leads, of those that are there: `(nodes, n)`."""
        return self.targets.join(np.logical_or, present, len(self.nodes))

    def left(self, present: Mask) -> Mask:
        """From which nodes a link comes, of those that are there: `(nodes, n)`."""
        return self.sources.join(np.logical_or, present, len(self.nodes))

    def live(self, states: States) -> States:
        """The states with decisions that have no effect switched off: `none` on an edge where it can be, else 0."""
        out, present = states.copy(), self.present(states)
        for link, here in zip(self.links, present, strict=True):
            if link.present is None or link.present[0].choice.single:
                continue
            if (column := _column(*link.present)) is not None:
                at, picked = column
                out[~here & (states[:, at] == picked), at] = 1
        performed = self._performers.join(np.logical_or, present, states.shape[1] + 1)
        for at, block in {k.operation.at: k.operation for k in self.links if k.operation is not None}.items():
            out[~performed[at], at] = _off(block)
        entered = self.entered(present)
        for node, block in self.operations.items():
            out[~entered[node], block.at] = 0
        return out

    def path_words(self, states: States) -> Words:
        """Per path of the cell a word for its sequence of operations, 0 where it does not exist: `(n, paths)`."""
        assert self.paths is not None
        present, operations = self.present(states), [spelled(states) for spelled in self._spelled]
        out = np.zeros((len(states), self.paths.count), np.uint64)
        sequence = np.full((1, len(states)), word(self.name), np.uint64)
        here = np.ones((1, len(states)), bool)
        for before, links, whole, numbers in self.paths.steps:
            sequence, here = sequence[before], here[before] & present[links]
            for words in operations:
                step = words[links]
                # an identity leaves the sequence as it is
                sequence = np.where(step == 0, sequence, mix(sequence + step))
            out[:, numbers] = np.where(here, sequence, np.uint64(0))[whole].T
        return out

    @cached_property
    def _picked(self) -> Lookup[np.bool_]:
        """Per link, whether it is picked."""
        rows: list[tuple[int, list[bool]]] = []
        for link in self.links:
            if link.present is None:
                rows.append((ALWAYS, [True]))
            elif (column := _column(*link.present)) is None:
                rows.append((ALWAYS, [False]))
            else:
                at, picked = column
                states = max(len(link.present[0].choice.options) + 1, 3)
                rows.append((at, [state == picked for state in range(states)]))
        return Lookup(rows, np.bool_)

    @cached_property
    def _passable(self) -> Lookup[np.bool_]:
        """Per link, whether it has an operation that does not cut it, or needs none."""
        return Lookup(
            [
                (ALWAYS, [True])
                if k.operation is None
                else (k.operation.at, [False, *(o not in NONE for o in k.operation.choice.options)])
                for k in self.links
            ],
            np.bool_,
        )

    @cached_property
    def _performers(self) -> Ends:
        """The columns of the links' operations, -1 for none."""
        return Ends([ALWAYS if k.operation is None else k.operation.at for k in self.links])

    @cached_property
    def _spelled(self) -> list[Lookup[np.uint64]]:
        """Per link, the word of its operation, and that of the node that it leads to, where any have one."""
        blocks = [[k.operation for k in self.links], [self.operations.get(k.target) for k in self.links]]
        return [
            Lookup([(ALWAYS, [0]) if b is None else (b.at, _words(b)) for b in some], np.uint64)
            for some in blocks
            if any(b is not None for b in some)
        ]


def _column(block: Block, option: int) -> tuple[int, int] | None:
    """The column where an option is picked, and its state there; None where it never is."""
    if block.choice.single:
        return block.at, option + 1
    name = block.choice.options[option]
    return (block.at + block.choice.pickable.index(name), 2) if name in block.choice.pickable else None


def _off(block: Block) -> int:
    """The state that says "no operation" in a column."""
    return next((i + 1 for i, o in enumerate(block.choice.options) if o in NONE), 0)


def _words(block: Block) -> Sequence[int]:
    """State -> word of the operation; 0 for an identity."""
    return [0, *(0 if o in IDENTITY else word(o) for o in block.choice.options)]
