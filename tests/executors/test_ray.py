"""Trials as tasks of Ray, on one local cluster for all tests of the file."""

import os
import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="the extra morphogen[ray] is not installed")

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
