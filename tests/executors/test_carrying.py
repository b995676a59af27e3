"""Nodes of a Ray cluster that do not see the run folder: files travel there and back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from morphogen.executors import carrying
from morphogen.executors.carrying import DATA, FOLDER, Carrier, data_here, fetch, pack, sees, temporary, token, unpack
from morphogen.protocols import MorphogenError
from morphogen.store import open as open_store
from morphogen.training.dataset import Data


class Objects(dict[int, bytes]):
    """An object store."""

    def put(self, content: bytes) -> int:
        self[len(self)] = content
        return len(self) - 1


def filled(folder: Path, **files: bytes) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- what a node sees -----------------------------------------------------------------------------------------------


def test_a_folder_of_the_same_path_on_another_machine_is_told_apart(tmp_path: Path) -> None:
    known = token(tmp_path)
    assert token(tmp_path) == known
    other = filled(tmp_path / "other", **{carrying.CHECK: b"0" * 32})
    assert not sees(str(other), known)
    assert not sees(str(tmp_path / "absent"), known)
    assert sees(str(tmp_path), known)


# --- there ----------------------------------------------------------------------------------------------------------


def test_what_all_nodes_see_is_not_sent(tmp_path: Path) -> None:
    objects = Objects()
    carrier = Carrier(objects.put)
    own, warm = filled(tmp_path / "1", a=b"1"), filled(tmp_path / "0", b=b"2")
    assert not carrier.carries
    carrier.unseen([DATA])
    assert carrier.carries
    assert (None, None, {}) == carrier.sent(own, warm, ())
    assert not objects


def test_what_trials_begin_with_is_put_once_and_anew_when_it_changed(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(carrying, "PIECE", 4)
    objects = Objects()
    carrier = Carrier(objects.put)
    carrier.unseen([FOLDER])
    warm = filled(tmp_path / "0", **{"checkpoint.pt": b"123456789", "empty": b""})
    (warm / "link").symlink_to("/etc/hostname")
    (warm / "inner").mkdir()
    sent = [carrier.sent(tmp_path / str(id), warm, ()) for id in (1, 2)]
    assert 3 == len(objects)
    for id, each in enumerate(sent):
        assert ({}, None) == (each.own, each.data)
        assert each.warm is not None
        fetch(each.warm, tmp_path / "node" / str(id), objects.__getitem__)
        assert {"checkpoint.pt": b"123456789", "empty": b""} == contents(tmp_path / "node" / str(id))
    (warm / "checkpoint.pt").write_bytes(b"12")
    again = carrier.sent(None, warm, ()).warm
    assert again is not None
    assert [b"12"] == [objects[reference] for reference in again["checkpoint.pt"]]


def test_a_folder_of_a_killed_worker_is_removed_and_one_in_use_is_not(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = filled(tmp_path / "morphogen-trial-killed", a=b"1")
    os.utime(left, (0, 0))
    with temporary() as one:
        assert not left.exists()
        filled(one / "0", a=b"1")
        os.utime(one, (0, 0))
        with temporary() as other:
            assert one.is_dir()
            assert other != one
    assert [] == list(tmp_path.iterdir())


def test_data_come_once_to_a_node_and_stay(tmp_path: Path, monkeypatch: Any) -> None:
    rng = np.random.default_rng(0)
    saved = Data.from_arrays(rng.integers(0, 255, (40, 4, 4)), np.arange(40) % 2).save(tmp_path / "driver")
    folder = saved.folder
    assert folder is not None
    objects = Objects()
    carrier = Carrier(objects.put)
    carrier.unseen([DATA])
    data = carrier.sent(None, None, [(str(folder), saved.digest)]).data
    assert data is not None
    assert folder == data_here(str(folder), saved.digest, None, objects.__getitem__)
    folder.rename(tmp_path / "elsewhere")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert data_here(str(folder), saved.digest, None, objects.__getitem__) is None
    kept = data_here(str(folder), saved.digest, data[str(folder)], objects.__getitem__)
    assert kept == tmp_path / "home/.cache/morphogen/mapped" / saved.digest[:32]
    assert kept == data_here(str(folder), saved.digest, None, objects.__getitem__)
    assert contents(tmp_path / "elsewhere") == contents(kept)
    # another data set under the driver's path
    Data.from_arrays(rng.integers(0, 255, (40, 4, 4)), np.arange(40) % 2).save(folder)
    assert kept == data_here(str(folder), saved.digest, None, objects.__getitem__)


# --- and back -------------------------------------------------------------------------------------------------------


def test_what_a_trial_leaves_comes_back_whole(tmp_path: Path) -> None:
    left = filled(tmp_path / "node", **{"checkpoint.pt": b"1", "log.txt": b"2"})
    (left / "link").symlink_to("/etc/hostname")
    filled(left / "inner", a=b"1")
    unpack(pack(left), tmp_path / "run" / "7")
    assert {"checkpoint.pt": b"1", "log.txt": b"2"} == contents(tmp_path / "run" / "7")
    assert {} == pack(tmp_path / "absent")


@pytest.mark.parametrize("name", ["../x", "..", ".", "", "a/b", "/etc/x", "a\\b", "a\0b", 3])
def test_a_name_that_would_leave_the_run_folder_is_refused(tmp_path: Path, name: Any) -> None:
    folder = filled(tmp_path / "run" / "7")
    with pytest.raises(MorphogenError, match="expected a plain name"):
        unpack({"good": b"1", name: b"2"}, folder)
    assert [folder] == list(tmp_path.rglob("*"))[1:]


def test_a_link_in_the_run_folder_is_replaced_and_not_followed(tmp_path: Path) -> None:
    folder = filled(tmp_path / "7")
    (tmp_path / "outside").write_bytes(b"1")
    (folder / "log.txt").symlink_to(tmp_path / "outside")
    unpack({"log.txt": b"2"}, folder)
    assert b"1" == (tmp_path / "outside").read_bytes()
    assert {"log.txt": b"2"} == contents(folder)


def test_a_trial_that_leaves_too_much_is_one_line(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(carrying, "MOST", 100)
    with pytest.raises(MorphogenError, match=r"^trial 7 left 0\.0 GiB on .* all nodes share$"):
        pack(filled(tmp_path / "7", a=b"1" * 101))


# --- a real cluster -------------------------------------------------------------------------------------------------

CLUSTER = """
import subprocess, sys, time
import ray
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
mounts = " && ".join(f"mount -t tmpfs none {folder}" for folder in sys.argv[1:])
start = (
    f"{sys.executable} -m ray.scripts.scripts start --address {cluster.address} --num-cpus 2 --block "
    "--min-worker-port 0 --max-worker-port 0 --dashboard-agent-listen-port 0"
)
node = subprocess.Popen(["unshare", "-m", "sh", "-c", f"{mounts} && exec {start}"], stdout=sys.stderr)
cluster.connect()
while ray.cluster_resources().get("CPU", 0) < 2:
    time.sleep(0.1)
print(cluster.address, flush=True)
sys.stdin.read()
node.terminate()
node.wait()
cluster.shutdown()
"""

SEARCH = {
    "strategy": '"asha"',
    "trials": 8,
    "training.epochs": 3,
    "skeleton.channels": 4,
    "skeleton.cells": 3,
    "final.training.epochs": 1,
    "final.finalists": 1,
    "final.seeds": 1,
    "control": "false",
    "seed": 3,
}


def can_hide() -> bool:
    """Whether a node can be started from which folders are hidden."""
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]
    if shutil.which("unshare") is None:
        return False
    return 0 == subprocess.run(command, capture_output=True, check=False).returncode


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a folder of runs and a home, which has mapped data."""
    place = tmp_path_factory.mktemp("place")
    (place / "home").mkdir()
    return place


def environment(place: Path) -> dict[str, str]:
    more = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64, "RAY_USAGE_STATS_ENABLED": "0"}
    return {**os.environ, **more, "HOME": str(place / "home")}


def search(place: Path, name: str, *words: str) -> list[tuple[object, ...]]:
    """The trials of a run, without what is measured."""
    out = place / "runs" / name
    settings = [word for key, value in SEARCH.items() for word in ("--set", f"{key}={value}")]
    command = [
        sys.executable,
        "-m",
        "morphogen.cli",
        "search",
        "--data",
        "digits",
        "--out",
        str(out),
        *words,
        *settings,
    ]
    done = subprocess.run(
        command, env=environment(place), capture_output=True, text=True, timeout=200, check=False, cwd=place
    )
    assert 0 == done.returncode, done.stderr + done.stdout
    with closing(open_store(out / "trials.sqlite", readonly=True)) as store:
        return sorted(
            (event.trial, event.kind, str(event.body.get("proposal")), accuracy_of(event.body), event.body.get("error"))
            for event in store.events()
        )


def accuracy_of(body: Mapping[str, Any]) -> str:
    return str([body.get("metrics", {}).get(metric) for metric in ("accuracy", "loss", "params")])


@pytest.fixture(scope="module")
def expected(place: Path) -> list[tuple[object, ...]]:
    """What the same search finds on this machine."""
    return search(place, "processes")


@pytest.fixture
def blind(place: Path) -> Iterator[str]:
    """The address of a cluster whose only node for trials sees neither the runs nor the mapped data."""
    if not can_hide():
        pytest.skip("folders can be hidden from a node by root only, with `unshare -m`")
    (place / "runs").mkdir(exist_ok=True)
    command = [sys.executable, "-c", CLUSTER, str(place / "home"), str(place / "runs")]
    with subprocess.Popen(
        command,
        env=environment(place),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()
        process.wait(60)


@pytest.mark.slow
def test_a_search_on_a_node_that_sees_no_files_finds_the_same(
    place: Path, expected: list[tuple[object, ...]], blind: str
) -> None:
    """With warm starts: a trial of ASHA begins with another's checkpoint, which only the driver has."""
    assert any("'warm_start': " in str(proposal) for _, _, proposal, *_ in expected)
    assert expected == search(place, "ray", "--executor", "ray", "--ray-address", blind)
    names = [
        {str(path.relative_to(run)) for path in run.rglob("*") if path.name != carrying.CHECK}
        for run in (place / "runs" / "processes", place / "runs" / "ray")
    ]
    assert names[0] == names[1]
    assert "best/model.py" in names[1]
    assert any(name.endswith("checkpoint.pt") for name in names[1])
    best = "best/weights.safetensors"
    assert (place / "runs/processes" / best).read_bytes() == (place / "runs/ray" / best).read_bytes()
