"""Real training through the real command: whole runs, kills at every stage, limits and failures."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from morphogen.protocols import Event
from morphogen.store import open as open_store

TINY = {
    "skeleton.channels": 4,
    "skeleton.cells": 3,
    "training.epochs": 1,
    "final.training.epochs": 2,
    "final.finalists": 1,
    "final.seeds": 2,
    "control": "false",
    "strategy": '"random-search"',
    "trials": 4,
    "seed": 3,
}
RUN = (sys.executable, "-m", "morphogen.cli")

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some hundred real images: x and y, split 60/20/20."""
    images, labels = load_digits(return_X_y=True)
    picked = np.random.default_rng(0).permutation(len(labels))[:200]
    path = tmp_path_factory.mktemp("data") / "few-digits.npz"
    np.savez(path, x=np.round(images[picked].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8), y=labels[picked])
    return path


@pytest.fixture(scope="session")
def whole(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    done = morphogen(*search(digits, out))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return out


# --- how a run is started, watched and read -------------------------------------------------------------------------


def search(data: Path, out: Path, **changes: Any) -> list[str]:
    settings = {**TINY, **{key.replace("__", "."): value for key, value in changes.items()}}
    words = ["search", "--data", str(data), "--workers", "2", "--out", str(out)]
    return [*words, *(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))]


def morphogen(*words: str, cwd: Path | None = None, seconds: float = 400) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *words], cwd=cwd, capture_output=True, text=True, timeout=seconds, check=False)


def _heed_ctrl_c() -> None:
    # background jobs of a shell, as these tests may be one, ignore it, and so would all that they start
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def started(*words: str, cwd: Path | None = None) -> Any:
    """A run in the background; whatever happens, it is gone afterwards."""
    process = subprocess.Popen(
        [*RUN, *words],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=_heed_ctrl_c,  # noqa: PLW1509 - no other thread runs here
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


def events(folder: Path) -> Sequence[Event]:
    if not (folder / "trials.sqlite").exists():
        return ()
    store = open_store(folder / "trials.sqlite", readonly=True)
    try:
        return store.events()
    finally:
        store.close()


def wait_until(process: subprocess.Popen[str], reached: Callable[[], bool], seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert process.poll() is None, f"it ended before: {process.communicate()[0]}"
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.01)


def asked(folder: Path, phase: str) -> bool:
    return any(e.kind == "asked" and e.body["phase"] == phase for e in events(folder))


def trials(folder: Path) -> list[dict[str, Any]]:
    """All that must repeat: everything but the seconds, by id."""
    found: list[dict[str, Any]] = []
    for event in events(folder):
        if event.kind == "asked":
            assert len(found) == event.trial
            found.append({"id": event.trial, "phase": event.body["phase"], "proposal": event.body["proposal"]})
        elif event.kind == "finished":
            found[event.trial] |= {key: event.body.get(key) for key in ("metrics", "curves", "error")}
    return found


def children(pid: int) -> list[int]:
    """All processes below one, by /proc."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = list(parents.get(pid, ()))
    for child in found:
        found += parents.get(child, ())
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stderr + done.stdout
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


ALONE = """
import json, sys, torch
sys.path.insert(0, sys.argv[1])
import model
from safetensors.torch import load_file
network = model.Model()
network.load_state_dict(load_file(sys.argv[1] + "/weights.safetensors"))
assert not [name for name in sys.modules if name.startswith("morphogen")]
print(json.dumps(list(network.eval()(torch.zeros(5, 1, 8, 8)).shape)))
"""

# --- the main job ---------------------------------------------------------------------------------------------------


def test_a_run_ends_with_a_network_that_needs_nothing_of_ours(whole: Path) -> None:
    alone = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, str(whole / "best")],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert [5, 10] == json.loads(alone.stdout)
    imports = [x for x in (whole / "best" / "model.py").read_text().splitlines() if x.startswith(("import ", "from "))]
    assert all("torch" in line or "__future__" in line for line in imports), imports
    assert {"model.py", "weights.safetensors", "model.onnx", "architecture.json", "card.json"} <= {
        p.name for p in (whole / "best").iterdir()
    }


def test_a_run_ends_with_a_page_and_a_result_for_machines(whole: Path) -> None:
    result = json.loads((whole / "result.json").read_text())
    assert str(whole / "best") == result["exported"]
    assert result["export_error"] is None
    assert ["winner", "plain", "logistic regression"] == [row["name"] for row in result["comparison"]]
    assert all(row["note"].endswith("test split") for row in result["comparison"])
    assert "<html" in (whole / "report.html").read_text()[:1000]


@pytest.mark.slow
def test_a_finished_run_is_not_worked_on_again(whole: Path) -> None:
    before = trials(whole)
    done = morphogen("resume", str(whole), "--json")
    assert done.returncode == 0, done.stderr
    assert before == trials(whole)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 4])
def test_the_number_of_workers_changes_no_trial(workers: int, whole: Path, digits: Path, tmp_path: Path) -> None:
    done = morphogen(*search(digits, tmp_path / "run"), "--workers", str(workers))
    assert done.returncode == 0, done.stderr
    assert trials(whole) == trials(tmp_path / "run")


@pytest.mark.slow
def test_the_random_arm_is_trained_compared_and_repeats(digits: Path, tmp_path: Path) -> None:
    lists = []
    for name in ("one", "two"):
        done = morphogen(*search(digits, tmp_path / name, control="true"), "--json")
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert {"winner", "plain", "logistic regression"} < {row["name"] for row in result["comparison"]}
        assert result["verdict"]["answer"] in ("better", "not better", "cannot tell")
        lists.append(
            [(t["proposal"], t["metrics"]) for t in trials(tmp_path / name) if t["phase"] in ("search", "random")]
        )
    # its length depends on measured seconds, what is in it does not
    assert all(one == two for one, two in zip(*lists, strict=False))
    assert min(map(len, lists)) > TINY["trials"]


# --- kills ----------------------------------------------------------------------------------------------------------


def kill_driver_and_resume(
    reached: Callable[[Path], bool], whole: Path, digits: Path, folder: Path, workers: int = 2
) -> subprocess.CompletedProcess[str]:
    with started(*search(digits, folder)) as driver:
        wait_until(driver, lambda: reached(folder))
        below = children(driver.pid)
        driver.kill()
        driver.wait(timeout=60)
        deadline = time.monotonic() + 30
        while any(map(alive, below)):
            assert time.monotonic() < deadline, "a process outlived its driver"
            time.sleep(0.02)
    done = morphogen("resume", str(folder), "--workers", str(workers))
    assert done.returncode == 0, done.stderr
    assert trials(whole) == trials(folder)
    assert json.loads((folder / "result.json").read_text())["exported"]
    assert not list(folder.glob(".best-*"))
    return done


def has_checkpoint(folder: Path) -> bool:
    return any((folder / "trials").glob("*/checkpoint.pt"))


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "the first training": has_checkpoint,
    "search": lambda folder: sum(e.kind == "finished" for e in events(folder)) >= 2,
    "retraining": lambda folder: any((folder / "trials" / str(i) / "checkpoint.pt").exists() for i in range(6, 12)),
    "test": lambda folder: asked(folder, "test"),
    "export": lambda folder: any(folder.glob(".best-draft-*")),
}


@pytest.mark.parametrize("moment", ["retraining"])
def test_a_killed_driver_resumes_to_the_same_trials(moment: str, whole: Path, digits: Path, tmp_path: Path) -> None:
    kill_driver_and_resume(MOMENTS[moment], whole, digits, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("moment", [m for m in MOMENTS if m != "retraining"])
def test_a_driver_killed_at_any_stage_resumes_to_the_same_trials(
    moment: str, whole: Path, digits: Path, tmp_path: Path
) -> None:
    kill_driver_and_resume(MOMENTS[moment], whole, digits, tmp_path / "run", workers=1)


def test_a_killed_worker_is_tried_again_to_the_same_metrics(whole: Path, digits: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with started(*search(digits, folder)) as driver:
        workers: list[int] = []

        def forked() -> bool:  # workers are the children of the fork server, which is the driver's child
            workers[:] = [pid for server in children(driver.pid) for pid in children(server)]
            return bool(workers)

        wait_until(driver, forked)
        os.kill(workers[0], signal.SIGKILL)
        output, _ = driver.communicate(timeout=400)
    assert driver.returncode == 0, output
    assert "SIGKILL" in output
    assert "trying again" in output
    assert 1 == sum(e.kind == "died" for e in events(folder))
    assert trials(whole) == trials(folder)


@pytest.mark.slow
def test_ctrl_c_stops_everything_and_the_run_goes_on(whole: Path, digits: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with started(*search(digits, folder)) as driver:
        wait_until(driver, lambda: has_checkpoint(folder))
        below = children(driver.pid)
        driver.send_signal(signal.SIGINT)
        output, _ = driver.communicate(timeout=60)
    assert 130 == driver.returncode
    assert f"morphogen resume {folder}" in output
    assert "Traceback" not in output
    assert not [pid for pid in below if alive(pid)]
    done = morphogen("resume", str(folder))
    assert done.returncode == 0, done.stderr
    assert trials(whole) == trials(folder)


@pytest.mark.slow
def test_a_second_driver_is_refused_and_the_first_goes_on(digits: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with started(*search(digits, folder)) as driver:
        wait_until(driver, lambda: bool(events(folder)))
        refused = morphogen("resume", str(folder))
        assert 1 == refused.returncode
        assert f"process {driver.pid}" in one_line(refused)
        assert driver.poll() is None


# --- what goes wrong in a trial ---------------------------------------------------------------------------------------

OWN_SPACE = """
import torch
from torch import nn
from morphogen.nn import MixedOp
from morphogen.space import Choice, Space


class Diverges(nn.Module):
    def forward(self, x):
        return x * float("nan")


class Huge(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(400_000_000))

    def forward(self, x):
        return x * self.weight.sum()


class Branches(nn.Module):
    def forward(self, x):
        return x * 2 if x.mean() > 0 else x


class Slow(nn.Module):
    def forward(self, x):
        import time
        time.sleep(0 if x.is_meta else 600)
        return x


OPERATIONS = {"plain": nn.Identity, "nan": Diverges, "huge": Huge, "branch": Branches, "slow": Slow}


class Network(nn.Module):
    def __init__(self, space):
        super().__init__()
        self.width = MixedOp(space["width"], lambda name: Widen(int(name)))
        self.operation = MixedOp(space["operation"], lambda name: OPERATIONS[name]())
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    def forward(self, x):
        return self.head(self.operation(self.width(x)))


class Widen(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.there, self.back = nn.Conv2d(1, width, 3, padding=1), nn.Conv2d(width, 1, 1)

    def forward(self, x):
        return self.back(torch.relu(self.there(x)))


def made(*operations):
    return Space((Choice("width", ("2", "4", "8")), Choice("operation", operations)), network=Network)


nan = made("plain", "nan")
huge = made("plain", "huge")
branch = made("branch")
slow = made("plain", "slow")
hopeless = made("nan")
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with somebody's own spaces, in which commands are run."""
    (tmp_path / "own.py").write_text(OWN_SPACE)
    return tmp_path


def own_search(space: str, data: Path, **changes: Any) -> list[str]:
    settings = {k: v for k, v in TINY.items() if not k.startswith("skeleton")}
    words = ["search", "--space", f"own:{space}", "--data", str(data), "--workers", "2", "--out", "run"]
    settings |= {key.replace("__", "."): value for key, value in changes.items()}
    return [*words, *(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))]


def failures(folder: Path, option: str) -> list[str]:
    """The reasons of the failed trials, all of which, and no others, have picked an option."""
    searched = [t for t in trials(folder) if t["phase"] == "search"]
    picked = [t["id"] for t in searched if t["proposal"]["architecture"]["operation"] == option]
    assert picked == [t["id"] for t in searched if t["error"] is not None]
    return [searched[id]["error"].splitlines()[0] for id in picked]


FAILING: dict[str, tuple[dict[str, Any], str]] = {
    "nan": ({}, "NaN"),
    "huge": ({"trial_memory_mb": 600}, "memory"),
    "slow": ({"trial_seconds": 20}, "time limit"),
}


@pytest.mark.parametrize("option", ["nan", *(pytest.param(o, marks=pytest.mark.slow) for o in ("huge", "slow"))])
def test_a_trial_that_cannot_work_fails_with_its_reason_and_the_run_goes_on(
    option: str, own: Path, digits: Path
) -> None:
    limits, expected = FAILING[option]
    done = morphogen(*own_search(option, digits, trials=6, **limits), cwd=own)
    assert done.returncode == 0, done.stderr + done.stdout
    reasons = failures(own / "run", option)
    assert reasons
    assert all(expected in reason for reason in reasons), reasons
    assert json.loads((own / "run" / "result.json").read_text())["exported"]


def test_where_every_trial_fails_one_line_says_why(own: Path, digits: Path) -> None:
    done = morphogen(*own_search("hopeless", digits), cwd=own)
    assert 1 == done.returncode
    said = one_line(done)
    assert "no trial worked out of 3" in said
    assert "NaN" in said


def test_where_what_the_supernet_found_is_ruled_out_one_line_says_why(tmp_path: Path) -> None:
    tiny = ("skeleton.channels=4", "strategy_options.epochs=1", "data_options.limit=48", "limits.latency_ms=1e-9")
    words = ["search", "--strategy", "darts", "--out", "run", *(word for s in tiny for word in ("--set", s))]
    done = morphogen(*words, cwd=tmp_path)
    assert 1 == done.returncode
    assert "no trial worked out of 1; the first failed with: ruled out before the rest" in one_line(done)


def test_a_network_that_cannot_be_exported_loses_nothing_of_the_run(own: Path, digits: Path) -> None:
    done = morphogen(*own_search("branch", digits), cwd=own)
    assert 1 == done.returncode
    said = one_line(done)
    assert "not exported" in said
    result = json.loads((own / "run" / "result.json").read_text())
    assert result["exported"] is None
    assert result["export_error"] in said
    assert result["comparison"][0]["name"] == "winner"
    assert (own / "run" / "report.html").exists()
    assert not (own / "run" / "best").exists()


# --- what goes wrong around it --------------------------------------------------------------------------------------


def test_a_malformed_data_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 this is no archive")
    done = morphogen(*search(tmp_path / "torn.npz", tmp_path / "run"))
    assert 1 == done.returncode
    assert "torn.npz is not a .npz file" in one_line(done)
    assert not (tmp_path / "run").exists()


def test_a_run_folder_that_cannot_be_written_is_one_line(digits: Path) -> None:
    done = morphogen(*search(digits, Path("/proc/run")))
    assert 1 == done.returncode
    assert "/proc/run cannot be written" in one_line(done)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process are Linux's")
def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_space(
    whole: Path, digits: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with started(*search(digits, folder)) as driver:
        wait_until(driver, lambda: has_checkpoint(folder))
        resource.prlimit(driver.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))  # the driver alone
        output, _ = driver.communicate(timeout=200)
    assert 1 == driver.returncode
    assert "Traceback" not in output
    assert "disk" in output.strip().splitlines()[-1]
    done = morphogen("resume", str(folder))
    assert done.returncode == 0, done.stderr
    assert trials(whole) == trials(folder)
