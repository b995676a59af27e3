import math
from dataclasses import replace

import pytest

from morphogen.objective import judge
from morphogen.report.record import Row, RunRecord
from morphogen.trial import Outcome, Proposal, Trial
from report.invented import ACCURACY, cells, record


def told(i: int, phase: str, accuracy: float, seconds: float = 1.0) -> Trial:
    return judge(Trial(i, phase, Proposal(None)), Outcome({"accuracy": accuracy}, seconds=seconds), [ACCURACY])


def test_arms_hold_losses_and_seconds_in_the_order_told() -> None:
    made = record()
    arm = made.random_arm
    assert arm is not None
    assert [t.loss for t in made.phases["random"]] == list(arm.losses)
    assert made.retrained_random == arm.retrained
    assert 30 == len(made.search_arm.losses)


def test_an_earlier_phase_of_the_search_counts_its_seconds_only() -> None:
    phases = {"supernet": [told(0, "supernet", 0.99, 50.0)], "search": [told(1, "search", 0.9)]}
    made = RunRecord("run", cells(), phases, (ACCURACY,), search=("supernet", "search"))
    assert (math.inf, -0.9) == made.search_arm.losses
    assert (50.0, 1.0) == made.search_arm.seconds
    assert made.best == phases["search"][0]


def test_a_trial_over_a_limit_is_no_best_so_far_and_one_not_told_is_left_out() -> None:
    phases = {
        "search": [
            replace(told(0, "search", 0.99), violation=0.5),
            told(1, "search", 0.9),
            Trial(2, "search", Proposal(None)),
        ]
    }
    made = RunRecord("run", cells(), phases, (ACCURACY,))
    assert (math.inf, -0.9) == made.search_arm.losses
    assert 2 == len(made.trials)
    assert made.random_arm is None


def test_the_winner_is_the_best_of_the_search_unless_it_is_named() -> None:
    made = record()
    assert made.best is not None
    assert made.best.architecture == made.architecture
    other = made.phases["random"][0].architecture
    assert other == replace(made, winner=other).architecture


def test_the_verdict_is_the_same_each_time() -> None:
    assert record().verdict == record().verdict
    assert record().verdict.retrained


def test_a_row_has_mean_and_spread_over_the_seeds_that_worked() -> None:
    row = Row("x", (0.98, math.nan, 0.99))
    assert row.accuracy == pytest.approx(0.985)
    assert row.spread == pytest.approx(0.00707, rel=1e-2)
    assert (None, None) == (Row("x").accuracy, Row("x", (0.9,)).spread)


def test_a_record_needs_its_search_and_an_objective() -> None:
    with pytest.raises(ValueError, match="has no phase 'evolve' for the search; it has search, random"):
        record(search=("evolve",))
    with pytest.raises(ValueError, match="needs the objectives"):
        record(objectives=())
