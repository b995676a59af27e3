"""Trials in this process, one at a time: the debugger's executor."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import Future
from typing import final

from morphogen.executors.attempt import attempt
from morphogen.protocols import Context, Estimator
from morphogen.trial import Outcome, Proposal

__all__ = ["Inline"]


@final
class Inline:
    """Runs a trial where somebody waits for it, so that it is recorded before the next one starts.

    Breakpoints, profilers and tracebacks work as in any program. Without a second process it keeps no limits of time
    or memory, and what kills a trial kills the run.
    """

    def __init__(self) -> None:
        self._queue: dict[Future[Outcome], tuple[Estimator, Proposal, Context]] = {}
        self._open = True

    @property
    def workers(self) -> int:
        """One."""
        return 1

    def submit(self, estimator: Estimator, proposal: Proposal, context: Context) -> Future[Outcome]:
        """Queue a trial. The future is done once somebody has waited for it with `wait`."""
        if not self._open:
            raise RuntimeError("the executor is closed; make a new one")
        future: Future[Outcome] = Future()
        self._queue[future] = estimator, proposal, context
        return future

    def wait(self, futures: Collection[Future[Outcome]], timeout: float | None = None) -> set[Future[Outcome]]:
        """The futures that are done; where none is, the oldest of them is run. A trial that runs keeps no timeout."""
        wanted = set(futures)
        if not (done := {f for f in wanted if f.done()}):
            future = next((f for f in self._queue if f in wanted), None)
            if future is None:
                return done
            # out of the queue only when it is over: after Ctrl-C the trial can be waited for again
            future.set_result(attempt(*self._queue[future]))
            done = {future}
        for finished in [f for f in self._queue if f.done()]:
            del self._queue[finished]
        return done

    def close(self) -> None:
        """Cancel what is queued. Idempotent."""
        self._open = False
        for future in self._queue:
            future.cancel()
        self._queue.clear()
