"""Data in .npz files: what works, and one line for everything that does not."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from morphogen.protocols import MorphogenError
from morphogen.training.data import data

X, Y = np.zeros((20, 6, 6), np.uint8), np.arange(20) % 2


def write(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_x_and_y_are_split(tmp_path: Path) -> None:
    made = data(write(tmp_path / "mine.npz", x=X, y=Y))
    assert (made.name, len(made.train), len(made.valid), len(made.test)) == ("mine", 12, 4, 4)


def test_given_splits_and_class_names_are_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.npz", x_train=X, y_train=Y, x_valid=X[:5], y_valid=Y[:5], x_test=X[:6], y_test=Y[:6],
        class_names=np.array(["no", "yes"]),
    )  # fmt: skip
    made = data(str(path))
    assert (len(made.train), len(made.valid), len(made.test), made.class_names) == (20, 5, 6, ("no", "yes"))


def test_x_and_y_may_come_with_a_test_split(tmp_path: Path) -> None:
    made = data(write(tmp_path / "a.npz", x=X, y=Y, x_test=X[:6], y_test=Y[:6]))
    assert (len(made.train), len(made.valid), len(made.test)) == (16, 4, 6)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": X}, "has no array 'y_train'; it has x_train"),
        ({"images": X, "labels": Y}, "has the array 'images', which nothing reads"),
        ({}, "has no array 'x_train'; it has none"),
        ({"x": X[0], "y": Y}, "x_train has the shape (6, 6), expected images"),
        ({"x": X, "y": Y[:5]}, "y_train has 5 labels for 20 images"),
        ({"x": X, "y": Y - 1}, "y_train has labels from -1 to 0"),
        ({"x": X, "y": Y, "x_test": X[:2], "y_test": Y[:2] + 7}, "y_test has labels from 7 to 8, expected 0 to 1"),
        ({"x": X, "y": Y / 2}, "expected one whole number for each image"),
        ({"x": np.full((20, 6, 6), np.nan), "y": Y}, "x_train has NaN or infinite values"),
        ({"x": X, "y": np.array([None] * 20)}, "not a .npz file of plain arrays"),
        ({"x": X, "y": Y, "x_test": X}, "x_test and y_test go together"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "bad.npz", **arrays)
    with pytest.raises(MorphogenError) as caught:
        data(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_missing_torn_or_something_else_are_said_in_one_line(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.npz", x=X, y=Y).read_bytes()
    np.save(tmp_path / "single.npy", X)
    damaged = bytearray(whole)
    damaged[150] ^= 255
    locked = bytearray(whole)
    for header, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        for found in re.finditer(re.escape(header), whole):
            locked[found.start() + flags] |= 1  # encrypted
    contents = {
        "text": b"not a data file",
        "empty": b"",
        "torn": whole[: len(whole) // 2],
        "damaged": bytes(damaged),
        "locked": bytes(locked),
        "single": (tmp_path / "single.npy").read_bytes(),
    }
    for name, content in contents.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content)
        with pytest.raises(MorphogenError, match=r"is not a \.npz file of plain arrays") as caught:
            data(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(MorphogenError, match=r"there is no data file .*missing\.npz: a \.npz with x_train, y_train"):
        data(tmp_path / "missing.npz")
