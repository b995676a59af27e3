"""The winner of a run, trained again in another size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn
from typer.testing import CliRunner

from morphogen.cli import app
from morphogen.nn.mixed import MixedOp
from morphogen.protocols import MorphogenError
from morphogen.runs import run
from morphogen.runs.named import Sizes
from morphogen.runs.retrain import retrain
from morphogen.space import Choice, Space
from morphogen.spaces.skeleton import Skeleton


class Network(nn.Module):
    """Convolutions of a chosen size, as many as the skeleton has cells."""

    def __init__(self, space: Space, skeleton: Skeleton) -> None:
        super().__init__()
        c = skeleton.channels
        stride = 2 if skeleton.stem == "imagenet" else 1
        self.stem = nn.Conv2d(skeleton.image[0], c, 3, stride=stride, padding=1)
        kernel = space["kernel"]
        self.cells = nn.Sequential(*(MixedOp(kernel, lambda k: conv(c, int(k))) for _ in range(skeleton.cells)))
        self.head = nn.Linear(c, skeleton.classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cells(self.stem(x)).mean((2, 3)))  # type: ignore[no-any-return]


def conv(c: int, kernel: int) -> nn.Module:
    return nn.Conv2d(c, c, kernel, padding=kernel // 2)


PRESETS = {name: Skeleton(channels=2, cells=1) for name in ("search", "final")}
SPACE = Space((Choice("kernel", ("1", "3")),), network=Network, skeletons=PRESETS, name="tiny")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one trial on noise."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    np.savez(folder / "noise.npz", x=rng.integers(0, 256, (40, 8, 8), dtype=np.uint8), y=np.arange(40) % 2)
    settings = {"trials": 1, "control": False, "executor": "inline", "strategy": "random-search"}
    run.search(
        f"{__name__}:SPACE",
        str(folder / "noise.npz"),
        out=folder / "run",
        training={"epochs": 1},
        final={"finalists": 1, "seeds": 1, "training": {"epochs": 2}},
        **settings,  # type: ignore[arg-type]  # keys of the configuration
    )
    return folder / "run"


def test_it_trains_exports_and_is_not_done_twice(finished: Path) -> None:
    sizes, told = Sizes(repeats=2, channels=3), []
    first = retrain(finished, sizes=sizes, epochs=3, log=lambda epoch, metrics: told.append(epoch))
    assert [1, 2, 3] == told
    card = json.loads((first.folder / "network" / "card.json").read_text())
    assert first.metrics == card["metrics"]
    again = retrain(finished, sizes=sizes, epochs=3, log=lambda epoch, metrics: told.append(epoch))
    assert (first, 3) == (again, len(told))
    assert (first.folder / "network" / "model.py").is_file()


def test_what_was_interrupted_goes_on_from_its_last_epoch(finished: Path) -> None:
    class Stop(Exception):
        """Ctrl-C."""

    def interrupt(epoch: float, metrics: object) -> None:
        if epoch == 2:
            raise Stop

    sizes, told = Sizes(channels=4), []
    with pytest.raises(Stop):
        retrain(finished, sizes=sizes, epochs=3, log=interrupt)
    done = retrain(finished, sizes=sizes, epochs=3, log=lambda epoch, metrics: told.append(epoch))
    assert [3] == told
    assert "Skeleton(" in json.loads((done.folder / "retrain.json").read_text())["skeleton"]


def test_the_command_takes_another_stem(finished: Path) -> None:
    words = ["retrain", str(finished), "--skeleton", "imagenet", "--channels", "4", "--epochs", "1", "--json"]
    done = CliRunner().invoke(app, words)
    assert 0 == done.exit_code, done.output
    source = (Path(json.loads(done.stdout)["network"]) / "model.py").read_text()
    assert "stride=2" in source


def test_what_cannot_be_trained_again_is_refused(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no skeleton preset 'huge'"):
        retrain(finished, skeleton="huge")
    with pytest.raises(MorphogenError, match="holds no run"):
        retrain(tmp_path)
