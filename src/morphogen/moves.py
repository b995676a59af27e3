"""Moves from architecture to architecture: mutation, crossover, neighbors. All of them stay within the limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from morphogen.choice import Choice, Pick
from morphogen.space import Architecture, Space

__all__ = ["crossover", "mutate", "neighbors"]


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
        values = list(_other_values(space, picks, choice))
        if values:
            return space.complete({**picks, choice.name: values[int(rng.integers(len(values)))]}, rng)
    raise ValueError("the architecture cannot be mutated: no decision of its space has another value within the limits")


def crossover(a: Architecture, b: Architecture, rng: np.random.Generator) -> Architecture:
    """Uniform crossover: each decision from one of the parents by a fair coin, as far as it exists there and is allowed."""
    space = a.space
    mine, theirs = a.picks, b.picks
    picks: dict[str, Pick] = {}
    for choice, heads in zip(space.choices, rng.random(len(space.choices)) < 0.5, strict=True):
        if not any(c.name == choice.name for c in space.active(picks)):
            continue
        order = (mine, theirs) if heads else (theirs, mine)
        for parent in order:
            if choice.name in parent and space.feasible({**picks, choice.name: parent[choice.name]}):
                picks[choice.name] = parent[choice.name]
                break
        else:
            # neither parent has the choice (or can give it): decide it now, for children of it to follow
            picks[choice.name] = space.complete(picks, rng).picks[choice.name]
    return space.complete(picks, rng)


def neighbors(architecture: Architecture) -> Iterator[Architecture]:
    """Every architecture that differs in one decision, ordered options by one step; new children take every value."""
    space, picks = architecture.space, architecture.picks
    for name in picks:
        for value in _other_values(space, picks, space[name], adjacent=True):
            yield from space.enumerate({**picks, name: value})


def _other_values(space: Space, picks: Mapping[str, Pick], choice: Choice, adjacent: bool = False) -> Iterator[Pick]:
    """The values that one decision can change to: another option, one option swapped, or one added or removed."""
    have = picks[choice.name]
    low, high = choice.bounds
    if choice.single:
        options: tuple[str, ...] = choice.pickable
        if adjacent and choice.ordered:
            at = options.index(have[0])
            options = options[max(at - 1, 0) : at + 2]
        candidates: list[Pick] = [(o,) for o in options if o not in have]
    else:
        others = [o for o in choice.pickable if o not in have]
        candidates = []
        if len(have) > low:
            candidates += [tuple(o for o in have if o != gone) for gone in have]
        if len(have) < high:
            candidates += [_sorted(choice, (*have, new)) for new in others]
        if low == high:
            candidates += [_sorted(choice, (*(o for o in have if o != gone), new)) for gone in have for new in others]
    for value in candidates:
        if space.feasible({**picks, choice.name: value}):
            yield value


def _sorted(choice: Choice, picked: Pick) -> Pick:
    return tuple(o for o in choice.options if o in picked)
