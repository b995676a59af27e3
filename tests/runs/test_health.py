"""What a person can ask of the supernets of a run, on real ones that are small."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from morphogen import config as configuration
from morphogen.cli import app
from morphogen.executors import Inline
from morphogen.protocols import MorphogenError
from morphogen.runs import run
from morphogen.runs.assembly import assemble
from morphogen.runs.folder import RECORD
from morphogen.runs.health import health
from morphogen.spaces.darts import darts
from morphogen.store import open as open_store
from morphogen.study import Study

SPACE = darts(nodes=2, operations=("none", "skip_connect", "sep_conv_3x3", "max_pool_3x3"))
SETTINGS = {
    "space": f"{__name__}:SPACE",
    "data_options": {"limit": 48},
    "slots": 1,
    "control": False,
    "skeleton": {"channels": 8, "cells": 2, "reductions": [1]},
    "training": {"epochs": 1},
    "final": {"finalists": 1, "seeds": 1, "training": {"epochs": 1}, "skeleton": {"auxiliary": False}},
}


def begin(folder: Path, strategy: str, die_at: int | None = None, data: str = "digits", **options: Any) -> Path:
    """The supernet's phase of a run, in a real run folder; nothing of what follows it."""
    config = configuration.parse(
        {
            **SETTINGS,
            "data": data,
            "strategy": strategy,
            "strategy_options": {"epochs": 2, "batch_size": 12, **options},
        },
        "test",
    )
    run.create(config, folder)
    parts = assemble(config)
    store = open_store(folder / RECORD)
    study = Study(parts.space, store, Inline(), parts.objectives, folder=folder, seed=config.seed, slots=1)

    def die(trial: int, epoch: float, metrics: object) -> None:
        if epoch == die_at:
            raise KeyboardInterrupt

    study.listener = die
    try:
        study.run_phase(parts.phases[0])
    except KeyboardInterrupt:
        assert die_at is not None
    finally:
        store.close()
    return folder


@pytest.fixture(scope="module")
def of_darts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return begin(tmp_path_factory.mktemp("darts") / "run", "darts", sharpness=True)


@pytest.fixture(scope="module")
def of_single_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return begin(tmp_path_factory.mktemp("paths") / "run", "single-path")


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return begin(tmp_path_factory.mktemp("killed") / "run", "gdas", die_at=1)


def morphogen(*words: object, ok: int = 0) -> Any:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert ok == done.exit_code, f"{done.output}\n{done.exception!r}"
    return done


def test_what_was_watched_is_shown_with_its_meaning(of_darts: Path) -> None:
    shown = morphogen("health", of_darts).stdout
    assert "supernet of trial 0: 2 of 2 epochs, finished" in shown
    for sign in ("skip share", "none weight", "entropy", "sharpness", "supernet accuracy"):
        assert sign in shown
    assert "note: the options are still weighed almost alike" in shown


def test_the_sharpness_asked_for_is_the_one_recorded(of_darts: Path) -> None:
    said: list[str] = []
    told = health(of_darts, sharpness=True, say=said.append)
    curve = told.supernets[0].curves["sharpness"]
    assert [1.0, 2.0] == [epoch for epoch, _ in curve]
    assert told.sharpness == curve[-1][1] != curve[0][1]
    assert ["sharpness of the architecture: 10 Hessian-vector products, about 22 passes"] == said


def test_json_has_everything_and_progress_stays_out_of_it(of_darts: Path) -> None:
    done = morphogen("health", of_darts, "--sharpness", "--agreement", "3", "--json")
    told = json.loads(done.stdout)
    (supernet,) = told["supernets"]
    assert ("finished", 2, 2) == (supernet["state"], supernet["epochs"], supernet["horizon"])
    assert 0 == told["sharpness"]["trial"] == told["agreement"]["trial"]
    assert math.isfinite(told["sharpness"]["eigenvalue"])
    assert -1 <= told["agreement"]["tau"] <= 1
    assert 3 == len({json.dumps(row["architecture"]) for row in told["agreement"]["architectures"]})
    said = done.stderr.splitlines()
    assert said[1].startswith("comparing the supernet with 3 architectures trained alone: 3 trainings, a cost of")
    assert said[-1].startswith("3 of 3: accuracy")
    assert said[-1].endswith("; 0 s left")


def test_the_agreement_is_shown_with_what_luck_would_do(of_single_path: Path) -> None:
    shown = morphogen("health", of_single_path, "--agreement", 2).stdout
    assert "Kendall's tau" in shown
    assert "over 2 architectures" in shown


def test_single_paths_have_no_signs_and_no_sharpness(of_single_path: Path) -> None:
    assert "it learned shared weights only" in morphogen("health", of_single_path).stdout
    refused = morphogen("health", of_single_path, "--sharpness", ok=2)
    assert "a supernet of single-path learns no logits" in refused.stderr
    assert 1 == len(refused.stderr.splitlines())


def test_a_run_that_was_killed_has_what_its_last_checkpoint_has(killed: Path) -> None:
    told = health(killed, sharpness=True, say=lambda text: None)
    (supernet,) = told.supernets
    assert ("not finished", 1, 2) == (supernet.state, supernet.epochs, supernet.horizon)
    assert {"skip_share", "entropy", "supernet_accuracy"} <= supernet.curves.keys()
    assert told.sharpness is not None
    assert math.isfinite(told.sharpness)


@pytest.mark.parametrize("strategy", ["drnas", "pc-darts", "enas"])
def test_every_method_with_a_supernet_can_be_asked(strategy: str, tmp_path: Path) -> None:
    options = {"steps": 1, "aggregate": 2, "candidates": 2} if strategy == "enas" else {}
    folder = begin(tmp_path / "run", strategy, **options)
    (supernet,) = health(folder).supernets
    assert ("reward" if strategy == "enas" else "entropy") in supernet.curves
    told = health(folder, sharpness=strategy != "enas", agreement_of=2, say=lambda text: None)
    assert (strategy == "enas") == (told.sharpness is None)
    assert told.agreement is not None
    assert all(0 <= accuracy <= 1 for accuracy in (*told.agreement.shared, *told.agreement.alone))


def test_what_is_sought_can_be_another_metric(tmp_path: Path) -> None:
    options = {"steps": 1, "aggregate": 2, "candidates": 2}
    folder = begin(tmp_path / "run", "enas", data="regression:data", **options)
    shown = morphogen("health", folder, "--agreement", 2).stdout
    assert "supernet mae" in shown
    assert "%" not in shown
    told = health(folder, agreement_of=2, say=lambda text: None)
    assert told.supernets[0].curves["reward"][-1][1] < 0 < told.supernets[0].curves["supernet_mae"][-1][1]
    assert told.agreement is not None
    assert min(*told.agreement.shared, *told.agreement.alone) > 0


def test_before_the_first_epoch_there_is_nothing_to_see(tmp_path: Path) -> None:
    folder = begin(tmp_path / "run", "darts", die_at=1)
    for file in (folder / "trials" / "0").iterdir():
        file.unlink()
    assert "note: no epoch is over yet" in morphogen("health", folder).stdout
    refused = morphogen("health", folder, "--sharpness", ok=1)
    assert "trial 0" in refused.stderr
    assert "has no checkpoint" in refused.stderr


def test_what_cannot_be_asked_is_one_line(of_darts: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="trial 7 is no supernet of this run; these are 0"):
        health(of_darts, sharpness=True, trial=7)
    with pytest.raises(ValueError, match="1 architectures cannot be ranked: expected 2 to"):
        health(of_darts, agreement_of=1)
    assert "holds no run" in morphogen("health", tmp_path, ok=1).stderr


def test_a_supernet_that_paused_is_shown_once(tmp_path: Path) -> None:
    (supernet,) = health(begin(tmp_path / "run", "gdas", shortlist=2)).supernets
    assert (1, 0, 2) == (supernet.trial.id, supernet.trial.proposal.warm_start, supernet.epochs)
    killed = begin(tmp_path / "killed", "gdas", die_at=2, shortlist=2)
    (supernet,) = health(killed).supernets
    assert (1, "not finished", 2) == (supernet.trial.id, supernet.state, supernet.epochs)


def test_a_run_without_a_supernet_is_said(tmp_path: Path) -> None:
    run.create(configuration.parse({"table": "toy", "strategy": "random-search"}, "test"), tmp_path / "run")
    open_store(tmp_path / "run" / RECORD).close()
    refused = morphogen("health", tmp_path / "run", ok=1)
    assert "has no supernet: random-search judges every architecture on its own" in refused.stderr


def test_a_run_that_has_not_begun_is_said(tmp_path: Path) -> None:
    run.create(configuration.parse({**SETTINGS, "strategy": "darts"}, "test"), tmp_path / "run")
    open_store(tmp_path / "run" / RECORD).close()
    with pytest.raises(MorphogenError, match="has not begun its supernet yet"):
        health(tmp_path / "run")
