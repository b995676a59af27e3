"""Architectures as graphs, where they are cells, and as groups of decisions, where they are not. DOT and Mermaid."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

from morphogen.predictors.graphs import EDGE, INPUTS, PAIR
from morphogen.space import Architecture

__all__ = ["Edge", "Graph", "dot", "graphs_of", "groups_of", "mermaid"]

OUTPUT = "output"
CALLED = {1: ("input",), 2: ("c(k-2)", "c(k-1)")}  # what papers call them
NONE = "none"  # the operation that cuts an edge: it is not drawn


@final
@dataclass(frozen=True, slots=True)
class Edge:
    """From a node to a later one, by an operation; an empty label is a plain line."""

    source: str
    target: str
    label: str = ""


@final
@dataclass(frozen=True, slots=True)
class Graph:
    """A cell: nodes and labeled edges, without cycles.

    Args:
        name: Of the cell.
        nodes: In a topological order.
        edges: Any number between two nodes.
        labels: What is shown for a node, where it is not its name.

    Raises:
        ValueError: An edge from or to an unknown node, or against the order of the nodes.
    """

    name: str
    nodes: tuple[str, ...]
    edges: tuple[Edge, ...]
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        at = {node: i for i, node in enumerate(self.nodes)}
        for e in self.edges:
            if e.source not in at or e.target not in at:
                raise ValueError(f"graph '{self.name}': the edge {e.source} -> {e.target} has an end that is no node")
            if at[e.source] >= at[e.target]:
                raise ValueError(
                    f"graph '{self.name}': the edge {e.source} -> {e.target} goes against the order of nodes"
                )

    def label(self, node: str) -> str:
        """What is shown for a node."""
        return self.labels.get(node, node)


def graphs_of(architecture: Architecture, outputs: Mapping[str, Sequence[str]] | None = None) -> dict[str, Graph]:
    """The cells of an architecture by name; empty where no choices have the names of a cell's.

    Two idioms are known. *Edges*: `cell/node/inputs` picks earlier nodes, `cell/node<-input` an operation.
    *Pairs*: `cell/node/slot/input` picks an earlier node, `cell/node/slot/op` an operation on it. Nodes that are read
    and never decided are the inputs of the cell.

    Args:
        architecture: Of any space.
        outputs: Per cell, the nodes that its output concatenates. By default all (edges with `inputs`: Liu et al.
            2019), those that no other node reads (pairs: Zoph et al. 2018), or the last node is the output (edges
            alone: Dong and Yang 2020).
    """
    edges, nodes, idioms = _cells(architecture.picks)
    graphs = {}
    for cell, found in edges.items():
        inner = sorted(nodes[cell], key=_order)
        inputs = sorted({e.source for e in found} - set(inner), key=_order)
        labels = dict(zip(inputs, CALLED.get(len(inputs), inputs), strict=True))
        joined = _outputs(idioms[cell], inner, found) if outputs is None or cell not in outputs else list(outputs[cell])
        if joined:
            out = OUTPUT if OUTPUT not in (*inner, *inputs) else f"{OUTPUT} of the cell"
            order, all_edges = (*inputs, *inner, out), [*found, *(Edge(node, out) for node in joined)]
        else:
            order, all_edges = (*inputs, *inner), found
            labels[inner[-1]] = OUTPUT
        try:
            graphs[cell] = Graph(cell, order, tuple(all_edges), labels)
        except ValueError:
            continue  # names like a cell's, and no cell: the groups show it
    return graphs


def groups_of(architecture: Architecture) -> dict[str, list[tuple[str, str]]]:
    """The decisions that are in no cell, grouped by the path before the last `/`: `{"stage1": [("width", "64")]}`."""
    cells = graphs_of(architecture)
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, picked in architecture.picks.items():
        match = _match(name)
        if match is None or (match["cell"] or "") not in cells:
            prefix, _, last = name.rpartition("/")
            groups.setdefault(prefix, []).append((last, ", ".join(picked) or "nothing"))
    return groups


def dot(graph: Graph) -> str:
    """The graph in the language of Graphviz."""
    lines = [f"digraph {_quoted(graph.name or 'cell')} {{", "  rankdir=LR;", "  node [shape=box, style=rounded];"]
    lines += [f"  n{i} [label={_quoted(graph.label(node))}];" for i, node in enumerate(graph.nodes)]
    at = {node: i for i, node in enumerate(graph.nodes)}
    for e in graph.edges:
        lines.append(f"  n{at[e.source]} -> n{at[e.target]}" + (f" [label={_quoted(e.label)}];" if e.label else ";"))
    return "\n".join([*lines, "}"]) + "\n"


def mermaid(graph: Graph) -> str:
    """The graph as a Mermaid flowchart, which GitHub draws in Markdown."""
    at = {node: i for i, node in enumerate(graph.nodes)}
    lines = ["flowchart LR", *(f'  n{i}(["{_entities(graph.label(node))}"])' for i, node in enumerate(graph.nodes))]
    for e in graph.edges:
        lines.append(f"  n{at[e.source]} -->" + (f'|"{_entities(e.label)}"|' if e.label else "") + f" n{at[e.target]}")
    return "\n".join(lines) + "\n"


def _cells(
    picks: Mapping[str, Sequence[str]],
) -> tuple[dict[str, list[Edge]], dict[str, list[str]], dict[str, set[str]]]:
    """Per cell: its edges, the nodes that are decided, and which kinds of choices it has."""
    edges: dict[str, list[Edge]] = {}
    nodes: dict[str, list[str]] = {}
    idioms: dict[str, set[str]] = {}
    for name, picked in picks.items():
        match = _match(name)
        if match is None:
            continue
        cell, node, found = match["cell"] or "", match["node"], []
        if match.re is EDGE:
            kind = "edge"
            found = [Edge(match["input"], node, "+".join(picked))] if picked and picked != (NONE,) else []
        elif match.re is INPUTS:
            kind = "inputs"
            found = [Edge(i, node) for i in picked if name.removesuffix("/inputs") + f"<-{i}" not in picks]
        else:
            kind = "pair"
            operation = picks.get(name.removesuffix("input") + "op", ())
            found = [Edge(i, node, "+".join(operation)) for i in picked] if match["what"] == "input" else []
        edges.setdefault(cell, []).extend(found)
        idioms.setdefault(cell, set()).add(kind)
        if node not in nodes.setdefault(cell, []):
            nodes[cell].append(node)
    # an `op` without an `input` is a layer's, not a cell's
    real = {c for c in edges if edges[c] and ("pair" not in idioms[c] or any(e.label for e in edges[c]))}
    return {c: e for c, e in edges.items() if c in real}, nodes, idioms


def _match(name: str) -> re.Match[str] | None:
    return EDGE.fullmatch(name) or INPUTS.fullmatch(name) or PAIR.fullmatch(name)


def _outputs(idioms: set[str], inner: list[str], edges: Iterable[Edge]) -> list[str]:
    if "inputs" in idioms:
        return inner
    if "pair" in idioms:
        read = {e.source for e in edges}
        return [node for node in inner if node not in read]
    return []


def _order(node: str) -> tuple[bool, int, str]:
    return (not node.isdecimal(), int(node) if node.isdecimal() else 0, node)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _entities(text: str) -> str:
    """Mermaid's own escapes: `#`, a decimal character code and `;`."""
    return "".join(c if c.isalnum() or c in " _.,:+-()/" else f"#{ord(c)};" for c in text)
