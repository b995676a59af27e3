"""Columns of a data file: `.npz`, `.csv` or `.parquet`. No code in it is run, and what is read is bounded."""

from __future__ import annotations

import csv
import importlib
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from morphogen.catalog import nearest
from morphogen.protocols import MorphogenError

__all__ = ["MAX_BYTES", "MAX_ROWS", "Columns", "Values"]

MAX_BYTES = 4 << 30
"""Of a data file, and of what is unpacked from it."""
MAX_ROWS = 2_000_000
Values = npt.NDArray[Any]
"""Any type; the first axis is the architectures."""


class Columns:
    """The columns of a data file by name, each read when it is first asked for.

    Args:
        path: The file; its ending says what it is.

    Raises:
        MorphogenError: It is missing, too large, malformed, or of a kind that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        openers: Mapping[str, Callable[[Path], tuple[Sequence[str], Callable[[str], Values]]]] = {
            ".npz": _npz,
            ".csv": _csv,
            ".parquet": _parquet,
        }
        if path.suffix not in openers:
            raise MorphogenError(f"{path} is no data file of a table: expected one of {', '.join(openers)}")
        if not path.is_file():
            raise MorphogenError(f"there is no data file {path}")
        if path.stat().st_size > MAX_BYTES:
            raise MorphogenError(f"{path} has {path.stat().st_size} bytes; a table has at most {MAX_BYTES}")
        self.path = path
        try:
            self.names, self._read = openers[path.suffix](path)
        except (OSError, ValueError, EOFError, csv.Error, zipfile.BadZipFile, RuntimeError) as error:
            raise MorphogenError(f"{path} cannot be read as {path.suffix}: {_line(error)}") from None
        self._kept: dict[str, Values] = {}
        self.rows: int | None = None
        """How many architectures there are; None before the first column is read."""

    def __getitem__(self, name: str) -> Values:
        """A column.

        Raises:
            MorphogenError: There is none of that name, or it has another number of rows than the ones before.
        """
        if name in self._kept:
            return self._kept[name]
        if name not in self.names:
            more = f" and {len(self.names) - 12} more" if len(self.names) > 12 else ""
            has = ", ".join(self.names[:12]) + more
            raise MorphogenError(
                f"{self.path} has no column '{name}'{nearest(name, self.names)}; it has {has or 'none'}"
            )
        try:
            values = self._read(name)
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, RuntimeError) as error:
            raise MorphogenError(f"{self.path}: column '{name}' cannot be read: {_line(error)}") from None
        if values.ndim == 0:
            raise MorphogenError(f"{self.path}: column '{name}' is a single value, expected one an architecture")
        if not 0 < len(values) <= MAX_ROWS:
            raise MorphogenError(f"{self.path}: column '{name}' has {len(values)} rows; a table has 1 to {MAX_ROWS}")
        if self.rows is not None and len(values) != self.rows:
            raise MorphogenError(f"{self.path}: column '{name}' has {len(values)} rows, the others have {self.rows}")
        self.rows = len(values)
        self._kept[name] = values
        return values

    def numbers(self, name: str) -> npt.NDArray[np.float64]:
        """A column as numbers; an empty text is NaN.

        Raises:
            MorphogenError: It holds something else; the message names the row.
        """
        values = self[name]
        if values.dtype.kind in "fiub":
            return values.astype(np.float64)
        numbers = np.empty(values.shape)
        for at, value in np.ndenumerate(values):
            text = str(value).strip()
            try:
                numbers[at] = float(text) if text else np.nan
            except ValueError:
                raise MorphogenError(f"{self.path}: column '{name}', row {at[0]}: {text!r} is not a number") from None
        return numbers


def _npz(path: Path) -> tuple[Sequence[str], Callable[[str], Values]]:
    with zipfile.ZipFile(path) as archive:
        sizes = {i.filename.removesuffix(".npy"): i.file_size for i in archive.infolist()}

    def read(name: str) -> Values:
        if sizes[name] > MAX_BYTES:
            raise ValueError(f"it unpacks to {sizes[name]} bytes, at most {MAX_BYTES} are read")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as loaded:
            values: Values = loaded[name]
        return values

    return list(sizes), read


def _csv(path: Path) -> tuple[Sequence[str], Callable[[str], Values]]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        names = next(reader, [])
        rows: list[list[str]] = []
        for row in reader:
            if not row:
                continue
            if len(row) != len(names):
                raise ValueError(f"line {reader.line_num} has {len(row)} fields, the first line has {len(names)}")
            if len(rows) == MAX_ROWS:
                raise ValueError(f"it has more than {MAX_ROWS} rows")
            rows.append(row)
    if len(set(names)) != len(names):
        raise ValueError(f"column names repeat: {', '.join(sorted({n for n in names if names.count(n) > 1}))}")
    columns = dict(zip(names, zip(*rows, strict=True), strict=False))
    return names, lambda name: np.asarray(columns.get(name, ()), dtype=str)


def _parquet(path: Path) -> tuple[Sequence[str], Callable[[str], Values]]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise MorphogenError(
            f"{path} needs the package 'pyarrow', which is not installed: pip install pyarrow, or give a .npz or .csv"
        ) from None
    file = parquet.ParquetFile(path)
    if file.metadata.num_rows > MAX_ROWS:
        raise ValueError(f"it has {file.metadata.num_rows} rows, at most {MAX_ROWS} are read")

    def read(name: str) -> Values:
        values = file.read(columns=[name]).column(0).to_pylist()
        if any(isinstance(v, list) for v in values):  # a learning curve, or several runs
            return np.asarray(values, dtype=np.float64)
        found = np.asarray(values)
        return found if found.dtype != object else np.asarray(["" if v is None else str(v) for v in values])

    return list(file.schema_arrow.names), read


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
