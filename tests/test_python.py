"""The main job from Python: a space and data that are objects, and what comes back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import own_model
import pytest
from sklearn.datasets import load_digits

import morphogen
from morphogen.strategies import Deduplicated, RandomSearch
from morphogen.training.data import Data

QUICK: dict[str, Any] = {
    "trials": 3,
    "seed": 1,
    "executor": "inline",
    "control": False,
    "training": {"epochs": 1},
    "final": {"finalists": 1, "seeds": 1, "training": {"epochs": 2}},
}


def few_digits() -> Data:
    images, labels = load_digits(return_X_y=True)
    pixels = np.round(images[:200].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    return Data.from_arrays(pixels, labels[:200], name="few-digits")


def run(folder: Path, **changes: Any) -> Any:
    return morphogen.search(
        own_model.space, few_digits(), out=folder, **{**QUICK, "strategy": "random-search", **changes}
    )


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return run(tmp_path_factory.mktemp("python") / "run")


def test_a_search_gives_the_best_architecture_and_a_verdict(result: Any) -> None:
    assert result.best.space is own_model.space
    assert result.exported
    assert result.verdict.answer in ("better", "not better", "cannot tell")
    assert "winner" == result.record.rows[0].name
    assert (result.folder / "report.html").exists()
    written = json.loads((result.folder / "result.json").read_text())
    assert result.best.json == written["architecture"]
    assert result.winner.id == written["winner"]["trial"]


def test_a_result_is_exported_to_anywhere(result: Any, tmp_path: Path) -> None:
    exported = result.export(tmp_path / "network")
    assert str(tmp_path / "network") == exported["folder"]
    assert (tmp_path / "network" / "model.py").exists()


def test_every_event_is_seen_once_it_is_durable(tmp_path: Path) -> None:
    seen: list[str | None] = []
    run(tmp_path / "run", watch=lambda study, event: seen.append(event.kind if event else None))
    assert [None, None] == [seen[0], seen[-1]]
    assert seen.count("asked") == seen.count("finished") == 3 + 1 + 2 + 3


def test_a_run_goes_on_with_the_objects_that_it_was_begun_with(result: Any) -> None:
    with pytest.raises(ValueError, match=r"begun in Python with a space that has no name, <own-model>.*space=\.\.\."):
        morphogen.resume(result.folder)
    again = morphogen.resume(result.folder, space=own_model.space, data=few_digits())
    assert again.best == result.best


def test_an_interrupted_run_goes_on_to_the_same_trials(result: Any, tmp_path: Path) -> None:
    def interrupt(study: morphogen.Study, event: Any) -> None:
        if event is not None and event.kind == "finished" and len(study.told) >= 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", watch=interrupt)
    cut = morphogen.resume(tmp_path / "cut", space=own_model.space, data=few_digits())
    assert result.best == cut.best
    assert result.json["winner"] == cut.json["winner"]


def test_a_strategy_is_any_function_of_a_space(result: Any, tmp_path: Path) -> None:
    made = run(tmp_path / "made", strategy=lambda space: Deduplicated(RandomSearch(space), space))
    assert result.json["winner"] == made.json["winner"]


def test_a_setting_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"search\(\): there is no key 'trails', did you mean 'trials'"):
        run(tmp_path / "run", trails=3)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_example_of_an_own_model_runs_as_a_script(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, own_model.__file__], cwd=tmp_path, capture_output=True, text=True, timeout=800, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "" == done.stderr
    assert "winner: accuracy" in done.stdout
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "best" / "model.py").exists()
