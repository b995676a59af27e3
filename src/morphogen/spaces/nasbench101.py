"""NAS-Bench-101: one cell, a graph of at most seven vertices and nine edges with three operations.

Ying et al. 2019, "NAS-Bench-101: Towards Reproducible Neural Architecture Search" (arXiv:1902.09635), sections
2.1 and 2.2, and the released code. The cells have 423,624 identities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import final

import torch
from torch import Tensor, nn

from morphogen.nn.mixed import Mixed, MixedOp
from morphogen.space import Architecture, Choice, Cost, Limit, Pick, Space, When
from morphogen.spaces.nasbench101_graph import CONV3, OPERATIONS, POOL, Graph, vertex_channels
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


# --- the graph of an architecture --------------------------------------------------------------------------------------


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


def _conv_bn_relu(c_in: int, c_out: int, kernel_size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, kernel_size, padding=kernel_size // 2, bias=False),
        nn.BatchNorm2d(c_out, momentum=MOMENTUM),
        nn.ReLU(),
    )


NASBENCH101 = nasbench101()
"""The space of the paper."""
