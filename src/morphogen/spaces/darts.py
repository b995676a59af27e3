"""DARTS: a normal and a reduction cell, in which every node sums two operations on two earlier states.

Liu, Simonyan, Yang 2019, "DARTS: Differentiable Architecture Search" (arXiv:1806.09055), sections 2.1 and
3.1.1, and the released code (quark0/darts). One network is supernet and final network; they differ by
their skeletons.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import torch
from torch import Tensor, nn

from morphogen.nn.drop_path import DropPath
from morphogen.nn.mixed import Mixed, MixedInput, MixedOp
from morphogen.nn.mixture import Mixture
from morphogen.nn.operations import FactorizedReduce, ReLUConvBN, operation
from morphogen.nn.side_by_side import States
from morphogen.space import Architecture, Choice, Space, When
from morphogen.spaces.genotype import Block, CellGenotype, Genotype
from morphogen.spaces.skeleton import Skeleton

__all__ = [
    "DARTS",
    "OPERATIONS",
    "SKELETONS",
    "Network",
    "darts",
    "from_genotype",
    "identity",
    "network",
    "to_genotype",
]

NONE = "none"
OPERATIONS = (
    NONE,
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""In the order of the released code, by which ties are broken. `none` is in mixtures and never picked."""
CELLS = ("normal", "reduce")
SKELETONS = {
    "search": Skeleton(channels=16, cells=8, affine=False, pool_norm=True),
    "final": Skeleton(channels=36, cells=20, auxiliary=True, drop_path=0.2),
    "imagenet": Skeleton((3, 224, 224), 1000, channels=48, cells=14, stem="imagenet", auxiliary=True),
}
"""The released code's: search, CIFAR-10, ImageNet (without drop path)."""


def darts(nodes: int = 4, operations: Sequence[str] = OPERATIONS) -> Space:
    """The space: for each node of each cell two inputs, and an operation on each of them.

    With the defaults it has 1,076,746,950,455,072,400 architectures.

    Args:
        nodes: Intermediate nodes of a cell; node i, counted from 2, may read the states 0 to i - 1.
        operations: Names of operations; `none` is never picked.
    """
    never = tuple(name for name in operations if name == NONE)
    choices: list[Choice] = []
    for cell in CELLS:
        for node in range(2, nodes + 2):
            states = tuple(map(str, range(node)))
            inputs = Choice(f"{cell}/{node}/inputs", states, pick=2)
            edges = (
                Choice(f"{cell}/{node}<-{state}", tuple(operations), when=When(inputs.name, (state,)), mixed_only=never)
                for state in states
            )
            choices += [inputs, *edges]
    return Space(tuple(choices), network=network, skeletons=SKELETONS, canonical=identity, name="darts")


# --- the network ----------------------------------------------------------------------------------------------------


def network(space: Space, skeleton: Skeleton, mixed: Mixed = MixedOp) -> nn.Module:
    """The network of a DARTS space: supernet, or stand-alone where the space has one point."""
    return Network(space, skeleton, mixed)


class Network(nn.Module):
    """Stem, cells of which some reduce, global average pooling, a linear head.

    `forward` gives logits `[batch, classes]`; in training mode, with an auxiliary head, `(logits,
    auxiliary logits)`.
    """

    def __init__(self, space: Space, skeleton: Skeleton, mixed: Mixed = MixedOp) -> None:
        super().__init__()
        c, size = skeleton.channels, skeleton.image[1:]
        self.stem: Stem | ImageNetStem
        if skeleton.stem == "imagenet":
            self.stem = ImageNetStem(skeleton.image[0], c)
            c_prev_prev, c_prev, reduced, size = c, c, True, _halved(*_halved(*_halved(*size)))
        else:
            self.stem = Stem(skeleton.image[0], c * skeleton.stem_multiplier)
            c_prev_prev = c_prev = c * skeleton.stem_multiplier
            reduced = False
        self.cells = nn.ModuleList()
        self.auxiliary: Auxiliary | None = None
        self.auxiliary_cell = 2 * skeleton.cells // 3 if skeleton.auxiliary else -1
        for i in range(skeleton.cells):
            reduce = i in skeleton.reduction_cells
            if reduce:
                c, size = 2 * c, _halved(*size)
            cell = Cell(
                space, skeleton, mixed, "reduce" if reduce else "normal", (c_prev_prev, c_prev, c), reduced=reduced
            )
            self.cells.append(cell)
            c_prev_prev, c_prev, reduced = c_prev, cell.channels, reduce
            if i == self.auxiliary_cell:
                self.auxiliary = Auxiliary(c_prev, size, skeleton.classes, imagenet=skeleton.stem == "imagenet")
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(c_prev, skeleton.classes)

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor | tuple[Tensor, Tensor]:
        s0, s1 = self.stem(x)
        auxiliary_logits = None
        for i, cell in enumerate(self.cells):
            s0, s1 = s1, cell(s0, s1, mixture)
            if i == self.auxiliary_cell and self.auxiliary is not None and self.training:
                auxiliary_logits = self.auxiliary(s1)
        logits: Tensor = self.classifier(self.pool(s1).flatten(1))
        return logits if auxiliary_logits is None else (logits, auxiliary_logits)


class Cell(nn.Module):
    """Nodes that sum operations on earlier states; the output concatenates all of them.

    Args:
        space: Has the choices of the cell.
        skeleton: Norms and drop path.
        mixed: What mixes operations.
        kind: `normal` or `reduce`: whose choices; a reduction has stride 2 on the edges from the two inputs.
        channels: Of the cell before the last, of the last cell, of this cell's operations.
        reduced: Whether the last cell was a reduction, so that the one before has twice the resolution.
    """

    def __init__(
        self,
        space: Space,
        skeleton: Skeleton,
        mixed: Mixed,
        kind: str,
        channels: tuple[int, int, int],
        *,
        reduced: bool,
    ) -> None:
        super().__init__()
        c_prev_prev, c_prev, c = channels
        affine = skeleton.affine
        self.preprocess0: nn.Module = (
            FactorizedReduce(c_prev_prev, c, affine) if reduced else ReLUConvBN(c_prev_prev, c, affine)
        )
        self.preprocess1 = ReLUConvBN(c_prev, c, affine)

        def op(name: str, stride: int) -> nn.Module:
            module = operation(name, c, stride, affine=affine, pool_norm=skeleton.pool_norm)
            # what does nothing is not dropped: a node keeps at least its skip
            dropped = skeleton.drop_path > 0 and not isinstance(module, nn.Identity)
            return nn.Sequential(module, DropPath(skeleton.drop_path)) if dropped else module

        def edge(node: int, state: str) -> nn.Module:
            stride = 2 if kind == "reduce" and int(state) < 2 else 1
            return mixed(space[f"{kind}/{node}<-{state}"], lambda name: op(name, stride))

        nodes = [choice for choice in space if choice.name.startswith(f"{kind}/") and choice.name.endswith("/inputs")]
        self.nodes = nn.ModuleList(
            MixedInput(inputs, lambda state, node=node: edge(node, state))  # type: ignore[misc]
            for node, inputs in enumerate(nodes, start=2)
        )
        self.channels = c * len(nodes)

    def forward(self, s0: Tensor, s1: Tensor, mixture: Mixture | None = None) -> Tensor:
        states = States([self.preprocess0(s0), self.preprocess1(s1)])
        for node in self.nodes:
            states.append(node(states, mixture))
        return torch.cat(states[2:], dim=1)


class Stem(nn.Module):
    """A 3x3 convolution with batch norm; both inputs of the first cell."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.norm(self.conv(x))
        return y, y


class ImageNetStem(nn.Module):
    """Three convolutions of stride 2: the first cell's inputs at a quarter and an eighth of the
    resolution."""

    def __init__(self, c_in: int, c: int) -> None:
        super().__init__()
        self.stem0 = nn.Sequential(
            nn.Conv2d(c_in, c // 2, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(c // 2),
            nn.ReLU(),
            nn.Conv2d(c // 2, c, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(c),
        )
        self.stem1 = nn.Sequential(nn.ReLU(), nn.Conv2d(c, c, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(c))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y: Tensor = self.stem0(x)
        return y, self.stem1(y)


class Auxiliary(nn.Module):
    """The second head, for training only: pooling, a 1x1 and a 2x2 convolution, a linear layer.

    **Differs** from the released code, which needs maps of 8x8 (7x7 for ImageNet), on other sizes:
    windows larger than the map shrink to it, and what is left larger than 1x1 is averaged.

    Args:
        c: Channels of its input.
        size: Height and width of its input.
        classes: How many.
        imagenet: Pool with stride 2, and no norm after the last convolution: the published runs had none.
    """

    def __init__(self, c: int, size: tuple[int, int], classes: int, imagenet: bool) -> None:
        super().__init__()
        stride = 2 if imagenet else 3
        window = (min(5, size[0]), min(5, size[1]))
        pooled = ((size[0] - window[0]) // stride + 1, (size[1] - window[1]) // stride + 1)
        self.features = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(window, stride, count_include_pad=False),
            nn.Conv2d(c, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, (min(2, pooled[0]), min(2, pooled[1])), bias=False),
            nn.Identity() if imagenet else nn.BatchNorm2d(768),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
        )
        self.classifier = nn.Linear(768, classes)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.classifier(self.features(x).flatten(1))
        return y


def _halved(height: int, width: int) -> tuple[int, int]:
    return -(-height // 2), -(-width // 2)


# --- other forms of an architecture -----------------------------------------------------------------------------------


def to_genotype(architecture: Architecture) -> Genotype:
    """The published text form; the two inputs of a node in rising order."""
    cells = []
    for kind in CELLS:
        blocks = tuple(_edges(architecture, kind))
        cells.append(CellGenotype(blocks, tuple(range(2, len(blocks) + 2))))
    return Genotype(*cells)


def from_genotype(genotype: Genotype, space: Space | None = None) -> Architecture:
    """The architecture of a genotype, in `DARTS` unless another space is given.

    Raises:
        ValueError: The genotype is not a point of the space; the message says why.
    """
    space = DARTS if space is None else space
    picks: dict[str, list[str]] = {}
    for kind in CELLS:
        cell: CellGenotype = getattr(genotype, kind)
        nodes = sum(c.name.startswith(f"{kind}/") and c.name.endswith("/inputs") for c in space)
        if len(cell.blocks) != nodes:
            raise ValueError(
                f"the {kind} cell has {len(cell.blocks)} blocks, cells of space '{space.name}' have {nodes}"
            )
        if sorted(cell.concat) != list(range(2, nodes + 2)):
            raise ValueError(
                f"the {kind} cell concatenates the states {list(cell.concat)}; "
                f"cells of space '{space.name}' concatenate all blocks, 2 to {nodes + 1}"
            )
        for node, block in enumerate(cell.blocks, start=2):
            if block[0][1] == block[1][1]:
                raise ValueError(
                    f"block {node - 2} of the {kind} cell reads input {block[0][1]} twice; "
                    f"in space '{space.name}' the inputs of a block differ"
                )
            picks[f"{kind}/{node}/inputs"] = [str(source) for _, source in block]
            picks.update({f"{kind}/{node}<-{source}": [op] for op, source in block})
    return space.architecture(picks)


def identity(architecture: Architecture) -> bytes:
    """Bytes that are equal exactly for isomorphic networks: of all orders of a cell's nodes, the one that
    is least.

    The nodes of a cell are concatenated, so their order changes only the order of channels.
    """
    return repr([min(_relabeled(list(_edges(architecture, kind)))) for kind in CELLS]).encode()


def _edges(architecture: Architecture, kind: str) -> Sequence[Block]:
    picks = architecture.picks
    blocks: list[Block] = []
    while (name := f"{kind}/{len(blocks) + 2}/inputs") in picks:
        a, b = ((picks[f"{kind}/{len(blocks) + 2}<-{state}"][0], int(state)) for state in picks[name])
        blocks.append((a, b))
    return blocks


def _relabeled(blocks: Sequence[Block]) -> list[list[list[tuple[int, str]]]]:
    """The cell under every order of its nodes in which each still comes after what it reads."""
    forms = []
    for order in permutations(range(len(blocks))):
        label = {0: 0, 1: 1} | {old + 2: new + 2 for new, old in enumerate(order)}
        if all(label[source] < label[old + 2] for old, block in enumerate(blocks) for _, source in block):
            forms.append([sorted((label[source], op) for op, source in blocks[old]) for old in order])
    return forms


DARTS = darts()
"""The space of the paper."""
