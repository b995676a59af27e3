"""Several estimators as one."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from morphogen.estimators import Combined
from morphogen.objective import MeasuredLimit
from morphogen.protocols import Context
from morphogen.space import Choice, Space
from morphogen.testing import EstimatorSuite
from morphogen.trial import Outcome, Proposal

SPACE = Space((Choice("a", ("1", "2")),))
PROPOSAL = Proposal(SPACE.architecture({"a": "1"}))


@dataclass(frozen=True)
class Fixed:
    """Gives what it was told to give, and counts how often it was asked."""

    outcome: Outcome
    price: float = 1.0
    measured: frozenset[str] = frozenset()
    asked: list[Proposal] = field(default_factory=list, compare=False)

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        self.asked.append(proposal)
        return self.outcome

    def cost(self, proposal: Proposal) -> float:
        return self.price


CHEAP = Fixed(Outcome({"latency_ms": 3.0, "params": 10.0}, seconds=0.5), 1.0, frozenset({"latency_ms"}))
DEAR = Fixed(Outcome({"accuracy": 0.9, "params": 11.0}, {"accuracy": [(1.0, 0.9)]}, seconds=60.0), 30.0)


class TestCombined(EstimatorSuite):
    def make(self) -> Combined:
        return Combined(CHEAP, DEAR)

    def proposal(self) -> Proposal:
        return PROPOSAL


def test_metrics_and_curves_are_put_together_and_seconds_and_costs_add_up() -> None:
    both = Combined(CHEAP, DEAR)
    metrics = {"latency_ms": 3.0, "params": 11.0, "accuracy": 0.9}
    assert Outcome(metrics, {"accuracy": [(1.0, 0.9)]}, seconds=60.5) == both(PROPOSAL, Context(seed=0))
    assert 31.0 == both.cost(PROPOSAL)
    assert frozenset({"latency_ms"}) == both.measured


def test_what_a_cheap_metric_rules_out_is_never_trained() -> None:
    dear = Fixed(DEAR.outcome)
    limits = [MeasuredLimit("params", 100.0), MeasuredLimit("latency_ms", 2.0)]
    outcome = Combined(CHEAP, dear, limits=limits)(PROPOSAL, Context(seed=0))
    assert [] == dear.asked
    assert "ruled out before the rest: latency_ms is 3, and may be 2 at most" == outcome.error
    assert (CHEAP.outcome.metrics, 0.5) == (outcome.metrics, outcome.seconds)


def test_what_is_over_a_limit_only_in_the_end_is_no_failure() -> None:
    outcome = Combined(CHEAP, DEAR, limits=[MeasuredLimit("accuracy", 0.1)])(PROPOSAL, Context(seed=0))
    assert outcome.error is None


def test_a_failure_ends_it() -> None:
    dear = Fixed(DEAR.outcome)
    outcome = Combined(Fixed(Outcome(error="no", seconds=2.0)), dear)(PROPOSAL, Context(seed=0))
    assert ("no", 2.0, []) == (outcome.error, outcome.seconds, dear.asked)


def test_nothing_cannot_be_put_together() -> None:
    with pytest.raises(ValueError, match="got none"):
        Combined()
