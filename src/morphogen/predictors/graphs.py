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
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import final

import numpy as np
from numpy.typing import NDArray

from morphogen.predictors.layout import Block, Layout, States, layout
from morphogen.space import Architecture, Space

__all__ = ["CellView", "Edge", "Graph", "Link", "cell_views", "graph", "mix", "word"]

NONE = frozenset({"none", "zero", "zeroize"})
IDENTITY = frozenset({"skip_connect", "identity", "skip"})
MAX_PATHS = 1024
"""Cells with more paths than this from inputs to outputs have no path encoding."""

Mask = NDArray[np.bool_]
Words = NDArray[np.uint64]

_EDGE = re.compile(r"(?:(?P<cell>.+)/)?(?P<target>[^/]+)<-(?P<source>[^/]+)")
_NODE = re.compile(r"(?:(?P<cell>[^/]+)/)?(?P<node>[^/]+)/(?P<what>inputs|op)")
_PAIR = re.compile(r"(?:(?P<cell>[^/]+)/)?(?P<node>[^/]+)/(?P<slot>[^/]+)/(?P<what>input|op)")


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


@final
@dataclass(frozen=True, slots=True)
class Link:
    """A possible edge, there where `present` (a choice and an option of it) is picked, with an operation, if any."""

    source: int
    target: int
    present: tuple[Block, int] | None
    operation: Block | None


@final
@dataclass
class CellView:
    """One cell of a space: its nodes, inputs first and in topological order, and its possible edges."""

    name: str
    layout: Layout
    nodes: list[str] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    operations: dict[int, Block] = field(default_factory=dict)
    paths: list[tuple[Link, ...]] | None = None

    def present(self, states: States) -> list[Mask]:
        """Per link, where the edge exists and is on a path from an input to an output."""
        exists = [self._exists(link, states) for link in self.links]
        reached = [np.full(len(states), i in self.inputs) for i in range(len(self.nodes))]
        for link, e in sorted(zip(self.links, exists, strict=True), key=lambda x: x[0].target):
            reached[link.target] = reached[link.target] | (reached[link.source] & e)
        leaves = [np.full(len(states), i in self.outputs) for i in range(len(self.nodes))]
        for link, e in sorted(zip(self.links, exists, strict=True), key=lambda x: -x[0].source):
            leaves[link.source] = leaves[link.source] | (leaves[link.target] & e)
        return [e & reached[k.source] & leaves[k.target] for k, e in zip(self.links, exists, strict=True)]

    def live(self, states: States) -> States:
        """The states with decisions that have no effect switched off: `none` on an edge where it can be, else 0."""
        out = states.copy()
        present = self.present(states)
        used = {i: np.zeros(len(states), bool) for i in range(len(self.nodes))}
        by_operation: dict[int, Mask] = {}
        for link, here in zip(self.links, present, strict=True):
            used[link.target] = used[link.target] | here
            if link.operation is not None:
                at = link.operation.at
                by_operation[at] = by_operation.get(at, np.zeros(len(states), bool)) | here
            if link.present is not None and not link.present[0].choice.single:
                block, option = link.present
                column = block.at + block.choice.pickable.index(block.choice.options[option])
                out[~here & (states[:, column] == 2), column] = 1
        for block in {k.operation.at: k.operation for k in self.links if k.operation is not None}.values():
            out[~by_operation[block.at], block.at] = _off(block)
        for node, block in self.operations.items():
            out[~used[node], block.at] = 0
        return out

    def path_words(self, states: States) -> Words:
        """Per path of the cell a word for its sequence of operations, 0 where it does not exist: `(n, paths)`."""
        assert self.paths is not None
        present = {id(k): p for k, p in zip(self.links, self.present(states), strict=True)}
        out = np.zeros((len(states), len(self.paths)), np.uint64)
        words: dict[int, Words] = {}
        for i, path in enumerate(self.paths):
            sequence = np.full(len(states), word(self.name), np.uint64)
            here = np.ones(len(states), bool)
            for link in path:
                here &= present[id(link)]
                for block in (link.operation, self.operations.get(link.target)):
                    if block is not None:
                        if block.at not in words:
                            words[block.at] = _words(block)[states[:, block.at]]
                        # an identity leaves the sequence as it is
                        step = words[block.at]
                        sequence = np.where(step == 0, sequence, mix(sequence + step))
            out[here, i] = sequence[here]
        return out

    def _exists(self, link: Link, states: States) -> Mask:
        exists = np.ones(len(states), bool)
        if link.present is not None:
            exists &= self.layout.picked(*link.present, states)
        if link.operation is not None:
            column = states[:, link.operation.at]
            exists &= column > 0
            for i, o in enumerate(link.operation.choice.options):
                if o in NONE:
                    exists &= column != i + 1
        return exists


@lru_cache(maxsize=32)
def cell_views(space: Space) -> tuple[CellView, ...]:
    """The cells that the names of a space's choices spell; none where they spell none."""
    layout_ = layout(space)
    cells: dict[str, CellView] = {}
    raw: dict[str, list[tuple[str, str, tuple[Block, int] | None, Block | None]]] = {}
    nodes: dict[tuple[str, str], Block] = {}
    fixed: dict[str, bool] = {}
    for choice in space.choices:
        block = layout_.block(choice.name)
        if (m := _EDGE.fullmatch(choice.name)) and choice.single:
            cell, target, source = m["cell"] or "", m["target"], m["source"]
            inputs = f"{choice.name.rpartition('<-')[0]}/inputs"
            if inputs not in space:
                raw.setdefault(cell, []).append((source, target, None, block))
                fixed[cell] = False
            elif source in (options := space[inputs].options):
                raw.setdefault(cell, []).append((source, target, (layout_.block(inputs), options.index(source)), block))
        elif (m := _PAIR.fullmatch(choice.name)) and m["what"] == "input" and choice.single:
            cell, target = m["cell"] or "", m["node"]
            operation = choice.name.removesuffix("input") + "op"
            on_edge = layout_.block(operation) if operation in space and space[operation].single else None
            for i, source in enumerate(choice.options):
                raw.setdefault(cell, []).append((source, target, (block, i), on_edge))
            fixed.setdefault(cell, True)
        elif m := _NODE.fullmatch(choice.name):
            cell, target = m["cell"] or "", m["node"]
            if m["what"] == "op" and choice.single:
                nodes[cell, target] = block
            elif m["what"] == "inputs":
                prefix = choice.name.removesuffix("/inputs")
                for i, source in enumerate(choice.options):
                    if f"{prefix}<-{source}" not in space:
                        raw.setdefault(cell, []).append((source, target, (block, i), None))
                low, high = choice.bounds
                fixed[cell] = fixed.get(cell, True) and low == high
    for cell, links in raw.items():
        view = _cell(cell, layout_, links, fixed.get(cell, False))
        if view is None:
            return ()
        for (of, node), block in nodes.items():
            if of == cell and node in view.nodes:
                view.operations[view.nodes.index(node)] = block
        cells[cell] = view
    return tuple(cells.values())


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


def word(text: str) -> int:
    """A number for a text, the same in every process; never 0."""
    return zlib.crc32(text.encode()) + 1


def mix(words: Words) -> Words:
    """Scramble 64-bit words (Steele et al. 2014, SplitMix64's finalizer); wraps around."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _cell(
    name: str, layout: Layout, raw: list[tuple[str, str, tuple[Block, int] | None, Block | None]], all_leave: bool
) -> CellView | None:
    """Order the nodes; None where the edges make a cycle or the cell has no output."""
    targets = dict.fromkeys(t for _, t, _, _ in raw)
    sources = dict.fromkeys(s for s, _, _, _ in raw)
    view = CellView(name, layout, [s for s in sources if s not in targets])
    view.inputs = list(range(len(view.nodes)))
    left = list(targets)
    while left:
        ready = [t for t in left if all(s in view.nodes for s, target, _, _ in raw if target == t)]
        if not ready:
            return None
        view.nodes += ready
        left = [t for t in left if t not in ready]
    at = {n: i for i, n in enumerate(view.nodes)}
    view.links = [Link(at[s], at[t], present, operation) for s, t, present, operation in raw]
    view.outputs = [at[t] for t in targets if all_leave or t not in sources]
    if not view.inputs or not view.outputs:
        return None
    paths = _paths(view)
    found = [p for _, p in zip(range(MAX_PATHS + 1), paths, strict=False)]
    view.paths = found if len(found) <= MAX_PATHS else None
    return view


def _paths(view: CellView) -> Iterator[tuple[Link, ...]]:
    """Every possible path from an input to an output, depth first."""
    leaving: dict[int, list[Link]] = {}
    for link in view.links:
        leaving.setdefault(link.source, []).append(link)
    stack: list[tuple[int, tuple[Link, ...]]] = [(i, ()) for i in reversed(view.inputs)]
    while stack:
        node, path = stack.pop()
        if path and node in view.outputs:
            yield path
        stack += [(k.target, (*path, k)) for k in reversed(leaving.get(node, []))]


def _off(block: Block) -> int:
    """The state that says "no operation" in a column."""
    return next((i + 1 for i, o in enumerate(block.choice.options) if o in NONE), 0)


def _words(block: Block) -> Words:
    """State -> word of the operation; 0 for an identity."""
    return np.array([0, *(0 if o in IDENTITY else word(o) for o in block.choice.options)], np.uint64)


def _picked(block: Block | None, states: States) -> str:
    return "" if block is None else block.choice.options[int(states[0, block.at]) - 1]
