"""Proposals and outcomes are plain JSON and come back as they were."""

import json
import math
import pickle
from dataclasses import FrozenInstanceError

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from morphogen.space import Choice, Space
from morphogen.trial import FULL, Outcome, Proposal, Trial
from small_spaces import SMALL

SPACE = Space((Choice("a", ("x", "y")), Choice("s", ("1", "2"), pick=(0, 2))))
ARCHITECTURE = SPACE.sample(np.random.default_rng(0))
NUMBERS = st.floats(allow_nan=False)
NOTES = st.dictionaries(
    st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=5), st.lists(st.booleans())), max_size=3
)


@given(
    st.sampled_from([None, ARCHITECTURE]),
    st.dictionaries(st.sampled_from(["epochs", "images"]), st.integers(1, 10**9)),
    st.one_of(st.none(), st.integers(0)),
    NOTES,
)
@SMALL
def test_a_proposal_survives_json(
    architecture: object, fidelity: dict[str, float], warm_start: int, origin: dict[str, object]
) -> None:
    proposal = Proposal(architecture, fidelity, warm_start, origin)  # type: ignore[arg-type]
    assert proposal == Proposal.from_json(json.loads(json.dumps(proposal.json, allow_nan=False)), SPACE)
    assert proposal == pickle.loads(pickle.dumps(proposal))


@given(
    st.dictionaries(st.text(max_size=5), NUMBERS, max_size=3),
    st.dictionaries(
        st.text(max_size=5), st.lists(st.tuples(st.integers(0).map(float), NUMBERS), max_size=3), max_size=2
    ),
    st.sampled_from([None, ARCHITECTURE]),
    st.floats(0, 1e9),
    st.one_of(st.none(), st.text()),
)
@SMALL
def test_an_outcome_survives_json(
    metrics: dict[str, float],
    curves: dict[str, list[tuple[float, float]]],
    found: object,
    seconds: float,
    error: str | None,
) -> None:
    outcome = Outcome(metrics, curves, found, seconds, error)  # type: ignore[arg-type]
    assert outcome == Outcome.from_json(json.loads(json.dumps(outcome.json, allow_nan=False)), SPACE)


def test_defaults_are_left_out_of_the_record() -> None:
    assert {"architecture": None} == Proposal(None).json
    assert {"metrics": {}, "seconds": 0.0} == Outcome().json
    assert FULL == Proposal(None).fidelity


def test_what_the_record_says_of_another_space_is_refused() -> None:
    other = Space((Choice("b", ("x",)),))
    with pytest.raises(ValueError, match="the space has no choice 'a'"):
        Proposal.from_json(Proposal(ARCHITECTURE).json, other)
    with pytest.raises(ValueError, match="the space has no choice 'a'"):
        Outcome.from_json(Outcome(found=ARCHITECTURE).json, other)


def test_a_trial_is_about_what_a_supernet_found() -> None:
    asked = Trial(0, "supernet", Proposal(None))
    assert asked.architecture is None
    assert math.inf == asked.loss
    assert not asked.failed
    assert ARCHITECTURE == Trial(0, "supernet", Proposal(None), Outcome(found=ARCHITECTURE)).architecture
    assert ARCHITECTURE == Trial(0, "search", Proposal(ARCHITECTURE), Outcome()).architecture
    assert Trial(0, "search", Proposal(ARCHITECTURE), Outcome(error="NaN loss")).failed


def test_trials_are_immutable() -> None:
    with pytest.raises(FrozenInstanceError):
        Trial(0, "search", Proposal(None)).id = 1  # type: ignore[misc]
