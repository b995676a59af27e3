"""One trial in a process of its own, forked from the fork server."""

from __future__ import annotations

import faulthandler
import os
import pickle
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, TextIO, final

from morphogen.executors.attempt import attempt
from morphogen.executors.wire import Launch, tell
from morphogen.protocols import Context, Estimator
from morphogen.trial import Outcome, Proposal

__all__ = ["run"]


def run(estimator: bytes, launch: Launch, messages: int, output: int, lifeline: int) -> NoReturn:
    """Judge, say so, and end the process without ado.

    Args:
        estimator: Pickled.
        launch: What the driver ordered.
        messages: Descriptor for JSON lines to the driver.
        output: Descriptor for whatever is printed.
        lifeline: Descriptor of a pipe that ends with the driver.
    """
    code = 1
    try:
        os.setpgid(0, 0)  # so that it is killed with all that it starts
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        sys.stdout, sys.stderr = _stream(1), _stream(2)
        faulthandler.enable()  # a segmentation fault leaves its traceback in the trial's log
        threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
        _judge(estimator, launch, messages)
        code = 0
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    except BaseException:  # the process ends here, and the trial's log should say why
        traceback.print_exc()
    finally:
        os._exit(code & 0xFF)


def _stream(fd: int) -> TextIO:
    """Of lines: what was printed before a crash is not lost in a buffer."""
    return open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _judge(estimator: bytes, launch: Launch, messages: int) -> None:
    proposal, context = pickle.loads(launch.task)  # noqa: S301 - from the driver
    lock = threading.Lock()

    def log(step: float, metrics: Mapping[str, float]) -> None:
        with lock:  # a line is whole, whichever thread writes it
            tell(messages, {"log": [step, {name: repr(value) for name, value in metrics.items()}]})

    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(max(1, int(context.resources.cpus)))
    with limited_memory(context.resources.memory_mb):
        outcome = attempt(
            _Pickled(estimator), proposal, replace(context, log=log, device=launch.device or context.device)
        )
    with lock:
        tell(messages, {"outcome": outcome.json})


@final
@dataclass(frozen=True)
class _Pickled:
    """An estimator that is unpickled by the attempt: what fails in that is the trial's result, too."""

    data: bytes

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        estimator: Estimator = pickle.loads(self.data)  # noqa: S301 - from the driver
        return estimator(proposal, context)


@contextmanager
def limited_memory(megabytes: float | None) -> Iterator[None]:
    """Let the address space grow by so many MiB beyond what this fresh worker has.

    PyTorch alone maps 0.6 GB (with CUDA, 3 GB) that cost nothing, so the limit counts from there. Memory of a GPU is
    mapped into the address space, too: a limit makes sense for a CPU only.
    """
    if megabytes is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    baseline = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (baseline + int(megabytes * 2**20), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))  # the outcome must get out


def _end_with(lifeline: int) -> None:
    """End when the driver does.

    The fork server kills the workers of a driver that is gone; this is for when it was killed as well.
    """
    os.read(lifeline, 1)  # nothing is ever written: this comes back when the driver's end is closed
    os.killpg(0, signal.SIGKILL)
