"""The micro space of ENAS: a normal and a reduction cell of five blocks, with five operations.

Pham, Guan, Zoph, Le, Dean 2018, "Efficient Neural Architecture Search via Parameter Sharing" (arXiv:1802.03268),
section 2.4, as in the released code (melodyguan/enas). States that no block reads are concatenated, the inputs of
the cell among them.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from morphogen.nn.mixed import Mixed, MixedOp
from morphogen.space import Architecture, Space
from morphogen.spaces import two_cells
from morphogen.spaces.blocks import unread
from morphogen.spaces.enas_micro_network import SKIP, Network
from morphogen.spaces.genotype import CellGenotype, Genotype
from morphogen.spaces.nasnet_cell import CellChoices
from morphogen.spaces.skeleton import Skeleton
from morphogen.spaces.two_cells import CELLS, identity, loose_ends

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

OPERATIONS = ("sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", SKIP)
"""In the order of the released code."""
FIRST_STATE = 0
"""Of those that may be concatenated: the inputs of a cell are among them."""
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
    choices = two_cells.choices(blocks, operations)
    return Space(choices, network=network, skeletons=SKELETONS, canonical=identity, name="enas-micro")


def network(space: Space, skeleton: Skeleton, mixed: Mixed = MixedOp) -> nn.Module:
    """The network of an ENAS micro space: supernet, or stand-alone where the space has one point."""
    normal, reduce = (CellChoices(space, cell, loose_ends(space, cell, FIRST_STATE)) for cell in CELLS)
    return Network(normal, reduce, skeleton, mixed)


def genotype_network(genotype: Genotype, skeleton: Skeleton) -> nn.Module:
    """The network of two published cells.

    Raises:
        ValueError: They are no point of the space.
    """
    architecture = from_genotype(genotype)
    return network(ENAS_MICRO.fix(architecture), skeleton)


def to_genotype(architecture: Architecture) -> Genotype:
    """The published form."""
    return two_cells.to_genotype(architecture, FIRST_STATE)


def from_genotype(genotype: Genotype, space: Space | None = None) -> Architecture:
    """The architecture of a genotype, in `ENAS_MICRO` unless another space is given.

    Raises:
        ValueError: The genotype is not a point of the space; the message says why.
    """
    return two_cells.from_genotype(genotype, ENAS_MICRO if space is None else space, FIRST_STATE)


def from_arc(normal: Sequence[int], reduce: Sequence[int], space: Space | None = None) -> Architecture:
    """The architecture of two lists of the released code: for each block input, operation, input, operation.

    Raises:
        ValueError: They are no point of the space.
    """
    space = ENAS_MICRO if space is None else space
    cells = []
    for arc in (normal, reduce):
        pairs = [(OPERATIONS[op], state) for state, op in zip(arc[::2], arc[1::2], strict=True)]
        blocks = tuple(zip(pairs[::2], pairs[1::2], strict=True))
        cells.append(CellGenotype(blocks, tuple(unread(blocks, FIRST_STATE))))
    return from_genotype(Genotype(*cells), space)


ENAS_MICRO = enas_micro()
"""The space of the paper."""
