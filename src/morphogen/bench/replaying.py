"""One strategy with one seed on one table, in simulated time."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any, Protocol, final, runtime_checkable

from morphogen.bench.metered import Metered
from morphogen.catalog import component
from morphogen.estimators import Tabular
from morphogen.estimators.tabular import Table
from morphogen.executors.virtual import Virtual
from morphogen.protocols import Phase, Stop, Strategy
from morphogen.runs import tables
from morphogen.runs.strategies import strategy_maker
from morphogen.space import Architecture
from morphogen.store.memory import Memory
from morphogen.strategies import Deduplicated
from morphogen.study import Study
from morphogen.trial import Fidelity, Trial

__all__ = ["Job", "Known", "Replay", "known", "replay", "strategy_for"]


@runtime_checkable
class Known(Table, Protocol):
    """A table that knows what is best in it."""

    @property
    def optimum(self) -> float:
        """The best value of the first objective, without the noise of one training."""
        ...

    @property
    def worst(self) -> float:
        """The worst one of a training that works."""
        ...

    @property
    def deterministic(self) -> bool:
        """Whether asking again gives the same."""
        ...

    @property
    def lowest(self) -> Fidelity:
        """The least amount on every fidelity axis."""
        ...

    def truth(self, architecture: Architecture) -> float | None:
        """The value of an architecture without noise; None where its training fails."""
        ...


@final
@dataclass(frozen=True)
class Job:
    """What is run: all that the result is a function of.

    Args:
        table: A name, or a TOML file.
        strategy: A name.
        seed: Of everything.
        budget: Queries; one is a full training.
        slots: Virtual workers of the logical clock.
        workers: Simulated ones.
        seconds: Simulated seconds after which nothing counts; None: only queries end it.
        options: Of the strategy.
        repeats: Whether a strategy may propose an architecture again, as those of the papers do.
    """

    table: str
    strategy: str
    seed: int
    budget: int
    slots: int = 1
    workers: int = 1
    seconds: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    repeats: bool = False


@final
@dataclass(frozen=True)
class Replay:
    """What came of it; one number a told trial in the lists, in the order of telling.

    Args:
        seed: Its seed.
        spent: Queries spent until then.
        clock: Simulated seconds until then.
        regret: Of the incumbent, by what it is worth without noise.
        found: Queries spent when an architecture as good as the best was first tried in full; None if never.
        failed: Trials that failed.
        utilization: Of the simulated workers.
        asking: Processor seconds of the strategy for each trial.
        reported: What the table reports of the last incumbent, where it says what.
    """

    seed: int
    spent: Sequence[float]
    clock: Sequence[float]
    regret: Sequence[float]
    found: float | None
    failed: int
    utilization: float
    asking: float
    reported: float | None = None

    @property
    def json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**asdict(self), "spent": list(self.spent), "clock": list(self.clock), "regret": list(self.regret)}


@cache
def known(name: str) -> Known:
    """A table that a person names, made once.

    Raises:
        ValueError: There is none, or it does not know its optimum.
        MorphogenError: Its file is missing or malformed.
    """
    table = tables.table(name)
    if not isinstance(table, Known):
        raise ValueError(
            f"table '{name}' does not know its optimum: regret needs optimum, worst, truth, deterministic and lowest"
        )
    return table


def strategy_for(name: str, options: Mapping[str, Any], table: Known, seed: int = 0) -> Strategy:
    """The strategy that a person names, for a table: one of several fidelities gets the table's own first axis.

    Raises:
        ValueError: It does not go with the table.
    """
    made = component("morphogen.strategies", name, "strategy")
    options = dict(options)
    if {"axis", "lowest", "full"} <= set(inspect.signature(made).parameters):
        if not table.full:
            raise ValueError(f"strategy '{name}' needs a table with fidelities")
        axis = options.get("axis", next(iter(table.full)))
        options = {"axis": axis, "lowest": table.lowest[axis], "full": table.full[axis], **options}
    return strategy_maker(name, options, seed, table.full)(table.space)


def replay(job: Job) -> Replay:
    """Run a strategy on a table: a function of the job.

    Raises:
        ValueError: The table or the strategy cannot be.
    """
    table = known(job.table)
    objective = table.objectives[0]
    best = objective.loss
    found: list[float] = []
    incumbent: tuple[float, float, int] | None = None  # minus the share of a full training, loss, trial
    chosen: Architecture | None = None
    spent: list[float] = []
    regret: list[float] = []
    order: list[int] = []
    failed = 0

    def worth(architecture: Architecture) -> float:
        truth = table.truth(architecture)
        value = table.worst if truth is None else truth
        return table.optimum - value if objective.maximize else value - table.optimum

    def over(trial: Trial) -> bool:
        """Keeps the record; whether a table without noise has nothing better."""
        nonlocal incumbent, chosen, failed
        assert trial.proposal.architecture is not None
        assert trial.outcome is not None
        share = meter.share(trial.proposal)
        failed += trial.failed
        if not trial.failed:
            key = (-share, best(trial.outcome), trial.id)
            if incumbent is None or key < incumbent:
                incumbent, chosen = key, trial.proposal.architecture
            if share == 1 and not found and worth(trial.proposal.architecture) <= 1e-9:
                found.append(meter.spent)
        order.append(trial.id)
        spent.append(meter.spent)
        regret.append(abs(table.optimum - table.worst) if chosen is None else max(0.0, worth(chosen)))
        return table.deterministic and bool(found)

    strategy = strategy_for(job.strategy, job.options, table, job.seed)
    if job.repeats and isinstance(strategy, Deduplicated):
        strategy = strategy.strategy
    meter = Metered(strategy, job.budget, table.full, over)
    executor = Virtual(job.workers)
    study = Study(table.space, Memory(), executor, table.objectives, seed=job.seed, slots=job.slots)
    stop = Stop(seconds=None if job.seconds is None else job.seconds * job.workers)
    study.run_phase(Phase("search", lambda told: (meter, Tabular(table)), lambda told: stop))
    finishes = [span.finish for span in executor.spans.values()]
    clock, now = [], 0.0
    for id in order:  # trials are submitted in the order of their ids
        now = max(now, finishes[id])
        clock.append(now)
    if job.seconds is not None:
        spent, regret, clock = (
            [x for x, t in zip(xs, clock, strict=True) if t <= job.seconds] for xs in (spent, regret, list(clock))
        )
        chosen = _chosen(study.told[: len(clock)], meter, objective.loss)
    report = getattr(table, "report", None)
    reported = None if report is None or chosen is None else table.at_end(chosen, report)  # type: ignore[attr-defined]  # what has one has the other
    return Replay(
        job.seed, spent, clock, regret, found[0] if found else None, failed, executor.utilization,
        meter.seconds / max(1, len(order)), reported,
    )  # fmt: skip


def _chosen(told: Sequence[Trial], meter: Metered, loss: Any) -> Architecture | None:
    """The incumbent after the trials that were told in time."""
    worked = [t for t in told if not t.failed]
    best = min(worked, key=lambda t: (-meter.share(t.proposal), loss(t.outcome), t.id), default=None)
    return None if best is None else best.proposal.architecture
