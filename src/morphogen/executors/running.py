"""One trial in a worker, as the driver sees it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, final

from morphogen.executors.curves import Recorder
from morphogen.executors.output import Output
from morphogen.executors.packing import Packed
from morphogen.executors.wire import Lines, Main
from morphogen.protocols import Context, Died, Estimator
from morphogen.space import Space
from morphogen.trial import Outcome, Proposal

__all__ = ["LOG_NAME", "Running", "Task"]

LOG_NAME = "log.txt"
"""In the trial's folder: what its worker printed."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A trial that was submitted.

    Args:
        number: Counted from 0 in the order of submission.
        packed: The pickled estimator.
        data: Pickled proposal and context.
        main: What has to be imported before they can be unpickled, if anything.
    """

    number: int
    future: Future[Outcome]
    estimator: Estimator
    proposal: Proposal
    context: Context
    packed: Packed
    data: bytes
    main: Main | None


@final
class Running:
    """Follows a worker from its start to its end, and says what came of it."""

    def __init__(self, task: Task, messages: int, output: int, device: str | None) -> None:
        self.task = task
        self.device = device
        self.pid: int | None = None
        self.overdue = False
        self.garbage: str | None = None
        self._started = time.monotonic()
        self._lines = Lines(messages)
        self._output_fd = output
        folder = task.context.folder
        self._output = Output(None if folder is None else folder / LOG_NAME)
        self._logged: list[tuple[float, Mapping[str, float]]] = []
        self._recorder = Recorder(lambda step, metrics: self._logged.append((step, metrics)))
        self._outcome: Outcome | None = None

    @property
    def deadline(self) -> float | None:
        """When (`time.monotonic()`) its time limit is over; None while it has not started, or has no limit."""
        seconds = self.task.context.resources.seconds
        return None if seconds is None or self.pid is None or self.overdue else self._started + seconds

    @property
    def fds(self) -> tuple[int, int]:
        """Of its messages and its output."""
        return self._lines.fd, self._output_fd

    def start(self, pid: int) -> None:
        """The worker has been forked: from now on time counts."""
        self.pid = pid
        self._started = time.monotonic()

    def read_messages(self) -> bool:
        """Take the messages that have arrived; False where no more can come."""
        if self.garbage is None:
            try:
                for message in self._lines.read():
                    self._take(message)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                self.garbage = str(error)
        return not self._lines.ended and self.garbage is None

    def read_output(self) -> bool:
        """Take what was printed; False where no more can come."""
        with suppress(BlockingIOError):
            for _ in range(64):  # more than a pipe holds; a worker that prints without end must not keep others waiting
                if not (data := os.read(self._output_fd, 2**16)):
                    return False
                self._output.write(data)
        return True

    def logged(self) -> list[tuple[float, Mapping[str, float]]]:
        """What the trial logged since the last time."""
        logged = list(self._logged)
        self._logged.clear()
        return logged

    def conclude(self, exit: int | None) -> Outcome | Died:
        """The worker has ended: take what it left, and say what came of the trial.

        Args:
            exit: Its exit code, minus the signal that killed it; None where the fork server was lost.
        """
        self.read_messages()
        self.read_output()
        self._output.close()
        os.close(self._lines.fd)
        os.close(self._output_fd)
        folder = self.task.context.folder
        said = self._output.last_line
        output = f" (see {folder / LOG_NAME})" if said and folder is not None else ""
        if self.garbage is not None:
            return Died(f"the worker sent what is no result: {self.garbage}{output}")
        if self._outcome is not None:
            return self._outcome
        if self.overdue:
            limit = self.task.context.resources.seconds
            seconds = time.monotonic() - self._started
            return Outcome(
                error=f"time limit: not done after {limit:g} s", seconds=seconds, curves=self._recorder.curves
            )
        if said and exit is not None and exit > 0:
            return Died(f"the worker {_ending(exit)}: {said}{output}")
        return Died(f"the worker {_ending(exit)}{output}")

    def _take(self, message: dict[str, Any]) -> None:
        if "log" in message:
            step, metrics = message["log"]
            self._recorder(float(step), {name: float(value) for name, value in metrics.items()})
        else:
            self._outcome = self._read(message["outcome"])

    def _read(self, body: Mapping[str, Any]) -> Outcome:
        asked, estimator = self.task.proposal.architecture, self.task.estimator
        space = asked.space if asked is not None else getattr(estimator, "space", None)
        if isinstance(space, Space):
            return Outcome.from_json(body, space)
        if "found" in body:
            name = type(estimator).__name__
            return Outcome(error=f"{name} found an architecture, but has no attribute `space` to read it with")
        return Outcome.from_json(body, Space(()))


def _ending(exit: int | None) -> str:
    if exit is None:
        return "was lost with its fork server"
    if exit >= 0:
        return f"exited with code {exit} and without a result"
    try:
        name = signal.Signals(-exit).name
    except ValueError:
        name = f"signal {-exit}"
    return f"was killed by {name}" + (" (by hand, or for want of memory)" if exit == -signal.SIGKILL else "")
