"""Encodings: what a predictor sees of an architecture.

Each gives a *bag of items* an architecture: a row of 64-bit words, the hashes of what it contains, 0
standing for nothing. `matrix` counts the words of a `vocabulary`, by default those of the architectures
that a predictor was fitted to. Hashes come from names, so a word means the same in every process. White et
al. 2020, "A Study on Encodings for Neural Architecture Search" (arXiv:2007.04965), compares adjacency and
path encodings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from morphogen.predictors.graphs import CellView, Graph, cell_views, graph, mix, word
from morphogen.predictors.layout import Block, States, layout
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

Words = NDArray[np.uint64]


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
        return _spelled(self.space, states, lambda block: block.choice.name)


@final
@dataclass(frozen=True)
class Counts:
    """How often each option is picked, over all choices that have the same options: where does not matter."""

    space: Space

    def __call__(self, architectures: Sequence[Architecture]) -> Words:
        return self.words(layout(self.space).read(architectures))

    def words(self, states: States) -> Words:
        """The same from states."""
        return _spelled(self.space, states, lambda block: "|".join(block.choice.options))


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
        _views(self.space, "Adjacency")

    def __call__(self, architectures: Sequence[Architecture]) -> Words:
        states = layout(self.space).read(architectures)
        columns: list[Words] = []
        for view in _views(self.space, "Adjacency"):
            used = [np.zeros(len(states), bool) for _ in view.nodes]
            for link, here in zip(view.links, view.present(states), strict=True):
                used[link.target] |= here
                edge = np.uint64(word(f"{view.name}/{view.nodes[link.target]}<-{view.nodes[link.source]}"))
                columns.append(np.where(here, edge, np.uint64(0)))
                if link.operation is not None:
                    columns.append(
                        np.where(here, mix(edge + _options(link.operation)[states[:, link.operation.at]]), np.uint64(0))
                    )
            for i, block in view.operations.items():
                node = np.uint64(word(f"{view.name}/{view.nodes[i]}"))
                columns.append(np.where(used[i], mix(node + _options(block)[states[:, block.at]]), np.uint64(0)))
        return np.stack(columns, axis=1)


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
        if any(v.paths is None for v in _views(self.space, "Paths")):
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
        _views(self.space, "WeisfeilerLehman")

    def __call__(self, architectures: Sequence[Architecture]) -> Words:
        states = layout(self.space).read(architectures)
        return np.concatenate([self._cell(v, states) for v in _views(self.space, "WeisfeilerLehman")], axis=1)

    def _cell(self, view: CellView, states: States) -> Words:
        n, present = len(states), view.present(states)
        labels = np.zeros((n, len(view.nodes)), np.uint64)
        for i in range(len(view.nodes)):
            kind = "input" if i in view.inputs else "output" if i in view.outputs else "node"
            block = view.operations.get(i)
            labels[:, i] = word(f"{view.name}:{kind}")
            if block is not None:
                labels[:, i] += _options(block)[states[:, block.at]]
        alive = np.zeros((n, len(view.nodes)), bool)
        for link, here in zip(view.links, present, strict=True):
            alive[:, link.source] |= here
            alive[:, link.target] |= here
        labels = np.where(alive, mix(labels), np.uint64(0))
        rounds = [labels]
        for _ in range(self.steps):
            # a sum of scrambled words is the hash of a multiset
            heard = np.zeros_like(labels)
            for link, here in zip(view.links, present, strict=True):
                said = labels[:, link.source] * np.uint64(3)
                if link.operation is not None:
                    said += _options(link.operation)[states[:, link.operation.at]]
                heard[:, link.target] += np.where(here, mix(said), np.uint64(0))
            labels = np.where(alive, mix(labels + mix(heard)), np.uint64(0))
            rounds.append(labels)
        return np.concatenate(rounds, axis=1)


def _spelled(space: Space, states: States, name: Callable[[Block], str]) -> Words:
    columns: list[Words] = []
    for block in layout(space).blocks:
        called = np.uint64(word(name(block)))
        if block.choice.single:
            column = states[:, block.at]
            columns.append(np.where(column > 0, mix(called + _options(block)[column]), np.uint64(0)))
        else:
            for i, option in enumerate(block.choice.pickable):
                item = mix(np.array([called + np.uint64(word(option))], np.uint64))
                columns.append(np.where(states[:, block.at + i] == 2, item, np.uint64(0)))
    return np.stack(columns, axis=1) if columns else np.zeros((len(states), 0), np.uint64)


def _options(block: Block) -> Words:
    """State of a single choice's column -> word of the option."""
    return np.array([0, *map(word, block.choice.options)], np.uint64)


def _views(space: Space, encoding: str) -> tuple[CellView, ...]:
    views = cell_views(space)
    if not views:
        raise ValueError(
            f"{encoding} needs cells: choices named like 'cell/3<-1', 'cell/3/inputs' or 'cell/3/a/input'; "
            f"the space has {', '.join(c.name for c in space.choices[:4])}: use OneHot"
        )
    return views
