"""Every store keeps the laws of stores."""

from pathlib import Path

from morphogen import store
from morphogen.protocols import Store
from morphogen.store import Memory
from morphogen.testing.store import StoreSuite


class TestMemory(StoreSuite):
    durable = False

    def make(self, folder: Path) -> Store:
        made: Store = Memory()
        return made


class TestSqlite(StoreSuite):
    def make(self, folder: Path) -> Store:
        opened: Store = store.open(folder / "trials.sqlite")
        return opened
