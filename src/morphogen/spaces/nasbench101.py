"""NAS-Bench-101: one cell, a graph of at most seven vertices and nine edges with three operations.

Ying et al. 2019, "NAS-Bench-101: Towards Reproducible Neural Architecture Search" (arXiv:1902.09635), sections
2.1 and 2.2, and the released code. The cells have 423,624 identities.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from typing import final

import torch
from torch import Tensor, nn

from morphogen.nn.mixed import Mixed, MixedOp
from morphogen.space import Architecture, Choice, Cost, Limit, Pick, Space, When
from morphogen.spaces.skeleton import Skeleton
from morphogen.spaces.standalone import require_one_point
from morphogen.spaces.stem import stem

__all__ = [
    "NASBENCH101",
    "OPERATIONS",
    "SKELETONS",
    "Graph",
    "Network",
    "from_graph",
    "identity",
    "nasbench101",
    "network",
    "to_graph",
]

CONV3, CONV1, POOL = "conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"
OPERATIONS = (CONV3, CONV1, POOL)
"""In the order of the benchmark, by which its hash counts."""
MOMENTUM = 0.003
"""Of batch norm, as torch counts it: one minus 0.997."""
_TABLE = Skeleton(channels=128, cells=9, cells_per_repeat=3, extra_reductions=True, stem_multiplier=1)
SKELETONS = {"search": _TABLE, "final": _TABLE}
"""The same twice: every cell of the table was trained in one network, of three stacks of three cells."""


def nasbench101(vertices: int = 7, edges: int = 9, operations: Sequence[str] = OPERATIONS) -> Space:
    """The space: how many vertices there are, for each the operation and which earlier ones it reads.

    Vertex 0 is the input of the cell; the output is the last vertex, and has its choice of inputs for each number
    of vertices. Whatever reads something, so input and output are always connected; what does not reach the
    output is pruned (and its edges count for the limit, as in the benchmark's own random cells). Params and
    multiply-adds do not add up: channels are split between the vertices that the output reads, and what reaches
    nothing costs nothing. Limits of them are kept by rejection.

    Args:
        vertices: At most, the input and the output among them.
        edges: At most.
        operations: Some of `OPERATIONS`.
    """
    numbers = tuple(map(str, range(2, vertices + 1)))
    choices = [Choice("vertices", numbers, ordered=True)]
    terms: dict[tuple[tuple[str, str], ...], float] = {(("vertices", "2"),): 1.0}
    for vertex in range(1, vertices - 1):
        when = When("vertices", tuple(map(str, range(vertex + 2, vertices + 1))))
        choices.append(Choice(f"{vertex}/op", tuple(operations), when=when))
        if vertex > 1:
            choices.append(_inputs(f"{vertex}/inputs", vertex, when))
        else:
            terms.update({(("vertices", number),): 1.0 for number in when.any_of})  # it can only read the input
    for number in range(3, vertices + 1):
        choices.append(_inputs(f"output/{number}/inputs", number - 1, When("vertices", (str(number),))))
    terms.update({((c.name, o),): 1.0 for c in choices if c.name.endswith("/inputs") for o in c.options})
    return Space(
        tuple(choices),
        limits=(Limit(Cost("edges", terms), edges),),
        network=network,
        skeletons=SKELETONS,
        canonical=identity,
        name="nasbench101",
    )


def _inputs(name: str, earlier: int, when: When) -> Choice:
    return Choice(name, tuple(map(str, range(earlier))), pick=(1, earlier), when=when)


# --- the graph of a cell ----------------------------------------------------------------------------------------------


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


def _joined(colors: Sequence[str], some: Sequence[int]) -> str:
    return "".join(sorted(colors[v] for v in some))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def to_graph(architecture: Architecture) -> Graph:
    """The cell of an architecture, as it was chosen: not pruned."""
    return _graph(architecture.picks)


def _graph(picks: Mapping[str, Pick]) -> Graph:
    last = int(picks["vertices"][0]) - 1
    sources = [picks.get(f"{vertex}/inputs", ("0",)) for vertex in range(1, last)]
    sources.append(picks.get(f"output/{last + 1}/inputs", ("0",)))
    return Graph(tuple(tuple(map(int, some)) for some in sources), tuple(picks[f"{v}/op"][0] for v in range(1, last)))


def from_graph(graph: Graph, space: Space | None = None) -> Architecture:
    """The architecture of a cell, in `NASBENCH101` unless another space is given; the cell is pruned.

    Raises:
        ValueError: Input and output are not connected, or the cell is outside the space.
    """
    space = NASBENCH101 if space is None else space
    graph = graph.pruned()
    last = len(graph.sources)
    picks: dict[str, str | list[str]] = {"vertices": str(last + 1)}
    names = [*(f"{vertex}/inputs" for vertex in range(1, last)), f"output/{last + 1}/inputs"]
    picks |= {
        name: list(map(str, sources)) for name, sources in zip(names, graph.sources, strict=True) if name in space
    }
    picks |= {f"{vertex}/op": op for vertex, op in enumerate(graph.ops, start=1)}
    return space.architecture(picks)


def identity(architecture: Architecture) -> bytes:
    """The benchmark's hash of the pruned cell, in hexadecimal digits."""
    return to_graph(architecture).pruned().digest().encode()


# --- the network ------------------------------------------------------------------------------------------------------


def network(space: Space, skeleton: Skeleton, mixed: Mixed = MixedOp) -> nn.Module:
    """The network of one cell.

    **Differs** from other spaces: there is no supernet. How many channels a vertex has depends on all edges of
    the cell, so that weights of one cell are of no use in another; the paper has none either.

    Raises:
        ValueError: The space has more than one point, or `mixed` is another than `MixedOp`.
    """
    require_one_point(space, mixed, "the cells of NAS-Bench-101 share no weights")
    return Network(space, skeleton)


@final
class Network(nn.Module):
    """A 3x3 convolution, stacks of cells with 2x2 max pooling between them, pooling, a linear head.

    `forward` gives logits `[batch, classes]`.

    Args:
        space: Of one point.
        skeleton: In front of the cell at a reduction, the resolution is halved; that cell doubles the channels.
    """

    def __init__(self, space: Space, skeleton: Skeleton) -> None:
        super().__init__()
        c = skeleton.channels
        c_prev = c * skeleton.stem_multiplier
        first, _ = stem(skeleton, c_prev, partial(nn.BatchNorm2d, momentum=MOMENTUM))
        self.stem = nn.Sequential(*first, nn.ReLU())
        self.cells = nn.ModuleList()
        for i in range(skeleton.cells):
            if i in skeleton.reduction_cells:
                c *= 2
                self.cells.append(nn.MaxPool2d(2, ceil_mode=True))
            self.cells.append(Cell(space, c_prev, c))
            c_prev = c
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(c, skeleton.classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for cell in self.cells:
            x = cell(x)
        y: Tensor = self.classifier(self.pool(x).flatten(1))
        return y


@final
class Cell(nn.Module):
    """The vertices of a cell: each an operation on the sum of what it reads, concatenated where the output reads.

    What reads the input does so through a 1x1 convolution of its own, and the output adds the input, if it reads it.

    Args:
        space: Of one point.
        c_in: Channels of its input.
        c_out: Channels of its output, split between the vertices that it concatenates.

    Raises:
        ValueError: There are fewer channels than vertices to split them between.
    """

    def __init__(self, space: Space, c_in: int, c_out: int) -> None:
        super().__init__()
        self.choices = space.choices
        graph = _graph({choice.name: choice.options for choice in space}).pruned().ordered()
        self.sources = graph.sources
        self.widths = widths = vertex_channels(graph, c_out)
        self.vertices = nn.ModuleList(
            nn.MaxPool2d(3, stride=1, padding=1) if op == POOL else _conv_bn_relu(c, c, 3 if op == CONV3 else 1)
            for op, c in zip(graph.ops, widths[1:], strict=False)
        )
        self.projections = nn.ModuleDict(
            {
                str(vertex): _conv_bn_relu(c_in, widths[vertex], 1)
                for vertex, sources in enumerate(graph.sources, start=1)
                if 0 in sources
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        states = [x]
        for vertex, (op, sources) in enumerate(zip(self.vertices, self.sources, strict=False), start=1):
            c = self.widths[vertex]
            terms = [states[s] if self.widths[s] == c else states[s][:, :c] for s in sources if s > 0]
            terms += [self.projections[str(vertex)](x)] if 0 in sources else []
            states.append(op(sum(terms[1:], terms[0])))
        *_, last = self.sources
        ends = [states[s] for s in last if s > 0]
        parts = [torch.cat(ends, dim=1) if len(ends) > 1 else ends[0]] if ends else []
        parts += [self.projections[str(len(states))](x)] if 0 in last else []
        y: Tensor = sum(parts[1:], parts[0])
        return y


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


def _conv_bn_relu(c_in: int, c_out: int, kernel_size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, kernel_size, padding=kernel_size // 2, bias=False),
        nn.BatchNorm2d(c_out, momentum=MOMENTUM),
        nn.ReLU(),
    )


NASBENCH101 = nasbench101()
"""The space of the paper."""
