"""A choice says at once what is wrong with it, and draws its values uniformly."""

import itertools
import math
import pickle
from collections import Counter
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from morphogen.choice import MAX_OPTIONS, Choice, When


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "a b"}, "choice 'a b': 'a b' is not a name; names are text of"),
        ({"name": ""}, "choice '': '' is not a name"),
        ({"name": "a\n"}, "is not a name"),
        ({"name": "größe"}, "is not a name"),
        ({"name": "a=b"}, "is not a name"),
        ({"options": ("x,y",)}, "'x,y' is not a name"),
        ({"options": (3, 5)}, "choice 'c': 3 is not a name"),
        ({"options": ("x", None)}, "None is not a name"),
        ({"options": ("x", "y", "x")}, "options repeat: x, y, x"),
        ({"options": tuple(str(i) for i in range(256))}, "has 256 options, at most 255 are possible"),
        ({"options": ()}, "pick=1 cannot be met with 0 options"),
        ({"pick": 3}, "pick=3 cannot be met with 2 options"),
        ({"pick": -1}, "pick=-1 cannot be met"),
        ({"pick": (2, 1)}, r"pick=\(2, 1\) cannot be met"),
        ({"pick": (0, 3)}, r"pick=\(0, 3\) cannot be met with 2 options"),
        ({"pick": "1"}, "pick='1' is neither a number nor a range"),
        ({"pick": 1.5}, "pick=1.5 is neither a number nor a range"),
        ({"pick": (1, 2, 3)}, r"pick=\(1, 2, 3\) is neither"),
        ({"pick": (0, 1.5)}, r"pick=\(0, 1.5\) is neither"),
        ({"mixed_only": ("z",)}, "mixed_only names z, which is no option of it"),
        ({"mixed_only": ("x", "y")}, "pick=1 cannot be met with 0 options"),
        ({"ordered": True}, "is ordered, but its option 'x' is not a number"),
        ({"options": ("2", "1"), "ordered": True}, "its options do not rise: 2, 1"),
        ({"options": ("1", "1.0"), "ordered": True}, "its options do not rise: 1, 1.0"),
        ({"options": ("1", "nan"), "ordered": True}, "'nan' is not a number"),
        ({"options": ("1", "inf"), "ordered": True}, "'inf' is not a number"),
    ],
)
def test_a_wrong_choice_says_what_it_got_and_what_was_expected(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Choice(**{"name": "c", "options": ("x", "y"), **arguments})


def test_one_text_where_several_names_belong_is_an_error_not_a_list_of_letters() -> None:
    for build in (lambda: Choice("c", "xy"), lambda: Choice("c", ("x", "y"), mixed_only="x"), lambda: When("c", "xy")):  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"is one text; expected several names, such as \('xy?',\)"):
            build()


def test_a_condition_without_options_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"When\('c'\) names no option, so it could never hold"):
        When("c", ())


def test_lists_become_tuples_so_that_choices_hash_and_compare() -> None:
    from_lists = Choice("c", ["x", "y"], pick=[0, 2], when=When("p", ["z"]), mixed_only=[])  # type: ignore[arg-type]
    assert Choice("c", ("x", "y"), pick=(0, 2), when=When("p", ("z",))) == from_lists
    assert 1 == len({from_lists, pickle.loads(pickle.dumps(from_lists))})


def test_only_one_pick_is_single() -> None:
    assert Choice("c", ("x", "y")).single
    assert not Choice("c", ("x", "y"), pick=2).single
    assert not Choice("c", ("x", "y"), pick=(1, 1)).single  # a subset that happens to have one option


def test_odd_names_are_names() -> None:
    odd = ("..", "/", "a//b", "<-", "+", "-1", "0.5", "__class__", "keys", "normal/3<-0>")
    assert odd == Choice("normal/3<-1", odd).pickable
    assert MAX_OPTIONS == len(Choice("c", tuple(str(i) for i in range(MAX_OPTIONS)), pick=(0, MAX_OPTIONS)).options)


def test_what_only_a_mixture_has_is_never_a_value() -> None:
    choice = Choice("c", ("none", "x", "y"), pick=(0, 2), mixed_only=("none",))
    assert ("x", "y") == choice.pickable
    assert [(), ("x",), ("y",), ("x", "y")] == list(choice.values())


@pytest.mark.parametrize("pick", [1, 2, 0, 4, (0, 4), (1, 3), (1, 1), (0, 0), (2, 4)])
@pytest.mark.parametrize("have", [(), ("c",), ("d", "a")])
def test_values_and_draws_are_all_subsets_of_the_right_sizes_equally_likely(pick: Any, have: tuple[str, ...]) -> None:
    choice = Choice("c", ("a", "b", "c", "d"), pick=pick)
    low, high = choice.bounds
    if len(have) > high:
        return
    expected = {s for k in range(low, high + 1) for s in itertools.combinations("abcd", k) if set(have) <= set(s)}
    values = list(choice.values(have))
    assert len(values) == len(set(values))
    assert expected == set(values)
    if not values:
        return
    rng = np.random.default_rng(0)
    counts = Counter(choice.draw(rng.random, have) for _ in range(1500))
    assert expected == set(counts)
    assert len(values) == 1 or chisquare(list(counts.values())).pvalue > 1e-3


def test_the_sizes_of_drawn_ranges_follow_the_number_of_subsets() -> None:
    choice, rng = Choice("c", tuple(str(i) for i in range(12)), pick=(2, 5)), np.random.default_rng(0)
    sizes = Counter(len(choice.draw(rng.random)) for _ in range(3000))
    total = sum(math.comb(12, k) for k in range(2, 6))
    assert (
        chisquare([sizes[k] for k in range(2, 6)], [3000 * math.comb(12, k) / total for k in range(2, 6)]).pvalue > 1e-3
    )


def test_open_means_to_be_decided_or_not_enough() -> None:
    choice = Choice("c", ("a", "b", "c"), pick=(1, 2))
    assert [True, True, False, False] == [choice.is_open(p) for p in ({}, {"c": ()}, {"c": ("a",)}, {"c": ("a", "b")})]
    assert not Choice("c", ("a",), pick=(0, 1)).is_open({"c": ()})


@pytest.mark.parametrize("given", [5, None, ["x", "x"], ["x", "q"], ["none"], [["x"]], {"x": 1}, [None], "none", b"x"])
def test_reading_a_pick_refuses_what_is_none(given: Any) -> None:
    choice = Choice("c", ("x", "y", "none"), pick=(0, 2), mixed_only=("none",))
    with pytest.raises(ValueError, match=r"choice 'c' cannot pick .*; it has the options x, y"):
        choice.read(given)


def test_reading_a_pick_sorts_and_counts() -> None:
    choice = Choice("c", ("x", "y", "z"), pick=2)
    assert ("x", "z") == choice.read(["z", "x"])
    with pytest.raises(ValueError, match="choice 'c' picks 2 options, got 3"):
        choice.read(("z", "y", "x"))
    assert ("y",) == choice.read("y")
