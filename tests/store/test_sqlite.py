"""The record in an SQLite file: damage, full disks, folders that cannot be written, kill -9."""

import os
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from morphogen import store
from morphogen.protocols import Event, MorphogenError
from store_laws import DurableLaws


def fill(path: Path, events: int) -> list[Event]:
    written = [Event("asked", id, {"text": "x" * 300}) for id in range(events)]
    with closing(store.open(path)) as opened:
        opened.append(written)
    return written


class TestLease(DurableLaws):
    kills = 5

    @pytest.fixture
    def place(self, tmp_path):
        return tmp_path / "a.sqlite"


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.lists(st.integers(0, 99), max_size=4), max_size=6), st.data())
def test_any_commits_are_read_back_in_order_after_any_reopening(tmp_path_factory, commits, data):
    path = tmp_path_factory.mktemp("store") / "a.sqlite"
    expected: list[Event] = []
    opened = store.open(path)
    for ids in commits:
        events = [Event("asked", id, {"id": id}) for id in ids]
        opened.append(events)
        expected += events
        if data.draw(st.booleans()):
            opened.close()
            opened = store.open(path)
        assert expected == opened.events()
    opened.close()


# --- damage -------------------------------------------------------------------------------------------------------


def read(path: Path, readonly: bool) -> None:
    with closing(store.open(path, readonly=readonly)) as opened:
        opened.events()


def refused(path: Path, readonly: bool = False) -> str:
    before = path.read_bytes()
    with pytest.raises(MorphogenError) as raised:
        read(path, readonly)
    assert before == path.read_bytes(), "it must never be overwritten"
    assert 1 == len(str(raised.value).splitlines())
    assert str(path) in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("content", [b"", b"no database, just text\n" * 500, os.urandom(9000)])
def test_a_file_that_is_no_record_is_refused(tmp_path, content, readonly):
    path = tmp_path / "a.sqlite"
    path.write_bytes(content)
    assert "is no" in refused(path, readonly)


def test_a_database_of_another_program_is_refused(tmp_path):
    path = tmp_path / "a.sqlite"
    with closing(sqlite3.connect(path)) as other:
        other.execute("create table events(id)")
    assert "of another program" in refused(path)


@pytest.mark.parametrize("readonly", [False, True])
def test_a_truncated_file_is_refused(tmp_path, readonly):
    path = tmp_path / "a.sqlite"
    fill(path, 500)
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)
    assert "damaged" in refused(path, readonly)


@pytest.mark.parametrize("readonly", [False, True])
def test_an_overwritten_page_is_refused(tmp_path, readonly):
    path = tmp_path / "a.sqlite"
    fill(path, 500)
    with path.open("r+b") as file:
        file.seek(12 * 4096)
        file.write(os.urandom(4096))
    assert "damaged" in refused(path, readonly)


def test_a_newer_schema_is_refused(tmp_path):
    path = tmp_path / "a.sqlite"
    fill(path, 3)
    with closing(sqlite3.connect(path)) as database:
        database.execute("update meta set value = '2' where key = 'schema'")
        database.commit()
    assert "schema version 2, this morphogen reads version 1" in refused(path)


def test_a_log_without_its_file_is_not_replayed_into_a_new_one(tmp_path):
    path = tmp_path / "a.sqlite"
    path.with_name("a.sqlite-wal").write_bytes(b"something")
    with pytest.raises(MorphogenError, match=r"log a\.sqlite-wal is there"):
        store.open(path)
    assert not path.exists()


def test_a_creation_that_was_cut_short_leaves_no_half_record(tmp_path):
    path = tmp_path / "a.sqlite"
    path.with_name("a.sqlite.new").write_bytes(b"half of a database")
    store.open(path).close()
    assert not path.with_name("a.sqlite.new").exists()


# --- places -------------------------------------------------------------------------------------------------------


@pytest.fixture
def full_after():
    """Limit the pages of every database that is opened, as a full disk does."""
    pages = [1_000_000]

    def limit(connection, record):
        connection.execute(f"PRAGMA max_page_count={pages[0]}")

    event.listen(Engine, "connect", limit)
    yield pages
    event.remove(Engine, "connect", limit)


def test_a_full_disk_loses_nothing_that_was_recorded(tmp_path, full_after):
    path = tmp_path / "a.sqlite"
    store.open(path).close()
    full_after[0] = 20
    opened = store.open(path)
    recorded: list[Event] = []

    def go_on() -> None:
        for id in range(1000):
            pair = [Event("asked", id, {"text": "x" * 500}), Event("finished", id, {})]
            opened.append(pair)
            recorded.extend(pair)

    with pytest.raises(MorphogenError, match="the disk is full and the last events were not recorded"):
        go_on()
    assert recorded == opened.events()
    opened.close()
    full_after[0] = 1_000_000  # some space was freed
    with closing(store.open(path)) as resumed:
        resumed.append([Event("asked", 999, {})])
        assert [*recorded, Event("asked", 999, {})] == resumed.events()


def test_a_disk_that_refuses_to_write_is_said_so(tmp_path):
    path = tmp_path / "a.sqlite"
    expected = fill(path, 10)
    with closing(store.open(path)) as opened:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
        try:
            with pytest.raises(MorphogenError, match="the disk refused"):
                opened.append([Event("asked", 10, {"text": "x" * 2**21})])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert expected == opened.events()


WITHOUT_RIGHTS = """
import os, sys, tempfile
from morphogen import store
from morphogen.protocols import Event, MorphogenError
with tempfile.TemporaryDirectory() as folder:  # import everything while it can be read
    warm = store.open(folder + "/a.sqlite")
    warm.append([Event("asked", 0, {})])
    warm.close()
if os.geteuid() == 0:
    os.setegid(65534); os.seteuid(65534)  # root may write anywhere
for how, path in zip(sys.argv[1::2], sys.argv[2::2]):
    try:
        opened = store.open(path, readonly=how == "read")
        print(len(opened.events()), "events")
    except MorphogenError as error:
        print(error)
"""


def without_rights(*how_and_paths: str | Path) -> list[str]:
    command = [sys.executable, "-c", WITHOUT_RIGHTS, *map(str, how_and_paths)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.fixture
def locked_up(tmp_path_factory):
    """A record in a folder without write permission, that anybody can reach."""
    folder = tmp_path_factory.mktemp("read-only")
    fill(folder / "a.sqlite", 5)
    parents = [p for p in folder.parents if p.stat().st_uid == os.geteuid() and not p.stat().st_mode & 0o001]
    modes = [(p, p.stat().st_mode) for p in parents]
    for parent in parents:
        parent.chmod(0o711)
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    for parent, mode in modes:
        parent.chmod(mode)


def test_a_folder_that_cannot_be_written_can_be_read_and_is_not_written(locked_up):
    old, new, deep = locked_up / "a.sqlite", locked_up / "new.sqlite", locked_up / "deep" / "new.sqlite"
    read, *refusals = without_rights("read", old, "write", old, "write", new, "write", deep)
    assert "5 events" == read
    assert ["Permission denied" in said for said in refusals] == [True] * 3


def test_a_file_that_cannot_be_written_is_refused_at_once(locked_up):
    path = locked_up / "a.sqlite"
    locked_up.chmod(0o777)
    path.chmod(0o444)
    path.with_name("a.sqlite.lock").chmod(0o666)
    (said,) = without_rights("write", path)
    assert "it cannot be written: make the file and its folder writable" in said


# --- speed --------------------------------------------------------------------------------------------------------


def test_commits_do_not_slow_down_with_the_record(tmp_path):
    """Pages written a commit, which are what a commit costs, do not grow: the file grows evenly."""
    path = tmp_path / "a.sqlite"
    sizes = []
    for _ in range(4):
        with closing(store.open(path)) as opened:
            opened.append([Event("asked", id, {"text": "x" * 300}) for id in range(1000)])
        sizes.append(path.stat().st_size)
    growth = [after - before for before, after in pairwise(sizes)]
    assert max(growth) <= 1.1 * min(growth)
