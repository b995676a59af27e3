"""NAS-Bench-201: one cell of four nodes, with one of five operations on each of its six edges.

Dong & Yang 2020, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search"
(arXiv:2001.00326), section 2.1 and figure 1, and the released code. Of the 15,625 cells, 6,245 differ: see
`identity`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import final

from torch import Tensor, nn

from morphogen.nn.mixed import Mixed, MixedOp
from morphogen.nn.mixture import Mixture, run
from morphogen.nn.operations import ReLUConvBN, operation
from morphogen.space import Architecture, Choice, Space
from morphogen.spaces.skeleton import Skeleton
from morphogen.spaces.stem import stem

__all__ = [
    "NASBENCH201",
    "OPERATIONS",
    "SKELETONS",
    "Network",
    "from_string",
    "identity",
    "nasbench201",
    "network",
    "to_string",
]

NONE, SKIP, POOL = "none", "skip_connect", "avg_pool_3x3"
OPERATIONS = (NONE, SKIP, "nor_conv_1x1", "nor_conv_3x3", POOL)
"""In the order of the benchmark's tables. Here `none` is an operation like any other, and can be picked."""
KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}
EDGES = tuple((node, source) for node in range(1, 4) for source in range(node))
SKELETONS = {
    "search": Skeleton(
        channels=16, cells=15, cells_per_repeat=3, extra_reductions=True, stem_multiplier=1, affine=False
    ),
    "final": Skeleton(channels=16, cells=15, cells_per_repeat=3, extra_reductions=True, stem_multiplier=1),
}
"""Both of N = 5 cells a stage: the benchmark searches in the network that it trains, but without affine norms."""


def nasbench201(operations: Sequence[str] = OPERATIONS) -> Space:
    """The space: an operation for each edge of the cell, `1<-0` to `3<-2`; 15,625 architectures.

    Args:
        operations: Some of `OPERATIONS`.
    """
    choices = tuple(Choice(f"{node}<-{source}", tuple(operations)) for node, source in EDGES)
    return Space(choices, network=network, skeletons=SKELETONS, canonical=identity, name="nasbench201")


# --- the network ------------------------------------------------------------------------------------------------------


def network(space: Space, skeleton: Skeleton, mixed: Mixed = MixedOp) -> nn.Module:
    """The network of a space of such cells: supernet, or stand-alone where the space has one point."""
    return Network(space, skeleton, mixed)


@final
class Network(nn.Module):
    """A convolution; three stages of cells with residual blocks between them; pooling, a linear head.

    `forward` gives logits `[batch, classes]`.

    Args:
        space: Has the choices of the cell.
        skeleton: Its reductions are residual blocks.
        mixed: What mixes operations.
    """

    def __init__(self, space: Space, skeleton: Skeleton, mixed: Mixed = MixedOp) -> None:
        super().__init__()
        c = skeleton.channels
        c_prev = c * skeleton.stem_multiplier
        self.stem, _ = stem(skeleton, c_prev, nn.BatchNorm2d)
        self.cells = nn.ModuleList()
        for i in range(skeleton.cells):
            if i in skeleton.reduction_cells:
                c *= 2
                self.cells.append(Residual(c_prev, c, 2))
            elif c_prev != c:
                self.cells.append(Residual(c_prev, c, 1))
            c_prev = c
            if skeleton.extra_reductions or i not in skeleton.reduction_cells:
                self.cells.append(Cell(space, c, skeleton.affine, mixed))
        self.last = nn.Sequential(nn.BatchNorm2d(c), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(c, skeleton.classes)

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        x = self.stem(x)
        for cell in self.cells:
            x = cell(x, mixture)
        y: Tensor = self.classifier(self.last(x))
        return y


@final
class Cell(nn.Module):
    """Nodes 1 to 3, each the sum of an operation on every node before it; the last one is the output."""

    def __init__(self, space: Space, c: int, affine: bool, mixed: Mixed) -> None:
        super().__init__()

        def build(name: str) -> nn.Module:
            if name in KERNELS:
                return ReLUConvBN(c, c, affine, KERNELS[name])
            return operation(name, c, 1, affine=affine)

        self.edges = nn.ModuleDict({f"{n}<-{s}": mixed(space[f"{n}<-{s}"], build) for n, s in EDGES})

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        states = [x]
        for node in range(1, 4):
            terms = [run(self.edges[f"{node}<-{source}"], states[source], mixture) for source in range(node)]
            states.append(sum(terms[1:], terms[0]))
        return states[-1]


@final
class Residual(nn.Module):
    """Two 3x3 convolutions, added to the average-pooled input (He et al. 2016, arXiv:1512.03385).

    **Differs** from the released code, which needs even sizes, where a size is odd: the pooling rounds up, as
    the convolution does.
    """

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(),
            nn.Conv2d(c_out, c_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
        )
        project = nn.Conv2d(c_in, c_out, 1, bias=False)
        pool = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
        self.shortcut = nn.Sequential(pool, project) if stride > 1 else project

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        y: Tensor = self.shortcut(x) + self.convolutions(x)
        return y


# --- other forms of an architecture -----------------------------------------------------------------------------------


def to_string(architecture: Architecture) -> str:
    """The benchmark's own text: `|nor_conv_3x3~0|+|none~0|skip_connect~1|+|...~0|...~1|...~2|`."""
    nodes = ("".join(f"|{architecture[f'{n}<-{s}']}~{s}" for s in range(n)) for n in range(1, 4))
    return "|+".join(nodes) + "|"


def from_string(text: str, space: Space | None = None) -> Architecture:
    """Read the benchmark's own text, in `NASBENCH201` unless another space is given.

    Raises:
        ValueError: It is not of that form, or has an operation that the space has not.
    """
    space = NASBENCH201 if space is None else space
    nodes = text.strip().split("+")
    found = [re.findall(r"([^|~]+)~(\d)", node) for node in nodes]
    edges = [(n, int(source)) for n, node in enumerate(found, start=1) for _, source in node]
    if edges != list(EDGES) or any(
        node != f"|{'|'.join('~'.join(e) for e in es)}|" for node, es in zip(nodes, found, strict=True)
    ):
        raise ValueError(f"not a cell of NAS-Bench-201: {text!r}; expected |op~0|+|op~0|op~1|+|op~0|op~1|op~2|")
    ops = (op for node in found for op, _ in node)
    return space.architecture({f"{n}<-{s}": op for (n, s), op in zip(EDGES, ops, strict=True)})


def identity(architecture: Architecture) -> bytes:
    """Bytes that are equal exactly for isomorphic cells of equal params and multiply-adds.

    A cell is the sum that reaches its output: skips are spelled out, what is exactly zero is dropped. A
    convolution of zeros is not zero, since batch norm shifts it. Beside the sum stands the number of each
    convolution, also of those that do not reach the output: the benchmark builds and counts them.

    The 15,625 cells have 6,245 identities. **Differs**: the benchmark's own 6,466 unique strings drop a
    convolution of zeros, so they merge cells of different params; and they tell apart sums that are equal once
    skips are spelled out.
    """
    ops = {edge: str(architecture[f"{edge[0]}<-{edge[1]}"]) for edge in EDGES}
    states: list[list[str]] = [["x"]]
    for node in range(1, 4):
        terms: list[str] = []
        for source in range(node):
            op, given = ops[node, source], states[source]
            if op == SKIP:
                terms += given
            elif op in KERNELS or (op == POOL and given):
                terms.append(f"{op}({'+'.join(given)})")
        states.append(sorted(terms))
    counts = (sum(op == name for op in ops.values()) for name in KERNELS)
    return " ".join(("+".join(states[-1]), *map(str, counts))).encode()


NASBENCH201 = nasbench201()
"""The space of the paper."""
