"""The laws that every executor keeps, and trials with all that trials do to the processes that they run in."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import pytest

from morphogen.protocols import Context, Executor
from morphogen.space import Choice, Space
from morphogen.trial import Outcome, Proposal

__all__ = ["Calls", "ExecutorSuite", "drain"]

SPACE = Space((Choice("width", ("8", "16"), ordered=True), Choice("skips", ("0", "1"), pick=(0, 2))))


@final
@dataclass(frozen=True)
class Calls:
    """An estimator that calls a function of a module."""

    function: Callable[[Proposal, Context], Any]
    space: Space = SPACE
    measured: frozenset[str] = field(default=frozenset())

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        return self.function(proposal, context)  # type: ignore[no-any-return]  # some give anything

    def cost(self, proposal: Proposal) -> float:
        return 1.0


# --- what trials do -----------------------------------------------------------------------------------------------


def gives_its_context(proposal: Proposal, context: Context) -> Outcome:
    here = float(context.folder is not None and context.folder.name == "own")
    warm = float(context.warm_start is not None and context.warm_start.name == "first")
    return Outcome({"seed": context.seed, "folder": here, "warm": warm, "cpu": context.device == "cpu"})


def gives_seconds(proposal: Proposal, context: Context) -> Outcome:
    return Outcome({"accuracy": 0.5, "worst": math.inf}, seconds=float(context.seed))


def finds(proposal: Proposal, context: Context) -> Outcome:
    return Outcome(found=SPACE.architecture({"width": "16", "skips": ["1"]}))


def raises(proposal: Proposal, context: Context) -> Outcome:
    context.log(1, {"loss": 2.0})
    raise ArithmeticError("the loss diverged\nat step 3")


def gives_nan(proposal: Proposal, context: Context) -> Outcome:
    return Outcome({"accuracy": math.nan, "params": 3})


def gives_a_number(proposal: Proposal, context: Context) -> Any:
    return 0.5


def logs(proposal: Proposal, context: Context) -> Outcome:
    for step in range(5):
        context.log(step, {"loss": 1 / (step + 1)} | ({"accuracy": math.inf} if step == 4 else {}))
    return Outcome({"accuracy": 0.5})


def sleeps(proposal: Proposal, context: Context) -> Outcome:
    _note_pid(context, os.getpid())
    context.log(1, {"loss": 2.0})
    with suppress(ValueError):  # in a thread, where Ray runs it
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
    return Outcome()


def computes(proposal: Proposal, context: Context) -> Outcome:
    _note_pid(context, os.getpid())
    while True:
        sum(range(10_000))


def starts_another_process(proposal: Proposal, context: Context) -> Outcome:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    _note_pid(context, child.pid)
    _note_pid(context, os.getpid())
    return Outcome({"pid": child.pid}) if context.seed == 0 else sleeps(proposal, context)


def is_killed(proposal: Proposal, context: Context) -> Outcome:
    os.kill(os.getpid(), context.seed)
    return Outcome()


def exits(proposal: Proposal, context: Context) -> Outcome:
    sys.exit(context.seed)


def exits_at_once(proposal: Proposal, context: Context) -> Outcome:
    os._exit(context.seed)


def allocates(proposal: Proposal, context: Context) -> Outcome:
    return Outcome({"bytes": len(bytearray(context.seed))})


def prints(proposal: Proposal, context: Context) -> Outcome:
    print("first line")
    for _ in range(300):
        print("x" * 100_000)
    print("last line", file=sys.stderr)
    return Outcome({"accuracy": 0.5})


def writes_garbage(proposal: Proposal, context: Context) -> Outcome:
    """Into every pipe that it has, as a library that mixes up its descriptors would."""
    for fd in range(3, 256):
        try:
            os.write(fd, b"\x00\xffgarbage\n")
        except OSError:
            continue
    time.sleep(600)
    return Outcome()


def _note_pid(context: Context, pid: int) -> None:
    if context.folder is not None:
        context.folder.mkdir(parents=True, exist_ok=True)
        with (context.folder / "pids").open("a") as file:
            file.write(f"{pid}\n")


# --- the laws -----------------------------------------------------------------------------------------------------


def drain(executor: Executor, futures: Collection[Future[Outcome]], timeout: float | None = None) -> None:
    """Wait until all are done, as a study does: for whichever is first."""
    left = set(futures)
    while left:
        done = executor.wait(left, timeout)
        assert done <= left
        assert all(future.done() for future in done)
        left -= done


class ExecutorSuite(ABC):
    """Subclass and say how to make the executor."""

    @abstractmethod
    def make(self, workers: int) -> Executor:
        """A new executor, with as many workers as it can have up to so many."""

    @pytest.fixture
    def executor(self) -> Any:
        executor = self.make(2)
        yield executor
        executor.close()

    def test_every_trial_comes_back_with_its_own_outcome(self, executor: Executor) -> None:
        estimator = Calls(gives_its_context)
        futures = {executor.submit(estimator, Proposal(None), Context(seed)): seed for seed in range(7)}
        drain(executor, futures)
        assert [float(s) for s in futures.values()] == [f.result().metrics["seed"] for f in futures]
        assert all(f.result().seconds > 0 for f in futures)

    def test_there_is_a_number_of_workers(self, executor: Executor) -> None:
        assert 1 <= executor.workers <= 2

    def test_the_context_comes_through(self, executor: Executor, tmp_path: Path) -> None:
        context = Context(7, folder=tmp_path / "own", warm_start=tmp_path / "first")
        assert run(executor, gives_its_context, context).metrics == {
            "seed": 7.0,
            "folder": 1.0,
            "warm": 1.0,
            "cpu": 1.0,
        }

    def test_seconds_and_infinite_metrics_of_the_estimator_are_kept(self, executor: Executor) -> None:
        outcome = run(executor, gives_seconds, Context(3))
        assert {"accuracy": 0.5, "worst": math.inf} == outcome.metrics
        assert (outcome.seconds, outcome.error) == (3.0, None)

    def test_an_architecture_that_was_found_comes_back(self, executor: Executor) -> None:
        assert dict(run(executor, finds).found or {}) == {"width": "16", "skips": ("1",)}

    def test_an_exception_is_a_failed_trial_with_its_traceback(self, executor: Executor) -> None:
        outcome = run(executor, raises)
        first, *rest = (outcome.error or "").splitlines()
        assert first == "ArithmeticError: the loss diverged"
        assert any("in raises" in line for line in rest)
        assert outcome.curves == {"loss": [(1.0, 2.0)]}

    def test_a_metric_that_is_nan_is_a_failed_trial(self, executor: Executor) -> None:
        outcome = run(executor, gives_nan)
        assert "'accuracy'" in (outcome.error or "") or "accuracy is NaN" in (outcome.error or "")
        assert outcome.metrics == {"params": 3.0}

    def test_what_is_no_outcome_is_a_failed_trial(self, executor: Executor) -> None:
        outcome = run(executor, gives_a_number)
        assert (outcome.error or "").startswith("TypeError: the estimator gave float, expected an Outcome")

    def test_what_a_trial_logs_arrives_and_is_kept_as_curves(self, executor: Executor) -> None:
        heard: list[tuple[float, Mapping[str, float]]] = []
        outcome = run(executor, logs, Context(0, log=lambda step, metrics: heard.append((step, metrics))))
        loss = [(float(step), 1 / (step + 1)) for step in range(5)]
        assert {"loss": loss, "accuracy": [(4.0, math.inf)]} == outcome.curves
        assert [{"loss": value} for _, value in loss[:4]] + [{"loss": 0.2, "accuracy": math.inf}] == [
            m for _, m in heard
        ]
        assert [float(step) for step in range(5)] == [step for step, _ in heard]

    def test_waiting_with_a_timeout_gives_what_is_done_by_then(self, executor: Executor) -> None:
        futures = [executor.submit(Calls(gives_seconds), Proposal(None), Context(2)) for _ in range(5)]
        drain(executor, futures, timeout=0.01)
        assert all(f.result().seconds == 2.0 for f in futures)

    def test_a_future_that_is_done_is_given_at_once(self, executor: Executor) -> None:
        first, second = (executor.submit(Calls(gives_seconds), Proposal(None), Context(s)) for s in (2, 3))
        drain(executor, [first])
        assert first in executor.wait([first, second])
        drain(executor, [second])

    def test_waiting_for_nothing_gives_nothing(self, executor: Executor) -> None:
        assert set() == executor.wait([])

    def test_a_cancelled_trial_does_not_keep_the_others(self, executor: Executor) -> None:
        futures = [executor.submit(Calls(gives_its_context), Proposal(None), Context(s)) for s in range(4)]
        assert futures[1].cancel() or futures[1].done()
        drain(executor, [futures[0], *futures[2:]])
        assert [futures[i].result().metrics["seed"] for i in (0, 2, 3)] == [0.0, 2.0, 3.0]

    def test_close_ends_everything_and_may_be_repeated(self, executor: Executor) -> None:
        futures = [executor.submit(Calls(gives_seconds), Proposal(None), Context(9)) for _ in range(4)]
        executor.close()
        executor.close()
        assert all(future.done() for future in futures)
        with pytest.raises(RuntimeError, match="closed"):
            executor.submit(Calls(gives_seconds), Proposal(None), Context(9))


def run(executor: Executor, function: Callable[[Proposal, Context], Any], context: Context | None = None) -> Outcome:
    """The outcome of one trial."""
    future = executor.submit(Calls(function), Proposal(None), context or Context(0))
    drain(executor, [future])
    return future.result()
