"""What networks cost, for a person and for machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from morphogen.cli import app
from morphogen.nn.mixed import MixedOp
from morphogen.protocols import MorphogenError
from morphogen.runs.counting import of_network, of_space, spread
from morphogen.runs.profile import explain
from morphogen.space import Choice, Space
from morphogen.spaces.skeleton import Skeleton


class Network(nn.Module):
    """One convolution of a chosen width."""

    def __init__(self, space: Space, skeleton: Skeleton) -> None:
        super().__init__()
        c = skeleton.image[0]
        self.op = MixedOp(space["width"], lambda w: nn.Conv2d(c, int(w), 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x).mean((2, 3))  # type: ignore[no-any-return]


PRESETS = {"search": Skeleton(image=(4, 3, 3)), "final": Skeleton(image=(4, 3, 3))}
SPACE = Space((Choice("width", ("2", "4", "6"), ordered=True),), network=Network, skeletons=PRESETS, name="tiny")


class Summed(nn.Module):
    """One convolution, whose kernel is chosen: a supernet can add its options up."""

    def __init__(self, space: Space, skeleton: Skeleton) -> None:
        super().__init__()
        c = skeleton.image[0]
        self.op = MixedOp(space["kernel"], lambda k: nn.Conv2d(c, 2, int(k), padding=int(k) // 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x).mean((2, 3))  # type: ignore[no-any-return]


KERNELS = Space((Choice("kernel", ("1", "3", "5"), ordered=True),), network=Summed, skeletons=PRESETS, name="kernels")


def profile(*words: str, ok: int = 0) -> Any:
    done = CliRunner().invoke(app, ["profile", *words])
    assert ok == done.exit_code, done.output
    return done


def test_the_command_prints_an_object_of_published_numbers() -> None:
    done = profile("--architecture", "zoo:darts-v2-cifar", "--repeats", "8", "--channels", "16", "--json")
    found = json.loads(done.stdout)
    assert (246_106, 435_466, 43_444_736) == tuple(found[name] for name in ("params", "params_auxiliary", "macs"))
    assert 0 < found["peak_memory_mb"] < found["peak_memory_training_mb"]
    assert found["activations"] > 0
    assert 64 == found["batch_size"]


def test_a_person_reads_the_same_and_the_layers() -> None:
    done = profile("--architecture", "zoo:darts-v1-cifar", "--repeats", "3", "--channels", "2", "--layers")
    assert "parameters" in done.stdout
    assert any(line.startswith("classifier") and line.endswith(" 320") for line in done.stdout.splitlines())


def test_one_network_is_counted_without_weights() -> None:
    with torch.device("meta"):
        built = Network(SPACE.fix(SPACE.architecture({"width": "2"})), Skeleton(image=(4, 3, 3)))
    found = of_network(built, (4, 3, 3), batch_size=10)
    assert (8, 72, 18) == (found["params"], found["macs"], found["activations"])


def test_a_small_space_is_counted_whole_and_a_large_one_by_a_sample() -> None:
    found = of_space(SPACE, Skeleton(image=(4, 3, 3)), (4, 3, 3), batch_size=1)
    assert ("3", 3) == (found["architectures"], found["sample"])
    assert (8.0, 16.0, 24.0) == tuple(found["params"][q] for q in ("q00", "q50", "q100"))
    sampled = [of_space(SPACE, Skeleton(image=(4, 3, 3)), (4, 3, 3), count=2, seed=5) for _ in range(2)]
    assert sampled[0] == sampled[1]
    assert 2 == sampled[0]["sample"]


def test_a_value_that_is_missing_leaves_no_quantiles() -> None:
    assert spread([1.0, None]) is None
    assert spread([]) is None


class Branch(nn.Module):
    """A network that looks at values."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.op = MixedOp(space["width"], lambda w: nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x) if x.sum() > 0 else x


def test_a_network_that_looks_at_values_cannot_be_counted() -> None:
    space = Space(SPACE.choices, network=Branch, name="branch")
    with pytest.raises(MorphogenError, match="width=2 cannot be counted on shapes alone"):
        of_space(space, None, (1, 2, 2))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise of two classes."""
    path = tmp_path_factory.mktemp("data") / "noise.npz"
    rng = np.random.default_rng(0)
    np.savez(path, x=rng.integers(0, 256, (60, 8, 8), dtype=np.uint8), y=np.arange(60) % 2)
    return path


def test_a_space_with_data_is_timed_on_it(images: Path) -> None:
    found = json.loads(profile("--space", f"{__name__}:SPACE", "--data", str(images), "--json").stdout)
    assert [1, 8, 8] == found["image"]
    assert 3 == len(found["seconds_an_epoch"])
    assert all(row["seconds"] >= 0 and row["macs"] > 0 for row in found["seconds_an_epoch"])


def test_a_run_is_priced_before_it_is_spent(images: Path, tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    settings = {"space": f"{__name__}:SPACE", "data": str(images), "strategy": "random-search", "executor": "inline"}
    text = "".join(f'{key} = "{value}"\n' for key, value in settings.items())
    config.write_text(f'{text}trials = 2\nbudget = "10m"\n[training]\nepochs = 2\n')
    done = profile(str(config), "--json")
    found = json.loads(done.stdout)
    assert ["start", "search", "random", "baselines", "retrain", "test, export and page"] == [
        phase["phase"] for phase in found["phases"]
    ]
    assert 0 < found["expected_seconds"] <= 600
    assert 2 == found["trials_that_fit"]
    assert "of a budget of 10 min 0 s: 2 trials of the search fit" in explain(found)


def test_every_stage_of_a_shortlist_is_priced_and_so_is_the_training_of_what_it_names(
    images: Path, tmp_path: Path
) -> None:
    config = tmp_path / "run.toml"
    settings = {"space": f"{__name__}:KERNELS", "data": str(images), "strategy": "darts", "executor": "inline"}
    text = "".join(f'{key} = "{value}"\n' for key, value in settings.items())
    config.write_text(f"{text}control = false\n[strategy_options]\nepochs = 4\nseeds = 2\nshortlist = 3\n")
    phases = {phase["phase"]: phase for phase in json.loads(profile(str(config), "--json").stdout)["phases"]}
    assert 6 == phases["supernet"]["trials"] == phases["search"]["trials"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "needs something to look at"),
        (["--architecture", "zoo:nothing"], "there is no 'nothing' in the zoo"),
        (["run.toml", "--space", "darts"], "give it alone"),
        (["--space", "dart"], "did you mean 'darts'"),
        (["--space", "darts", "--sample", "0"], "both are 1 or more"),
    ],
)
def test_bad_words_are_one_line(words: list[str], expected: str) -> None:
    done = profile(*words, ok=2)
    assert expected in done.stderr
    assert 1 == len(done.stderr.strip().splitlines())
