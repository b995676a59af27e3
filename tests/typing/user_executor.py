"""A user's own executor: threads."""

from collections.abc import Collection
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from morphogen import Context, MorphogenError, Outcome, Proposal, Resources
from morphogen.protocols import Died, Estimator, Executor


class Threads:
    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool = ThreadPoolExecutor(workers)

    def submit(self, estimator: Estimator, proposal: Proposal, context: Context) -> Future[Outcome]:
        return self._pool.submit(estimator, proposal, context)

    def wait(self, futures: Collection[Future[Outcome]], timeout: float | None = None) -> set[Future[Outcome]]:
        return wait(futures, timeout, FIRST_COMPLETED).done

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


executor: Executor = Threads(2)
fault: MorphogenError = Died("the node is gone")
context = Context(seed=0, resources=Resources(seconds=60, memory_mb=2000))
