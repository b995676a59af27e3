"""What durable events cost: our store beside bare SQLite commits on the same disk, taken in turn.

    python benchmarks/store.py [FOLDER] [COMMITS]

Both write the same rows to a write-ahead log with `synchronous=FULL`, one commit after the other; each round lets both
do a few, so that a busy disk is busy for both. Then reading: a record of 20,000 trials, and its summary.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from morphogen import store
from morphogen.protocols import Event

ROUNDS = 20
ASKED = {
    "phase": "search",
    "told": 4,
    "proposal": {"architecture": {f"normal/{i}/op": "sep_conv_3x3" for i in range(8)}, "origin": {"parent": 17}},
    "at": 12.345,
}
FINISHED = {"metrics": {"accuracy": 0.9312, "params": 123456.0, "macs": 7.2e6}, "seconds": 12.34, "at": 24.68}


def events(count: int) -> list[Event]:
    return [Event("asked", n, ASKED) if n % 2 == 0 else Event("finished", n, FINISHED) for n in range(count)]


def seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def compare(folder: Path, count: int, commits: int) -> tuple[float, float]:
    """Median milliseconds a commit of so many events, ours and bare."""
    given = events(count)
    bare = sqlite3.connect(folder / f"bare-{count}.sqlite")
    bare.execute("PRAGMA journal_mode=WAL")
    bare.execute("PRAGMA synchronous=FULL")
    bare.execute("create table events(n integer primary key, kind text, trial integer, body text)")
    rows = [(e.kind, e.trial, json.dumps(e.body)) for e in given]

    def commit() -> None:
        with bare:
            bare.executemany("insert into events(kind, trial, body) values (?, ?, ?)", rows)

    times: tuple[list[float], list[float]] = [], []
    with closing(bare), closing(store.open(folder / f"ours-{count}.sqlite")) as ours:
        for function in (lambda: ours.append(given), commit):  # the first are slower
            function()
        for _ in range(ROUNDS):
            for function, taken in zip((lambda: ours.append(given), commit), times, strict=True):
                taken += [seconds(function) for _ in range(max(1, commits // ROUNDS))]
    return statistics.median(times[0]) * 1e3, statistics.median(times[1]) * 1e3


def main() -> None:
    place = sys.argv[1] if len(sys.argv) > 1 else "."
    commits = int(sys.argv[2]) if len(sys.argv) > 2 else 400
    with tempfile.TemporaryDirectory(dir=place, prefix="benchmark-") as name:
        folder = Path(name)
        print(f"{commits} commits of each kind; milliseconds a commit, median")
        print(f"{'events':>8}{'ours':>10}{'bare':>10}{'ratio':>8}{'ours/event':>12}")
        for count in (1, 2, 100):
            ours, bare = compare(folder, count, commits)
            print(f"{count:>8}{ours:>10.2f}{bare:>10.2f}{ours / bare:>8.2f}{ours / count:>12.3f}")

        path = folder / "read.sqlite"
        with closing(store.open(path)) as opened:
            for _ in range(40):
                opened.append(events(1000))
        print(f"\nreading a record of 20,000 trials ({path.stat().st_size / 1e6:.0f} MB); milliseconds, median of 5")
        for what, function in (
            ("open to write", lambda: store.open(path).close()),
            ("open to read", lambda: store.open(path, readonly=True).close()),
            ("events", lambda: read(path, "events")),
            ("counts", lambda: read(path, "counts")),
        ):
            print(f"{what:>16}{statistics.median(seconds(function) for _ in range(5)) * 1e3:>10.1f}")


def read(path: Path, method: str) -> None:
    with closing(store.open(path, readonly=True)) as opened:
        getattr(opened, method)()


if __name__ == "__main__":
    main()
