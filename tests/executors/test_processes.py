"""Trials in processes of their own: limits, crashes, output, the end of the driver."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from morphogen.executors import Processes
from morphogen.protocols import Context, Died, MorphogenError, Resources
from morphogen.testing import executor as trials
from morphogen.testing.executor import Calls, drain
from morphogen.trial import Outcome, Proposal


@pytest.fixture(scope="module")
def executor():
    executor = Processes(2, preload=())
    yield executor
    executor.close()


def start(executor, function, seed=0, **context):
    return executor.submit(Calls(function), Proposal(None), Context(seed, **context))


def outcome(executor, function, seed=0, **context) -> Outcome:
    future = start(executor, function, seed, **context)
    drain(executor, [future])
    return future.result()


def until(true, seconds=20.0):
    end = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)
    return value


def asked_ps(what: str, pid: int) -> str:
    return subprocess.run(
        ["ps", "-o", what, "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has collected yet does not."""
    state = asked_ps("stat=", pid)
    return bool(state) and not state.startswith("Z")


def pids(folder: Path, count: int) -> list[int]:
    """What the trial of a folder noted, once it has noted so many."""
    file = folder / "pids"

    def noted() -> list[str]:
        found = file.read_text().split() if file.exists() else []
        return found if len(found) >= count else []

    return [int(line) for line in until(noted)]


# --- limits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [trials.sleeps, trials.computes])
def test_a_trial_that_hangs_is_killed_at_its_time_limit(executor, tmp_path, function):
    result = outcome(executor, function, folder=tmp_path, resources=Resources(seconds=0.5))
    assert "time limit: not done after 0.5 s" == result.error
    assert 0.5 <= result.seconds
    assert ({"loss": [(1.0, 2.0)]} if function is trials.sleeps else {}) == result.curves
    assert not alive(pids(tmp_path, 1)[0])


def test_a_memory_limit_counts_from_what_a_fresh_worker_has(executor):
    limit = Resources(memory_mb=300)
    assert outcome(executor, trials.allocates, 2**20 * 400, resources=limit).error.startswith("out of memory: ")
    assert {"bytes": 2.0**20 * 100} == outcome(executor, trials.allocates, 2**20 * 100, resources=limit).metrics


def test_what_a_trial_prints_is_kept_and_bounded(executor, tmp_path):
    assert outcome(executor, trials.prints, folder=tmp_path).error is None
    log = (tmp_path / "log.txt").read_text()
    assert log.startswith("first line\nxxx")
    assert log.endswith("xxx\nlast line\n")
    assert len(log) < 1.1 * 2**20


TRAINS = """
import torch
from morphogen.trial import Outcome

def trains(proposal, context):
    layer = torch.nn.Conv2d(3, context.seed, 3)
    layer(torch.ones(8, 3, 16, 16)).sum().backward()
    return Outcome({"threads": torch.get_num_threads(), "gradient": layer.bias.grad.sum()})
"""


def test_a_worker_trains_with_one_thread_or_as_many_as_its_cpus(tmp_path, monkeypatch):
    (tmp_path / "module_that_trains.py").write_text(TRAINS)
    monkeypatch.syspath_prepend(tmp_path)
    trains = importlib.import_module("module_that_trains").trains
    executor = Processes(2)
    for cpus, threads in ((1, 1), (2, 2), (0.5, 1)):
        result = outcome(executor, trains, 4, resources=Resources(cpus=cpus, memory_mb=1000))
        assert {"threads": threads, "gradient": 8 * 14 * 14 * 4} == result.metrics
    huge = outcome(executor, trains, 10**9, resources=Resources(memory_mb=1000))
    assert huge.error.startswith("out of memory: RuntimeError: ")
    executor.close()


# --- deaths -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "seed", "message"),
    [
        (trials.is_killed, signal.SIGKILL, "was killed by SIGKILL"),
        (trials.is_killed, signal.SIGSEGV, "was killed by SIGSEGV"),
        (trials.exits, 0, "exited with code 0 and without a result"),
        (trials.exits, 3, "exited with code 3"),
        (trials.exits_at_once, 0, "exited with code 0 and without a result"),
        (trials.writes_garbage, 0, "sent what is no result: b'.x00.xffgarbage'"),
    ],
)
def test_a_worker_that_dies_is_a_fault_and_the_other_goes_on(executor, tmp_path, function, seed, message):
    other = start(executor, trials.sleeps, folder=tmp_path)
    pid = pids(tmp_path, 1)[0]
    dead = start(executor, function, seed)
    drain(executor, [dead])
    with pytest.raises(Died, match=message):
        dead.result()
    assert alive(pid)
    assert not other.done()
    other.cancel()
    until(lambda: not alive(pid))
    assert {"seed": 4.0}.items() <= outcome(executor, trials.gives_its_context, 4).metrics.items()


def test_a_segmentation_fault_leaves_its_traceback_in_the_log(executor, tmp_path):
    dead = start(executor, trials.is_killed, signal.SIGSEGV, folder=tmp_path)
    drain(executor, [dead])
    assert str(tmp_path / "log.txt") in str(dead.exception())
    assert "in is_killed" in (tmp_path / "log.txt").read_text()


def test_a_worker_killed_from_outside_is_a_fault(executor, tmp_path):
    future = start(executor, trials.computes, folder=tmp_path)
    os.kill(pids(tmp_path, 1)[0], signal.SIGKILL)
    drain(executor, [future])
    assert isinstance(future.exception(), Died)


def test_what_a_trial_started_ends_with_it(executor, tmp_path):
    child = int(outcome(executor, trials.starts_another_process, 0).metrics["pid"])
    until(lambda: not alive(child))
    killed = start(executor, trials.starts_another_process, 1, folder=tmp_path, resources=Resources(seconds=1.0))
    child, worker = pids(tmp_path, 2)[:2]
    drain(executor, [killed])
    until(lambda: not alive(child) and not alive(worker))


def test_a_killed_fork_server_is_a_fault_of_what_ran_and_is_replaced(tmp_path):
    executor = Processes(2, preload=())
    future = start(executor, trials.sleeps, folder=tmp_path)
    worker = pids(tmp_path, 1)[0]
    server = int(asked_ps("ppid=", worker))
    os.kill(server, signal.SIGKILL)
    drain(executor, [future])
    with pytest.raises(Died, match="lost with its fork server"):
        future.result()
    until(lambda: not alive(worker))
    assert outcome(executor, trials.gives_its_context, 5).metrics["seed"] == 5.0
    executor.close()


def test_ctrl_c_is_the_drivers_to_act_on(executor, tmp_path):
    future = start(executor, trials.sleeps, folder=tmp_path, resources=Resources(seconds=1.5))
    os.kill(pids(tmp_path, 1)[0], signal.SIGINT)
    drain(executor, [future])
    assert "time limit: not done after 1.5 s" == future.result().error


def test_closing_kills_what_runs(tmp_path):
    executor = Processes(1, preload=())
    running, queued = (start(executor, trials.sleeps, folder=tmp_path) for _ in range(2))
    worker = pids(tmp_path, 1)[0]
    executor.close()
    assert not alive(worker)
    assert running.cancelled()
    assert queued.cancelled()


# --- what is sent -------------------------------------------------------------------------------------------------


class CountsPickling:
    """An estimator that notes how often it is pickled."""

    measured = frozenset()

    def __init__(self) -> None:
        self.pickled = 0

    def __reduce__(self):
        self.pickled += 1
        return Calls, (trials.gives_its_context,)

    def cost(self, proposal):
        return 1.0


def test_an_estimator_is_pickled_once(executor):
    estimator = CountsPickling()
    futures = [executor.submit(estimator, Proposal(None), Context(seed)) for seed in range(5)]
    drain(executor, futures)
    assert [0.0, 1.0, 2.0, 3.0, 4.0] == [f.result().metrics["seed"] for f in futures]
    assert 1 == estimator.pickled


def test_many_estimators_are_told_apart(executor):
    seconds = [
        executor.submit(Calls(function), Proposal(None), Context(7))
        for _ in range(8)
        for function in (trials.gives_seconds, trials.gives_its_context)
    ]
    drain(executor, seconds)
    assert [{"accuracy", "worst"}, {"seed", "folder", "warm", "cpu"}] * 8 == [set(f.result().metrics) for f in seconds]


def test_what_cannot_be_pickled_is_refused_at_once(executor):
    with pytest.raises(MorphogenError, match="Calls cannot be sent to a worker process"):
        executor.submit(Calls(lambda proposal, context: Outcome()), Proposal(None), Context(0))
    with pytest.raises(MorphogenError, match="the proposal cannot be sent"):
        executor.submit(Calls(trials.logs), Proposal(None, origin={"open": sys.stdout}), Context(0))


def test_devices_are_given_the_least_used_first(tmp_path):
    executor = Processes(2, devices=("cpu", "meta"), preload=())
    futures = [start(executor, trials.gives_its_context, seed) for seed in range(2)]
    drain(executor, futures)
    assert [0.0, 1.0] == sorted(f.result().metrics["cpu"] for f in futures)
    executor.close()


def test_a_module_that_cannot_be_preloaded_is_named():
    executor = Processes(1, preload=("no_such_module",))
    future = start(executor, trials.logs)
    drain(executor, [future])
    with pytest.raises(MorphogenError, match="no_such_module cannot be imported"):
        future.result()
    executor.close()


def test_a_worker_is_needed():
    with pytest.raises(ValueError, match="workers=0: at least one"):
        Processes(0)


# --- other programs -----------------------------------------------------------------------------------------------

SCRIPT = """
import json, sys
from pathlib import Path
from morphogen.executors import Processes
from morphogen.protocols import Context, MorphogenError
from morphogen.trial import Outcome, Proposal

print("imported", file=sys.stderr)

class Mine:
    measured = frozenset()
    def cost(self, proposal):
        return 1.0
    def __call__(self, proposal, context):
        return Outcome({"seed": context.seed})

def main():
    executor = Processes(2, preload=())
    futures = [executor.submit(Mine(), Proposal(None), Context(seed)) for seed in range(4)]
    left = set(futures)
    try:
        while left:
            left -= executor.wait(left)
        print(json.dumps([f.result().metrics["seed"] for f in futures]))
    except MorphogenError as error:
        print(error)
    executor.close()

"""


def program(*arguments, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False, **options
    )


def test_an_estimator_of_a_script_is_found_and_the_script_imported_once(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(SCRIPT + 'if __name__ == "__main__":\n    main()\n')
    for arguments in ([str(script)], ["-m", "mine"]):
        ran = program(*arguments, cwd=tmp_path)
        assert [0, 1, 2, 3] == json.loads(ran.stdout)
        assert ["imported"] * 2 == ran.stderr.split()


def test_a_script_without_a_guard_is_told_so_in_one_line(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(SCRIPT + "main()\n")
    ran = program(str(script))
    assert 1 == len(ran.stdout.splitlines())
    assert "the script starts a search while it is imported" in ran.stdout
    assert "if __name__ == " in ran.stdout


def test_an_estimator_of_an_interactive_program_is_refused_in_one_line():
    ran = program("-c", SCRIPT + "main()\n")
    assert "the estimator is defined in an interactive session" in ran.stderr.splitlines()[-1]


DRIVER = """
import sys, time
from pathlib import Path
from morphogen.executors import Processes
from morphogen.protocols import Context
from morphogen.testing import executor as trials
from morphogen.trial import Proposal

executor = Processes(3, preload=())
futures = [
    executor.submit(trials.Calls(function), Proposal(None), Context(1, folder=Path(sys.argv[1]) / str(n)))
    for n, function in enumerate([trials.sleeps, trials.computes, trials.starts_another_process])
]
print("started", flush=True)
"""


WAITS = "executor.wait(futures)\n"
ENDS = """
while not all((Path(sys.argv[1]) / name / "ready").exists() for name in "012"):
    time.sleep(0.02)
"""


def start_driver(folder: Path, then: str) -> subprocess.Popen:
    command = [sys.executable, "-c", DRIVER + then, str(folder)]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "started\n" == driver.stdout.readline()
    return driver


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, None])
def test_no_worker_outlives_its_driver(tmp_path, end):
    driver = start_driver(tmp_path, ENDS if end is None else WAITS)
    children = pids(tmp_path / "0", 1) + pids(tmp_path / "1", 1) + pids(tmp_path / "2", 3)
    for name in "012":
        (tmp_path / name / "ready").touch()
    if end is not None:
        driver.send_signal(end)
    driver.communicate(timeout=20)
    until(lambda: not any(alive(pid) for pid in children), seconds=5.0)


def test_no_worker_outlives_driver_and_fork_server_killed_together(tmp_path):
    driver = start_driver(tmp_path, WAITS)
    children = pids(tmp_path / "0", 1) + pids(tmp_path / "2", 3)
    server = int(asked_ps("ppid=", children[0]))
    os.kill(server, signal.SIGKILL)
    driver.kill()
    driver.communicate()
    until(lambda: not any(alive(pid) for pid in children), seconds=5.0)
