"""Hostile configurations, tables, data and texts: one line says what is wrong, and nothing of them is run."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from morphogen.cli import app

SOURCES = sorted((Path(__file__).parents[2] / "src" / "morphogen").rglob("*.py"))


class Bomb:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The current folder, in which a bomb that went off has left a file."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not (tmp_path / "ran").exists()


def said(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code in (1, 2)
    lines = done.stderr.strip().splitlines()
    assert 1 == len(lines), done.stderr
    return str(lines[0])


def search_on(data: Path) -> str:
    return said("search", "--data", str(data), "--trials", "1", "--out", "run")


def test_an_array_of_objects_is_not_unpickled(here: Path) -> None:
    np.savez(here / "bomb.npz", x=np.array([Bomb(), Bomb()], dtype=object), y=np.array([0, 1]))
    assert "bomb.npz" in search_on(here / "bomb.npz")


def test_an_array_that_claims_to_be_enormous_is_refused(here: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (4000000000, 32, 32, 3), }"
    array = b"\x93NUMPY\x01\x00" + (len(header) + 1).to_bytes(2, "little") + header + b"\n" + b"\0" * 64
    with zipfile.ZipFile(here / "large.npz", "w") as archive:
        archive.writestr("x.npy", array)
        archive.writestr("y.npy", array)
    assert "large.npz" in search_on(here / "large.npz")


def test_a_name_of_an_archive_that_leaves_it_is_not_written_anywhere(here: Path) -> None:
    labels = io.BytesIO()
    np.save(labels, np.array([0, 1]))
    with zipfile.ZipFile(here / "leaves.npz", "w") as archive:
        archive.writestr("../../escaped.npy", labels.getvalue())
        archive.writestr("y.npy", labels.getvalue())
    assert "leaves.npz" in search_on(here / "leaves.npz")
    assert not list(here.parent.parent.glob("escaped*"))


CONFIGS = {
    "nested": "trials = " + "[" * 100_000,
    "tables": ".".join(["a"] * 50_000) + " = 1",
    "large": "space = '" + "x" * 2_000_000 + "'",
    "digits": "trials = " + "9" * 10_000,
    "number": "trials = 1" + "0" * 400,
    "infinite": "budget = inf",
    "nan": "trial_seconds = nan",
    "not text": "\x00\x01\x02",
    "name": "from_run = '../../../../etc'",
    "table": "table = '../../../../etc/passwd'",
    "table file": "table = '/etc/hostname.toml'",
    "code": "strategy = 'os:system'",
    "code with a call": 'strategy = \'__import__("os").system("touch ran")\'',
    "option": "strategy_options = { __class__ = 'x' }",
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_hostile_configuration_is_refused_in_one_line(name: str, here: Path) -> None:
    (here / "run.toml").write_text(CONFIGS[name])
    line = said("check", "run.toml")
    assert len(line) < 2000, "a message is for a person"


@pytest.mark.parametrize("value", ["[" * 50_000, "9" * 10_000, "1e999999", "{" * 50_000, "'" * 3])
def test_a_hostile_setting_is_refused_in_one_line(value: str) -> None:
    assert said("search", "--table", "toy", "--set", f"slots={value}", "--out", "run")


TABLES = {
    "nested": "data = " + "[" * 100_000,
    "columns": 'data = "../../../../etc/passwd"\nspace = "nasbench201"',
    "folder": 'data = "/"\nspace = "nasbench201"',
    "space": 'data = "a.csv"\nspace = "os:system"',
    "nothing": "",
}


@pytest.mark.parametrize("name", TABLES)
def test_a_hostile_table_is_refused_in_one_line(name: str, here: Path) -> None:
    (here / "table.toml").write_text(TABLES[name])
    assert "root:" not in said("search", "--table", "table.toml", "--trials", "1", "--out", "run")


TEXTS = [
    "(" * 100_000, "Genotype(" * 5_000, "Genotype(normal=__import__('os').system('touch ran'))", "9" * 10_000,
    "Genotype(normal=[('sep_conv_3x3', 10**10**10)], normal_concat=[2], reduce=[], reduce_concat=[2])", "{" * 100_000, '{"a":' * 10_000,
    "Genotype(normal=range(10**9), normal_concat=range(10**18), reduce=[], reduce_concat=[])", "zoo:../../etc/passwd", "<script>", "\x00",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_a_hostile_architecture_is_refused_in_one_line(text: str) -> None:
    said("profile", "--architecture", text)
    said("profile", "--space", "darts", "--architecture", text)


@pytest.mark.parametrize("name", ["..", "run\n", "a" * 65, "-x", "a b", "ä", ".hidden"])
def test_a_run_folder_with_an_odd_name_is_refused(name: str) -> None:
    assert "cannot name a run folder" in said("search", "--table", "toy", "--trials", "1", "--out", f"runs/{name}")


def test_only_what_the_driver_itself_has_pickled_is_unpickled() -> None:
    """The one line that reads a pickle from elsewhere would be found here."""
    unpickles = re.compile(
        r"pickle\.loads?\b|\.Unpickler\(|joblib|dill\b|weights_only=False|allow_pickle=True|\beval\(|\bexec\("
    )
    found = {
        str(path.relative_to(SOURCES[0].parent))
        for path in SOURCES
        for line in path.read_text().splitlines()
        if unpickles.search(re.sub(r"[\w)]\.eval\(", "", line))
    }
    assert {"executors/wire.py", "executors/worker.py", "executors/ray_task.py", "executors/together.py", "testing/strategy.py", "testing/estimator.py", "testing/space.py"} >= found  # fmt: skip
    loads = [line for path in SOURCES for line in path.read_text().splitlines() if "torch.load(" in line]
    assert loads
    assert all("weights_only=True" in line for line in loads)
