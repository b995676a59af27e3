"""What the loop itself costs: random search with an estimator that does nothing.

    python benchmarks/loop.py [--trials 10000]

Prints milliseconds a trial with the memory store and with SQLite, the growth from the first thousand trials to the last,
and two bare SQLite commits on the same disk, which is what a trial has to pay there.
"""

from __future__ import annotations

import argparse
import itertools
import sqlite3
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from morphogen.estimators.toy import toy_space
from morphogen.executors import Inline
from morphogen.objective import Objective
from morphogen.protocols import Context, Phase, Stop, Store
from morphogen.store import Memory
from morphogen.store import open as open_store
from morphogen.strategies import RandomSearch
from morphogen.study import Study
from morphogen.trial import Outcome, Proposal


@dataclass(frozen=True)
class Nothing:
    measured: frozenset[str] = frozenset()

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        return Outcome({"accuracy": 0.5}, seconds=1.0)

    def cost(self, proposal: Proposal) -> float:
        return 1.0


def measure(store: Store, trials: int) -> list[float]:
    """Seconds at which each trial was told."""
    space = toy_space()
    times: list[float] = []

    class Timed:
        def __init__(self) -> None:
            self.inner = RandomSearch(space)

        def ask(self, pending, rng):
            return self.inner.ask(pending, rng)

        def tell(self, trial, rng) -> None:
            times.append(time.perf_counter())

    study = Study(space, store, Inline(), (Objective("accuracy", maximize=True),))
    started = time.perf_counter()
    study.run([Phase("search", lambda told: (Timed(), Nothing()), lambda told: Stop(trials=trials))])
    store.close()
    return [started, *times]


def commits(path: Path, count: int = 500) -> float:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("pragma journal_mode=wal")
    db.execute("pragma synchronous=full")
    db.execute("create table event(n integer primary key, body text)")
    times = []
    for _ in range(count):
        started = time.perf_counter()
        db.execute("insert into event(body) values(?)", ("x" * 300,))
        times.append(time.perf_counter() - started)
    db.close()
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    trials = parser.parse_args().trials
    tenth = trials // 10
    print(f"{'store':>8} {'ms a trial':>11} {'first tenth':>12} {'last tenth':>11} {'growth':>7}")
    with tempfile.TemporaryDirectory(dir=".") as folder:
        for name, store in (("memory", Memory()), ("sqlite", open_store(Path(folder) / "trials.sqlite"))):
            at = measure(store, trials)
            steps = [1000 * (b - a) for a, b in itertools.pairwise(at)]
            first, last = statistics.median(steps[:tenth]), statistics.median(steps[-tenth:])
            print(f"{name:>8} {1000 * (at[-1] - at[0]) / trials:11.3f} {first:12.3f} {last:11.3f} {last / first:7.2f}")
        print(f"two bare SQLite commits: {2000 * commits(Path(folder) / 'bare.sqlite'):.3f} ms (median)")


if __name__ == "__main__":
    main()
