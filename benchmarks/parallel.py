"""Do two workers give twice the trainings? The same trainings through one worker and through two, here and on Ray.

    python benchmarks/parallel.py processes ray [--trials 64] [--epochs 3]

Each training is one of a NAS-Bench-201 cell on digits, all of the same architecture, so that they are about equally long.
Printed for each number of workers: seconds of CPU in the trainings (what one takes from another shows here), the share of
the workers' time, from the first start to the last end, in which they trained nothing, and the wall time; then the ratios.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from morphogen import config as configuration
from morphogen.protocols import Context, Estimator, Phase
from morphogen.runs.assembly import assemble
from morphogen.store import open as open_store
from morphogen.strategies import Each
from morphogen.study import Study
from morphogen.trial import Outcome, Proposal

EXECUTORS = ("processes", "ray")


@dataclass(frozen=True)
class Timed:
    """A training that also tells its CPU seconds, when it began and when it ended."""

    training: Estimator
    measured: frozenset[str] = frozenset({"cpu", "began", "ended"})

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        began, cpu = time.time(), time.process_time()
        outcome = self.training(proposal, context)
        times = {"cpu": time.process_time() - cpu, "began": began, "ended": time.time()}
        return replace(outcome, metrics={**outcome.metrics, **times})

    def cost(self, proposal: Proposal) -> float:
        return self.training.cost(proposal)


@dataclass(frozen=True)
class Told:
    """What so many workers took."""

    cpu: float
    idle: float
    wall: float


def run(executor: str, workers: int, trials: int, epochs: int) -> Told:
    settings = {"space": "nasbench201", "data": "digits", "training": {"epochs": epochs}}
    settings |= {"executor": executor, "workers": workers}
    parts = assemble(configuration.parse(settings, "benchmark"))
    architecture = parts.space.sample(np.random.default_rng(3))
    proposals = [Proposal(architecture, origin={"repeat": i}) for i in range(trials)]
    timed = Timed(parts.judges.search)
    place = parts.executor()
    with tempfile.TemporaryDirectory() as folder, closing(open_store(Path(folder) / "trials.sqlite")) as store:
        study = Study(parts.space, store, place, parts.objectives, slots=2 * workers, order="finish")
        # the first round starts workers and imports torch in them: it is not counted
        study.run_phase(Phase("warm-up", lambda told: (Each(proposals[: 2 * workers]), timed)))
        told = [t.outcome for t in study.run_phase(Phase("search", lambda told: (Each(proposals), timed)))]
    place.close()
    rows = [outcome.metrics for outcome in told if outcome is not None and outcome.error is None]
    if len(rows) != trials:
        raise SystemExit(f"{trials - len(rows)} of {trials} trainings failed")
    wall = max(r["ended"] for r in rows) - min(r["began"] for r in rows)
    busy = sum(r["ended"] - r["began"] for r in rows)
    return Told(sum(r["cpu"] for r in rows), 1 - busy / (workers * wall), wall)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("executors", nargs="+", choices=EXECUTORS)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args()
    for name in given.executors:
        one, two = (run(name, w, given.trials, given.epochs) for w in (1, 2))
        for workers, told in ((1, one), (2, two)):
            print(
                f"{name}, {workers} worker{'s' * (workers > 1)}: {told.cpu:.1f} s of CPU in {given.trials} trainings, "
                f"idle {told.idle:.1%}, {told.wall:.1f} s"
            )
        print(
            f"{name}: with two workers {two.cpu / one.cpu:.3f} times the CPU, {one.wall / two.wall:.2f} times as fast",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
