"""The command line: what it prints, its exit codes, and that bad input is one line."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import Result as Done
from typer.testing import CliRunner

from morphogen.catalog import kebab
from morphogen.cli import app


def morphogen(*words: str, cwd: Path, ok: int = 0) -> Done:
    """Run a command in this process: what `main` does, without the seconds of a new interpreter."""
    before = signal.getsignal(signal.SIGTERM)
    with contextlib.chdir(cwd):
        done = CliRunner().invoke(app, list(words))
    signal.signal(signal.SIGTERM, before)
    assert done.exit_code == ok, f"exit {done.exit_code}\n{done.output}\n{done.exception!r}"
    assert "Traceback" not in done.output
    return done


BAD = {
    "unknown space": (["search", "--space", "dart"], "did you mean 'darts'"),
    "unknown strategy": (["search", "--table", "toy", "--strategy", "random-serch"], "did you mean 'random-search'"),
    "unknown table": (["search", "--table", "toi"], "did you mean 'toy'"),
    "unknown data": (["search", "--data", "digit"], "did you mean 'digits'"),
    "unknown executor": (["search", "--table", "toy", "--executor", "inlin"], "did you mean 'inline'"),
    "unknown key": (["search", "--set", "trails=3"], "did you mean 'trials'"),
    "unknown option": (["search", "--table", "toy", "--set", "strategy_options.population=3"], "population_size"),
    "wrong type": (["search", "--set", "trials=lots"], "trials = 'lots'"),
    "not a duration": (["search", "--budget", "soon"], "write 90s, 10m or 1h30m"),
    "own strategy that is not there": (
        ["search", "--table", "toy", "--strategy", "nowhere:Nothing"],
        "cannot be imported",
    ),
    "no such file": (["search", "nothing.toml"], "cannot be read"),
    "strategy that cannot be": (
        ["search", "--table", "toy", "--set", "strategy_options.tournament_size=99"],
        "tournament_size=99",
    ),
    "option of another type": (
        ["search", "--table", "toy", "--set", "strategy_options.population_size=lots"],
        "strategy 'regularized-evolution': population_size = 'lots': Input should be a valid integer",
    ),
    "option of a method that is neither yes nor no": (
        ["search", "--strategy", "darts", "--set", "strategy_options.sharpness=maybe"],
        "method 'darts': sharpness = 'maybe': Input should be a valid boolean",
    ),
    "nothing to list": (["list", "spacs"], "did you mean 'spaces'"),
}


def test_the_version_is_that_of_the_installed_package(tmp_path: Path) -> None:
    assert morphogen("--version", cwd=tmp_path).stdout == f"morphogen {version('morphogen')}\n"


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_that_says_what_was_expected(case: str, tmp_path: Path) -> None:
    words, expected = BAD[case]
    done = morphogen(*words, cwd=tmp_path, ok=2)
    assert expected in done.stderr
    assert 1 == len(done.stderr.strip().splitlines())
    assert not (tmp_path / "runs").exists()


def test_a_data_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "nothing.npz" in morphogen("search", "--data", "nothing.npz", cwd=tmp_path, ok=1).stderr


def test_corrupt_toml_names_the_place(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('space = "darts\n')
    assert "line 1" in morphogen("search", "run.toml", cwd=tmp_path, ok=2).stderr


@pytest.mark.parametrize("command", ["status", "resume", "report"])
def test_a_folder_without_a_run_is_said(command: str, tmp_path: Path) -> None:
    assert "holds no run" in morphogen(command, "nowhere", cwd=tmp_path, ok=1).stderr


def test_a_run_folder_is_never_overwritten(tmp_path: Path) -> None:
    words = ["search", "--table", "toy", "--trials", "3", "--out", "run"]
    morphogen(*words, cwd=tmp_path)
    assert "morphogen resume run" in morphogen(*words, cwd=tmp_path, ok=1).stderr


def test_a_run_folder_cannot_have_an_odd_name(tmp_path: Path) -> None:
    words = ["search", "--table", "toy", "--trials", "3", "--out", "a b\nc"]
    assert "cannot name a run folder" in morphogen(*words, cwd=tmp_path, ok=1).stderr


def test_a_damaged_record_is_refused_and_left_alone(tmp_path: Path) -> None:
    morphogen("search", "--table", "toy", "--trials", "3", "--out", "run", cwd=tmp_path)
    record = tmp_path / "run" / "trials.sqlite"
    damaged = b"this is no database" * 100
    record.write_bytes(damaged)
    for suffix in ("-wal", "-shm"):
        record.with_name(record.name + suffix).unlink(missing_ok=True)
    assert "trials.sqlite" in morphogen("resume", "run", cwd=tmp_path, ok=1).stderr
    assert damaged == record.read_bytes()


def test_a_search_on_a_table_ends_with_a_verdict_a_page_and_json(tmp_path: Path) -> None:
    words = ["search", "--table", "toy", "--trials", "30", "--seed", "3", "--out", "run", "--json"]
    result = json.loads(morphogen(*words, cwd=tmp_path).stdout)
    assert {"folder", "best", "winner", "report"} <= result.keys()
    assert (tmp_path / "run" / "report.html").stat().st_size > 1000
    status = json.loads(morphogen("status", "run", "--json", "--last", "all", cwd=tmp_path).stdout)
    assert status["concluded"]
    assert 30 == status["phases"]["search"]["finished"]
    assert len(status["trials"]) == status["asked"]
    again = json.loads(morphogen("resume", "run", "--json", cwd=tmp_path).stdout)
    assert result["best"] == again["best"]


def test_the_resolved_configuration_repeats_the_run(tmp_path: Path) -> None:
    morphogen("search", "--table", "toy", "--trials", "12", "--seed", "5", "--out", "one", cwd=tmp_path)
    morphogen("search", "one/run.toml", "--out", "two", cwd=tmp_path)
    one, two = (
        json.loads(morphogen("status", f, "--json", "--last", "all", cwd=tmp_path).stdout) for f in ("one", "two")
    )
    assert one["trials"] == two["trials"]


def test_a_strategy_from_the_current_folder_is_found(tmp_path: Path) -> None:
    adding = Path(__file__).parents[1] / "docs" / "adding.md"
    code = adding.read_text().split("```python\n")[1].split("```")[0]
    (tmp_path / "greedy.py").write_text(code)
    words = [
        "search",
        "--table",
        "toy",
        "--strategy",
        "greedy:Greedy",
        "--set",
        "strategy_options.every=3",
        "--trials",
        "20",
        "--out",
        "run",
    ]
    command = [sys.executable, "-m", "morphogen.cli", *words]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=200)


def test_check_constructs_everything_and_asks_once(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('table = "toy"\nstrategy = "random-search"\n')
    checked = json.loads(morphogen("check", "run.toml", "--json", cwd=tmp_path).stdout)
    assert checked["phases"] == ["search", "random", "retrain"]
    assert checked["declared_cost"] > 0


@pytest.mark.parametrize(
    "what", ["spaces", "strategies", "methods", "estimators", "executors", "data", "tables", "zoo"]
)
def test_everything_listed_has_a_name_and_a_line(what: str, tmp_path: Path) -> None:
    rows = json.loads(morphogen("list", what, "--json", cwd=tmp_path).stdout)
    assert rows
    assert all(str(v) for row in rows for v in row.values())


def test_names_on_the_command_line_are_kebab_case() -> None:
    cases = {
        "RegularizedEvolution": "regularized-evolution",
        "Nsga2": "nsga2",
        "NSGA2": "nsga2",
        "RandomSearch": "random-search",
    }
    assert cases == {name: kebab(name) for name in cases}
