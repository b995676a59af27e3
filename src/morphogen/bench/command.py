"""`morphogen bench`: from what a person types to the tables, the JSON and the page."""

from __future__ import annotations

import json
import os
import time as clock
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from morphogen import config
from morphogen.bench.program import bench
from morphogen.bench.results import Bench
from morphogen.bench.settings import Settings
from morphogen.bench.show import show
from morphogen.protocols import MorphogenError
from morphogen.report.units import duration
from morphogen.training.files import write_whole

__all__ = ["run"]

EVERY = 5.0
"""Seconds between lines of progress where the output is no terminal."""


def run(
    *, tables: Sequence[str], strategies: Sequence[str], budget: int, seeds: int, slots: int, workers: int | None, time: str | None,
    first_seed: int, jobs: int | None, to: Path | None, resume: bool, options: Sequence[str], console: Console,
    repeats: bool = False, predictors: int = 0,
) -> Bench:  # fmt: skip
    """Run, show, and write what is wanted.

    Raises:
        ValueError: Something that cannot be.
        MorphogenError: A table's file is missing or malformed, or the folder holds something else.
    """
    seconds = None if time is None else config.duration(time)
    if seconds is not None and (not isinstance(seconds, float) or seconds <= 0):
        raise ValueError(f"--time {time}: write a time above 0, such as 12000s or 3h")
    values: dict[str, Any] = {}
    for assignment in options:
        config.assign(values, assignment)
    if wrong := [name for name, given in values.items() if not isinstance(given, dict)]:
        raise ValueError(
            f"--set {wrong[0]}: write STRATEGY.OPTION=VALUE, such as regularized-evolution.population_size=10"
        )
    settings = Settings(
        [t for t in tables if t],
        [s for s in strategies if s],
        budget,
        seeds,
        slots,
        workers,
        seconds,
        first_seed,
        values,
        repeats,
        predictors,
    )
    if resume and to is None:
        raise ValueError("--resume needs the folder of the runs: --to DIR")
    progress = _Progress(console)
    done = bench(settings, jobs=jobs or os.cpu_count() or 1, folder=to, resume=resume, progress=progress)
    progress.close()
    show(done, console)
    if to is not None:
        text = json.dumps(done.json, indent=1, allow_nan=False).encode()
        to.mkdir(parents=True, exist_ok=True)
        write_whole(to / "bench.json", lambda file: file.write(text))
        console.print(f"numbers {to / 'bench.json'}", markup=False, soft_wrap=True)
        try:
            from morphogen.bench.page import write

            console.print(f"page    {write(done, to / 'bench.html')}", markup=False, soft_wrap=True)
        except MorphogenError as error:  # without the packages for it, the numbers are there all the same
            console.print(str(error), markup=False, soft_wrap=True)
    return done


class _Progress:
    """How many runs are done, and the time left."""

    def __init__(self, console: Console) -> None:
        self._console, self._begun, self._last = console, clock.monotonic(), clock.monotonic()
        self._status = console.status("starting") if console.is_terminal else None
        if self._status is not None:
            self._status.start()

    def __call__(self, done: int, every: int) -> None:
        left = (clock.monotonic() - self._begun) / done * (every - done)
        line = f"{done} of {every} runs, about {duration(left)} left"
        if self._status is not None:
            self._status.update(line)
        elif clock.monotonic() - self._last >= EVERY:
            self._last = clock.monotonic()
            self._console.print(line, markup=False)

    def close(self) -> None:
        """Take the line away."""
        if self._status is not None:
            self._status.stop()
