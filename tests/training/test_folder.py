"""Folders of image files, of a few pixels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from morphogen.protocols import MorphogenError
from morphogen.training.data import data
from morphogen.training.folder import folder


def write(path: Path, color: int, size: tuple[int, int] = (6, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), color, np.uint8)).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten dark and ten bright images of 6 rows and 4 columns."""
    for i in range(10):
        write(tmp_path / "photos" / "dark" / f"{i}.png", 10 + i)
        write(tmp_path / "photos" / "light" / f"{i}.png", 200 + i)
    (tmp_path / "photos" / "light" / "notes.txt").write_text("no image")
    return tmp_path / "photos"


def test_class_folders_are_cut_into_splits_every_class_alike(photos: Path, tmp_path: Path) -> None:
    found = folder(photos, root=tmp_path / "kept")
    assert (3, 6, 4) == found.image
    assert ("dark", "light") == found.class_names
    assert (12, 4, 4) == (len(found.train), len(found.valid), len(found.test))
    assert 6 == int(found.train.labels.sum())
    assert ((found.train.images[:, 0, 0, 0] > 100) == (found.train.labels == 1)).all()
    assert found.train.images.dtype == torch.uint8
    assert found.folder is not None


def test_it_is_decoded_once_and_again_where_a_file_changes(photos: Path, tmp_path: Path) -> None:
    first = folder(photos, root=tmp_path / "kept")
    assert first.folder == folder(photos, root=tmp_path / "kept").folder
    write(photos / "dark" / "0.png", 99)
    again = folder(photos, root=tmp_path / "kept")
    assert first.folder != again.folder
    assert first.digest != again.digest
    assert 2 == len(list((tmp_path / "kept").iterdir()))


def test_splits_that_are_given_are_taken(photos: Path, tmp_path: Path) -> None:
    given = tmp_path / "given"
    for split in ("train", "val", "test"):
        for name in ("dark", "light"):
            write(given / split / name / "a.png", 20 if name == "dark" else 220)
    found = folder(given, root=tmp_path / "kept")
    assert (2, 2, 2) == (len(found.train), len(found.valid), len(found.test))
    write(given / "test" / "other" / "a.png", 1)
    with pytest.raises(MorphogenError, match=r"has the class 'other', which .*train does not have"):
        folder(given, root=tmp_path / "kept")


def test_images_of_different_sizes_need_one_to_be_named(photos: Path, tmp_path: Path) -> None:
    write(photos / "dark" / "large.png", 30, (12, 12))
    with pytest.raises(MorphogenError, match=r".png has 6x4 pixels and .*large.png 12x12; say what all should have"):
        folder(photos, root=tmp_path / "kept")
    assert (1, 5, 5) == folder(photos, root=tmp_path / "kept", image_size=5, gray=True).image
    with pytest.raises(ValueError, match="is a number of pixels, or height and width"):
        folder(photos, image_size=0)


@pytest.mark.parametrize("content", [b"not an image", b"torn"])
def test_a_file_that_cannot_be_read_is_named_and_refused_or_left_out(
    photos: Path, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    if content == b"torn":
        rng = np.random.default_rng(0)
        Image.fromarray(rng.integers(0, 256, (6, 4, 3)).astype(np.uint8)).save(tmp_path / "whole.png")
        content = (tmp_path / "whole.png").read_bytes()[:80]
    (photos / "dark" / "bad.png").write_bytes(content)
    with pytest.raises(MorphogenError, match=r"bad.png cannot be read: .*skip_unreadable"):
        folder(photos, root=tmp_path / "kept")
    assert list((tmp_path / "kept").glob("*")) == []
    found = folder(photos, root=tmp_path / "kept", skip_unreadable=True)
    assert 20 == len(found.train) + len(found.valid) + len(found.test)
    assert "bad.png" in caplog.text


def test_what_is_no_folder_of_classes_is_told(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(MorphogenError, match="there is no folder"):
        folder(tmp_path / "nowhere")
    with pytest.raises(MorphogenError, match="has the class folders none: expected two or more"):
        folder(photos / "dark")
    (photos / "empty").mkdir()
    with pytest.raises(MorphogenError, match="empty has no images"):
        folder(photos)


def test_a_folder_is_named_like_any_data_set(photos: Path, tmp_path: Path) -> None:
    found = data(photos, root=tmp_path / "kept", image_size=8)
    assert (3, 8, 8) == found.image
    with pytest.raises(ValueError, match="has no option 'image_sise', did you mean 'image_size'"):
        data(photos, image_sise=8)
    with pytest.raises(ValueError, match="'digits' has no options, got image_size"):
        data("digits", image_size=8)
