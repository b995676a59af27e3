"""Run folders that somebody has prepared: nothing of them is run, leaves them, or ends in a traceback."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from morphogen.cli import app

HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped in its search."""
    folder = tmp_path_factory.mktemp("runs") / "sound"
    words = ["search", "--table", "toy", "--trials", "12", "--set", "control=false", "--out", str(folder)]
    assert CliRunner().invoke(app, words).exit_code == 0
    with closing(sqlite3.connect(folder / "trials.sqlite")) as database, database:
        database.execute("DELETE FROM events WHERE n > 19")
    (folder / "tally.json").unlink()
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    """A copy of it, to be tampered with; beside it what it must not reach."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "checkpoint.pt").write_bytes(b"somebody's")
    return Path(shutil.copytree(sound, tmp_path / "run"))


def tamper(folder: Path, command: str, *values: Any) -> None:
    with closing(sqlite3.connect(folder / "trials.sqlite")) as database, database:
        database.execute(command, values)


def body_of(folder: Path, kind: str, trial: int) -> dict[str, Any]:
    with closing(sqlite3.connect(folder / "trials.sqlite")) as database:
        ((text,),) = database.execute("SELECT body FROM events WHERE kind = ? AND trial = ?", (kind, trial)).fetchall()
    found: dict[str, Any] = json.loads(text)
    return found


def put(folder: Path, kind: str, trial: int, **changes: Any) -> None:
    body = json.dumps({**body_of(folder, kind, trial), **changes})
    tamper(folder, "UPDATE events SET body = ? WHERE kind = ? AND trial = ?", body, kind, trial)


def said(*words: str) -> str:
    """The one line of a command that fails."""
    done = CliRunner().invoke(app, list(words))
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code in (1, 2)
    lines = done.stderr.strip().splitlines()
    assert 1 == len(lines), done.stderr
    return lines[0]


@pytest.mark.parametrize("name", ["../../outside", "/etc", "1x", -1, 1.5, None])
def test_a_trial_that_is_named_by_no_number_is_refused(folder: Path, name: object) -> None:
    if name is None:  # the column forbids it
        tamper(folder, "UPDATE events SET trial = x'2e2e2f' WHERE trial = 3")
    else:
        tamper(folder, "UPDATE events SET trial = ? WHERE trial = 3", name)
    for command in ("status", "resume", "report"):
        assert "is damaged: event" in said(command, str(folder))


@pytest.mark.parametrize("warm_start", ["../../../outside", 7, 3, -1, 2.0, True, [1], {"a": 1}])
def test_a_trial_that_continues_something_else_than_an_earlier_trial_is_refused(folder: Path, warm_start: Any) -> None:
    proposal = body_of(folder, "asked", 3)["proposal"]
    put(folder, "asked", 3, proposal={**proposal, "warm_start": warm_start})
    for command in ("status", "resume"):
        assert "'asked' of trial 3 is not what this run would have recorded" in said(command, str(folder))
    assert b"somebody's" == (folder.parent / "outside" / "checkpoint.pt").read_bytes()


PROPOSALS: list[Any] = [
    None, 7, "op", [], {}, {"architecture": 7}, {"architecture": {"depth": "9"}}, {"architecture": {"depth": ["3"] * 9}},
    {"architecture": {"__class__": "x"}}, {"architecture": {"depth": {"$ref": "file:///etc/passwd"}}},
]  # fmt: skip


@pytest.mark.parametrize("proposal", PROPOSALS)
def test_what_is_no_proposal_is_refused(folder: Path, proposal: Any) -> None:
    put(folder, "asked", 3, proposal=proposal)
    for command in ("status", "resume"):
        assert "'asked' of trial 3" in said(command, str(folder))


@pytest.mark.parametrize(
    "changes",
    [{"phase": 7}, {"phase": None}, {"told": "x"}, {"told": [1]}, {"at": "x"}, {"at": [1]}, {"at": 10**400}],
)
def test_what_was_asked_otherwise_than_it_can_be_is_refused_by_resume(folder: Path, changes: dict[str, Any]) -> None:
    put(folder, "asked", 3, **changes)
    assert "'asked' of trial 3" in said("resume", str(folder))


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": None}, {"metrics": {"accuracy": "high"}}, {"metrics": [1]}, {"seconds": {}}, {"error": ["x"]}, {"curves": 7},
        {"curves": {"accuracy": [1, 2]}}, {"found": {"depth": "9"}}, {"metrics": {"accuracy": 10**400}},
    ],
)  # fmt: skip
def test_what_is_no_outcome_is_refused(folder: Path, changes: dict[str, Any]) -> None:
    put(folder, "finished", 3, **changes)
    for command in ("status", "resume"):
        assert "'finished' of trial 3" in said(command, str(folder))


def test_events_in_an_impossible_order_are_refused(folder: Path) -> None:
    tamper(folder, "UPDATE events SET trial = 99 WHERE trial = 3 AND kind = 'asked'")
    assert "'asked' of trial 99" in said("resume", str(folder))


def test_a_body_that_is_nested_without_end_is_refused(folder: Path) -> None:
    deep = '{"a":' * 50_000 + "1" + "}" * 50_000
    tamper(folder, "UPDATE events SET body = ? WHERE kind = 'asked' AND trial = 3", deep)
    assert "is damaged: event" in said("status", str(folder))


TALLIES = [
    "", "[]", "{}", "null", "[" * 100_000, '{"version": 1}', '{"version": 1, "events": 1e999, "last": ["asked", 0], "phases": {}}',
    '{"version": 1, "events": 5, "last": ["asked", 0], "phases": {"search": {"first": "../"}}}',
    '{"version": 1, "events": 999999, "last": ["asked", 0], "phases": {}}',
    '{"version": 1, "events": -3, "last": ["asked", 0], "phases": {}}',
]  # fmt: skip


@pytest.mark.parametrize("tally", TALLIES)
def test_counts_that_cannot_be_are_counted_again(folder: Path, tally: str) -> None:
    done = CliRunner().invoke(app, ["status", str(folder), "--json"])
    assert 0 == done.exit_code
    (folder / "tally.json").write_text(tally)
    again = CliRunner().invoke(app, ["status", str(folder), "--json"])
    assert json.loads(done.stdout) == json.loads(again.stdout)


def test_what_a_record_says_is_text_on_its_page(folder: Path) -> None:
    put(folder, "finished", 3, error=HOSTILE, metrics={})
    metrics = body_of(folder, "finished", 2)["metrics"]
    put(folder, "finished", 2, metrics={**metrics, HOSTILE: 0.5})
    origin = {"parent": HOSTILE, HOSTILE: HOSTILE}
    put(folder, "asked", 4, proposal={**body_of(folder, "asked", 4)["proposal"], "origin": origin})
    (folder / "result.json").unlink()
    done = CliRunner().invoke(app, ["resume", str(folder)])
    assert 0 == done.exit_code, done.stderr
    page = (folder / "report.html").read_text()
    assert "<script>alert(1)" not in page
    assert "<img src=x" not in page
    assert "alert(1)" in page, "the failure is told"


@pytest.mark.parametrize("markup", ["[red]x[/red]", "[/bold]", "\x1b[31mred", "[link=http://a]b[/link]"])
def test_markup_of_the_terminal_is_text(folder: Path, markup: str) -> None:
    put(folder, "finished", 3, error=markup, metrics={})
    for command in ("status", "resume"):
        done = CliRunner().invoke(app, [command, str(folder)])
        assert 0 == done.exit_code, done.exception


@pytest.mark.parametrize("file", ["result.json", "report.html", "tally.json"])
def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(folder: Path, file: str) -> None:
    target = folder.parent / "outside" / "checkpoint.pt"
    (folder / file).unlink(missing_ok=True)
    (folder / file).symlink_to(target)
    assert 0 == CliRunner().invoke(app, ["resume", str(folder)]).exit_code
    assert b"somebody's" == target.read_bytes()
