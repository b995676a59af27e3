"""Architectures as rows of small integers, many at a time.

A space is laid out in *columns*: one for a choice that picks one option, one for each option of a choice
that picks a subset. The *state* in a column is 0 where the choice does not exist in the architecture; else
1 + the picked option, or 1 (not picked) and 2 (picked). Surrogate models look at thousands of candidates
for a proposal, so reading them, changing one decision and checking limits are array operations here; what
they mean is defined by `space.py` and `moves.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from morphogen.space import Architecture, Choice, Space

__all__ = ["Block", "Layout", "States", "layout"]

States = NDArray[np.uint8]
"""`(architectures, columns)`."""
Mask = NDArray[np.bool_]


class Block(NamedTuple):
    """The columns of one choice, and where its bytes stand in `Architecture.code`."""

    choice: Choice
    at: int
    width: int
    byte: int
    bytes: int
    parent: tuple[int, tuple[int, ...]] | None
    """Which block it depends on, and on which of the options of that."""

    @property
    def columns(self) -> slice:
        return slice(self.at, self.at + self.width)


@final
class Layout:
    """The columns of a space. Read-only; get it by `layout(space)`."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.blocks: list[Block] = []
        self.index: dict[str, int] = {}
        at = byte = 0
        for choice in space.choices:
            width = 1 if choice.single else len(choice.pickable)
            size = 1 if choice.single else -(-len(choice.options) // 8)
            when = choice.when
            parent = None
            if when is not None:
                options = space[when.choice].options
                parent = self.index[when.choice], tuple(options.index(o) for o in when.any_of)
            self.index[choice.name] = len(self.blocks)
            self.blocks.append(Block(choice, at, width, byte, size, parent))
            at, byte = at + width, byte + size
        self.width, self.code_length = at, byte

    def block(self, choice: str) -> Block:
        """The columns of a choice, by its name."""
        return self.blocks[self.index[choice]]

    def read(self, architectures: Sequence[Architecture]) -> States:
        """The states of architectures."""
        codes = np.frombuffer(b"".join(a.code for a in architectures), np.uint8).reshape(-1, self.code_length)
        states = np.zeros((len(codes), self.width), np.uint8)
        for b in self.blocks:
            if b.choice.single:
                states[:, b.at] = codes[:, b.byte]
            else:
                bits = np.unpackbits(codes[:, b.byte : b.byte + b.bytes], axis=1, bitorder="little")
                picked = bits[:, [b.choice.options.index(o) for o in b.choice.pickable]]
                states[:, b.columns] = np.where(self.active(b, states)[:, None], picked + 1, 0)
        return states

    def architectures(self, states: States) -> list[Architecture]:
        """The inverse of `read`."""
        codes = np.zeros((len(states), self.code_length), np.uint8)
        for b in self.blocks:
            if b.choice.single:
                codes[:, b.byte] = states[:, b.at]
            else:
                bits = np.zeros((len(states), 8 * b.bytes), np.uint8)
                bits[:, [b.choice.options.index(o) for o in b.choice.pickable]] = states[:, b.columns] == 2
                codes[:, b.byte : b.byte + b.bytes] = np.packbits(bits, axis=1, bitorder="little")
        return [Architecture(self.space, row.tobytes()) for row in codes]

    def picked(self, block: Block, option: int, states: States) -> Mask:
        """Where a choice exists and has picked an option, given as its index among all options."""
        if block.choice.single:
            mask: Mask = states[:, block.at] == option + 1
            return mask
        name = block.choice.options[option]
        if name not in block.choice.pickable:
            return np.zeros(len(states), bool)
        picked: Mask = states[:, block.at + block.choice.pickable.index(name)] == 2
        return picked

    def active(self, block: Block, states: States) -> Mask:
        """Where a choice exists, from the states of its parent."""
        if block.parent is None:
            return np.ones(len(states), bool)
        at, options = block.parent
        active: Mask = np.logical_or.reduce([self.picked(self.blocks[at], o, states) for o in options])
        return active

    def settle(self, states: States, rng: np.random.Generator) -> States:
        """After a change: drop choices that no longer exist, decide at random those that now do."""
        for b in self.blocks:
            if b.parent is None or not b.width:
                continue
            active = self.active(b, states)
            # an existing subset has no column in state 0, so the first column tells for all
            new = np.flatnonzero(active & (states[:, b.at] == 0))
            states[~active, b.columns] = 0
            if new.size:
                states[new, b.columns] = self._draw(b, len(new), rng)
        return states

    def neighbors(self, states: States, rng: np.random.Generator) -> States:
        """What differs from one of these in one decision, within the limits; new children are drawn."""
        found = [states[:0]]
        for b in self.blocks:
            exists = states[states[:, b.at] > 0] if b.width else states[:0]
            if not len(exists):
                continue
            if b.choice.single:
                for option in b.choice.pickable:
                    state = b.choice.options.index(option) + 1
                    changed = exists[exists[:, b.at] != state]
                    changed[:, b.at] = state
                    found.append(changed)
                continue
            for i in range(b.at, b.at + b.width):
                toggled = exists.copy()
                toggled[:, i] = 3 - toggled[:, i]
                found.append(toggled)
                for j in range(b.at, i) if b.choice.bounds[0] == b.choice.bounds[1] else ():
                    swapped = exists[exists[:, i] != exists[:, j]]
                    swapped[:, [i, j]] = swapped[:, [j, i]]
                    found.append(swapped)
        moved = self.settle(np.concatenate(found), rng)
        return moved[self.feasible(moved)]

    def crossed(self, a: States, b: States, rng: np.random.Generator) -> States:
        """Uniform crossover, row by row, of those pairs whose child is within the limits."""
        child = a.copy()
        for block in self.blocks:
            theirs = (rng.random(len(a)) < 0.5) & (b[:, block.at] > 0) if block.width else np.zeros(len(a), bool)
            child[theirs, block.columns] = b[theirs, block.columns]
        child = self.settle(child, rng)
        return child[self.feasible(child)]

    def feasible(self, states: States) -> Mask:
        """Which rows have subsets of allowed sizes and costs within the limits of the space."""
        good = np.ones(len(states), bool)
        for b in self.blocks:
            low, high = b.choice.bounds
            if not b.choice.single and (low, high) != (0, b.width):
                size = (states[:, b.columns] == 2).sum(1)
                good &= ((size >= low) & (size <= high)) | (states[:, b.at] == 0)
        for limit in self.space.limits:
            cost = np.full(len(states), limit.cost.base)
            for literals, value in limit.cost.terms.items():
                due = np.ones(len(states), bool)
                for choice, option in literals:
                    b = self.block(choice)
                    due &= self.picked(b, b.choice.options.index(option), states)
                cost += np.where(due, value, 0.0)
            # sums in another order than `Cost`: a rounding error over the limit is for `Space.feasible` to decide
            good &= cost <= limit.at_most + 1e-9 * abs(limit.at_most)
        return good

    def _draw(self, block: Block, n: int, rng: np.random.Generator) -> States:
        choice = block.choice
        if choice.single:
            states = np.array([choice.options.index(o) + 1 for o in choice.pickable], np.uint8)
            return states[rng.integers(len(states), size=(n, 1))]
        low, high = choice.bounds
        order = rng.random((n, block.width)).argsort(1).argsort(1)
        return (1 + (order < rng.integers(low, high + 1, size=(n, 1)))).astype(np.uint8)


@lru_cache(maxsize=32)
def layout(space: Space) -> Layout:
    """The layout of a space; a function of the space, kept because spaces are few."""
    return Layout(space)
