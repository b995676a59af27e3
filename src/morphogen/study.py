"""The loop: ask, submit, wait, tell. Resume is the same loop, and a logical clock makes a run repeatable.

**The logical clock.** A run must be a function of its configuration, seed and slots, whatever the number and the speed of
its workers. So the order of telling is not that of arrival: `slots` virtual workers work through the proposals, each for
the duration that its estimator declares (`Estimator.cost`); the earliest logical finish is told next (ties: the lower id),
and the virtual worker that it frees asks, with everything that is not told yet as `pending`. Real workers only have to
deliver outcomes; with more slots than workers they rarely wait for the clock.

**Resume.** What the store recorded stands in: a recorded proposal for `ask`, a recorded outcome for the executor.
"""

from __future__ import annotations

import gc
import heapq
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, final

from morphogen.objective import MeasuredLimit, Objective, judge
from morphogen.protocols import (
    Context,
    Died,
    Estimator,
    Event,
    Executor,
    Phase,
    Resources,
    Stop,
    Store,
    Strategy,
)
from morphogen.randomness import Generators
from morphogen.record import Readable, outcome_of, trial_of
from morphogen.space import Space
from morphogen.trial import Outcome, Trial
from morphogen.trial_folders import TrialFolders

__all__ = ["ASK", "MAX_DEATHS", "TELL", "TRIAL", "Study"]

ASK, TELL, TRIAL = 0, 1, 2
"""What randomness is for: `rng(seed, id, purpose)`."""

GATHERED = 0.005
"""Seconds that a proposal may wait for others, so that a commit, which takes a disk as long, makes many durable."""

GRACE = 2.0
"""Seconds that a trial with a deadline has for coming back before it is given up."""

MANY = 50_000
"""Trials of a record that is long."""

MAX_DEATHS = 3
"""A trial whose worker died so often is a failed trial: it is likely to be what kills them."""


@final
@dataclass
class Study:
    """Phases of a run, one after another on one store.

    Args:
        space: The space that all proposals are points of.
        store: The record; what it already has is replayed.
        executor: Where trials run.
        objectives: What is sought, the most important first.
        limits: On measured metrics; the excess is a trial's violation.
        folder: The run folder, for the trials' own folders; None keeps nothing.
        seed: Of everything.
        slots: Virtual workers of the logical clock. More than the workers, or these wait; it is part of the configuration.
        order: `"finish"` tells in order of arrival: it resumes exactly, it does not repeat.
        resources: What one trial may use.
        device: Where networks are trained.
        observer: Called with every event once it is durable.
        listener: Called with a trial's id and what it logs, `(id, step, metrics)`, while it runs.
    """

    space: Space
    store: Store
    executor: Executor
    objectives: Sequence[Objective]
    limits: Sequence[MeasuredLimit] = ()
    folder: Path | None = None
    seed: int = 0
    slots: int = 4
    order: Literal["logical", "finish"] = "logical"
    resources: Resources = field(default_factory=Resources)
    device: str = "cpu"
    observer: Callable[[Event], None] | None = None
    listener: Callable[[int, float, Mapping[str, float]], None] | None = None

    def __post_init__(self) -> None:
        if self.slots < 1:
            raise ValueError(f"slots={self.slots}: at least one virtual worker is needed")
        if self.order not in ("logical", "finish"):
            raise ValueError(f"order={self.order!r}: it is 'logical' or 'finish'")
        self.trials: list[Trial] = []  # asked, by id; with outcomes once told
        self.told: list[Trial] = []
        self.stopped_early: set[str] = set()  # phases that a deadline ended
        self._outcomes: dict[int, Outcome] = {}
        self._arrived: deque[int] = deque()  # finished and not told, in the order of arrival
        self._deaths: dict[int, int] = {}
        self._running: dict[Future[Outcome], tuple[int, Estimator]] = {}
        self._recorded: defaultdict[str, deque[tuple[int, int]]] = defaultdict(deque)
        self._before = 0.0
        self._generators = Generators(self.seed)
        self.folders = TrialFolders(None if self.folder is None else self.folder / "trials")
        collects = gc.isenabled()
        gc.disable()  # nothing of it is garbage, and looking for some takes a fifth of the time
        try:
            for event in self.store.stream():
                self._replay(event)
        finally:
            if collects:
                gc.enable()
        self._started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds that this run has been worked on, earlier sittings included."""
        return self._before + time.monotonic() - self._started

    def run(self, phases: Iterable[Phase]) -> list[Trial]:
        """Run phases to their end; all trials told, in the order of telling."""
        for phase in phases:
            self.run_phase(phase)
        return self.told

    def run_phase(self, phase: Phase) -> list[Trial]:
        """Run one phase to its end; its trials, in the order of telling."""
        with _kept(len(self.trials)):
            return self._run_phase(phase)

    def _run_phase(self, phase: Phase) -> list[Trial]:
        strategy, estimator = phase.start(tuple(self.told))
        stop = phase.stop(tuple(self.told))
        times = _Times.of(stop, waiting=stop.first is not None)
        told: list[Trial] = []
        pending: dict[int, Trial] = {}
        clock: list[tuple[float, int]] = []
        now, asked, seconds = 0.0, 0, 0.0
        begun: list[Trial] = []
        fresh: list[tuple[Trial, int]] = []
        gathered = 0.0  # the first of them was begun then
        while True:
            while len(pending) < self.slots:
                over = stop.reached(asked, len(told), seconds) or self._late(times.over)
                trial = self._next(phase.name, strategy, list(pending.values()), len(told), fresh, over)
                if trial is None:
                    break
                asked += 1
                pending[trial.id] = trial
                if trial.id not in self._outcomes:
                    gathered = gathered if begun else time.monotonic()
                    begun.append(trial)
                heapq.heappush(clock, (now + estimator.cost(trial.proposal), trial.id))
            if not self._ready(clock, pending) or time.monotonic() - gathered > GATHERED:
                self._submit_all(estimator, begun, fresh, times)
                begun, fresh = [], []
            if not pending:
                break
            first = self._first(clock, pending, times)
            if first is None:
                self.stopped_early.add(phase.name)
                break
            now, id = first
            outcome = self._outcomes.pop(id)
            seconds += outcome.seconds
            trial = judge(pending.pop(id), outcome, self.objectives, self.limits, aside=phase.aside)
            self.trials[id] = trial
            told.append(trial)
            self.told.append(trial)
            times = _Times.of(stop)
            strategy.tell(trial, self._generators(id, TELL))
            self.folders.tell(trial, self.trials, pending.values(), phase.keep)
        return told

    # --- asking ---------------------------------------------------------------------------------------------------

    def _next(
        self,
        phase: str,
        strategy: Strategy,
        pending: list[Trial],
        told: int,
        fresh: list[tuple[Trial, int]],
        stopped: bool,
    ) -> Trial | None:
        recorded = self._recorded.get(phase)
        if recorded:
            id, told_then = recorded[0]
            if told_then > told:  # it answered None here
                return None
            recorded.popleft()
            return self.trials[id]
        if stopped:
            return None
        id = len(self.trials)
        proposal = strategy.ask(pending, self._generators(id, ASK))
        if proposal is None:
            return None
        trial = Trial(id, phase, proposal)
        self.trials.append(trial)
        fresh.append((trial, told))
        return trial

    def _submit_all(
        self, estimator: Estimator, begun: Iterable[Trial], fresh: Sequence[tuple[Trial, int]], times: _Times
    ) -> None:
        """Make the new proposals durable in one commit, then start what has no outcome on record."""
        self._record(
            [Event("asked", t.id, {"phase": t.phase, "told": told, "proposal": t.proposal.json}) for t, told in fresh]
        )
        for trial in begun:
            self._submit(estimator, trial, times)

    def _submit(self, estimator: Estimator, trial: Trial, times: _Times) -> None:
        future = self.executor.submit(estimator, trial.proposal, self._context(trial, times))
        self._running[future] = trial.id, estimator

    def _context(self, trial: Trial, times: _Times) -> Context:
        first = trial
        while first.proposal.warm_start is not None:  # a continued trial has the seed of its first
            first = self.trials[first.proposal.warm_start]
        warm = trial.proposal.warm_start
        context = Context(
            seed=int(self._generators(first.id, TRIAL).integers(2**31)),
            folder=self.folders.begin(trial.id),
            warm_start=None if warm is None else self.folders.of(warm),
            device=self.device,
            resources=self.resources,
            deadline=None if times.cut is None else self._started - self._before + times.cut - GRACE,
        )
        return context if self.listener is None else replace(context, log=partial(self.listener, trial.id))

    # --- finishing ------------------------------------------------------------------------------------------------

    def _ready(self, clock: Sequence[tuple[float, int]], pending: Mapping[int, Trial]) -> bool:
        """Whether there is an outcome to tell without waiting for any."""
        if self.order == "logical":
            return bool(clock) and clock[0][1] in self._outcomes
        return any(id in pending for id in self._arrived)

    def _first(
        self, clock: list[tuple[float, int]], pending: dict[int, Trial], times: _Times
    ) -> tuple[float, int] | None:
        """The trial to tell next, once its outcome is there; None where the phase's time ran out and nothing is."""
        if self.order == "logical":
            while clock[0][1] not in self._outcomes:
                if not self._collect(times):
                    # nobody is asked any more, so that the order no longer matters: what is finished counts
                    finished = min((entry for entry in clock if entry[1] in self._outcomes), default=None)
                    if finished is not None:
                        clock.remove(finished)
                        heapq.heapify(clock)
                    return finished
            return heapq.heappop(clock)
        while (first := next((id for id in self._arrived if id in pending), None)) is None:
            if not self._collect(times):
                return None
        self._arrived.remove(first)  # what is before it, an earlier phase has given up
        return 0.0, first

    def _collect(self, times: _Times) -> bool:
        """Wait for workers; record what they bring. False where time ran out: what still runs is given up."""
        timeout = None if times.over is None else max(0.0, times.over - self.elapsed)
        done = self.executor.wait(self._running.keys(), timeout)
        if not done and self._late(times.over):
            for future in self._running:
                future.cancel()
            self._running.clear()
            return False
        events: list[Event] = []
        again: list[tuple[Estimator, int]] = []
        for future in sorted(done, key=lambda f: self._running[f][0]):
            id, estimator = self._running.pop(future)
            error = future.exception()
            if isinstance(error, Died):
                self._deaths[id] = self._deaths.get(id, 0) + 1
                events.append(Event("died", id, {"reason": str(error)}))
                if self._deaths[id] < MAX_DEATHS:
                    again.append((estimator, id))
                    continue
                outcome = Outcome(error=f"the worker died {MAX_DEATHS} times, last: {error}")
            else:
                outcome = future.result()
            self._finish(id, outcome)
            events.append(Event("finished", id, outcome.json))
        self._record(events)
        for estimator, id in again:
            self._submit(estimator, self.trials[id], times)
        return True

    def _finish(self, id: int, outcome: Outcome) -> None:
        self._outcomes[id] = outcome
        if self.order == "finish":
            self._arrived.append(id)

    def _late(self, until: float | None) -> bool:
        return until is not None and self.elapsed >= until

    # --- the record -----------------------------------------------------------------------------------------------

    def _record(self, events: Sequence[Event]) -> None:
        if not events:
            return
        at = round(self.elapsed, 3)
        events = [Event(e.kind, e.trial, {**e.body, "at": at}) for e in events]
        self.store.append(events)
        if self.observer is not None:
            for event in events:
                self.observer(event)

    def _replay(self, event: Event) -> None:
        with Readable(event):
            kind, id, body = event
            self._before = max(self._before, float(body.get("at", 0.0)))
            if (id == len(self.trials)) != (kind == "asked") or id > len(self.trials):
                raise ValueError("it is not its turn")
            if kind == "asked":
                trial = trial_of(event, self.space)
                self.trials.append(trial)
                self._recorded[trial.phase].append((id, int(body["told"])))
            elif kind == "died":
                self._deaths[id] = self._deaths.get(id, 0) + 1
            else:
                self._finish(id, outcome_of(event, self.space))


@contextmanager
def _kept(trials: int) -> Iterator[None]:
    """While a phase runs, a long record is not searched for garbage again and again."""
    if trials <= MANY:
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@final
class _Times(NamedTuple):
    """Of a phase, as `elapsed` of the study."""

    over: float | None
    """What was not told by then is given up."""
    cut: float | None
    """A trial is to come back by then with what it has."""

    @staticmethod
    def of(stop: Stop, waiting: bool = False) -> _Times:
        """Those of a stop; `waiting`: for the first trial, which may be cut short where all the time is too short for it."""
        over = stop.first if waiting else stop.until
        return _Times(over, stop.until if stop.partial else over if waiting else None)
