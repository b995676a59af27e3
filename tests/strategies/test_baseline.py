import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from morphogen.space import Choice, Space
from morphogen.strategies.baseline import Advantages, BestOfLast, negative_loss
from morphogen.trial import Outcome, Proposal, Trial

VECTORS = json.loads((Path(__file__).parents[1] / "assets" / "rl_vectors.json").read_text())
A = Space((Choice("op", ("a", "b")),)).architecture({"op": "a"})


def test_the_baseline_is_the_average_of_the_rewards_before_and_starts_with_the_first() -> None:
    advantages = Advantages(negative_loss, 0.95)
    for row in VECTORS["ema_baseline"]["previous_only_init_first_0.95"]:
        assert row["advantage"] == pytest.approx(advantages(told(0, {"accuracy": row["reward"]})), abs=1e-12)
        assert row["baseline_after"] == pytest.approx(advantages.average, abs=1e-12)


def test_a_failed_trial_has_the_lowest_reward_so_far_and_before_any_no_advantage() -> None:
    advantages = Advantages(negative_loss, 0.5)
    failed = Trial(0, "search", Proposal(A), Outcome(error="diverged"), (float("inf"),))
    assert advantages(failed) == 0.0
    assert advantages.average is None
    advantages(told(1, {"accuracy": 0.2}))
    advantages(told(2, {"accuracy": 0.6}))
    assert pytest.approx(advantages(failed)) == 0.2 - 0.4


def test_the_reward_is_the_cubed_best_of_the_last_five_epochs() -> None:
    case = VECTORS["reward_transforms"]["zoph_le_cifar"][0]
    curve = [0.99, *case["val_acc_last5"]]
    assert case["reward"] == pytest.approx(BestOfLast()(told(0, {"accuracy": curve[-1]}, curve)), rel=1e-12)
    assert BestOfLast()(told(0, {"accuracy": 0.5})) == 0.5**3


def test_another_objective_is_rewarded_by_its_negative_loss_and_violations_cost() -> None:
    trial = replace(told(0, {"accuracy": 0.5, "params": 7.0}), losses=(7.0,))
    assert BestOfLast()(trial) == -7.0
    assert negative_loss(replace(trial, violation=0.5)) == -7.5


def test_a_reward_can_be_named() -> None:
    advantages = Advantages("morphogen.strategies.baseline:negative_loss", 0.0)
    assert [0.0, pytest.approx(0.4)] == [advantages(told(i, {"accuracy": r})) for i, r in enumerate((0.2, 0.6))]
    with pytest.raises(ValueError, match="baseline:nothing' cannot be imported"):
        Advantages("morphogen.strategies.baseline:nothing", 0.0)


def test_a_decay_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"decay=1\.0: expected a number of \[0, 1\)"):
        Advantages(negative_loss, 1.0)


def told(id: int, metrics: dict[str, float], curve: Sequence[float] = ()) -> Trial:
    curves = {"accuracy": [(float(n), value) for n, value in enumerate(curve)]} if curve else {}
    return Trial(id, "search", Proposal(A), Outcome(metrics, curves), (-metrics["accuracy"],))
