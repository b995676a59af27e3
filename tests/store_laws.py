"""What every store on a disk or a server survives, whatever the database, for its tests to inherit."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from morphogen import store
from morphogen.protocols import Event, MorphogenError

WRITER = """
import sys
from morphogen import store
from morphogen.protocols import Event
opened = store.open(sys.argv[1])
id = len(opened.events()) // 2
print("open", flush=True)
while True:
    opened.append([Event("asked", id, {"text": "x" * 300}), Event("finished", id, {})])
    print(id, flush=True)
    id += 1
"""

FORKING = """
import os, sys, time
from morphogen import store
opened = store.open(sys.argv[1])
if (child := os.fork()) == 0:
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
time.sleep(60)
"""


def start_writer(place: str | Path) -> subprocess.Popen[str]:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(place)], stdout=subprocess.PIPE, text=True)
    assert "open\n" == writer.stdout.readline()
    return writer


class DurableLaws:
    """Subclass and give a fixture `place`: where the store is, as `morphogen.store.open` takes it."""

    kills = 3

    def test_acknowledged_events_survive_kill_9(self, place: str | Path) -> None:
        acknowledged: list[int] = []
        for kill in range(self.kills):
            writer = start_writer(place)
            acknowledged += [int(writer.stdout.readline()) for _ in range(20 + 7 * kill)]
            writer.kill()
            acknowledged += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
            writer.wait()
            writer.stdout.close()
        with closing(store.open(place)) as opened:  # the lease was freed by the kill
            events = opened.events()
        assert sorted(set(acknowledged)) == acknowledged
        # one a kill may be recorded and not yet said
        assert len(acknowledged) <= len(events) // 2 <= len(acknowledged) + self.kills
        recorded = {(e.kind, e.trial) for e in events}
        assert {(kind, id) for id in acknowledged for kind in ("asked", "finished")} <= recorded
        # both events of a commit or none
        assert [e.trial for e in events if e.kind == "asked"] == [e.trial for e in events if e.kind == "finished"]

    def test_a_second_driver_is_refused_and_told_who_has_it(self, place: str | Path) -> None:
        writer = start_writer(place)
        try:
            with pytest.raises(MorphogenError, match=f"in use by process {writer.pid} on .+ since 20") as raised:
                store.open(place)
            assert 1 == len(str(raised.value).splitlines())
        finally:
            writer.kill()
            writer.communicate()
        store.open(place).close()

    def test_a_forked_child_keeps_no_lease(self, place: str | Path) -> None:
        driver = subprocess.Popen([sys.executable, "-c", FORKING, str(place)], stdout=subprocess.PIPE, text=True)
        child = int(driver.stdout.readline())
        driver.kill()
        driver.wait()
        deadline = time.monotonic() + 20
        try:
            while True:  # the child may not have run at all yet: then it still has what it was forked with
                try:
                    store.open(place).close()
                    break
                except MorphogenError:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
        finally:
            os.kill(child, 9)
            driver.stdout.close()

    def test_readers_see_what_is_recorded_while_a_driver_runs(self, place: str | Path) -> None:
        with closing(store.open(place)) as driver:
            readers = [store.open(place, readonly=True) for _ in range(2)]
            for id in range(3):
                driver.append([Event("asked", id, {})])
                assert [{"asked": id + 1}] * 2 == [dict(reader.counts()) for reader in readers]
                assert [id, id] == [reader.events()[-1].trial for reader in readers]
            for reader in readers:
                with pytest.raises(MorphogenError, match="reading only"):
                    reader.append([Event("asked", 9, {})])
                reader.close()
            driver.append([Event("asked", 3, {})])
