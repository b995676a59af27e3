"""A record in PostgreSQL: many studies in one database, each in a schema of its own, with one writer each.

The writer's connection holds an advisory lock of the server, and writes only through that connection: whoever lost the
lock lost the way to write, too. The server frees it when the connection ends, `kill -9` included; no clock is trusted.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import time
import weakref
from contextlib import suppress
from typing import Any, final

from sqlalchemy import URL, Engine, create_engine, event, insert, make_url, text, update
from sqlalchemy.exc import ArgumentError, DBAPIError

from morphogen.protocols import MorphogenError
from morphogen.store.sql import META, Sql, create_schema

__all__ = ["open_url"]

PREFIX = "morphogen_"
"""Of the schemas, so that a database can hold other things, too."""
STUDY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,47}")
CONNECT_SECONDS = 10
RECONNECT_SECONDS = 60.0
"""So long a writer waits for a server that restarts."""
GRACE = 2.0
"""Seconds that the server may take to notice that an earlier writer is gone."""

ADVICE = {
    "28": "the server refused the user or the password: check the URL, or ~/.pgpass",
    "3D": "there is no such database: create it, or check the URL",
    "42501": "the user may not do that: grant it CREATE on the database, or to readers USAGE and SELECT on the schema",
    "25006": "the server only reads (a standby?): give the address of the primary",
    "53": "the server has no room (disk, memory or connections) and the last events were not recorded: see to it, resume",
    "57": "the server ended the connection: when it runs again, resume",
    "08": "the connection to the server was lost: when it can be reached again, resume",
}


def open_url(address: str, *, readonly: bool = False) -> Sql:
    """The record of a study in a database: to write it, made where it is missing and leased until closed; or to read it.

    Args:
        address: `postgresql://USER@HOST/DATABASE?study=NAME`; further parameters are those of libpq, such as `sslmode`.
            The password is better in `~/.pgpass`. A pooler between must not share connections (PgBouncer: `session`).
        readonly: Takes no lease, and is possible while a driver writes.

    Raises:
        ValueError: No such URL, or no name of a study.
        MorphogenError: In use by another driver, no record of ours, no server, or no rights there.
    """
    url, study = _parse(address)
    where = f"study {study} in {url.set(query={}).set(drivername='postgresql').render_as_string(hide_password=True)}"
    _check_driver()
    sessions = _Sessions(study, where, readonly)
    engine = _engine(url, sessions)
    try:
        with engine.connect() as connection:
            tables = connection.execute(
                text("SELECT count(*) FROM pg_tables WHERE schemaname = :name"), {"name": sessions.schema}
            ).scalar()
        if readonly and not tables:
            raise MorphogenError(f"there is no record of {where}{_others(engine)}: check the name")
        if not readonly:
            if not tables:
                with engine.begin() as connection:
                    connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{sessions.schema}"'))
                create_schema(engine)
            opened = Sql(engine, where, sessions, _explain)  # refuses what is not ours before it is written to
            sessions.claim(engine)
            return opened
        return Sql(engine, where, None, _explain)
    except BaseException as error:
        engine.dispose()
        if isinstance(error, DBAPIError):
            raise MorphogenError(f"{where}: {_explain(error)}") from error
        raise


def _parse(address: str) -> tuple[URL, str]:
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):  # whose message may have the password
        raise ValueError(
            "the URL of the store cannot be read: write postgresql://USER@HOST/DATABASE?study=NAME"
        ) from None
    query = dict(url.query)
    study = query.pop("study", None)
    if not isinstance(study, str) or not STUDY.fullmatch(study):
        got = "has no study" if study is None else f"has study={study!r}"
        raise ValueError(
            f"the URL of the store {got}: end it with ?study=NAME, up to 48 letters, digits, '.', '_' and '-'"
        )
    return url.set(drivername="postgresql+psycopg", query=query), study


def _check_driver() -> None:
    try:
        import psycopg  # noqa: F401 - SQLAlchemy would say only that there is no module
    except ImportError:
        raise MorphogenError(
            "a store in PostgreSQL needs the extra morphogen[postgres]: pip install 'morphogen[postgres]'"
        ) from None


@final
class _Sessions:
    """Makes the connections of a store; those of a writer hold its lock. It is the store's lease.

    Args:
        study: Its name.
        where: What messages call it.
        readonly: Whether connections only read.
    """

    def __init__(self, study: str, where: str, readonly: bool) -> None:
        self.schema = PREFIX + study
        self._where, self._readonly = where, readonly
        self._token: str | None = None

    def claim(self, engine: Engine) -> None:
        """Note who writes, so that a connection that was lost finds out whether anybody else wrote meanwhile."""
        token = secrets.token_hex(8)
        with engine.begin() as connection:
            if not connection.execute(update(META).where(META.c.key == "writer").values(value=token)).rowcount:
                connection.execute(insert(META), [{"key": "writer", "value": token}])
        self._token = token

    def release(self) -> None:
        """Nothing to do: the lock went with the connections, which are closed before this."""

    def connect(self, dialect: Any, arguments: Any, parameters: Any) -> Any:
        """A new connection, ready for use; where a writer lost the last one, once the server is there again."""
        end = time.monotonic() + RECONNECT_SECONDS
        while True:
            try:
                connection = dialect.connect(*arguments, **parameters)
            except dialect.dbapi.OperationalError:
                if self._token is None or time.monotonic() > end:
                    raise
                time.sleep(0.2)
                continue
            try:
                self._prepare(connection)
                connection.commit()
            except BaseException:
                connection.close()
                raise
            _forget_in_forks(connection)
            return connection

    def _prepare(self, connection: Any) -> None:
        connection.execute("SELECT set_config('search_path', %s, false)", [f'"{self.schema}"'])
        # nobody else tells the server that a machine is gone
        connection.execute(
            "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"
        )
        if self._readonly:
            connection.execute("SET default_transaction_read_only = on")
            return
        # where the server does not wait for its disk, a result that was shown could be lost
        connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
        self._lock(connection)
        if self._token is not None:
            found = connection.execute("SELECT value FROM meta WHERE key = 'writer'").fetchone()
            if found is None or found[0] != self._token:
                raise MorphogenError(
                    f"{self._where}: the connection was lost, and another driver has written since: resume that run, "
                    "this one has nothing to add"
                )

    def _lock(self, connection: Any) -> None:
        end = time.monotonic() + GRACE
        lock = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
        while not connection.execute(lock, [self.schema]).fetchone()[0]:
            if time.monotonic() > end:
                raise MorphogenError(
                    f"{self._where} is in use by {self._holder(connection)}: wait for that run, stop it, or choose "
                    "another name; reading is possible meanwhile"
                )
            time.sleep(0.1)

    def _holder(self, connection: Any) -> str:
        """A bigint lock is shown in two halves."""
        found = connection.execute(
            "SELECT a.application_name, to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS TZ') FROM pg_locks l "
            "JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
            "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND (l.classid::bigint << 32) | l.objid::bigint = hashtextextended(%s, 0)",
            [self.schema],
        ).fetchone()
        return f"{found[0]} since {found[1]}" if found and found[0] else "another process"


def _engine(url: URL, sessions: _Sessions) -> Engine:
    name = f"process {os.getpid()} on {socket.gethostname()}"
    engine = create_engine(
        url,
        pool_size=1,  # more would not get the lock
        max_overflow=0,
        pool_pre_ping=True,  # a connection that the server has ended meanwhile is made again
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "application_name": name[:63],
            "keepalives_idle": 30,  # a server that is gone is noticed in a minute, not in two hours
            "tcp_user_timeout": 60_000,
        },
    )

    def connect(dialect: Any, record: Any, arguments: Any, parameters: Any) -> Any:
        return sessions.connect(dialect, arguments, parameters)

    def close(connection: Any, record: Any) -> None:
        with suppress(Exception):  # it may be lost, and the lock with it
            connection.rollback()
            connection.execute("SELECT pg_advisory_unlock_all()")  # now, not when the server notices the end
            connection.commit()

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "close", close)
    return engine


def _others(engine: Engine) -> str:
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, :prefix) ORDER BY nspname LIMIT 9"),
            {"prefix": PREFIX},
        ).scalars()
        names = [name.removeprefix(PREFIX) for name in found]
    return f"; there are {', '.join(names)}" if names else ""


def _forget_in_forks(connection: Any) -> None:
    """A forked child, such as a worker of a `DataLoader`, must not keep the connection of a driver that is killed."""
    held, descriptor = weakref.ref(connection), connection.fileno()

    def forget() -> None:
        if (inherited := held()) is not None and not inherited.closed:
            os.close(descriptor)  # libpq itself says goodbye to nobody in a child

    os.register_at_fork(after_in_child=forget)


def _explain(error: DBAPIError) -> str:
    code = getattr(error.orig, "sqlstate", None)
    advice = next((said for known, said in ADVICE.items() if code is not None and code.startswith(known)), None)
    if advice is None:
        advice = (
            "the server cannot be reached, or the connection was lost: check that it runs and that the URL is right"
            if code is None
            else "the database failed"
        )
    return f"{advice} ({' '.join(str(error.orig).split())})"
