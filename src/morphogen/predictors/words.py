"""Words: 64-bit hashes of names, and what they are for each state of a column.

Encodings and graphs ask the same of many columns at once: a word, or yes or no, by the column's state. That is known
from the names of a space before any architecture is seen, so it is a table, and an architecture is looked up in it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Generic, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from morphogen.predictors.layout import Block, States

__all__ = ["ALWAYS", "Lookup", "Row", "Words", "mix", "options", "word"]

Words = NDArray[np.uint64]
Row = tuple[int, Words]
"""A column, or `ALWAYS`, and a word for each of its states."""
Answer = TypeVar("Answer", np.bool_, np.uint64)

ALWAYS = -1
"""The column of what depends on no decision; it has one state."""


@final
class Lookup(Generic[Answer]):
    """What each of some columns says, by its state. Read-only.

    Args:
        rows: A column of the layout, or `ALWAYS`, and what it says in each of its states.
        kind: `np.uint64` for words, `np.bool_` for yes or no.
    """

    def __init__(self, rows: Sequence[tuple[int, Sequence[int] | NDArray[Answer]]], kind: type[Answer]) -> None:
        self._columns = np.array([at for at, _ in rows], int)
        table = np.zeros((len(rows), max((len(says) for _, says in rows), default=0)), kind)
        for row, (_, says) in zip(table, rows, strict=True):
            row[: len(says)] = says
        self._flat: NDArray[Answer] = table.ravel()
        self._starts = np.arange(len(rows))[:, None] * table.shape[1]

    def __call__(self, states: States) -> NDArray[Answer]:
        """`(rows, architectures)`, from states `(architectures, columns)`."""
        columns = np.concatenate([states.T, np.zeros((1, len(states)), states.dtype)])  # the last one is `ALWAYS`
        said: NDArray[Answer] = self._flat[self._starts + columns[self._columns]]
        return said


def word(text: str) -> int:
    """A number for a text, the same in every process; never 0."""
    return zlib.crc32(text.encode()) + 1


def options(block: Block | None) -> Row:
    """The column of a choice that picks one option, and the word of the option in each state. No choice: always 0."""
    return (
        (ALWAYS, np.zeros(1, np.uint64))
        if block is None
        else (block.at, np.array([0, *map(word, block.choice.options)], np.uint64))
    )


def mix(words: Words) -> Words:
    """Scramble 64-bit words (Steele et al. 2014, SplitMix64's finalizer); wraps around."""
    mixed = words ^ (words >> np.uint64(30))
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
