"""Spaces and architectures: laws on random small spaces by brute force, and everything a person can get wrong."""

import copy
import json
import math
import pickle
import sys
from collections import Counter
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy.stats import chisquare

from morphogen import space as space_module
from morphogen.limits import Cost, Limit
from morphogen.space import Architecture, Choice, Space, When, resolve
from small_spaces import SMALL, key, points, spaces, subsets, within

OPS = ("none", "max_pool_3x3", "skip_connect", "sep_conv_3x3")


def small_cells() -> Space:
    """Two nodes of a DARTS-like cell, with everything: subsets, conditions, `mixed_only`, an ordered choice."""
    edges = [
        Choice(f"n/{node}<-{i}", OPS, when=When(f"n/{node}/inputs", (f"{i}",)), mixed_only=("none",))
        for node, inputs in ((2, 2), (3, 3))
        for i in range(inputs)
    ]
    return Space(
        (
            Choice("n/2/inputs", ("0", "1"), pick=2),
            *edges[:2],
            Choice("n/3/inputs", ("0", "1", "2"), pick=(1, 2)),
            *edges[2:],
            Choice("width", ("16", "32"), ordered=True),
            Choice("skips", ("a", "b"), pick=(0, 2)),
        ),
        name="cells",
    )


# --- laws on random spaces ----------------------------------------------------------------------------------------


@given(spaces(most_limits=0))
@SMALL
def test_the_size_is_the_number_of_architectures(space: Space) -> None:
    enumerated = list(space.enumerate())
    assert space.size == len(enumerated) == len(set(enumerated))
    assert {key(p) for p in points(space.choices)} == {key(a.picks) for a in enumerated}


@given(spaces())
@SMALL
def test_every_architecture_survives_text_json_pickle_and_picks(space: Space) -> None:
    for architecture in space.enumerate():
        for again in (
            space.parse(architecture.text),
            space.parse(json.dumps(architecture.json)),
            space.architecture(architecture.picks),
            space.architecture(dict(architecture)),
            pickle.loads(pickle.dumps(architecture)),
            copy.deepcopy(architecture),
        ):
            assert architecture == again
            assert hash(architecture) == hash(again)
        assert key(architecture) == key(architecture.picks)
        assert list(architecture) == [c.name for c in space.active(architecture.picks)]
        assert len(architecture) == len(architecture.picks)


@given(st.data())
@SMALL
def test_two_spellings_of_one_architecture_are_equal(data: st.DataObject) -> None:
    space = data.draw(spaces(most_limits=0))
    architecture = data.draw(st.sampled_from(list(space.enumerate())))
    spelled: dict[str, Any] = {}
    for name in data.draw(st.permutations([c.name for c in space])):
        choice = space[name]
        if name in architecture:
            picked = data.draw(st.permutations(architecture.picks[name]))
            spelled[name] = picked[0] if len(picked) == 1 and data.draw(st.booleans()) else list(picked)
        elif data.draw(st.booleans()):  # it does not exist there: whatever is said of it does not count
            spelled[name] = data.draw(st.sampled_from(subsets(choice)))
    assert architecture == space.architecture(spelled)


@given(spaces())
@SMALL
def test_fixing_gives_a_space_of_that_one_point(space: Space) -> None:
    for architecture in list(space.enumerate())[:20]:
        fixed = space.fix(architecture)
        assert fixed.size == 1
        assert architecture.json == fixed.sample(np.random.default_rng(0)).json
        assert architecture.text == fixed.sample_uniform(np.random.default_rng(0)).text
        assert architecture.picks == next(fixed.enumerate()).picks
        assert fixed.size == fixed.fix(next(fixed.enumerate())).size


@given(st.data())
@SMALL
def test_restricting_keeps_exactly_the_architectures_with_the_options_that_are_left(data: st.DataObject) -> None:
    space = data.draw(spaces(most_limits=1))
    name = data.draw(st.sampled_from([c.name for c in space]))
    left = data.draw(
        st.lists(st.sampled_from(space[name].options), unique=True).map(tuple) if space[name].options else st.just(())
    )
    expected = {key(p) for p in within(space) if set(p.get(name, ())) <= set(left)}
    try:
        restricted = space.restrict({name: left})
    except ValueError:
        # too few options left for the choice, even if it need not exist; or nothing left within the limits
        assert not expected or len([o for o in space[name].pickable if o in left]) < space[name].bounds[0]
        return
    assert expected == {key(a.picks) for a in restricted.enumerate()}


@given(spaces(most_choices=2, most_limits=1))
@SMALL
def test_a_product_has_every_pair(space: Space) -> None:
    training = Space((Choice("train/lr", ("0.1", "0.3"), ordered=True), Choice("train/mix", ("on", "off"))))
    expected = {key(a.picks) | key(b.picks) for a in space.enumerate() for b in training.enumerate()}
    for product in (space | training, training | space):
        assert expected == {key(a.picks) for a in product.enumerate()}
        assert space.size * training.size == product.size


# --- chance -------------------------------------------------------------------------------------------------------

FEW = Cost(
    "params",
    {(("n/3<-0", "sep_conv_3x3"),): 3.0, (("skips", "a"), ("width", "32")): 2.0, (("n/3<-2", "skip_connect"),): 1.0},
)
LIMITED = [(), (Limit(FEW, 2.0),), (Limit(FEW, 0.5), Limit(Cost("macs", {(("skips", "a"), ("skips", "b")): 1.0}), 0.0))]


def thinned() -> Space:
    """A small part of the cells, so that a few thousand draws are enough."""
    return small_cells().restrict(
        {"n/2<-0": ("skip_connect",), "n/2<-1": ("sep_conv_3x3",), "n/3<-1": ("none", "max_pool_3x3")}
    )


def literature(space: Space, point: dict[str, tuple[str, ...]], known: list[dict[str, tuple[str, ...]]]) -> float:
    """The probability of a point where every decision is uniform over what can still be completed."""
    probability, left = 1.0, known
    for choice in space:
        if choice.name in point:
            probability /= len({p[choice.name] for p in left})
            left = [p for p in left if p[choice.name] == point[choice.name]]
    return probability


@pytest.mark.parametrize("limits", LIMITED)
def test_a_sample_decides_uniformly_and_a_uniform_sample_is_uniform(limits: tuple[Limit, ...]) -> None:
    space = Space(thinned().choices, limits)
    known = within(space)
    assert len(known) < 250
    draws = 25 * len(known)
    for sample, chance in (
        (space.sample, [literature(space, p, known) for p in known]),
        (space.sample_uniform, [1 / len(known)] * len(known)),
    ):
        rng = np.random.default_rng(7)
        counts = Counter(key(sample(rng).picks) for _ in range(draws))
        assert math.isclose(sum(chance), 1)
        assert set(counts) <= {key(p) for p in known}
        assert chisquare([counts[key(p)] for p in known], [c * draws for c in chance]).pvalue > 1e-3


def test_a_uniform_sample_weighs_an_option_by_what_it_opens() -> None:
    space = Space((Choice("a", ("x", "y")), Choice("b", tuple("pqrs"), when=When("a", ("y",)))))
    rng = np.random.default_rng(0)
    assert abs(sum(space.sample(rng)["a"] == "x" for _ in range(2000)) - 1000) < 90
    assert abs(sum(space.sample_uniform(rng)["a"] == "x" for _ in range(2000)) - 400) < 75


def test_draws_depend_on_the_generator_only() -> None:
    first, second = small_cells(), small_cells()
    list(second.enumerate())
    assert second.size > 0
    for name in ("sample", "sample_uniform"):
        drawn = [
            getattr(s, name)(np.random.default_rng(5)).text for s in (first, second, pickle.loads(pickle.dumps(first)))
        ]
        assert 1 == len(set(drawn))


def test_a_uniform_sample_gives_up_where_almost_nothing_is_within_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space_module, "MOST_REJECTIONS", 20)
    cost = Cost("params", {((f"{i}", "x"),): 1.0 for i in range(40)})
    space = Space(tuple(Choice(f"{i}", ("x", "y")) for i in range(40)), (Limit(cost, 0.0),))
    with pytest.raises(
        ValueError, match="all of 20 uniform draws were outside the limits of the space; `sample` needs no rejection"
    ):
        space.sample_uniform(np.random.default_rng(0))
    assert {"y"} == set(space.sample(np.random.default_rng(0)).values())


# --- completing ---------------------------------------------------------------------------------------------------


def test_completing_grows_short_subsets_and_drops_what_does_not_exist() -> None:
    space, rng = small_cells(), np.random.default_rng(0)
    for _ in range(20):
        completed = space.complete({"n/2/inputs": ("1",), "n/3/inputs": ("2",), "n/3<-0": ("skip_connect",)}, rng)
        assert ("0", "1") == completed["n/2/inputs"]
        assert ("2",) == completed["n/3/inputs"]  # one is enough: decided
        assert "n/3<-0" not in completed
    assert {("0",), ("0", "2"), ("0", "1")} == {
        space.complete({}, rng, {"n/3/inputs": [(o,) if o == "0" else ("0", o)]})["n/3/inputs"] for o in "012"
    }


@pytest.mark.parametrize("limits", LIMITED[:2])
@pytest.mark.parametrize(
    ("picks", "message"),
    [
        ({"width": ("64",)}, "choice 'width' cannot pick .'64',.; it has the options 16, 32"),
        ({"n/3<-0": ("none",)}, "cannot pick .'none',."),
        ({"n/2/inputs": ("0", "1", "0")}, "cannot pick"),
        ({"n/3/inputs": ("0", "1", "2")}, "choice 'n/3/inputs' picks 1 to 2 options, got 3"),
        ({"depth": ("1",)}, "the space has no choice 'depth'; it has n/2/inputs"),
    ],
)
def test_completing_or_enumerating_refuses_what_is_no_part_of_an_architecture(
    limits: tuple[Limit, ...], picks: dict[str, Any], message: str
) -> None:
    space = Space(small_cells().choices, limits)
    with pytest.raises(ValueError, match=message):
        space.complete(picks, np.random.default_rng(0))
    with pytest.raises(ValueError, match=message):
        list(space.enumerate(picks))


def test_enumeration_comes_in_the_order_of_choices_and_values() -> None:
    space = Space((Choice("a", ("y", "x")), Choice("s", ("1", "2"), pick=(0, 2), when=When("a", ("x",)))))
    assert ["a=y", "a=x s=", "a=x s=1", "a=x s=2", "a=x s=1,2"] == [a.text for a in space.enumerate()]
    assert ["a=x s=2", "a=x s=1,2"] == [a.text for a in space.enumerate({"a": ("x",)}) if "2" in a["s"]]


# --- architectures ------------------------------------------------------------------------------------------------


def test_an_architecture_is_a_mapping_and_immutable() -> None:
    space = small_cells()
    architecture = space.parse(
        "n/2/inputs=0,1 n/2<-0=skip_connect n/2<-1=skip_connect n/3/inputs=1 n/3<-1=skip_connect width=16 skips="
    )
    assert ("0", "1") == architecture["n/2/inputs"]
    assert "16" == architecture["width"]
    assert () == architecture["skips"]
    assert "n/3<-0" not in architecture
    assert architecture.get("n/3<-0") is None
    assert architecture != dict(architecture)
    for name in ("n/3<-0", "nowhere"):
        with pytest.raises(KeyError, match=name):
            architecture[name]
    with pytest.raises(AttributeError, match="an architecture is immutable: 'code' cannot be set"):
        architecture.code = b""
    assert f"Architecture({architecture.text})" == repr(architecture)


def test_equal_codes_of_other_spaces_are_other_architectures() -> None:
    one, two = Space((Choice("a", ("x", "y")),)), Space((Choice("a", ("y", "x")),))
    assert one.architecture({"a": "x"}).code == two.architecture({"a": "y"}).code
    assert one.architecture({"a": "x"}) != two.architecture({"a": "y"})


def test_an_architecture_of_24_choices_is_small() -> None:
    space = Space(tuple(Choice(f"layer/{i}", tuple("abcdefg")) for i in range(24)))
    architecture = space.sample(np.random.default_rng(0))
    assert sys.getsizeof(architecture) + sys.getsizeof(architecture.code) < 300
    assert not hasattr(architecture, "__dict__")


def test_many_architectures_share_their_space_in_a_pickle() -> None:
    space, rng = small_cells(), np.random.default_rng(0)
    one = len(pickle.dumps([space.sample(rng)]))
    many = [space.sample(rng) for _ in range(1001)]
    assert (len(pickle.dumps(many)) - one) / 1000 < 60
    loaded = pickle.loads(pickle.dumps(many))
    assert many == loaded
    assert 1 == len({id(a.space) for a in loaded})


def test_the_empty_subset_and_the_inactive_one_are_told_apart() -> None:
    space = Space((Choice("a", ("x", "y")), Choice("s", ("1",), pick=(0, 1), when=When("a", ("x",)))))
    assert ["a=x s=", "a=x s=1", "a=y"] == [a.text for a in space.enumerate()]
    assert 3 == space.size


@pytest.mark.parametrize("pick", [1, (0, 255), 128])
def test_255_options_fit(pick: Any) -> None:
    options = tuple(f"o{i}" for i in range(255))
    space = Space((Choice("c", options, pick=pick),))
    for architecture in (space.sample(np.random.default_rng(0)), space.sample_uniform(np.random.default_rng(0))):
        assert architecture == space.parse(architecture.text)
    last = space.architecture({"c": list(options[-128:]) if pick == 128 else "o254"})
    assert "o254" in last.picks["c"]


def test_choices_without_anything_to_decide_are_fine() -> None:
    space = Space((Choice("none", (), pick=0), Choice("one", ("x",)), Choice("mix", ("z",), pick=0, mixed_only=("z",))))
    assert 1 == space.size
    assert {"none": [], "one": "x", "mix": []} == space.sample(np.random.default_rng(0)).json
    empty = Space(())
    assert "" == empty.sample(np.random.default_rng(0)).text
    assert empty.parse("") == empty.architecture({})
    assert 1 == empty.size


def test_deep_chains_of_conditions_work() -> None:
    choices = [Choice("0", ("on", "off"))]
    choices += [Choice(f"{i}", ("on", "off"), when=When(f"{i - 1}", ("on",))) for i in range(1, 300)]
    space = Space(tuple(choices))
    assert 301 == space.size
    assert 301 == len(list(space.enumerate()))
    assert 299 * [True] == [a["0"] == "on" for a in space.enumerate()][:299]


# --- reading what people write ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("width", "'width' is not of the form choice=option"),
        ("widht=16", "the space has no choice 'widht'; it has n/2/inputs, n/2<-0"),
        ("width=16 width=32", "choice 'width' is decided twice"),
        ("width=", "choice 'n/2/inputs' is not decided; it has the options 0, 1"),
        ("n/2/inputs=0", "choice 'n/2/inputs' picks 2 options, got 1"),
        ("n/2/inputs=0,0", "choice 'n/2/inputs' cannot pick .*'0', '0'.*; it has the options 0, 1"),
        ("n/2/inputs=0,1 n/2<-0=none", "choice 'n/2<-0' cannot pick .*none.*; it has the options max_pool_3x3"),
        ("{", "not the JSON of an architecture"),
        ('{"width": 16}', "choice 'width' cannot pick 16"),
        ('{"width": {"16": 1}}', "choice 'width' cannot pick"),
        ('{"width": null}', "choice 'width' cannot pick None"),
        ('{"width": [["16"]]}', "choice 'width' cannot pick"),
        ('{"width": NaN}', "choice 'width' cannot pick nan"),
        ('{"width": "16"} {}', "not the JSON of an architecture"),
        ('{"\\ud800": "16"}', "the space has no choice"),
        ("[]", "is not of the form choice=option"),
    ],
)
def test_what_is_no_architecture_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small_cells().parse(text)


@pytest.mark.parametrize("depth", [50, 900, 100_000])
def test_json_bombs_are_value_errors(depth: int) -> None:
    space = small_cells()
    for bomb in (
        '{"width":' * depth + "0" + "}" * depth,
        '{"width":' + "[" * depth + "]" * depth + "}",
        '{"width":' + "9" * depth + "}",
    ):
        with pytest.raises(ValueError, match=r"cannot pick|not the JSON") as raised:
            space.parse(bomb)
        assert len(str(raised.value)) < 500


CELLS = small_cells()


@given(st.text(alphabet='{}[]",:=- 016winputs/<\x00é', max_size=30))
@SMALL
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for spelled in (text, "{" + text, f"width={text}"):
        try:
            parsed = CELLS.parse(spelled)
        except ValueError:  # nothing else may come out
            continue
        assert parsed == CELLS.parse(parsed.text)


def test_what_is_no_mapping_is_refused() -> None:
    for wrong in (None, 3, "width=16", [("width", "16")]):
        with pytest.raises(ValueError, match="an architecture is a mapping from choices to options, got"):
            small_cells().architecture(wrong)  # type: ignore[arg-type]


def test_an_architecture_outside_the_limits_says_by_how_much() -> None:
    space = Space((Choice("a", ("x", "y")),), (Limit(Cost("params", {(("a", "x"),): 7.0}), 5.0),))
    with pytest.raises(
        ValueError, match=r"the architecture is outside the limits of the space: params 7 \(at most 5\)"
    ):
        space.architecture({"a": "x"})


# --- spaces -------------------------------------------------------------------------------------------------------

A = Choice("a", ("x", "y", "z"), mixed_only=("z",))


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ((A, A), "two choices are called 'a'"),
        (
            (Choice("b", ("1",), when=When("a", ("x",))), A),
            "choice 'b' exists when 'a' picks x, but no earlier choice is that",
        ),
        ((Choice("a", ("x",), when=When("a", ("x",))),), "no earlier choice is that"),
        ((A, Choice("b", ("1",), when=When("a", ("q", "x")))), "choice 'b': 'a' has no option q; it has x, y, z"),
        (
            (A, Choice("b", ("1",), when=When("a", ("z",)))),
            r"choice 'b' could never exist: 'a' never picks z \(mixed_only\)",
        ),
    ],
)
def test_a_wrong_space_says_what_is_wrong(choices: tuple[Choice, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Space(choices)


def test_a_limit_that_nothing_meets_is_refused() -> None:
    with pytest.raises(ValueError, match="no architecture of the space is within its limits: params at most 5"):
        Space((A,), (Limit(Cost("params", {(("a", "x"),): 6.0, (("a", "y"),): 7.0}), 5.0),))


def test_restrict_refuses_what_is_not_there() -> None:
    space = small_cells()
    with pytest.raises(ValueError, match="choice 'width' has no option 64"):
        space.restrict({"width": ("16", "64")})
    with pytest.raises(ValueError, match="the space has no choice 'depth'"):
        space.restrict({"depth": ("1",)})
    with pytest.raises(ValueError, match="choice 'n/2/inputs': pick=2 cannot be met with 1 options"):
        space.restrict({"n/2/inputs": ("0",)})


def test_restrict_drops_choices_that_can_no_longer_exist_and_theirs() -> None:
    space = Space((A, Choice("b", ("1", "2"), when=When("a", ("y", "z"))), Choice("c", ("1",), when=When("b", ("2",)))))
    assert ["a"] == [c.name for c in space.restrict({"a": ("x", "z")})]  # z is in the mixture only
    assert ["a", "b"] == [c.name for c in space.restrict({"b": ("1",)})]


def test_two_networks_cannot_be_joined_but_names_and_skeletons_stay() -> None:
    with_network = Space((A,), network="m:f", name="mine", skeletons={"search": 1})
    training = Space((Choice("train/lr", ("1", "2")),), name="training")
    for product in (with_network | training, training | with_network):
        assert ("m:f", "mine", {"search": 1}) == (product.network, product.name, product.skeletons)
    with pytest.raises(ValueError, match="both spaces of a product have a network"):
        with_network | Space((Choice("b", ("x",)),), network="m:g")


def canonical(architecture: Architecture) -> bytes:
    return architecture.text.replace("y", "x").encode()


def test_identity_is_the_normal_form_or_what_the_space_says() -> None:
    plain, same = Space((A,)), Space((A,), canonical=canonical)
    assert 2 == len({plain.identity(a) for a in plain.enumerate()})
    assert 1 == len({same.identity(a) for a in same.enumerate()})
    assert f"{__name__}:canonical" == same.canonical


def test_a_space_is_data() -> None:
    space = Space((A,), (Limit(Cost("params", {(("a", "x"),): 1.0}), 5.0),), network=small_cells, canonical=canonical)
    list(space.enumerate())
    for again in (pickle.loads(pickle.dumps(space)), copy.deepcopy(space)):
        assert space == again
        assert hash(space) == hash(again)
    assert len(pickle.dumps(space)) == len(pickle.dumps(pickle.loads(pickle.dumps(space))))  # without what was computed
    with pytest.raises(ValueError, match=r"network=.*lambda.* cannot be imported by name"):
        Space((A,), network=lambda: None)


@pytest.mark.parametrize(
    "dotted", ["json", "nowhere:f", "json:nothing", ".json:loads", ":loads", "json:", "json:loads.nothing", "..:x"]
)
def test_a_dotted_name_that_leads_nowhere_is_a_value_error(dotted: str) -> None:
    with pytest.raises(ValueError, match=r"is not of the form package.module:name|cannot be imported"):
        resolve(dotted)


def test_a_dotted_name_finds_functions_and_what_is_inside_classes() -> None:
    assert json.loads is resolve("json:loads")
    assert json.JSONDecoder.decode is resolve("json:JSONDecoder.decode")


def test_picks_are_read_in_any_order_and_refused_where_they_are_wrong() -> None:
    space = Space(tuple(Choice(f"c{i}", ("a", "b", "c")) for i in range(4)))
    picks = {"c0": "a", "c1": "b", "c2": "c", "c3": "a"}
    shuffled = {name: picks[name] for name in ("c2", "c0", "c3", "c1")}
    assert space.architecture(picks) == space.architecture(shuffled)
    assert picks == space.architecture(shuffled).json
    for wrong in ({**picks, "c3": "d"}, {**shuffled, "c3": ["a", "b"]}, {"c0": "a", "c1": "b", "c2": "c", "c4": "a"}):
        with pytest.raises(ValueError, match=r"c[34]"):
            space.architecture(wrong)
