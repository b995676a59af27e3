from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import spearmanr

from morphogen.estimators.toy import ToyTable, toy_space
from morphogen.predictors import Forest, GaussianProcess, MlpEnsemble, OneHot, Predictor, WeisfeilerLehman
from morphogen.space import Choice, Space

MAKERS: list[Callable[[Space], Predictor]] = [GaussianProcess, MlpEnsemble, Forest]


@pytest.mark.parametrize("make", MAKERS)
def test_it_ranks_architectures_that_it_was_not_shown(make: Callable[[Space], Predictor]) -> None:
    table, rng = ToyTable(), np.random.default_rng(0)
    architectures = list({table.space.sample(rng) for _ in range(160)})
    architectures.sort(key=lambda a: a.code)
    values = np.array([table.accuracy(a) for a in architectures])
    order = rng.permutation(len(values))
    shown, hidden = order[:100], order[100:]
    predictor = make(table.space)
    predictor.fit([architectures[i] for i in shown], values[shown], rng)
    mean, deviation = predictor.predict([architectures[i] for i in hidden])
    assert (len(hidden),) == mean.shape == deviation.shape
    assert (deviation >= 0).all()
    assert spearmanr(mean, values[hidden]).statistic > 0.7


@pytest.mark.parametrize("make", MAKERS)
def test_fitting_is_a_function_of_its_arguments(make: Callable[[Space], Predictor]) -> None:
    space, rng = toy_space(), np.random.default_rng(1)
    architectures = [space.sample(rng) for _ in range(20)]
    first, second = make(space), make(space)
    second.fit(architectures[:9], rng.random(9), rng)  # leaves no trace
    values = rng.random(20)
    for predictor in (first, second):
        predictor.fit(architectures, values, np.random.default_rng(3))
    for a, b in zip(first.predict(architectures), second.predict(architectures), strict=True):
        assert a.tolist() == b.tolist()


@pytest.mark.parametrize("make", MAKERS)
def test_equal_values_and_two_architectures_are_enough(make: Callable[[Space], Predictor]) -> None:
    space, rng = toy_space(), np.random.default_rng(2)
    predictor = make(space)
    predictor.fit([space.sample(rng), space.sample(rng)], np.array([2.0, 2.0]), rng)
    mean, _ = predictor.predict([space.sample(rng)])
    assert np.isfinite(mean).all()


@pytest.mark.parametrize("make", MAKERS)
def test_predicting_before_fitting_says_what_to_do(make: Callable[[Space], Predictor]) -> None:
    space = toy_space()
    with pytest.raises(ValueError, match="call fit"):
        make(space).predict([space.sample(np.random.default_rng(0))])


def test_the_gaussian_process_interpolates_and_is_surer_near_what_it_was_shown() -> None:
    space, rng = toy_space(), np.random.default_rng(3)
    architectures = [space.sample(rng) for _ in range(40)]
    values = np.array([ToyTable().accuracy(a) for a in architectures])
    process = GaussianProcess(space)
    process.fit(architectures[:30], values[:30], rng)
    mean, near = process.predict(architectures[:30])
    _, far = process.predict(architectures[30:])
    assert np.abs(mean - values[:30]).max() < 0.2 * values.std()
    assert near.mean() < far.mean()


def test_the_gradient_of_the_networks_is_that_of_finite_differences() -> None:
    rng = np.random.default_rng(4)
    space = Space((Choice("a", ("x", "y")),))
    ensemble = MlpEnsemble(space, members=2, layers=2, units=4, steps=1)
    ensemble.fit([space.architecture({"a": o}) for o in "xy"], np.array([0.0, 1.0]), rng)
    x, y, weight = rng.standard_normal((6, 2)), rng.standard_normal(6), rng.random(6)

    def loss() -> float:
        return float((weight * np.abs(ensemble._forward(x)[-1][:, :, 0] - y)).sum())

    for i, gradient in enumerate(ensemble._gradient(x, y, weight)):
        at = tuple(int(rng.integers(n)) for n in gradient.shape)
        kept = ensemble._weights[i][at]
        values = []
        for step in (1e-6, -1e-6):
            ensemble._weights[i][at] = kept + step
            values.append(loss())
        ensemble._weights[i][at] = kept
        assert (values[0] - values[1]) / 2e-6 == pytest.approx(gradient[at], abs=1e-4)


def test_any_encoding_serves_the_networks_and_the_trees() -> None:
    space = Space(tuple(Choice(f"{v}<-{u}", ("none", "conv", "pool")) for v in range(1, 4) for u in range(v)))
    rng = np.random.default_rng(5)
    architectures = [space.sample(rng) for _ in range(12)]
    for encoding in (OneHot(space), WeisfeilerLehman(space)):
        for predictor in (MlpEnsemble(space, encoding, steps=5), Forest(space, encoding, trees=5)):
            predictor.fit(architectures, np.arange(12.0), rng)
            assert 12 == len(predictor.predict(architectures)[0])


def test_too_few_members_or_trees_are_refused() -> None:
    with pytest.raises(ValueError, match="members=1"):
        MlpEnsemble(toy_space(), members=1)
    with pytest.raises(ValueError, match="trees=1"):
        Forest(toy_space(), trees=1)
