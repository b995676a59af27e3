"""Files that are whole or absent."""

from pathlib import Path
from typing import BinaryIO

import pytest

from morphogen.training.files import write_whole


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_whole(path, lambda file: file.write(b"one"))
    write_whole(path, lambda file: file.write(b"two"))
    assert path.read_bytes() == b"two"
    assert [path] == list(tmp_path.iterdir())


def test_a_failure_leaves_the_old_file_and_nothing_aside(tmp_path: Path) -> None:
    def fail(file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError("disk full")

    path = tmp_path / "a"
    write_whole(path, lambda file: file.write(b"old"))
    with pytest.raises(OSError, match="disk full"):
        write_whole(path, fail)
    assert path.read_bytes() == b"old"
    assert [path] == list(tmp_path.iterdir())
