"""Data sets in `.npz` files."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from morphogen.protocols import MorphogenError
from morphogen.training.dataset import Data

__all__ = ["npz"]

KEYS = ("x_train", "y_train", "x_valid", "y_valid", "x_test", "y_test")


def npz(path: Path, split_seed: int = 0) -> Data:
    """Read `x_train`, `y_train`, where given `x_valid`, `y_valid`, `x_test`, `y_test`; or `x`, `y`, split 60/20/20.

    Shapes and types are those of `Data.from_arrays`. A list `class_names` of text may be in the file as well.

    Raises:
        MorphogenError: The file is missing or malformed, in one line that says how.
    """
    if not path.is_file():
        raise MorphogenError(
            f"there is no data file {path}: a .npz with {', '.join(KEYS[:2])} (or x, y) was looked for"
        )
    try:
        arrays = _read(path)
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        RuntimeError,  # of a password, or a compression that Python does not know
    ) as error:
        raise MorphogenError(f"{path} is not a .npz file of plain arrays: {_line(error)}") from None
    names = [str(n) for n in arrays.pop("class_names", ())]
    if "x" in arrays and "y" in arrays:
        arrays = {"x_train": arrays.pop("x"), "y_train": arrays.pop("y"), **arrays}
    if unknown := sorted(set(arrays) - set(KEYS)):
        raise MorphogenError(
            f"{path} has the array '{unknown[0]}', which nothing reads; expected {', '.join(KEYS)}, or x, y"
        )
    if missing := [k for k in KEYS[:2] if k not in arrays]:
        raise MorphogenError(
            f"{path} has no array '{missing[0]}'; it has {', '.join(arrays) or 'none'}, "
            f"expected {', '.join(KEYS)}, or x, y"
        )
    try:
        return Data.from_arrays(**arrays, name=path.stem, class_names=names, split_seed=split_seed)
    except ValueError as error:
        raise MorphogenError(f"{path}: {error}") from None


def _read(path: Path) -> dict[str, Any]:
    # opened here, or a torn file would stay open
    with path.open("rb") as file:
        loaded = np.load(file, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise zipfile.BadZipFile("it is a single array")
        try:
            return {name: loaded[name] for name in loaded.files}
        except MemoryError as error:
            raise ValueError(f"it claims to be larger than the memory: {error}") from None


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
