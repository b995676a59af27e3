"""How long a run will take, and how many trials its budget is for, before it is spent.

A few architectures are trained for a moment on this machine, by the loop that the run will use; a straight line through
their seconds an epoch, over multiply-adds, prices every other one. Then the run's own strategy is played through on
simulated workers: it proposes, rungs and waiting included, and each trial takes what it is priced at. What is not known
is how the search will move towards larger or smaller networks: results are random in the simulation.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from morphogen.config import Config
from morphogen.estimators import Baselines, Complexity, SupernetTraining, Training
from morphogen.executors.virtual import Virtual
from morphogen.methods.phases import SEARCH, SUPERNET
from morphogen.nn.network import network
from morphogen.protocols import Context, MorphogenError, Phase, Stop
from morphogen.report.units import count, duration
from morphogen.runs.assembly import Parts
from morphogen.space import Architecture, Space
from morphogen.store.memory import Memory
from morphogen.study import Study
from morphogen.training.data import Data
from morphogen.training.fit import evaluate
from morphogen.trial import Outcome, Proposal, Trial

__all__ = ["Line", "explain", "forecast", "measured", "seconds_an_epoch"]

MEASURED = 3
"""Architectures that are trained for a moment."""

BATCHES = 4
"""Of each of their epochs; the first epoch only warms up."""

PLAYED = 100
"""The most trials that are played through; more are reckoned from these."""

EXPORT = 20.0
"""Seconds of the test split, the proof of the export and the report, where no budget holds them back."""


@final
@dataclass(frozen=True, slots=True)
class Line:
    """Seconds an epoch of all training images, and of the evaluation after it: `start + rate * multiply-adds`.

    Args:
        start: Of a network without multiply-adds.
        rate: For one multiply-add of an image.
    """

    start: float
    rate: float

    def __call__(self, macs: float) -> float:
        return self.start + self.rate * macs

    @staticmethod
    def through(macs: Sequence[float], seconds: Sequence[float]) -> Line:
        """The line of least squares that neither falls nor begins below zero; through one point: no slope."""
        if len(set(macs)) < 2:
            return Line(float(np.mean(seconds)), 0.0)
        rate, start = np.polyfit(macs, seconds, 1)
        if start < 0:
            return Line(0.0, float(np.dot(macs, seconds) / np.dot(macs, macs)))
        return Line(float(start), float(rate)) if rate > 0 else Line(float(np.mean(seconds)), 0.0)


def seconds_an_epoch(training: Any, proposal: Proposal, seed: int = 0, device: str = "cpu") -> float:
    """Measure an epoch of training and the evaluation after it, on a small part of the data, and scale it up.

    Args:
        training: A `Training`, `SupernetTraining` or `Baselines`.
        proposal: What it should train, at full fidelity.
        seed: Of weights and batches.
        device: Where.

    Raises:
        MorphogenError: The training failed.
    """
    part, share = _part(training.data, _batch_size(training))
    short = _with_data(training, part)
    ends: list[float] = [time.monotonic()]
    context = Context(seed, device=device, log=lambda step, metrics: ends.append(time.monotonic()))
    outcome = short(replace(proposal, fidelity=_two_epochs(short)), context)
    if outcome.error is not None:
        raise MorphogenError(f"a training that was to be measured failed: {outcome.error.splitlines()[0]}")
    return (ends[-1] - ends[-2]) / share


def forecast(config: Config, parts: Parts) -> dict[str, Any]:
    """What a run will take, as plain JSON.

    Args:
        config: Of the run.
        parts: Made from it.

    Returns:
        `seconds_an_epoch` of the measured architectures, `phases` with trials and seconds, `expected_seconds` and
        `expected_hours` (never more than the budget), and `trials_that_fit` the search's part of the budget.

    Raises:
        ValueError: The run looks results up in a table.
        MorphogenError: A training that was to be measured failed.
    """
    search = parts.judges.search
    if parts.data is None or not isinstance(search, Training):
        raise ValueError(
            "this run trains nothing in its search that could be timed: for tables there is `morphogen bench`"
        )
    line, rows = measured(parts.space, search, config.seed, parts.device)
    phases: list[dict[str, Any]] = []
    supernet = _supernet(parts, config)
    if supernet is not None:
        phases.append({"phase": SUPERNET, "trials": supernet.trials, "seconds": supernet.seconds})
    played = _search(config, parts, search, line, supernet)
    phases.append({"phase": SEARCH, "trials": played.trials, "seconds": played.seconds})
    arm = played.seconds + (supernet.seconds if supernet is not None else 0.0)
    if parts.plan.control:
        phases.append({"phase": "random", "trials": None, "seconds": arm})
    phases += _conclusion(config, parts)
    total = sum(phase["seconds"] for phase in phases) + EXPORT
    budget = parts.plan.budget
    expected = total if budget is None else min(total, budget)
    return {
        "strategy": config.strategy,
        "workers": config.workers,
        "seconds_an_epoch": rows,
        "seconds_a_trial": played.mean,
        "phases": phases,
        "expected_seconds": expected,
        "expected_hours": expected / 3600,
        "budget_seconds": budget,
        "trials_that_fit": None if budget is None else _fit(config, parts, played, supernet),
    }


def explain(found: Mapping[str, Any]) -> str:
    """For a person."""
    lines = [
        f"{count(row['macs'])} multiply-adds: {duration(row['seconds'])} an epoch" for row in found["seconds_an_epoch"]
    ]
    if found["seconds_a_trial"] is not None:
        lines.append(f"a trial of {found['strategy']}: {duration(found['seconds_a_trial'])} on average")
    for phase in found["phases"]:
        trials = "" if phase["trials"] is None else f"{phase['trials']} trials, "
        lines.append(f"{phase['phase']:<12}{trials}{duration(phase['seconds'])}")
    lines.append(f"expected in all: {duration(found['expected_seconds'])} with {found['workers']} workers")
    if found["budget_seconds"] is not None:
        budget = duration(found["budget_seconds"])
        lines.append(f"of a budget of {budget}: {found['trials_that_fit']} trials of the search fit")
    return "\n".join(lines)


# --- prices -----------------------------------------------------------------------------------------------------------


def _drawn(space: Space, training: Training, seed: int) -> list[tuple[Architecture, float]]:
    """Architectures to be measured, with their multiply-adds: a small, a middle and a large one of a few."""
    rng = np.random.default_rng((seed, 0))
    some = [space.sample(rng) for _ in range(3 * MEASURED)]
    priced = sorted(((a, _macs(training, a)) for a in some), key=lambda row: row[1])
    return priced[1 :: len(priced) // MEASURED][:MEASURED]


def _macs(training: Training, architecture: Architecture) -> float:
    assert training.recipe is not None
    return float(training.cost(Proposal(architecture)) / training.recipe.epochs)


def measured(
    space: Space, training: Training, seed: int = 0, device: str = "cpu"
) -> tuple[Line, list[dict[str, float]]]:
    """The line through the seconds an epoch of a few architectures, and its points: `macs` and `seconds`."""
    drawn = _drawn(space, training, seed)
    seconds = [seconds_an_epoch(training, Proposal(architecture), seed, device) for architecture, _ in drawn]
    macs = [each for _, each in drawn]
    rows = [{"macs": m, "seconds": s} for m, s in zip(macs, seconds, strict=True)]
    return Line.through(macs, seconds), rows


def _part(data: Data, batch_size: int) -> tuple[Data, float]:
    """A few batches of a data set, with as much of the validation split in proportion; and which share that is."""
    images = min(len(data.train), BATCHES * batch_size)
    share = images / len(data.train)
    valid = max(1, round(share * len(data.valid)))
    seed = data.split_seed
    return replace(data, train=data.train.first(images, seed), valid=data.valid.first(valid, seed), folder=None), share


def _batch_size(training: Any) -> int:
    recipe = training.regime.recipe if isinstance(training, SupernetTraining) else training.recipe
    # a supernet's images are divided among the architecture and the weights
    return int(recipe.batch_size * (2 if isinstance(training, SupernetTraining) else 1))


def _with_data(training: Any, part: Data) -> Any:
    if isinstance(training, Baselines):
        return replace(training, data=part, recipe=replace(training.recipe, epochs=2))
    return replace(training, data=part)


def _two_epochs(training: Any) -> dict[str, float]:
    if isinstance(training, Baselines):
        return {}
    recipe = training.regime.recipe if isinstance(training, SupernetTraining) else training.recipe
    return {"epochs": min(2, recipe.epochs)}


# --- phases -----------------------------------------------------------------------------------------------------------


@final
@dataclass(frozen=True, slots=True)
class _Played:
    """A phase: its trials, the seconds until it is over, and those of one trial on average."""

    trials: int
    seconds: float
    mean: float | None = None


@final
@dataclass
class _Priced:
    """Stands for the estimator of a run: gives random results, and takes as long as a line says."""

    training: Training
    line: Line
    metrics: Sequence[str]
    measured: frozenset[str] = frozenset()
    trials: Sequence[Trial] = ()
    """All that were asked, by id: what a trial goes on from was paid for before."""

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        assert proposal.architecture is not None
        assert self.training.recipe is not None
        values = np.random.default_rng(context.seed).random(len(self.metrics))
        metrics = dict(zip(self.metrics, map(float, values), strict=True))
        if self.sized:
            metrics.update(Complexity(self.training.space, self.training.skeleton)(proposal, context).metrics)
        macs, cost = _macs(self.training, proposal.architecture), self.cost(proposal)
        if proposal.warm_start is not None:
            cost -= self.cost(self.trials[proposal.warm_start].proposal)
        return Outcome(metrics, seconds=cost / macs * self.line(macs))

    @property
    def sized(self) -> bool:
        """Whether an objective is known without training."""
        return not {"params", "macs"}.isdisjoint(self.metrics)

    def cost(self, proposal: Proposal) -> float:
        return float(self.training.cost(proposal))


def _search(config: Config, parts: Parts, search: Training, line: Line, supernet: _Played | None) -> _Played:
    """The search phase, played through."""
    first = next(phase for phase in parts.phases if phase.name == SEARCH)
    strategy, estimator = first.start(())
    if supernet is not None and isinstance(estimator, Training):
        # what the supernets found, each once
        macs = float(np.mean([_macs(search, parts.space.sample(np.random.default_rng((1, i)))) for i in range(5)]))
        assert search.recipe is not None
        each = search.recipe.epochs * line(macs)
        return _Played(supernet.trials, each * math.ceil(supernet.trials / config.workers), each)
    trials = parts.plan.trials
    if supernet is not None:
        each = _evaluation(parts, search)
        judged = trials if trials is not None else PLAYED
        return _Played(judged, each * judged / config.workers, each)
    simulated = min(PLAYED, trials) if trials is not None else PLAYED
    priced = _Priced(search, line, [o.metric for o in parts.objectives])
    executor, seed = Virtual(config.workers), config.seed
    study = Study(parts.space, Memory(), executor, parts.objectives, seed=seed, slots=config.slots, order=config.order)
    priced.trials = study.trials
    told = study.run_phase(Phase(SEARCH, lambda told: (strategy, priced), lambda told: Stop(trials=simulated)))
    if not told:
        raise MorphogenError(f"strategy '{config.strategy}' proposed nothing")
    mean = float(np.mean([t.outcome.seconds for t in told if t.outcome is not None]))
    # a strategy may end before: where it has enumerated the space
    asked = len(told) if trials is None or len(told) < simulated else trials
    return _Played(asked, executor.now * asked / len(told), mean)


def _supernet(parts: Parts, config: Config) -> _Played | None:
    phase = next((phase for phase in parts.phases if phase.name == SUPERNET), None)
    if phase is None:
        return None
    _, estimator = phase.start(())
    if not isinstance(estimator, SupernetTraining):
        return None
    assert estimator.regime is not None
    seeds = phase.keep
    each = seconds_an_epoch(estimator, Proposal(None), config.seed, parts.device) * estimator.regime.recipe.epochs
    return _Played(seeds, each * math.ceil(seeds / config.workers), each)


def _evaluation(parts: Parts, search: Training) -> float:
    """Seconds in which a sub-graph is judged on the validation split."""
    assert parts.data is not None
    part, share = _part(parts.data, 256)
    built = network(parts.space.fix(parts.space.sample(np.random.default_rng(0))), search.skeleton)
    evaluate(built, part, part.valid, parts.device)
    started = time.monotonic()
    evaluate(built, part, part.valid, parts.device)
    return (time.monotonic() - started) / share


def _conclusion(config: Config, parts: Parts) -> list[dict[str, Any]]:
    """Baselines and finalists."""
    phases: list[dict[str, Any]] = []
    baselines, final, plan = parts.judges.baselines, parts.judges.final, parts.plan
    if isinstance(baselines, Baselines) and plan.baseline_names:
        each = [
            seconds_an_epoch(baselines, Proposal(None, origin={"baseline": name}), config.seed, parts.device)
            for name in plan.baseline_names
        ]
        trials = len(each)
        seconds = baselines.recipe.epochs * max(*each, sum(each) / config.workers)
        phases.append({"phase": "baselines", "trials": trials, "seconds": seconds})
    if isinstance(final, Training):
        assert final.recipe is not None
        middle = _drawn(parts.space, final, config.seed)[MEASURED // 2][0]
        each_epoch = seconds_an_epoch(final, Proposal(middle), config.seed, parts.device)
        trials = plan.finalists * plan.seeds * (2 if plan.control else 1)
        seconds = each_epoch * final.recipe.epochs * math.ceil(trials / config.workers)
        phases.append({"phase": "retrain", "trials": trials, "seconds": seconds})
    return phases


def _fit(config: Config, parts: Parts, played: _Played, supernet: _Played | None) -> int:
    """Trials of the search arm that its part of the budget is for."""
    until = parts.plan.searching()
    assert until is not None
    left = until - (supernet.seconds if supernet is not None else 0.0)
    most = int(max(left, 0.0) * played.trials / max(played.seconds, 1e-9))
    return most if parts.plan.trials is None else min(most, parts.plan.trials)
