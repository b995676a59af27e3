"""What the end of a run will take, before it."""

import json
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

import pytest

from morphogen import config as configuration
from morphogen.methods.black_box import RESERVE
from morphogen.runs.assembly import assemble
from morphogen.runs.rehearsal import JUDGED, PAGE, START, Rehearsal, rehearse
from morphogen.runs.run import create


def test_an_export_is_timed_and_the_test_split_reckoned(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []
    monkeypatch.setattr("morphogen.export.export", lambda network, folder, image: written.append(folder))
    clock = count(step=2.0)  # a processor's own moves in hundredths
    monkeypatch.setattr("morphogen.runs.rehearsal._cpu_seconds", lambda: next(clock))
    parts = assemble(configuration.parse({"space": "nasbench201", "data": "digits"}, "test"))
    found = rehearse(parts, seed=0, workers=2)
    assert 1 == len(written)
    assert not written[0].parent.exists()
    assert parts.data is not None
    each = 2.0 * len(parts.data.test) / min(JUDGED, len(parts.data.valid))
    assert found["export"] == 2.0
    assert found["test"] == pytest.approx(2 * (START + each))  # four networks on two workers
    assert found["seconds"] == found["export"] + found["test"] + PAGE


def test_until_it_has_found_something_the_usual_is_reserved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rehearsal = Rehearsal(tmp_path)
    assert RESERVE == rehearsal.seconds()
    rehearsal.close()
    for printed, expected in (('{"seconds": 7.5}', 7.5), ("it failed", RESERVE), ("[]", RESERVE)):
        code = f"print({printed!r})"
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        process.wait()
        rehearsal = Rehearsal(tmp_path)
        rehearsal._process = process
        assert expected == rehearsal.seconds() == rehearsal.seconds()
        rehearsal.close()


@pytest.mark.slow
def test_it_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    config = configuration.parse({"space": "nasbench201", "data": "digits", "budget": "60s"}, "test")
    folder = create(config, tmp_path / "run")
    command = [sys.executable, "-m", "morphogen.runs.rehearsal", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["seconds"] > 0


def test_it_is_ended_with_the_run(tmp_path: Path) -> None:
    rehearsal = Rehearsal(tmp_path)
    rehearsal.start()
    process = rehearsal._process
    assert process is not None
    assert [".rehearsal"] == [path.name for path in tmp_path.iterdir()]
    rehearsal.close()
    assert process.poll() is not None
    assert [] == list(tmp_path.iterdir())


@pytest.mark.slow
def test_what_it_started_ends_with_it_and_leaves_no_files(tmp_path: Path) -> None:
    config = configuration.parse({"space": "nasbench201", "data": "digits", "budget": "60s"}, "test")
    folder = create(config, tmp_path / "run")
    before = set(Path(tempfile.gettempdir()).iterdir())
    rehearsal = Rehearsal(folder)
    rehearsal.start()
    process = rehearsal._process
    assert process is not None
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 60
    while not (started := children.read_text().split()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert started  # the proof of the export, in a fresh process
    rehearsal.close()
    assert not any(Path(f"/proc/{child}").exists() and _alive(child) for child in started)
    assert not (folder / ".rehearsal").exists()
    assert set() == {p for p in set(Path(tempfile.gettempdir()).iterdir()) - before if "morphogen" in p.name}


def _alive(process: str) -> bool:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
