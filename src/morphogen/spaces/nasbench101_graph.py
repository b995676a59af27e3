"""The graph of a cell of NAS-Bench-101: pruned, put into the order of the table, and hashed as the benchmark does it.

Ying et al. 2019 (arXiv:1902.09635), sections 2.1 and 2.2, and the released code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import final

__all__ = ["CONV1", "CONV3", "OPERATIONS", "POOL", "Graph", "vertex_channels"]

CONV3, CONV1, POOL = "conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"
OPERATIONS = (CONV3, CONV1, POOL)
"""In the order of the benchmark, by which its hash counts."""


@final
@dataclass(frozen=True, slots=True)
class Graph:
    """A cell: vertex 0 is its input, the last one its output.

    Args:
        sources: For each vertex but the first, the earlier vertices that it reads.
        ops: The operations of the vertices between.
    """

    sources: tuple[tuple[int, ...], ...]
    ops: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.ops) != len(self.sources) - 1:
            raise ValueError(f"a cell of {len(self.sources) + 1} vertices has two operations less, got {len(self.ops)}")
        for vertex, sources in enumerate(self.sources, start=1):
            if any(not 0 <= source < vertex for source in sources):
                raise ValueError(f"vertex {vertex} reads vertices before it, got {list(sources)}")

    @staticmethod
    def from_matrix(matrix: Sequence[Sequence[int]], ops: Sequence[str]) -> Graph:
        """The benchmark's form: `matrix[i][j]` is 1 where vertex j reads vertex i; `ops` with `input` and `output`."""
        sources = (tuple(i for i in range(j) if matrix[i][j]) for j in range(1, len(matrix)))
        return Graph(tuple(sources), tuple(ops[1:-1]))

    @property
    def matrix(self) -> list[list[int]]:
        """The benchmark's upper triangular matrix."""
        readers = [(), *self.sources]
        return [[int(i in sources) for sources in readers] for i in range(len(readers))]

    @property
    def edges(self) -> int:
        """How many there are."""
        return sum(map(len, self.sources))

    def pruned(self) -> Graph:
        """Without the vertices that are on no path from the input to the output.

        Raises:
            ValueError: There is no such path.
        """
        count = len(self.sources) + 1
        forward, backward = {0}, {count - 1}
        for vertex, sources in enumerate(self.sources, start=1):
            if not forward.isdisjoint(sources):
                forward.add(vertex)
        for vertex in range(count - 1, 0, -1):
            if vertex in backward:
                backward.update(self.sources[vertex - 1])
        kept = sorted(forward & backward)
        if not {0, count - 1} <= set(kept):
            raise ValueError("no path leads from the input of the cell to its output")
        label = {vertex: i for i, vertex in enumerate(kept)}
        return Graph(
            tuple(tuple(label[s] for s in self.sources[v - 1] if s in label) for v in kept[1:]),
            tuple(self.ops[v - 1] for v in kept[1:-1]),
        )

    def ordered(self) -> Graph:
        """The isomorphic cell that the benchmark's table has: that which its enumeration meets first.

        The order matters: where channels cannot be split evenly, earlier vertices get one more.
        """
        return min(self._orders(), key=lambda graph: (graph._number, tuple(map(OPERATIONS.index, graph.ops))))

    def _orders(self) -> Iterator[Graph]:
        inner, last = len(self.ops), len(self.sources)
        for order in permutations(range(1, inner + 1)):
            label = {0: 0, last: last} | {vertex: place for place, vertex in enumerate(order, start=1)}
            moved = [tuple(sorted(label[s] for s in self.sources[v - 1])) for v in (*order, last)]
            if all(sources[-1] < place for place, sources in enumerate(moved, start=1)):
                yield Graph(tuple(moved), tuple(self.ops[v - 1] for v in order))

    @property
    def _number(self) -> int:
        """Its place in the enumeration: a bit an edge, those of a vertex behind those of the vertices before it."""
        return sum(1 << s + v * (v - 1) // 2 for v, sources in enumerate(self.sources, start=1) for s in sources)

    def digest(self) -> str:
        """The benchmark's hash: MD5 of the vertices, each told apart by what it is, reads and is read by.

        Isomorphic cells have the same; of the cells of the table, only they do. Prune before.
        """
        count = len(self.sources) + 1
        inputs: list[Sequence[int]] = [(), *self.sources]
        outputs = [[v for v in range(count) if u in inputs[v]] for u in range(count)]
        kinds = [-1, *map(OPERATIONS.index, self.ops), -2]
        colors = [_md5(str((len(outputs[v]), len(inputs[v]), kinds[v]))) for v in range(count)]
        for _ in range(count):
            colors = [
                _md5(f"{_joined(colors, inputs[v])}|{_joined(colors, outputs[v])}|{colors[v]}") for v in range(count)
            ]
        return _md5(str(sorted(colors)))


def vertex_channels(graph: Graph, channels: int) -> tuple[int, ...]:
    """The channels of every vertex of a pruned cell, its input as 0; section 2.2.

    What the output concatenates shares its channels, earlier vertices getting one more where that is not even;
    another vertex has as many as the widest that reads it, which take the first of them.

    Raises:
        ValueError: A vertex gets none.
    """
    last = len(graph.sources)
    ends = [s for s in graph.sources[-1] if s > 0]
    if len(ends) > channels:
        raise ValueError(f"a cell of NAS-Bench-101 has {len(ends)} vertices to share {channels} channels")
    widths = [0] * last + [channels]
    for i, vertex in enumerate(ends):
        widths[vertex] = channels // len(ends) + (i < channels % len(ends))
    for vertex in range(last - 1, 0, -1):
        if vertex not in ends:
            widths[vertex] = max(widths[v] for v in range(vertex + 1, last) if vertex in graph.sources[v - 1])
    return tuple(widths)


def _joined(colors: Sequence[str], some: Sequence[int]) -> str:
    return "".join(sorted(colors[v] for v in some))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
