"""Trials in simulated time: many workers and long trainings on a table, in milliseconds."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Set
from concurrent.futures import Future
from dataclasses import dataclass
from typing import final

from morphogen.executors.attempt import attempt
from morphogen.protocols import Context, Estimator
from morphogen.trial import Outcome, Proposal

__all__ = ["Span", "Virtual"]


@final
@dataclass(frozen=True, slots=True)
class Span:
    """From when to when a trial ran, in simulated seconds."""

    start: float
    finish: float


@final
class Virtual:
    """Simulated workers: a trial is judged when it is submitted, and takes `outcome.seconds` of a simulated clock.

    Trials start in the order of submission, each on the worker that is free first. Only `wait` moves the clock.

    Args:
        workers: How many trials run at a time.
    """

    def __init__(self, workers: int = 1) -> None:
        if workers < 1:
            raise ValueError(f"workers={workers}: at least one is needed")
        self._workers = workers
        self.now = 0.0
        """Simulated seconds since the beginning."""
        self.spans: dict[Future[Outcome], Span] = {}
        """When each trial ran or will run, in the order of submission."""
        self._free = [0.0] * workers  # a heap: when each worker will have done everything it was given
        self._running: dict[Future[Outcome], Outcome] = {}
        self._finishes: list[tuple[float, int, Future[Outcome]]] = []  # a heap
        self._open = True

    @property
    def workers(self) -> int:
        """How many trials run at a time."""
        return self._workers

    @property
    def utilization(self) -> float:
        """The share of the workers' time until now that they were busy; 1 where no time has passed."""
        busy = sum(min(s.finish, self.now) - s.start for s in self.spans.values() if s.start < self.now)
        return busy / (self._workers * self.now) if self.now > 0 else 1.0

    def submit(self, estimator: Estimator, proposal: Proposal, context: Context) -> Future[Outcome]:
        """Judge at once; the future is done when the clock has got to the finish."""
        if not self._open:
            raise RuntimeError("the executor is closed; make a new one")
        outcome = attempt(estimator, proposal, context)
        start = max(self.now, self._free[0])
        span = Span(start, start + outcome.seconds)
        heapq.heapreplace(self._free, span.finish)
        future: Future[Outcome] = Future()
        heapq.heappush(self._finishes, (span.finish, len(self.spans), future))
        self._running[future] = outcome
        self.spans[future] = span
        return future

    def wait(self, futures: Collection[Future[Outcome]], timeout: float | None = None) -> set[Future[Outcome]]:
        """Move the clock to the earliest finish among the futures, by `timeout` simulated seconds at most."""
        wanted = futures if isinstance(futures, Set) else set(futures)
        # with thousands of workers this comparison is what waiting costs
        done = set() if self._running.keys() >= wanted else {f for f in wanted if f not in self._running}
        until = self.now + timeout if timeout is not None else float("inf") if wanted else self.now
        # once one is done the clock stands still, and others that finish at the same moment are given with it
        while self._finishes and self._finishes[0][0] <= (self.now if done else until):
            self.now, _, future = heapq.heappop(self._finishes)
            outcome = self._running.pop(future)
            if not future.cancelled():
                future.set_result(outcome)
            if future in wanted:
                done.add(future)
        if not done:
            self.now = until if timeout is not None else self.now
        return done

    def close(self) -> None:
        """Cancel what has not finished. Idempotent."""
        self._open = False
        for future in self._running:
            future.cancel()
        self._running.clear()
        self._finishes.clear()
