"""Boosted trees, and predictors around predictors."""

from collections.abc import Sequence

import numpy as np
import pytest

from morphogen.predictors import Predictor
from morphogen.predictors.averaged import Averaged
from morphogen.predictors.boosted import Boosted
from morphogen.predictors.calibrated import NORMAL_90, Calibrated, kendall
from morphogen.predictors.forest import Forest
from morphogen.predictors.ranked import Ranked
from morphogen.space import Architecture, Choice, Space

SPACE = Space(tuple(Choice(f"c{i}", ("0", "1", "2", "3")) for i in range(6)))
WEIGHTS = np.array([3.0, -2.0, 1.5, 1.0, 0.5, 0.2])


def drawn(count: int, seed: int, noise: float = 0.0) -> tuple[list[Architecture], np.ndarray]:
    rng = np.random.default_rng(seed)
    some = [SPACE.sample(rng) for _ in range(count)]
    values = np.array([WEIGHTS @ [float(str(a[f"c{i}"])) for i in range(6)] for a in some])
    return some, values + noise * rng.standard_normal(count)


class Overconfident:
    """Knows the truth but for noise, and claims to be far surer than it is."""

    def fit(self, architectures: Sequence[Architecture], values: np.ndarray, rng: np.random.Generator) -> None:
        self.seed = len(values)

    def predict(self, architectures: Sequence[Architecture]) -> tuple[np.ndarray, np.ndarray]:
        truth = np.array([WEIGHTS @ [float(str(a[f"c{i}"])) for i in range(6)] for a in architectures])
        return truth, np.full(len(truth), 0.01)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Boosted(SPACE, members=3, trees=60),
        lambda: Averaged([Boosted(SPACE, members=2, trees=40), Forest(SPACE, trees=20)]),
        lambda: Ranked(lambda: Boosted(SPACE, members=3, trees=60)),
    ],
)
def test_they_rank_what_they_have_not_seen_and_repeat(make) -> None:  # type: ignore[no-untyped-def]
    seen, values = drawn(120, 0)
    unseen, truth = drawn(80, 1)
    one, two = make(), make()
    for predictor in (one, two):
        predictor.fit(seen, values, np.random.default_rng(3))
    mean, deviation = one.predict(unseen)
    assert kendall(mean, truth) > 0.7
    assert (deviation >= 0).all()
    assert np.array_equal(mean, two.predict(unseen)[0])


@pytest.mark.parametrize(
    "make", [lambda: Boosted(SPACE), lambda: Ranked(Overconfident), lambda: Calibrated(Overconfident)]
)
def test_what_was_not_fitted_predicts_nothing(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=r"fitted: call fit\(architectures, values, rng\) first"):
        make().predict(drawn(2, 0)[0])


def test_ranks_ignore_how_far_off_the_worst_are() -> None:
    seen, values = drawn(100, 0)
    far = np.where(values < np.quantile(values, 0.2), values - 1000, values)
    unseen, truth = drawn(80, 1)
    taus = []
    for make in (lambda: Boosted(SPACE, members=3), lambda: Ranked(lambda: Boosted(SPACE, members=3))):
        predictor: Predictor = make()
        predictor.fit(seen, far, np.random.default_rng(0))
        taus.append(kendall(predictor.predict(unseen)[0], truth))
    assert taus[1] > taus[0]


def test_values_come_back_from_ranks() -> None:
    seen, values = drawn(100, 0)
    predictor = Ranked(lambda: Boosted(SPACE, members=3))
    predictor.fit(seen, values, np.random.default_rng(0))
    assert np.abs(predictor.predict(seen)[0] - values).mean() < 0.3 * values.std()


def test_calibrated_intervals_hold_nine_tenths() -> None:
    seen, values = drawn(200, 0, noise=2.0)
    unseen, truth = drawn(400, 1, noise=2.0)
    predictor = Calibrated(Overconfident)
    predictor.fit(seen, values, np.random.default_rng(0))
    mean, deviation = predictor.predict(unseen)
    held = np.mean(np.abs(mean - truth) <= NORMAL_90 * deviation)
    assert 0.85 < held < 0.95
    assert kendall(mean, truth) == pytest.approx(predictor.tau, abs=0.1)


def test_kendall_counts_pairs_in_order() -> None:
    values = np.array([1.0, 2.0, 3.0])
    assert (1.0, -1.0, 0.0) == (kendall(values, values), kendall(values, -values), kendall(values, np.ones(3)))
    assert 1 / 3 == pytest.approx(kendall(values, np.array([1.0, 3.0, 2.0])))


def test_arguments_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="members=1 must be 2 or more"):
        Boosted(SPACE, members=1)
    with pytest.raises(ValueError, match="folds=1"):
        Calibrated(Overconfident, folds=1)
    with pytest.raises(ValueError, match="got none"):
        Averaged([])
    with pytest.raises(ValueError, match="3 values cannot be cross-validated in 5 folds"):
        Calibrated(Overconfident).fit(drawn(3, 0)[0], np.zeros(3), np.random.default_rng(0))
