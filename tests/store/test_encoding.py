"""Events as rows and back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphogen.protocols import Event, MorphogenError
from morphogen.store.encoding import decode, encode

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
EVENTS = st.builds(
    Event,
    st.sampled_from(["asked", "finished", "died"]),
    st.integers(0, 2**62),
    st.dictionaries(st.text(), VALUES, max_size=3),
)


@given(st.lists(EVENTS, max_size=5))
def test_any_json_comes_back_equal(events):
    assert events == decode([encode(event) for event in events], "here")


NUMBERS = "[-0, -0.0, 1e400, -1e400, 1e-400, NaN, Infinity, 18446744073709551616, 2.2250738585072011e-308, 0.1e1]"


@pytest.mark.parametrize(
    "value",
    [
        NUMBERS,
        '{"a": 1, "b": 2, "a": 3}',  # the last one counts, in the first one's place
        r'"\ud83d\ude00 \u0000 \/"',
        r'"half of a pair: \ud800"',
        "[" * 300 + "]" * 300,
        "7" * 400,
    ],
)
def test_a_text_is_read_as_python_reads_it(value):
    text = f'{{"a": {value}}}'
    (event,) = decode([("asked", 0, text)], "here")
    assert repr(json.loads(text)) == repr(event.body)


@pytest.mark.parametrize("value", ["01", ".5", "1.", "+1", "[1,]", '"\t"', "nan", "'a'", "1 // one", r'"\x41"'])
def test_a_text_that_python_refuses_is_damage(value):
    with pytest.raises(MorphogenError, match="event 1 is not what was recorded"):
        decode([("asked", 0, f'{{"a": {value}}}')], "here")


@pytest.mark.parametrize(
    "row",
    [
        ("asked", 1, '{"a":'),
        ("asked", 1, "{},{}"),
        ("asked", 1, "[1]"),
        ("begun", 1, "{}"),
        ("asked", 1, None),
        ("asked", 1, ""),
    ],
)
def test_a_damaged_row_is_named(row):
    with pytest.raises(MorphogenError, match="here is damaged: event 2 is not what was recorded"):
        decode([("asked", 0, "{}"), row, ("asked", 2, "{}")], "here")


def test_damage_that_keeps_the_number_of_events_is_found():
    with pytest.raises(MorphogenError, match="damaged: event 1"):
        decode([("asked", 0, "{},{}"), ("asked", 1, "")], "here")


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Event("asked", 0, {"a": float("inf")}), "no plain JSON"),
        (Event("asked", 0, {"a": {1, 2}}), "no plain JSON"),
        (Event("told", 0, {}), "got 'told'"),
        (Event("asked", "0", {}), "got '0'"),
    ],
)
def test_what_is_no_event_is_refused(event, message):
    with pytest.raises(ValueError, match=message):
        encode(event)
