"""The files of NAS-Bench-201 (`.pth`) and NATS-Bench (`.pickle.pbz2`, or a folder with one for each architecture).

Both are pickles of plain containers and numbers. They are read by an unpickler that knows nothing else: a name that is
neither a container nor a number of numpy ends it, so that no code of a file is ever run.
"""

from __future__ import annotations

import bz2
import io
import math
import pickle  # only for the unpickler below, which refuses every name but five
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, final

import numpy as np

from morphogen.protocols import MorphogenError

__all__ = ["read"]

MAX_BYTES = 32 << 30
"""Unpacked; the largest official file has about 10 GB."""
EPOCHS = {"less": 12, "full": 200}
"""What NAS-Bench-201 calls its two schedules; NATS-Bench calls them by their number of epochs."""
VALID = {
    "cifar10": ("cifar10-valid", "x-valid"),
    "cifar100": ("cifar100", "x-valid"),
    "ImageNet16-120": ("ImageNet16-120", "x-valid"),
}
TEST = {
    "cifar10": ("cifar10", "ori-test"),
    "cifar100": ("cifar100", "x-test"),
    "ImageNet16-120": ("ImageNet16-120", "x-test"),
}
"""Data set -> what the file calls the training and the images it is judged on."""
NAN = float("nan")


def read(source: Path, data: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The arrays and the TOML of the table, of one data set.

    Raises:
        MorphogenError: The file is damaged, has code in it, or has no such data set.
    """
    if data not in VALID:
        raise MorphogenError(f"the benchmark has no data set '{data}'; it has {', '.join(VALID)}")
    try:
        names, infos = _architectures(source)
        rows: list[dict[int, dict[str, list[float]]]] = []
        for _, info in zip(names, infos, strict=True):
            rows.append({EPOCHS.get(str(hp)) or int(hp): _results(found, data) for hp, found in info.items()})
    except (
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        AttributeError,
        EOFError,
        OSError,
        pickle.UnpicklingError,
    ) as error:
        raise MorphogenError(f"{source} is not a file of NAS-Bench-201 or NATS-Bench: {error!r}") from None
    if not rows:
        raise MorphogenError(f"{source} has no architecture")
    return _table(names, rows, data)


def _table(
    names: list[str], rows: list[dict[int, dict[str, list[float]]]], data: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    amounts = sorted(set.intersection(*(set(row) for row in rows)))
    full, lower = amounts[-1], amounts[:-1]
    most = max(len(row[full]["valid"]) for row in rows)

    def mean(epochs: int, name: str) -> Any:
        found = ([v for v in row[epochs][name] if math.isfinite(v)] for row in rows)
        return np.asarray([fmean(values) if values else NAN for values in found], dtype=np.float32)

    arrays = {f"{name}_{e}": mean(e, name) for e in amounts for name in ("valid", "test", "seconds")}
    # how many seeds there are differs between architectures, and between the schedules
    arrays[f"valid_{full}"] = np.asarray(
        [[*row[full]["valid"], *[NAN] * most][:most] for row in rows], dtype=np.float32
    )
    arrays |= {name: mean(full, name) for name in ("params", "flops")}
    text: dict[str, Any] = {"about": f"NAS-Bench-201 / NATS-Bench, {data}", "report": "test_accuracy"}
    if ":" in names[0]:  # the size space: channels of each layer
        channels = [name.split(":") for name in names]
        arrays["channels"] = np.asarray(channels, dtype=int)
        layers = [f"layer{i}/channels" for i in range(len(channels[0]))]
        text["choices"] = [
            {"name": layer, "options": sorted(set(column), key=int), "ordered": True}
            for layer, column in zip(layers, zip(*channels, strict=True), strict=True)
        ]
        text["architecture"] = {"columns": "channels"}
    else:
        arrays["arch"] = np.asarray(names)
        text["space"], text["architecture"] = "nasbench201", {"text": "arch"}

    def metric(name: str) -> dict[str, Any]:
        found: dict[str, Any] = {"column": f"{name}_{full}", "maximize": True, "scale": 0.01}
        return found | ({"at": [{"epochs": e, "column": f"{name}_{e}"} for e in lower]} if lower else {})

    seconds: dict[str, Any] = {"column": f"seconds_{full}"}
    return arrays, text | {
        "fidelity": {"epochs": full},
        "metrics": {
            "accuracy": metric("valid"),
            "test_accuracy": metric("test"),
            "params": {"column": "params", "fixed": True},
            "flops": {"column": "flops", "fixed": True},
        },
        "seconds": seconds | ({"at": [{"epochs": e, "column": f"seconds_{e}"} for e in lower]} if lower else {}),
    }


def _results(info: Mapping[str, Any], data: str) -> dict[str, list[float]]:
    """Of one architecture and schedule: accuracies (in percent), seconds, params, FLOPs; one number a seed."""
    found: dict[str, list[float]] = {"valid": [], "test": [], "seconds": [], "params": [], "flops": []}
    for (trained, _), result in sorted(info["all_results"].items(), key=lambda item: str(item[0])):
        last = int(result["epochs"]) - 1
        accuracies = result["eval_acc1es"]
        if trained == VALID[data][0]:
            found["valid"].append(float(accuracies.get(f"{VALID[data][1]}@{last}", NAN)))
            found["seconds"].append(float(sum(result["train_times"].values())) if result["train_times"] else NAN)
            found["params"].append(1e6 * float(result["params"]))
            found["flops"].append(1e6 * float(result["flop"]))
        if trained == TEST[data][0]:
            found["test"].append(float(accuracies.get(f"{TEST[data][1]}@{last}", NAN)))
    if not found["valid"]:
        raise ValueError(f"no training on {VALID[data][0]}")
    return found


def _architectures(source: Path) -> tuple[list[str], Iterator[Mapping[str, Any]]]:
    """The architectures as text, and what is known of each, in the same order."""
    if source.is_dir():
        names = list(_unpickled(source / "meta.pickle.pbz2")["meta_archs"])
        return names, (_unpickled(source / f"{i:06d}.pickle.pbz2") for i in range(len(names)))
    whole = _pth(source) if source.suffix == ".pth" else _unpickled(source)
    names = list(whole["meta_archs"])
    return names, (whole["arch2infos"][i] for i in range(len(names)))


def _pth(path: Path) -> Any:
    import torch

    with torch.serialization.safe_globals(
        [*_NUMBERS, *[(_number, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]]
    ):
        return torch.load(path, map_location="cpu", weights_only=True)


def _unpickled(path: Path) -> Any:
    with bz2.open(path, "rb") as file:
        return _Plain(io.BufferedReader(_Bounded(file))).load()


_NUMBERS: list[Any] = [np.dtype, np.dtypes.Float32DType, np.dtypes.Float64DType, np.dtypes.Int64DType]


@final
class _Plain(pickle.Unpickler):
    """Containers, and the numbers of numpy."""

    def find_class(self, module: str, name: str) -> Any:
        """The five names that such a file may have."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "scalar":
            return _number
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        raise pickle.UnpicklingError(f"it has {module}.{name}, which is no plain data")


def _number(dtype: np.dtype[Any], data: bytes) -> Any:
    """A number of numpy, from its bytes."""
    if dtype.kind not in "fiub":
        raise pickle.UnpicklingError(f"it has a {dtype} where a number was expected")
    return np.frombuffer(data, dtype)[0]


class _Bounded(io.RawIOBase):
    """What is unpacked, up to a bound."""

    def __init__(self, file: Any) -> None:
        self._file, self._left = file, MAX_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"it unpacks to more than {MAX_BYTES} bytes")
        buffer[: len(data)] = data
        return len(data)
