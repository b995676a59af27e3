"""What a worker process of Ray does with a trial. What it says to the driver is JSON text."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, final

from morphogen.executors.attempt import attempt
from morphogen.executors.output import Output
from morphogen.executors.running import LOG_NAME
from morphogen.executors.worker import limited_memory
from morphogen.protocols import Context, Estimator, MorphogenError, Resources
from morphogen.space import Architecture, Space
from morphogen.trial import Fidelity, Outcome, Proposal

__all__ = ["Task", "judge", "judge_aloud"]

Log = Callable[[float, Mapping[str, float]], None]


@final
class Task(NamedTuple):
    """What a worker is sent beside the estimator: plain values, since pickled objects take twenty times as long.

    Args:
        space: Pickled, of the architecture; a worker reads it once.
        code: Of the architecture; None: the whole space.
        proposal: The rest of the proposal.
        context: What comes first in the context, up to the limits; folders as text.
        resources: The limits.
        left: Seconds until its deadline; nodes differ in their clocks.
        seen: A folder that this node has to see.
    """

    space: bytes
    code: bytes | None
    proposal: tuple[Fidelity, int | None, Mapping[str, Any]]
    context: tuple[int, str | None, str | None, str]
    resources: tuple[float | None, float | None, float, float]
    left: float | None
    seen: str | None

    def unpacked(self, log: Log | None) -> tuple[Proposal, Context]:
        """What the driver had, with another log."""
        architecture = None if self.code is None else Architecture(_space(self.space), self.code)
        seed, folder, warm, device = self.context
        context = Context(
            seed,
            None if folder is None else Path(folder),
            None if warm is None else Path(warm),
            device,
            Resources(*self.resources),
            log or Context(0).log,
            None if self.left is None else time.monotonic() + self.left,
        )
        return Proposal(architecture, *self.proposal), context


def judge(estimator: bytes, task: bytes, log: Log | None = None) -> str:
    """Judge, and say in JSON what came of it.

    Args:
        estimator: Pickled.
        task: A pickled `Task`, as a tuple.
        log: Of its context.

    Raises:
        MorphogenError: The folder is not there.
    """
    sent = Task(*_unpickled(task))
    if sent.seen is not None and not Path(sent.seen).is_dir():
        raise MorphogenError(
            f"{os.uname().nodename} has no folder {sent.seen}: put the run on a file system that all nodes share"
        )
    proposal, context = sent.unpacked(log)
    output = Output(None if context.folder is None else context.folder / LOG_NAME)
    printed, memory = _Printed(output), limited_memory(context.resources.memory_mb)
    with closing(output), redirect_stdout(printed), redirect_stderr(printed), memory:
        outcome = attempt(_Unpickled(estimator), proposal, context)
    return json.dumps({"outcome": outcome.json}, separators=(",", ":"))


def judge_aloud(estimator: bytes, task: bytes) -> Iterator[str]:
    """First say that it starts: time counts from then, and not from when Ray began to look for a place. Then say in
    JSON what is logged, while it is judged in a thread; at the end, what came of it.
    """
    yield ""
    said: SimpleQueue[str | None] = SimpleQueue()

    def log(step: float, metrics: Mapping[str, float]) -> None:
        said.put(json.dumps({"log": [step, {name: repr(value) for name, value in metrics.items()}]}))

    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(judge, estimator, task, log)
        answer.add_done_callback(lambda _: said.put(None))
        while (line := said.get()) is not None:
            yield line
        yield answer.result()


def _unpickled(data: bytes) -> Any:
    from ray import cloudpickle

    return cloudpickle.loads(data)  # from the driver


@lru_cache(maxsize=4)
def _space(data: bytes) -> Space:
    space: Space = _unpickled(data)
    return space


@final
@dataclass(frozen=True)
class _Unpickled:
    """An estimator that is unpickled by the attempt: what fails in that is the trial's result, too."""

    data: bytes

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        estimator: Estimator = _unpickled(self.data)
        if (torch := sys.modules.get("torch")) is not None:
            torch.set_num_threads(max(1, int(context.resources.cpus)))
        return estimator(proposal, context)


@final
class _Printed(io.TextIOBase):
    """Takes what Python prints into a log."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def write(self, text: str) -> int:
        self._output.write(text.encode(errors="backslashreplace"))
        return len(text)
