"""Judge an architecture by how long its network takes on this device."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import nn

from morphogen.estimators.complexity import suited_skeleton
from morphogen.estimators.energy import Meter
from morphogen.estimators.runtimes import Eager, Runtime, torch_threads
from morphogen.nn.footprint import MEGABYTE, Live
from morphogen.nn.network import network
from morphogen.protocols import Context
from morphogen.space import Space
from morphogen.training.device import seeded, torch_device
from morphogen.trial import Outcome, Proposal

__all__ = ["Latency", "Timing", "time_network"]

Image = tuple[int, int, int]
"""Channels, height, width."""


@final
@dataclass(frozen=True, slots=True)
class Timing:
    """How long a forward pass took, and the most memory that its tensors had.

    Args:
        milliseconds: Of each repetition, after the warm-up.
        peak_memory_mb: Weights, images and live activations in PyTorch, in 2**20 bytes; on CUDA what the allocator says.
        energy_mj: Of one pass on average, in millijoules, of whatever ran; None where the machine does not tell.
    """

    milliseconds: tuple[float, ...]
    peak_memory_mb: float
    energy_mj: float | None = None

    @property
    def median(self) -> float:
        """Of the milliseconds."""
        return statistics.median(self.milliseconds)

    @property
    def interquartile_range(self) -> float:
        """Of the milliseconds: how far the middle half of the repetitions is spread."""
        low, _, high = statistics.quantiles(self.milliseconds, n=4, method="inclusive")
        return high - low


def time_network(
    network: nn.Module,
    image: Image,
    *,
    batch_size: int = 1,
    threads: int = 1,
    repeats: int = 30,
    warmup: int = 5,
    device: str = "cpu",
    runtime: Runtime | None = None,
) -> Timing:
    """Time forward passes in evaluation mode without gradients, one after another, in `channels_last`.

    Args:
        network: Stand-alone. It is moved to the device and comes back in its training mode; weights stay as they are.
        image: Channels, height, width.
        batch_size: Images at a time.
        threads: Of PyTorch, on a CPU; set back afterwards.
        repeats: How many passes are timed; 2 or more.
        warmup: How many run before, so that caches and kernels are ready.
        device: Where.
        runtime: What runs it; by default PyTorch.

    Raises:
        ValueError: A count that cannot be.
    """
    for name, count, least in (("batch_size", batch_size, 1), ("threads", threads, 1), ("repeats", repeats, 2)):
        if count < least:
            raise ValueError(f"{name}={count}: a latency is measured with {least} or more")
    place = torch_device(device)
    was_training = network.training
    network.to(place, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]  # absent in the stubs
    images = torch.zeros(batch_size, *image, device=place).to(memory_format=torch.channels_last)
    run = (runtime if runtime is not None else Eager()).prepare(network, images, threads)
    meter = Meter.find()
    with torch.inference_mode(), torch_threads(threads):
        memory = _peak_memory(network, images)
        for _ in range(warmup):
            run()
        _wait(place)
        milliseconds = []
        before = meter.read() if meter is not None else ()
        for _ in range(repeats):
            started = time.perf_counter()
            run()
            _wait(place)
            milliseconds.append((time.perf_counter() - started) * 1000)
        energy = meter.millijoules(before, meter.read()) / repeats if meter is not None else None
    network.train(was_training)
    return Timing(tuple(milliseconds), memory, energy)


@final
@dataclass(frozen=True)
class Latency:
    """Measures the stand-alone network with new weights: metrics `latency_ms`, `latency_iqr_ms`, `peak_memory_mb`.

    Where the machine tells it, `energy_mj` is the energy of a pass in millijoules, of whatever ran at the time.

    `latency_ms` is the median of the repetitions, `latency_iqr_ms` their interquartile range: where it is a large
    part of the median, something else ran on the machine. Weights do not matter to the time.

    Args:
        space: Where architectures are from.
        skeleton: The hand-made rest, or the name of a preset of the space; by default the preset `search`.
        image: Channels, height, width; by default the skeleton's.
        batch_size: Images at a time.
        threads: Of PyTorch, on a CPU.
        repeats: How many passes are timed.
        warmup: How many run before.
        runtime: What runs the network; by default PyTorch.

    Raises:
        ValueError: The skeleton says no image size and none is given.
    """

    space: Space
    skeleton: Any = None
    image: Image | None = None
    batch_size: int = 1
    threads: int = 1
    repeats: int = 30
    warmup: int = 5
    runtime: Runtime = field(default_factory=Eager)

    def __post_init__(self) -> None:
        skeleton = suited_skeleton(self.space, self.skeleton)
        image = self.image or getattr(skeleton, "image", None)
        if image is None:
            raise ValueError(f"the skeleton of space '{self.space.name}' says no image size: give image=(C, H, W)")
        skeleton = suited_skeleton(self.space, skeleton, image, getattr(skeleton, "classes", 0))
        object.__setattr__(self, "skeleton", skeleton)
        object.__setattr__(self, "image", tuple(image))

    @property
    def measured(self) -> frozenset[str]:
        return frozenset({"latency_ms", "latency_iqr_ms", "peak_memory_mb", "energy_mj", "seconds"})

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        if proposal.architecture is None:
            raise ValueError("the latency of a whole space was asked for; an architecture is needed")
        assert self.image is not None
        started = time.monotonic()
        with seeded(context.seed, torch_device(context.device)):
            built = network(self.space.fix(proposal.architecture), self.skeleton)
        timing = time_network(
            built,
            self.image,
            batch_size=self.batch_size,
            threads=self.threads,
            repeats=self.repeats,
            warmup=self.warmup,
            device=context.device,
            runtime=self.runtime,
        )
        metrics = {
            "latency_ms": timing.median,
            "latency_iqr_ms": timing.interquartile_range,
            "peak_memory_mb": timing.peak_memory_mb,
        }
        if timing.energy_mj is not None:
            metrics["energy_mj"] = timing.energy_mj
        return Outcome(metrics, seconds=time.monotonic() - started)

    def cost(self, proposal: Proposal) -> float:
        return 1.0


def _peak_memory(network: nn.Module, images: torch.Tensor) -> float:
    if images.is_cuda:
        torch.cuda.reset_peak_memory_stats(images.device)
        network(images)
        _wait(images.device)
        return int(torch.cuda.max_memory_allocated(images.device)) / MEGABYTE
    with Live([*network.parameters(), *network.buffers(), images]) as live:
        network(images)
    peak: int = live.peak
    return peak / MEGABYTE


def _wait(device: torch.device) -> None:
    if device.type == "cuda":  # kernels run behind the caller's back
        torch.cuda.synchronize(device)
