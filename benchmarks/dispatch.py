"""Trials that do nothing, through the whole loop and a record on disk: how many a second an executor dispatches.

    python benchmarks/dispatch.py processes|ray|inline [--runs 5] [--trials 500] [--workers 2] [--slots 16] [--seconds LIMIT]

Prints of each run the trials a second when all workers are up, the driver's CPU for each, and beside them the commits a
second that the same disk takes, which bound what a run can record, and how many tasks Ray gets through without morphogen.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from morphogen.estimators.toy import toy_space
from morphogen.executors import Inline, Processes, Ray
from morphogen.objective import Objective
from morphogen.protocols import Context, Event, Executor, Phase, Resources, Stop
from morphogen.store import open as open_store
from morphogen.strategies import RandomSearch
from morphogen.study import Study
from morphogen.trial import Outcome, Proposal

WARM = 200
"""Trials before those that count."""
EACH = 6
"""Trials of a second for each worker, before: until all have started."""


@dataclass(frozen=True)
class Nothing:
    sleeps: float = 0.0
    measured: frozenset[str] = frozenset()

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        if self.sleeps:  # to sleep for no time gives the core away
            time.sleep(self.sleeps)
        return Outcome({"accuracy": 0.5}, seconds=1e-6)

    def cost(self, proposal: Proposal) -> float:
        return 1.0


def commits(folder: Path, count: int = 200) -> float:
    """Durable commits of two small events, a second."""
    body = {"text": "x" * 300}
    with closing(open_store(folder / "commits.sqlite")) as store:
        began = time.perf_counter()
        for id in range(count):
            store.append([Event("asked", id, body), Event("finished", id, body)])
    return count / (time.perf_counter() - began)


def alone(count: int, ahead: int) -> float:
    """Tasks a second that do nothing, in the cluster that is there, so many of them under way."""
    import ray

    task, live = ray.remote(max_retries=0)(_nothing).options(num_cpus=1), list[Any]()
    began = time.perf_counter()
    for _ in range(count):
        live.append(task.remote(b"x" * 1000))
        if len(live) == ahead:
            done, live = ray.wait(live)
            ray.get(done)
    ray.get(live)
    return count / (time.perf_counter() - began)


def _nothing(data: bytes) -> str:
    return "x" * 60


def dispatch(executor: Executor, folder: Path, trials: int, slots: int, seconds: float | None) -> tuple[float, float]:
    """Trials a second, and milliseconds of the driver's CPU for each."""
    space, ends, cpu = toy_space(), list[float](), list[float]()

    def saw(event: Event) -> None:
        if event.kind == "finished":
            ends.append(time.perf_counter())
            cpu.append(time.process_time())

    with closing(open_store(folder / "trials.sqlite")) as store:
        objectives = (Objective("accuracy", maximize=True),)
        study = Study(space, store, executor, objectives, slots=slots, order="finish", resources=Resources(seconds))
        study.observer = saw
        start = RandomSearch(space), Nothing()
        study.run([Phase("search", lambda told: start, lambda told: Stop(trials=WARM + trials))])
    return (trials - 1) / (ends[-1] - ends[WARM]), 1000 * (cpu[-1] - cpu[WARM]) / (trials - 1)


def start(executor: Executor) -> None:
    """Have all workers started."""
    slow = Nothing(sleeps=1.0)
    live = {executor.submit(slow, Proposal(None), Context(0)) for _ in range(EACH * executor.workers)}
    while live:
        live -= executor.wait(live)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("executor", choices=("processes", "ray", "inline"))
    for flag, default in (("--runs", 5), ("--trials", 500), ("--workers", 2), ("--slots", 16)):
        parser.add_argument(flag, type=int, default=default)
    parser.add_argument("--seconds", type=float, help="A time limit for each trial.")
    given = parser.parse_args()
    makers = {"processes": Processes, "ray": Ray, "inline": lambda workers: Inline()}
    with (
        tempfile.TemporaryDirectory(dir=".", prefix="dispatch-") as name,
        closing(makers[given.executor](given.workers)) as executor,
    ):
        start(executor)
        print(f"{given.executor}, {given.workers} workers, {given.slots} slots, limit {given.seconds} s")
        for run in range(given.runs):
            folder = Path(name) / str(run)
            rate, each = dispatch(executor, folder, given.trials, given.slots, given.seconds)
            line = f"{rate:.0f} trials/s, {each:.2f} ms of CPU each; this disk: {commits(folder):.0f} commits/s"
            if given.executor == "ray":
                ray = alone(given.trials, given.slots)
                line += f"; Ray alone, as many under way: {ray:.0f} tasks/s, {ray / rate:.1f} times as many"
            print(line, flush=True)


if __name__ == "__main__":
    main()
