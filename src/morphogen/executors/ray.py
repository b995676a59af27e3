"""Trials on a cluster of Ray: this machine by default, or many.

Only tasks are used: Ray places, isolates and cancels, and never tries again by itself (`max_retries=0`), since the
study counts deaths and decides. What comes back from a worker is JSON text.
"""

from __future__ import annotations

import asyncio
import atexit
import io
import json
import logging
import os
import signal
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as wait_for
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, final

from morphogen.executors.attempt import attempt
from morphogen.executors.output import Output
from morphogen.executors.running import LOG_NAME
from morphogen.executors.worker import limited_memory
from morphogen.protocols import Context, Died, Estimator, MorphogenError
from morphogen.space import Space
from morphogen.trial import Outcome, Proposal

__all__ = ["Ray"]

OBJECT_STORE_BYTES = 100_000_000
"""Of shared memory on this machine: weights go through files. Ray wants 78.6 MB at least."""
KEPT = 4
"""So many pickled estimators are kept: a phase has one, a cascade a few."""
SMALL = 50_000
"""Up to so many bytes, a pickled estimator goes with every task: fetching it took a third of the tasks a second away."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

Logged = list[tuple[float, dict[str, float]]]


@final
class Ray:
    """Runs each trial as a task of Ray, in a worker process that is used again for the next.

    The trial's folder must mean the same on every node: put the run on a shared file system. What a trial prints from
    Python is in `log.txt` of its folder; `context.log` is called when the trial is over; a trial that is killed at its
    time limit has no curves. Cancelling a future kills its worker. An estimator is pickled once: changing it later has
    no effect.

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
            _check_address(address)
        self._workers = workers
        self._ray = _import_ray()
        self._owns = not self._ray.is_initialized()
        if self._owns:
            _connect(self._ray, address, cpus or workers)
        self._judge = self._ray.remote(max_retries=0)(_judge)
        self._judge_in_time = self._ray.remote(max_retries=0)(_judge_in_time)
        self._logged: deque[tuple[Callable[[float, Mapping[str, float]], None], Logged]] = deque()
        self._kept: OrderedDict[int, tuple[Estimator, Any]] = OrderedDict()
        self._possible: set[tuple[float, float]] = set()
        self._lock = threading.Lock()  # of _open: nothing is submitted to a loop that ends
        self._open = True
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._slots = asyncio.Semaphore(workers)
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
            needs = _needs(context)
            self._check_possible(needs)
            packed = self._pack(estimator)
            trial = _Trial(estimator, packed, proposal, context, needs)
            return asyncio.run_coroutine_threadsafe(self._follow(trial), self._loop)

    def wait(self, futures: Collection[Future[Outcome]], timeout: float | None = None) -> set[Future[Outcome]]:
        """Block until one of the futures is done, or `timeout` seconds passed; those that are done."""
        if not any(future.done() for future in futures):
            wait_for(futures, timeout, return_when=FIRST_COMPLETED)
        done = {future for future in futures if future.done()}
        while self._logged:
            log, logged = self._logged.popleft()
            for step, metrics in logged:
                log(step, metrics)
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

    def _pack(self, estimator: Estimator) -> Any:
        """The pickled estimator, or a reference by which a node fetches it once. Each trial unpickles a fresh one."""
        if id(estimator) not in self._kept:
            try:
                data = self._ray.cloudpickle.dumps(estimator)
            except Exception as error:  # whatever somebody's `__reduce__` can raise
                raise MorphogenError(
                    f"{type(estimator).__name__} cannot be sent to a worker process ({error}): define it without open "
                    "files and locks, or use the executor `inline`"
                ) from None
            # the object is kept, too: no other can have its id meanwhile
            packed = data if len(data) <= SMALL else self._ray.put(data)
            self._kept[id(estimator)] = estimator, packed
        self._kept.move_to_end(id(estimator))
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[id(estimator)][1]

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

    async def _follow(self, trial: _Trial) -> Outcome:
        async with self._slots:
            task, seconds = trial.arguments(), trial.context.resources.seconds
            if seconds is None:
                judge = self._judge.options(**trial.needs)
            else:
                judge = self._judge_in_time.options(**trial.needs, num_returns="streaming")
            started = time.monotonic()
            try:
                running = judge.remote(trial.packed, *task)
            except TypeError as error:
                raise MorphogenError(f"the proposal cannot be sent to a worker process: {error}") from None
            try:
                if seconds is None:
                    answer = await running
                else:
                    await (await anext(running))  # it says when it starts: before that, no time counts
                    started = time.monotonic()
                    async with asyncio.timeout(seconds):
                        answer = await (await anext(running))
            except asyncio.CancelledError:
                self._ray.cancel(running, force=True)
                raise
            except TimeoutError:
                self._ray.cancel(running, force=True)
                return Outcome(error=f"time limit: not done after {seconds:g} s", seconds=time.monotonic() - started)
            except self._ray.exceptions.RayError as error:
                raise self._explain(error) from None
            body = json.loads(answer)
            logged = [(float(step), {k: float(v) for k, v in metrics.items()}) for step, metrics in body["logged"]]
            self._logged.append((trial.context.log, logged))
            return trial.read(body["outcome"])

    def _explain(self, error: Exception) -> MorphogenError:
        known = self._ray.exceptions
        line = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        if isinstance(error, known.RayTaskError | known.RuntimeEnvSetupError | known.TaskUnschedulableError):
            # outside of the attempt: the node lacks something, and so will the next trial
            return MorphogenError(f"a node of the Ray cluster cannot run trials: {line}")
        if isinstance(error, known.WorkerCrashedError):
            return Died("the worker process ended without a result (killed, for want of memory, or crashed)")
        return Died(f"the worker or its node was lost ({type(error).__name__}): {str(error).strip().splitlines()[0]}")


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """A trial that was submitted; `packed` is the pickled estimator or refers to it, `needs` are Ray's options."""

    estimator: Estimator
    packed: Any
    proposal: Proposal
    context: Context
    needs: Mapping[str, float]

    def arguments(self) -> tuple[Proposal, Context, float | None, str | None]:
        """What a worker is sent beside the estimator: proposal, context, seconds left, a folder that it must see."""
        context = self.context
        folder, warm = (None if path is None else path.absolute() for path in (context.folder, context.warm_start))
        left = None if context.deadline is None else context.deadline - time.monotonic()  # nodes differ in their clocks
        device = "cuda:0" if context.device.startswith("cuda") else context.device  # a worker sees no other
        plain = replace(
            context, log=Context(0).log, folder=folder, warm_start=warm, deadline=None, device=device
        )  # who listens to the log stays here
        seen = None if folder is None else next(str(parent) for parent in (folder, *folder.parents) if parent.is_dir())
        return self.proposal, plain, left, seen

    def read(self, body: Mapping[str, Any]) -> Outcome:
        """The outcome that a worker sent."""
        asked = self.proposal.architecture
        space = asked.space if asked is not None else getattr(self.estimator, "space", None)
        if "found" in body and not isinstance(space, Space):
            name = type(self.estimator).__name__
            return Outcome(error=f"{name} found an architecture, but has no attribute `space` to read it with")
        return Outcome.from_json(body, space if isinstance(space, Space) else Space(()))


def _needs(context: Context) -> dict[str, float]:
    gpus = context.resources.gpus or float(context.device.startswith("cuda"))
    return {"num_cpus": context.resources.cpus, "num_gpus": gpus}


# --- connecting -------------------------------------------------------------------------------------------------------


def _check_address(address: str) -> None:
    if address.startswith("ray://"):
        raise ValueError(f"'{address}' is for Ray's client: start the search on a node of the cluster, give HOST:PORT")
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise ValueError(f"'{address}' is no address of a Ray cluster: give HOST:PORT, as `ray start --head` prints it")
    if host.strip("[]") not in LOOPBACK and os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        raise MorphogenError(
            f"the Ray cluster at {address} is refused: without a token, whoever reaches it runs programs on all nodes. "
            "Run `ray get-auth-token --generate`, copy ~/.ray/auth_token to every node, and set RAY_AUTH_MODE=token "
            "there and here, before `ray start`"
        )


def _import_ray() -> ModuleType:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    try:
        import ray
        import ray.cloudpickle
        import ray.exceptions
    except ImportError:
        raise MorphogenError(
            "the executor `ray` needs the extra morphogen[ray]: pip install 'morphogen[ray]'"
        ) from None
    module: ModuleType = ray
    return module


def _connect(ray: ModuleType, address: str | None, cpus: int) -> None:
    quiet = {"log_to_driver": False, "configure_logging": False}
    local = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    try:
        with _own_signals(), _without_warnings("ray"):
            ray.init(address=address or "local", **quiet, **(local if address is None else {}))
    except (ConnectionError, OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        ray.shutdown()
        where = "does not start on this machine" if address is None else f"at {address} cannot be reached"
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise MorphogenError(f"Ray {where}: {line}") from error
    # a death would be told in ten lines on stdout, where `--json` writes; there is no other way to say so
    ray._private.worker._worker_logs_enabled = False
    # Ray listens on every interface; a cluster that it starts has a token, where nobody says otherwise
    if address is None and os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        ray.shutdown()
        raise MorphogenError(
            f"Ray {ray.__version__} started without a token and was ended: whoever reaches this machine could run "
            "programs on it. Set RAY_AUTH_MODE=token"
        )


@contextmanager
def _without_warnings(name: str) -> Iterator[None]:
    """Ray says on stderr that it has a token, how its memory is, and more that is nothing to a search."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this program's handler of SIGTERM, which Ray replaces by one that ends it without ado."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGTERM, before)


# --- on a worker ------------------------------------------------------------------------------------------------------


def _judge(estimator: bytes, proposal: Proposal, context: Context, left: float | None, seen: str | None) -> str:
    """Judge, and say in JSON what came of it and what was logged."""
    if seen is not None and not Path(seen).is_dir():
        raise MorphogenError(
            f"{os.uname().nodename} has no folder {seen}: put the run on a file system that all nodes share"
        )
    logged: list[tuple[float, dict[str, str]]] = []

    def log(step: float, metrics: Mapping[str, float]) -> None:
        logged.append((step, {name: repr(value) for name, value in metrics.items()}))

    context = replace(context, log=log, deadline=None if left is None else time.monotonic() + left)
    output = Output(None if context.folder is None else context.folder / LOG_NAME)
    printed, memory = _Printed(output), limited_memory(context.resources.memory_mb)
    with closing(output), redirect_stdout(printed), redirect_stderr(printed), memory:
        outcome = attempt(_Unpickled(estimator), proposal, context)
    return json.dumps({"outcome": outcome.json, "logged": logged}, separators=(",", ":"))


def _judge_in_time(*task: Any) -> Iterator[str]:
    """First say that it starts: time counts from then, and not from when Ray began to look for a place."""
    yield ""
    yield _judge(*task)


@final
@dataclass(frozen=True)
class _Unpickled:
    """An estimator that is unpickled by the attempt: what fails in that is the trial's result, too."""

    data: bytes

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        from ray import cloudpickle

        estimator: Estimator = cloudpickle.loads(self.data)  # from the driver
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
