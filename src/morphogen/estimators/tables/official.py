"""The benchmarks' own files, turned into a table of `docs/tables.md` once:

python -m morphogen.estimators.tables.official nasbench_full.tfrecord --to nasbench101
python -m morphogen.estimators.tables.official NATS-tss-v1_0-3ffb9-simple --to nats-tss --data cifar100
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from morphogen.estimators.tables import nasbench101_file, nats_file
from morphogen.protocols import MorphogenError
from morphogen.training.files import write_whole

__all__ = ["convert"]

Arrays = Mapping[str, Any]


def convert(source: Path, to: Path, data: str = "cifar10") -> Path:
    """Write a `.npz` and the TOML beside it; the path of the TOML.

    Args:
        source: NAS-Bench-101's `.tfrecord` (Ying et al. 2019, arXiv:1902.09635); NAS-Bench-201's `.pth` (Dong & Yang 2020,
            arXiv:2001.00326); NATS-Bench's `.pickle.pbz2` or `-simple` folder (Dong et al. 2021, arXiv:2009.00437).
        to: The folder of the table.
        data: Of the last two, the data set: `cifar10`, `cifar100` or `ImageNet16-120`.

    Raises:
        MorphogenError: It is none of these, damaged, or has something that plain data has not.
    """
    if not source.exists():
        raise MorphogenError(f"there is no {source}")
    if source.suffix == ".tfrecord":
        name, (arrays, text) = "nasbench101", nasbench101_file.read(source)
    elif source.is_dir() or source.name.endswith((".pickle.pbz2", ".pth")):
        name, (arrays, text) = f"nats-{data.lower()}", nats_file.read(source, data)
    else:
        raise MorphogenError(
            f"{source} is no file of a benchmark: expected .tfrecord, .pth, .pickle.pbz2 or a folder of these"
        )
    to.mkdir(parents=True, exist_ok=True)
    write_whole(to / f"{name}.npz", lambda file: np.savez_compressed(file, **arrays))
    toml = tomli_w.dumps({"name": name, "data": f"{name}.npz", **text}).encode()
    write_whole(to / f"{name}.toml", lambda file: file.write(toml))
    return to / f"{name}.toml"


def main(words: Sequence[str] | None = None, say: Callable[[str], object] = print) -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=re.split(r":\n", __doc__ or "")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--data", default="cifar10")
    arguments = parser.parse_args(words)
    try:
        say(str(convert(arguments.source, arguments.to, arguments.data)))
    except MorphogenError as error:
        sys.stderr.write(f"official: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
