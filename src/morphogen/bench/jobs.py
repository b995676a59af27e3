"""Many runs at a time, on the cores there are, each kept in a file."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from morphogen.bench.replaying import Job, Replay, replay
from morphogen.training.files import write_whole

__all__ = ["replays"]


def replays(todo: Sequence[Job], jobs: int, folder: Path | None, resume: bool) -> Iterator[tuple[Job, Replay]]:
    """Each job with its result, as they come.

    Args:
        todo: What is run.
        jobs: Processes that run at a time.
        folder: Where each run is kept; None: nowhere.
        resume: Take what `folder` keeps from an earlier call, instead of running it again.
    """
    left = []
    for job in todo:
        kept = _read(_file(folder, job)) if resume and folder is not None else None
        if kept is None:
            left.append(job)
        else:
            yield job, kept
    if jobs == 1 or len(left) < 2:
        for job in left:
            yield job, _keep(folder, job, replay(job))
        return
    with _one_thread_each(), ProcessPoolExecutor(min(jobs, len(left)), multiprocessing.get_context("spawn")) as pool:
        futures: dict[Future[Replay], Job] = {pool.submit(replay, job): job for job in left}
        try:
            for future in as_completed(futures):
                yield futures[future], _keep(folder, futures[future], future.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """New processes compute with one thread: there are as many as cores, and sums depend on the number of threads."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _file(folder: Path | None, job: Job) -> Path:
    assert folder is not None
    key = hashlib.blake2b(json.dumps(asdict(job), sort_keys=True).encode(), digest_size=8).hexdigest()
    return folder / "runs" / f"{job.strategy}-{job.seed}-{key}.json"


def _keep(folder: Path | None, job: Job, result: Replay) -> Replay:
    if folder is not None:
        file = _file(folder, job)
        file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"job": asdict(job), "result": result.json})
        write_whole(file, lambda out: out.write(text.encode()))
    return result


def _read(file: Path) -> Replay | None:
    try:
        return Replay(**json.loads(file.read_text(encoding="utf-8"))["result"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not there, or torn: it is run again
