"""How long a run will take, and how many trials its budget is for, before it is spent.

A few architectures are trained for a moment on this machine, where the run will train; a straight line through their
seconds an epoch, over multiply-adds, prices every other one. Then the run's own strategy is played through on simulated
workers: it proposes, rungs and waiting included, and each trial takes what it is priced at. What is not known is how the
search will move towards larger or smaller networks: results are random in the simulation.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from morphogen.config import Config
from morphogen.estimators import Baselines, Complexity, SupernetTraining, Training
from morphogen.executors.virtual import Virtual
from morphogen.methods.black_box import RESERVE
from morphogen.methods.pausing import Pausing
from morphogen.methods.phases import BASELINES, RANDOM, RETRAIN, SEARCH, SUPERNET
from morphogen.nn.network import network
from morphogen.protocols import Context, MorphogenError, Phase, Stop
from morphogen.report.units import count, duration
from morphogen.runs.assembly import Parts
from morphogen.runs.judging import trained_by
from morphogen.runs.rehearsal import rehearse
from morphogen.runs.stopwatch import Prices, Stopwatch, drawn, macs_of
from morphogen.store.memory import Memory
from morphogen.study import Study
from morphogen.training.fit import evaluate
from morphogen.trial import Outcome, Proposal, Trial

__all__ = ["explain", "forecast"]

PLAYED = 100
"""The most trials that are played through; more are reckoned from these."""

JUDGED = 512
"""Images on which a sub-graph of a supernet is timed."""

BEGIN, END = "start", "test, export and page"
"""What surrounds the trials, as phases."""


@final
@dataclass(frozen=True, slots=True)
class Expected:
    """A phase: its trials, the seconds until it is over, and those of one trial on average."""

    phase: str
    trials: int | None
    seconds: float
    mean: float | None = None


def forecast(config: Config, parts: Parts) -> dict[str, Any]:
    """What a run will take, as plain JSON.

    Args:
        config: Of the run.
        parts: Made from it.

    Returns:
        `seconds_an_epoch` of the architectures that were timed, `phases` with trials and seconds, `expected_seconds` and
        `expected_hours` (never more than the budget), and `trials_that_fit` the search's part of the budget.

    Raises:
        ValueError: Nothing is trained in the search, or the method's supernet cannot be timed.
        MorphogenError: A training that was to be timed failed.
    """
    search, plan = trained_by(parts.judges.search), parts.plan
    if parts.data is None or search is None:
        raise ValueError("this run trains nothing that could be timed: for tables there is `morphogen bench`")
    executor = parts.executor()
    try:
        stopwatch = Stopwatch(executor, parts.device, config.seed)
        prices = Prices.of(parts.space, search, stopwatch)
        supernet = _supernet(config, parts, stopwatch)
        searched = _search(config, parts, search, prices, supernet)
        last = _conclusion(config, parts, stopwatch)
    finally:
        executor.close()
    until = plan.searching()
    if until is not None:
        searched = _within(until, plan.trials, searched, supernet)
    phases = [*([supernet] if supernet is not None else []), searched]
    if plan.control:  # as many seconds of all workers together as the search
        spent = sum((p.mean or 0.0) * (p.trials or 0) for p in phases) / config.workers
        phases.append(Expected(RANDOM, None, spent))
    phases = [Expected(BEGIN, None, _start()), *phases, *last, Expected(END, None, _end(config, parts))]
    total = sum(phase.seconds for phase in phases)
    expected = total if plan.budget is None else plan.budget if plan.fills else min(total, plan.budget)
    return {
        "strategy": config.strategy,
        "workers": config.workers,
        "seconds_an_epoch": prices.rows,
        "overhead_seconds": prices.overhead,
        "seconds_a_trial": searched.mean,
        "phases": [{"phase": p.phase, "trials": p.trials, "seconds": p.seconds} for p in phases],
        "expected_seconds": expected,
        "expected_hours": expected / 3600,
        "budget_seconds": plan.budget,
        "trials_that_fit": None if plan.budget is None else searched.trials,
    }


def explain(found: Mapping[str, Any]) -> str:
    """For a person."""
    lines = [
        f"{count(row['macs'])} multiply-adds: {duration(row['seconds'])} an epoch" for row in found["seconds_an_epoch"]
    ]
    lines.append(f"a trial of {found['strategy']}: {duration(found['seconds_a_trial'])} on average")
    for phase in found["phases"]:
        trials = "" if phase["trials"] is None else f"{phase['trials']} trials, "
        lines.append(f"{phase['phase']:<{len(END) + 2}}{trials}{duration(phase['seconds'])}")
    workers = f"{found['workers']} worker{'s' if found['workers'] > 1 else ''}"
    lines.append(f"expected in all: {duration(found['expected_seconds'])} with {workers}")
    if found["budget_seconds"] is not None:
        budget = duration(found["budget_seconds"])
        lines.append(f"of a budget of {budget}: {found['trials_that_fit']} trials of the search fit")
    return "\n".join(lines)


# --- phases -----------------------------------------------------------------------------------------------------------


@final
@dataclass
class _Priced:
    """Stands for the estimator of a run: gives random results, and takes what it is priced at."""

    training: Training
    prices: Prices
    metrics: Sequence[str]
    measured: frozenset[str] = frozenset()
    trials: Sequence[Trial] = ()
    """All that were asked, by id: what a trial goes on from was paid for before."""

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        assert proposal.architecture is not None
        values = np.random.default_rng(context.seed).random(len(self.metrics))
        metrics = dict(zip(self.metrics, map(float, values), strict=True))
        if not {"params", "macs"}.isdisjoint(metrics):
            metrics.update(Complexity(self.training.space, self.training.skeleton)(proposal, context).metrics)
        macs, cost = macs_of(self.training, proposal.architecture), self.cost(proposal)
        before = None if proposal.warm_start is None else self.trials[proposal.warm_start].proposal
        if before is not None and before.fidelity:  # after a full training, another one begins with its weights
            cost -= self.cost(before)
        return Outcome(metrics, seconds=self.prices(macs, cost / macs))

    def cost(self, proposal: Proposal) -> float:
        return float(self.training.cost(proposal))


def _search(config: Config, parts: Parts, search: Training, prices: Prices, supernet: Expected | None) -> Expected:
    """The search phase: played through, or what follows a supernet."""
    first = _phase(parts, SEARCH)
    if first is None:
        raise ValueError(f"method '{config.strategy}' has no phase '{SEARCH}', so its trials cannot be foretold")
    trials = parts.plan.trials
    strategy, estimator = first.start(())
    if supernet is not None and supernet.trials is not None:
        if trained_by(estimator) is not None:  # what the supernets found, each once
            assert search.recipe is not None
            typical = float(np.mean([macs for _, macs in drawn(parts.space, search, config.seed)]))
            each, judged = prices(typical, search.recipe.epochs), supernet.trials
        else:
            each, judged = prices.overhead + _evaluation(parts, search), trials if trials is not None else PLAYED
        return Expected(SEARCH, judged, each * math.ceil(judged / config.workers), each)
    played = min(PLAYED, trials) if trials is not None else PLAYED
    priced = _Priced(search, prices, [o.metric for o in parts.objectives])
    clock, seed = Virtual(config.workers), config.seed
    study = Study(parts.space, Memory(), clock, parts.objectives, seed=seed, slots=config.slots, order=config.order)
    priced.trials = study.trials
    told = study.run_phase(Phase(SEARCH, lambda told: (strategy, priced), lambda told: Stop(trials=played)))
    if not told:
        raise MorphogenError(f"strategy '{config.strategy}' proposed nothing")
    failed = next((t.outcome.error for t in told if t.outcome is not None and t.outcome.error is not None), None)
    if failed is not None:
        raise MorphogenError(f"'{config.strategy}' cannot be played through: {failed.splitlines()[0]}")
    mean = float(np.mean([t.outcome.seconds for t in told if t.outcome is not None]))
    # a strategy may end before: where it has enumerated the space
    asked = len(told) if trials is None or len(told) < played else trials
    return Expected(SEARCH, asked, clock.now * asked / len(told), mean)


def _supernet(config: Config, parts: Parts, stopwatch: Stopwatch) -> Expected | None:
    phase = _phase(parts, SUPERNET)
    if phase is None:
        return None
    strategy, estimator = phase.start(())
    if not isinstance(estimator, SupernetTraining) or not isinstance(strategy, Pausing):
        raise ValueError(f"the supernet of '{config.strategy}' is trained in a way of its own, which is not timed")
    assert estimator.regime is not None
    timed, trials = stopwatch(estimator, Proposal(None)), strategy.trials
    each = timed.overhead + timed.epoch * estimator.regime.recipe.epochs
    seconds = each * math.ceil(strategy.supernets / config.workers)
    return Expected(SUPERNET, trials, seconds, each * strategy.supernets / trials)


def _evaluation(parts: Parts, search: Training) -> float:
    """Seconds in which a sub-graph is judged on the validation split."""
    assert parts.data is not None
    some = parts.data.valid.first(JUDGED, parts.data.split_seed)
    built = network(parts.space.fix(parts.space.sample(np.random.default_rng(0))), search.skeleton)
    evaluate(built, parts.data, some, parts.device)
    started = time.monotonic()
    evaluate(built, parts.data, some, parts.device)
    return (time.monotonic() - started) * len(parts.data.valid) / len(some)


def _conclusion(config: Config, parts: Parts, stopwatch: Stopwatch) -> list[Expected]:
    """Baselines and finalists."""
    phases: list[Expected] = []
    baselines, final, plan = parts.judges.baselines, trained_by(parts.judges.final), parts.plan
    if isinstance(baselines, Baselines) and plan.baseline_names:
        proposals = [Proposal(None, origin={"baseline": name}) for name in plan.baseline_names]
        timed = [stopwatch(baselines, proposal) for proposal in proposals]
        each = [t.overhead + t.epoch * baselines.recipe.epochs for t in timed]
        phases.append(Expected(BASELINES, len(each), max(*each, sum(each) / config.workers)))
    if final is not None:
        assert final.recipe is not None
        some = drawn(parts.space, final, config.seed)
        one = stopwatch(final, Proposal(some[len(some) // 2][0]))
        trials = plan.finalists * plan.seeds * (2 if plan.control else 1)
        seconds = (one.overhead + one.epoch * final.recipe.epochs) * math.ceil(trials / config.workers)
        phases.append(Expected(RETRAIN, trials, seconds))
    return phases


def _start() -> float:
    """Seconds until a run can train: its own process starts, and then a worker's."""
    before = os.times()
    # nothing but this interpreter, and what every run imports
    subprocess.run([sys.executable, "-c", "import morphogen.runs.conclusion, morphogen.training.fit"], check=True)
    after = os.times()
    return 2 * (after.children_user + after.children_system - before.children_user - before.children_system)


def _end(config: Config, parts: Parts) -> float:
    """Seconds of the test split, the proof of the export and the page; the usual where this network cannot be exported."""
    try:
        return rehearse(parts, config.seed, config.workers)["seconds"]
    except (MorphogenError, ValueError):
        return RESERVE


def _phase(parts: Parts, name: str) -> Phase | None:
    return next((phase for phase in parts.phases if phase.name == name), None)


def _within(until: float, trials: int | None, searched: Expected, supernet: Expected | None) -> Expected:
    """As much of the search as its part of the budget is for."""
    assert searched.trials is not None
    left = max(until - (supernet.seconds if supernet is not None else 0.0), 0.0)
    fit = int(left * searched.trials / max(searched.seconds, 1e-9))
    if trials is not None and fit >= searched.trials:
        return searched
    return Expected(SEARCH, fit, left, searched.mean)
