"""What a store must survive in a process of its own, whatever the database: its URL or path is the argument."""

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
