"""Trials on a cluster of Ray: this machine by default, or many.

Only tasks are used: Ray places, isolates and cancels, and never tries again by itself (`max_retries=0`), since the
study counts deaths and decides.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import math
import os
import pickle
import threading
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as wait_for
from contextlib import aclosing
from typing import Any, final

from morphogen.executors import ray_task
from morphogen.executors.carrying import Carrier, Sent
from morphogen.executors.curves import Recorder
from morphogen.executors.ray_cluster import PLACE, check_address, connect, import_ray
from morphogen.executors.ray_trial import Parcel, RayTrial, needs_of, pickled, unseen
from morphogen.protocols import Context, Died, Estimator, MorphogenError
from morphogen.space import Space
from morphogen.trial import Outcome, Proposal

__all__ = ["Ray"]

TOLD_EVERY = 0.2
"""Seconds until what a trial logs is passed on."""
KEPT = 8
"""So many pickled estimators and spaces are kept: a phase has one of each, a cascade a few."""
AHEAD = 16
"""Quick trials that Ray has to choose from on this machine while all its workers are taken: it gives one to a worker that
gets free 1.6 times as fast as it grants a place anew."""
SMALL = 50_000
"""Up to so many bytes, a pickled estimator goes with every task: fetching it took a third of the tasks a second away."""


@final
class Ray:
    """Runs each trial as a task of Ray, in a worker process that is used again for the next.

    A node that does not see the run folder judges in a temporary one: what a trial begins with is sent there, and what
    it leaves is back in the run folder before its outcome is told. Likewise with data that the driver maps. What a trial
    prints from Python is in `log.txt` of its folder. Cancelling a future kills its worker. An estimator is pickled once:
    changing it later has no effect.

    A trial whose device is a GPU gets one, or the fraction in `resources.gpus`, and sees no other.

    Args:
        workers: How many trials run at a time, at most.
        address: `HOST:PORT` of a cluster that has this machine as a node; by default Ray's own variable `RAY_ADDRESS`.
            None: a cluster of this process on this machine, which `close` ends; or the one that the program has
            connected to already, which it leaves alone.
        cpus: Of the cluster that is started; by default one a worker.

    Raises:
        MorphogenError: Ray is not installed, does not start, or the cluster is open to anybody.
        ValueError: No worker, or an address that cannot be used.
    """

    def __init__(self, workers: int = 2, *, address: str | None = None, cpus: int | None = None) -> None:
        if workers < 1:
            raise ValueError(f"workers={workers}: at least one is needed")
        address = address or os.environ.get("RAY_ADDRESS") or None
        if address is not None:
            check_address(address)
        self._workers = workers
        self._ray = import_ray()
        self._owns = not self._ray.is_initialized()
        self._local = self._owns and address is None
        if self._owns:
            connect(self._ray, address, cpus or workers, workers)
        self._judges: dict[tuple[float, ...], Any] = {}
        self._logged: deque[tuple[Callable[[float, Mapping[str, float]], None], float, Mapping[str, float]]] = deque()
        self._kept: OrderedDict[int, tuple[Estimator | Space, Parcel]] = OrderedDict()
        self._carrier = Carrier(self._ray.put)
        self._possible: set[tuple[float, float]] = set()
        self._lock = threading.Lock()  # of _open: nothing is submitted to a loop that ends
        self._open = True
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._slots = asyncio.Semaphore(workers)
        self._queue = asyncio.Semaphore(workers + AHEAD) if self._local else self._slots
        self._thread = threading.Thread(target=self._serve, name="morphogen-ray", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    @property
    def workers(self) -> int:
        """How many trials run at a time, at most."""
        return self._workers

    def submit(self, estimator: Estimator, proposal: Proposal, context: Context) -> Future[Outcome]:
        """Start a trial, or queue it. The future raises `Died` where its worker or node was lost.

        Raises:
            MorphogenError: The estimator cannot be pickled, or no node has what a trial may use.
        """
        with self._lock:
            if not self._open:
                raise RuntimeError("the executor is closed; make a new one")
            needs = needs_of(context)
            self._check_possible(needs)
            packed, architecture = self._pack(estimator, SMALL), proposal.architecture
            space = b"" if architecture is None else self._pack(architecture.space, math.inf).sent
            seen = None if self._local or context.folder is None else context.folder.parent.absolute()
            trial = RayTrial(estimator, packed, proposal, context, needs, space, seen)
            return asyncio.run_coroutine_threadsafe(self._follow(trial), self._loop)

    def wait(self, futures: Collection[Future[Outcome]], timeout: float | None = None) -> set[Future[Outcome]]:
        """Block until one of the futures is done, or `timeout` seconds passed; those that are done."""
        end = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            left = end - time.monotonic()
            done = wait_for(futures, min(max(left, 0.0), TOLD_EVERY), return_when=FIRST_COMPLETED).done
            while self._logged:
                log, step, metrics = self._logged.popleft()
                log(step, metrics)
            if done or left <= 0 or not futures:
                return done

    def close(self) -> None:
        """Kill what runs, and end the cluster that was started. Idempotent."""
        atexit.unregister(self.close)
        with self._lock:
            if not self._open:
                return
            self._open = False
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._kept.clear()
        if self._owns:
            self._ray.shutdown()

    def _pack(self, sent: Estimator | Space, small: float) -> Parcel:
        """What is pickled once for all its trials; where it is not small, a reference by which a node fetches it once."""
        if id(sent) not in self._kept:
            try:
                data, mapped = pickled(self._ray.cloudpickle, sent)
            except Exception as error:  # whatever somebody's `__reduce__` can raise
                raise MorphogenError(
                    f"{type(sent).__name__} cannot be sent to a worker process ({error}): define it without open "
                    "files and locks, or use the executor `inline`"
                ) from None
            # the object is kept, too: no other can have its id meanwhile
            self._kept[id(sent)] = sent, Parcel(data if len(data) <= small else self._ray.put(data), mapped)
        self._kept.move_to_end(id(sent))
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[id(sent)][1]

    def _check_possible(self, needs: Mapping[str, float]) -> None:
        """Refuse what Ray would wait for without a word."""
        cpus, gpus = needs["num_cpus"], needs["num_gpus"]
        if (cpus, gpus) in self._possible:
            return
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
            found = "; ".join(f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs" for node in nodes)
            raise MorphogenError(
                f"no node of the Ray cluster has the {cpus:g} CPUs and {gpus:g} GPUs that a trial uses (there are: "
                f"{found}): start one that has, or let a trial use less"
            )
        self._possible.add((cpus, gpus))

    # --- in the thread of the loop --------------------------------------------------------------------------------

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:  # its end cancels every trial
            runner.run(self._ended.wait())

    async def _follow(self, trial: RayTrial) -> Outcome:
        # what Ray queues, it starts in a worker that it has already; but a deadline is sent as the seconds that are left
        async with self._queue if trial.context.deadline is None else self._slots:
            while True:
                sent = None
                if self._carrier.carries:
                    sent = await asyncio.to_thread(self._carrier.sent, *trial.folders, trial.packed.mapped)
                outcome = await self._run(trial, sent)
                if isinstance(outcome, Outcome):
                    return outcome
                # at most once for each kind: what was sent is not asked for
                self._carrier.unseen(outcome)

    async def _run(self, trial: RayTrial, sent: Sent | None) -> Outcome | Sequence[str]:
        """Once on a node; what that one does not see, where it could not begin."""
        asked = tuple(trial.task)
        try:  # one argument of bytes: Ray would look through each of several, which takes it longer than the rest
            task = pickle.dumps(asked)
        except Exception as error:  # whatever somebody's `__reduce__` can raise
            raise MorphogenError(f"the proposal cannot be sent to a worker process: {error}") from None
        running = self._judge(trial).remote(trial.packed.sent, task, *(() if sent is None else (sent,)))
        try:
            return await (self._hear(trial, running, sent) if trial.aloud else trial.hear(running))
        except asyncio.CancelledError:
            self._ray.cancel(running, force=True)
            raise
        except self._ray.exceptions.RayError as error:
            raise self._explain(error) from None

    def _judge(self, trial: RayTrial) -> Any:
        """The task of Ray that judges it."""
        key = trial.aloud, *trial.needs.values()
        if key not in self._judges:
            task = self._ray.remote(max_retries=0)(ray_task.judge_aloud if trial.aloud else ray_task.judge)
            options: dict[str, Any] = {**trial.needs, "resources": {PLACE: 1} if self._local else None}
            if trial.aloud:
                options["num_returns"] = "streaming"
            self._judges[key] = task.options(**options)
        return self._judges[key]

    async def _hear(self, trial: RayTrial, said: Any, sent: Sent | None) -> Outcome | Sequence[str]:
        """Follow a trial that says what it does."""
        seconds = trial.context.resources.seconds
        recorder = Recorder(lambda step, metrics: self._logged.append((trial.context.log, step, metrics)))
        patience = TOLD_EVERY if seconds is None else min(seconds, TOLD_EVERY)
        async with aclosing(self._lines(said, patience)) as lines:
            if first := await anext(lines):
                return unseen(first)
            # it said that it starts: before that, no time counts
            started = time.monotonic()
            try:
                async with asyncio.timeout(seconds):
                    async for line in lines:
                        body = json.loads(line)
                        if "outcome" in body:
                            break
                        step, metrics = body["log"]
                        recorder(float(step), {name: float(value) for name, value in metrics.items()})
                    else:
                        raise Died("the worker ended without a result")
            except TimeoutError:
                self._ray.cancel(said, force=True)
                error = f"time limit: not done after {seconds:g} s"
                return Outcome(error=error, seconds=time.monotonic() - started, curves=recorder.curves)
            if sent is not None:  # on its way no time counts, either
                await trial.take((await anext(lines))[1])
            return trial.read(body["outcome"])

    async def _lines(self, said: Any, patience: float) -> AsyncGenerator[Any, None]:
        """What a trial says; as it comes, where it is not over within so many seconds."""
        try:
            async with asyncio.timeout(patience):
                await said.completed()
        except TimeoutError:
            async for line in said:
                yield await line
        else:  # all is there: to wait for line after line takes Ray longer than the trial
            for line in self._ray.get(list(said)):
                yield line

    def _explain(self, error: Exception) -> MorphogenError:
        known = self._ray.exceptions
        line = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        if isinstance(error, known.RayTaskError | known.RuntimeEnvSetupError | known.TaskUnschedulableError):
            # outside of the attempt: the node lacks something, and so will the next trial
            return MorphogenError(f"a node of the Ray cluster cannot run trials: {line}")
        if isinstance(error, known.WorkerCrashedError):
            return Died("the worker process ended without a result (killed, for want of memory, or crashed)")
        return Died(f"the worker or its node was lost ({type(error).__name__}): {str(error).strip().splitlines()[0]}")
