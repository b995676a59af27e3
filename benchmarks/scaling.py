"""What one driver carries: simulated workers, and records of a million trials.

    python benchmarks/scaling.py workers [--workers 800] [--rounds 8]     utilization, on a simulated clock
    python benchmarks/scaling.py idle [--told 1000]                       what a free worker waits for its next proposal
    python benchmarks/scaling.py make STRATEGY FOLDER [--trials 1000000]  a run folder with so many trials
    python benchmarks/scaling.py resume FOLDER                            seconds and memory until the run goes on
    python benchmarks/scaling.py status FOLDER                            seconds of `morphogen status`

`workers` runs the real loop and the real strategies with the executor `Virtual`. Trainings last as those of Zoph & Le
2017 (arXiv:1611.01578) may have: minutes to hours with a heavy tail, log-normal with a median of 30 min and sigma 1.
Utilization is the busy share of the workers' time from the first dispatch to the last. The driver's CPU is that of this
process, all of it, over the simulated time. The space of `make` has 24 choices of 8 options.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import NormalDist
from typing import Literal

import numpy as np

from morphogen import config as configuration
from morphogen.estimators import Tabular
from morphogen.estimators.tabular import Entry
from morphogen.executors import Inline, Virtual
from morphogen.objective import Objective
from morphogen.protocols import Context, Event, Phase, Stop, Strategy
from morphogen.runs import run as runs
from morphogen.runs.assembly import assemble
from morphogen.runs.tally import Tally
from morphogen.space import Architecture, Choice, Space
from morphogen.store import Memory
from morphogen.store import open as open_store
from morphogen.strategies import Asha, Deduplicated, RegularizedEvolution
from morphogen.study import Study
from morphogen.trial import Fidelity, Outcome, Proposal

OPTIONS = tuple(f"{kind}_{size}x{size}" for kind in ("conv", "sep_conv") for size in (1, 3, 5, 7))
EPOCHS = 27
MEDIAN_SECONDS, SIGMA = 1800.0, 1.0


def wide_space() -> Space:
    return Space(tuple(Choice(f"normal/{i}/op", OPTIONS) for i in range(24)), name="wide")


def uniform(*what: object) -> float:
    """A number of (0, 1) that is a function of what is given."""
    return (int.from_bytes(hashlib.blake2b(repr(what).encode(), digest_size=6).digest()) + 0.5) / 2**48


@dataclass(frozen=True)
class Wide:
    """A table over `wide_space`, at next to no cost."""

    space: Space = field(default_factory=wide_space)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return (Objective("accuracy", maximize=True),)

    @property
    def full(self) -> Fidelity:
        return {"epochs": EPOCHS}

    @cached_property
    def weights(self) -> np.ndarray:
        return np.random.default_rng(0).random(24)

    def entry(self, architecture: Architecture, fidelity: Fidelity, seed: int) -> Entry:
        accuracy = sum(w * code for w, code in zip(self.weights, architecture.code, strict=True)) / 200
        return Entry({"accuracy": float(accuracy) + seed % 97 / 1e5, "params": 4e6}, 60.0 + architecture.code[0], {})

    def cost(self, architecture: Architecture, fidelity: Fidelity) -> float:
        return 60.0 + architecture.code[0]


# --- simulated workers ------------------------------------------------------------------------------------------


@dataclass
class Training:
    """Lasts a log-normal time that the architecture decides; the declared cost is off by up to a share of it."""

    off: float
    table: Wide = field(default_factory=Wide)
    measured: frozenset[str] = frozenset()

    def seconds(self, proposal: Proposal) -> float:
        assert proposal.architecture is not None
        share = (proposal.fidelity.get("epochs", EPOCHS)) / EPOCHS
        whole = MEDIAN_SECONDS * math.exp(SIGMA * NormalDist().inv_cdf(uniform(proposal.architecture.code)))
        done = 0.0 if proposal.warm_start is None else share / 3
        return whole * (share - done)

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        assert proposal.architecture is not None
        entry = self.table.entry(proposal.architecture, proposal.fidelity, context.seed)
        return Outcome(entry.metrics, seconds=self.seconds(proposal))

    def cost(self, proposal: Proposal) -> float:
        assert proposal.architecture is not None
        error = self.off * (2 * uniform("cost", proposal.architecture.code) - 1)
        return self.seconds(proposal) * (1 + error)


def simulate(strategy: str, order: Literal["logical", "finish"], off: float, workers: int, rounds: int) -> None:
    """One row of the table."""
    estimator, executor = Training(off), Virtual(workers)
    space = estimator.table.space
    made: Strategy = Deduplicated(RegularizedEvolution(space, 100, 25), space)
    if strategy == "asha":
        made = Deduplicated(Asha(space, full=EPOCHS), space)
    objectives = (Objective("accuracy", maximize=True),)
    study = Study(space, Memory(), executor, objectives, slots=2 * workers, order=order)
    began = time.process_time()
    study.run([Phase("search", lambda told: (made, estimator), lambda told: Stop(trials=rounds * workers))])
    cpu = time.process_time() - began
    spans = list(executor.spans.values())
    end = max(span.start for span in spans)
    busy = sum(min(span.finish, end) - span.start for span in spans)
    costs = "" if order == "finish" else "known" if off == 0 else f"off by {off:.0%}"
    print(
        f"{workers:>7} {strategy:>10} {order:>8} {costs:>11} {len(spans):>8} {busy / (workers * end):>12.1%} "
        f"{1000 * cpu / len(spans):>9.2f} {cpu / executor.now:>8.2%}",
        flush=True,
    )


def simulate_all(workers: int, rounds: int) -> None:
    columns = ("workers", 7), ("strategy", 10), ("order", 8), ("costs", 11), ("trials", 8), ("utilization", 12)
    print(" ".join(f"{name:>{width}}" for name, width in (*columns, ("ms/trial", 9), ("one core", 8))))
    for strategy in ("evolution", "asha"):
        simulate(strategy, "finish", 0.0, workers, rounds)
        simulate(strategy, "logical", 0.3, workers, rounds)
        simulate(strategy, "logical", 0.0, workers, rounds)


def idle(told: int) -> None:
    """Milliseconds from the arrival of an outcome to the next submission, with the durable commits between."""

    class Watched:
        """An inline executor that notes when an outcome came and when the next trial was given to it."""

        def __init__(self) -> None:
            self.inner, self.came, self.waits = Inline(), 0.0, []
            self.workers = 8

        def submit(self, estimator, proposal, context):
            if self.came:
                self.waits.append(time.perf_counter() - self.came)
            self.came = 0.0
            return self.inner.submit(estimator, proposal, context)

        def wait(self, futures, timeout=None):
            done = self.inner.wait(futures, timeout)
            self.came = time.perf_counter()
            return done

        def close(self) -> None:
            self.inner.close()

    table = Wide()
    for slots in (8, 64, 1600):
        with (
            tempfile.TemporaryDirectory(dir=".") as folder,
            closing(open_store(Path(folder) / "trials.sqlite")) as store,
        ):
            made = Deduplicated(RegularizedEvolution(table.space), table.space)
            watched = Watched()
            study = Study(table.space, store, watched, table.objectives, slots=slots)
            study.run(
                [
                    Phase(
                        "search",
                        lambda told, made=made: (made, Tabular(table)),
                        lambda _, most=told + slots + 300: Stop(trials=most),
                    )
                ]
            )
        waits = [1000 * w for w in watched.waits[-300:]]
        median, most = statistics.median(waits), max(waits)
        print(f"{slots:>5} slots, {told} told: idle for {median:.2f} ms (median), {most:.1f} ms (most)")


# --- a million trials -------------------------------------------------------------------------------------------


def make(strategy: str, folder: Path, trials: int) -> None:
    """A run folder as one that was killed, with the record of a loop with 8 slots, but 10,000 events a commit."""
    values = {"table": "scaling:Wide", "strategy": strategy, "trials": trials, "slots": 8}
    runs.create(configuration.parse(values, "scaling.py"), folder)
    table, names = Wide(), [choice.name for choice in wide_space().choices]
    began, rng, tally = time.perf_counter(), np.random.default_rng(0), Tally(table.objectives)
    with closing(open_store(folder / runs.RECORD)) as store:
        for first in range(0, trials, 5000):
            events = []
            picked = rng.integers(len(OPTIONS), size=(5000, 24))
            accuracies = ((picked + 1) @ table.weights / 200).tolist()
            for id, picks, accuracy in zip(range(first, trials), picked.tolist(), accuracies, strict=False):
                at, architecture = 0.05 * id, {n: OPTIONS[o] for n, o in zip(names, picks, strict=True)}
                proposal = {"architecture": architecture, "origin": {"parent": max(0, id - 40)}}
                asked = {"phase": "search", "told": max(0, id - 7), "proposal": proposal, "at": at}
                metrics = {"accuracy": accuracy, "params": 4e6}
                events.append(Event("asked", id, asked))
                events.append(Event("finished", id, {"metrics": metrics, "seconds": 60.0 + picks[0], "at": at}))
            if first + 5000 >= trials:  # what was counted when it was killed is some events old
                tally.write(folder)
            for event in events:
                tally.add(event)
            store.append(events)
    seconds, size = time.perf_counter() - began, (folder / runs.RECORD).stat().st_size
    print(f"{strategy}: {trials} trials in {size / 1e6:.0f} MB, written in {seconds:.0f} s")


def work(folder: Path, trials: int) -> tuple[int, int]:
    """The loop of a run on its first phase; how many trials were recorded before and after."""
    config = runs.read_config(folder)
    parts = assemble(config)
    with closing(open_store(folder / runs.RECORD)) as store:
        study = Study(parts.space, store, Inline(), parts.objectives, folder=folder, slots=config.slots)
        before = len(study.trials)
        search = parts.phases[0]
        study.run_phase(Phase(search.name, search.start, lambda told: Stop(trials=trials)))
        return before, len(study.told)


def resume(folder: Path) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    trials = runs.read_config(folder).trials
    assert trials is not None
    before, told = work(folder, trials + 8)  # and a few more, as a run that goes on
    seconds, peak = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    cpu = time.process_time() - cpu
    print(f"{before} recorded, {told} told: {seconds:.1f} s, {cpu:.1f} s of CPU, peak {peak:.2f} GiB")


def status(folder: Path) -> None:
    times = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "morphogen.cli", "status", str(folder.resolve())],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=Path(__file__).parent,
        )
        times.append(time.perf_counter() - began)
    print(f"status: {statistics.median(times):.2f} s (median of 3)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    simulated = commands.add_parser("workers")
    simulated.add_argument("--workers", type=int, default=800)
    simulated.add_argument("--rounds", type=int, default=8)
    commands.add_parser("idle").add_argument("--told", type=int, default=1000)
    maker = commands.add_parser("make")
    maker.add_argument("strategy")
    maker.add_argument("folder", type=Path)
    maker.add_argument("--trials", type=int, default=1_000_000)
    for name in ("resume", "status"):
        commands.add_parser(name).add_argument("folder", type=Path)
    given = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))  # for scaling:Wide
    if given.command == "workers":
        simulate_all(given.workers, given.rounds)
    elif given.command == "idle":
        idle(given.told)
    elif given.command == "make":
        make(given.strategy, given.folder, given.trials)
    else:
        {"resume": resume, "status": status}[given.command](given.folder)


if __name__ == "__main__":
    main()
