"""Cells as graphs, recognized by the names of choices.

A space is choices; many are *cells* all the same, and a graph says more than its choices do: which of them
have no effect, and which operations lie on the paths from input to output. Three idioms of naming are read,
each with or without a cell in front (`normal/3<-1`, `3<-1`):

- *edges*: `3<-1` picks the operation on the edge from node 1 to node 3; `3/inputs`, where there is one,
  which edges exist;
- *nodes*: `3/op` picks the operation of node 3, `3/inputs` its inputs;
- *pairs*: `3/a/input` and `3/a/op`: an input and the operation on it, the same input perhaps twice.

Nodes that no choice leads to are inputs. Where every node takes a fixed number of inputs (DARTS, NASNet),
nodes that are not used are concatenated, so all of them are outputs; else the one node that leads to no
other is the output. An operation `none` cuts its edge, `skip_connect` and `identity` pass a path on
unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import final

from morphogen.predictors.cell_view import CellView, Link, PathTree
from morphogen.predictors.layout import Block, States, layout
from morphogen.space import Architecture, Space

__all__ = ["EDGE", "INPUTS", "OPERATION", "PAIR", "CellView", "Edge", "Graph", "cell_views", "graph"]

MAX_PATHS = 1024
"""Cells with more paths than this from inputs to outputs have no path encoding."""

Raw = tuple[str, str, tuple[Block, int] | None, Block | None]
"""A `Link` between names of nodes."""

_NODE = r"(?:(?P<cell>.+)/)?(?P<node>[^/<]+)"
EDGE = re.compile(_NODE + r"<-(?P<input>[^/]+)")
INPUTS = re.compile(_NODE + r"/inputs")
OPERATION = re.compile(_NODE + r"/op")
PAIR = re.compile(_NODE + r"/(?P<slot>[^/]+)/(?P<what>input|op)")


@final
@dataclass(frozen=True, slots=True)
class Edge:
    """An edge of one architecture's graph; `operation` is empty where nothing happens on it."""

    source: str
    target: str
    operation: str = ""


@final
@dataclass(frozen=True, slots=True)
class Graph:
    """The cells of one architecture, without what has no effect. Nodes are called `cell/node`.

    Args:
        inputs: Nodes that no edge of the space leads to.
        outputs: Nodes that leave the cell.
        edges: Those on a path from an input to an output.
        operations: Node -> operation, where nodes have one.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    edges: tuple[Edge, ...]
    operations: dict[str, str]


@lru_cache(maxsize=32)
def cell_views(space: Space) -> tuple[CellView, ...]:
    """The cells that the names of a space's choices spell; none where they spell none."""
    layout_ = layout(space)
    raw: dict[str, list[Raw]] = {}
    operations: dict[str, dict[str, Block]] = {}
    fixed: dict[str, bool] = {}
    for choice in space.choices:
        block = layout_.block(choice.name)
        if (m := EDGE.fullmatch(choice.name)) and choice.single:
            cell, target, source = m["cell"] or "", m["node"], m["input"]
            inputs = f"{choice.name.rpartition('<-')[0]}/inputs"
            if inputs not in space:
                raw.setdefault(cell, []).append((source, target, None, block))
                fixed[cell] = False
            elif source in (options := space[inputs].options):
                raw.setdefault(cell, []).append((source, target, (layout_.block(inputs), options.index(source)), block))
        elif (m := PAIR.fullmatch(choice.name)) and m["what"] == "input" and choice.single:
            cell, target = m["cell"] or "", m["node"]
            operation = choice.name.removesuffix("input") + "op"
            on_edge = layout_.block(operation) if operation in space and space[operation].single else None
            for i, source in enumerate(choice.options):
                raw.setdefault(cell, []).append((source, target, (block, i), on_edge))
            fixed.setdefault(cell, True)
        elif (m := OPERATION.fullmatch(choice.name)) and choice.single:
            operations.setdefault(m["cell"] or "", {})[m["node"]] = block
        elif m := INPUTS.fullmatch(choice.name):
            cell, target = m["cell"] or "", m["node"]
            prefix = choice.name.removesuffix("/inputs")
            for i, source in enumerate(choice.options):
                if f"{prefix}<-{source}" not in space:
                    raw.setdefault(cell, []).append((source, target, (block, i), None))
            low, high = choice.bounds
            fixed[cell] = fixed.get(cell, True) and low == high
    views = [_cell(cell, links, operations.get(cell, {}), fixed.get(cell, False)) for cell, links in raw.items()]
    return tuple(view for view in views if view is not None) if None not in views else ()


def graph(architecture: Architecture) -> Graph | None:
    """The graph of an architecture; None where the names of its space's choices spell no cell."""
    views = cell_views(architecture.space)
    if not views:
        return None
    states = layout(architecture.space).read([architecture])
    edges: list[Edge] = []
    operations: dict[str, str] = {}
    for view in views:
        called = [f"{view.name}/{n}" if view.name else n for n in view.nodes]
        for link, here in zip(view.links, view.present(states), strict=True):
            if here[0]:
                edges.append(Edge(called[link.source], called[link.target], _picked(link.operation, states)))
        used = {e.target for e in edges}
        operations |= {called[i]: _picked(b, states) for i, b in view.operations.items() if called[i] in used}
    ends = [
        tuple(f"{v.name}/{v.nodes[i]}" if v.name else v.nodes[i] for v in views for i in getattr(v, which))
        for which in ("inputs", "outputs")
    ]
    return Graph(ends[0], ends[1], tuple(edges), operations)


def _cell(name: str, raw: list[Raw], operations: Mapping[str, Block], all_leave: bool) -> CellView | None:
    """Order the nodes; None where the edges make a cycle or the cell has no output."""
    targets = dict.fromkeys(t for _, t, _, _ in raw)
    sources = dict.fromkeys(s for s, _, _, _ in raw)
    nodes = inputs = [s for s in sources if s not in targets]
    left = list(targets)
    while left:
        ready = [t for t in left if all(s in nodes for s, target, _, _ in raw if target == t)]
        if not ready:
            return None
        nodes = [*nodes, *ready]
        left = [t for t in left if t not in ready]
    at = {n: i for i, n in enumerate(nodes)}
    links = tuple(Link(at[s], at[t], present, operation) for s, t, present, operation in raw)
    outputs = tuple(at[t] for t in targets if all_leave or t not in sources)
    if not inputs or not outputs:
        return None
    found = list(islice(_paths(len(inputs), outputs, links), MAX_PATHS + 1))
    return CellView(
        name,
        tuple(nodes),
        tuple(range(len(inputs))),
        outputs,
        links,
        {at[n]: block for n, block in operations.items() if n in at},
        PathTree(found) if len(found) <= MAX_PATHS else None,
    )


def _paths(inputs: int, outputs: Sequence[int], links: Sequence[Link]) -> Iterator[tuple[int, ...]]:
    """Every possible path from an input to an output, depth first, as the links that it follows."""
    leaving: dict[int, list[int]] = {}
    for k, link in enumerate(links):
        leaving.setdefault(link.source, []).append(k)
    stack: list[tuple[int, tuple[int, ...]]] = [(i, ()) for i in reversed(range(inputs))]
    while stack:
        node, path = stack.pop()
        if path and node in outputs:
            yield path
        stack += [(links[k].target, (*path, k)) for k in reversed(leaving.get(node, []))]


def _picked(block: Block | None, states: States) -> str:
    return "" if block is None else block.choice.options[int(states[0, block.at]) - 1]
