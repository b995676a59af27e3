"""Where the boxes and lines of a drawn graph stand: a small layered layout, left to right, in which nothing overlaps.

Sugiyama, Tagawa, Toda 1981, "Methods for Visual Understanding of Hierarchical System Structures": layers, dummies on
long edges, orders by barycenters, then coordinates. **Differs**: an operation is a box between two nodes, so that its
label has a place, and the dummies of one source are shared (a lane), so that many edges from one node are one line that
branches. Lines cross the layers in lanes only, and never a box.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

from morphogen.report.graph import Graph

__all__ = ["Box", "Layout", "Line", "layered"]

CHARACTER = 7.2  # the most that an average character of a 12 px sans-serif font takes, in px
NODE_HEIGHT, OPERATION_HEIGHT, LANE_HEIGHT = 30.0, 26.0, 4.0
ROW_GAP, COLUMN_GAP, EDGE = 14.0, 40.0, 12.0
SWEEPS = 12


@final
@dataclass(frozen=True, slots=True)
class Box:
    """A node or an operation; `x`, `y` is its center, in px."""

    label: str
    operation: bool
    x: float
    y: float
    width: float
    height: float


@final
@dataclass(frozen=True, slots=True)
class Line:
    """From `(x1, y1)` to `(x2, y2)`, between two neighboring columns that end at `bend1` and start at `bend2`."""

    x1: float
    y1: float
    bend1: float
    bend2: float
    x2: float
    y2: float
    arrow: bool


@final
@dataclass(frozen=True, slots=True)
class Layout:
    """Boxes and lines within `width` times `height`."""

    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    width: float
    height: float


@dataclass(slots=True)
class _Vertex:
    """Something with a place in a column: a node, an operation, or a lane, which has no label."""

    column: int
    label: str | None
    operation: bool = False
    y: float = 0.0

    @property
    def height(self) -> float:
        return LANE_HEIGHT if self.label is None else OPERATION_HEIGHT if self.operation else NODE_HEIGHT

    @property
    def width(self) -> float:
        return 0.0 if self.label is None else max(30.0, CHARACTER * len(self.label) + 18)


def layered(graph: Graph) -> Layout:
    """Lay a graph out. The same graph always gives the same picture."""
    vertices, links = _vertices(graph)
    columns = [
        [i for i, v in enumerate(vertices) if v.column == c]
        for c in range(1 + max((v.column for v in vertices), default=-1))
    ]
    before, after = defaultdict(list), defaultdict(list)
    for a, b in links:
        before[b].append(a)
        after[a].append(b)
    columns = _ordered(columns, links, before, after)
    _place(vertices, columns, before, after)
    widths = [max(vertices[i].width for i in column) for column in columns]
    left, x = [], EDGE
    for width in widths:
        left.append(x)
        x += width + COLUMN_GAP
    middle = [start + width / 2 for start, width in zip(left, widths, strict=True)]
    boxes = tuple(
        Box(v.label, v.operation, middle[v.column], v.y, v.width, v.height) for v in vertices if v.label is not None
    )
    lines = []
    for a, b in links:
        v, w = vertices[a], vertices[b]
        lines.append(
            Line(
                middle[v.column] + v.width / 2, v.y, left[v.column] + widths[v.column], left[w.column],
                middle[w.column] - w.width / 2, w.y, arrow=w.label is not None and not w.operation,
            )
        )  # fmt: skip
    bottom = max((v.y + v.height / 2 for v in vertices), default=0.0)
    return Layout(boxes, tuple(lines), x - COLUMN_GAP + EDGE if widths else 2 * EDGE, bottom + EDGE)


def _vertices(graph: Graph) -> tuple[list[_Vertex], list[tuple[int, int]]]:
    """Nodes, operations and lanes with their columns, and the links between neighboring columns."""
    column: dict[str, int] = {}
    for node in graph.nodes:
        arriving = [column[e.source] + (2 if e.label else 1) for e in graph.edges if e.target == node]
        column[node] = max(arriving, default=0)
    sinks = {n for n in graph.nodes if not any(e.source == n for e in graph.edges)}
    if sinks and column:
        column[graph.nodes[-1]] = max(column.values())
    vertices = [_Vertex(column[node], graph.label(node)) for node in graph.nodes]
    at = {node: i for i, node in enumerate(graph.nodes)}
    lanes: dict[tuple[str, int], int] = {}
    links: list[tuple[int, int]] = []

    def lane(source: str, until: int) -> int:
        """The vertex of column `until` that carries the source: itself, or its lane, made where it is not there."""
        if until == column[source]:
            return at[source]
        if (source, until) not in lanes:
            previous = lane(source, until - 1)
            lanes[source, until] = len(vertices)
            vertices.append(_Vertex(until, None))
            links.append((previous, lanes[source, until]))
        return lanes[source, until]

    for e in graph.edges:
        target = at[e.target]
        if e.label:
            vertices.append(_Vertex(column[e.target] - 1, e.label, operation=True))
            links.append((len(vertices) - 1, target))
            target = len(vertices) - 1
        links.append((lane(e.source, vertices[target].column - 1), target))
    return vertices, links


def _ordered(
    columns: list[list[int]],
    links: Sequence[tuple[int, int]],
    before: Mapping[int, list[int]],
    after: Mapping[int, list[int]],
) -> list[list[int]]:
    """Order each column by the barycenters of its neighbors, sweeping to and fro; the fewest crossings win."""
    best, fewest = columns, _crossings(columns, links)
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        neighbors = before if forward else after
        columns = [list(column) for column in columns]
        for c in range(len(columns)) if forward else range(len(columns) - 1, -1, -1):
            place = {v: i / max(1, len(column) - 1) for column in columns for i, v in enumerate(column)}
            center = {
                v: sum(place[n] for n in neighbors[v]) / len(neighbors[v]) if neighbors[v] else place[v]
                for v in columns[c]
            }
            columns[c].sort(key=center.__getitem__)
        if (found := _crossings(columns, links)) < fewest:
            best, fewest = columns, found
    return best


def _crossings(columns: Sequence[Sequence[int]], links: Sequence[tuple[int, int]]) -> int:
    place = {v: (c, i) for c, column in enumerate(columns) for i, v in enumerate(column)}
    ends = [(place[a], place[b]) for a, b in links]
    return sum(
        1
        for i, (a, b) in enumerate(ends)
        for c, d in ends[i + 1 :]
        if a[0] == c[0] and (a[1] - c[1]) * (b[1] - d[1]) < 0
    )


def _place(
    vertices: Sequence[_Vertex],
    columns: Sequence[Sequence[int]],
    before: Mapping[int, list[int]],
    after: Mapping[int, list[int]],
) -> None:
    """Draw each vertex to the mean of its neighbors, keeping the order and the gaps of its column."""
    for column in columns:
        y = 0.0
        for v in column:
            vertices[v].y = y + vertices[v].height / 2
            y += vertices[v].height + ROW_GAP
    for sweep in range(2 * SWEEPS):
        for column in columns if sweep % 2 else reversed(columns):
            wanted = []
            for v in column:
                near = [vertices[n].y for n in (*before[v], *after[v])]
                wanted.append(sum(near) / len(near) if near else vertices[v].y)
            gaps = [(vertices[a].height + vertices[b].height) / 2 + ROW_GAP for a, b in pairwise(column)]
            for v, y in zip(column, _apart(wanted, gaps), strict=True):
                vertices[v].y = y
    top = min((v.y - v.height / 2 for v in vertices), default=0.0)
    for vertex in vertices:
        vertex.y += EDGE - top


def _apart(wanted: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """The nearest positions (least squares) that are at least `gaps` apart: pool adjacent violators."""
    offset, offsets = 0.0, [0.0]
    for gap in gaps:
        offset += gap
        offsets.append(offset)
    pools: list[tuple[float, int]] = []
    for want, shift in zip(wanted, offsets, strict=True):
        total, size = want - shift, 1
        while pools and pools[-1][0] / pools[-1][1] > total / size:
            more, count = pools.pop()
            total, size = total + more, size + count
        pools.append((total, size))
    flat = [total / size for total, size in pools for _ in range(size)]
    return [y + shift for y, shift in zip(flat, offsets, strict=True)]
