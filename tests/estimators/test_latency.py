"""Measured latency: what is measured, and what is put back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from morphogen.estimators import Latency
from morphogen.estimators.energy import Meter
from morphogen.estimators.latency import Timing, time_network
from morphogen.estimators.runtimes import OnnxRuntime
from morphogen.nn.mixed import MixedOp
from morphogen.protocols import Context
from morphogen.space import Choice, Space
from morphogen.spaces.skeleton import Skeleton
from morphogen.testing import EstimatorSuite
from morphogen.trial import Proposal


class Network(nn.Module):
    """One convolution, which counts the batches that it sees."""

    def __init__(self, space: Space, skeleton: Skeleton) -> None:
        super().__init__()
        self.conv = MixedOp(space["kernel"], lambda k: nn.Conv2d(skeleton.image[0], 4, int(k), padding=int(k) // 2))
        self.seen: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(tuple(x.shape))
        assert not self.training
        return self.conv(x).mean((2, 3))  # type: ignore[no-any-return]


SPACE = Space((Choice("kernel", ("1", "3")),), network=Network, name="tiny")


class TestLatency(EstimatorSuite):
    def make(self) -> Latency:
        return Latency(SPACE, repeats=3, warmup=1)

    def proposal(self) -> Proposal:
        return Proposal(SPACE.architecture({"kernel": "3"}))


def test_the_median_and_the_spread_of_the_repetitions() -> None:
    timing = Timing((1.0, 2.0, 3.0, 4.0, 100.0), 0.0)
    assert (3.0, 2.0) == (timing.median, timing.interquartile_range)


def test_the_metrics_are_those_that_are_measured() -> None:
    judge = Latency(SPACE, image=(2, 6, 5), repeats=4)
    outcome = judge(Proposal(SPACE.architecture({"kernel": "3"})), Context(seed=0))
    assert {"latency_ms", "latency_iqr_ms", "peak_memory_mb"} == set(outcome.metrics)
    assert set(outcome.metrics) < judge.measured
    assert outcome.metrics["latency_ms"] > 0
    assert outcome.seconds > 0


def test_network_and_threads_are_as_they_were() -> None:
    space = SPACE.fix(SPACE.architecture({"kernel": "1"}))
    network, threads = Network(space, Skeleton(image=(2, 6, 5))).train(), torch.get_num_threads()
    timing = time_network(network, (2, 6, 5), batch_size=3, threads=2, repeats=4, warmup=2)
    # once for memory, twice to warm up
    assert [(3, 2, 6, 5)] * 7 == network.seen
    assert 4 == len(timing.milliseconds)
    assert network.training
    assert threads == torch.get_num_threads()
    # weights, images, and the output of the convolution at least
    assert timing.peak_memory_mb >= 4 * (2 * 4 + 4 + 3 * 2 * 30 + 3 * 4 * 30) / 2**20


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="an architecture is needed"):
        Latency(SPACE)(Proposal(None), Context(seed=0))
    with pytest.raises(ValueError, match="repeats=1"):
        time_network(nn.Identity(), (1, 2, 2), repeats=1)


def test_onnxruntime_runs_the_same_network_on_the_same_threads() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()).eval()
    images = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    run = OnnxRuntime().prepare(network, images, threads=1)
    (found,) = run()  # type: ignore[misc]  # what onnxruntime gives
    assert torch.allclose(network(images), torch.from_numpy(found), atol=1e-5)
    timing = time_network(network, (3, 6, 6), repeats=3, runtime=OnnxRuntime())
    assert timing.median > 0


def test_energy_is_told_where_the_machine_tells_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    (zone / "energy_uj").write_text("5")
    monkeypatch.setattr("morphogen.estimators.energy.Meter.find", lambda: Meter((zone,)))
    outcome = Latency(SPACE, repeats=3, warmup=1)(Proposal(SPACE.architecture({"kernel": "3"})), Context(seed=0))
    assert 0.0 == outcome.metrics["energy_mj"]
