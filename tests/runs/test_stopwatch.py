"""What trainings take: the arithmetic, on trainings whose time is known."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import Future

import numpy as np
import pytest

from morphogen.estimators import Training
from morphogen.protocols import Context, Estimator, MorphogenError
from morphogen.runs import stopwatch as module
from morphogen.runs.stopwatch import Line, Prices, Stopwatch
from morphogen.spaces import space
from morphogen.spaces.skeleton import Skeleton
from morphogen.training.data import Data
from morphogen.training.recipe import Recipe
from morphogen.trial import Outcome, Proposal


class Simulated:
    """A place where a trial takes 3 s and 0.01 s an image and epoch; the very first one, 100 s more."""

    workers = 1

    def __init__(self, error: str | None = None) -> None:
        self.now, self.error = 100.0, error

    def submit(self, estimator: Estimator, proposal: Proposal, context: Context) -> Future[Outcome]:
        assert isinstance(estimator, Training)
        epochs = proposal.fidelity["epochs"]
        self.now += (100 if self.now == 100 else 0) + 3 + 0.01 * epochs * len(estimator.data.train)
        future: Future[Outcome] = Future()
        future.set_result(Outcome({"accuracy": 1.0}, error=self.error))
        return future

    def wait(self, futures: Collection[Future[Outcome]], timeout: float | None = None) -> set[Future[Outcome]]:
        return set(futures)

    def close(self) -> None: ...


def training() -> Training:
    images = np.random.default_rng(0).integers(0, 256, (500, 8, 8), dtype=np.uint8)
    data = Data.from_arrays(images, np.arange(500) % 2, x_valid=images[:9], y_valid=np.arange(9) % 2)
    return Training(space("darts"), data, Recipe(epochs=1, batch_size=8), Skeleton(channels=2, cells=3))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Simulated:
    place = Simulated()
    monkeypatch.setattr(module.time, "monotonic", lambda: place.now)
    return place


def test_an_epoch_of_all_images_and_the_overhead_of_a_trial_are_told_apart(clock: Simulated) -> None:
    judge = training()
    proposal = Proposal(judge.space.sample(np.random.default_rng(0)))
    timed = Stopwatch(clock)(judge, proposal)
    assert 0.01 * len(judge.data.train) == pytest.approx(timed.epoch)
    assert pytest.approx(3.0) == timed.overhead


def test_prices_follow_from_a_few_architectures(clock: Simulated) -> None:
    judge = training()
    prices = Prices.of(judge.space, judge, Stopwatch(clock))
    assert 3 == len(prices.rows)
    assert sorted(row["macs"] for row in prices.rows) == [row["macs"] for row in prices.rows]
    assert 3 + 2 * 0.01 * len(judge.data.train) == pytest.approx(prices(1e6, 2))


def test_a_training_that_fails_is_told() -> None:
    judge = training()
    with pytest.raises(MorphogenError, match="no luck"):
        Stopwatch(Simulated("no luck\nand more"))(judge, Proposal(judge.space.sample(np.random.default_rng(0))))


def test_a_line_neither_falls_nor_begins_below_zero() -> None:
    assert pytest.approx(7.0) == Line.through([1.0, 2.0, 3.0], [3.0, 4.0, 5.0])(5.0)
    assert Line(4.0, 0.0) == Line.through([1.0, 2.0], [5.0, 3.0])
    assert 0.0 == Line.through([10.0, 20.0], [1.0, 3.0])(0.0)
    assert Line(2.0, 0.0) == Line.through([1.0], [2.0])
