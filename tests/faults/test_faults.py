"""Faults of the machine around a run: signals in every phase, a full disk, a folder without rights, a clock that jumps.

After each, nothing that finished is lost or there twice, the run goes on to the trials of an undisturbed one, and one
line says what happened. `FAULTS` says where the others are tested.
"""

from __future__ import annotations

import ast
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from morphogen import store
from morphogen.estimators import Tabular
from morphogen.estimators.toy import ToyTable
from morphogen.executors import Processes
from morphogen.objective import Objective
from morphogen.protocols import MorphogenError, Phase, Resources, Stop
from morphogen.strategies import RandomSearch
from morphogen.study import Study

HERE = Path(__file__).parent
TESTS = HERE.parent

FAULTS = {
    "kill -9 of a worker": [
        "test_real_runs.py::test_a_killed_worker_is_tried_again_to_the_same_metrics",
        "executors/test_processes.py::test_a_worker_killed_from_outside_is_a_fault",
        "executors/test_ray.py::test_a_study_goes_on_when_workers_are_killed",
    ],
    "kill -9 of the fork server": [
        "executors/test_processes.py::test_a_killed_fork_server_is_a_fault_of_what_ran_and_is_replaced",
    ],
    "kill -9 of the driver": [
        "test_kill.py::test_a_driver_killed_at_twenty_points_resumes_to_the_same_trials",
        "test_real_runs.py::test_a_driver_killed_at_any_stage_resumes_to_the_same_trials",
        "store/test_postgresql.py::test_a_search_in_a_database_is_killed_resumed_and_ends_as_one_in_a_file",
        "executors/test_processes.py::test_no_worker_outlives_its_driver",
    ],
    "loss of a Ray node": ["executors/test_ray.py::test_a_study_outlives_a_node_of_its_cluster"],
    "loss of the head of Ray": [
        "executors/test_ray.py::test_a_study_whose_head_node_is_lost_ends_and_is_gone_on_with",
    ],
    "a hung child": [
        "executors/test_processes.py::test_a_trial_that_hangs_is_killed_at_its_time_limit",
        "executors/test_ray.py::test_a_trial_that_hangs_is_killed_at_its_time_limit",
    ],
    "a child that exhausts memory": [
        "executors/test_processes.py::test_a_memory_limit_counts_from_what_a_fresh_worker_has",
        "executors/test_ray.py::test_a_memory_limit_counts_from_what_the_worker_has",
        "test_real_runs.py::test_a_trial_that_cannot_work_fails_with_its_reason_and_the_run_goes_on",
    ],
    "NaN": ["test_real_runs.py::test_where_every_trial_fails_one_line_says_why"],
    "a full disk": [
        "store/test_sqlite.py::test_a_full_disk_loses_nothing_that_was_recorded",
        "test_real_runs.py::test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_space",
        "faults/test_faults.py::test_a_full_disk_is_one_line_and_the_run_goes_on",
    ],
    "a read-only run folder": [
        "store/test_sqlite.py::test_a_folder_that_cannot_be_written_can_be_read_and_is_not_written",
        "faults/test_faults.py::test_a_run_folder_without_rights_is_read_and_not_gone_on_with",
    ],
    "a torn or corrupt checkpoint": [
        "training/test_checkpoint.py::test_a_damaged_checkpoint_is_passed_over_for_the_one_before",
        "training/test_fit.py::test_a_corrupt_checkpoint_costs_time_and_changes_nothing",
    ],
    "a truncated or damaged database": [
        "store/test_sqlite.py::test_a_truncated_file_is_refused",
        "store/test_sqlite.py::test_an_overwritten_page_is_refused",
        "test_cli.py::test_a_damaged_record_is_refused_and_left_alone",
    ],
    "a database server that restarts": [
        "store/test_postgresql.py::test_a_driver_goes_on_when_the_server_was_restarted",
        "store/test_postgresql.py::test_a_search_whose_server_is_gone_says_so_in_one_line",
    ],
    "two drivers": [
        "test_kill.py::test_a_second_driver_is_refused_while_the_first_works",
        "store_laws.py::test_a_second_driver_is_refused_and_told_who_has_it",
        "store/test_postgresql.py::test_a_driver_that_lost_its_lease_to_another_adds_nothing",
    ],
    "a clock that jumps": ["faults/test_faults.py::test_a_clock_that_jumps_changes_nothing"],
    "SIGINT and SIGTERM": ["faults/test_faults.py::test_a_signal_in_any_phase_stops_and_the_run_goes_on"],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_has_its_tests(fault: str) -> None:
    for name in FAULTS[fault]:
        file, _, test = name.partition("::")
        tree = ast.parse((TESTS / file).read_text())
        assert test in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, name


# --- how a run is started, disturbed and read -----------------------------------------------------------------------


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "morphogen.cli", *words]


def search(folder: Path) -> list[str]:
    return command("search", "--table", "slow:Slow", "--trials", "12", "--seed", "3", "--out", str(folder))


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=HERE, capture_output=True, text=True, timeout=240, check=False)


def trials(folder: Path) -> list[dict[str, Any]]:
    done = run(command("status", str(folder), "--json", "--last", "all"))
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["trials"]
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The trials of a run that nothing disturbs."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    done = run(search(folder))
    assert done.returncode == 0, done.stderr
    return trials(folder)


def phase(folder: Path) -> str | None:
    """In which phase a run is."""
    try:
        with closing(store.open(folder / "trials.sqlite", readonly=True)) as reader:
            asked = [event.body["phase"] for event in reader.stream() if event.kind == "asked"]
    except MorphogenError:  # it is not there yet
        return None
    return str(asked[-1]) if asked else None


def heed_ctrl_c() -> None:
    # background jobs of a shell, as these tests may be one, ignore it, and so would all that they start
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def driver_in(name: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A run in the background that has come to a phase; whatever happens, it is gone afterwards."""
    process = subprocess.Popen(
        search(folder),
        cwd=HERE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=heed_ctrl_c,  # noqa: PLW1509 - no other thread runs here
    )
    try:
        deadline = time.monotonic() + 100
        while phase(folder) != name:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


# --- the faults ---------------------------------------------------------------------------------------------------------

MOMENTS = [(number, name) for name in ("search", "random", "retrain") for number in (signal.SIGINT, signal.SIGTERM)]
QUICK = [(signal.SIGTERM, "search"), (signal.SIGINT, "retrain")]


@pytest.mark.parametrize(
    ("number", "name"), [pytest.param(*m, marks=() if m in QUICK else pytest.mark.slow) for m in MOMENTS]
)
def test_a_signal_in_any_phase_stops_and_the_run_goes_on(
    number: signal.Signals, name: str, whole: list[dict[str, Any]], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with driver_in(name, folder) as driver:
        driver.send_signal(number)
        output, _ = driver.communicate(timeout=60)
    assert 130 == driver.returncode
    assert f"Go on with: morphogen resume {folder}" in output
    assert "Traceback" not in output
    done = run(command("resume", str(folder)))
    assert done.returncode == 0, done.stderr
    assert whole == trials(folder)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process are Linux's")
def test_a_full_disk_is_one_line_and_the_run_goes_on(whole: list[dict[str, Any]], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with driver_in("search", folder) as driver:
        resource.prlimit(driver.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        output, _ = driver.communicate(timeout=100)
    assert 1 == driver.returncode
    assert "Traceback" not in output
    last = output.strip().splitlines()[-1]
    assert "the disk" in last
    assert "then resume" in last
    done = run(command("resume", str(folder)))
    assert done.returncode == 0, done.stderr
    assert whole == trials(folder)


WITHOUT_RIGHTS = """
import os, sys
from pathlib import Path
from typer.testing import CliRunner
from morphogen.cli import app
folder = Path(sys.argv[1])
words = ["search", "--table", "toy", "--trials", "5", "--set", "control=false", "--out", str(folder)]
assert CliRunner().invoke(app, words).exit_code == 0
assert CliRunner().invoke(app, ["status", str(folder)]).exit_code == 0  # all is imported while it can be read
for path in (*folder.rglob("*"), folder):
    path.chmod(0o555 if path.is_dir() else 0o444)
if os.geteuid() == 0:
    os.setegid(65534); os.seteuid(65534)  # root may write anywhere
for command in ("status", "resume"):
    done = CliRunner().invoke(app, [command, str(folder)])
    print(done.exit_code, repr(done.exception), done.stderr.strip() if done.exit_code else done.stdout.splitlines()[0])
"""


def test_a_run_folder_without_rights_is_read_and_not_gone_on_with(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("read-only") / "run"
    shut = [p for p in folder.parents if p.is_dir() and p.stat().st_uid == os.geteuid() and not p.stat().st_mode & 1]
    modes = [(path, path.stat().st_mode) for path in shut]
    for path in shut:
        path.chmod(0o711)
    try:
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_RIGHTS, str(folder)],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    finally:
        for path in (folder, *(p for p in folder.rglob("*") if p.is_dir())):
            path.chmod(0o755)
        for path, mode in modes:
            path.chmod(mode)
    assert done.returncode == 0, done.stderr
    read, refused = done.stdout.splitlines()
    assert read.startswith("0 None")
    assert refused.startswith("1 SystemExit")
    assert "cannot be written (Permission denied): choose another folder" in refused


def jumping(by: float) -> Callable[[], float]:
    """A clock that is right at first and jumps whenever it is asked."""
    asked = 0

    def now() -> float:
        nonlocal asked
        asked += 1
        return 1.7e9 + (by * asked if asked % 2 else 0.0)

    return now


@pytest.mark.parametrize("by", [86_400.0, -86_400.0])
def test_a_clock_that_jumps_changes_nothing(by: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def study(path: Path) -> list[tuple[int, tuple[float, ...], bool]]:
        table = ToyTable()
        with closing(store.open(path)) as record, closing(Processes(2, preload=("numpy",))) as executor:
            objectives = (Objective("accuracy", maximize=True),)
            made = Study(table.space, record, executor, objectives, resources=Resources(seconds=100.0))
            start = RandomSearch(table.space), Tabular(table)
            told = made.run([Phase("search", lambda told: start, lambda told: Stop(trials=8, until=1000.0))])
            assert 0 <= made.elapsed < 1000
        return [(trial.id, trial.losses, trial.failed) for trial in told]

    expected = study(tmp_path / "whole.sqlite")
    monkeypatch.setattr(time, "time", jumping(by))
    monkeypatch.setattr(time, "time_ns", lambda: int(1e9 * jumping(by)()))
    assert expected == study(tmp_path / "jumped.sqlite")
    assert 8 == len(expected)
    with closing(store.open(tmp_path / "jumped.sqlite", readonly=True)) as record:
        spent = [event.body["at"] for event in record.stream()]
    assert sorted(spent) == spent
