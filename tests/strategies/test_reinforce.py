import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from morphogen.estimators.toy import ToyTable
from morphogen.nn.controller import Controller
from morphogen.nn.decisions import Decisions
from morphogen.protocols import Strategy
from morphogen.space import Architecture, Choice, Space
from morphogen.strategies.baseline import BestOfLast
from morphogen.strategies.random_search import RandomSearch
from morphogen.strategies.reinforce import Reinforce, reinforce_loss
from morphogen.testing.strategy import StrategySuite, run
from morphogen.trial import Outcome, Proposal, Trial

VECTORS = json.loads((Path(__file__).parents[1] / "assets" / "rl_vectors.json").read_text())
TWO_TOKENS = Space((Choice("a", ("0", "1", "2")), Choice("b", ("0", "1"))))


class TestReinforce(StrategySuite):
    trials = 24

    def make(self, space: Space) -> Strategy:
        return Reinforce(space, hidden=8, layers=1, children=4, replicas=2)


class TestReinforceThatGrows(StrategySuite):
    trials = 24

    def make(self, space: Space) -> Strategy:
        growth = [space.restrict({"depth": (d,)}) for d in ("3", "4", "5")]
        return Reinforce(space, hidden=8, layers=1, children=3, growth=growth, every=6)


def two_token_controller() -> Controller:
    """A controller whose logits are those of the recorded example: its softmax weights are zero, its biases theta."""
    controller = Controller(TWO_TOKENS, 4, 1, 0.1, torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        controller.softmax.weight.zero_()
        theta = VECTORS["reinforce_toy"]["theta"]
        controller.softmax.bias.copy_(torch.tensor([0.0, *theta[0], *theta[1]], dtype=torch.float64))
    return controller


def pair(i: int, j: int) -> Architecture:
    return TWO_TOKENS.architecture({"a": str(i), "b": str(j)})


def bias_gradient(actions: Sequence[Sequence[int]], advantages: Sequence[float]) -> list[float]:
    controller, decisions = two_token_controller(), Decisions(TWO_TOKENS)
    likelihood = controller(controller.sequences([(decisions, pair(i, j)) for i, j in actions]))
    reinforce_loss(likelihood.log_probability, torch.tensor(advantages, dtype=torch.float64)).backward()  # type: ignore[no-untyped-call]
    assert controller.softmax.bias.grad is not None
    return controller.softmax.bias.grad[1:].tolist()


@pytest.mark.parametrize("baseline", [0.0, 0.7, VECTORS["reinforce_toy"]["J"]])
def test_the_expected_gradient_is_the_exact_one_with_any_baseline(baseline: float) -> None:
    toy = VECTORS["reinforce_toy"]
    expected = np.zeros(5)
    for i, row in enumerate(toy["rewards"]):
        for j, reward in enumerate(row):
            probability = toy["probs"][0][i] * toy["probs"][1][j]
            expected -= probability * np.array(bias_gradient([(i, j)], [reward - baseline]))
    np.testing.assert_allclose([*toy["grad_exact"][0], *toy["grad_exact"][1]], expected, rtol=1e-9)


@pytest.mark.parametrize("case", VECTORS["reinforce_single_sample"], ids=lambda c: str(c["action"]))
def test_the_gradient_of_one_sample_is_the_recorded_one(case: dict[str, list[float]]) -> None:
    gradient = bias_gradient([case["action"]], [case["reward"] - case["baseline"]])  # type: ignore
    np.testing.assert_allclose(case["grad_of_loss"], gradient, rtol=1e-9, atol=1e-15)


def test_the_gradient_of_a_minibatch_is_the_recorded_mean() -> None:
    batch, rewards = VECTORS["reinforce_batch"], VECTORS["reinforce_toy"]["rewards"]
    gradient = bias_gradient(batch["actions"], [rewards[i][j] - batch["baseline"] for i, j in batch["actions"]])
    np.testing.assert_allclose(batch["ascent_gradient_mean"], [-g for g in gradient], rtol=1e-9)


def test_eight_children_of_one_replica_give_the_mean_of_eight_single_gradients() -> None:
    space = ToyTable().space
    controller = Controller(space, 35, 2, 0.5, torch.Generator().manual_seed(1)).double()
    decisions = Decisions(space)
    children = [space.sample(np.random.default_rng(i)) for i in range(8)]
    advantages = torch.linspace(-1, 1, 8, dtype=torch.float64)

    def gradient(which: slice) -> torch.Tensor:
        controller.zero_grad()
        likelihood = controller(controller.sequences([(decisions, a) for a in children[which]]))
        reinforce_loss(likelihood.log_probability, advantages[which]).backward()  # type: ignore[no-untyped-call]
        return torch.cat([p.grad.flatten() for p in controller.parameters() if p.grad is not None])

    singles = torch.stack([gradient(slice(i, i + 1)) for i in range(8)])
    torch.testing.assert_close(singles.mean(0), gradient(slice(0, 8)), rtol=1e-9, atol=1e-12)


def test_weights_move_when_a_replica_has_its_children_and_not_before() -> None:
    strategy = Reinforce(TWO_TOKENS, children=2, replicas=2)
    first = strategy.policy.controller.softmax.bias.detach().clone()
    asked: list[Trial] = []
    for id in range(4):
        proposal = strategy.ask(asked, np.random.default_rng(id))
        assert proposal is not None
        asked.append(replace(told(id, {"accuracy": id / 4}), proposal=proposal))
    assert [(t.proposal.origin["replica"], t.proposal.origin["batch"]) for t in asked] == [
        (0, 0),
        (0, 0),
        (1, 0),
        (1, 0),
    ]
    moved = []
    for id in (2, 0, 3, 1):  # replica 1 is complete first
        strategy.tell(asked[id], np.random.default_rng(0))
        moved.append(not torch.equal(first, strategy.policy.controller.softmax.bias))
        first = strategy.policy.controller.softmax.bias.detach().clone()
    assert moved == [False, False, True, True]


def test_the_space_grows_with_the_children_that_were_asked() -> None:
    space = ToyTable().space
    growth = [space.restrict({"depth": (d,)}) for d in ("3", "4", "5")]
    strategy = Reinforce(space, hidden=4, layers=1, growth=growth, every=10)
    trials = run(strategy, ToyTable(), 40).trials
    depths = [t.proposal.architecture["depth"] for t in trials if t.proposal.architecture is not None]
    assert depths == ["3"] * 10 + ["4"] * 10 + ["5"] * 20


def test_growth_that_is_not_nested_is_refused() -> None:
    with pytest.raises(ValueError, match="growth\\[0\\] is not nested in the space: choice 'c' has the options x"):
        Reinforce(TWO_TOKENS, growth=(Space((Choice("c", ("x",)),)),))


def test_an_architecture_of_somebody_else_is_learned_from_too() -> None:
    strategy = Reinforce(TWO_TOKENS, children=1)
    strategy.tell(told(0, {"accuracy": 0.5}), np.random.default_rng(0))
    before = strategy.policy.controller.softmax.bias.detach().clone()
    strategy.tell(told(1, {"accuracy": 0.9}), np.random.default_rng(0))
    assert not torch.equal(before, strategy.policy.controller.softmax.bias)


def test_the_last_children_are_better_than_random_ones() -> None:
    table = ToyTable()
    learned, drawn = (mean_and_error(s) for s in (Reinforce(table.space), RandomSearch(table.space)))
    assert learned[0] - drawn[0] > 2 * np.hypot(learned[1], drawn[1])


def mean_and_error(strategy: Strategy) -> tuple[float, float]:
    """Mean reward over the last fifth of 800 children of the published configuration, and its standard error."""
    rewards = [BestOfLast()(t) for t in run(strategy, ToyTable(), 800).told[-160:] if not t.failed]
    return float(np.mean(rewards)), float(np.std(rewards, ddof=1) / len(rewards) ** 0.5)


def told(id: int, metrics: dict[str, float], curve: Sequence[float] = ()) -> Trial:
    curves = {"accuracy": [(float(n), value) for n, value in enumerate(curve)]} if curve else {}
    return Trial(id, "search", Proposal(pair(id % 3, id % 2)), Outcome(metrics, curves), (-metrics["accuracy"],))
