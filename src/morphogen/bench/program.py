"""Every strategy on every table with every seed, on the cores there are."""

from __future__ import annotations

import hashlib
import inspect
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np

from morphogen.bench import measures
from morphogen.bench.measures import Band, Significance
from morphogen.bench.predicting import predictions
from morphogen.bench.replaying import Job, Known, Replay, known, replay, strategy_for
from morphogen.catalog import kebab
from morphogen.predictors.validation import RankCorrelation
from morphogen.training.files import write_whole

__all__ = ["RANDOM", "Bench", "Settings", "bench", "every_strategy"]

RANDOM = "random-search"
"""What everything is compared with; it is always run."""
CHECKPOINTS = (20, 50, 100, 150, 300)
PLACES = 101
"""Of the curves over simulated time."""


@final
@dataclass(frozen=True)
class Settings:
    """What is run.

    Args:
        tables: Names, or TOML files.
        strategies: Names; `all`: every one that the table can serve.
        budget: Queries.
        seeds: How many runs of each.
        slots: Virtual workers of the logical clock.
        workers: Simulated ones; None: as many as slots.
        seconds: Simulated seconds after which nothing counts.
        first_seed: The seeds count from here.
        options: Of strategies: name -> option -> value.
        repeats: Whether strategies may propose an architecture again, as those of the papers do.
        predictors: On how many architectures of each table predictors are cross-validated; 0: not at all.
    """

    tables: Sequence[str]
    strategies: Sequence[str] = ("all",)
    budget: int = 200
    seeds: int = 20
    slots: int = 1
    workers: int | None = None
    seconds: float | None = None
    first_seed: int = 0
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    repeats: bool = False
    predictors: int = 0

    def __post_init__(self) -> None:
        if self.predictors < 0 or 0 < self.predictors < 10:
            raise ValueError(f"predictors={self.predictors}: cross-validation needs 10 architectures or more")
        for name in ("budget", "seeds", "slots"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: at least one is needed")
        if not self.tables or not self.strategies:
            raise ValueError("name a table and a strategy at least")
        if len(set(self.tables)) != len(self.tables):
            raise ValueError(f"a table is named twice: {', '.join(self.tables)}")


@final
@dataclass(frozen=True)
class OnTable:
    """The runs of all strategies on one table.

    Args:
        name: What a person called it.
        table: It.
        budget: Queries.
        replays: Strategy -> its runs, by seed.
        refused: Strategy -> why it does not go with the table.
        predictors: Predictor -> its cross-validated rank correlation, the best first; empty where not wanted.
    """

    name: str
    table: Known
    budget: int
    replays: Mapping[str, Sequence[Replay]]
    refused: Mapping[str, str]
    predictors: Mapping[str, RankCorrelation] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name without folder and ending, where it is a file."""
        return Path(self.name).stem if self.name.endswith(".toml") else self.name

    @property
    def metric(self) -> str:
        """The first objective."""
        return self.table.objectives[0].metric

    @property
    def span(self) -> float:
        """The regret of the worst."""
        return abs(self.table.optimum - self.table.worst)

    @cached_property
    def bands(self) -> Mapping[str, Band]:
        """Regret after each query."""
        return {s: measures.band(measures.by_queries(rs, self.budget, self.span)) for s, rs in self.replays.items()}

    @cached_property
    def seconds(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The places of `bands_over_time`: up to where random search is at its end, on average."""
        ends = [r.clock[-1] for r in self.replays[RANDOM] if r.clock]
        return np.linspace(0.0, float(np.mean(ends)) if ends else 1.0, PLACES)

    @cached_property
    def bands_over_time(self) -> Mapping[str, Band]:
        """Regret at simulated seconds."""
        return {s: measures.band(measures.by_seconds(rs, self.seconds, self.span)) for s, rs in self.replays.items()}

    @cached_property
    def significance(self) -> Mapping[str, Mapping[str, Significance]]:
        """Against random search: by the regret at the `end`, and by the mean regret over all queries of a run (`anytime`)."""
        regrets = {s: measures.by_queries(rs, self.budget, self.span) for s, rs in self.replays.items()}
        return {
            "end": measures.significance({s: r[:, -1].tolist() for s, r in regrets.items()}, RANDOM),
            "anytime": measures.significance({s: r.mean(axis=1).tolist() for s, r in regrets.items()}, RANDOM),
        }

    @property
    def checkpoints(self) -> list[int]:
        """The numbers of queries that tables show."""
        return sorted({*(c for c in CHECKPOINTS if c < self.budget), self.budget})

    @cached_property
    def ranks(self) -> Mapping[str, float]:
        """By mean regret at the end."""
        return measures.ranks({s: float(b.mean[-1]) for s, b in self.bands.items()})

    def row(self, strategy: str) -> dict[str, Any]:
        """The measures of one strategy, as plain JSON."""
        replays, band = self.replays[strategy], self.bands[strategy]
        random = self.bands[RANDOM]
        reported = [r.reported for r in replays if r.reported is not None]
        return {
            "strategy": strategy,
            "seeds": len(replays),
            "regret": {str(q): band.at(q - 1) for q in self.checkpoints},
            "relative": {
                str(q): float(band.mean[q - 1] / random.mean[q - 1]) if random.mean[q - 1] > 0 else None
                for q in self.checkpoints
            },
            "queries": measures.queries(replays, self.budget),
            "rank": self.ranks[strategy],
            "against_random": None
            if strategy == RANDOM
            else {k: asdict(v[strategy]) for k, v in self.significance.items()},
            "simulated_seconds": float(np.mean([r.clock[-1] if r.clock else 0.0 for r in replays])),
            "utilization": float(np.mean([r.utilization for r in replays])),
            "failed": sum(r.failed for r in replays),
            "ask_ms": 1000 * float(np.mean([r.asking for r in replays])),
            "reported": {"mean": float(np.mean(reported)), "sd": float(np.std(reported))} if reported else None,
        }

    @property
    def json(self) -> dict[str, Any]:
        """Plain JSON: rows, and the curves."""
        return {
            "table": self.name,
            "metric": self.metric,
            "optimum": self.table.optimum,
            "worst": self.table.worst,
            "report": getattr(self.table, "report", None),
            "rows": [self.row(s) for s in self.replays],
            "refused": dict(self.refused),
            "predictors": {name: asdict(found) for name, found in self.predictors.items()},
            "curves": {s: b.json for s, b in self.bands.items()},
            "curves_over_time": {
                "seconds": self.seconds.tolist(),
                **{s: b.json for s, b in self.bands_over_time.items()},
            },
        }


@final
@dataclass(frozen=True)
class Bench:
    """What a benchmark gave."""

    settings: Settings
    tables: Sequence[OnTable]

    @property
    def mean_ranks(self) -> dict[str, float]:
        """Over the tables, of the strategies that every table serves, the best first."""
        names = [s for s in self.tables[0].replays if all(s in t.replays for t in self.tables)]
        # ranks among those only: a strategy that one table refuses would shift the others
        each = [measures.ranks({s: float(t.bands[s].mean[-1]) for s in names}) for t in self.tables]
        means = {s: float(np.mean([ranks[s] for ranks in each])) for s in names}
        return dict(sorted(means.items(), key=lambda item: item[1]))

    @property
    def relative(self) -> dict[str, float | None]:
        """The regret at the end over that of random search, averaged over the tables; None where random has none left."""
        found: dict[str, float | None] = {}
        for name in self.mean_ranks:
            ratios = [
                t.bands[name].mean[-1] / t.bands[RANDOM].mean[-1] for t in self.tables if t.bands[RANDOM].mean[-1] > 0
            ]
            found[name] = float(np.mean(ratios)) if ratios else None
        return found

    @property
    def json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "settings": {
                **asdict(self.settings),
                "tables": list(self.settings.tables),
                "strategies": list(self.settings.strategies),
            },
            "tables": [t.json for t in self.tables],
            "mean_ranks": self.mean_ranks,
            "relative": self.relative,
        }


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
    for job, result in _results(todo, jobs, folder, resume):
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


def _results(todo: Sequence[Job], jobs: int, folder: Path | None, resume: bool) -> Iterator[tuple[Job, Replay]]:
    """Each job with its result, as they come."""
    left = []
    for job in todo:
        kept = _read(_file(folder, job)) if resume and folder is not None else None
        if kept is None:
            left.append(job)
        else:
            yield job, kept
    if jobs == 1 or len(left) < 2:
        for job in left:
            yield job, _keep(folder, job, replay(job))
        return
    with _one_thread_each(), ProcessPoolExecutor(min(jobs, len(left)), multiprocessing.get_context("spawn")) as pool:
        futures: dict[Future[Replay], Job] = {pool.submit(replay, job): job for job in left}
        try:
            for future in as_completed(futures):
                yield futures[future], _keep(folder, futures[future], future.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """New processes compute with one thread: there are as many as cores, and sums depend on the number of threads."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _file(folder: Path | None, job: Job) -> Path:
    assert folder is not None
    key = hashlib.blake2b(json.dumps(asdict(job), sort_keys=True).encode(), digest_size=8).hexdigest()
    return folder / "runs" / f"{job.strategy}-{job.seed}-{key}.json"


def _keep(folder: Path | None, job: Job, result: Replay) -> Replay:
    if folder is not None:
        file = _file(folder, job)
        file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"job": asdict(job), "result": result.json})
        write_whole(file, lambda out: out.write(text.encode()))
    return result


def _read(file: Path) -> Replay | None:
    try:
        return Replay(**json.loads(file.read_text(encoding="utf-8"))["result"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not there, or torn: it is run again
