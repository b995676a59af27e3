"""A normal and a reduction cell of blocks: what NASNet and the micro space of ENAS have in common.

A cell concatenates the states that no block reads. In NASNet these are blocks only; in ENAS also the inputs of the
cell, so that its states count from 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from morphogen.choice import Choice
from morphogen.space import Architecture, Space
from morphogen.spaces.blocks import (
    FIRST,
    SIDES,
    block_choices,
    blocks_of,
    canonical,
    cell_genotype,
    picked_blocks,
    picks_of,
    unread,
)
from morphogen.spaces.concat import Concat
from morphogen.spaces.genotype import CellGenotype, Genotype

__all__ = ["CELLS", "choices", "from_genotype", "identity", "loose_ends", "to_genotype"]

CELLS = ("normal", "reduce")


def choices(blocks: int, operations: Sequence[str], combine: Sequence[str] = ()) -> tuple[Choice, ...]:
    """Those of all blocks of both cells.

    Args:
        blocks: Blocks of a cell.
        operations: Names of operations.
        combine: How the two sides of a block are put together; none: no choice, they are added.
    """
    return tuple(
        choice
        for cell in CELLS
        for block in range(FIRST, blocks + FIRST)
        for choice in block_choices(cell, block, operations, combine)
    )


def loose_ends(space: Space, cell: str, first: int = FIRST) -> Concat:
    """What a cell concatenates: the states from `first` on that no block reads."""
    blocks = blocks_of(space, cell)
    readers = tuple((block, space[f"{cell}/{block}/{side}/input"]) for block in blocks for side in SIDES)
    return Concat(tuple(range(first, blocks.stop)), readers)


def to_genotype(architecture: Architecture, first: int = FIRST) -> Genotype:
    """The published form.

    Raises:
        ValueError: A block concatenates, for which that form has no word.
    """
    cells = []
    for name in CELLS:
        blocks = picked_blocks(architecture.picks, name)
        cells.append(cell_genotype(blocks, unread([block.sides for block in blocks], first)))
    return Genotype(*cells)


def from_genotype(genotype: Genotype, space: Space, first: int = FIRST) -> Architecture:
    """The architecture of a genotype.

    Raises:
        ValueError: The genotype is not a point of the space; the message says why.
    """
    picks: dict[str, str] = {}
    for name in CELLS:
        cell: CellGenotype = getattr(genotype, name)
        blocks = len(blocks_of(space, name))
        if len(cell.blocks) != blocks:
            raise ValueError(
                f"the {name} cell has {len(cell.blocks)} blocks, cells of space '{space.name}' have {blocks}"
            )
        loose = unread(cell.blocks, first)
        if sorted(cell.concat) != loose:
            raise ValueError(
                f"the {name} cell concatenates the states {sorted(cell.concat)}; cells of space '{space.name}' "
                f"concatenate what no block reads, here {loose}"
            )
        picks |= picks_of(cell, name, combine=f"{name}/{FIRST}/combine" in space)
    return space.architecture(picks)


def identity(architecture: Architecture) -> bytes:
    """Bytes that are equal exactly for isomorphic networks: each cell's canonical form."""
    picks = architecture.picks
    return repr([canonical(picked_blocks(picks, cell)) for cell in CELLS]).encode()
