"""Trials on this machine, each in a process of its own."""

from __future__ import annotations

import atexit
import os
import selectors
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from pathlib import Path
from typing import final

from morphogen.executors.forkserver import ROLE
from morphogen.executors.link import Link
from morphogen.executors.packing import Packer, pack_task
from morphogen.executors.running import Running, Task
from morphogen.executors.wire import Launch
from morphogen.protocols import Context, Estimator, MorphogenError
from morphogen.trial import Outcome, Proposal

__all__ = ["Processes"]


@final
class Processes:
    """Runs each trial in a process that is forked for it, in about 10 ms, and gone after it.

    So a trial can be killed at its time limit, has a memory limit, and takes no other with it when it crashes. Results
    come back as JSON numbers; what a trial prints is in `log.txt` of its folder, at most 1 MB. `context.log` is called
    by `wait`. An estimator is pickled once: changing it later has no effect. Cancelling a future kills its worker.

    One thread watches the workers, so that limits hold and queued trials start while the driver thinks.

    Args:
        workers: How many trials run at a time, each with one PyTorch thread (or `resources.cpus` of them, if more).
        devices: Given to trials, the least used first, such as `("cuda:0", "cuda:1")`; empty: the context's.
        preload: Modules that are imported once and not once a trial. They must start no threads and use no GPU.

    Raises:
        MorphogenError: A worker imports the script that makes this, which has no `__main__` guard.
    """

    def __init__(self, workers: int = 2, *, devices: Sequence[str] = (), preload: Sequence[str] = ("torch",)) -> None:
        if workers < 1:
            raise ValueError(f"workers={workers}: at least one is needed")
        if ROLE in os.environ:
            raise MorphogenError("the script starts a search while it is imported")
        self._workers, self._devices, self._preload = workers, tuple(devices), tuple(preload)
        self._changed = threading.Condition()
        # guarded by _changed
        self._queue: deque[Task] = deque()
        self._cancelled: list[int] = []
        self._logged: deque[tuple[Callable[[float, Mapping[str, float]], None], float, Mapping[str, float]]] = deque()
        self._submitted = 0
        self._closing = False
        self._released = False
        self._packer = Packer()
        self._thread: threading.Thread | None = None
        # the thread's own
        self._running: dict[int, Running] = {}
        self._link: Link | None = None
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)
        self._selector.register(self._woken, selectors.EVENT_READ, lambda: os.read(self._woken, 4096))
        atexit.register(self.close)

    @property
    def workers(self) -> int:
        """How many trials run at a time."""
        return self._workers

    def submit(self, estimator: Estimator, proposal: Proposal, context: Context) -> Future[Outcome]:
        """Start a trial, or queue it. The future raises `Died` where the worker died inside its limits.

        Raises:
            MorphogenError: The estimator or the proposal cannot be sent to another process.
            ValueError: A memory limit where there is no Linux to keep it.
        """
        if context.resources.memory_mb is not None and sys.platform != "linux":
            raise ValueError("a memory limit of a trial needs Linux: leave `memory_mb` out")
        future: Future[Outcome] = Future()
        with self._changed:
            if self._closing:
                raise RuntimeError("the executor is closed; make a new one")
            packed = self._packer.pack(estimator)
            data, main = pack_task(proposal, context, packed)
            task = Task(self._submitted, future, estimator, proposal, context, packed, data, main)
            self._submitted += 1
            self._queue.append(task)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="morphogen-processes", daemon=True)
                self._thread.start()
        future.add_done_callback(self._note_cancelled(task.number))
        self._wake()
        return future

    def wait(self, futures: Collection[Future[Outcome]], timeout: float | None = None) -> set[Future[Outcome]]:
        """Block until one of the futures is done, or `timeout` seconds passed; those that are done."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._changed:
                logged = list(self._logged)
                self._logged.clear()
                done = {f for f in futures if f.done()}
                left = None if until is None else until - time.monotonic()
                if over := bool(done) or not futures or (left is not None and left <= 0):
                    pass
                elif not logged:
                    self._changed.wait(left)
            for log, step, metrics in logged:
                log(step, metrics)
            if over:
                return done

    def close(self) -> None:
        """Kill every worker and end the fork server. Idempotent."""
        atexit.unregister(self.close)
        with self._changed:
            self._closing = True
        if self._thread is not None:
            self._wake()
            self._thread.join()
        else:
            self._release()

    def _note_cancelled(self, number: int) -> Callable[[Future[Outcome]], None]:
        def note(future: Future[Outcome]) -> None:
            if future.cancelled():
                with self._changed:
                    self._cancelled.append(number)
                self._wake()

        return note

    def _wake(self) -> None:
        with self._changed:
            if not self._released:
                with suppress(BlockingIOError):  # full: it is awake anyway
                    os.write(self._waker, b".")

    # --- in the watching thread -----------------------------------------------------------------------------------

    def _watch(self) -> None:
        try:
            while self._round():
                pass
        finally:
            self._abandon()

    def _round(self) -> bool:
        with self._changed:
            if self._closing:
                return False
            queued = bool(self._queue)
            cancelled, self._cancelled = self._cancelled, []
        if self._link is None and queued:
            self._link = Link(self._preload)
            self._selector.register(self._link, selectors.EVENT_READ, self._hear)
        if self._link is not None:
            for number in cancelled:
                if number in self._running:
                    self._link.kill(number)
            while self._link.ready and len(self._running) < self._workers and (task := self._next()) is not None:
                self._launch(task, self._link)
        deadlines = [at for running in self._running.values() if (at := running.deadline) is not None]
        timeout = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
        ready = [key for key, _ in self._selector.select(timeout)]
        for key in ready:
            if key.fileobj is not self._link:
                key.data()
        if any(key.fileobj is self._link for key in ready):
            self._hear()  # the last: it ends trials, whose own events must not come after that
        for number, running in self._running.items():
            if self._link is not None and running.deadline is not None and running.deadline <= time.monotonic():
                running.overdue = True
                self._link.kill(number)
        return True

    def _next(self) -> Task | None:
        with self._changed:
            while self._queue:
                task = self._queue.popleft()
                if not task.future.cancelled():
                    return task
        return None

    def _launch(self, task: Task, link: Link) -> None:
        with self._changed:
            alive = self._packer.kept | {task.packed.number}
        busy = Counter(running.device for running in self._running.values())
        device = min(self._devices, key=lambda d: busy[d]) if self._devices else None
        (messages, their_messages), (output, their_output) = os.pipe(), os.pipe()
        os.set_blocking(messages, False)
        os.set_blocking(output, False)
        running = self._running[task.number] = Running(task, messages, output, device)
        order = Launch(
            trial=task.number,
            estimator=task.packed.number,
            task=task.data,
            pickled=None if link.knows(task.packed.number) else task.packed.data,
            alive=alive,
            modules=task.packed.modules,
            main=task.main,
            folder=str(Path.cwd()),
            device=device,
        )
        link.launch(order, their_messages, their_output)
        os.close(their_messages)
        os.close(their_output)
        self._selector.register(messages, selectors.EVENT_READ, lambda: self._read(running, messages))
        self._selector.register(output, selectors.EVENT_READ, lambda: self._read_output(running, output))

    def _read(self, running: Running, fd: int) -> None:
        if not running.read_messages():
            self._selector.unregister(fd)
            if running.garbage is not None and self._link is not None:
                self._link.kill(running.task.number)
        self._pass_on(running)

    def _read_output(self, running: Running, fd: int) -> None:
        if not running.read_output():
            self._selector.unregister(fd)

    def _hear(self) -> None:
        link = self._link
        if link is None:
            return
        for answer in link.hear():
            if "ready" in answer:
                link.ready = True
            elif "broken" in answer:
                self._refuse_queue(f"the fork server did not start: {answer['broken']}")
            elif "pid" in answer:
                self._running[answer["trial"]].start(answer["pid"])
            elif "refused" in answer:
                self._end(answer["trial"], None, MorphogenError(answer["refused"]))
            else:
                self._end(answer["trial"], answer["exit"])
        if link.lost:
            self._lose(link)

    def _lose(self, link: Link) -> None:
        """The fork server has ended: so do its workers, and the next trial starts another server."""
        self._selector.unregister(link)
        code = link.close()
        self._link = None
        if not link.ready:
            self._refuse_queue(f"the fork server did not start (exit code {code}): what it wrote to stderr says why")
        for number, running in list(self._running.items()):
            if running.pid is not None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(running.pid, signal.SIGKILL)
            self._end(number, None)

    def _refuse_queue(self, reason: str) -> None:
        while (task := self._next()) is not None:
            self._settle(task.future, MorphogenError(reason))

    def _end(self, number: int, exit: int | None, refusal: MorphogenError | None = None) -> None:
        running = self._running.pop(number)
        for fd in running.fds:
            with suppress(KeyError):  # one that had nothing more to give is not registered any more
                self._selector.unregister(fd)
        result = running.conclude(exit)
        self._pass_on(running)
        self._settle(running.task.future, refusal or result)

    def _pass_on(self, running: Running) -> None:
        if logged := running.logged():
            with self._changed:
                self._logged.extend((running.task.context.log, step, metrics) for step, metrics in logged)
                self._changed.notify_all()

    def _settle(self, future: Future[Outcome], result: Outcome | MorphogenError) -> None:
        with suppress(InvalidStateError):  # it was cancelled
            if isinstance(result, Outcome):
                future.set_result(result)
            else:
                future.set_exception(result)
        with self._changed:
            self._changed.notify_all()

    def _abandon(self) -> None:
        """The end: no worker, no server, nobody left waiting."""
        if self._link is not None:
            self._selector.unregister(self._link)
            self._link.close()
            self._link = None
        for number, running in list(self._running.items()):
            running.task.future.cancel()
            self._end(number, None)
        while (task := self._next()) is not None:
            task.future.cancel()
        self._release()

    def _release(self) -> None:
        with self._changed:
            if not self._released:
                self._released = self._closing = True
                self._selector.close()
                os.close(self._woken)
                os.close(self._waker)
            self._changed.notify_all()
