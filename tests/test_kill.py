"""The real command, killed and resumed: the trial list is that of an undisturbed run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from morphogen.store import open as open_store

STRATEGIES = [
    "random-search",
    "regularized-evolution",
    "probes.asha:Asha",
    "probes.policy:Policy",
    "probes.generational:Generational",
]
HERE = Path(__file__).parent


def command(*words: str, cwd: Path = HERE) -> list[str]:
    return [sys.executable, "-m", "morphogen.cli", *words]


def search(strategy: str, out: Path, *more: str) -> list[str]:
    flags = [
        "--table",
        "toy",
        "--strategy",
        strategy,
        "--trials",
        "40",
        "--seed",
        "3",
        "--slots",
        "4",
        "--out",
        str(out),
    ]
    return command("search", *flags, *more)


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=HERE, capture_output=True, text=True, timeout=240, check=False)


def trials(folder: Path) -> list[dict]:
    done = run(command("status", str(folder), "--json", "--last", "all"))
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)["trials"]
    return [{k: t[k] for k in ("id", "phase", "state", "metrics", "error", "proposal")} for t in listed]


def events(folder: Path) -> int:
    if not (folder / "trials.sqlite").exists():
        return 0
    store = open_store(folder / "trials.sqlite", readonly=True)
    try:
        return len(store.events())
    finally:
        store.close()


def kill_after(count: int, words: list[str], folder: Path) -> None:
    """Start a command, and kill -9 it once its record has so many events."""
    process = subprocess.Popen(words, cwd=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if events(folder) >= count:
                os.kill(process.pid, signal.SIGKILL)
                break
        except Exception:
            pass
        time.sleep(0.002)
    process.wait(timeout=120)


def assert_kills_leave_no_trace(strategy: str, points: list[int], tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    assert run(search(strategy, whole)).returncode == 0
    expected = trials(whole)
    for point in points:
        folder = tmp_path / f"cut-{point}"
        kill_after(point, search(strategy, folder), folder)
        resumed = run(command("resume", str(folder)))
        assert resumed.returncode == 0, resumed.stderr
        assert expected == trials(folder), f"killed after {point} events"


@pytest.mark.parametrize("strategy", ["regularized-evolution", "probes.asha:Asha"])
def test_a_killed_driver_resumes_to_the_same_trials(strategy: str, tmp_path: Path) -> None:
    assert_kills_leave_no_trace(strategy, [5, 60], tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_driver_killed_at_twenty_points_resumes_to_the_same_trials(strategy: str, tmp_path: Path) -> None:
    assert_kills_leave_no_trace(strategy, list(range(1, 150, 8))[:20], tmp_path)


def test_a_driver_killed_twice_resumes_to_the_same_trials(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run(search("random-search", whole)).returncode == 0
    kill_after(10, search("random-search", cut), cut)
    kill_after(40, command("resume", str(cut)), cut)
    assert run(command("resume", str(cut))).returncode == 0
    assert trials(whole) == trials(cut)


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    lists = []
    for workers in (1, 2, 4):
        folder = tmp_path / str(workers)
        assert (
            run(
                search("regularized-evolution", folder, "--workers", str(workers), "--executor", "processes")
            ).returncode
            == 0
        )
        lists.append(trials(folder))
    assert lists[0] == lists[1] == lists[2]


def test_a_second_driver_is_refused_while_the_first_works(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = run(search("random-search", folder))
    assert done.returncode == 0, done.stderr
    store = open_store(folder / "trials.sqlite")
    try:
        refused = run(command("resume", str(folder)))
        assert refused.returncode == 1
        assert str(os.getpid()) in refused.stderr
        assert "Traceback" not in refused.stderr
        assert run(command("status", str(folder))).returncode == 0
    finally:
        store.close()


def test_ctrl_c_stops_and_says_how_to_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = search("random-search", folder, "--set", "trials=100000")
    process = subprocess.Popen(words, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if events(folder) >= 20:
                break
        except Exception:
            pass
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"morphogen resume {folder}" in output
    assert "Traceback" not in output
