"""NAS-Bench-101's `.tfrecord`, read without TensorFlow or protobuf.

A record is a length (8 bytes, little-endian), its checksum (4), the bytes, their checksum (4). The bytes are JSON:
module hash, epochs, adjacency, operations, and a `ModelMetrics` message of protocol buffers in base64 (the benchmark's
`model_metrics.proto`).
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from morphogen.protocols import MorphogenError

__all__ = ["read"]

MAX_RECORD = 1 << 20
EVALUATIONS, PARAMETERS = 1, 2
SECONDS, VALID, TEST = 2, 4, 5
VARINT, DOUBLE, BYTES, FLOAT = 0, 1, 2, 5


def read(path: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The arrays and the TOML of the table: validation and test accuracy and seconds of every training.

    Raises:
        MorphogenError: The file is damaged.
    """
    runs: dict[tuple[str, int], list[tuple[float, float, float]]] = {}
    params: dict[str, float] = {}
    for number, record in enumerate(_records(path)):
        try:
            module, epochs, _, _, raw = json.loads(record)
            message = _fields(base64.b64decode(raw))
            last = _fields(message[EVALUATIONS][-1])
            values = tuple(float(last[field][-1]) for field in (VALID, TEST, SECONDS))
            runs.setdefault((str(module), int(epochs)), []).append((values[0], values[1], values[2]))
            params[str(module)] = float(message[PARAMETERS][-1])
        except (ValueError, KeyError, TypeError, IndexError, struct.error) as error:
            raise MorphogenError(f"{path}: record {number} is not one of NAS-Bench-101: {error!r}") from None
    if not runs:
        raise MorphogenError(f"{path} has no record")
    return _table(runs, params)


def _table(
    runs: Mapping[tuple[str, int], list[tuple[float, float, float]]], params: Mapping[str, float]
) -> tuple[dict[str, Any], dict[str, Any]]:
    modules = sorted(params)
    amounts = sorted({epochs for _, epochs in runs})
    most = max(map(len, runs.values()))
    arrays: dict[str, Any] = {
        "hash": np.asarray(modules, dtype="S"),
        "params": np.asarray([params[m] for m in modules]),
    }
    for epochs in amounts:
        # a module with fewer trainings than others has NaN for the rest
        found = [[*runs.get((m, epochs), []), *[(math.nan,) * 3] * most][:most] for m in modules]
        array = np.asarray(found, dtype=np.float32)
        for i, name in enumerate(("valid", "test", "seconds")):
            arrays[f"{name}_{epochs}"] = array[:, :, i]
    full, lower = amounts[-1], amounts[:-1]

    def at(name: str) -> dict[str, Any]:
        return {
            "column": f"{name}_{full}",
            **({"at": [{"epochs": e, "column": f"{name}_{e}"} for e in lower]} if lower else {}),
        }

    return arrays, {
        "about": "NAS-Bench-101, CIFAR-10 (Ying et al. 2019, arXiv:1902.09635)",
        "space": "nasbench101",
        "report": "test_accuracy",
        "architecture": {"identity": "hash"},
        "fidelity": {"epochs": full},
        "metrics": {
            "accuracy": {"maximize": True, **at("valid")},
            "test_accuracy": {"maximize": True, **at("test")},
            "params": {"column": "params", "fixed": True},
        },
        "seconds": at("seconds"),
    }


def _records(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while head := file.read(12):
            if len(head) < 12:
                raise MorphogenError(f"{path} ends within a record")
            (length,) = struct.unpack("<Q", head[:8])
            if length > MAX_RECORD:
                raise MorphogenError(f"{path} has a record of {length} bytes: it is no file of NAS-Bench-101")
            body = file.read(length + 4)
            if len(body) < length + 4:
                raise MorphogenError(f"{path} ends within a record")
            yield body[:length]


def _fields(message: bytes) -> dict[int, list[Any]]:
    """The fields of a message of protocol buffers, by number: numbers, or bytes."""
    found: dict[int, list[Any]] = {}
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        value: Any
        if kind == VARINT:
            value, at = _varint(message, at)
        elif kind == DOUBLE:
            (value,), at = struct.unpack_from("<d", message, at), at + 8
        elif kind == FLOAT:
            (value,), at = struct.unpack_from("<f", message, at), at + 4
        elif kind == BYTES:
            length, at = _varint(message, at)
            if at + length > len(message):
                raise ValueError("a field is longer than its message")
            value, at = message[at : at + length], at + length
        else:
            raise ValueError(f"a field of the unknown kind {kind}")
        found.setdefault(key >> 3, []).append(value)
    return found


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
    raise ValueError("a number without an end")
