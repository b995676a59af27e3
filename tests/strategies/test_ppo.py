import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from morphogen.estimators.toy import ToyTable
from morphogen.protocols import Strategy
from morphogen.space import Choice, Space
from morphogen.strategies.ppo import Ppo, clipped_objective
from morphogen.strategies.random_search import RandomSearch
from morphogen.strategies.reinforce import reinforce_loss
from morphogen.testing.strategy import StrategySuite, run
from morphogen.trial import Outcome, Proposal, Trial

VECTORS = json.loads((Path(__file__).parents[1] / "assets" / "rl_vectors.json").read_text())
SPACE = Space((Choice("a", ("0", "1", "2")), Choice("b", ("0", "1"))))


class TestPpo(StrategySuite):
    trials = 24

    def make(self, space: Space) -> Strategy:
        return Ppo(space, hidden=8, minibatch=8)


@pytest.mark.parametrize("case", VECTORS["ppo_clip"], ids=lambda c: f"{c['ratio']} {c['advantage']}")
def test_the_clipped_objective_and_its_derivative_are_the_recorded_ones(case: dict[str, float]) -> None:
    ratio = torch.tensor([case["ratio"]], dtype=torch.float64, requires_grad=True)
    objective = clipped_objective(ratio, torch.tensor([case["advantage"]], dtype=torch.float64), case["eps"])
    objective.sum().backward()  # type: ignore[no-untyped-call]
    assert ratio.grad is not None
    assert case["objective"] == pytest.approx(objective.item(), rel=1e-12)
    assert case["d_objective_d_logp"] == pytest.approx((ratio * ratio.grad).item(), rel=1e-12)


def test_at_ratio_one_the_gradient_is_that_of_reinforce() -> None:
    strategy = Ppo(SPACE, hidden=8)
    controller = strategy.policy.controller.double()
    sequences = strategy.policy.sequences([told(n, 0.5) for n in range(6)])
    advantage = torch.linspace(-1, 1, 6, dtype=torch.float64)
    gradients = []
    for form in ("ppo", "reinforce"):
        controller.zero_grad()
        log_p = controller(sequences).log_probability
        ratio = (log_p - log_p.detach()).exp()
        loss = -clipped_objective(ratio, advantage, 0.2).mean() if form == "ppo" else reinforce_loss(log_p, advantage)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients.append(torch.cat([p.grad.flatten() for p in controller.parameters() if p.grad is not None]))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-10, atol=1e-14)


def test_the_ratio_is_taken_to_the_log_probability_at_the_time_of_asking() -> None:
    # a ratio far above 1 + clip with a positive advantage gives no gradient: only the entropy term moves the weights
    moved = []
    for old in (-30.0, None):
        strategy = Ppo(SPACE, hidden=8, minibatch=2, passes=1, entropy=0.0)
        before = strategy.policy.controller.softmax.bias.detach().clone()
        for n, accuracy in enumerate((0.5, 0.9)):
            note = {} if old is None else {"log_probability": old}
            strategy.tell(told(n, accuracy, note), np.random.default_rng(0))
        moved.append(not torch.equal(before, strategy.policy.controller.softmax.bias))
    assert moved == [False, True]


def test_the_entropy_term_alone_makes_the_policy_more_uniform() -> None:
    strategy = Ppo(SPACE, hidden=8, bound=1.0, minibatch=4, passes=20, learning_rate=0.01, entropy=1.0)
    trials = [told(n, 0.5) for n in range(4)]
    before = strategy.policy.controller(strategy.policy.sequences(trials)).entropy.mean().item()
    for trial in trials:
        strategy.tell(trial, np.random.default_rng(0))
    after = strategy.policy.controller(strategy.policy.sequences(trials)).entropy.mean().item()
    assert before < after <= np.log(6) + 1e-6


def test_what_the_controller_would_never_have_proposed_leaves_its_weights_numbers() -> None:
    strategy = Ppo(SPACE, hidden=8, minibatch=2)
    for n, accuracy in enumerate((0.9, 0.1)):
        strategy.tell(told(n, accuracy, {"log_probability": -1000.0}), np.random.default_rng(0))
    assert all(torch.isfinite(p).all() for p in strategy.policy.controller.parameters())


def test_weights_move_once_a_minibatch_is_told() -> None:
    strategy = Ppo(SPACE, hidden=8, minibatch=3)
    weights = [strategy.policy.controller.softmax.bias.detach().clone()]
    for n in range(6):
        strategy.tell(told(n, n / 6), np.random.default_rng(0))
        weights.append(strategy.policy.controller.softmax.bias.detach().clone())
    changed = [not torch.equal(a, b) for a, b in itertools.pairwise(weights)]
    assert changed == [False, False, True, False, False, True]


def test_a_minibatch_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"minibatch=0, passes=3, clip=0\.2: at least 1, 1 and above 0"):
        Ppo(SPACE, minibatch=0)


def test_the_last_children_are_better_than_random_ones() -> None:
    table = ToyTable()
    learned, drawn = (mean_and_error(s) for s in (Ppo(table.space), RandomSearch(table.space)))
    assert learned[0] - drawn[0] > 2 * np.hypot(learned[1], drawn[1])


def mean_and_error(strategy: Strategy) -> tuple[float, float]:
    """Mean accuracy over the last fifth of 500 architectures of the published configuration, and its standard error."""
    rewards = [-t.loss for t in run(strategy, ToyTable(), 500).told[-100:] if not t.failed]
    return float(np.mean(rewards)), float(np.std(rewards, ddof=1) / len(rewards) ** 0.5)


def told(id: int, accuracy: float, note: dict[str, float] | None = None) -> Trial:
    architecture = SPACE.architecture({"a": str(id % 3), "b": str(id % 2)})
    return Trial(id, "search", Proposal(architecture, origin=note or {}), Outcome({"accuracy": accuracy}), (-accuracy,))
