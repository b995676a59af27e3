"""The record in a database: one table of events, written by one driver, through SQLAlchemy Core."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import final

from sqlalchemy import Column, Engine, Integer, MetaData, Table, Text, func, insert, inspect, select
from sqlalchemy.exc import DBAPIError

from morphogen.protocols import Event, MorphogenError
from morphogen.store.encoding import decode, encode
from morphogen.store.lease import Lease

__all__ = ["SCHEMA_VERSION", "Sql", "create_schema"]

SCHEMA_VERSION = 1
CHUNK = 10_000
"""Events that are read at a time."""

METADATA = MetaData()
EVENTS = Table(
    "events",
    METADATA,
    Column("n", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("trial", Integer, nullable=False),
    Column("body", Text, nullable=False),
)
META = Table("meta", METADATA, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))


def create_schema(engine: Engine) -> None:
    """Make the tables, in one transaction."""
    with engine.begin() as connection:
        METADATA.create_all(connection)
        connection.execute(insert(META), [{"key": "schema", "value": str(SCHEMA_VERSION)}])


@final
class Sql:
    """Events in a database that already has the schema. `store.open` makes one for a file.

    Args:
        engine: Of SQLAlchemy, whose commits are durable; closed with the store.
        name: What messages call it.
        lease: The right to write, given back by `close`; None: the store can only be read.
        explain: What a person should know and do about an error of the database.

    Raises:
        MorphogenError: No database, damaged, of another program, or of a newer version.
    """

    def __init__(
        self, engine: Engine, name: str, lease: Lease | None, explain: Callable[[DBAPIError], str] = str
    ) -> None:
        self._engine, self._name, self._lease, self._explain = engine, name, lease, explain
        self._open = True
        self._last: int | None = None  # number of the last event; there is one writer
        self._check_version()

    def append(self, events: Sequence[Event]) -> None:
        """Make events durable, all or none: one commit.

        Raises:
            MorphogenError: The database failed (a full disk); none of these events was recorded, trying again is safe.
        """
        if not self._open or self._lease is None:
            state = "open for reading only" if self._open else "closed"
            raise MorphogenError(f"{self._name} is {state}: nothing can be added")
        encoded = [encode(event) for event in events]
        if not encoded:
            return
        with self._explained(), self._engine.begin() as connection:
            if (last := self._last) is None:
                last = connection.execute(select(func.max(EVENTS.c.n))).scalar() or 0
            self._last = None  # where the commit fails, nobody knows
            rows = [{"n": n, "kind": k, "trial": t, "body": b} for n, (k, t, b) in enumerate(encoded, last + 1)]
            connection.execute(insert(EVENTS), rows)
        self._last = last + len(rows)

    def events(self) -> list[Event]:
        """Everything that was appended, in order."""
        return list(self.stream())

    def stream(self, after: int = 0) -> Iterator[Event]:
        """The same without the first so many, one after the other: a record may be larger than the memory."""
        columns = select(EVENTS.c.kind, EVENTS.c.trial, EVENTS.c.body, EVENTS.c.n).order_by(EVENTS.c.n).limit(CHUNK)
        while True:
            with self._explained(), self._engine.connect() as connection:
                rows = connection.execute(columns.where(EVENTS.c.n > after)).all()
            if not rows:
                return
            yield from decode(rows, self._name)
            after = rows[-1].n

    def counts(self) -> Mapping[str, int]:
        """How many events there are of each kind, without parsing any."""
        with self._explained(), self._engine.connect() as connection:
            rows = connection.execute(select(EVENTS.c.kind, func.count()).group_by(EVENTS.c.kind)).all()
        return {row[0]: row[1] for row in rows}

    def close(self) -> None:
        """Give up the lease. Idempotent."""
        if self._open:
            self._open = False
            self._engine.dispose()
            if self._lease is not None:
                self._lease.release()

    def _check_version(self) -> None:
        found = None
        with self._explained(), self._engine.connect() as connection:
            if {META.name, EVENTS.name} <= set(inspect(connection).get_table_names()):
                found = connection.execute(select(META.c.value).where(META.c.key == "schema")).scalar()
        if found is None:
            raise MorphogenError(
                f"{self._name} is no record of a run (it is empty, or of another program) and was left alone: "
                "give another path"
            )
        if found != str(SCHEMA_VERSION):
            raise MorphogenError(
                f"{self._name} has schema version {found}, this morphogen reads version {SCHEMA_VERSION}: "
                "use the morphogen that wrote it, or upgrade"
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise MorphogenError(f"{self._name}: {self._explain(error)}") from error
