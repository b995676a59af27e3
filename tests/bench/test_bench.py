"""`morphogen bench`: what is measured, and that it is a function of its settings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from morphogen.bench import Job, Settings, bench, command, replay
from morphogen.bench.page import render
from morphogen.bench.program import every_strategy
from morphogen.bench.replaying import known
from morphogen.bench.show import show
from morphogen.cli import app
from morphogen.estimators.toy import ToyTable

ROWS = 81
TOML = """
data = "t.npz"
choices = [{ name = "a", options = ["0", "1", "2"] }, { name = "b", options = ["0", "1", "2"] },
           { name = "c", options = ["0", "1", "2"] }, { name = "d", options = ["0", "1", "2"] }]
report = "test"
architecture = { columns = "arch" }
fidelity = { epochs = 9 }
seconds = { constant = 3600.0 }
[metrics.accuracy]
column = "acc"
maximize = true
at = [{ epochs = 3, column = "early" }]
[metrics.test]
column = "test"
"""


@pytest.fixture
def table(tmp_path: Path) -> str:
    arch = np.stack(np.meshgrid(*[range(3)] * 4, indexing="ij"), axis=-1).reshape(ROWS, 4)
    acc = arch.sum(axis=1) / 10 + 0.01 * arch[:, 0]
    np.savez(tmp_path / "t.npz", arch=arch, acc=acc, early=acc - 0.1, test=acc + 0.05)
    (tmp_path / "t.toml").write_text(TOML)
    return str(tmp_path / "t.toml")


def test_a_table_without_noise_is_left_when_its_best_is_found(table: str) -> None:
    run = replay(Job(table, "random-search", 0, ROWS))
    assert run.found == len(run.spent) <= ROWS
    assert 0 == run.regret[-1] < run.regret[0]
    assert sorted(run.regret, reverse=True) == list(run.regret)
    assert [3600.0 * (i + 1) for i in range(len(run.clock))] == list(run.clock)
    assert run.reported == pytest.approx(0.87)


def test_a_run_is_a_function_of_its_job(table: str) -> None:
    job = Job(table, "regularized-evolution", 3, 30, slots=4, workers=2)
    first, second = replay(job), replay(job)
    assert replace(first, asking=0.0) == replace(second, asking=0.0)
    assert first.utilization > 0.9


def test_repetitions_are_asked_for_again_unless_they_are_wanted(table: str) -> None:
    asked, repeated = (replay(Job(table, "random-search", 1, 300, repeats=r)) for r in (False, True))
    assert len(asked.spent) <= ROWS
    assert replace(asked, asking=0.0) != replace(repeated, asking=0.0)


def test_the_command_prints_json_and_writes_its_files(table: str, tmp_path: Path) -> None:
    words = [
        "bench",
        table,
        "--strategies",
        "local-search",
        "--budget",
        "5",
        "--seeds",
        "2",
        "--jobs",
        "1",
        "--json",
        "--to",
        str(tmp_path / "out"),
    ]
    done = CliRunner().invoke(app, words)
    assert 0 == done.exit_code, done.output
    assert json.loads(done.stdout) == json.loads((tmp_path / "out" / "bench.json").read_text())
    assert (tmp_path / "out" / "bench.html").stat().st_size > 1_000_000
    assert 2 == CliRunner().invoke(app, ["bench", "toi", "--seeds", "1"]).exit_code


def test_lower_fidelities_count_by_their_share(table: str) -> None:
    run = replay(Job(table, "asha", 1, 6))
    assert run.spent[0] == pytest.approx(1 / 3)
    assert run.spent[-1] <= 6 + 1


def test_simulated_time_ends_a_run(table: str) -> None:
    run = replay(Job(table, "random-search", 2, ROWS, seconds=5 * 3600.0))
    assert len(run.clock) <= 5


def test_noise_is_not_what_regret_is_of() -> None:
    toy = ToyTable()
    run = replay(Job("toy", "random-search", 0, 10))
    assert all(0 <= r <= toy.optimum - toy.worst for r in run.regret)


def test_the_optimum_of_the_toy_table_is_above_all_samples() -> None:
    toy, rng = ToyTable(), np.random.default_rng(0)
    found = [t for t in (toy.truth(toy.space.sample(rng)) for _ in range(500)) if t is not None]
    assert toy.worst <= min(found) < max(found) <= toy.optimum


def test_two_processes_give_what_one_gives_and_runs_are_taken_up_again(table: str, tmp_path: Path) -> None:
    settings = Settings([table], ["regularized-evolution"], budget=20, seeds=2)

    def numbers(jobs: int, resume: bool = False) -> str:
        found = bench(settings, jobs=jobs, folder=tmp_path / "out", resume=resume).json
        for row in found["tables"][0]["rows"]:
            del row["ask_ms"]
        return json.dumps(found)

    one = numbers(1)
    kept = sorted((tmp_path / "out" / "runs").iterdir())
    assert 4 == len(kept)
    kept[0].write_text("{")  # torn
    assert one == numbers(1, resume=True)
    assert one == numbers(2)


def test_the_tables_in_the_terminal_the_page_and_the_json_are_whole(table: str, tmp_path: Path) -> None:
    settings = Settings([table, "toy"], ["regularized-evolution", "local-search"], budget=25, seeds=3)
    done = bench(settings)
    console = Console(width=60, record=True)
    show(done, console)
    text = console.export_text()
    assert "regularized-evolution" in text
    assert "mean rank" in text
    assert "…" not in text
    page = render(done)
    assert "Regret by simulated hours" in page
    assert page.count("data-figure") == 4 + page.count('data-figure="{{')
    body = json.loads(json.dumps(done.json, allow_nan=False))
    row = body["tables"][0]["rows"][0]
    assert {"20", "25"} == set(row["regret"])
    assert {"mean", "se", "median", "found"} == set(row["queries"])
    assert {"end", "anytime"} == set(body["tables"][0]["rows"][1]["against_random"])
    assert 3 == len(body["mean_ranks"])


def test_predictors_are_cross_validated_where_that_is_wanted(table: str) -> None:
    done = bench(Settings([table, "toy"], ["random-search"], budget=2, seeds=1, predictors=12))
    assert [3, 3] == [len(on.predictors) for on in done.tables]
    assert done.tables[0].predictors["gaussian-process"].kendall > 0.3
    again = bench(Settings([table, "toy"], ["random-search"], budget=2, seeds=1, predictors=12))
    assert done.tables[1].json["predictors"] == again.tables[1].json["predictors"]
    console = Console(width=60, record=True)
    show(done, console)
    assert "gaussian-process: cross-validated rank correlation Kendall" in console.export_text()
    assert "five-fold cross-validation over 12 architectures" in render(done)
    with pytest.raises(ValueError, match="needs 10 architectures"):
        Settings([table], predictors=5)


def test_all_are_the_strategies_that_need_a_space_only() -> None:
    names = every_strategy()
    assert {"random-search", "regularized-evolution", "asha"} <= set(names)
    assert not {"each", "deduplicated"} & set(names)


def test_what_a_table_cannot_serve_is_refused_where_it_was_named(table: str, tmp_path: Path) -> None:
    flat = tmp_path / "flat.toml"
    flat.write_text(
        TOML.replace("fidelity = { epochs = 9 }", "").replace('at = [{ epochs = 3, column = "early" }]', "")
    )
    with pytest.raises(ValueError, match="needs a table with fidelities"):
        bench(Settings([str(flat)], ["asha"], budget=2, seeds=1))


BAD = {
    "no such table": ({"tables": ["toi"]}, "did you mean 'toy'"),
    "no such strategy": ({"strategies": ["random-serch"]}, "did you mean 'random-search'"),
    "no seeds": ({"seeds": 0}, "at least one"),
    "no time": ({"time": "soon"}, "write 90s, 10m or 1h30m"),
    "an option of nothing": ({"options": ["population_size=3"]}, "STRATEGY.OPTION=VALUE"),
    "an unknown option": ({"options": ["random-search.x=3"]}, "no option 'x'"),
    "nowhere to resume from": ({"resume": True}, "--to DIR"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_says_what_was_expected(case: str) -> None:
    changed, expected = BAD[case]
    plain: dict[str, object] = {
        "tables": ["toy"], "strategies": ["random-search"], "budget": 3, "seeds": 1, "slots": 1, "workers": None, "time": None,
        "first_seed": 0, "jobs": 1, "to": None, "resume": False, "options": [], "console": Console(quiet=True),
    }  # fmt: skip
    with pytest.raises(ValueError, match=expected.replace("[", r"\[")):
        command.run(**{**plain, **changed})  # type: ignore[arg-type]


def test_a_table_is_made_once() -> None:
    assert known("toy") is known("toy")
