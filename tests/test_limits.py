"""Limits are exact: what they allow is what brute force finds, on random small spaces and in hard cases."""

import itertools
import math
import pickle

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from morphogen.completions import Completions
from morphogen.limits import MOST_ROWS, Cost, Front, Limit
from morphogen.space import Choice, Space, When
from small_spaces import SMALL, agrees, cost_of, key, partial, points, spaces, within


@given(st.data())
@SMALL
def test_allowed_options_are_those_of_some_completion_within_the_limits(data: st.DataObject) -> None:
    space = data.draw(spaces())
    picks = data.draw(partial(space))
    known = within(space)
    for choice in space:
        have = picks.get(choice.name, ())
        expected = tuple(
            o
            for o in choice.pickable
            if o not in have
            and len(have) < choice.bounds[1]
            and (
                not space.limits
                or any(agrees(space, p, {**picks, choice.name: (*have, o)}, choice.name) for p in known)
            )
        )
        assert expected == space.allowed(picks, choice)
        assert expected == space.allowed(picks, choice.name)


@given(st.data())
@SMALL
def test_feasible_says_whether_a_completion_exists(data: st.DataObject) -> None:
    space = data.draw(spaces(most_limits=3))
    picks = data.draw(partial(space))
    assert any(agrees(space, p, picks) for p in within(space)) == space.feasible(picks)


@given(st.data())
@SMALL
def test_enumeration_is_what_brute_force_finds_within_the_limits(data: st.DataObject) -> None:
    space = data.draw(spaces(most_limits=3))
    picks = data.draw(st.one_of(st.just({}), partial(space)))
    found = [key(a.picks) for a in space.enumerate(picks)]
    assert len(set(found)) == len(found)
    assert {key(p) for p in within(space) if agrees(space, p, picks)} == set(found)


@given(st.data())
@SMALL
def test_completions_are_feasible_and_keep_what_was_decided(data: st.DataObject) -> None:
    space = data.draw(spaces())
    picks = data.draw(partial(space))
    rng = np.random.default_rng(0)
    if not space.feasible(picks):
        with pytest.raises(ValueError, match="no completion of these picks is within the limits"):
            space.complete(picks, rng)
        return
    known = {key(p) for p in within(space)}
    for _ in range(5):
        completed = space.complete(picks, rng)
        assert key(completed.picks) in known
        assert agrees(space, completed.picks, picks)


@given(spaces(most_limits=0))
@SMALL
def test_a_limit_that_nothing_exceeds_changes_nothing(space: Space) -> None:
    cost = Cost("params", {((c.name, o),): 1.0 for c in space for o in c.pickable}, base=3.0)
    limited = Space(space.choices, (Limit(cost, 1e9), Limit(cost, math.inf)))
    assert [a.code for a in space.enumerate()] == [a.code for a in limited.enumerate()]
    assert space.size == limited.size


def test_a_bound_met_exactly_is_met_whatever_the_order_of_the_sum() -> None:
    tenths = {((f"{i}", "on"),): 0.1 for i in range(10)}
    space = Space(tuple(Choice(f"{i}", ("on",)) for i in range(10)), (Limit(Cost("seconds", tenths), 1.0),))
    assert 1 == len(list(space.enumerate()))
    third = {((f"{i}", "on"),): 1e-9 / 3 for i in range(3)}
    tiny = Space(tuple(Choice(f"{i}", ("on", "off")) for i in range(3)), (Limit(Cost("seconds", third), 2e-9 / 3),))
    assert 7 == len(list(tiny.enumerate()))  # an absolute tolerance would let the eighth pass


def test_integers_are_compared_exactly_up_to_trillions() -> None:
    cost = Cost("macs", {(("a", "x"),): 10_000_000_000.0, (("a", "y"),): 10_000_000_001.0})
    assert ["x"] == [a["a"] for a in Space((Choice("a", ("x", "y")),), (Limit(cost, 1e10),)).enumerate()]


def test_a_term_without_literals_is_due_always() -> None:
    cost = Cost("params", {(): 5.0, (("a", "x"),): 1.0})
    space = Space((Choice("a", ("x", "y")),), (Limit(cost, 5.0),))
    assert ["y"] == [a["a"] for a in space.enumerate()]
    assert 6.0 == cost({"a": ("x",)})
    assert 1 == len(list(Space((), (Limit(cost, 5.0),)).enumerate()))
    with pytest.raises(ValueError, match="no architecture of the space is within its limits: params at most 4"):
        Space((), (Limit(cost, 4.0),))


def test_infinity_forbids_and_nan_is_refused() -> None:
    forbidding = Cost("params", {(("a", "x"), ("b", "x")): math.inf, (("a", "y"),): -3.0})
    space = Space((Choice("a", ("x", "y")), Choice("b", ("x", "y"))), (Limit(forbidding, 1e300),))
    assert [("x", "y"), ("y", "x"), ("y", "y")] == [(a["a"], a["b"]) for a in space.enumerate()]
    for terms in ({(("a", "x"),): math.nan}, {(("a", "x"),): -math.inf}):
        with pytest.raises(ValueError, match=r"the cost params is (nan|-inf) for .*expected a finite number"):
            Cost("params", terms)
    with pytest.raises(ValueError, match="has the base inf"):
        Cost("params", {}, base=math.inf)
    for bound in (math.nan, -math.inf):
        with pytest.raises(ValueError, match=r"the limit of params is (nan|-inf); expected a number"):
            Limit(forbidding, bound)


def test_negative_costs_and_contradictory_terms_are_exact() -> None:
    cost = Cost("x", {(("a", "1"),): -5.0, (("b", "1"),): 5.0, (("a", "1"), ("a", "2")): -100.0})
    space = Space((Choice("a", ("1", "2")), Choice("b", ("1", "2"))), (Limit(cost, 0.0),))
    assert [("1", "1"), ("1", "2"), ("2", "2")] == [(a["a"], a["b"]) for a in space.enumerate()]


def test_a_subset_is_drawn_uniformly_among_what_the_limits_leave() -> None:
    cost = Cost("params", {(("a", "x"), ("a", "y")): 1.0})
    space = Space((Choice("a", ("x", "y", "z"), pick=2),), (Limit(cost, 0.5),))
    rng = np.random.default_rng(0)
    drawn = [space.sample(rng)["a"] for _ in range(2000)]
    assert {("x", "z"), ("y", "z")} == set(drawn)
    assert abs(drawn.count(("x", "z")) - 1000) < 4 * math.sqrt(500)


def test_one_feasible_subset_of_a_thousand_billion_is_found() -> None:
    options = tuple(f"{i}" for i in range(40))
    cost = Cost("params", {(("a", o),): float(2**i) for i, o in enumerate(options)})
    space = Space((Choice("a", options, pick=(0, 40)),), (Limit(cost, 0.5),))
    assert () == space.sample(np.random.default_rng(0))["a"]
    assert () == space.allowed({}, "a")
    wider = Space(space.choices, (Limit(cost, 2.0**39),))
    assert space.choices[0].bounds[0] <= len(wider.sample(np.random.default_rng(0))["a"]) <= 39


def test_the_first_two_limits_are_exact_even_where_every_subset_is_pareto_least() -> None:
    # the costs of the two options of each choice trade off: 2^12 architectures, none dominates another
    rng = np.random.default_rng(0)
    names = [f"{i}" for i in range(12)]
    up = {((n, "x"),): float(rng.integers(1, 10**6)) for n in names}
    down = {((n, "y"),): float(rng.integers(1, 10**6)) for n in names}
    one, two = Cost("up", up), Cost("down", down)
    choices = tuple(Choice(n, ("x", "y")) for n in names)
    all_points = list(points(choices))
    costs = np.array([(one(p), two(p)) for p in all_points])
    bound = costs[np.argsort(costs.sum(1))[40]]  # met exactly by one of them
    space = Space(choices, (Limit(one, float(bound[0])), Limit(two, float(bound[1]))))
    expected = {key(p) for p, c in zip(all_points, costs, strict=True) if (c <= bound).all()}
    assert expected == {key(a.picks) for a in space.enumerate()}
    assert expected


@pytest.mark.parametrize("limited", [2, 3])
def test_fronts_that_are_too_long_are_thinned_without_letting_anything_above_a_limit_pass(limited: int) -> None:
    rng = np.random.default_rng(1)
    names = [f"{i}" for i in range(18)]
    choices = tuple(Choice(n, ("x", "y", "z")) for n in names)
    costs = [
        Cost(f"cost{k}", {((n, o),): float(rng.random()) for n in names for o in ("x", "y", "z")})
        for k in range(limited)
    ]
    loads = [sum(cost.terms.values()) / 3 for cost in costs]
    space = Space(choices, tuple(Limit(c, 0.93 * load) for c, load in zip(costs, loads, strict=True)))
    longest = max(len(f.rows) for f in space._completions.fronts.values() if f is not None)
    assert longest <= MOST_ROWS + limited
    for _ in range(30):
        drawn = space.sample(rng)
        assert all(x.cost(drawn.picks) <= x.at_most * (1 + 1e-12) for x in space.limits)


def test_thinning_keeps_the_least_in_each_cost_and_only_real_rows() -> None:
    x = np.linspace(0, 1, 3 * MOST_ROWS)
    for rows in (np.stack([x, 1 - x**2], 1), np.stack([x, 1 - x**2, np.sin(20 * x)], 1)):
        front = Front(rows)
        kept = {tuple(r) for r in front.rows}
        assert kept <= {tuple(r) for r in rows}
        assert len(kept) <= MOST_ROWS + 3
        assert np.array_equal(rows.min(0), front.rows.min(0))


@given(st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=1, max_size=40), st.integers(1, 3))
@SMALL
def test_a_front_fits_exactly_where_one_of_its_rows_does(rows: list[tuple[int, int, int]], costs: int) -> None:
    front = Front(np.array(rows, dtype=float)[:, :costs])
    for room in itertools.product(range(-1, 8), repeat=costs):
        expected = any(all(r <= b for r, b in zip(row, room, strict=False)) for row in rows)
        assert expected == front.fits(tuple(map(float, room)))


def test_pairwise_costs_of_a_long_chain_are_exact() -> None:
    widths = ("16", "32", "64")
    choices = tuple(Choice(f"{i}/width", widths, ordered=True) for i in range(7))
    params = Cost(
        "params",
        {
            ((f"{i}/width", a), (f"{i + 1}/width", b)): 9.0 * int(a) * int(b)
            for i in range(6)
            for a in widths
            for b in widths
        },
        base=100.0,
    )
    macs = Cost("macs", {k: v * (64 if int(k[0][0][0]) < 3 else 16.5) for k, v in params.terms.items()})
    space = Space(choices, (Limit(params, 40_000.0), Limit(macs, 1_500_000.0)))
    expected = {key(p) for p in points(choices) if params(p) <= 40_000 and macs(p) <= 1_500_000}
    assert expected == {key(a.picks) for a in space.enumerate()}
    assert 0 < len(expected) < 3**7


def test_cost_of_an_architecture_counts_only_what_exists() -> None:
    cost = Cost("params", {(("op", "conv"),): 10.0, (("in", "0"), ("in", "1")): 3.0}, base=1.0)
    space = Space((Choice("in", ("0", "1"), pick=(0, 2)), Choice("op", ("conv", "skip"), when=When("in", ("1",)))))
    costs = {key(a.picks): cost(a.picks) for a in space.enumerate()}
    assert {key(p): cost_of(cost, p) for p in points(space.choices)} == costs
    assert 1.0 == cost({})
    assert 14.0 == cost({"in": ("0", "1"), "op": ("conv",)})


def test_counts_are_exact_for_a_thousand_steps() -> None:
    # every step of the program is a loop, not a recursion: depth is no limit
    options = tuple(f"{i}" for i in range(100))
    space = Space(tuple(Choice(f"{n}", options, pick=(0, 100)) for n in range(20)))
    assert 2**2000 == space.size
    assert 20 == len(space.sample_uniform(np.random.default_rng(0)))
    ranged = Space((Choice("a", tuple(f"{i}" for i in range(60)), pick=(3, 50)),))
    assert sum(math.comb(60, k) for k in range(3, 51)) == ranged.size
    cost = Cost("params", {((c.name, o),): 1.0 for c in space for o in c.options})
    limited = Space(space.choices[:4], (Limit(cost, 7.0),))
    assert sum(len(p) for p in limited.sample(np.random.default_rng(0)).values()) <= 7


def test_limits_pickle_with_the_space_and_work_after_it() -> None:
    cost = Cost("params", {(("a", "x"),): 2.0})
    space = Space((Choice("a", ("x", "y")),), (Limit(cost, 1.0),))
    loaded = pickle.loads(pickle.dumps(space))
    assert space == loaded
    assert ("y",) == loaded.allowed({}, "a")


def test_the_program_looks_only_at_what_is_asked() -> None:
    space = Space(tuple(Choice(f"{i}", ("x", "y")) for i in range(30)))
    program = Completions(space.choices, ())
    assert program.feasible({"29": ("x",)})
    assert 2**30 == program.graph.count()
