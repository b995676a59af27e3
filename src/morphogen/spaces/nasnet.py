"""NASNet: a normal and a reduction cell of five blocks, 13 operations, added or concatenated.

Zoph, Vasudevan, Shlens, Le 2018, "Learning Transferable Architectures for Scalable Image Recognition"
(arXiv:1707.07012), section 3. States that no block reads are concatenated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from morphogen.nn.mixed import Mixed, MixedOp
from morphogen.nn.nasnet_operations import NASNET_OPERATIONS
from morphogen.space import Architecture, Space
from morphogen.spaces import two_cells
from morphogen.spaces.blocks import picks_of
from morphogen.spaces.concat import Concat
from morphogen.spaces.genotype import CellGenotype, Genotype
from morphogen.spaces.nasnet_cell import CellChoices
from morphogen.spaces.nasnet_network import Network, mobile
from morphogen.spaces.skeleton import Skeleton
from morphogen.spaces.two_cells import CELLS, identity, loose_ends, to_genotype

__all__ = [
    "COMBINE",
    "NASNET",
    "OPERATIONS",
    "SKELETONS",
    "from_genotype",
    "genotype_cell",
    "genotype_network",
    "identity",
    "loose_ends",
    "nasnet",
    "network",
    "to_genotype",
]

OPERATIONS = tuple(NASNET_OPERATIONS)
COMBINE = ("add", "concat")
SEARCH = Skeleton(channels=32, cells=6, cells_per_repeat=3, extra_reductions=True)
SKELETONS = {
    "search": SEARCH,
    "final": replace(SEARCH, cells=18, auxiliary=True, drop_path=0.4, drop_path_by_depth=True),
    "imagenet": mobile(SEARCH, channels=44, cells=12),
}
"""N = 2 and F = 32 for search; 6 @ 768; the mobile network, 4 @ 1056."""


def nasnet(blocks: int = 5, operations: Sequence[str] = OPERATIONS, combine: Sequence[str] = COMBINE) -> Space:
    """The space: for each block of each cell two inputs, two operations, and how they are combined.

    With the defaults, a cell has 2,286,906,949,584,691,200 architectures. Their params and multiply-adds do not add up:
    how many blocks no other reads, and so how wide the cell's output is, depends on all of its inputs together. Limits
    of them are kept by rejection.

    Args:
        blocks: Blocks of a cell.
        operations: Names of operations.
        combine: `add`, `concat` or both.
    """
    choices = two_cells.choices(blocks, operations, combine)
    return Space(choices, network=network, skeletons=SKELETONS, canonical=identity, name="nasnet")


def network(space: Space, skeleton: Skeleton, mixed: Mixed = MixedOp) -> nn.Module:
    """The network of a NASNet space: supernet, or stand-alone where the space has one point."""
    normal, reduce = (CellChoices(space, cell, loose_ends(space, cell)) for cell in CELLS)
    return Network(normal, reduce, skeleton, mixed)


def genotype_network(genotype: Genotype, skeleton: Skeleton) -> nn.Module:
    """The network of any two cells of these operations, with what they concatenate as they say.

    Published cells do not all follow the rule of the space.

    Raises:
        ValueError: A cell has an operation that there is not.
    """
    normal, reduce = (genotype_cell(getattr(genotype, name), name) for name in CELLS)
    return Network(normal, reduce, skeleton)


def genotype_cell(genotype: CellGenotype, name: str = "normal") -> CellChoices:
    """A cell as published, with nothing to choose."""
    blocks = nasnet(len(genotype.blocks), combine=())
    # what the other cell is does not matter: only this one's choices are read
    picks = {choice.name: choice.options[0] for choice in blocks} | picks_of(genotype, name, combine=False)
    return CellChoices(blocks.fix(blocks.architecture(picks)), name, Concat(genotype.concat))


def from_genotype(genotype: Genotype, space: Space | None = None) -> Architecture:
    """The architecture of a genotype, in `NASNET` unless another space is given.

    Raises:
        ValueError: The genotype is not a point of the space; the message says why.
    """
    return two_cells.from_genotype(genotype, NASNET if space is None else space)


NASNET = nasnet()
"""The space of the paper."""
