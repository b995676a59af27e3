"""The benchmarks' own files, made up in small: they become tables, and nothing in them is run."""

from __future__ import annotations

import base64
import bz2
import json
import math
import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from morphogen.estimators.tables import load
from morphogen.estimators.tables.official import convert, main
from morphogen.protocols import MorphogenError
from morphogen.spaces.nasbench101 import NASBENCH101
from morphogen.spaces.nasbench201 import from_string

CELLS = [
    "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|",
    "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
]


def result(epochs: int, accuracy: float, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "epochs": epochs,
        "params": 0.5,
        "flop": 20.0,
        "train_times": OrderedDict((e, np.float64(2.0)) for e in range(epochs)),
        "eval_acc1es": {f"{n}@{epochs - 1}": accuracy for n in names},
    }


def info(accuracy: float, schedules: dict[str, int], seeds: tuple[int, ...] = (777, 888)) -> dict[str, Any]:
    found = {}
    for name, epochs in schedules.items():
        results = {("cifar10-valid", s): result(epochs, accuracy + s / 1000, ("x-valid", "ori-test")) for s in seeds}
        results[("cifar10", seeds[0])] = result(epochs, accuracy + 3, ("ori-test",))
        found[name] = {"arch_index": 0, "all_results": results}
    return found


def save(path: Path, thing: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bz2.compress(pickle.dumps(thing, protocol=4)))


def check_201(toml: Path) -> None:
    table = load(toml)
    architecture = from_string(CELLS[0], table.space)
    assert {0.90777, 0.90888} == {round(table.entry(architecture, {}, s).metrics["accuracy"], 5) for s in range(9)}
    assert math.isclose(0.93, table.at_end(architecture, "test_accuracy") or 0, rel_tol=1e-6)
    entry = table.entry(architecture, {"epochs": 2}, 0)
    assert 4.0 == entry.seconds
    assert 500_000 == entry.metrics["params"]


def test_a_folder_of_natsbench_becomes_a_table(tmp_path: Path) -> None:
    save(tmp_path / "nats" / "meta.pickle.pbz2", {"meta_archs": CELLS})
    for i in range(2):
        save(tmp_path / "nats" / f"{i:06d}.pickle.pbz2", info(90.0 - i, {"2": 2, "4": 4}))
    check_201(convert(tmp_path / "nats", tmp_path / "table"))


def test_one_file_of_natsbench_becomes_a_table(tmp_path: Path) -> None:
    save(
        tmp_path / "nats.pickle.pbz2",
        {"meta_archs": CELLS, "arch2infos": {i: info(90.0, {"2": 2, "4": 4}) for i in range(2)}},
    )
    check_201(convert(tmp_path / "nats.pickle.pbz2", tmp_path / "table"))


def test_the_size_space_of_natsbench_is_spelled_out(tmp_path: Path) -> None:
    save(
        tmp_path / "nats.pickle.pbz2",
        {"meta_archs": ["8:16", "16:64"], "arch2infos": {i: info(90.0 + i, {"90": 4}) for i in range(2)}},
    )
    table = load(convert(tmp_path / "nats.pickle.pbz2", tmp_path / "table"))
    assert ("16", "64") == table.space["layer1/channels"].options
    assert table.truth(table.space.architecture({"layer0/channels": "16", "layer1/channels": "64"})) == table.optimum


def test_the_file_of_nasbench201_becomes_a_table(tmp_path: Path) -> None:
    whole = {"meta_archs": CELLS, "arch2infos": OrderedDict((i, info(90.0, {"less": 2, "full": 4})) for i in range(2))}
    torch.save(whole, tmp_path / "bench.pth")
    table = load(convert(tmp_path / "bench.pth", tmp_path / "table"))
    assert {"epochs": 200} == table.full
    assert {"epochs": 12} == table.lowest


class Code:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch ran",)


def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "nats.pickle.pbz2", {"meta_archs": [Code()]})
    with pytest.raises(MorphogenError, match="system, which is no plain data"):
        convert(tmp_path / "nats.pickle.pbz2", tmp_path / "table")
    torch.save({"meta_archs": [Code()]}, tmp_path / "bench.pth")
    with pytest.raises(MorphogenError, match="is not a file of NAS-Bench-201"):
        convert(tmp_path / "bench.pth", tmp_path / "table")
    assert not (tmp_path / "ran").exists()


def field(number: int, value: float | int | bytes) -> bytes:
    if isinstance(value, float):
        return bytes([number << 3 | 1]) + struct.pack("<d", value)
    body = value if isinstance(value, bytes) else b""
    size, out = len(body) if isinstance(value, bytes) else value, b""
    while size > 127:
        out, size = out + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | (2 if isinstance(value, bytes) else 0)]) + out + bytes([size]) + body


def record(module: str, epochs: int, accuracy: float) -> bytes:
    last = (
        field(1, float(epochs))
        + field(2, 10.0 * epochs)
        + field(4, accuracy)
        + field(5, accuracy - 0.01)
        + field(6, b"path")
    )
    message = field(1, field(1, 0.0)) + field(1, last) + field(2, 300_000) + field(3, 1.0)
    body = json.dumps([module, epochs, "0100", "input,output", base64.b64encode(message).decode()]).encode()
    return struct.pack("<Q", len(body)) + b"\0\0\0\0" + body + b"\0\0\0\0"


def test_the_file_of_nasbench101_becomes_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    cells = list({NASBENCH101.identity(c): c for c in (NASBENCH101.sample(rng) for _ in range(9))}.values())[:2]
    hashes = [NASBENCH101.identity(c).decode() for c in cells]
    records = [record(h, e, 0.9 + i / 100 + s / 1000) for i, h in enumerate(hashes) for e in (4, 108) for s in range(3)]
    (tmp_path / "x.tfrecord").write_bytes(b"".join(records))
    assert 0 == main([str(tmp_path / "x.tfrecord"), "--to", str(tmp_path / "table")])
    table = load(Path(capsys.readouterr().out.strip()))
    assert {0.91, 0.911, 0.912} == {round(table.entry(cells[1], {}, s).metrics["accuracy"], 4) for s in range(20)}
    assert 40.0 == table.cost(cells[0], {"epochs": 36})
    assert 300_000 == table.entry(cells[0], {}, 0).metrics["params"]
    (tmp_path / "x.tfrecord").write_bytes(b"".join(records)[:-9])
    assert 1 == main([str(tmp_path / "x.tfrecord"), "--to", str(tmp_path / "table")])
    assert "ends within a record" in capsys.readouterr().err
