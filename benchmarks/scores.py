"""Training-free scores against NAS-Bench-201: with its accuracies, and with the score columns that others published.

    python benchmarks/scores.py --count 200

Architectures are drawn uniformly from the 15,625; networks are ours, at initialisation, in the table's size (16 channels,
5 cells a stage); one batch of CIFAR-10. Printed per score: Spearman with the 200-epoch CIFAR-10 test accuracy (those
that are rank-equal to `params` are no news), the same for the published column where there is one, and Spearman of ours
with it. Networks that no input reaches have no score in some columns (published as NaN or 0): these rows are left out
of both. Data: `--data FOLDER`, or MORPHOGEN_DATA, or `../shared/data`, with `nasbench201/` and `cifar10/`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import torch
from efficiency import _module
from scipy.stats import spearmanr

from morphogen.estimators.complexity import suited_skeleton
from morphogen.estimators.scores import SCORES, Batch
from morphogen.nn.network import network
from morphogen.protocols import MorphogenError
from morphogen.spaces import space as find_space

PUBLISHED = {"naswot": "naswot", "synflow": "synflow", "log_synflow": "logsynflow"}
"""Ours -> `cifar10/zc_...` of the table."""
MEAN, STD = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--scores", default=",".join(SCORES))
    parser.add_argument("--skeleton", help="a preset; by default final")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--data", default=os.environ.get("MORPHOGEN_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = arguments.scores.split(",")
    data = Path(arguments.data)
    bench = _module(str(data / "nasbench201")).Bench201()
    images, labels = _module(str(data / "cifar10")).load("test")
    rng = np.random.default_rng(arguments.seed)
    picked = rng.choice(len(labels), arguments.batch, replace=False)
    pixels = (images[picked].astype(np.float32) - np.float32(MEAN)) / np.float32(STD)
    batch = Batch(
        torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()), torch.from_numpy(labels[picked].astype(np.int64))
    )
    space = find_space("nasbench201")
    preset = arguments.skeleton or ("final" if "final" in space.skeletons else None)
    skeleton = suited_skeleton(space, preset, (3, 32, 32), 10)
    order = [f"{target}<-{source}" for source, target in ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))]
    rows = rng.choice(len(bench), arguments.count, replace=False)
    found: dict[str, list[float]] = {name: [] for name in names}
    spent = dict.fromkeys(names, 0.0)
    for number, i in enumerate(rows):
        operations = [_module(str(data / "nasbench201")).OPS[o] for o in bench.ops[i]]
        architecture = space.architecture(dict(zip(order, operations, strict=True)))
        torch.manual_seed(int(arguments.seed * 100_000 + i))
        built = network(space.fix(architecture), skeleton)
        for name in names:
            begun = time.process_time()
            try:
                found[name].append(SCORES[name](built, batch))
            except MorphogenError:
                found[name].append(float("nan"))
            spent[name] += time.process_time() - begun
        if number % 20 == 19:
            print(f"{number + 1} of {len(rows)}", file=sys.stderr, flush=True)
    truth = bench.column("cifar10/test_acc_200")[rows]
    print(
        f"{arguments.count} architectures, batch {arguments.batch}, {skeleton.channels} channels, {skeleton.cells} cells"
    )
    print(f"{'score':22s}{'ours':>8s}{'published':>11s}{'ours with it':>14s}{'rows':>6s}{'s each':>8s}")
    for name in names:
        ours = np.array(found[name])
        good = np.isfinite(ours)
        theirs = f"cifar10/zc_{PUBLISHED.get(name, '')}"
        told = f"{name:22s}{_rank(ours[good], truth[good]):8.3f}"
        if name in PUBLISHED and theirs in bench.columns():
            column = np.asarray(bench.column(theirs), float)[rows]
            both = good & np.isfinite(column)
            told += f"{_rank(column[both], truth[both]):11.3f}{_rank(ours[both], column[both]):14.3f}{both.sum():6d}"
        else:
            told += f"{'':25s}{good.sum():6d}"
        print(f"{told}{spent[name] / len(rows):8.2f}")
    return 0


def _rank(a: np.ndarray, b: np.ndarray) -> float:
    return float(spearmanr(a, b).statistic) if len(a) > 2 else float("nan")


if __name__ == "__main__":
    sys.exit(main())
