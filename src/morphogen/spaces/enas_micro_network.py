"""The network of the micro space of ENAS, in the search and in the end.

Pham et al. 2018 (arXiv:1802.03268), section 2.4, as in the released code (melodyguan/enas). The two differ, beside
sizes, by `Skeleton.weight_sharing`:

|                | search                                           | final                                   |
|----------------|--------------------------------------------------|-----------------------------------------|
| reduction cell | behind a factorized reduction, all strides are 1 | operations on its inputs have stride 2  |
| end of a cell  | ReLU, 1x1 convolution, batch norm                | nothing: the next cell takes all of it  |
| second input   | as it is, where it has the channels              | ReLU, 1x1 convolution, batch norm, always |
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, final

from torch import Tensor, nn

from morphogen.nn.drop_path import DropPath
from morphogen.nn.mixed import Mixed, MixedInput, MixedOp
from morphogen.nn.mixture import Mixture, run
from morphogen.nn.nasnet_operations import Norms, nasnet_operation, squeeze
from morphogen.spaces.blocks import FIRST
from morphogen.spaces.concat import Output, states_linear
from morphogen.spaces.nasnet_cell import Block, CellChoices, Features, Squeeze, adjusted
from morphogen.spaces.skeleton import Skeleton
from morphogen.spaces.stem import stem

__all__ = ["Cell", "Network", "Reduction"]

SKIP = "skip_connect"


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
        self.reduction = features.reduction(c, norms)
        self.features = Features(c, features.halved)

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
        _, last = inputs
        self.adjust0, self.adjust1 = (adjusted(features, last.size, c, norms) for features in inputs)
        self.base = nn.Identity() if shared else squeeze(c, c, norms)

        def operation(name: str, state: int) -> nn.Module:
            stride = 2 if reduces and state < FIRST else 1
            if name == SKIP:
                return nn.Identity() if stride == 1 else Features(c, last.size).reduction(c, norms)
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
            {str(s): Features(c, last.size).reduction(c, norms) for s in states if reduces and s < FIRST}
        )
        """What halves the inputs that are concatenated."""
        self.output = Output(concat)
        size = last.halved if reduces else last.size
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
