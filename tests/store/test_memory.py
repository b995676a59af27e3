"""The record in memory."""

from morphogen.protocols import Event
from morphogen.store import Memory


def test_a_closed_store_can_still_be_read():
    store = Memory()
    store.append([Event("asked", 0, {}), Event("asked", 1, {}), Event("finished", 0, {})])
    store.close()
    assert 3 == len(store.events())
    assert {"asked": 2, "finished": 1} == dict(store.counts())
