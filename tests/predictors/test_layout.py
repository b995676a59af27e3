import numpy as np
import pytest

from morphogen.estimators.toy import toy_space
from morphogen.moves import neighbors
from morphogen.predictors.layout import layout
from morphogen.space import Architecture, Choice, Cost, Limit, Space, When

NESTED = Space(
    (
        Choice("set", ("a", "b", "c"), pick=(0, 3)),
        Choice("inner", ("x", "y"), when=When("set", ("b",))),
        Choice("two", tuple("pqrs"), pick=2, when=When("inner", ("y",))),
        Choice("op", ("conv", "none"), mixed_only=("none",)),
    )
)
LIMITED = Space(
    (Choice("1/inputs", ("0",), pick=(0, 1)), Choice("2/inputs", ("0", "1"), pick=(1, 2)), Choice("1/op", ("a", "b"))),
    limits=(
        Limit(Cost("edges", {(("1/inputs", "0"),): 1.0, (("2/inputs", "0"),): 1.0, (("2/inputs", "1"),): 1.0}), 2.0),
    ),
)
WIDE = Space((Choice("many", tuple(f"o{i}" for i in range(20)), pick=(0, 20)),))


@pytest.mark.parametrize("space", [toy_space(), NESTED, LIMITED, WIDE], ids=["toy", "nested", "limited", "wide"])
def test_reading_states_and_writing_them_gives_the_same_architectures(space: Space) -> None:
    rng = np.random.default_rng(0)
    architectures = [space.sample(rng) for _ in range(50)]
    assert architectures == layout(space).architectures(layout(space).read(architectures))


def test_an_empty_subset_differs_from_one_that_does_not_exist() -> None:
    space = Space((Choice("on", ("yes", "no")), Choice("set", ("a", "b"), pick=(0, 2), when=When("on", ("yes",)))))
    empty, absent = space.architecture({"on": "yes", "set": []}), space.architecture({"on": "no"})
    assert [[1, 1, 1], [2, 0, 0]] == layout(space).read([empty, absent]).tolist()


@pytest.mark.parametrize("space", [toy_space(), NESTED, LIMITED], ids=["toy", "nested", "limited"])
def test_neighbors_are_architectures_within_the_limits_and_include_those_of_moves(space: Space) -> None:
    rng = np.random.default_rng(1)
    center = space.sample(rng)
    found: set[Architecture] = set()
    for _ in range(60):  # children that come into existence are drawn
        found |= set(layout(space).architectures(layout(space).neighbors(layout(space).read([center]), rng)))
    assert all(a == space.architecture(a.picks) and space.feasible(a.picks) for a in found)
    assert set(neighbors(center)) <= found
    assert center not in found


def test_crossed_architectures_are_points_of_the_space() -> None:
    rng, space = np.random.default_rng(2), toy_space()
    a, b = ([space.sample(rng) for _ in range(40)] for _ in range(2))
    children = layout(space).architectures(layout(space).crossed(layout(space).read(a), layout(space).read(b), rng))
    assert all(c == space.architecture(c.picks) for c in children)
    assert 40 == len(children)


def test_crossing_keeps_within_limits() -> None:
    rng = np.random.default_rng(3)
    a, b = ([LIMITED.sample(rng) for _ in range(40)] for _ in range(2))
    children = layout(LIMITED).architectures(
        layout(LIMITED).crossed(layout(LIMITED).read(a), layout(LIMITED).read(b), rng)
    )
    assert children
    assert all(LIMITED.feasible(c.picks) for c in children)
