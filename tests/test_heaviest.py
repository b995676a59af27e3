"""Architectures by falling weight, against brute force."""

import itertools
import math
from collections.abc import Mapping

import hypothesis.strategies as st
from hypothesis import given

from morphogen.choice import Choice, Pick
from morphogen.limits import Cost, Limit
from morphogen.space import Space
from small_spaces import SMALL, key, spaces, within


def weight(weights: Mapping[str, Mapping[str, float]], picks: Mapping[str, Pick]) -> float:
    return math.fsum(weights.get(name, {}).get(option, 0.0) for name, picked in picks.items() for option in picked)


@given(st.data())
@SMALL
def test_every_architecture_comes_once_and_none_before_a_heavier_one(data: st.DataObject) -> None:
    space = data.draw(spaces(most_limits=3))
    numbers = st.floats(-8, 8).map(lambda x: round(x, 3))
    weights = {c.name: {o: data.draw(numbers) for o in c.options} for c in space if data.draw(st.booleans())}
    known = within(space)
    found = [a.picks for a in space.heaviest(weights)]
    assert {key(p) for p in known} == {key(p) for p in found}
    assert len(known) == len(found)
    values = [weight(weights, p) for p in found]
    assert all(a >= b - 1e-9 for a, b in itertools.pairwise(values))
    only = [weight(weights, a.picks) for a in space.heaviest(weights, only=True)]
    assert len(only) == bool(known)
    assert all(abs(value - values[0]) < 1e-9 for value in only)


def test_of_equal_weights_the_earlier_options_come_first() -> None:
    space = Space((Choice("a", ("x", "y")), Choice("b", ("0", "1", "2"), pick=2)))
    assert ["a=x b=0,1", "a=x b=0,2", "a=x b=1,2", "a=y b=0,1"] == [a.text for a in space.heaviest({})][:4]


def test_what_an_infinite_cost_forbids_is_not_there() -> None:
    cost = Cost("cost", {(("a", "y"),): math.inf, (("a", "x"),): 1.0, (("b", "0"), ("b", "1")): math.inf})
    space = Space((Choice("a", ("x", "y")), Choice("b", ("0", "1", "2"), pick=2)), limits=(Limit(cost, 3.0),))
    weights = {"a": {"y": 5.0}, "b": {"0": 2.0, "1": 1.0}}
    assert ["a=x b=0,2", "a=x b=1,2"] == [a.text for a in space.heaviest(weights)]
    assert ["a=x b=0,2"] == [a.text for a in space.heaviest(weights, only=True)]
