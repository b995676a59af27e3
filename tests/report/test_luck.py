import math
from itertools import product

import numpy as np
import pytest

from morphogen.report.luck import band, best_so_far, draw_best


def test_best_so_far_never_rises_and_skips_failures() -> None:
    assert [math.inf, 3.0, 3.0, 1.0, 1.0] == best_so_far([math.inf, 3.0, 4.0, 1.0, 2.0])
    assert [] == best_so_far([])


def test_the_band_is_the_exact_bootstrap_of_the_best() -> None:
    losses = [3.0, 1.0, 2.0, 4.0]
    for t, quantile in product((1, 2, 3), (0.05, 0.3, 0.6, 0.95)):
        every = sorted(min(drawn) for drawn in product(losses, repeat=t))
        assert every[int(quantile * len(every))] == band(losses, quantile)[t - 1]


def test_the_band_is_infinite_where_that_many_searches_only_failed() -> None:
    assert math.inf == band([math.inf, 1.0], 0.9)[0]
    assert 1.0 == band([math.inf, 1.0], 0.1)[0]


def test_draws_spread_about_as_much_as_the_best_of_new_searches() -> None:
    rng = np.random.default_rng(0)
    fresh = rng.normal(size=(4000, 30)).min(axis=1)
    width = np.subtract(*np.quantile(fresh, [0.9, 0.1]))
    drawn = [np.quantile(draw_best(list(rng.normal(size=30)), 400, rng), [0.9, 0.1]) for _ in range(80)]
    assert 0.9 < np.mean([high - low for high, low in drawn]) / width < 1.6


def test_draws_repeat_with_the_same_generator_and_equal_losses_have_no_luck() -> None:
    losses = [0.3, 0.1, math.inf, 0.2]
    assert (
        draw_best(losses, 5, np.random.default_rng(1)).tolist()
        == draw_best(losses, 5, np.random.default_rng(1)).tolist()
    )
    assert {0.5} == set(draw_best([0.5] * 6, 100, np.random.default_rng(1)).tolist())


def test_one_trial_shows_no_luck() -> None:
    with pytest.raises(ValueError, match="two trials that worked"):
        draw_best([0.5, math.inf], 10, np.random.default_rng(0))
