"""Checkpoints: whole, checked, and never code."""

import logging
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from morphogen.training.checkpoint import CHECKPOINT, PREVIOUS, WEIGHTS, load, save, save_weights


def state(epoch: int) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "lr": 0.1,
        "none": None,
        "curve": [(1.0, 0.5)],
        "optimizer": {0: torch.full((3, 2), float(epoch))},
        "count": torch.tensor(epoch),
    }


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    save(tmp_path / "trial", state(3))
    loaded = load(tmp_path / "trial")
    assert loaded is not None
    assert {**state(3), "optimizer": None} == {**loaded, "optimizer": None}
    assert torch.equal(state(3)["optimizer"][0], loaded["optimizer"][0])


def test_memory_layout_is_kept_and_does_not_change_the_checksum(tmp_path: Path) -> None:
    weights = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    save(tmp_path, {"weights": weights})
    loaded = load(tmp_path)
    assert loaded is not None
    assert torch.equal(weights, loaded["weights"])
    assert weights.stride() == loaded["weights"].stride()


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    assert load(tmp_path) is None
    assert load(tmp_path / "missing") is None


def flip(path: Path, value: bytes) -> None:
    """Change one bit of a tensor in place, which the file format does not notice."""
    content = bytearray(path.read_bytes())
    content[content.index(value)] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", ["flipped", "torn", "empty", "text"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, state(1))
    save(tmp_path, state(2))
    path = tmp_path / CHECKPOINT
    if damage == "flipped":
        flip(path, torch.full((3, 2), 2.0).numpy().tobytes())
    else:
        path.write_bytes({"torn": path.read_bytes()[:300], "empty": b"", "text": b"weights"}[damage])
    with caplog.at_level(logging.WARNING):
        loaded = load(tmp_path)
    assert loaded is not None
    assert loaded["epoch"] == 1
    assert "is damaged" in caplog.text
    (tmp_path / PREVIOUS).unlink()
    assert load(tmp_path) is None


def test_between_the_two_renames_the_one_before_is_found(tmp_path: Path) -> None:
    save(tmp_path, state(1))
    (tmp_path / CHECKPOINT).rename(tmp_path / PREVIOUS)
    loaded = load(tmp_path)
    assert loaded is not None
    assert loaded["epoch"] == 1


class Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


def test_a_checkpoint_cannot_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"sha256": Code()}, tmp_path / CHECKPOINT)
    assert load(tmp_path) is None
    assert not (tmp_path / "ran").exists()


def test_weights_are_readable_by_anybody(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)).to(memory_format=torch.channels_last)
    network.append(network[0])  # shared weights
    save_weights(tmp_path, network)
    weights = safetensors.torch.load_file(tmp_path / WEIGHTS)
    assert set(network.state_dict()) == set(weights)
    for name, value in network.state_dict().items():
        assert torch.equal(value, weights[name])
