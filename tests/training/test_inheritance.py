from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from morphogen.space import Architecture, Choice, Space
from morphogen.training import checkpoint
from morphogen.training.data import Data
from morphogen.training.inheritance import LINEAGE, Ancestor, bequeath, seed_after, sign

SPACE = Space((Choice("width", ("4", "8"), ordered=True),))
NARROW, WIDE = SPACE.enumerate()


def build(architecture: Architecture) -> nn.Module:
    width = int(architecture.picks["width"][0])
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 2))


def left(folder: Path, behind: int = 0, epochs: int = 3) -> nn.Module:
    network = build(NARROW)
    sign(folder, NARROW, behind)
    checkpoint.save(folder, {"fit": {"epochs": epochs}, "network": network.state_dict()})
    return network


def test_a_trial_is_found_by_what_it_left(tmp_path: Path) -> None:
    network = left(tmp_path, behind=2)
    found = Ancestor.of(tmp_path, SPACE)
    assert found is not None
    assert (NARROW, 2, 3) == (found.architecture, found.behind, found.epochs)
    again = found.network(build)
    assert again is not None
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"behind": 0}', '{"architecture": {"width": "5"}, "behind": 0}'])
def test_what_is_gone_damaged_or_of_another_space_is_nobody(tmp_path: Path, text: str) -> None:
    left(tmp_path)
    (tmp_path / LINEAGE).write_text(text)
    assert Ancestor.of(tmp_path, SPACE) is None
    assert Ancestor.of(tmp_path / "missing", SPACE) is None
    assert Ancestor.of(None, SPACE) is None


def test_without_weights_it_is_nobody(tmp_path: Path) -> None:
    sign(tmp_path, NARROW)
    assert Ancestor.of(tmp_path, SPACE) is None


def test_weights_of_another_skeleton_are_no_network_of_it(tmp_path: Path) -> None:
    left(tmp_path)
    found = Ancestor.of(tmp_path, SPACE)
    assert found is not None
    assert found.network(lambda architecture: build(WIDE)) is None


def test_only_the_same_architecture_is_continued_and_only_before_its_end(tmp_path: Path) -> None:
    left(tmp_path, epochs=3)
    found = Ancestor.of(tmp_path, SPACE)
    assert found is not None
    assert found.continued(NARROW, horizon=4)
    assert not found.continued(NARROW, horizon=3)
    assert not found.continued(WIDE, horizon=4)


def test_each_training_of_the_same_weights_has_a_seed_of_its_own() -> None:
    assert 7 == seed_after(7, 0)
    assert 20 == len({seed_after(seed, behind) for seed in range(4) for behind in range(5)})
    assert all(0 <= seed_after(2**31 - 1, behind) < 2**31 for behind in range(20))


def test_images_of_the_training_split_show_whether_the_function_is_the_same() -> None:
    rng = np.random.default_rng(0)
    data = Data.from_arrays(rng.integers(0, 255, (100, 6, 6)), np.arange(100) % 2)
    found = bequeath(build(NARROW), build(WIDE), data)
    assert found.preserved
    assert 0 < found.inherited < 1
    assert not bequeath(build(WIDE), build(NARROW), data, (4, 4)).preserved
