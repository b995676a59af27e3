"""The processes of one `torchrun`: the first drives the run, the others take part in the trials that want them all.

Such a trial (its estimator has `together = True`, as a supernet's training) is sent to every process and runs in all of
them at once, with `torch.distributed` initialized for as long as it lasts. Every other trial runs where the first
process alone would run it, and the others wait. Between trials they meet at the store of `torchrun`, which has no
timeout: a search may go on for days after its supernet.
"""

from __future__ import annotations

import json
import os
import pickle
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, final

from morphogen.executors.attempt import attempt
from morphogen.executors.packing import Packer, pack_task
from morphogen.protocols import Context, Estimator, Executor, MorphogenError
from morphogen.trial import Outcome, Proposal

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

__all__ = ["Together", "first", "launched", "restarted", "serve"]

PATIENCE = timedelta(minutes=10)
"""How long a process waits for another one inside of a trial, where the other is alive but says nothing."""

GRACE = 30.0
"""Seconds in which the others say how a trial ended that failed here; who says nothing is gone."""

POLL = 0.05
"""Seconds between two looks into the store."""

Job = tuple[Estimator, Proposal, Context]


def launched() -> bool:
    """Whether `torchrun` has started this process as one of several."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def first() -> bool:
    """Whether it is the one that drives."""
    return os.environ.get("RANK", "0") == "0"


def restarted() -> bool:
    """Whether `torchrun` has started all processes again after one of them failed."""
    return launched() and _restarts() > 0


def _restarts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


@final
class Together:
    """Runs what wants all processes in all of them, one at a time, and leaves the rest to another executor.

    In the trials of all, it keeps no limits of time and memory, like `Inline`.

    Args:
        make: Makes the executor of all other trials.
    """

    def __init__(self, make: Callable[[], Executor]) -> None:
        self._alone = make()
        self._meeting = _Meeting()
        self._packer = Packer()
        self._queue: dict[Future[Outcome], Job] = {}

    @property
    def workers(self) -> int:
        """Of trials that run alone."""
        return self._alone.workers

    def submit(self, estimator: Estimator, proposal: Proposal, context: Context) -> Future[Outcome]:
        """Start a trial; one of all processes starts once somebody has waited for it with `wait`."""
        if not getattr(estimator, "together", False):
            return self._alone.submit(estimator, proposal, context)
        future: Future[Outcome] = Future()
        self._queue[future] = estimator, proposal, context
        return future

    def wait(self, futures: Collection[Future[Outcome]], timeout: float | None = None) -> set[Future[Outcome]]:
        """The futures that are done. A trial of all processes keeps no timeout.

        Raises:
            MorphogenError: One of the processes is gone.
        """
        future = next((f for f in self._queue if f in futures), None)
        if future is None:
            return self._alone.wait(futures, timeout)
        estimator, proposal, context = self._queue[future]
        packed = self._packer.pack(estimator)
        self._meeting.call([packed.data, pack_task(proposal, context, packed)[0]])
        future.set_result(self._meeting.run(estimator, proposal, context))
        del self._queue[future]
        return {future}

    def close(self) -> None:
        """Send the other processes home. Idempotent."""
        self._meeting.adjourn()
        self._alone.close()


def serve() -> None:
    """What every process but the first does: take part, until there is nothing more.

    Raises:
        MorphogenError: The first process is gone, with `torchrun` itself.
    """
    from torch.distributed import DistError

    try:
        meeting = _Meeting()
        while (called := meeting.listen()) is not None:
            # from the first process, over the store by which torchrun lets its processes find each other
            estimator, (proposal, context) = [pickle.loads(piece) for piece in called]  # noqa: S301
            meeting.run(estimator, proposal, context)
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # the first process says what that means
    except DistError as error:
        raise MorphogenError(f"the process that drives the run is gone: {str(error).splitlines()[0]}") from None


@final
class _Meeting:
    """Where the processes find each other: jobs and endings by number, in a store that all of them see."""

    def __init__(self) -> None:
        from torch.distributed.distributed_c10d import PrefixStore
        from torch.distributed.rendezvous import rendezvous

        store, self._rank, self._world = next(rendezvous("env://", timeout=PATIENCE))
        # the store outlives processes that are started again: what was said before is not for them
        self._store: Store = PrefixStore(f"morphogen/{_restarts()}", store)
        self._number = 0
        self._over = False

    def call(self, pieces: list[bytes]) -> None:
        """Say what runs next."""
        for number, piece in enumerate(pieces):
            self._store.set(f"job/{self._number}/{number}", piece)  # type: ignore[arg-type]  # bytes, too
        self._store.set(f"job/{self._number}", str(len(pieces)))

    def adjourn(self) -> None:
        """Say that nothing does."""
        if not self._over:
            self._over = True
            self._store.set(f"job/{self._number}", "0")

    def listen(self) -> list[bytes] | None:
        """What runs next, once it is said; None: nothing."""
        key = f"job/{self._number}"
        while not self._store.check([key]):  # a blocking wait would see no signals
            time.sleep(POLL)
        return [self._store.get(f"{key}/{i}") for i in range(int(self._store.get(key)))] or None

    def run(self, estimator: Estimator, proposal: Proposal, context: Context) -> Outcome:
        """Run the job here, as the others do; what went wrong first, in whichever process, is what went wrong.

        Raises:
            MorphogenError: Another process does not say how it ended.
        """
        number, self._number = self._number, self._number + 1
        with self._group(number):
            outcome = attempt(estimator, proposal, replace(context, device=_own(context.device)))
            # before the connections are closed: that is an error for the others, and it is not the first one
            turn = self._store.add(f"ended/{number}", 1)
            self._store.set(f"ended/{number}/{self._rank}", json.dumps([turn, outcome.error]))
        if self._rank != 0:
            return outcome
        limit = time.monotonic() + (PATIENCE.total_seconds() if outcome.error is None else GRACE)
        endings = sorted(self._ending(number, rank, limit) for rank in range(self._world))
        failed = next((error for _, error in endings if error is not None), None)
        return outcome if failed is None else replace(outcome, error=failed)

    def _ending(self, number: int, rank: int, limit: float) -> tuple[int, str | None]:
        key = f"ended/{number}/{rank}"
        while not self._store.check([key]):
            if time.monotonic() > limit:
                raise MorphogenError(
                    f"process {rank} of {self._world} is gone, or stuck: nothing that was recorded is lost, "
                    "`morphogen resume` under torchrun goes on from the last checkpoint"
                )
            time.sleep(POLL)
        turn, error = json.loads(self._store.get(key))
        return turn, error

    @contextmanager
    def _group(self, number: int) -> Iterator[None]:
        """`torch.distributed`, for one job: what else runs in this process is not of several."""
        import torch
        import torch.distributed as dist
        from torch.distributed.distributed_c10d import PrefixStore

        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        store = PrefixStore(f"group/{number}", self._store)
        dist.init_process_group(backend, store=store, rank=self._rank, world_size=self._world, timeout=PATIENCE)
        try:
            yield
        finally:
            dist.destroy_process_group()


def _own(device: str) -> str:
    """The GPU of this process, where any GPU is wanted: one each."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device.partition(":")[0] == "cuda" else device
