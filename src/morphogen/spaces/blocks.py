"""Cells of blocks with two inputs and two operations each: their choices, their text form, their identity.

Zoph et al. 2018 (arXiv:1707.07012), section 3. A block has two sides, `a` and `b`; each is an input and an
operation on it, and both may take the same input. Choices are called `normal/2/a/input`, `normal/2/a/op`,
..., `normal/2/combine`; the first block is 2, since 0 and 1 are the inputs of the cell: the output of the
cell before the last, and of the last.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import NamedTuple

from morphogen.choice import Choice, Pick, When
from morphogen.spaces.genotype import Block, CellGenotype

__all__ = [
    "FIRST",
    "SIDES",
    "BlockPicks",
    "block_choices",
    "blocks_of",
    "canonical",
    "cell_genotype",
    "picked_blocks",
    "picks_of",
    "unread",
]

SIDES = ("a", "b")
FIRST = 2
"""Number of the first block."""


class BlockPicks(NamedTuple):
    """What one block of an architecture is."""

    sides: Block
    """Operation and input, twice."""
    combine: str
    """`add` or `concat`."""


def block_choices(
    cell: str, block: int, operations: Sequence[str], combine: Sequence[str] = (), when: When | None = None
) -> tuple[Choice, ...]:
    """The choices of one block.

    Args:
        cell: Name of the cell.
        block: Its number; it may read every state before it.
        operations: Names of operations.
        combine: How the two sides are put together; none: no choice, they are added.
        when: The block exists only where this holds.
    """
    states = tuple(map(str, range(block)))
    choices = [
        choice
        for side in SIDES
        for choice in (
            Choice(f"{cell}/{block}/{side}/input", states, when=when),
            Choice(f"{cell}/{block}/{side}/op", tuple(operations), when=when),
        )
    ]
    if combine:
        choices.append(Choice(f"{cell}/{block}/combine", tuple(combine), when=when))
    return tuple(choices)


def blocks_of(space: Container[str], cell: str) -> range:
    """The numbers of the blocks that a cell may have, where `space` has choices by their names."""
    end = FIRST
    while f"{cell}/{end}/a/input" in space:
        end += 1
    return range(FIRST, end)


def picked_blocks(picks: Mapping[str, Pick], cell: str) -> tuple[BlockPicks, ...]:
    """The blocks of one cell of an architecture, given as its picks."""

    def side(block: int, name: str) -> tuple[str, int]:
        path = f"{cell}/{block}/{name}"
        return picks[f"{path}/op"][0], int(picks[f"{path}/input"][0])

    blocks = []
    for block in blocks_of(picks, cell):
        (combine,) = picks.get(f"{cell}/{block}/combine", ("add",))
        blocks.append(BlockPicks((side(block, "a"), side(block, "b")), combine))
    return tuple(blocks)


def picks_of(genotype: CellGenotype, cell: str, combine: bool) -> dict[str, str]:
    """The picks of the published form of a cell, whatever it concatenates.

    Args:
        genotype: Its blocks add.
        cell: Name of the cell.
        combine: Whether the space has a choice of adding or concatenating.
    """
    picks: dict[str, str] = {}
    for block, pairs in enumerate(genotype.blocks, start=FIRST):
        for side, (op, state) in zip(SIDES, pairs, strict=True):
            picks[f"{cell}/{block}/{side}/input"] = str(state)
            picks[f"{cell}/{block}/{side}/op"] = op
        if combine:
            picks[f"{cell}/{block}/combine"] = "add"
    return picks


def cell_genotype(blocks: Sequence[BlockPicks], concat: Sequence[int]) -> CellGenotype:
    """The published form of a cell.

    Raises:
        ValueError: A block concatenates, for which that form has no word.
    """
    for number, block in enumerate(blocks, start=FIRST):
        if block.combine != "add":
            raise ValueError(
                f"block {number - FIRST} combines its operations by '{block.combine}', and a genotype can only add: "
                "use the text or JSON of the architecture"
            )
    return CellGenotype(tuple(block.sides for block in blocks), tuple(concat))


def unread(blocks: Sequence[Block], first: int = FIRST) -> list[int]:
    """The loose ends of a cell: its states from `first` on that no block reads."""
    read = {state for block in blocks for _, state in block}
    return [state for state in range(first, len(blocks) + FIRST) if state not in read]


def canonical(blocks: Sequence[BlockPicks]) -> list[tuple[object, ...]]:
    """The cell with its blocks in the order, and with labels, that depend on its graph alone.

    Two cells have the same form exactly when one becomes the other by renaming blocks and exchanging sides.
    Of all orders in which each block comes after what it reads, it is the one whose blocks, read one after
    another, are least. The order of concatenated states is only an order of channels, and does not matter.
    """
    Labels = Mapping[int, int]
    found: list[tuple[object, ...]] = []
    orders: list[Labels] = [{0: 0, 1: 1}]
    while len(found) < len(blocks):
        # ties are kept: blocks that are alike so far may be told apart by what reads them
        tried = [(key, label, block) for label in orders for block, key in _next(blocks, label)]
        least = min(key for key, _, _ in tried)
        place = len(found) + FIRST
        orders = [{**label, block: place} for key, label, block in tried if key == least]
        found.append(least)
    return found


def _next(blocks: Sequence[BlockPicks], label: Mapping[int, int]) -> Iterator[tuple[int, tuple[object, ...]]]:
    """The blocks that can come next, each with how it reads under the labels so far.

    Of blocks that read alike and that nothing reads, the first stands for all: they can be exchanged.
    """
    read = {state for block in blocks for _, state in block.sides}
    alike: set[tuple[object, ...]] = set()
    for block, (sides, combine) in enumerate(blocks, start=FIRST):
        if block in label or any(state not in label for _, state in sides):
            continue
        key = (*sorted((label[state], op) for op, state in sides), combine)
        if block in read or key not in alike:
            yield block, key
        if block not in read:
            alike.add(key)
