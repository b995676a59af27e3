"""Trials as tasks of Ray, on one local cluster for all tests of the file."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from morphogen.estimators import Tabular
from morphogen.estimators.toy import ToyTable
from morphogen.executors import Inline, Ray, ray_task
from morphogen.executors.ray_trial import Parcel, RayTrial
from morphogen.objective import Objective
from morphogen.protocols import Context, Died, Executor, MorphogenError, Phase, Resources, Stop
from morphogen.store import Memory
from morphogen.strategies import RandomSearch, RegularizedEvolution
from morphogen.study import Study
from morphogen.testing import executor as trials
from morphogen.testing.executor import SPACE, Calls, ExecutorSuite, drain
from morphogen.trial import Outcome, Proposal

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


def ended(process: int) -> None:
    """Look until a process is gone."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        os.kill(process, 0)
        time.sleep(0.02)


@pytest.mark.usefixtures("cluster")
class TestRay(ExecutorSuite):
    def make(self, workers: int) -> Executor:
        made: Executor = Ray(workers)
        return made

    def test_a_cancelled_trial_does_not_keep_the_others(self, executor):
        try:
            super().test_a_cancelled_trial_does_not_keep_the_others(executor)
        except Died:  # Ray kills a worker, in which the next trial may just have begun: a study tries that again
            super().test_a_cancelled_trial_does_not_keep_the_others(executor)


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
    future = start(executor, function, folder=tmp_path, resources=Resources(seconds=3.0))
    drain(executor, [future])
    assert "time limit: not done after 3 s" == future.result().error
    assert 3.0 <= future.result().seconds
    assert ({"loss": [(1.0, 2.0)]} if function is trials.sleeps else {}) == future.result().curves
    with pytest.raises(ProcessLookupError):
        ended(pid(tmp_path))


def test_what_a_trial_logs_is_told_while_it_runs(executor, tmp_path):
    told = []
    future = start(executor, trials.sleeps, folder=tmp_path, log=lambda step, metrics: told.append((step, metrics)))
    end = time.monotonic() + 60
    while not told:
        assert time.monotonic() < end, "nothing was told"
        assert not executor.wait([future], 0.1)
    assert [(1.0, {"loss": 2.0})] == told
    future.cancel()


def test_a_trial_that_keeps_its_time_limit_is_judged(executor):
    future = start(executor, trials.gives_seconds, 3, resources=Resources(seconds=60))
    drain(executor, [future])
    assert (None, 3.0) == (future.result().error, future.result().seconds)


def test_a_worker_with_a_time_limit_that_is_killed_is_a_death(executor, tmp_path):
    limit = Resources(seconds=60.0)
    at_once = start(executor, trials.is_killed, signal.SIGKILL, resources=limit)
    later = start(executor, trials.sleeps, folder=tmp_path, resources=limit)
    process = pid(tmp_path)
    executor.wait([at_once, later], 0.5)
    os.kill(process, signal.SIGKILL)
    drain(executor, [at_once, later])
    assert [Died, Died] == [type(future.exception()) for future in (at_once, later)]


def test_a_worker_reads_a_space_once():
    architectures = [SPACE.sample(np.random.default_rng(seed)) for seed in range(2)]
    sent = [
        RayTrial(None, Parcel(b""), Proposal(a, {"epochs": 3}), Context(5), {}, pickle.dumps(SPACE)).task
        for a in architectures
    ]
    proposals = [ray_task.Task(*task).unpacked(None)[0] for task in sent]
    assert [Proposal(a, {"epochs": 3}) for a in architectures] == proposals
    assert proposals[0].architecture.space is proposals[1].architecture.space


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


def test_a_cluster_of_its_own_has_as_many_places_as_workers(tmp_path):
    """In a process of its own: Ray is connected once. The cluster has CPUs for more, and trials wait in Ray, too."""
    program = tmp_path / "places.py"
    program.write_text(
        "import os, time\nfrom concurrent.futures import wait\nfrom morphogen.executors import Ray\n"
        "from morphogen.protocols import Context\nfrom morphogen.trial import Outcome, Proposal\n"
        "class Sleeps:\n"
        "    measured = frozenset({'began', 'ended'})\n"
        "    def __call__(self, proposal, context):\n"
        "        began = time.monotonic()\n        time.sleep(0.1)\n"
        "        return Outcome({'began': began, 'ended': time.monotonic()})\n"
        "    def cost(self, proposal):\n        return 1.0\n"
        "executor, sleeps = Ray(2, cpus=8), Sleeps()\n"
        "futures = [executor.submit(sleeps, Proposal(None), Context(seed)) for seed in range(8)]\n"
        "wait(futures)\n"
        "spans = [(m['began'], m['ended']) for m in (f.result().metrics for f in futures)]\n"
        "executor.close()\n"
        "print(max(sum(b <= began < e for b, e in spans) for began, _ in spans))\n"
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() in {"1", "2"}, done.stderr


def test_what_no_node_has_is_refused_and_not_waited_for(executor):
    for limit in (Resources(cpus=1000), Resources(gpus=7)):
        with pytest.raises(MorphogenError, match="no node of the Ray cluster has"):
            start(executor, trials.finds, resources=limit)
    with pytest.raises(MorphogenError, match="1 GPUs"):
        start(executor, trials.finds, device="cuda")


def leaves_files(proposal, context):
    """Says what it began with."""
    began = {
        path.name: path.read_text() for folder in (context.warm_start, context.folder) for path in folder.glob("*")
    }
    context.folder.mkdir(parents=True, exist_ok=True)
    (context.folder / "checkpoint.pt").write_text("new")
    print(f"{began} in {context.folder}")
    context.log(1, {"loss": 2.0})
    return Outcome({"loss": 1.0})


@pytest.mark.parametrize("seconds", [None, 60.0])
def test_a_node_that_does_not_see_the_run_folder_sends_back_what_a_trial_left(executor, tmp_path, monkeypatch, seconds):
    task = RayTrial.task.fget
    elsewhere = str(tmp_path / "elsewhere"), "another token"
    monkeypatch.setattr(RayTrial, "task", property(lambda trial: task(trial)._replace(seen=elsewhere)))
    for id, name in enumerate(("weights.safetensors", "before.txt")):
        (tmp_path / str(id)).mkdir()
        (tmp_path / str(id) / name).write_text("old")
    limit = Resources(seconds=seconds)
    future = start(executor, leaves_files, folder=tmp_path / "1", warm_start=tmp_path / "0", resources=limit)
    drain(executor, [future])
    assert {"loss": 1.0} == future.result().metrics
    assert {"loss": [(1.0, 2.0)]} == future.result().curves
    assert "new" == (tmp_path / "1" / "checkpoint.pt").read_text()
    began, _, where = (tmp_path / "1" / "log.txt").read_text().strip().partition(" in ")
    assert "{'weights.safetensors': 'old', 'before.txt': 'old'}" == began
    assert not where.startswith(str(tmp_path))
    limit = time.monotonic() + 20
    while Path(where).exists() and time.monotonic() < limit:  # the node tidies up once it has said everything
        time.sleep(0.05)
    assert not Path(where).exists()


def test_a_node_that_sees_the_run_folder_is_sent_nothing(executor, tmp_path):
    (tmp_path / "0").mkdir()
    future = start(executor, leaves_files, folder=tmp_path / "1", warm_start=tmp_path / "0")
    drain(executor, [future])
    assert f"{{}} in {tmp_path / '1'}\n" == (tmp_path / "1" / "log.txt").read_text()
    assert not executor._carrier.carries


class Sending:
    """An estimator that cannot be sent."""

    space = SPACE

    def __reduce__(self):
        raise TypeError("it has a lock")


def test_an_estimator_that_cannot_be_pickled_is_refused(executor):
    with pytest.raises(MorphogenError, match="Sending cannot be sent to a worker process"):
        executor.submit(Sending(), Proposal(None), Context(0))


def dies_at_first(proposal, context):
    """Kills its worker, where it has not before."""
    if not (mark := context.folder / "mark").exists():
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        if context.seed % 3 == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return Outcome({"loss": float(context.seed % 1000)})


def study(executor, table, trials=40):
    run = Study(table.space, Memory(), executor, table.objectives, seed=3)
    evolution = RegularizedEvolution(table.space, population_size=10, tournament_size=3)
    return run.run([Phase("search", lambda told: (evolution, Tabular(table)), lambda told: Stop(trials))])


def test_a_study_gives_the_same_trials_as_in_this_process(executor):
    assert study(Inline(), ToyTable()) == study(executor, ToyTable())


def test_a_study_goes_on_when_workers_are_killed(executor, tmp_path):
    estimator = Calls(dies_at_first)
    store = Memory()
    run = Study(SPACE, store, executor, [Objective("loss")], folder=tmp_path)
    told = run.run([Phase("search", lambda told: (RandomSearch(SPACE), estimator), lambda told: Stop(12))])
    assert [None] * 12 == [trial.outcome.error for trial in told]
    assert sorted(range(12)) == sorted(trial.id for trial in told)
    assert store.counts()["died"] > 0


# --- clusters that are there already ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [None, "disabled"])
def test_a_cluster_elsewhere_without_a_token_is_refused(monkeypatch, mode):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    if mode is not None:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    with pytest.raises(MorphogenError, match=r"at 10\.1\.2\.3:6379 is refused.*RAY_AUTH_MODE=token"):
        Ray(2, address="10.1.2.3:6379")


@pytest.mark.parametrize("address", ["ray://host:10001", "host", "auto", ":6379", "host:port"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(ValueError, match="HOST:PORT"):
        Ray(2, address=address)


def test_closing_leaves_a_cluster_alone_that_it_joined(cluster):
    Ray(1).close()
    after = Ray(1)
    future = start(after, trials.gives_seconds, 3)
    drain(after, [future])
    assert 3.0 == future.result().seconds
    after.close()


SEVERAL_NODES = """
import json, sys, threading, time
from pathlib import Path
from ray import get_runtime_context
from ray.cluster_utils import Cluster
from morphogen.executors import Inline, Ray, ray_task
from morphogen.objective import Objective
from morphogen.protocols import Phase, Stop
from morphogen.store import Memory
from morphogen.strategies import RandomSearch
from morphogen.study import Study
from morphogen.testing.executor import SPACE, Calls
from morphogen.trial import Outcome

marker = Path(sys.argv[1]) / "node"

def judges(proposal, context):
    if context.folder.name == "3" and not marker.exists():
        marker.with_suffix(".new").write_text(get_runtime_context().get_node_id())
        marker.with_suffix(".new").rename(marker)
        time.sleep(600)
    return Outcome({"loss": float(context.seed % 1000)})

def trials(executor, store):
    study = Study(SPACE, store, executor, [Objective("loss")], folder=Path(sys.argv[1]))
    told = study.run([Phase("all", lambda told: (RandomSearch(SPACE), Calls(judges)), lambda told: Stop(20))])
    return [(trial.id, trial.proposal, trial.outcome.metrics, trial.outcome.error) for trial in told]

def replace():
    while not marker.exists():
        time.sleep(0.05)
    cluster.remove_node(next(n for n in nodes if n.node_id == marker.read_text()), allow_graceful=False)
    cluster.add_node(num_cpus=1)

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
nodes = [cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)]
replacing = threading.Thread(target=replace)
replacing.start()
store, executor = Memory(), Ray(2, address=cluster.address)
found = trials(executor, store)
replacing.join()
executor.close()
cluster.shutdown()
print(json.dumps({"same": found == trials(Inline(), Memory()), **store.counts()}))
"""


@pytest.mark.slow
def test_a_study_outlives_a_node_of_its_cluster(tmp_path):
    """The node is taken away while it works and another one comes: every trial ends, once, and is the same as ever."""
    environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64, "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, "-c", SEVERAL_NODES, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert 0 == done.returncode, done.stderr
    assert {"same": True, "asked": 20, "finished": 20, "died": 1} == json.loads(done.stdout.splitlines()[-1])


HEAD = """
import json, sys, threading, time
from pathlib import Path
from morphogen import store as stores
from morphogen.executors import Inline, Ray, ray_task
from morphogen.objective import Objective
from morphogen.protocols import Phase, Stop
from morphogen.strategies import RandomSearch
from morphogen.study import Study
from morphogen.testing.executor import SPACE, Calls
from morphogen.trial import Outcome

folder = Path(sys.argv[2])
marker = folder / "begun"

def judges(proposal, context):
    if context.folder.name == "5" and not marker.exists():
        marker.touch()
        time.sleep(600)
    return Outcome({"loss": float(context.seed % 1000)})

def trials(executor, store):
    study = Study(SPACE, store, executor, [Objective("loss")], folder=folder)
    told = study.run([Phase("all", lambda told: (RandomSearch(SPACE), Calls(judges)), lambda told: Stop(20))])
    return [(trial.id, trial.proposal, trial.outcome.metrics, trial.outcome.error) for trial in told]

def behead():
    while not marker.exists():
        time.sleep(0.05)
    cluster.head_node.kill_gcs_server()
    cluster.head_node.kill_raylet()

store = stores.open(folder / "trials.sqlite")
if sys.argv[1] == "run":
    from ray.cluster_utils import Cluster
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)]
    threading.Thread(target=behead, daemon=True).start()
    trials(Ray(2, address=cluster.address), store)
else:
    before = dict(store.counts())
    found = trials(Inline(), store)
    print(json.dumps({"same": found == trials(Inline(), stores.open("memory:")), "before": before, **store.counts()}))
"""


@pytest.mark.slow
def test_a_study_whose_head_node_is_lost_ends_and_is_gone_on_with(tmp_path):
    """Ray ends a driver that cannot reach the head for a minute (here: 5 s) and says so; the record is whole."""
    environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64, "RAY_USAGE_STATS_ENABLED": "0"}
    environment |= {"RAY_gcs_rpc_server_reconnect_timeout_s": "5"}

    def driver(how: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", HEAD, how, str(tmp_path)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)

    lost = driver("run")
    assert 1 == lost.returncode
    assert "Failed to connect to GCS" in lost.stderr
    resumed = driver("resume")
    assert 0 == resumed.returncode, resumed.stderr
    told = json.loads(resumed.stdout.splitlines()[-1])
    assert told["same"]
    assert 20 == told["finished"] == told["asked"]
    assert told["before"]["finished"] >= 2
