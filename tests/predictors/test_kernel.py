import numpy as np
import pytest

from morphogen.estimators.toy import toy_space
from morphogen.predictors.kernel import Kernel
from morphogen.predictors.layout import layout
from morphogen.space import Choice, Space

CELL = Space(
    tuple(Choice(f"{v}<-{u}", ("none", "skip_connect", "conv", "pool")) for v in range(1, 4) for u in range(v))
)
MANY = Space((Choice("a", tuple(f"o{i}" for i in range(30))), Choice("b", ("8", "16", "32"), ordered=True)))


@pytest.mark.parametrize("space", [CELL, toy_space(), MANY], ids=["cell", "toy", "many"])
def test_the_gradient_is_that_of_finite_differences(space: Space) -> None:
    rng = np.random.default_rng(0)
    kernel = Kernel(layout(space))
    seen = kernel.seen(kernel.points(layout(space).read([space.sample(rng) for _ in range(8)])))
    theta = kernel.start + 0.1 * rng.standard_normal(kernel.size)
    by = rng.standard_normal((8, 8))
    by += by.T
    _, back = kernel.with_gradient(theta, seen)

    def value(theta: np.ndarray) -> float:
        return float((kernel.with_gradient(theta, seen)[0] * by).sum())

    step = 1e-5 * np.eye(kernel.size)
    numeric = [(value(theta + e) - value(theta - e)) / 2e-5 for e in step]
    np.testing.assert_allclose(numeric, back(by), atol=1e-6)


@pytest.mark.parametrize("space", [CELL, toy_space(), MANY], ids=["cell", "toy", "many"])
def test_it_is_a_covariance(space: Space) -> None:
    rng = np.random.default_rng(1)
    kernel = Kernel(layout(space))
    points = kernel.points(layout(space).read([space.sample(rng) for _ in range(20)]))
    seen = kernel.seen(points)
    covariance = kernel.covariance(kernel.start, seen.scale, points, points)
    np.testing.assert_allclose(covariance, kernel.with_gradient(kernel.start, seen)[0], atol=1e-12)
    np.testing.assert_allclose(np.diag(covariance), kernel.variance(kernel.start, points), atol=1e-12)
    assert np.linalg.eigvalsh(covariance).min() > -1e-9


def test_adjacent_widths_are_more_alike_than_distant_ones() -> None:
    kernel = Kernel(layout(MANY))
    points = kernel.points(layout(MANY).read([MANY.architecture({"a": "o0", "b": w}) for w in ("8", "16", "32")]))
    covariance = kernel.covariance(kernel.start, 1.0, points, points)
    assert covariance[0, 1] > covariance[0, 2]


def test_only_a_whole_kernel_sees_decisions_without_an_effect() -> None:
    dead = dict.fromkeys((c.name for c in CELL), "none")
    pair = [CELL.architecture({**dead, "1<-0": o, "3<-0": "conv"}) for o in ("conv", "pool")]  # node 1 is not read
    for whole in (False, True):
        kernel = Kernel(layout(CELL), whole=whole)
        points = kernel.points(layout(CELL).read(pair))
        covariance = kernel.covariance(kernel.start, 1.0, points, points)
        alike = covariance[0, 1] == pytest.approx(covariance[0, 0], abs=1e-12)
        assert alike != whole
