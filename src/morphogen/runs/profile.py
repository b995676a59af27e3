"""What `morphogen profile` finds out, of an architecture, of a space or of a run, and how a person reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from rich.console import Console
from rich.progress import track

from morphogen import config as configuration
from morphogen.estimators.complexity import suited_skeleton
from morphogen.report.units import count, duration
from morphogen.runs.assembly import assemble
from morphogen.runs.counting import of_named, of_space
from morphogen.runs.forecast import explain as explain_forecast
from morphogen.runs.forecast import forecast
from morphogen.runs.judging import trained_by
from morphogen.runs.latencies import measure
from morphogen.runs.named import Sizes, named, resized
from morphogen.runs.stopwatch import Prices, Stopwatch
from morphogen.space import Architecture
from morphogen.spaces import space as find_space

__all__ = ["Measured", "command", "explain"]


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
