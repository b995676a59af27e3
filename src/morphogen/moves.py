"""Moves from architecture to architecture: mutation, crossover, neighbors. All of them stay within the limits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import islice

import numpy as np

from morphogen.choice import Choice, Pick
from morphogen.space import Architecture

__all__ = ["MOST_COMPLETIONS", "crossover", "mutate", "neighbors"]

MOST_COMPLETIONS = 4096
"""Beyond so many ways to decide what a change brings into existence, `neighbors` does not give them all."""


def mutate(architecture: Architecture, rng: np.random.Generator) -> Architecture:
    """Change one decision, uniform over the decisions that can change, to another value, uniform over those allowed.

    Choices that the change brings into existence are decided uniformly; those that it switches off are dropped.
    Real et al. 2019 (arXiv:1802.01548), section 3: one mutation changes one operation or one input of one block.

    Raises:
        ValueError: The space has one architecture only.
    """
    space, picks = architecture.space, architecture.picks
    changeable = [space[name] for name in picks]
    while changeable:
        choice = changeable.pop(int(rng.integers(len(changeable))))
        values = _other_values(picks, choice)
        while values:
            changed = {**picks, choice.name: values.pop(int(rng.integers(len(values))))}
            if space.feasible(changed):
                return space.complete(changed, rng)
    raise ValueError("the architecture cannot be mutated: no decision of its space has another value within the limits")


def crossover(a: Architecture, b: Architecture, rng: np.random.Generator) -> Architecture:
    """Uniform crossover: each decision from one of the parents by a fair coin, where it exists there and is allowed.

    Where the coin's parent cannot give it, the other one does; where neither can, it is decided uniformly.

    Raises:
        ValueError: The parents are of different spaces.
    """
    space = a.space
    if b.space is not space and b.space != space:
        raise ValueError("crossover needs two architectures of one space, got two of different spaces")
    mine, theirs = a.picks, b.picks
    wishes: dict[str, list[Pick]] = {}
    for choice, heads in zip(space, (rng.random(len(space.choices)) < 0.5).tolist(), strict=True):
        parents = (mine, theirs) if heads else (theirs, mine)
        wishes[choice.name] = [parent[choice.name] for parent in parents if choice.name in parent]
    return space.complete({}, rng, wishes)


def neighbors(architecture: Architecture) -> Iterator[Architecture]:
    """Every architecture that differs in one decision, ordered options by one step.

    Choices that a change brings into existence take every value together, as in the expansion of a cell of PNAS by one
    block (2,304 of them). Where that were more than `MOST_COMPLETIONS`, as for two more layers of `nas-rl` (2^24 and
    more), they start from their first completion (ordered options at their least, subsets at their smallest), and
    depart from it one decision at a time: so every option of them is still near.
    """
    space, picks = architecture.space, architecture.picks
    for name in picks:
        for value in _other_values(picks, space[name], adjacent=True):
            near = space.changed(architecture, name, value)
            first = next(near, None)
            if first is None:
                continue
            new = [space[child] for child in first.picks if child not in picks]
            # what cannot be few is not enumerated at all, which would take a second
            few = math.prod(map(_values, new)) <= MOST_COMPLETIONS
            some = [first, *islice(near, MOST_COMPLETIONS)] if few else []
            yield from some if 0 < len(some) <= MOST_COMPLETIONS else _around(first, picks)


def _around(first: Architecture, before: Mapping[str, Pick]) -> Iterator[Architecture]:
    """A completion, and those that differ from it in one of the decisions that there were not before."""
    yield first
    space, picks = first.space, first.picks
    for name in picks:
        if name not in before:
            for value in _other_values(picks, space[name]):
                yield from islice(space.changed(first, name, value), 1)


def _other_values(picks: Mapping[str, Pick], choice: Choice, adjacent: bool = False) -> list[Pick]:
    """The values that one decision can change to: another option, one option swapped, or one added or removed."""
    have = picks[choice.name]
    low, high = choice.bounds
    if choice.single:
        options: tuple[str, ...] = choice.pickable
        if adjacent and choice.ordered:
            at = options.index(have[0])
            options = options[max(at - 1, 0) : at + 2]
        return [(o,) for o in options if o not in have]
    others = [o for o in choice.pickable if o not in have]
    values: list[Pick] = []
    if len(have) > low:
        values += [tuple(o for o in have if o != gone) for gone in have]
    if len(have) < high:
        values += [choice.sort((*have, new)) for new in others]
    if low == high:
        values += [choice.sort((*(o for o in have if o != gone), new)) for gone in have for new in others]
    return values


def _values(choice: Choice) -> int:
    """How many values a choice has."""
    low, high = choice.bounds
    return sum(math.comb(len(choice.pickable), n) for n in range(low, high + 1))
