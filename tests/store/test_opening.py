"""From what a person writes to a store."""

from pathlib import Path

import pytest

from morphogen import store
from morphogen.protocols import Event, MorphogenError


@pytest.mark.parametrize("write", [str, Path, "sqlite:///{}".format])
def test_a_path_is_an_sqlite_file(tmp_path, write):
    opened = store.open(write(tmp_path / "deep" / "a 100%?#.sqlite"))
    opened.append([Event("asked", 0, {})])
    opened.close()
    assert ["a 100%?#.sqlite", "a 100%?#.sqlite.lock"] == sorted(p.name for p in (tmp_path / "deep").iterdir())


def test_memory_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opened = store.open("memory:")
    opened.append([Event("asked", 0, {})])
    assert [] == list(tmp_path.iterdir())


def test_another_database_is_refused_without_its_password():
    with pytest.raises(ValueError, match=r"there is no store at mysql://.*postgresql://") as raised:
        store.open("mysql://me:secret@host/runs")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("where", ["", "sqlite://", "sqlite:///", "folder/", "."])
def test_what_is_no_file_is_refused(where):
    with pytest.raises(ValueError, match=r"path|file"):
        store.open(where)


def test_reading_what_is_not_there_makes_nothing(tmp_path):
    with pytest.raises(MorphogenError, match="there is no record"):
        store.open(tmp_path / "a.sqlite", readonly=True)
    assert [] == list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="nothing to read"):
        store.open("memory:", readonly=True)
