"""Any published cells in the networks of DARTS: also those that are no point of its space.

The released code of DARTS (Liu et al. 2019, arXiv:1806.09055) builds the cells of NASNet and AmoebaNet too, with
its own operations and skeleton. There, a block may read one input twice, and not every block is concatenated.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from morphogen.nn.drop_path import DropPath
from morphogen.nn.operations import FactorizedReduce, ReLUConvBN, operation
from morphogen.spaces.darts import DARTS, Auxiliary, ImageNetStem, Stem, from_genotype, network
from morphogen.spaces.genotype import CellGenotype, Genotype
from morphogen.spaces.skeleton import Skeleton

__all__ = ["Cell", "Network", "genotype_network"]


@final
class Cell(nn.Module):
    """A published cell; as `darts.Cell`, with nothing to choose.

    Args:
        genotype: Its blocks, and what it concatenates: blocks only.
        skeleton: Norms and drop path.
        channels: Of the cell before the last, of the last cell, of this cell's operations.
        reduces: Whether operations on the two inputs have stride 2.
        reduced: Whether the last cell was a reduction.

    Raises:
        ValueError: It concatenates an input, or has an operation that there is not.
    """

    def __init__(
        self,
        genotype: CellGenotype,
        skeleton: Skeleton,
        channels: tuple[int, int, int],
        *,
        reduces: bool,
        reduced: bool,
    ) -> None:
        super().__init__()
        if min(genotype.concat) < 2:
            raise ValueError(
                f"the cell concatenates the states {list(genotype.concat)}; networks of DARTS concatenate no inputs"
            )
        c_before_last, c_last, c = channels
        self.preprocess0: nn.Module = (
            FactorizedReduce(c_before_last, c, skeleton.affine)
            if reduced
            else ReLUConvBN(c_before_last, c, skeleton.affine)
        )
        self.preprocess1 = ReLUConvBN(c_last, c, skeleton.affine)
        self.ops = nn.ModuleList()
        self.pairs = [pair for block in genotype.blocks for pair in block]
        for name, state in self.pairs:
            stride = 2 if reduces and state < 2 else 1
            op = operation(name, c, stride, affine=skeleton.affine, pool_norm=skeleton.pool_norm)
            dropped = skeleton.drop_path > 0 and not isinstance(op, nn.Identity)
            self.ops.append(nn.Sequential(op, DropPath(skeleton.drop_path)) if dropped else op)
        self.concat = genotype.concat
        self.channels = c * len(genotype.concat)

    def forward(self, s0: Tensor, s1: Tensor) -> Tensor:
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        terms = [(op, state) for op, (_, state) in zip(self.ops, self.pairs, strict=True)]
        for (a, left), (b, right) in zip(terms[::2], terms[1::2], strict=True):
            states.append(a(states[left]) + b(states[right]))
        return torch.cat([states[i] for i in self.concat], dim=1)


@final
class Network(nn.Module):
    """As `darts.Network`: stem, cells, global average pooling, a linear head."""

    def __init__(self, genotype: Genotype, skeleton: Skeleton) -> None:
        super().__init__()
        c, imagenet = skeleton.channels, skeleton.stem == "imagenet"
        halvings = 3 if imagenet else 0
        c_last = c if imagenet else c * skeleton.stem_multiplier
        self.stem: Stem | ImageNetStem = (
            ImageNetStem(skeleton.image[0], c) if imagenet else Stem(skeleton.image[0], c_last)
        )
        c_before_last, reduced = c_last, imagenet
        self.cells = nn.ModuleList()
        self.auxiliary: Auxiliary | None = None
        self.auxiliary_cell = 2 * skeleton.cells // 3 if skeleton.auxiliary else -1
        for i in range(skeleton.cells):
            reduces = i in skeleton.reduction_cells
            if reduces:
                c, halvings = 2 * c, halvings + 1
            cells = genotype.reduce if reduces else genotype.normal
            cell = Cell(cells, skeleton, (c_before_last, c_last, c), reduces=reduces, reduced=reduced)
            self.cells.append(cell)
            c_before_last, c_last, reduced = c_last, cell.channels, reduces
            if i == self.auxiliary_cell:
                # halved so often, each time rounded up
                size = -(-skeleton.image[1] // 2**halvings), -(-skeleton.image[2] // 2**halvings)
                self.auxiliary = Auxiliary(c_last, size, skeleton.classes, imagenet=imagenet)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(c_last, skeleton.classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        s0, s1 = self.stem(x)
        auxiliary_logits = None
        for i, cell in enumerate(self.cells):
            s0, s1 = s1, cell(s0, s1)
            if i == self.auxiliary_cell and self.auxiliary is not None and self.training:
                auxiliary_logits = self.auxiliary(s1)
        logits: Tensor = self.classifier(self.pool(s1).flatten(1))
        return logits if auxiliary_logits is None else (logits, auxiliary_logits)


def genotype_network(genotype: Genotype, skeleton: Skeleton) -> nn.Module:
    """The network of any two cells; that of the space, with its names of weights, where they are a point of it."""
    try:
        architecture = from_genotype(genotype)
    except ValueError:
        return Network(genotype, skeleton)
    return network(DARTS.fix(architecture), skeleton)
