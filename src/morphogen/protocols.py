"""The map of morphogen: every role that a part can play, on one page.

A *strategy* proposes, an *estimator* judges, an *executor* is a place where estimators run, a *store* remembers, and a
`Study` is the loop between them. A *phase* is a strategy with an estimator and a stop; a *method* of the literature is a
function from a space and data to a list of phases.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, final

import numpy as np

from morphogen.trial import Outcome, Proposal, Trial

__all__ = [
    "Context",
    "Died",
    "Estimator",
    "Event",
    "Executor",
    "MorphogenError",
    "Phase",
    "Resources",
    "Stop",
    "Store",
    "Strategy",
]


class MorphogenError(Exception):
    """A failure at run time that a person can do something about; the message says what."""


class Died(MorphogenError):
    """A worker was killed, or its node or connection was lost, inside the trial's own limits: a fault, not a result."""


class Strategy(Protocol):
    """Proposes architectures and learns from how they were judged. Its state is the fold of `tell`.

    `ask` changes nothing: asked twice, or after pickling, it gives equal proposals. It never sees an executor or the time.
    """

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal | None:
        """The next proposal, knowing which trials are not told yet; None means "not before more is told"."""
        ...

    def tell(self, trial: Trial, rng: np.random.Generator) -> None:
        """Learn from a trial with an outcome; its `losses` are minimized and infinite where it failed."""
        ...


@final
@dataclass(frozen=True, slots=True)
class Resources:
    """What one trial may use. A limit that bites is the trial's result; `None` and 0 set none."""

    seconds: float | None = None
    memory_mb: float | None = None
    cpus: float = 1.0
    gpus: float = 0.0


def _drop(step: float, metrics: Mapping[str, float]) -> None:
    """The log of a context that nobody listens to."""


@final
@dataclass(frozen=True, slots=True)
class Context:
    """Where and how a trial runs.

    Args:
        seed: Of the trial; a continued trial has the seed of its first.
        folder: The trial's own folder, for checkpoints: an attempt goes on where the last one died. None: keep nothing.
        warm_start: Folder of the trial that this one continues.
        device: Such as `cpu` or `cuda:0`.
        resources: The limits of the trial.
        log: `log(step, {"accuracy": 0.9})`: one-way, for curves and progress.
        deadline: `time.monotonic()` of this machine by which it must come back with what it has; None: no hurry.
    """

    seed: int
    folder: Path | None = None
    warm_start: Path | None = None
    device: str = "cpu"
    resources: Resources = field(default_factory=Resources)
    log: Callable[[float, Mapping[str, float]], None] = _drop
    deadline: float | None = None


class Estimator(Protocol):
    """Judges a proposal. Must pickle: executors send it to other processes.

    An exception, a NaN metric or `Outcome.error` makes a failed trial, which is a result like any other.
    """

    @property
    def measured(self) -> frozenset[str]:
        """Metrics that differ between equal runs, such as `seconds` and `latency_ms`."""
        ...

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        """Judge. Plain numbers come back; weights stay in `context.folder`."""
        ...

    def cost(self, proposal: Proposal) -> float:
        """How long it takes, in any unit: the declared duration on the logical clock. Positive."""
        ...


class Executor(Protocol):
    """A place where estimators run."""

    @property
    def workers(self) -> int:
        """How many trials run at a time."""
        ...

    def submit(self, estimator: Estimator, proposal: Proposal, context: Context) -> Future[Outcome]:
        """Start a trial, or queue it. The future raises `Died` where the worker was lost."""
        ...

    def wait(self, futures: Collection[Future[Outcome]], timeout: float | None = None) -> set[Future[Outcome]]:
        """Block until at least one of the futures is done (or `timeout` seconds passed); give those that are."""
        ...

    def close(self) -> None:
        """Stop every worker now. Idempotent."""
        ...


class Event(NamedTuple):
    """One line of the record: a trial was asked, finished, or its worker died."""

    kind: Literal["asked", "finished", "died"]
    trial: int
    body: Mapping[str, Any]


class Store(Protocol):
    """The append-only record of a run, with one writer."""

    def append(self, events: Sequence[Event]) -> None:
        """Make events durable, all or none: one commit."""
        ...

    def events(self) -> Sequence[Event]:
        """Everything that was appended, in order."""
        ...

    def stream(self, after: int = 0) -> Iterator[Event]:
        """The same without the first so many, one after the other: a record may be larger than the memory."""
        ...

    def close(self) -> None:
        """Give up the lease. Idempotent."""
        ...


@final
@dataclass(frozen=True, slots=True)
class Stop:
    """When a phase asks no more. Time decides only how many trials there are, never which.

    Args:
        trials: The most trials it may ask.
        seconds: The most seconds that its trials may take together, those that are not told yet reckoned at the mean.
        each: The seconds of a trial as long as none is told; 0: not known.
        until: The study's `elapsed` at which the phase ends whatever runs; what was not told by then is given up.
        first: As `until`, as long as nothing is told: a phase that everything else is built on waits for one trial, and
            takes what that one has by then.
        partial: Whether a trial that `until` would cut short may count with what it has by then (its `context.deadline`).
    """

    trials: int | None = None
    seconds: float | None = None
    until: float | None = None
    first: float | None = None
    partial: bool = False
    each: float = 0.0

    def reached(self, asked: int, told: int, seconds: float) -> bool:
        """Whether to ask no more, after so many proposals, of which so many are told and took so many seconds."""
        if self.trials is not None and asked >= self.trials:
            return True
        # what is not told yet will take what the others took: else the last round of slots would overshoot
        expected = asked * (seconds / told if told else self.each)
        return self.seconds is not None and expected >= self.seconds


@final
@dataclass(frozen=True)
class Phase:
    """A strategy with an estimator and a stop.

    Args:
        name: Unique in a run.
        start: From all trials told in earlier phases, the strategy and the estimator; a phase may need what those found.
        stop: When to ask no more, given the same trials; by default when the strategy answers None.
        keep: Of how many of its best trials the checkpoints are kept.
        aside: Its estimator need not give every metric that is sought, as supernets and baselines; what is missing
            counts as infinite.
    """

    name: str
    start: Callable[[Sequence[Trial]], tuple[Strategy, Estimator]]
    stop: Callable[[Sequence[Trial]], Stop] = lambda told: Stop()
    keep: int = 3
    aside: bool = False
