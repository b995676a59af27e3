"""Moves stay within the space and its limits, reach everything, and do what their documentation says."""

import pickle
from collections import Counter, defaultdict

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy.stats import chisquare

from morphogen.choice import Pick
from morphogen.limits import Cost, Limit
from morphogen.moves import MOST_COMPLETIONS, crossover, mutate, neighbors
from morphogen.space import Architecture, Choice, Space, When
from small_spaces import SMALL, key, spaces, within


def one_step(choice: Choice, old: Pick, new: Pick) -> bool:
    """Whether one value is a neighbor of the other: another option, one swapped, or one added or removed."""
    if choice.single:
        at, to = choice.pickable.index(old[0]), choice.pickable.index(new[0])
        return abs(at - to) == 1 if choice.ordered else at != to
    difference = set(old) ^ set(new)
    low, high = choice.bounds
    return len(difference) == 2 and len(old) == len(new) if low == high else len(difference) == 1


def far(space: Space, architecture: Architecture) -> bool:
    """Whether some ordered choice can go further than to an adjacent option."""
    return any(
        space.feasible({**architecture.picks, name: (option,)})
        for name, picked in architecture.picks.items()
        if space[name].single
        for option in space[name].pickable
        if option not in picked
    )


@given(st.data())
@SMALL
def test_neighbors_are_the_architectures_that_differ_in_one_decision(data: st.DataObject) -> None:
    space = data.draw(spaces())
    known = within(space)
    point = data.draw(st.sampled_from(known))
    expected = set()
    for other in known:
        common = [n for n in point if n in other]
        changed = [n for n in common if point[n] != other[n]]
        if len(changed) == 1 and one_step(space[changed[0]], point[changed[0]], other[changed[0]]):
            expected.add(key(other))
    found = [key(a.picks) for a in neighbors(space.architecture(point))]
    assert len(set(found)) == len(found)
    assert expected == set(found)


@given(spaces())
@SMALL
def test_a_mutant_is_another_architecture_within_the_limits(space: Space) -> None:
    known, rng = {key(p) for p in within(space)}, np.random.default_rng(0)
    for architecture in list(space.enumerate())[:30]:
        if not list(neighbors(architecture)) and not far(space, architecture):
            with pytest.raises(ValueError, match="no decision of its space has another value within the limits"):
                mutate(architecture, rng)
            continue
        mutant = mutate(architecture, rng)
        assert key(mutant.picks) in known
        assert architecture != mutant
        common = [n for n in architecture.picks if n in mutant.picks]
        assert 1 == sum(architecture[n] != mutant[n] for n in common)


@given(spaces(most_choices=3, most_limits=0))
@SMALL
def test_without_limits_mutation_leads_from_everywhere_to_everywhere(space: Space) -> None:
    everything = list(space.enumerate())
    if not 1 < len(everything) <= 10:
        return
    rng = np.random.default_rng(0)
    reached = {a: {mutate(a, rng) for _ in range(30 * len(everything))} for a in everything}
    backwards = defaultdict(set)
    for a, mutants in reached.items():
        for mutant in mutants:
            backwards[mutant].add(a)
    for graph in (reached, backwards):
        seen, todo = {everything[0]}, [everything[0]]
        while todo:
            new = graph[todo.pop()] - seen
            seen |= new
            todo += new
        assert set(everything) == seen


@given(st.data())
@SMALL
def test_children_come_from_their_parents_and_keep_the_limits(data: st.DataObject) -> None:
    space = data.draw(spaces())
    everything = list(space.enumerate())
    a, b = data.draw(st.sampled_from(everything)), data.draw(st.sampled_from(everything))
    rng = np.random.default_rng(0)
    for _ in range(5):
        child = crossover(a, b, rng)
        assert child in everything
        if not space.limits:
            for name, picked in child.picks.items():
                given_by = [p.picks[name] for p in (a, b) if name in p]
                assert not given_by or picked in given_by
    assert a == crossover(a, a, rng)


def test_each_decision_comes_from_either_parent_by_a_fair_coin() -> None:
    space, rng = Space(tuple(Choice(f"{i}", ("x", "y")) for i in range(4))), np.random.default_rng(0)
    a, b = (space.architecture({f"{i}": o for i in range(4)}) for o in "xy")
    counts = Counter(crossover(a, b, rng) for _ in range(1600))
    assert 16 == len(counts)
    assert chisquare(list(counts.values())).pvalue > 1e-3


def test_where_the_limits_refuse_one_parent_the_other_gives() -> None:
    cost = Cost("params", {((f"{i}", "big"),): 1.0 for i in range(4)})
    space = Space(tuple(Choice(f"{i}", ("big", "small")) for i in range(4)), (Limit(cost, 2.0),))
    a = space.architecture({"0": "big", "1": "big", "2": "small", "3": "small"})
    b = space.architecture({"0": "small", "1": "small", "2": "big", "3": "big"})
    children = {crossover(a, b, np.random.default_rng(i)) for i in range(60)}
    assert all(cost(c.picks) <= 2 for c in children)
    assert {0.0, 1.0, 2.0} >= {cost(c.picks) for c in children}
    assert len(children) > 6


def test_parents_of_two_spaces_have_no_children() -> None:
    rng = np.random.default_rng(0)
    one, two = Space((Choice("a", ("x", "y")),)), Space((Choice("a", ("x", "z")),))
    with pytest.raises(ValueError, match="crossover needs two architectures of one space"):
        crossover(one.sample(rng), two.sample(rng), rng)
    again = pickle.loads(pickle.dumps(one))
    assert crossover(one.sample(rng), again.sample(rng), rng) in list(one.enumerate())


def test_a_mutation_is_uniform_over_decisions_then_over_values() -> None:
    space, rng = Space((Choice("a", ("1", "2")), Choice("b", tuple("pqrst")))), np.random.default_rng(0)
    counts = Counter(mutate(space.architecture({"a": "1", "b": "p"}), rng).text for _ in range(2000))
    expected = {"a=2 b=p": 1000, **{f"a=1 b={o}": 250 for o in "qrst"}}
    assert set(expected) == set(counts)
    assert chisquare([counts[t] for t in expected], list(expected.values())).pvalue > 1e-3


def test_a_mutation_decides_new_choices_uniformly_and_drops_old_ones() -> None:
    space = Space(
        (Choice("op", ("conv", "skip")), Choice("kernel", ("3", "5", "7"), when=When("op", ("conv",)), ordered=True))
    )
    rng = np.random.default_rng(0)
    skip = space.architecture({"op": "skip"})
    counts = Counter(mutate(skip, rng).text for _ in range(900))
    assert {f"op=conv kernel={k}" for k in "357"} == set(counts)
    assert chisquare(list(counts.values())).pvalue > 1e-3
    assert {"op=skip", "op=conv kernel=5"} == {
        n.text for n in neighbors(space.architecture({"op": "conv", "kernel": "3"}))
    }
    assert 4 == len({n.text for n in neighbors(skip)} | {skip.text})


def test_of_too_many_new_decisions_neighbors_take_the_first_completion_and_what_differs_from_it_in_one() -> None:
    many = tuple(Choice(f"{i}", ("1", "2", "3"), when=When("deep", ("yes",)), ordered=True) for i in range(8))
    skips = Choice("skips", tuple("abcd"), pick=(0, 4), when=When("deep", ("yes",)))
    space = Space((Choice("deep", ("no", "yes")), *many, skips))
    assert 3**8 * 2**4 > MOST_COMPLETIONS
    near = list(neighbors(space.architecture({"deep": "no"})))
    first = near[0].picks
    assert {"deep": ("yes",), **{c.name: ("1",) for c in many}, "skips": ()} == first
    assert 1 + 8 * 2 + 4 == len(set(near)) == len(near)
    assert all(1 == sum(first[n] != a.picks[n] for n in first) for a in near[1:])
    few = space.restrict({c.name: ("1", "2") for c in many})
    assert 2**8 * 2**4 == len(list(neighbors(few.architecture({"deep": "no"})))) <= MOST_COMPLETIONS


def test_too_many_new_decisions_stay_within_the_limits() -> None:
    many = tuple(Choice(f"{i}", ("1", "2", "3"), when=When("deep", ("yes",)), ordered=True) for i in range(9))
    cost = Cost("params", {(("deep", "no"),): 10.0, **{((c.name, o),): float(o) for c in many for o in c.options}})
    space = Space((Choice("deep", ("no", "yes")), *many), (Limit(cost, 10.0),))
    near = list(neighbors(space.architecture({"deep": "no"})))
    assert 1 + 9 == len(near)  # a second one that is more than 1 is more than 10 in all
    assert all(cost(a.picks) <= 10 for a in near)


def test_the_only_architecture_cannot_be_mutated() -> None:
    space = Space((Choice("a", ("x", "y")),), (Limit(Cost("params", {(("a", "x"),): 1.0}), 0.0),))
    with pytest.raises(
        ValueError, match="the architecture cannot be mutated: no decision of its space has another value"
    ):
        mutate(space.architecture({"a": "y"}), np.random.default_rng(0))
    assert [] == list(neighbors(space.architecture({"a": "y"})))


@pytest.mark.parametrize("seed", range(3))
def test_moves_depend_on_the_generator_only(seed: int) -> None:
    space = Space(tuple(Choice(f"{i}", ("x", "y", "z"), pick=(0, 2)) for i in range(5)))
    a, b = (space.sample(np.random.default_rng(i)) for i in range(2))
    for move in (lambda rng: mutate(a, rng), lambda rng: crossover(a, b, rng)):
        assert move(np.random.default_rng(seed)) == move(np.random.default_rng(seed))
