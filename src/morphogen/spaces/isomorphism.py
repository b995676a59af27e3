"""A form of a labeled directed graph that depends only on its isomorphism class."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

__all__ = ["canonical_graph"]

Form = tuple[tuple[Any, tuple[int, ...]], ...]


def canonical_graph(labels: Sequence[Any], sources: Sequence[Collection[int]]) -> Form:
    """The graph with its vertices in an order that depends on the graph alone.

    Two graphs have the same form exactly when renaming vertices makes one the other. By color refinement, and
    where that leaves vertices alike, by trying each of them first: the least form counts (McKay 1981, "Practical
    graph isomorphism"). Of vertices that an automorphism exchanges, one is tried.

    Args:
        labels: Of each vertex; they can be sorted.
        sources: Of each vertex, those that it reads.

    Returns:
        Each vertex, as its label and the places of what it reads.
    """
    ranks = {label: rank for rank, label in enumerate(sorted(set(labels)))}
    readers: list[list[int]] = [[] for _ in labels]
    for vertex, some in enumerate(sources):
        for source in some:
            readers[source].append(vertex)
    colors = _refined([ranks[label] for label in labels], sources, readers)
    return _least(colors, labels, sources, readers)


def _least(
    colors: list[int], labels: Sequence[Any], sources: Sequence[Collection[int]], readers: Sequence[Collection[int]]
) -> Form:
    alike = _first_alike(colors)
    if not alike:
        return _form(colors, labels, sources)
    tried: dict[Form, list[int]] = {}
    twins = set()
    for vertex in alike:
        neighbors = frozenset(sources[vertex]), frozenset(readers[vertex])
        if neighbors in twins:
            continue
        twins.add(neighbors)
        first = _refined(_apart(colors, vertex), sources, readers)
        leaf = first
        while more := _first_alike(leaf):
            leaf = _refined(_apart(leaf, more[0]), sources, readers)
        # equal leaves: an automorphism takes one vertex to the other
        tried.setdefault(_form(leaf, labels, sources), first)
    return min(_least(first, labels, sources, readers) for first in tried.values())


def _refined(colors: list[int], sources: Sequence[Collection[int]], readers: Sequence[Collection[int]]) -> list[int]:
    """Colors that tell apart all that differs in the colors around it."""
    count = len(set(colors))
    while count < len(colors):
        seen = [
            (color, sorted(map(colors.__getitem__, some)), sorted(map(colors.__getitem__, others)))
            for color, some, others in zip(colors, sources, readers, strict=True)
        ]
        order = sorted(range(len(colors)), key=seen.__getitem__)
        colors, rank = list(colors), 0
        for before, vertex in zip([order[0], *order], order, strict=False):
            rank += seen[before] != seen[vertex]
            colors[vertex] = rank
        if rank + 1 == count:
            break
        count = rank + 1
    return colors


def _apart(colors: list[int], vertex: int) -> list[int]:
    """One vertex in front of those of its color."""
    return [2 * color + (color == colors[vertex] and other != vertex) for other, color in enumerate(colors)]


def _first_alike(colors: list[int]) -> list[int]:
    """The vertices of the first color that several have."""
    by_color: dict[int, list[int]] = {}
    for vertex, color in enumerate(colors):
        by_color.setdefault(color, []).append(vertex)
    return next((some for _, some in sorted(by_color.items()) if len(some) > 1), [])


def _form(colors: list[int], labels: Sequence[Any], sources: Sequence[Collection[int]]) -> Form:
    order = sorted(range(len(colors)), key=colors.__getitem__)
    place = {vertex: i for i, vertex in enumerate(order)}
    return tuple((labels[v], tuple(sorted(place[s] for s in sources[v]))) for v in order)
