"""The micro space of ENAS: a normal and a reduction cell of five blocks, with five operations.

Pham, Guan, Zoph, Le, Dean 2018, "Efficient Neural Architecture Search via Parameter Sharing" (arXiv:1802.03268),
section 2.4, as in the released code (melodyguan/enas). States that no block reads are concatenated, the inputs of
the cell among them.

The network of the search and the final one differ, beside sizes, by `Skeleton.weight_sharing`:

|                | search                                           | final                                   |
|----------------|--------------------------------------------------|-----------------------------------------|
| reduction cell | behind a factorized reduction, all strides are 1 | operations on its inputs have stride 2  |
| end of a cell  | ReLU, 1x1 convolution, batch norm                | nothing: the next cell takes all of it  |
| second input   | as it is, where it has the channels              | ReLU, 1x1 convolution, batch norm, always |
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, final

from torch import Tensor, nn

from morphogen.nn.drop_path import DropPath
from morphogen.nn.mixed import Mixed, MixedInput, MixedOp
from morphogen.nn.mixture import Mixture, run
from morphogen.nn.nasnet_operations import FactorizedReduction, Norms, nasnet_operation, squeeze
from morphogen.space import Architecture, Space
from morphogen.spaces.blocks import (
    FIRST,
    SIDES,
    BlockPicks,
    block_choices,
    blocks_of,
    canonical,
    cell_genotype,
    picked_blocks,
    picks_of,
)
from morphogen.spaces.concat import Concat, Output, states_linear
from morphogen.spaces.genotype import CellGenotype, Genotype
from morphogen.spaces.nasnet_cell import Block, CellChoices, Features, Halve, Squeeze
from morphogen.spaces.skeleton import Skeleton
from morphogen.spaces.stem import stem

__all__ = [
    "ENAS_MICRO",
    "OPERATIONS",
    "SKELETONS",
    "Network",
    "enas_micro",
    "from_arc",
    "from_genotype",
    "genotype_network",
    "identity",
    "network",
    "to_genotype",
]

SKIP = "skip_connect"
OPERATIONS = ("sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", SKIP)
"""In the order of the released code."""
CELLS = ("normal", "reduce")
SKELETONS = {
    "search": Skeleton(channels=20, cells=6, extra_reductions=True, auxiliary=True, dropout=0.1, weight_sharing=True),
    "final": Skeleton(
        channels=36,
        cells=15,
        extra_reductions=True,
        auxiliary=True,
        drop_path=0.4,
        drop_path_by_depth=True,
        dropout=0.2,
    ),
}
"""Of 6 and of 15 cells, and two reductions. **Differs** from the code: drop path is in the final network only; the
scripts of the search set it too, but its network has none."""


def enas_micro(blocks: int = 5, operations: Sequence[str] = OPERATIONS) -> Space:
    """The space: for each block of each cell two inputs and an operation on each; the two are added.

    With the defaults it has 25,628,906,250,000,000,000,000,000 architectures. (The paper counts 129,600,000,000, by a
    formula that its code does not follow.) Params and multiply-adds do not add up, as in `nasnet`: limits of them are
    kept by rejection.

    Args:
        blocks: Blocks of a cell.
        operations: Names of operations.
    """
    choices = [
        choice
        for cell in CELLS
        for block in range(FIRST, blocks + FIRST)
        for choice in block_choices(cell, block, operations)
    ]
    return Space(tuple(choices), network=network, skeletons=SKELETONS, canonical=identity, name="enas-micro")


# --- the network ------------------------------------------------------------------------------------------------------


def network(space: Space, skeleton: Skeleton, mixed: Mixed = MixedOp) -> nn.Module:
    """The network of an ENAS micro space: supernet, or stand-alone where the space has one point."""
    normal, reduce = (CellChoices(space, cell, _loose_ends(space, cell)) for cell in CELLS)
    return Network(normal, reduce, skeleton, mixed)


def _loose_ends(space: Space, cell: str) -> Concat:
    blocks = blocks_of(space, cell)
    readers = tuple((block, space[f"{cell}/{block}/{side}/input"]) for block in blocks for side in SIDES)
    return Concat(tuple(range(blocks.stop)), readers)


class _Place(NamedTuple):
    channels: int
    reduces: bool
    """Whether a reduction cell stands there."""
    auxiliary: bool


def _places(skeleton: Skeleton) -> Iterator[_Place]:
    c, third = skeleton.channels, skeleton.cells // 3
    # the code places the second one by twice a third, rounded down
    reductions = (third, 2 * third) if skeleton.reductions is None else skeleton.reductions
    for i in range(skeleton.cells):
        reduces = i in reductions
        if reduces:
            c *= 2
            if skeleton.extra_reductions:
                yield _Place(c, reduces=True, auxiliary=False)
        auxiliary = skeleton.auxiliary and i == max(reductions, default=-1)
        yield _Place(c, reduces and not skeleton.extra_reductions, auxiliary)


@final
class Network(nn.Module):
    """A convolution, cells of which some reduce, ReLU, global average pooling, a linear head without bias.

    `forward` gives logits `[batch, classes]`; in training mode, with an auxiliary head, `(logits, auxiliary
    logits)`. The auxiliary head reads the cell behind the second reduction cell.

    **Differs**: the released code normalizes by the statistics of the batch in the search, also where it evaluates;
    layers start as torch starts them (the code: He's normal).

    Args:
        normal: The choices of cells that keep the resolution.
        reduce: The choices of those behind or with a halving.
        skeleton: What surrounds them.
        mixed: What mixes operations.
    """

    def __init__(self, normal: CellChoices, reduce: CellChoices, skeleton: Skeleton, mixed: Mixed = MixedOp) -> None:
        super().__init__()
        norms = Norms(skeleton.norm_eps, skeleton.norm_momentum, skeleton.affine, skeleton.pool_norm)
        c = skeleton.channels * skeleton.stem_multiplier
        self.stem, size = stem(skeleton, c, norms)
        given = [Features(c, size)] * 2
        self.cells = nn.ModuleList()
        self.auxiliary: Auxiliary | None = None
        self.auxiliary_cell = -1
        places = list(_places(skeleton))
        for i, place in enumerate(places):
            halved = skeleton.weight_sharing and place.reduces
            if halved:
                reduction = Reduction(given[-1], place.channels, norms)
                self.cells.append(reduction)
                given.append(reduction.features)
            depth = (i + 1) / len(places) if skeleton.drop_path_by_depth else 1.0
            cell = Cell(
                reduce if place.reduces else normal,
                (given[-2], given[-1]),
                place.channels,
                reduces=place.reduces and not halved,
                shared=skeleton.weight_sharing,
                norms=norms,
                mixed=mixed,
                drop_path=skeleton.drop_path * depth,
            )
            self.cells.append(cell)
            given.append(cell.features)
            if place.auxiliary:
                self.auxiliary = Auxiliary(cell.features, skeleton.classes, norms)
                self.auxiliary_cell = len(self.cells) - 1
        self.relu, self.pool = nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(skeleton.dropout) if skeleton.dropout else nn.Identity()
        last = given[-1]
        self.classifier = states_linear(last.concat, last.channels, skeleton.classes, bias=False)

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor | tuple[Tensor, Tensor]:
        before_last = last = self.stem(x)
        auxiliary_logits = None
        for i, cell in enumerate(self.cells):
            before_last, last = last, cell(before_last, last, mixture)
            if i == self.auxiliary_cell and self.auxiliary is not None and self.training:
                auxiliary_logits = self.auxiliary(last, mixture)
        features = self.dropout(self.pool(self.relu(last)).flatten(1))
        logits = run(self.classifier, features, mixture)
        return logits if auxiliary_logits is None else (logits, auxiliary_logits)


@final
class Reduction(nn.Module):
    """A factorized reduction between two cells of the search, which is also an input of the cell after the next."""

    def __init__(self, features: Features, c: int, norms: Norms) -> None:
        super().__init__()
        self.reduction = _reduction(features, c, norms)
        self.features = Features(c, _half(features.size))

    def forward(self, before_last: Tensor, last: Tensor, mixture: Mixture | None = None) -> Tensor:
        y: Tensor = self.reduction(last, mixture)
        return y


@final
class Cell(nn.Module):
    """Two inputs of the same shape; blocks that add two operations; what no block reads, concatenated.

    Args:
        choices: Those of the cell.
        inputs: What it reads.
        c: Channels of its operations.
        reduces: Whether operations on the two inputs have stride 2.
        shared: Whether it is a cell of the search.
        norms: How it normalizes.
        mixed: What mixes operations.
        drop_path: Probability, at the end of training, that an operation's output is dropped.
    """

    def __init__(
        self,
        choices: CellChoices,
        inputs: tuple[Features, Features],
        c: int,
        *,
        reduces: bool,
        shared: bool,
        norms: Norms,
        mixed: Mixed = MixedOp,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        before_last, last = inputs
        self.adjust0 = (
            Halve(before_last, c, norms) if before_last.size != last.size else _adjusted(before_last, c, norms)
        )
        self.adjust1 = _adjusted(last, c, norms)
        self.base = nn.Identity() if shared else squeeze(c, c, norms)

        def operation(name: str, state: int) -> nn.Module:
            stride = 2 if reduces and state < FIRST else 1
            if name == SKIP:
                return nn.Identity() if stride == 1 else _reduction(Features(c, last.size), c, norms)
            module = nasnet_operation(name, c, c, stride, norms)
            return nn.Sequential(module, DropPath(drop_path)) if drop_path else module

        def side(path: str) -> nn.Module:
            which, op = choices.space[f"{path}/input"], choices.space[f"{path}/op"]
            # an operation has weights of its own for each input
            return MixedInput(which, lambda state: mixed(op, lambda name: operation(name, int(state))))

        paths = [f"{choices.name}/{block}" for block in choices.blocks]
        self.blocks = nn.ModuleList(Block(side(f"{path}/a"), side(f"{path}/b"), combine=None) for path in paths)
        concat = choices.concat
        states = concat.states if concat.fixed is None else concat.fixed
        self.outputs = nn.ModuleDict(
            {str(s): _reduction(Features(c, last.size), c, norms) for s in states if reduces and s < FIRST}
        )
        """What halves the inputs that are concatenated."""
        self.output = Output(concat)
        size = _half(last.size) if reduces else last.size
        self.end = Squeeze(Features(c, size, concat), c, norms) if shared else None
        self.features = Features(c, size) if shared else Features(c, size, concat)
        """What it gives."""

    def forward(self, s0: Tensor, s1: Tensor, mixture: Mixture | None = None) -> Tensor:
        states = [_call(self.adjust0, s0, mixture), self.base(_call(self.adjust1, s1, mixture))]
        for block in self.blocks:
            states.append(block(states, mixture))
        for state, reduction in self.outputs.items():
            states[int(state)] = reduction(states[int(state)], mixture)
        y: Tensor = self.output(states, mixture)
        return y if self.end is None else self.end(y, mixture)


def _call(adjust: nn.Module, x: Tensor, mixture: Mixture | None) -> Tensor:
    y: Tensor = x if isinstance(adjust, nn.Identity) else adjust(x, mixture)
    return y


def _adjusted(features: Features, c: int, norms: Norms) -> nn.Module:
    return nn.Identity() if features.width == c else Squeeze(features, c, norms, unless=features.width is None)


def _reduction(features: Features, c: int, norms: Norms) -> FactorizedReduction:
    return FactorizedReduction(features.conv(c // 2, 2), features.conv(c - c // 2, 2), norms(c))


def _half(size: tuple[int, int]) -> tuple[int, int]:
    return -(-size[0] // 2), -(-size[1] // 2)


@final
class Auxiliary(nn.Module):
    """The second head, for training only: pooling, a 1x1 convolution, one as large as the map, a linear layer.

    **Differs** from the released code on maps smaller than 5x5, which it cannot take: the window shrinks.
    """

    def __init__(self, features: Features, classes: int, norms: Norms) -> None:
        super().__init__()
        height, width = features.size
        window = (min(5, height), min(5, width))
        k_h, k_w = (height - window[0]) // 3 + 1, (width - window[1]) // 3 + 1
        self.relu, self.pool = nn.ReLU(), nn.AvgPool2d(window, 3)
        self.project = features.conv(128)
        self.features = nn.Sequential(
            norms(128),
            nn.ReLU(),
            # the map keeps its size, as TensorFlow's SAME has it
            nn.ZeroPad2d(((k_w - 1) // 2, k_w // 2, (k_h - 1) // 2, k_h // 2)),
            nn.Conv2d(128, 768, (k_h, k_w), bias=False),
            norms(768),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.classifier = nn.Linear(768, classes, bias=False)

    def forward(self, x: Tensor, mixture: Mixture | None = None) -> Tensor:
        y: Tensor = self.classifier(self.features(run(self.project, self.pool(self.relu(x)), mixture)))
        return y


def genotype_network(genotype: Genotype, skeleton: Skeleton) -> nn.Module:
    """The network of two published cells.

    Raises:
        ValueError: They are no point of the space.
    """
    architecture = from_genotype(genotype)
    return network(ENAS_MICRO.fix(architecture), skeleton)


# --- other forms of an architecture -----------------------------------------------------------------------------------


def to_genotype(architecture: Architecture) -> Genotype:
    """The published form."""
    cells = (picked_blocks(architecture.picks, cell) for cell in CELLS)
    return Genotype(*(cell_genotype(blocks, _unread(blocks)) for blocks in cells))


def from_genotype(genotype: Genotype, space: Space | None = None) -> Architecture:
    """The architecture of a genotype, in `ENAS_MICRO` unless another space is given.

    Raises:
        ValueError: The genotype is not a point of the space; the message says why.
    """
    space = ENAS_MICRO if space is None else space
    picks: dict[str, str] = {}
    for name in CELLS:
        cell: CellGenotype = getattr(genotype, name)
        blocks = [BlockPicks(block, "add") for block in cell.blocks]
        if len(blocks) != len(blocks_of(space, name)):
            raise ValueError(
                f"the {name} cell has {len(blocks)} blocks, cells of space '{space.name}' have "
                f"{len(blocks_of(space, name))}"
            )
        if sorted(cell.concat) != _unread(blocks):
            raise ValueError(
                f"the {name} cell concatenates the states {sorted(cell.concat)}; cells of space '{space.name}' "
                f"concatenate what no block reads, here {_unread(blocks)}"
            )
        picks |= picks_of(cell, name, combine=False)
    return space.architecture(picks)


def from_arc(normal: Sequence[int], reduce: Sequence[int], space: Space | None = None) -> Architecture:
    """The architecture of two lists of the released code: for each block input, operation, input, operation.

    Raises:
        ValueError: They are no point of the space.
    """
    space = ENAS_MICRO if space is None else space
    cells = []
    for arc in (normal, reduce):
        pairs = [(OPERATIONS[op], state) for state, op in zip(arc[::2], arc[1::2], strict=True)]
        blocks = [BlockPicks((a, b), "add") for a, b in zip(pairs[::2], pairs[1::2], strict=True)]
        cells.append(cell_genotype(blocks, _unread(blocks)))
    return from_genotype(Genotype(*cells), space)


def identity(architecture: Architecture) -> bytes:
    """Bytes that are equal exactly for isomorphic networks: each cell's canonical form."""
    picks = architecture.picks
    return repr([canonical(picked_blocks(picks, cell)) for cell in CELLS]).encode()


def _unread(blocks: Sequence[BlockPicks]) -> list[int]:
    read = {state for block in blocks for _, state in block.sides}
    return [state for state in range(len(blocks) + FIRST) if state not in read]


ENAS_MICRO = enas_micro()
"""The space of the paper."""
