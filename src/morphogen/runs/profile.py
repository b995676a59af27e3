"""What networks cost, before anything is trained: parameters, multiply-adds, activations, memory.

Everything is counted on shapes alone, on the meta device; see `nn.complexity` and `nn.footprint` for what counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import nn

from morphogen import config as configuration
from morphogen.estimators.complexity import suited_skeleton
from morphogen.nn import complexity as counting
from morphogen.nn.footprint import footprint
from morphogen.nn.network import network
from morphogen.protocols import MorphogenError
from morphogen.report.units import count, duration
from morphogen.runs.assembly import assemble
from morphogen.runs.forecast import explain as explain_forecast
from morphogen.runs.forecast import forecast
from morphogen.runs.judging import trained_by
from morphogen.runs.latencies import measure
from morphogen.runs.named import Named, Sizes, named, resized
from morphogen.runs.stopwatch import Prices, Stopwatch
from morphogen.space import Architecture, Space
from morphogen.spaces import space as find_space

__all__ = ["QUANTILES", "Measured", "command", "explain", "of_named", "of_network", "of_space", "spread"]

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


def command(
    *,
    config: Path | None,
    architecture: str | None,
    space: str | None,
    data: str | None,
    skeleton: str | None,
    sizes: Sizes,
    batch_size: int,
    sample: int,
    seed: int,
    layers: bool,
    console: Console,
    measured: Measured | None = None,
) -> dict[str, Any]:
    """What `morphogen profile` finds out: of an architecture, of a space, or of a run, whichever is named.

    Raises:
        ValueError: Nothing is named, or what does not go together.
        MorphogenError: Something cannot be counted, or a training that was to be measured failed.
    """
    if batch_size < 1 or sample < 1:
        raise ValueError(f"--batch-size {batch_size} --sample {sample}: both are 1 or more")
    if measured is not None and (space is None or architecture is not None):
        raise ValueError(
            "--measure learns the latency of the architectures of a space: name --space, and no architecture"
        )
    if config is None and architecture is None and space is None:
        raise ValueError("profile needs something to look at: RUN.TOML, --architecture or --space")
    if config is not None:
        if architecture is not None or space is not None or data is not None:
            raise ValueError("a configuration says what is searched and on what data: give it alone")
        return _of_run(config, batch_size, sample, seed, console)
    if architecture is not None:
        if data is not None:
            raise ValueError("--data is for a space: seconds an epoch of an architecture are not measured")
        place = None if space is None else find_space(space)
        return of_named(named(architecture, place, sizes, skeleton), batch_size, layers=layers)
    assert space is not None
    return _of_space(
        space,
        data=data,
        skeleton=skeleton,
        sizes=sizes,
        batch_size=batch_size,
        sample=sample,
        seed=seed,
        console=console,
        measured=measured,
    )


@final
@dataclass(frozen=True)
class Measured:
    """A latency model that is wanted: of how many architectures, where it is written, and how they run."""

    count: int
    to: Path
    batch_size: int = 1
    threads: int = 1
    device: str = "cpu"


def _of_space(
    space: str,
    *,
    data: str | None,
    skeleton: str | None,
    sizes: Sizes,
    batch_size: int,
    sample: int,
    seed: int,
    console: Console,
    measured: Measured | None = None,
) -> dict[str, Any]:
    """As a run would build its networks, and with its seconds an epoch, where there is data."""
    found = find_space(space)
    parts, training, around = None, None, suited_skeleton(found, skeleton)
    if data is not None:
        parts = assemble(configuration.parse({"space": space, "data": data, "strategy": "random-search"}, "profile"))
        assert parts.skeletons is not None
        judge = trained_by(parts.judges.search)
        assert judge is not None
        around = parts.skeletons.get(skeleton or "search")
        if around is None:
            around = suited_skeleton(found, skeleton, judge.data.image, judge.data.classes)
        training = replace(judge, skeleton=resized(around, sizes))
    around = resized(around, sizes)
    image = training.data.image if training is not None else getattr(around, "image", None)
    if image is None:
        raise ValueError(f"the networks of space '{space}' say no image size: name --data")
    if measured is not None:
        how: dict[str, Any] = {
            "batch_size": measured.batch_size,
            "threads": measured.threads,
            "device": measured.device,
        }
        watch = _watched(console, "measuring")
        model = measure(found, around, image, measured.count, seed=seed, watch=watch, **how)
        model.save(measured.to)
        return {"space": space, "latency_model": str(measured.to), **model.measured}
    profiled = of_space(found, around, image, batch_size=batch_size, count=sample, seed=seed, watch=_watched(console))
    if parts is not None and training is not None:
        executor = parts.executor()
        try:
            profiled["seconds_an_epoch"] = Prices.of(found, training, Stopwatch(executor, parts.device, seed)).rows
        finally:
            executor.close()
    return profiled


def _of_run(path: Path, batch_size: int, sample: int, seed: int, console: Console) -> dict[str, Any]:
    config = configuration.parse(configuration.load(path), str(path))
    parts = assemble(config)
    found = {"run": str(path), **forecast(config, parts)}
    assert parts.data is not None
    assert parts.skeletons is not None
    search, image = parts.skeletons["search"], parts.data.image
    networks = of_space(
        parts.space, search, image, batch_size=batch_size, count=sample, seed=seed, watch=_watched(console)
    )
    return {**networks, **found}


def _watched(console: Console, what: str = "counting") -> Callable[[Iterable[Architecture]], Iterable[Architecture]]:
    return lambda rows: track(list(rows), what, console=console, transient=True)


def spread(values: Iterable[float | None]) -> dict[str, float] | None:
    """Quantiles by name, `q05` the one that a twentieth is below; None where a value is missing."""
    given = list(values)
    known = [v for v in given if v is not None]
    if len(known) < len(given) or not known:
        return None
    return {f"q{round(100 * q):02d}": float(np.quantile(known, q)) for q in QUANTILES}


def explain(found: Mapping[str, Any]) -> str:
    """For a person."""
    lines = []
    if "latency_model" in found:
        return (
            f"{found['count']} architectures of {found['space']}: {found['least_ms']:.1f} to {found['most_ms']:.1f} ms, "
            f"batch {found['batch_size']}, {found['threads']} threads, {found['device']}\n"
            f"mean error on architectures that were left out {found['error']:.1%}; "
            f"two measurements of the same one differ by {found['repeat_error']:.1%}\n"
            f'written to {found["latency_model"]}: latency_model = "{found["latency_model"]}" in a configuration, '
            "with latency_ms among its limits or objectives"
        )
    if "architectures" in found:
        lines.append(f"space {found['space']}: {float(found['architectures']):.4g} architectures")
        lines.append(f"{'over ' + str(found['sample']) + ' of them':<28}{'least':>10}{'median':>10}{'most':>10}")
        for name, text in MEASURES.items():
            if (values := found.get(name)) is not None:
                cells = (_number(name, values[q]) for q in ("q00", "q50", "q100"))
                lines.append(f"{text:<28}" + "".join(f"{cell:>10}" for cell in cells))
    else:
        lines.append(f"{found['architecture']}")
        known = [(name, text) for name, text in MEASURES.items() if found[name] is not None]
        lines += [f"{text:<28}{_number(name, found[name]):>10}" for name, text in known]
    if "run" in found:
        lines.append(explain_forecast(found))
    else:
        lines += [
            f"{count(r['macs'])} multiply-adds: {duration(r['seconds'])} an epoch"
            for r in found.get("seconds_an_epoch", ())
        ]
    image = "x".join(map(str, found["image"]))
    lines.append(f"images {image}; memory for a batch of {found['batch_size']}, without what the process itself takes")
    for row in found.get("layers", ()):
        output = "x".join(map(str, row["output"]))
        lines.append(f"{row['name']:<52}{row['kind']:<16}{output:>14}{row['params']:>10}{row['macs']:>12}")
    return "\n".join(lines)


MEASURES = {
    "params": "parameters",
    "params_auxiliary": "  of the auxiliary head",
    "macs": "multiply-adds",
    "activations": "activations",
    "peak_memory_mb": "memory of an evaluation",
    "peak_memory_training_mb": "memory of a training step",
}


def _number(name: str, value: float) -> str:
    return f"{value:,.0f} MB" if name.endswith("_mb") else count(value)


def _on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return build()


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
