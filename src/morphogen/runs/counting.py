"""What networks cost, before anything is trained: parameters, multiply-adds, activations, memory.

Everything is counted on shapes alone, on the meta device; see `nn.complexity` and `nn.footprint` for what counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

from morphogen.nn import complexity as counting
from morphogen.nn.footprint import footprint
from morphogen.nn.network import network
from morphogen.protocols import MorphogenError
from morphogen.runs.named import Named
from morphogen.space import Architecture, Space

__all__ = ["QUANTILES", "of_named", "of_network", "of_space", "spread"]

Image = tuple[int, int, int]
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
SAMPLE = 100


def of_network(built: nn.Module, image: Image, batch_size: int = 64) -> dict[str, Any]:
    """What one network costs, as plain JSON.

    `params` leaves out the auxiliary head, which is `params_auxiliary`; `macs` and `activations` are for one image;
    `peak_memory_mb` is that of an evaluation and `peak_memory_training_mb` that of a training step, both of
    `batch_size` images.

    Args:
        built: Stand-alone, on any device.
        image: Channels, height, width.
        batch_size: That memory is for.
    """
    size, memory = counting.complexity(built, image), footprint(built, image, batch_size)
    return {
        "params": size.params,
        "params_auxiliary": size.params_auxiliary,
        "macs": size.macs,
        "activations": memory.activations,
        "peak_memory_mb": round(memory.inference_mb, 3),
        "peak_memory_training_mb": None if memory.training_mb is None else round(memory.training_mb, 3),
        "batch_size": batch_size,
    }


def of_named(which: Named, batch_size: int = 64, *, layers: bool = False) -> dict[str, Any]:
    """What a network that a person named costs, as plain JSON.

    Args:
        which: One of `runs.named`.
        batch_size: That memory is for.
        layers: Whether the table of layers is wanted as well, as `layers`.

    Raises:
        MorphogenError: Its forward needs values, not only shapes.
    """
    built = _on_meta(which.build)
    try:
        found = {
            "architecture": which.text,
            **of_network(built, which.image, batch_size),
            "image": list(which.image),
            "classes": which.classes,
        }
        if layers:
            rows = counting.layers(built, which.image)
            found["layers"] = [
                {"name": r.name, "kind": r.kind, "output": list(r.output), "params": r.params, "macs": r.macs}
                for r in rows
            ]
    except RuntimeError as error:
        raise MorphogenError(f"the network cannot be counted on shapes alone: {_line(error)}") from error
    return found


def of_space(
    space: Space,
    skeleton: Any,
    image: Image,
    *,
    batch_size: int = 64,
    count: int = SAMPLE,
    seed: int = 0,
    watch: Callable[[Iterable[Architecture]], Iterable[Architecture]] = lambda rows: rows,
) -> dict[str, Any]:
    """How many architectures a space has, and quantiles of what they cost over a random sample.

    Args:
        space: Which.
        skeleton: The hand-made rest.
        image: Channels, height, width.
        batch_size: That memory is for.
        count: Architectures that are drawn; all of them, each once, where the space has no more.
        seed: Of the draws.
        watch: Sees the sample go by, for progress.

    Raises:
        MorphogenError: A network's forward needs values, not only shapes.
    """
    rng = np.random.default_rng(seed)
    drawn = list(space.enumerate()) if space.size <= count else [space.sample(rng) for _ in range(count)]
    rows = []
    for architecture in watch(drawn):
        built = _on_meta(lambda architecture=architecture: network(space.fix(architecture), skeleton))  # type: ignore[misc]
        try:
            rows.append(of_network(built, image, batch_size))
        except RuntimeError as error:
            raise MorphogenError(f"{architecture.text} cannot be counted on shapes alone: {_line(error)}") from error
    measures = [name for name in rows[0] if name != "batch_size"]
    return {
        "space": space.name,
        "architectures": str(space.size),  # may be more than other readers of JSON have integers for
        "sample": len(rows),
        "seed": seed,
        "image": list(image),
        "batch_size": batch_size,
        **{name: spread([row[name] for row in rows]) for name in measures},
    }


def spread(values: Iterable[float | None]) -> dict[str, float] | None:
    """Quantiles by name, `q05` the one that a twentieth is below; None where a value is missing."""
    given = list(values)
    known = [v for v in given if v is not None]
    if len(known) < len(given) or not known:
        return None
    return {f"q{round(100 * q):02d}": float(np.quantile(known, q)) for q in QUANTILES}


def _on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return build()


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
