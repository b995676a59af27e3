"""Events as rows and back."""

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
