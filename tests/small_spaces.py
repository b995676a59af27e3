"""Random small spaces for hypothesis, and what is true of them by brute force, written without the code under test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings

from morphogen.choice import Choice, Pick, When
from morphogen.limits import Cost, Limit
from morphogen.space import Space

settings.register_profile("small", deadline=None, max_examples=40, derandomize=True)
SMALL = settings.get_profile("small")

MOST_POINTS = 200
NAMES = ("a", "b/1", "c<-0", "D_3x3", "e.f", "g+h", "0")


def subsets(choice: Choice) -> list[Pick]:
    low, high = choice.bounds
    return [s for k in range(low, high + 1) for s in itertools.combinations(choice.pickable, k)]


def points(choices: tuple[Choice, ...], picks: Mapping[str, Pick] | None = None) -> Iterator[dict[str, Pick]]:
    """Every architecture, limits aside."""
    done = dict(picks or {})
    if not choices:
        yield done
        return
    choice, rest = choices[0], choices[1:]
    when = choice.when
    if when is not None and not set(when.any_of) & set(done.get(when.choice, ())):
        yield from points(rest, done)
        return
    for picked in subsets(choice):
        yield from points(rest, {**done, choice.name: picked})


def cost_of(cost: Cost, point: Mapping[str, Pick]) -> float:
    total = cost.base
    for literals, value in cost.terms.items():
        if all(name in point and option in point[name] for name, option in literals):
            total += value
    return total


def within(space: Space) -> list[dict[str, Pick]]:
    """Every architecture within the limits. The costs are multiples of 1/8: sums are exact."""
    return [p for p in points(space.choices) if all(cost_of(x.cost, p) <= x.at_most for x in space.limits)]


@st.composite
def choices(draw: st.DrawFn, most: int = 5) -> tuple[Choice, ...]:
    made: list[Choice] = []
    for name in NAMES[: draw(st.integers(1, most))]:
        count = draw(st.integers(1, 4))
        ordered = draw(st.booleans())
        options = ("1", "2.5", "7", "30")[:count] if ordered else ("conv_3x3", "x", "skip", "0")[:count]
        mixed_only = options[-1:] if count > 1 and draw(st.integers(0, 3)) == 0 else ()
        free = count - len(mixed_only)
        kind = draw(st.sampled_from(["single", "single", "fixed", "range", "any"]))
        pick: Any = 1
        if kind == "fixed":
            pick = draw(st.integers(0, free))
        elif kind == "range":
            low = draw(st.integers(0, free))
            pick = (low, draw(st.integers(low, free)))
        elif kind == "any":
            pick = (0, free)
        when = None
        parents = [c for c in made if c.pickable]
        if parents and draw(st.booleans()):
            parent = draw(st.sampled_from(parents))
            any_of = draw(st.lists(st.sampled_from(parent.options), min_size=1, unique=True))
            when = When(parent.name, tuple(dict.fromkeys([*any_of, parent.pickable[0]])))
        choice = Choice(name, options, pick, when, ordered, mixed_only)
        if sum(1 for _ in itertools.islice(points((*made, choice)), MOST_POINTS + 1)) > MOST_POINTS:
            break
        made.append(choice)
    return tuple(made)


@st.composite
def limits(draw: st.DrawFn, made: tuple[Choice, ...], most: int = 2) -> tuple[Limit, ...]:
    literals = [(c.name, o) for c in made for o in c.options]
    met = draw(st.sampled_from(list(points(made))))
    found = []
    for metric in ("params", "macs", "latency_ms")[: draw(st.integers(0, most))]:
        terms = st.lists(st.sampled_from(literals), max_size=3, unique=True).map(tuple)
        cost = Cost(
            metric,
            draw(st.dictionaries(terms, st.integers(-8, 40).map(lambda n: n / 8), max_size=12)),
            draw(st.sampled_from([0.0, 1.5])),
        )
        found.append(Limit(cost, cost_of(cost, met) + draw(st.sampled_from([0.0, 0.0, 0.125, 2.0]))))
    return tuple(found)


@st.composite
def spaces(draw: st.DrawFn, most_choices: int = 5, most_limits: int = 2) -> Space:
    made = draw(choices(most_choices))
    return Space(made, draw(limits(made, most_limits)))


@st.composite
def partial(draw: st.DrawFn, space: Space) -> dict[str, Pick]:
    """Any part of an assignment, in any order; subsets may be parts as well."""
    picks = {}
    for choice in draw(st.permutations(space.choices)):
        if draw(st.booleans()):
            picked = draw(st.sampled_from(subsets(choice)))
            picks[choice.name] = picked[: draw(st.integers(0, len(picked)))] if draw(st.booleans()) else picked
    return {name: picked for name, picked in picks.items() if picked or not space[name].single}


def agrees(space: Space, point: Mapping[str, Pick], picks: Mapping[str, Pick], growing: str | None = None) -> bool:
    """Whether a point completes picks: those of choices that it lacks count for nothing, short ones may grow."""
    for name, picked in picks.items():
        if name in point:
            short = name == growing or len(picked) < space[name].bounds[0]
            if not (set(picked) <= set(point[name]) if short else set(picked) == set(point[name])):
                return False
    return True


def key(point: Mapping[str, Any]) -> frozenset[Any]:
    """A point as something that compares and hashes, whatever the order of its choices."""
    return frozenset((name, (picked,) if isinstance(picked, str) else tuple(picked)) for name, picked in point.items())
