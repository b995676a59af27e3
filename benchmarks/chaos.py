"""Kills at random while a run goes on: is anything lost, counted twice, or different in the end?

    python benchmarks/chaos.py [--trials 500] [--kills 200] [--workers 4] [--seed 0] [--table FILE]

Evolution on the toy space, trials of 0.1 to 0.5 s that checkpoint every step, each in a process of its own; one half of
the kills hit the driver (which is then started again), the other half a worker. All are `kill -9`. The moments are
random numbers of finished trials, and a random part of a trial after that. A worker whose trial died twice is spared:
the third death would be that trial's result.

Prints what the record lost of what the driver had seen as durable, what it has twice, and whether its table is that of
a run that nothing disturbed. `--table` keeps the undisturbed table, so that it is made once for many seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from morphogen import store
from morphogen.estimators.toy import toy_space
from morphogen.executors import Processes
from morphogen.objective import Objective
from morphogen.protocols import Context, Event, Phase, Stop
from morphogen.strategies import RegularizedEvolution
from morphogen.study import MAX_DEATHS, Study
from morphogen.trial import Outcome, Proposal

RECORD, JOURNAL, PID, CHECKPOINT = "trials.sqlite", "durable", "pid", "checkpoint.json"
STEP_SECONDS = 0.05


@dataclass(frozen=True)
class Steps:
    """Some steps, each on top of the checkpoint of the one before: one lost or done twice changes the end."""

    measured: frozenset[str] = frozenset()

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        assert context.folder is not None
        assert proposal.architecture is not None
        context.folder.mkdir(parents=True, exist_ok=True)
        (context.folder / PID).write_text(str(os.getpid()))
        steps = 2 + context.seed % 8
        done, value = 0, float(sum(proposal.architecture.code))
        with suppress(FileNotFoundError):
            done, value = json.loads((context.folder / CHECKPOINT).read_text())
        for step in range(done, steps):
            time.sleep(STEP_SECONDS)
            value = value * 31 % 9973 + context.seed % 7
            draft = context.folder / f"{CHECKPOINT}.{os.getpid()}"
            draft.write_text(json.dumps([step + 1, value]))
            draft.replace(context.folder / CHECKPOINT)
        return Outcome({"accuracy": value / 9973, "steps": float(steps)})

    def cost(self, proposal: Proposal) -> float:
        return 1.0


def drive(folder: Path, trials: int, workers: int) -> None:
    """One sitting of the driver: it begins the run, or goes on with it."""
    space = toy_space()
    journal = os.open(folder / JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def saw(event: Event) -> None:
        if event.kind == "finished":
            os.write(journal, f"{event.trial}\n".encode())

    with (
        closing(store.open(folder / RECORD)) as record,
        closing(Processes(workers, preload=("numpy", "morphogen.estimators.toy"))) as executor,
    ):
        objectives = (Objective("accuracy", maximize=True),)
        study = Study(space, record, executor, objectives, folder=folder, slots=2 * workers, observer=saw)
        start = RegularizedEvolution(space), Steps()
        study.run([Phase("search", lambda told: start, lambda told: Stop(trials=trials), keep=trials)])


def start(folder: Path, trials: int, workers: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, __file__, "--drive", str(folder), f"--trials={trials}", f"--workers={workers}"]
    )


def seen(folder: Path) -> list[int]:
    """What the driver saw as durable, in order; a line may be cut short by its death."""
    with suppress(FileNotFoundError):
        return [int(line) for line in (folder / JOURNAL).read_text().split("\n")[:-1]]
    return []


def running(folder: Path, driver: int) -> dict[int, int]:
    """Process and trial of every worker below the driver."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    below = {worker for server in parents.get(driver, ()) for worker in parents.get(server, ())}
    found = {}
    for file in (folder / "trials").glob(f"*/{PID}"):
        with suppress(OSError, ValueError):
            if (pid := int(file.read_text())) in below:
                found[pid] = int(file.parent.name)
    return found


def table(folder: Path) -> list[dict[str, Any]]:
    """All that must repeat: everything but seconds, by id."""
    with closing(store.open(folder / RECORD, readonly=True)) as record:
        events = record.events()
    asked = [{"proposal": e.body["proposal"], "phase": e.body["phase"]} for e in events if e.kind == "asked"]
    for event in events:
        if event.kind == "finished":
            asked[event.trial] |= {"metrics": event.body["metrics"], "error": event.body.get("error")}
    return asked


def disturb(folder: Path, trials: int, workers: int, kills: int, rng: random.Random) -> tuple[Counter[str], int, float]:
    """Run to the end under kills; how many hit what, how many sittings it took, and the seconds."""
    moments = sorted(rng.randrange(trials) for _ in range(kills))
    victims = [("driver", "worker")[i % 2] for i in range(kills)]
    rng.shuffle(victims)
    killed, deaths = Counter[str](), Counter[int]()
    began, sittings, driver = time.monotonic(), 1, start(folder, trials, workers)
    for moment, victim in zip(moments, victims, strict=True):
        while len(set(seen(folder))) < moment and driver.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 4 * STEP_SECONDS))
        if victim == "worker":
            killed["worker"] += kill_worker(folder, driver, deaths, rng)
        elif driver.poll() is None:
            driver.kill()
            killed["driver"] += 1
            driver.wait()
            sittings += 1
            driver = start(folder, trials, workers)
    if driver.wait(timeout=600) != 0:
        raise SystemExit("the last sitting did not come to its end; what it said is above")
    return killed, sittings, time.monotonic() - began


def kill_worker(folder: Path, driver: subprocess.Popen[bytes], deaths: Counter[int], rng: random.Random) -> int:
    """Kill a worker as soon as there is one that may be killed; how many it was."""
    while driver.poll() is None:
        at_work = running(folder, driver.pid)
        if mortal := sorted(pid for pid, trial in at_work.items() if deaths[trial] < MAX_DEATHS - 1):
            victim = rng.choice(mortal)
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
                deaths[at_work[victim]] += 1
                return 1
        time.sleep(0.01)
    return 0


def undisturbed(trials: int, workers: int, kept: Path | None) -> list[dict[str, Any]]:
    """The table of a run that nothing disturbs."""
    if kept is not None and kept.exists():
        found: list[dict[str, Any]] = json.loads(kept.read_text())
        return found
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        if start(Path(name), trials, workers).wait() != 0:
            raise SystemExit("the undisturbed run did not come to its end; what it said is above")
        found = table(Path(name))
    if any(trial["error"] for trial in found):
        raise SystemExit("a trial of the undisturbed run failed")
    if kept is not None:
        kept.write_text(json.dumps(found))
    return found


def report(expected: Sequence[dict[str, Any]], folder: Path) -> bool:
    """Print what became of the trials; whether nothing was lost, nothing is there twice, and the tables are equal."""
    with closing(store.open(folder / RECORD, readonly=True)) as record:
        finished = Counter(e.trial for e in record.events() if e.kind == "finished")
        died = record.counts().get("died", 0)  # type: ignore[attr-defined]
    lost = set(seen(folder)) - set(finished)
    twice = [trial for trial, times in finished.items() if times > 1]
    same = table(folder) == list(expected)
    print(f"{len(finished)} trials finished, {died} deaths recorded")
    print(f"lost {len(lost)}, duplicated {len(twice)}, final table {'identical' if same else 'DIFFERENT'}")
    return same and not lost and not twice


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag, default in (("--trials", 500), ("--kills", 200), ("--workers", 4), ("--seed", 0)):
        parser.add_argument(flag, type=int, default=default)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.drive is not None:
        drive(given.drive, given.trials, given.workers)
        return
    expected = undisturbed(given.trials, given.workers, given.table)
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        rng = random.Random(given.seed)
        killed, sittings, seconds = disturb(Path(name), given.trials, given.workers, given.kills, rng)
        print(f"killed {killed['driver']} drivers, {killed['worker']} workers; {sittings} sittings, {seconds:.0f} s")
        if not report(expected, Path(name)):
            raise SystemExit(1)


if __name__ == "__main__":
    main()
