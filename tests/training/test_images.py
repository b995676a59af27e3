"""Splits: what is taken as images and labels, and how they travel."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from morphogen.protocols import MorphogenError
from morphogen.training.images import Images, Sealed, as_images, as_labels


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ((7, 8, 8), (7, 1, 8, 8)),
        ((7, 8, 9, 3), (7, 3, 8, 9)),
        ((7, 3, 8, 9), (7, 3, 8, 9)),
        ((7, 1, 8, 8), (7, 1, 8, 8)),
        ((7, 8, 8, 1), (7, 1, 8, 8)),
        ((7, 12, 16, 16), (7, 12, 16, 16)),
        ((7, 3, 3, 3), (7, 3, 3, 3)),
    ],
)
def test_the_channel_axis_is_found(given: tuple[int, ...], taken: tuple[int, ...]) -> None:
    assert taken == tuple(as_images(np.zeros(given, np.uint8), "x").shape)


def test_channels_last_images_keep_their_pixels() -> None:
    array = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3)).astype(np.uint8)
    assert np.array_equal(array.transpose(0, 3, 1, 2), as_images(array, "x").numpy())


def test_types_become_bytes_or_floats() -> None:
    assert torch.uint8 == as_images(np.full((2, 4, 4), 255, np.int64), "x").dtype
    assert torch.uint8 == as_images(np.ones((2, 4, 4), bool), "x").dtype
    assert torch.float32 == as_images(np.zeros((2, 4, 4)), "x").dtype
    assert torch.float32 == as_images(torch.zeros(2, 4, 4, dtype=torch.float16), "x").dtype


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((4, 4)), "x has the shape (4, 4), expected images"),
        (np.zeros((0, 4, 4)), "at least one"),
        (np.zeros((2, 9, 8, 9)), "which axis is the channels?"),
        (np.full((2, 4, 4), 256), "whole numbers from 256 to 256, expected 0 to 255"),
        (np.array([[["a"]]]), "expected uint8 or floating point"),
        (np.where(np.arange(48).reshape(3, 4, 4) == 20, np.nan, 0), "first in image 1"),
    ],
)
def test_other_images_are_refused(values: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        as_images(values, "x")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((4, 2), int), "expected one whole number for each image"),
        (np.zeros(4), "expected one whole number for each image"),
        (np.zeros(3, int), "3 labels for 4 images"),
        (np.array([0, 1, -1, 2]), "labels from -1 to 2"),
        (np.array([0, 1, 2, 3]), "labels from 0 to 3, expected 0 to 2"),
    ],
)
def test_other_labels_are_refused(values: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_labels(values, "y", 4, 3)


def test_labels_may_be_a_column_of_any_whole_type() -> None:
    assert as_labels(np.array([[0], [2], [1]], np.uint8), "y", 3).tolist() == [0, 2, 1]


def some(count: int = 20) -> Images:
    return Images(torch.randint(0, 256, (count, 1, 4, 4), dtype=torch.uint8), torch.arange(count))


def test_smaller_subsets_are_parts_of_larger_ones() -> None:
    images = some()
    five, ten = images.first(5), images.first(10)
    assert five.labels.tolist() == ten.labels.tolist()[:5]
    assert five.labels.tolist() != [0, 1, 2, 3, 4]
    assert images.first(20) is images
    assert torch.equal(images.images[five.labels], five.images)


def test_mapped_files_have_the_same_content_and_are_never_changed(tmp_path: Path) -> None:
    images = some()
    images.save(tmp_path, "train")
    mapped = Images.mapped(tmp_path, "train", images.shape, False)
    assert torch.equal(images.images, mapped.images)
    assert torch.equal(images.labels, mapped.labels)
    mapped.images.zero_()
    assert torch.equal(images.images, Images.mapped(tmp_path, "train", images.shape, False).images)


def test_read_only_files_can_be_mapped(tmp_path: Path) -> None:
    images = some()
    images.save(tmp_path, "train")
    for file in tmp_path.iterdir():
        file.chmod(0o444)
    assert torch.equal(images.images, Images.mapped(tmp_path, "train", images.shape, False).images)


def test_missing_and_torn_files_are_named_when_they_are_used(tmp_path: Path) -> None:
    images = some()
    mapped = Images.mapped(tmp_path, "train", images.shape, False)
    assert len(mapped) == 20
    with pytest.raises(MorphogenError, match="it is not there"):
        _ = mapped.images
    images.save(tmp_path, "train")
    with (tmp_path / "train.images").open("r+b") as file:
        file.truncate(7)
    with pytest.raises(MorphogenError, match="it has 7 bytes, not 320"):
        _ = mapped.images


def test_pickles_hold_the_tensors_or_the_way_to_the_files(tmp_path: Path) -> None:
    images = some(1000)
    copy = pickle.loads(pickle.dumps(images))
    assert torch.equal(images.images, copy.images)
    images.save(tmp_path, "train")
    mapped = Images.mapped(tmp_path, "train", images.shape, False)
    _ = mapped.images
    small = pickle.dumps(mapped)
    assert len(small) < 400
    assert torch.equal(images.labels, pickle.loads(small).labels)


def test_a_seal_shows_the_size_only() -> None:
    sealed = Sealed(some())
    assert len(sealed) == 20
    assert repr(sealed) == "Sealed(20 images)"
    for name in ("images", "labels"):
        with pytest.raises(MorphogenError, match=r"sealed.*open_test"):
            getattr(sealed, name)
