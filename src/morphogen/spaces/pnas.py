"""PNAS: one cell of up to five blocks for both strides, 8 operations, added.

Liu et al. 2018, "Progressive Neural Architecture Search" (arXiv:1712.00559), section 3. The code of the search
was never released; the network follows that of PNASNet-5 (TensorFlow's slim): every block is concatenated,
also one that another reads, and a reduction is the cell itself with stride 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from morphogen.nn.mixed import Mixed, MixedOp
from morphogen.space import Architecture, Choice, Space, When
from morphogen.spaces.blocks import (
    FIRST,
    block_choices,
    blocks_of,
    canonical,
    cell_genotype,
    picked_blocks,
    picks_of,
)
from morphogen.spaces.concat import Concat
from morphogen.spaces.genotype import Genotype
from morphogen.spaces.nasnet_cell import CellChoices
from morphogen.spaces.nasnet_network import Network, mobile
from morphogen.spaces.skeleton import Skeleton

__all__ = [
    "OPERATIONS",
    "PNAS",
    "SKELETONS",
    "from_genotype",
    "genotype_network",
    "identity",
    "network",
    "pnas",
    "to_genotype",
]

OPERATIONS = (
    "sep_conv_3x3",
    "sep_conv_5x5",
    "sep_conv_7x7",
    "conv_1x7_7x1",
    "skip_connect",
    "avg_pool_3x3",
    "max_pool_3x3",
    "dil_conv_3x3",
)
CELL = "cell"
DEPTH = "blocks"
SEARCH = Skeleton(channels=24, cells=6, cells_per_repeat=3)
SKELETONS = {
    "search": SEARCH,
    "final": replace(SEARCH, channels=48, cells=9, auxiliary=True, drop_path=0.4, drop_path_by_depth=True),
    "imagenet": mobile(SEARCH, channels=54, cells=9),
}
"""N = 2 and F = 24 for search; N = 3 and F = 48; the mobile network, N = 3 and F = 54."""


def pnas(blocks: int = 5, operations: Sequence[str] = OPERATIONS) -> Space:
    """The space: how many blocks, and for each of them two inputs and two operations.

    With the defaults, cells of five blocks are 556,627,761,561,600. `restrict({"blocks": ("2",)})` is the space of
    cells of two; a progressive search grows from one to the next. Params and multiply-adds add up: all blocks are
    concatenated, so that their number alone says how wide a cell's output is.

    Args:
        blocks: The most blocks of a cell.
        operations: Names of operations.
    """
    depths = tuple(map(str, range(1, blocks + 1)))
    choices = [Choice(DEPTH, depths, ordered=True)]
    for block in range(FIRST, blocks + FIRST):
        later = When(DEPTH, depths[block - FIRST :]) if block > FIRST else None
        choices += block_choices(CELL, block, operations, when=later)
    return Space(tuple(choices), network=network, skeletons=SKELETONS, canonical=identity, name="pnas")


def network(space: Space, skeleton: Skeleton, mixed: Mixed = MixedOp) -> nn.Module:
    """The network of a PNAS space: supernet, or stand-alone where the space has one point."""
    concat = Concat(tuple(blocks_of(space, CELL)), depth=space[DEPTH])
    cell = CellChoices(space, CELL, concat)
    return Network(cell, cell, skeleton, mixed)


def genotype_network(genotype: Genotype, skeleton: Skeleton) -> nn.Module:
    """The network of a published cell.

    Raises:
        ValueError: The genotype is no point of the space of the paper.
    """
    architecture = from_genotype(genotype)
    return network(architecture.space.fix(architecture), skeleton)


# --- other forms of an architecture -----------------------------------------------------------------------------------


def to_genotype(architecture: Architecture) -> Genotype:
    """The published form: the cell, twice."""
    blocks = picked_blocks(architecture.picks, CELL)
    cell = cell_genotype(blocks, range(FIRST, len(blocks) + FIRST))
    return Genotype(cell, cell)


def from_genotype(genotype: Genotype, space: Space | None = None) -> Architecture:
    """The architecture of a genotype, in `PNAS` unless another space is given.

    Raises:
        ValueError: The genotype is not a point of the space; the message says why.
    """
    space, cell = PNAS if space is None else space, genotype.normal
    if genotype.reduce != cell:
        raise ValueError(f"the two cells differ, and space '{space.name}' has one cell for both strides")
    depth = len(cell.blocks)
    if str(depth) not in space[DEPTH].options:
        raise ValueError(
            f"the cell has {depth} blocks, cells of space '{space.name}' have {' or '.join(space[DEPTH].options)}"
        )
    if sorted(cell.concat) != list(range(FIRST, depth + FIRST)):
        raise ValueError(
            f"the cell concatenates the states {list(cell.concat)}; cells of space '{space.name}' concatenate all "
            f"blocks, 2 to {depth + 1}"
        )
    return space.architecture({DEPTH: str(depth), **picks_of(cell, CELL, combine=False)})


def identity(architecture: Architecture) -> bytes:
    """Bytes that are equal exactly for isomorphic networks: the cell's canonical form."""
    return repr(canonical(picked_blocks(architecture.picks, CELL))).encode()


PNAS = pnas()
"""The space of the paper."""
