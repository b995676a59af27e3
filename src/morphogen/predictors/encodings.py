"""Encodings: what a predictor sees of an architecture.

Each gives a *bag of items* an architecture: a row of 64-bit words, the hashes of what it contains, 0
standing for nothing. `matrix` counts the words of a `vocabulary`, by default those of the architectures
that a predictor was fitted to. Hashes come from names, so a word means the same in every process. White et
al. 2020, "A Study on Encodings for Neural Architecture Search" (arXiv:2007.04965), compares adjacency and
path encodings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np
from numpy.typing import NDArray

from morphogen.predictors.cell_view import CellView
from morphogen.predictors.graphs import Graph, cell_views, graph
from morphogen.predictors.layout import Block, States, layout
from morphogen.predictors.words import ALWAYS, Lookup, Row, Words, mix, options, word
from morphogen.space import Architecture, Space

__all__ = [
    "Adjacency",
    "Counts",
    "Graph",
    "OneHot",
    "Paths",
    "WeisfeilerLehman",
    "graph",
    "live",
    "matrix",
    "paths_or_one_hot",
    "vocabulary",
]


def vocabulary(words: Words) -> Words:
    """The words that occur, in rising order."""
    found: Words = np.unique(words)
    return np.asarray(found[found != 0], np.uint64)


def matrix(words: Words, vocabulary: Words) -> NDArray[np.float64]:
    """How often each word of a vocabulary occurs in each row: `(n, len(vocabulary))`; other words are not counted."""
    n, v = len(words), len(vocabulary)
    if not v:
        return np.zeros((n, 0))
    at = np.minimum(np.searchsorted(vocabulary, words), v - 1)
    rows, columns = np.nonzero(vocabulary[at] == words)
    counts = np.bincount(rows * v + at[rows, columns], minlength=n * v)
    return counts.reshape(n, v).astype(np.float64)


def live(space: Space, states: States) -> States:
    """The states without decisions that have no effect, as far as the space's cells tell."""
    for view in cell_views(space):
        states = view.live(states)
    return states


def paths_or_one_hot(space: Space) -> Paths | OneHot:
    """The path encoding where the space has cells with few enough paths, else one-hot."""
    views = cell_views(space)
    return Paths(space) if views and all(v.paths is not None for v in views) else OneHot(space)


@final
@dataclass(frozen=True)
class OneHot:
    """Every decision with what it picked; a subset's picked options one by one."""

    space: Space

    def __call__(self, architectures: Sequence[Architecture]) -> Words:
        return self.words(layout(self.space).read(architectures))

    def words(self, states: States) -> Words:
        """The same from states."""
        return np.ascontiguousarray(_spelled(self.space, _by_name)(states).T)


@final
@dataclass(frozen=True)
class Counts:
    """How often each option is picked, over all choices that have the same options: where does not matter."""

    space: Space

    def __call__(self, architectures: Sequence[Architecture]) -> Words:
        return self.words(layout(self.space).read(architectures))

    def words(self, states: States) -> Words:
        """The same from states."""
        return np.ascontiguousarray(_spelled(self.space, _by_options)(states).T)


@final
@dataclass(frozen=True)
class Adjacency:
    """The edges of the graph with their operations, and the operations of its nodes, without what has no effect.

    White et al. 2020 (arXiv:2007.04965), section 3, the one-hot adjacency encoding.
    Differs: edges and operations that lie on no path from input to output are left out.

    Raises:
        ValueError: The space has no graph.
    """

    space: Space

    def __post_init__(self) -> None:
        _need_cells(self.space, "Adjacency")

    def __call__(self, architectures: Sequence[Architecture]) -> Words:
        states = layout(self.space).read(architectures)
        there: list[NDArray[np.bool_]] = []
        for view in cell_views(self.space):
            present = view.present(states)
            there += [present, view.entered(present)]
        items, where = _adjacent(self.space)
        return np.ascontiguousarray(np.where(np.concatenate(there)[where], items(states), np.uint64(0)).T)


@final
@dataclass(frozen=True)
class Paths:
    """The sequences of operations on all paths from an input to an output, identities skipped.

    White et al. 2021, BANANAS (arXiv:1910.11858), section 4. Differs: paths are counted, not only noted,
    and the encoding is not cut off: a predictor's vocabulary has the paths that it was shown.

    Raises:
        ValueError: The space has no graph, or more than `graphs.MAX_PATHS` paths a cell.
    """

    space: Space

    def __post_init__(self) -> None:
        if any(v.paths is None for v in _need_cells(self.space, "Paths")):
            raise ValueError("the cells of the space have too many paths for the path encoding: use WeisfeilerLehman")

    def __call__(self, architectures: Sequence[Architecture]) -> Words:
        return self.words(layout(self.space).read(architectures))

    def words(self, states: States) -> Words:
        """The same from states."""
        return np.concatenate([v.path_words(states) for v in cell_views(self.space)], axis=1)


@final
@dataclass(frozen=True)
class WeisfeilerLehman:
    """The labels of all nodes, and of their surroundings up to some number of steps against the edges.

    Shervashidze et al. 2011 (JMLR 12), as used by Ru et al. 2021, NAS-BOWL (arXiv:2006.07556).
    Differs: operations on edges are part of the step, so that edge and node idioms are served alike.

    Args:
        space: A space with a graph.
        steps: H of the papers.

    Raises:
        ValueError: The space has no graph.
    """

    space: Space
    steps: int = 2

    def __post_init__(self) -> None:
        _need_cells(self.space, "WeisfeilerLehman")

    def __call__(self, architectures: Sequence[Architecture]) -> Words:
        states = layout(self.space).read(architectures)
        views = zip(cell_views(self.space), _labels(self.space), strict=True)
        rounds = [words for view, items in views for words in self._cell(view, *items, states)]
        return np.ascontiguousarray(np.concatenate(rounds).T)

    def _cell(
        self, view: CellView, nodes: Lookup[np.uint64], links: Lookup[np.uint64], states: States
    ) -> Iterator[Words]:
        """The labels of the nodes after each step, `(nodes, n)`."""
        present = view.present(states)
        alive = view.left(present) | view.entered(present)
        labels, operations = np.where(alive, nodes(states), np.uint64(0)), links(states)
        yield labels
        for _ in range(self.steps):
            # a sum of scrambled words is the hash of a multiset
            said = np.where(present, mix(labels[view.sources.of] * np.uint64(3) + operations), np.uint64(0))
            heard = view.targets.join(np.add, said, len(view.nodes))
            labels = np.where(alive, mix(labels + mix(heard)), np.uint64(0))
            yield labels


@lru_cache(maxsize=64)
def _spelled(space: Space, name: Callable[[Block], str]) -> Lookup[np.uint64]:
    """A word for every column of a space where it is picked, made of a name for its choice and of the option."""
    rows: list[Row] = []
    for block in layout(space).blocks:
        called, choice = np.uint64(word(name(block))), block.choice
        if choice.single:
            at, words = options(block)
            rows.append((at, np.where(words == 0, words, mix(called + words))))
        else:
            items = mix(called + np.array([word(o) for o in choice.pickable], np.uint64))
            nothing = np.zeros_like(items)
            says = np.stack([nothing, nothing, items], axis=1)
            rows += [(block.at + i, row) for i, row in enumerate(says)]
    return Lookup(rows, np.uint64)


def _by_name(block: Block) -> str:
    return block.choice.name


def _by_options(block: Block) -> str:
    return "|".join(block.choice.options)


@lru_cache(maxsize=32)
def _adjacent(space: Space) -> tuple[Lookup[np.uint64], NDArray[np.intp]]:
    """The items of `Adjacency`, and for each which link or node must be there: links, then nodes, cell after cell."""
    rows: list[Row] = []
    where: list[int] = []
    first = 0
    for view in cell_views(space):
        for k, link in enumerate(view.links):
            edge = np.array([word(f"{view.name}/{view.nodes[link.target]}<-{view.nodes[link.source]}")], np.uint64)
            rows.append((ALWAYS, edge))
            where.append(first + k)
            if link.operation is not None:
                at, words = options(link.operation)
                rows.append((at, mix(edge + words)))
                where.append(first + k)
        first += len(view.links)
        for i, block in view.operations.items():
            at, words = options(block)
            rows.append((at, mix(np.uint64(word(f"{view.name}/{view.nodes[i]}")) + words)))
            where.append(first + i)
        first += len(view.nodes)
    return Lookup(rows, np.uint64), np.array(where, np.intp)


@lru_cache(maxsize=32)
def _labels(space: Space) -> list[tuple[Lookup[np.uint64], Lookup[np.uint64]]]:
    """For each cell, the first labels of its nodes, and the words of its links' operations."""
    found = []
    for view in cell_views(space):
        nodes: list[Row] = []
        for i in range(len(view.nodes)):
            kind = "input" if i in view.inputs else "output" if i in view.outputs else "node"
            at, words = options(view.operations.get(i))
            nodes.append((at, mix(np.uint64(word(f"{view.name}:{kind}")) + words)))
        links = [options(link.operation) for link in view.links]
        found.append((Lookup(nodes, np.uint64), Lookup(links, np.uint64)))
    return found


def _need_cells(space: Space, encoding: str) -> tuple[CellView, ...]:
    views = cell_views(space)
    if not views:
        raise ValueError(
            f"{encoding} needs cells: choices named like 'cell/3<-1', 'cell/3/inputs' or 'cell/3/a/input'; "
            f"the space has {', '.join(c.name for c in space.choices[:4])}: use OneHot"
        )
    return views
