"""`torchrun -m morphogen`: one search in two processes, also when one of them is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from morphogen import config as configuration
from morphogen.executors import Inline
from morphogen.runs import run, torchrun
from morphogen.runs.assembly import assemble
from morphogen.runs.folder import read_config
from morphogen.store import Memory
from morphogen.study import Study
from morphogen.training import checkpoint

# no norms: these are what makes the parts of a batch differ from the whole
OWN = """
import os
from pathlib import Path

from torch import nn

from morphogen.choice import Choice
from morphogen.nn.mixed import MixedOp
from morphogen.space import Space
from morphogen.spaces.skeleton import Skeleton


class Network(nn.Module):
    def __init__(self, space, skeleton):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        layers = [MixedOp(choice, lambda k: nn.Conv2d(4, 4, int(k), padding=int(k) // 2)) for choice in space]
        self.layers = nn.Sequential(*(layer for mixed in layers for layer in (mixed, nn.ReLU())))
        self.head = nn.Linear(4, skeleton.classes)

    def forward(self, x):
        return self.head(self.layers(self.stem(x)).mean((2, 3)))


SPACE = Space(
    tuple(Choice(name, ("1", "3")) for name in ("first", "second")),
    network=Network,
    skeletons={name: Skeleton() for name in ("search", "final")},
    name="own",
)
Path("process-" + os.environ.get("RANK", "alone")).write_text(str(os.getpid()))
"""
SETTINGS = (
    "data_options.limit=96",
    "control=false",
    "strategy_options.batch_size=16",
    "strategy_options.epochs=12",
    "strategy_options.arch_lr=0.05",
    "training.epochs=1",
    "final.finalists=1",
    "final.seeds=1",
    "final.training.epochs=1",
)
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
EPOCHS = 12


def command(*words: str, torchrun: tuple[str, ...] = ()) -> list[str]:
    return [sys.executable, *TORCHRUN, *torchrun, "-m", "morphogen", *words]


def search(out: str) -> list[str]:
    words = ["search", "--space", "own:SPACE", "--data", "digits", "--strategy", "darts", "--out", out, "--slots", "1"]
    return [*words, "--executor", "inline", *(word for setting in SETTINGS for word in ("--set", setting))]


def done(words: list[str], place: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=place, env=ENVIRONMENT, capture_output=True, text=True, timeout=200, check=False)


def killed(words: list[str], folder: Path, rank: int) -> subprocess.CompletedProcess[str]:
    """Run under torchrun; one process is killed as soon as there is a checkpoint to go on from."""
    place = folder.parent
    process = subprocess.Popen(
        words, cwd=place, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        limit = time.monotonic() + 120
        while not (folder / "trials" / "0" / checkpoint.CHECKPOINT).exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < limit
            time.sleep(0.01)
        os.kill(int((place / f"process-{rank}").read_text()), signal.SIGKILL)
        out, err = process.communicate(timeout=150)
    finally:
        process.kill()
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def ours(text: str) -> list[str]:
    """What is not torchrun's own account of what happened."""
    return [line for line in text.splitlines() if line.startswith(("morphogen:", "stopped;"))]


def learned(folder: Path) -> dict[str, Any]:
    state = checkpoint.load(folder / "trials" / "0")
    assert state is not None
    del state["learned"]["seconds"]
    return state


def flat(state: Any, path: str = "") -> dict[str, Any]:
    if isinstance(state, dict):
        return {k: v for key, value in state.items() for k, v in flat(value, f"{path}/{key}").items()}
    if isinstance(state, list | tuple):
        return flat(dict(enumerate(state)), path)
    return {path: state.tolist() if isinstance(state, torch.Tensor) else state}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("torchrun")
    (place / "own.py").write_text(OWN)
    return place


@pytest.fixture(scope="module")
def straight(place: Path) -> Path:
    """A search in two processes that nothing happened to."""
    finished = done(command(*search("straight")), place)
    assert 0 == finished.returncode, finished.stderr
    assert "verified: equal logits" in finished.stdout
    assert 1 == finished.stdout.count("run straight · darts")
    return place / "straight"


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_where_the_mathematics_says_so(
    straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(straight.parent))
    parts = assemble(read_config(straight))
    study = Study(parts.space, Memory(), Inline(), parts.objectives, folder=tmp_path, slots=1)
    (trial,) = study.run_phase(parts.phases[0])
    assert trial.outcome is not None
    expected, found = learned(tmp_path), learned(straight)
    for name, curve in expected["learned"]["curves"].items():
        assert pytest.approx(dict(curve), rel=1e-3, abs=1e-4) == dict(found["learned"]["curves"][name]), name
    for name, logits in expected["distribution"]["logits"].items():
        torch.testing.assert_close(found["distribution"]["logits"][name], logits, rtol=1e-3, atol=1e-4)
        assert logits.abs().max() > 0.1  # it has learned something


@pytest.mark.slow
def test_a_killed_process_ends_the_other_in_one_line_and_resume_goes_on_bit_for_bit(
    straight: Path, place: Path
) -> None:
    dead = killed(command(*search("dead")), place / "dead", rank=1)
    assert 0 != dead.returncode
    (said,) = ours(dead.stdout + dead.stderr)
    assert "morphogen resume" in said
    assert learned(place / "dead")["learned"]["epochs"] < EPOCHS
    resumed = done(command("resume", "dead"), place)
    assert 0 == resumed.returncode, resumed.stderr
    assert "1 trials are recorded; going on from there" in resumed.stdout
    assert flat(learned(straight)) == flat(learned(place / "dead"))


@pytest.mark.slow
def test_torchrun_may_start_all_processes_again_by_itself(straight: Path, place: Path) -> None:
    again = killed(command(*search("again"), torchrun=("--max-restarts=1",)), place / "again", rank=0)
    assert 0 == again.returncode, again.stderr
    assert "1 trials are recorded; going on from there" in again.stdout
    assert flat(learned(straight)) == flat(learned(place / "again"))


def test_a_search_without_a_supernet_is_refused(tmp_path: Path) -> None:
    alone = assemble(configuration.parse({"table": "toy"}, "test"))
    with pytest.raises(ValueError, match="trains no supernet that they could share: start it without torchrun"):
        torchrun.joined(alone)
    supernet = replace(alone, phases=[replace(alone.phases[0], name="supernet")])
    assert supernet.executor is not torchrun.joined(supernet).executor


def test_only_a_restart_goes_on_with_the_run_of_the_same_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configuration.parse({"table": "toy", "trials": 3}, "test")
    folder = tmp_path / "run"
    environment = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "TORCHELASTIC_RESTART_COUNT": "1"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert torchrun.begun(config, folder) is None
    run.create(config, folder)
    assert folder == torchrun.begun(config, folder)
    assert torchrun.begun(config, None) is None
    assert torchrun.begun(config.model_copy(update={"trials": 4}), folder) is None
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    assert torchrun.begun(config, folder) is None
