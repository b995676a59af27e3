"""How long a run of many trials takes to go on: seconds from its record to the next proposal; and ask and tell.

    python benchmarks/resumes.py --trials 20000 --strategies all --json

A space of 24 choices and a formula stand for the search. For each strategy a record of so many trials is made once
(by the strategy itself where asking is cheap; where every proposal takes a model, by random search: telling takes as
long, whoever asked), then taken up by a new study: the record is read, every trial is told, the next one is asked.
Also the milliseconds of one `ask` and `tell` around trial 1,000. One thread, memory store.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from morphogen.bench.program import every_strategy
from morphogen.catalog import component
from morphogen.executors import Inline
from morphogen.objective import Objective
from morphogen.protocols import Context, Event, Phase, Stop, Strategy
from morphogen.space import Choice, Space
from morphogen.store import Memory
from morphogen.strategies import Deduplicated
from morphogen.study import Study
from morphogen.trial import Outcome, Proposal, Trial

LAYERS = 12
FULL = 27.0
SPACE = Space(
    tuple(
        choice
        for i in range(LAYERS)
        for choice in (
            Choice(f"{i}/op", ("conv3", "conv5", "separable", "pool", "skip")),
            Choice(f"{i}/width", ("16", "24", "32", "48"), ordered=True),
        )
    )
)
OPTIONS: dict[str, Callable[[int], dict[str, Any]]] = {
    "asha": lambda n: {"full": FULL},
    "curve-stopping": lambda n: {"full": FULL},
    "hyperband": lambda n: {"full": FULL},
    "screening": lambda n: {"full": FULL},
    "progressive": lambda n: {"beam": max(n // LAYERS, 1)},  # with its default it would end before
}
SLOW_TO_ASK = {"bananas", "bayesian", "ehvi", "ppo", "reinforce", "screening", "tpe"}
OBJECTIVES = (Objective("accuracy", maximize=True), Objective("cost"))


@cache
def _effect(*what: str) -> float:
    seed = int.from_bytes(hashlib.blake2b(repr(what).encode(), digest_size=8).digest(), "little")
    return float(np.random.default_rng(seed).standard_normal())


@final
@dataclass(frozen=True)
class Formula:
    """An accuracy and a cost; fewer epochs blur the accuracy."""

    measured: frozenset[str] = frozenset()

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        assert proposal.architecture is not None
        picks = [(name, picked[0]) for name, picked in proposal.architecture.picks.items()]
        gain = sum(_effect(*pick) for pick in picks) / len(picks) ** 0.5
        epochs = proposal.fidelity.get("epochs", FULL)
        blur = 0.1 * (FULL / epochs - 1) ** 0.5 * float(np.random.default_rng(context.seed).standard_normal())
        cost = sum(float(o) for n, o in picks if n.endswith("width"))
        return Outcome({"accuracy": float(1 / (1 + np.exp(-gain - blur))), "cost": cost}, seconds=epochs)

    def cost(self, proposal: Proposal) -> float:
        return proposal.fidelity.get("epochs", FULL)


@final
class Watched:
    """A strategy that is asked for one proposal when a record has been told, and keeps the times."""

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self.asked: Proposal | None = None
        self.begun = self.ended = 0.0

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        if not self.ended:
            self.begun = time.perf_counter()
            self.asked = self.strategy.ask(pending, rng)
            self.ended = time.perf_counter()
        return None

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        self.strategy.tell(trial, rng)


def made(name: str, trials: int) -> Strategy:
    """The strategy as a run has it."""
    options = OPTIONS[name](trials) if name in OPTIONS else {}
    strategy: Strategy = component("morphogen.strategies", name, "strategy")(SPACE, **options)
    return strategy if getattr(strategy, "on_policy", False) else Deduplicated(strategy, SPACE)


def record(name: str, trials: int) -> list[Event]:
    """The events of a run of so many trials."""
    asks = made("random-search" if name in SLOW_TO_ASK else name, trials)
    store = Memory()
    study = Study(SPACE, store, Inline(), OBJECTIVES)
    study.run([Phase("search", lambda told: (asks, Formula()), lambda told: Stop(trials=trials))])
    return list(store.events())


def resume(name: str, trials: int) -> dict[str, Any]:
    """Seconds to read a record, to tell it and to ask for the next proposal."""
    events = record(name, trials)
    store = Memory()
    store.append(events)
    watched = Watched(made(name, trials))
    start, spent = time.perf_counter(), time.process_time()
    study = Study(SPACE, store, Inline(), OBJECTIVES)
    read = time.perf_counter()
    study.run([Phase("search", lambda told: (watched, Formula()))])
    return {
        "strategy": name, "trials": len(study.told), "read": read - start, "told": watched.begun - read,
        "asked": watched.ended - watched.begun, "seconds": watched.ended - start,
        "processor": time.process_time() - spent,
    }  # fmt: skip


def each(name: str, at: int = 1000, count: int = 40) -> float:
    """Milliseconds of one `ask` and the `tell` after it: the mean of `count` around a trial, of the processor."""
    asks, cheap, estimator = made(name, 20 * at), made("random-search", at), Formula()
    spent: list[float] = []
    for id in range(at + count):
        fast = name in SLOW_TO_ASK and id < at
        start = time.process_time()
        proposal = (cheap if fast else asks).ask([], np.random.default_rng((0, id, 0)))
        mid = time.process_time()
        if proposal is None:
            break
        outcome = estimator(proposal, Context(seed=id))
        trial = Trial(id, "search", proposal, outcome, tuple(o.loss(outcome) for o in OBJECTIVES))
        again = time.process_time()
        asks.tell(trial, np.random.default_rng((0, id, 1)))
        spent.append(mid - start + time.process_time() - again)
    return 1e3 * statistics.fmean(spent[at:] or [float("nan")])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--strategies", default="all")
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    every = every_strategy()
    names = every if options.strategies == "all" else options.strategies.split(",")
    if unknown := [name for name in names if name not in every]:
        print(f"resumes: there is no '{unknown[0]}'; there are {', '.join(every)}", file=sys.stderr)
        return 2
    rows = []
    for name in names:
        row = {**resume(name, options.trials), "ask_tell_ms": each(name)}
        rows.append(row)
        if not options.json:
            print(
                f"{name:22s} {row['trials']} trials: read {row['read']:.1f} s, told in {row['told']:.1f} s, next asked in "
                f"{row['asked']:.2f} s, together {row['seconds']:.1f} s ({row['processor']:.1f} s of the processor); ask and tell at trial 1,000: "
                f"{row['ask_tell_ms']:.2f} ms",
                flush=True,
            )
    if options.json:
        print(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
