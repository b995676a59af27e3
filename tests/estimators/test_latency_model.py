"""Latencies that add up, learned from a formula."""

import json
from pathlib import Path

import numpy as np
import pytest

from morphogen.estimators.latency_model import LatencyModel, PredictedLatency, learned, relative
from morphogen.limits import Cost, Limit
from morphogen.protocols import Context, MorphogenError
from morphogen.space import Architecture, Choice, Space, When
from morphogen.trial import Proposal

OPS = ("skip", "conv", "wide")
SPACE = Space(
    (
        Choice("depth", ("2", "3", "4"), ordered=True),
        *(
            Choice(f"layer/{i}/op", OPS, when=When("depth", tuple(str(d) for d in range(i + 1, 5))) if i > 1 else None)
            for i in range(4)
        ),
    ),
    name="layers",
)


def milliseconds(architecture: Architecture) -> float:
    """An operation costs more further down."""
    each = {"skip": 0.1, "conv": 1.0, "wide": 3.0}
    picks = architecture.picks
    return 2.0 + sum(each[picks[f"layer/{i}/op"][0]] * (1 + 0.2 * i) for i in range(4) if f"layer/{i}/op" in picks)


def sample(count: int, seed: int) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    return [SPACE.sample(rng) for _ in range(count)]


def model(noise: float = 0.0, count: int = 60) -> tuple[Cost, float]:
    rng = np.random.default_rng(5)
    seen = sample(count, 0)
    return learned(SPACE, seen, [milliseconds(a) * (1 + noise * rng.standard_normal()) for a in seen])


def test_what_adds_up_is_learned() -> None:
    cost, foreseen = model()
    unseen = sample(40, 1)
    error = relative([cost(a.picks) for a in unseen], [milliseconds(a) for a in unseen])
    assert error < 0.02
    assert foreseen < 0.03


def test_noise_is_not_learned() -> None:
    cost, foreseen = model(noise=0.1)
    unseen = sample(40, 1)
    error = relative([cost(a.picks) for a in unseen], [milliseconds(a) for a in unseen])
    assert error < 0.08
    assert 0.05 < foreseen < 0.15


def test_other_costs_carry_what_choices_do_to_each_other() -> None:
    pairs = {
        (("layer/0/op", a), ("layer/1/op", b)): float((1 + i) * (1 + j))
        for i, a in enumerate(OPS)
        for j, b in enumerate(OPS)
    }
    macs = Cost("macs", pairs)
    seen, unseen = sample(30, 0), sample(40, 1)
    truth = [3 + 2 * macs(a.picks) for a in unseen]
    errors = []
    for counted in ({}, {"macs": macs}):
        cost, _ = learned(SPACE, seen, [3 + 2 * macs(a.picks) for a in seen], counted)
        errors.append(relative([cost(a.picks) for a in unseen], truth))
    assert errors[1] < 0.02 < errors[0]


def test_a_limit_on_it_keeps_every_proposal_within() -> None:
    cost, _ = model()
    bounded = Space(SPACE.choices, limits=(Limit(cost, 6.0),), name="layers")
    rng = np.random.default_rng(0)
    drawn = [bounded.sample(rng) for _ in range(50)]
    assert all(cost(a.picks) <= 6.0 + 1e-9 for a in drawn)
    assert any(cost(a.picks) > 6.0 for a in sample(50, 0))


def test_it_is_plain_json_and_an_estimator(tmp_path: Path) -> None:
    cost, error = model()
    saved = LatencyModel("layers", cost, {"threads": 1, "error": error})
    saved.save(tmp_path / "latency.json")
    loaded = LatencyModel.load(tmp_path / "latency.json")
    assert (saved.space, dict(saved.cost.terms), saved.cost.base) == (
        loaded.space,
        dict(loaded.cost.terms),
        loaded.cost.base,
    )
    (architecture,) = sample(1, 3)
    judge = PredictedLatency(SPACE, loaded)
    assert {"latency_ms": cost(architecture.picks)} == judge(Proposal(architecture), Context(seed=0)).metrics
    assert frozenset() == judge.measured


def test_one_of_another_space_is_refused() -> None:
    cost, _ = model()
    other = Space((Choice("a", ("x", "y")),), name="other")
    with pytest.raises(ValueError, match="is of the space 'layers', not of 'other'"):
        PredictedLatency(other, LatencyModel("layers", cost))
    with pytest.raises(ValueError, match="with these choices"):
        PredictedLatency(Space(SPACE.choices[:2], name="layers"), LatencyModel("layers", cost))


@pytest.mark.parametrize("text", ["", "[]", '{"kind": "other"}', json.dumps({"kind": "latency-model", "version": 1})])
def test_a_file_that_is_none_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "latency.json").write_text(text)
    with pytest.raises(MorphogenError, match="is no latency model"):
        LatencyModel.load(tmp_path / "latency.json")
    with pytest.raises(MorphogenError, match="cannot be read: No such file"):
        LatencyModel.load(tmp_path / "nowhere.json")


def test_too_few_measurements_are_refused() -> None:
    with pytest.raises(ValueError, match="eight or more"):
        learned(SPACE, sample(3, 0), [1.0, 2.0, 3.0])
