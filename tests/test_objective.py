"""One place turns signs; failures and NaN never win."""

import itertools
import math

import hypothesis.strategies as st
import pytest
from hypothesis import given

from morphogen.objective import MeasuredLimit, Objective, best, dominates, judge, objective, pareto_front
from morphogen.trial import Outcome, Proposal, Trial
from small_spaces import SMALL

LOSSES = st.lists(st.tuples(*[st.sampled_from([0.0, 0.5, 1.0, 2.0, math.inf])] * 2), max_size=12)


def told(id: int, losses: tuple[float, ...], violation: float = 0.0, error: str | None = None) -> Trial:
    return Trial(id, "search", Proposal(None), Outcome(error=error), losses, violation)


def test_a_maximized_metric_is_a_negative_loss_and_comes_back() -> None:
    accuracy = Objective("accuracy", maximize=True)
    assert -0.9 == accuracy.loss(Outcome({"accuracy": 0.9}))
    assert 0.9 == accuracy.metric_value(-0.9)
    assert 5.0 == Objective("params").loss(Outcome({"params": 5.0}))
    assert 5.0 == Objective("params").metric_value(5.0)


@pytest.mark.parametrize("maximize", [False, True])
def test_failures_and_nan_are_infinitely_bad_in_both_directions(maximize: bool) -> None:
    objective = Objective("m", maximize)
    assert math.inf == objective.loss(Outcome({"m": 1.0}, error="out of memory"))
    assert math.inf == objective.loss(Outcome({"m": math.nan}))


def test_a_metric_that_is_not_given_is_named_with_those_that_are() -> None:
    with pytest.raises(KeyError, match="the estimator gives no metric 'acuracy'; it gives accuracy, params"):
        Objective("acuracy").loss(Outcome({"accuracy": 1.0, "params": 2.0}))
    with pytest.raises(KeyError, match="it gives none"):
        Objective("accuracy").loss(Outcome())


def test_the_excess_over_a_limit_is_relative_to_it() -> None:
    limit = MeasuredLimit("latency_ms", 20.0)
    assert [0.0, 0.0, 0.5, math.inf] == [limit.excess(Outcome({"latency_ms": v})) for v in (5.0, 20.0, 30.0, math.inf)]
    assert 0.5 == MeasuredLimit("x", -2.0).excess(Outcome({"x": -1.0}))
    assert MeasuredLimit("x", 0.0).excess(Outcome({"x": 1.0})) > 1e6
    assert 0.0 == MeasuredLimit("x", math.inf).excess(Outcome({"x": math.inf}))
    assert 0.0 == limit.excess(Outcome({"accuracy": 1.0}))  # not measured in this phase


def test_the_excess_of_a_failure_or_of_nan_is_infinite() -> None:
    limit = MeasuredLimit("latency_ms", 20.0)
    assert math.inf == limit.excess(Outcome({"latency_ms": 5.0}, error="diverged"))
    assert math.inf == limit.excess(Outcome({"latency_ms": math.nan}))


def test_judging_fills_in_losses_and_the_total_violation() -> None:
    outcome = Outcome({"accuracy": 0.9, "latency_ms": 30.0, "memory_mb": 300.0})
    objectives = (Objective("accuracy", maximize=True), Objective("latency_ms"))
    limits = (MeasuredLimit("latency_ms", 20.0), MeasuredLimit("memory_mb", 200.0))
    trial = judge(Trial(3, "search", Proposal(None)), outcome, objectives, limits)
    assert (3, (-0.9, 30.0), 1.0, outcome) == (trial.id, trial.losses, trial.violation, trial.outcome)


def test_the_best_keeps_the_limits_then_has_the_least_loss_then_came_first() -> None:
    trials = [
        told(0, (0.1,), violation=0.2),
        told(1, (0.5,)),
        told(2, (0.3,)),
        told(3, (0.3,)),
        told(4, (0.0,), error="no"),
    ]
    for order in itertools.permutations(trials):
        found = best(order)
        assert found is not None
        assert 2 == found.id
    assert 0 == best(trials[:1]).id  # type: ignore[union-attr]
    assert best([]) is None
    assert best([trials[4], Trial(5, "search", Proposal(None))]) is None


@given(LOSSES)
@SMALL
def test_the_front_is_what_nothing_dominates(losses: list[tuple[float, float]]) -> None:
    trials = [told(i, x) for i, x in enumerate(losses)]
    front = pareto_front(reversed(trials))
    expected = {x for x in losses if not any(dominates(y, x) for y in losses)}
    assert sorted(expected) == [t.losses for t in front]
    assert [losses.index(t.losses) for t in front] == [t.id for t in front]  # the earliest of equals


def test_the_front_has_neither_failures_nor_what_is_over_a_limit() -> None:
    assert [1] == [
        t.id for t in pareto_front([told(0, (0.0,), violation=0.1), told(1, (1.0,)), told(2, (0.0,), error="no")])
    ]
    assert [] == pareto_front([Trial(0, "search", Proposal(None))])


def test_vectors_of_two_lengths_are_not_compared() -> None:
    with pytest.raises(ValueError, match="zip"):
        dominates((1.0,), (1.0, 2.0))


@pytest.mark.parametrize(
    ("text", "maximize"), [("accuracy", True), ("mae", False), ("max:iou", True), ("min:accuracy", False)]
)
def test_the_direction_of_a_name_is_known_or_said(text: str, maximize: bool) -> None:
    found = objective(text)
    assert Objective(text.rpartition(":")[2], maximize) == found
    assert (2.0 if maximize else -2.0) == found.gain(2.0)
    assert -math.inf == found.gain(math.nan)
