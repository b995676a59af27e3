"""Every strategy on every table with every seed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

from morphogen.bench.jobs import replays
from morphogen.bench.predicting import predictions
from morphogen.bench.replaying import Job, Known, Replay, known, strategy_for
from morphogen.bench.results import RANDOM, Bench, OnTable
from morphogen.bench.settings import Settings
from morphogen.catalog import kebab

__all__ = ["bench", "every_strategy"]


def every_strategy() -> list[str]:
    """The strategies that need only a space, and what goes around others with a default for them."""
    from morphogen import strategies

    found = []
    for name in strategies.__all__:
        parameters = list(inspect.signature(getattr(strategies, name)).parameters.values())
        required = [p.name for p in parameters if p.default is inspect.Parameter.empty]
        if required == ["space"]:
            found.append(kebab(name))
    return sorted(found)


def bench(
    settings: Settings, *, jobs: int = 1, folder: Path | None = None, resume: bool = False,
    progress: Callable[[int, int], None] = lambda done, all: None,
) -> Bench:  # fmt: skip
    """Run it. The result is a function of the settings, whatever the number of processes.

    Args:
        settings: What is run.
        jobs: Processes that run at a time.
        folder: Where each run is kept.
        resume: Take what `folder` keeps from an earlier call, instead of running it again.
        progress: Called with the runs done and their number.

    Raises:
        ValueError: A table or a strategy cannot be.
        MorphogenError: A table's file is missing or malformed.
    """
    wanted: dict[str, tuple[list[str], dict[str, str]]] = {}
    for name in settings.tables:
        wanted[name] = _served(known(name), settings)
    todo = [
        Job(name, s, settings.first_seed + i, settings.budget, settings.slots, settings.workers or settings.slots, settings.seconds,
            settings.options.get(s, {}), settings.repeats)
        for name, (strategies, _) in wanted.items()
        for i in range(settings.seeds)
        for s in strategies
    ]  # fmt: skip
    done: dict[tuple[str, str, int], Replay] = {}
    for job, result in replays(todo, jobs, folder, resume):
        done[job.table, job.strategy, job.seed] = result
        progress(len(done), len(todo))
    seeds = range(settings.first_seed, settings.first_seed + settings.seeds)
    tables = [
        OnTable(
            name,
            known(name),
            settings.budget,
            {s: [done[name, s, seed] for seed in seeds] for s in strategies},
            refused,
            predictions(known(name), settings.predictors) if settings.predictors else {},
        )
        for name, (strategies, refused) in wanted.items()
    ]
    return Bench(settings, tables)


def _served(table: Known, settings: Settings) -> tuple[list[str], dict[str, str]]:
    """The strategies that go with a table, and why others do not; one that was named must."""
    named = [s for s in settings.strategies if s != "all"]
    names = list(dict.fromkeys([RANDOM, *named, *(every_strategy() if "all" in settings.strategies else [])]))
    served, refused = [], {}
    for name in names:
        try:
            strategy_for(name, settings.options.get(name, {}), table)
            served.append(name)
        except ValueError as error:
            if name in named:
                raise
            refused[name] = str(error)
    return served, refused
