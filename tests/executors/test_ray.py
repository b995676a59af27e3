"""Trials as tasks of Ray, on one local cluster for all tests of the file."""

import os
import signal
import time
from pathlib import Path

import pytest

from morphogen.executors import Ray
from morphogen.protocols import Context, Died, Executor
from morphogen.testing import executor as trials
from morphogen.testing.executor import Calls, ExecutorSuite, drain
from morphogen.trial import Proposal

# Ray reads files that it leaves to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module")
def cluster():
    """Ray is connected once a process, and other executors join the cluster that is there."""
    first = Ray(2)
    yield first
    first.close()


@pytest.fixture
def executor(cluster):
    joined = Ray(2)
    yield joined
    joined.close()


def start(executor, function, seed=0, **context):
    return executor.submit(Calls(function), Proposal(None), Context(seed, **context))


def pid(folder: Path) -> int:
    """What the trial of a folder noted when it had begun."""
    end = time.monotonic() + 60
    while not (file := folder / "pids").exists() or not file.read_text().endswith("\n"):
        assert time.monotonic() < end, "it did not begin"
        time.sleep(0.02)
    return int(file.read_text())


@pytest.mark.usefixtures("cluster")
class TestRay(ExecutorSuite):
    def make(self, workers: int) -> Executor:
        made: Executor = Ray(workers)
        return made


def test_a_worker_that_is_killed_is_a_death_and_the_others_go_on(executor, tmp_path):
    killed, other = start(executor, trials.sleeps, folder=tmp_path / "0"), start(executor, trials.finds)
    os.kill(pid(tmp_path / "0"), signal.SIGKILL)
    drain(executor, [killed, other])
    assert isinstance(killed.exception(), Died)
    assert "without a result" in str(killed.exception())
    assert other.result().found is not None
    again = start(executor, trials.gives_seconds, 3)
    drain(executor, [again])
    assert 3.0 == again.result().seconds


def test_what_a_killed_worker_does_is_not_told_on_stdout(executor, capfd):
    future = start(executor, trials.is_killed, signal.SIGKILL)
    drain(executor, [future])
    time.sleep(1)  # Ray tells it a moment later
    assert "" == capfd.readouterr().out


@pytest.mark.parametrize("function", [trials.sleeps, trials.computes])
def test_a_trial_that_hangs_is_killed_at_its_time_limit(executor, tmp_path, function):
    future = start(executor, function, folder=tmp_path, resources=Resources(seconds=0.5))
    drain(executor, [future])
    assert "time limit: not done after 0.5 s" == future.result().error
    assert 0.5 <= future.result().seconds
    with pytest.raises(ProcessLookupError):
        ended(pid(tmp_path))


def test_a_trial_that_keeps_its_time_limit_is_judged(executor):
    future = start(executor, trials.gives_seconds, 3, resources=Resources(seconds=60))
    drain(executor, [future])
    assert {"accuracy": 0.5} == {k: v for k, v in future.result().metrics.items() if k == "accuracy"}


def test_cancelling_a_future_kills_its_worker(executor, tmp_path):
    future = start(executor, trials.sleeps, folder=tmp_path)
    process = pid(tmp_path)
    assert future.cancel()
    with pytest.raises(ProcessLookupError):
        ended(process)


def test_a_memory_limit_counts_from_what_the_worker_has(executor):
    limit = Resources(memory_mb=300)
    over, under = (start(executor, trials.allocates, 2**20 * mb, resources=limit) for mb in (400, 100))
    drain(executor, [over, under])
    assert over.result().error.startswith("out of memory: ")
    assert {"bytes": 2.0**20 * 100} == under.result().metrics


def test_what_a_trial_prints_is_kept_and_bounded(executor, tmp_path):
    future = start(executor, trials.prints, folder=tmp_path)
    drain(executor, [future])
    log = (tmp_path / "log.txt").read_text()
    assert log.startswith("first line\nxxx")
    assert log.endswith("xxx\nlast line\n")
    assert len(log) < 1.1 * 2**20


def test_no_more_trials_run_than_there_are_workers(cluster, tmp_path):
    executor = Ray(1)
    first, second = (start(executor, trials.sleeps, folder=tmp_path / str(i)) for i in range(2))
    pid(tmp_path / "0")
    executor.wait([first, second], timeout=0.5)
    assert not (tmp_path / "1").exists()
    executor.close()
    assert first.cancelled()
    assert second.cancelled()


def test_what_no_node_has_is_refused_and_not_waited_for(executor):
    for limit in (Resources(cpus=1000), Resources(gpus=7)):
        with pytest.raises(MorphogenError, match="no node of the Ray cluster has"):
            start(executor, trials.finds, resources=limit)
    with pytest.raises(MorphogenError, match="1 GPUs"):
        start(executor, trials.finds, device="cuda")


def test_a_node_that_does_not_see_the_run_folder_stops_the_run(executor, tmp_path):
    task = _Trial(Calls(trials.finds), executor._pack(Calls(trials.finds)), Proposal(None), Context(0, folder=tmp_path))
    tmp_path.rmdir()  # what another node would see
    with pytest.raises(MorphogenError, match="file system that all nodes share"):
        drain_one(executor, task)


class Sending:
    """An estimator that cannot be sent."""

    space = SPACE

    def __reduce__(self):
        raise TypeError("it has a lock")


def test_an_estimator_that_cannot_be_pickled_is_refused(executor):
    with pytest.raises(MorphogenError, match="Sending cannot be sent to a worker process"):
        executor.submit(Sending(), Proposal(None), Context(0))
