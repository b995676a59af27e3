"""What a worker process of Ray does with a trial. What it says to the driver is JSON text."""

from __future__ import annotations

import io
import json
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, final

from morphogen.executors.attempt import attempt
from morphogen.executors.carrying import DATA, FOLDER, Sent, data_here, fetch, pack, sees, temporary
from morphogen.executors.output import Output
from morphogen.executors.running import LOG_NAME
from morphogen.executors.worker import limited_memory
from morphogen.protocols import Context, Estimator, Resources
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
        seen: The folder of trials' folders, and the token that tells whether this node sees it.
        data: Of each data set that the estimator maps, the folder and the digest.
    """

    space: bytes
    code: bytes | None
    proposal: tuple[Fidelity, int | None, Mapping[str, Any]]
    context: tuple[int, str | None, str | None, str]
    resources: tuple[float | None, float | None, float, float]
    left: float | None
    seen: tuple[str, str] | None
    data: tuple[tuple[str, str], ...]

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


def judge(estimator: bytes, task: bytes, sent: Sent | None = None) -> str | tuple[str, Mapping[str, bytes]]:
    """Judge, and say in JSON what came of it; or what this node does not see and was not sent.

    Args:
        estimator: Pickled.
        task: A pickled `Task`, as a tuple.
        sent: Files that this node may not see; then what the trial left comes with the outcome, unless it is where it belongs.

    Raises:
        MorphogenError: The trial left more than can travel.
    """
    with _arrived(Task(*_unpickled(task)), sent) as (here, unseen):
        if unseen:
            return _line(unseen=unseen)
        said = here.judge(estimator, None)
        return said if sent is None else (said, here.left())


def judge_aloud(
    estimator: bytes, task: bytes, sent: Sent | None = None
) -> Iterator[str | tuple[str, Mapping[str, bytes]]]:
    """First say that it starts: time counts from then, and not from when Ray began to look for a place, or while files
    travel. Then say in JSON what is logged, while it is judged in a thread; then, what came of it, and at the end what it left.
    """
    with _arrived(Task(*_unpickled(task)), sent) as (here, unseen):
        if unseen:
            yield _line(unseen=unseen)
            return
        yield ""
        said: SimpleQueue[str | None] = SimpleQueue()

        def log(step: float, metrics: Mapping[str, float]) -> None:
            said.put(_line(log=[step, {name: repr(value) for name, value in metrics.items()}]))

        with ThreadPoolExecutor(1) as thread:
            answer = thread.submit(here.judge, estimator, log)
            answer.add_done_callback(lambda _: said.put(None))
            while (line := said.get()) is not None:
                yield line
            yield answer.result()
        if sent is not None:
            yield "", here.left()


@final
@dataclass(frozen=True)
class _Here:
    """A trial on this node.

    Args:
        task: What was asked.
        moved: By the driver's folder of a data set, the one of this node.
        root: A temporary folder instead of the run's; None: the run's is seen.
    """

    task: Task
    moved: Mapping[str, Path]
    root: Path | None

    def judge(self, estimator: bytes, log: Log | None) -> str:
        """The outcome in JSON."""
        proposal, context = self.task.unpacked(log)
        context = replace(context, folder=self._in_root(context.folder), warm_start=self._in_root(context.warm_start))
        output = Output(None if context.folder is None else context.folder / LOG_NAME)
        printed, memory = _Printed(output), limited_memory(context.resources.memory_mb)
        with closing(output), redirect_stdout(printed), redirect_stderr(printed), memory:
            outcome = attempt(_Unpickled(estimator, self.moved), proposal, context)
        return _line(outcome=outcome.json)

    def left(self) -> Mapping[str, bytes]:
        """The files that have to come back."""
        own = self.task.context[1]
        return {} if self.root is None or own is None else pack(self.root / Path(own).name)

    def _in_root(self, folder: Path | None) -> Path | None:
        return folder if self.root is None or folder is None else self.root / folder.name


@contextmanager
def _arrived(task: Task, sent: Sent | None) -> Iterator[tuple[_Here, list[str]]]:
    """A trial with what it needs, and else what this node does not see."""
    shared = task.seen is None or sees(*task.seen)
    data = {} if sent is None or sent.data is None else sent.data
    moved = {folder: data_here(folder, digest, data.get(folder), _get) for folder, digest in task.data}
    found = {folder: place for folder, place in moved.items() if place is not None}
    carried = sent is not None and sent.own is not None
    unseen = [FOLDER] * (not shared and not carried) + [DATA] * (len(found) < len(moved))
    if shared or unseen:
        yield _Here(task, found, None), unseen
        return
    with temporary() as root:
        assert sent is not None
        for folder, pieces in zip(task.context[1:3], (sent.own, sent.warm), strict=True):
            if folder is not None and pieces:
                fetch(pieces, root / Path(folder).name, _get)
        yield _Here(task, found, root), unseen


def _get(reference: Any) -> bytes:
    import ray

    content: bytes = ray.get(reference)
    return content


def _line(**said: Any) -> str:
    return json.dumps(said, separators=(",", ":"))


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
    moved: Mapping[str, Path]

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        estimator: Estimator = _Unpickler(self.data, self.moved).load() if self.moved else _unpickled(self.data)
        if (torch := sys.modules.get("torch")) is not None:
            torch.set_num_threads(max(1, int(context.resources.cpus)))
        return estimator(proposal, context)


@final
class _Unpickler(pickle.Unpickler):
    """Maps data sets from where this node has them."""

    def __init__(self, data: bytes, moved: Mapping[str, Path]) -> None:
        super().__init__(io.BytesIO(data))  # from the driver
        self._moved = moved

    def persistent_load(self, pid: Any) -> Any:
        from morphogen.training.images import Images

        folder, *rest = pid
        return Images.mapped(self._moved.get(folder, Path(folder)), *rest)


@final
class _Printed(io.TextIOBase):
    """Takes what Python prints into a log."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def write(self, text: str) -> int:
        self._output.write(text.encode(errors="backslashreplace"))
        return len(text)
