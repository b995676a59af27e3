"""The generators of a study: one for each trial and purpose, as `numpy.random.default_rng((seed, id, purpose))` makes them."""

from __future__ import annotations

from functools import cached_property
from typing import Any, final

import numpy as np
from numpy.random.bit_generator import ISpawnableSeedSequence
from numpy.typing import NDArray

__all__ = ["Generators"]

BLOCK = 256
"""So many trials are seeded at once: a resumed run of a million of them asks for a million generators."""

Words = NDArray[np.uint32]


@final
class Generators:
    """Makes them, in a tenth of numpy's time: what numpy does for one seed in Python's steps, it does here for a block.

    Args:
        seed: Of the study.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._blocks: dict[int, tuple[int, list[NDArray[np.uint64]]]] = {}

    def __call__(self, id: int, purpose: int) -> np.random.Generator:
        """A new one."""
        block, place = divmod(id, BLOCK)
        if (known := self._blocks.get(purpose)) is None or known[0] != block:
            if max(self._seed, id) >= 2**32:  # numpy spreads these over two words each
                return np.random.default_rng((self._seed, id, purpose))
            ids = np.arange(block * BLOCK, (block + 1) * BLOCK, dtype=np.uint64).astype(np.uint32)
            known = self._blocks[purpose] = block, list(states(self._seed, ids, purpose))
        # numpy's stubs know of no other sequence than its own
        seeded: Any = _Seeded((self._seed, id, purpose), known[1][place])
        return np.random.Generator(np.random.PCG64(seeded))


@final
class _Seeded(ISpawnableSeedSequence):
    """Numpy's sequence of the same entropy, made only where more is asked than the state that a PCG64 begins with."""

    def __init__(self, entropy: tuple[int, int, int], state: NDArray[np.uint64]) -> None:
        self._entropy, self._state = entropy, state

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[Any]:
        if n_words == 4 and dtype is np.uint64:
            return self._state
        return self._sequence.generate_state(n_words, dtype)

    def spawn(self, n_children: int) -> list[Any]:
        return self._sequence.spawn(n_children)

    @cached_property
    def _sequence(self) -> np.random.SeedSequence:
        return np.random.SeedSequence(self._entropy)


def states(seed: int, ids: Words, purpose: int) -> NDArray[np.uint64]:
    """`SeedSequence((seed, id, purpose)).generate_state(4, numpy.uint64)` of every id, `(ids, 4)`.

    O'Neill 2015, "Developing a seed_seq alternative"; numpy guarantees that `SeedSequence` stays as it is.
    """
    words = [np.full_like(ids, seed), ids, np.full_like(ids, purpose), np.zeros_like(ids)]
    constant = 0x43B0D7E5

    def hashed(value: Words) -> Words:
        nonlocal constant
        value = value ^ np.uint32(constant)
        constant = constant * 0x931E8875 & 0xFFFFFFFF
        value = value * np.uint32(constant)
        return value ^ value >> np.uint32(16)

    pool = [hashed(word) for word in words]
    for source in range(4):
        for target in range(4):
            if source != target:
                mixed = pool[target] * np.uint32(0xCA01F9DD) - hashed(pool[source]) * np.uint32(0x4973F715)
                pool[target] = mixed ^ mixed >> np.uint32(16)
    constant = 0x8B51F9DD
    out = np.empty((len(ids), 8), np.uint32)
    for place in range(8):
        value = pool[place % 4] ^ np.uint32(constant)
        constant = constant * 0x58F38DED & 0xFFFFFFFF
        value = value * np.uint32(constant)
        out[:, place] = value ^ value >> np.uint32(16)
    return out.astype("<u4").view("<u8").astype(np.uint64)
