"""What weights stand for, within limits, by brute force."""

import math
from dataclasses import replace

import numpy as np
import pytest

from morphogen.choice import Choice, When
from morphogen.limits import Cost, Limit
from morphogen.oneshot.discretize import Discretization
from morphogen.space import Space
from morphogen.spaces.darts import darts

CELL = darts(nodes=2, operations=("none", "skip_connect", "sep_conv_3x3"))
DEPTHS = Space(
    (
        Choice("depth", ("1", "2"), ordered=True),
        Choice("first", ("a", "b", "c")),
        Choice("second", ("a", "b", "c"), when=When("depth", ("2",))),
    )
)


SUBSETS = Space(
    (
        Choice("op", ("a", "b")),
        Choice("skips", ("0", "1", "2"), pick=(0, 3)),
        Choice("inputs", ("0", "1", "2"), pick=(1, 2)),
    )
)


def drawn(space, seed, edges=False):
    rng = np.random.default_rng(seed)
    found = {}
    for choice in space:
        if not isinstance(choice.pick, int):
            found[choice.name] = dict(zip(choice.options, rng.random(len(choice.options)).tolist(), strict=True))
        elif edges or not Discretization(space).by_children(choice):
            raw = np.exp(rng.normal(size=len(choice.options)))
            found[choice.name] = dict(zip(choice.options, (raw / raw.sum()).tolist(), strict=True))
    return found


def tight(space, share):
    """The share of the architectures with the fewest costs."""
    rng = np.random.default_rng(9)
    cost = Cost("cost", {((c.name, o),): float(rng.integers(1, 20)) for c in space for o in c.pickable})
    bound = float(np.quantile([cost(a.picks) for a in space.enumerate()], share))
    return replace(space, limits=(Limit(cost, bound),))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("edges", [False, True])
def test_within_limits_it_is_the_most_probable_architecture(seed, edges):
    weights = drawn(CELL, seed, edges)
    space = tight(CELL, 0.1)
    found = Discretization(space)(weights)
    assert found.space == space

    def probability(a):
        picked = [(n, o) for n, options in a.picks.items() if n in weights for o in options]
        return math.fsum(math.log(weights[n][o]) for n, o in picked)

    assert pytest.approx(max(map(probability, space.enumerate()))) == probability(found)


@pytest.mark.parametrize("seed", range(6))
def test_limits_that_rule_nothing_out_change_nothing(seed):
    for space in (CELL, DEPTHS, SUBSETS):
        weights = drawn(space, seed)
        assert Discretization(space)(weights).picks == Discretization(tight(space, 1.0))(weights).picks


def test_an_option_is_not_worse_for_having_choices_of_its_own():
    weights = {"depth": {"1": 0.49, "2": 0.51}, "first": {"a": 0.4, "b": 0.3, "c": 0.3}}
    weights["second"] = {"a": 0.34, "b": 0.33, "c": 0.33}
    # `first=a` costs too much; the depth of 2 stays, although 0.51 * 0.34 is less than 0.49
    cost = Cost("cost", {(("first", "a"),): 5.0})
    found = Discretization(replace(DEPTHS, limits=(Limit(cost, 1.0),)))(weights)
    assert {"depth": ("2",), "first": ("b",), "second": ("a",)} == dict(found.picks)


def test_falling_begins_with_the_most_probable_and_falls():
    weights, rule = drawn(CELL, 0), Discretization(CELL)
    first, *rest = [a for a, _ in zip(rule.falling(weights), range(50), strict=False)]
    assert rule(weights) == first
    values = [rule.probability(weights, a) for a in (first, *rest)]
    assert values == sorted(values, reverse=True)
    assert 50 == len({first, *rest})


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_options_of_any_number_are_picked_where_they_are_more_probable_than_not(seed, share):
    weights, space = drawn(SUBSETS, seed), tight(SUBSETS, share)

    def probability(a):
        single = math.log(weights["op"][a.picks["op"][0]])
        return single + math.fsum(
            math.log(p if option in a.picks[name] else 1 - p)
            for name in ("skips", "inputs")
            for option, p in weights[name].items()
        )

    found = Discretization(space)(weights)
    assert pytest.approx(max(map(probability, space.enumerate()))) == probability(found)
    if share == 1.0:
        assert tuple(o for o, p in weights["skips"].items() if p > 0.5) == found.picks["skips"]
