import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from morphogen.report.verdict import Arm, Verdict, compare


def arm(rng: np.random.Generator, *, trials: int = 24, ahead: float = 0.0, finalists: int = 2, seeds: int = 3) -> Arm:
    """A random search over architectures whose accuracies spread by 0.6 points, judged with a noise of 0.3 points."""
    true = 0.95 + ahead + rng.normal(0, 0.006, trials)
    seen = true + rng.normal(0, 0.003, trials)
    retrained = [tuple(true[i] + rng.normal(0, 0.003, seeds)) for i in np.argsort(-seen)[:finalists]]
    return Arm(tuple(-seen), (1.0,) * trials, retrained)


def verdict(search: Arm, random: Arm | None, **options: Any) -> Verdict:
    return compare(search, random, np.random.default_rng(0), **options)


FLAT = Arm((-0.98,) * 10, (1.0,) * 10, ((0.98, 0.98, 0.98),))


@pytest.mark.parametrize("finalists", [2, 0])
def test_two_random_searches_are_called_different_as_rarely_as_the_interval_says(finalists: int) -> None:
    rng, runs = np.random.default_rng(5), 400
    made = [compare(arm(rng, finalists=finalists), arm(rng, finalists=finalists), rng, draws=1000) for _ in range(runs)]
    # nominal is 2.5 %: 10 of 400; 20 or more of 400 have a probability of 0.3 %
    assert sum(v.answer == "better" for v in made) < 20
    assert sum(v.high is not None and v.high < 0 for v in made) < 20
    assert 0.95 <= np.mean([v.low <= 0 <= v.high for v in made if v.low is not None and v.high is not None])


def test_a_large_difference_is_seen_more_often_than_a_small_one() -> None:
    rng = np.random.default_rng(6)
    rates = [
        np.mean([compare(arm(rng, ahead=ahead), arm(rng), rng, draws=1000).answer == "better" for _ in range(60)])
        for ahead in (0.0, 0.012, 0.03)
    ]
    assert rates[0] < 0.1 < rates[1] < rates[2]
    assert rates[2] > 0.85


def test_better_says_so_in_one_sentence() -> None:
    rng = np.random.default_rng(1)
    found = verdict(arm(rng, ahead=0.03), arm(rng))
    assert "better" == found.answer
    assert found.low is not None
    assert found.low > 0
    assert found.sentence.startswith("The search is better than random search at equal budget: +")
    assert found.sentence.count("points (95 % interval +") == 1
    assert (None, None) == (found.seeds_needed, found.trials_needed)


def test_worse_is_not_better() -> None:
    rng = np.random.default_rng(1)
    found = verdict(arm(rng, ahead=-0.03), arm(rng))
    assert "not better" == found.answer
    assert found.sentence.startswith("The search is not better than random search at equal budget: -")


def test_equal_values_are_not_better() -> None:
    found = verdict(FLAT, FLAT)
    assert ("not better", 0.0, 0.0, 0.0) == (found.answer, found.difference, found.low, found.high)


def test_a_difference_that_does_not_matter_is_not_better_and_one_that_might_is_open() -> None:
    search = replace(FLAT, retrained=((0.981, 0.979, 0.980),))
    assert "cannot tell" == verdict(search, search, margin=0.0005).answer
    assert "not better" == verdict(search, search, margin=0.01).answer


def test_more_seeds_are_asked_for_where_the_seeds_are_what_is_uncertain() -> None:
    found = verdict(replace(FLAT, retrained=((0.992, 0.980, 0.984),)), FLAT)
    assert "cannot tell" == found.answer
    assert found.seeds_needed is not None
    assert 3 < found.seeds_needed < 30
    assert f"about {found.seeds_needed} seeds would tell" in found.sentence


def test_the_seeds_asked_for_are_enough_most_of_the_time() -> None:
    rng = np.random.default_rng(2)
    first = verdict(
        replace(FLAT, retrained=(tuple(0.984 + np.array([-0.004, 0.0, 0.004])),)),
        replace(FLAT, retrained=(tuple(0.980 + np.array([-0.004, 0.0, 0.004])),)),
    )
    assert first.seeds_needed is not None
    runs = [
        compare(
            *(replace(FLAT, retrained=(tuple(rng.normal(m, 0.004, first.seeds_needed)),)) for m in (0.984, 0.98)), rng
        )
        for _ in range(60)
    ]
    assert 0.65 < np.mean([v.answer == "better" for v in runs]) < 0.95


def test_more_trials_are_asked_for_where_luck_is_what_is_uncertain() -> None:
    rng = np.random.default_rng(3)
    lucky = [replace(arm(rng), retrained=((0.972 + d, 0.972 + d, 0.97201 + d),)) for d in (0.002, 0.0)]
    found = verdict(lucky[0], lucky[1])
    assert "cannot tell" == found.answer
    assert found.seeds_needed is None
    assert found.trials_needed is not None
    assert found.trials_needed % 24 == 0
    assert "trials in each arm would tell" in found.sentence


def test_one_seed_does_not_show_the_noise_of_training() -> None:
    one = replace(FLAT, retrained=((0.99,),))
    found = verdict(one, replace(FLAT, retrained=((0.98,),)))
    assert ("cannot tell", None, 3) == (found.answer, found.low, found.seeds_needed)
    assert found.difference == pytest.approx(0.01)
    assert "one seed" in found.sentence


def test_one_arm_with_several_seeds_is_enough_to_show_it() -> None:
    assert (
        verdict(replace(FLAT, retrained=((0.99,),)), replace(FLAT, retrained=((0.98, 0.981, 0.979),))).low is not None
    )


def test_without_a_random_arm_it_cannot_tell() -> None:
    for none in (None, Arm((), ())):
        found = verdict(FLAT, none)
        assert ("cannot tell", 10) == (found.answer, found.trials_needed)
        assert "there is no random arm" in found.sentence


def test_an_arm_without_successes() -> None:
    failed = Arm((math.inf,) * 4, (1.0,) * 4)
    assert "no trial of the random arm worked" in verdict(FLAT, failed).sentence
    assert "cannot tell" == verdict(failed, failed).answer
    assert "not better" == verdict(failed, FLAT).answer


def test_failed_trials_and_retrainings_are_named_and_left_out() -> None:
    search = Arm((math.inf, *FLAT.losses), (1.0,) * 11, ((0.98, math.nan, 0.98),))
    found = verdict(search, FLAT)
    assert "not better" == found.answer
    assert ("1 of 11 trials of the search failed", "1 retrainings of the search failed and are left out") == found.notes


def test_one_arm_that_was_not_retrained_cannot_be_compared() -> None:
    found = verdict(FLAT, replace(FLAT, retrained=()))
    assert "cannot tell" == found.answer
    assert "the finalists of the random arm were not retrained" in found.sentence
    assert "every retraining" in verdict(replace(FLAT, retrained=((math.nan,),)), FLAT).sentence


def test_trials_are_compared_as_searched_where_nothing_was_retrained() -> None:
    rng = np.random.default_rng(4)
    found = verdict(arm(rng, ahead=0.05, finalists=0), arm(rng, finalists=0))
    assert ("better", False) == (found.answer, found.retrained)
    assert any("not retrained" in note for note in found.notes)
    assert (
        "one trial of the random arm"
        in verdict(found_arm := replace(FLAT, retrained=()), Arm((-0.9,), (1.0,))).sentence
    )
    assert found_arm.worked == list(FLAT.losses)


def test_better_than_a_random_arm_with_less_budget_is_not_said() -> None:
    rng = np.random.default_rng(1)
    search, random = arm(rng, ahead=0.03), arm(rng)
    found = verdict(search, replace(random, seconds=(0.5,) * 24))
    assert "cannot tell" == found.answer
    assert "but the random arm had 50 % of the search's budget" in found.sentence
    assert "at equal budget" not in found.sentence
    assert "better" == verdict(search, replace(random, seconds=(0.97,) * 24)).answer
    assert (
        "but the search had 50 % of the random arm's budget"
        in verdict(random, replace(search, seconds=(2.0,) * 24)).sentence
    )


def test_other_metrics_are_not_in_points() -> None:
    flat = Arm((2.0,) * 5, (1.0,) * 5)
    found = compare(Arm((1.0,) * 5, (1.0,) * 5), flat, np.random.default_rng(0), metric="latency_ms", margin=0.0)
    assert (
        "The search is better than random search at equal budget: 1 in latency_ms (95 % interval 1 to 1)."
        == found.sentence
    )


def test_the_same_generator_gives_the_same_verdict_and_it_is_json() -> None:
    rng = np.random.default_rng(1)
    search, random = arm(rng), arm(rng)
    assert verdict(search, random) == verdict(search, random)
    assert json.loads(json.dumps(verdict(search, random).json))["answer"] in ("better", "not better", "cannot tell")


def test_an_arm_needs_a_time_for_each_trial() -> None:
    with pytest.raises(ValueError, match="got 2 and 1"):
        Arm((1.0, 2.0), (1.0,))
