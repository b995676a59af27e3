"""How a budget is shared out, and what counts when it was not enough."""

from __future__ import annotations

import pytest

from morphogen.estimators import Tabular
from morphogen.estimators.toy import ToyTable
from morphogen.methods.black_box import RESERVE, Judges, Plan, black_box
from morphogen.methods.phases import RANDOM, RETRAIN, SEARCH, means, retrain
from morphogen.objective import Objective, judge
from morphogen.strategies import RandomSearch
from morphogen.trial import Outcome, Proposal, Trial

ESTIMATOR = Tabular(ToyTable())
SPACE = ESTIMATOR.table.space
ARCHITECTURES = tuple(SPACE.enumerate())[:4]


def trial(id: int, phase: str, accuracy: float, epochs: int = 3, **origin: object) -> Trial:
    curves = {"accuracy": [(float(e), accuracy) for e in range(1, epochs + 1)]}
    asked = Trial(id, phase, Proposal(ARCHITECTURES[id % 4], origin=origin))
    return judge(asked, Outcome({"accuracy": accuracy}, curves), (Objective("accuracy", maximize=True),), ())


@pytest.mark.parametrize("minutes", [1, 3, 7, 60])
@pytest.mark.parametrize("control", [True, False])
def test_every_phase_has_a_share_and_all_end_before_the_budget(minutes: int, control: bool) -> None:
    judges = Judges(ESTIMATOR, final=ESTIMATOR, baselines=ESTIMATOR)
    phases = black_box(RandomSearch, SPACE, judges, Plan(budget=60.0 * minutes, control=control))
    ends = [phase.stop(()).until for phase in phases]
    assert ["search", *["random"] * control, "baselines", "retrain"] == [phase.name for phase in phases]
    shares = [end - start for start, end in zip([0.0, *ends], ends, strict=False)]
    assert ends[-1] == 60 * minutes - min(RESERVE, 20 * minutes)
    assert min(shares[:-2]) >= 0.2 * ends[-1]
    assert shares[-1] >= 0.3 * ends[-1]
    if control:
        assert shares[0] == pytest.approx(shares[1])


def test_the_retraining_ends_by_what_is_known_of_the_rest_when_it_begins() -> None:
    plan = Plan(budget=100.0, trials=None)
    (*_, last) = black_box(RandomSearch, SPACE, Judges(ESTIMATOR, final=ESTIMATOR), plan)
    assert 70.0 == last.stop(()).until
    plan.reserve.measure = lambda: 12.0
    assert 88.0 == last.stop(()).until


def test_where_only_time_ends_a_run_finalists_have_more_seeds() -> None:
    told = [trial(0, SEARCH, 0.7)]
    counts = []
    for plan in (Plan(trials=4), Plan(trials=4, budget=60.0), Plan(trials=None, budget=60.0)):
        (*_, last) = black_box(RandomSearch, SPACE, Judges(ESTIMATOR, final=ESTIMATOR), plan)
        counts.append(len(last.start(told)[0].proposals))
    assert [3, 3, 30] == counts


def test_without_a_budget_nothing_ends_by_the_clock() -> None:
    phases = black_box(RandomSearch, SPACE, Judges(ESTIMATOR, final=ESTIMATOR), Plan())
    assert all(phase.stop(()).until is None for phase in phases)


def test_the_winners_of_both_arms_are_retrained_before_anyone_else() -> None:
    told = [trial(0, SEARCH, 0.7), trial(1, SEARCH, 0.8), trial(2, RANDOM, 0.6), trial(3, RANDOM, 0.9)]
    strategy, _ = retrain(ESTIMATOR, (SEARCH, RANDOM), count=2, seeds=2).start(told)
    asked = [p.origin for p in strategy.proposals]
    assert [1, 3, 0, 2] * 2 == [origin["finalist"] for origin in asked]
    assert [0] * 4 + [1] * 4 == [origin["repeat"] for origin in asked]


def test_a_training_cut_short_counts_only_for_a_finalist_without_a_whole_one() -> None:
    told = [
        trial(4, RETRAIN, 0.8, epochs=3, arm=SEARCH, finalist=0, repeat=0),
        trial(5, RETRAIN, 0.1, epochs=1, arm=SEARCH, finalist=0, repeat=1),
        trial(6, RETRAIN, 0.5, epochs=1, arm=SEARCH, finalist=1, repeat=0),
    ]
    assert [[4], [6]] == [[t.id for t in group] for group in means(told, SEARCH)]
