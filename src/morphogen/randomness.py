"""The generators of a study: one for each trial and purpose, as `numpy.random.default_rng((seed, id, purpose))` makes them."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.random.bit_generator import ISeedSequence
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
        self._blocks: dict[int, tuple[int, NDArray[np.uint64]]] = {}

    def __call__(self, id: int, purpose: int) -> np.random.Generator:
        """A new one."""
        if max(self._seed, id) >= 2**32:  # numpy spreads these over two words each
            return np.random.default_rng((self._seed, id, purpose))
        block, place = divmod(id, BLOCK)
        if (known := self._blocks.get(purpose)) is None or known[0] != block:
            ids = np.arange(block * BLOCK, (block + 1) * BLOCK, dtype=np.uint64).astype(np.uint32)
            known = self._blocks[purpose] = block, states(self._seed, ids, purpose)
        seeded: Any = _Seeded(known[1][place])  # numpy's stubs know of no other sequence than its own
        return np.random.Generator(np.random.PCG64(seeded))


@final
class _Seeded(ISeedSequence):
    """Gives a bit generator the state that was made for it."""

    def __init__(self, state: NDArray[np.uint64]) -> None:
        self._state = state

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[np.uint64]:
        return self._state


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
