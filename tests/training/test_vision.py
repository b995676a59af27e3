"""Data sets that torchvision reads, from files in its layout made here."""

import struct
from pathlib import Path

import numpy as np
import pytest

from morphogen.protocols import MorphogenError
from morphogen.training.data import SOURCES, data


def idx(path: Path, values: np.ndarray) -> None:
    header = struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


@pytest.mark.parametrize(("name", "folder"), [("fashion-mnist", "FashionMNIST"), ("mnist", "MNIST")])
def test_files_of_torchvision_become_data(tmp_path: Path, name: str, folder: str) -> None:
    raw = tmp_path / folder / "raw"
    raw.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (200, 28, 28))
    for part, count in (("train", 200), ("t10k", 30)):
        idx(raw / f"{part}-images-idx3-ubyte", pixels[:count])
        idx(raw / f"{part}-labels-idx1-ubyte", np.arange(count) % 10)
    made = data(name, root=tmp_path)
    assert (len(made.train), len(made.valid), len(made.test)) == (180, 20, 30)
    assert (made.image, made.classes) == ((1, 28, 28), 10)
    assert np.array_equal(pixels[:30], made.open_test().images[:, 0].numpy())
    assert len(made.class_names[0]) > 1


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "digits"])
def test_what_is_missing_is_named_and_not_fetched(tmp_path: Path, name: str) -> None:
    with pytest.raises(MorphogenError, match=f"{name} is not in .* was looked for.*download=True") as caught:
        data(name, root=tmp_path / "nowhere")
    assert "\n" not in str(caught.value)
