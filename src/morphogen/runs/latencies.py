"""`morphogen profile --space S --measure 100`: a latency model of one's own device, in minutes."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np
import torch

from morphogen.estimators.latency import time_network
from morphogen.estimators.latency_model import LatencyModel, learned, relative
from morphogen.estimators.runtimes import Eager, Runtime
from morphogen.nn.costs import costs_where_additive
from morphogen.nn.network import network
from morphogen.space import Architecture, Space

__all__ = ["ROUNDS", "built_around", "measure", "timed"]

Image = tuple[int, int, int]
ROUNDS = 2
"""Times that each architecture is measured, far apart: what disturbs one measurement is over at the next."""


def measure(
    space: Space,
    skeleton: Any,
    image: Image,
    count: int,
    *,
    batch_size: int = 1,
    threads: int = 1,
    seed: int = 0,
    device: str = "cpu",
    runtime: Runtime | None = None,
    watch: Callable[[Iterable[Architecture]], Iterable[Architecture]] = lambda rows: rows,
) -> LatencyModel:
    """Measure some architectures of a space on this device, and learn what any other will take.

    Args:
        space: Which.
        skeleton: The hand-made rest.
        image: Channels, height, width.
        count: Architectures that are drawn; eight or more.
        batch_size: Images at a time.
        threads: Of a CPU.
        seed: Of the draws.
        device: Where.
        runtime: What runs the networks; by default PyTorch.
        watch: Sees the measurements go by, for progress.

    Raises:
        ValueError: Too few architectures.
    """
    if count < 8:
        raise ValueError(f"--measure {count}: a model is learned from eight architectures or more, better a hundred")
    rng = np.random.default_rng(seed)
    drawn = [space.sample(rng) for _ in range(count)]
    rounds = timed(
        space,
        skeleton,
        image,
        drawn,
        batch_size=batch_size,
        threads=threads,
        device=device,
        runtime=runtime,
        watch=watch,
    )
    latencies = [min(both) for both in zip(*rounds, strict=True)]
    # where they do not add up, options alone have to say it
    counted = costs_where_additive(space, lambda varying: network(varying, skeleton), image)
    cost, error = learned(space, drawn, latencies, counted)
    about = {
        **built_around(skeleton, image),
        "batch_size": batch_size,
        "threads": threads,
        "device": device,
        "runtime": type(runtime if runtime is not None else Eager()).__name__,
        "machine": f"{platform.machine()} {platform.processor() or platform.system()}".strip(),
        "torch": str(torch.__version__),
        "count": count,
        "seed": seed,
        "least_ms": min(latencies),
        "most_ms": max(latencies),
        "error": error,
        "repeat_error": relative(rounds[0], rounds[1]),
    }
    return LatencyModel(space.name, cost, about)


def timed(
    space: Space,
    skeleton: Any,
    image: Image,
    architectures: list[Architecture],
    *,
    batch_size: int = 1,
    threads: int = 1,
    repeats: int = 15,
    device: str = "cpu",
    runtime: Runtime | None = None,
    watch: Callable[[Iterable[Architecture]], Iterable[Architecture]] = lambda rows: rows,
) -> list[list[float]]:
    """Median milliseconds of each, in each of `ROUNDS` rounds."""
    todo = iter(watch(architectures * ROUNDS))
    rounds: list[list[float]] = []
    for _ in range(ROUNDS):
        found = []
        for _ in architectures:
            built = network(space.fix(next(todo)), skeleton)
            timing = time_network(
                built,
                image,
                batch_size=batch_size,
                threads=threads,
                repeats=repeats,
                warmup=3,
                device=device,
                runtime=runtime,
            )
            found.append(timing.median)
        rounds.append(found)
    next(todo, None)  # a progress bar ends where its rows do
    return rounds


def built_around(skeleton: Any, image: Image) -> dict[str, Any]:
    """What a latency depends on beside the architecture, as plain JSON. What only training reads is left out."""
    parts = {}
    if is_dataclass(skeleton) and not isinstance(skeleton, type):
        parts = {k: v for k, v in asdict(skeleton).items() if k not in TRAINING_ONLY}
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in parts.items()}
    return {"image": list(image), "skeleton": plain}


TRAINING_ONLY = ("image", "auxiliary", "drop_path", "drop_path_by_depth", "dropout", "norm_momentum", "affine")
"""Of a skeleton: none of it changes what an evaluation computes, but for the numbers."""
