"""The driver's end of a fork server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, final

from morphogen.executors.forkserver import ROLE
from morphogen.executors.wire import Launch, Lines, send

__all__ = ["Link"]

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""One thread a worker: the trials are the parallelism, and sums in another order are other numbers."""


@final
class Link:
    """Starts a fork server, orders it about, and hears from it.

    Args:
        preload: Modules that it imports first.
    """

    def __init__(self, preload: Sequence[str]) -> None:
        self._control, theirs = socket.socketpair()
        heard, answers = os.pipe()
        watched, self._lifeline = os.pipe()
        os.set_blocking(heard, False)
        self._lines = Lines(heard)
        self.ready = False
        arguments = f"{theirs.fileno()}, {answers}, {watched}, {list(preload)!r}"
        program = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from morphogen.executors.forkserver import serve; serve({arguments})"
        )
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, a program of ours, no shell
            [sys.executable, "-c", program],
            env={**os.environ, ROLE: "1", **dict.fromkeys(THREADS, "1")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a script that it imports may print, and the driver's output may be JSON
            pass_fds=(theirs.fileno(), answers, watched),
            start_new_session=True,  # Ctrl-C in the terminal reaches the driver alone
        )
        theirs.close()
        os.close(answers)
        os.close(watched)
        self._known: set[int] = set()

    def fileno(self) -> int:
        """For a selector: readable when there is something to `hear`."""
        return self._lines.fd

    @property
    def lost(self) -> bool:
        """Whether the server has ended."""
        return self._lines.ended

    def knows(self, estimator: int) -> bool:
        """Whether the server has an estimator already."""
        return estimator in self._known

    def launch(self, order: Launch, messages: int, output: int) -> None:
        """Have a worker started. That the server is gone shows when it is next heard."""
        with suppress(BrokenPipeError, ConnectionResetError):
            send(self._control, order, (messages, output))
        self._known = (self._known | {order.estimator}) & order.alive

    def kill(self, trial: int) -> None:
        """Have a worker killed, with all that it started."""
        with suppress(BrokenPipeError, ConnectionResetError):
            send(self._control, trial)

    def hear(self) -> list[dict[str, Any]]:
        """What the server has answered since."""
        return self._lines.read()

    def close(self) -> int:
        """End the server and all its workers; its exit code."""
        self._control.close()
        try:
            code = self._process.wait(10)
        except subprocess.TimeoutExpired:  # it is stopped, or importing a script that never ends
            self._process.kill()
            code = self._process.wait()
        os.close(self._lifeline)
        os.close(self._lines.fd)
        return code
