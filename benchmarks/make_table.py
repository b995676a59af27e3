"""Make a table: train every architecture of a small space on real images, with several seeds, and keep all of it.

    python benchmarks/make_table.py --to table-digits                      about an hour on one core; goes on where it was
    morphogen bench table-digits --strategies all --budget 200

The space: four layers with one of five operations each, and the number of channels; 1,250 architectures.
Every finished training is a line of `trainings.jsonl`; at the end `table.npz` and `table.toml` are
written (`docs/tables.md`), and the rank correlation between seeds and the spread of accuracies are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # seconds are compared, and sums repeat

import numpy as np
import tomli_w
import torch
from scipy.stats import kendalltau
from torch import Tensor, nn

from morphogen.estimators import Training
from morphogen.nn import MixedOp
from morphogen.nn.elastic import ElasticBatchNorm2d, ElasticConv2d, ElasticLinear
from morphogen.protocols import Context
from morphogen.space import Choice, Space
from morphogen.spaces.skeleton import Skeleton
from morphogen.training.data import Data
from morphogen.training.data import data as find_data
from morphogen.training.files import write_whole
from morphogen.training.recipe import recipe_for
from morphogen.trial import Proposal

OPERATIONS = ("skip_connect", "avg_pool_3x3", "conv_1x1", "depthwise_3x3", "conv_3x3")
LAYERS = 4


class Network(nn.Module):
    """A stem, four layers with a halving after the second, pooling, a linear head."""

    def __init__(self, space: Space, skeleton: Skeleton) -> None:
        super().__init__()
        c = space["channels"]
        layers: list[nn.Module] = [ElasticConv2d(skeleton.image[0], c, 3, bias=False), ElasticBatchNorm2d(c), nn.ReLU()]
        for i in range(LAYERS):
            layers += [MixedOp(space[f"layer{i}/op"], partial(_operation, c=c)), ElasticBatchNorm2d(c), nn.ReLU()]
            if i == 1:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = ElasticLinear(c, skeleton.classes)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.features(x))
        return y


def build(space: Space, skeleton: Skeleton, mixed: Any = MixedOp) -> nn.Module:
    """The network, as a space names it."""
    return Network(space, skeleton)


def _operation(name: str, c: Choice) -> nn.Module:
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1)
    groups = {"groups": c} if name == "depthwise_3x3" else {}
    return ElasticConv2d(c, c, 1 if name == "conv_1x1" else 3, bias=False, **groups)


def space() -> Space:
    """Of the table. A norm and a ReLU stand behind every layer, skips too, so that no two networks are equal."""
    choices = [Choice("channels", ("4", "12"), ordered=True)]
    choices += [Choice(f"layer{i}/op", OPERATIONS) for i in range(LAYERS)]
    return Space(tuple(choices), network=build, name="table")


@dataclass(frozen=True)
class Plan:
    """What is trained: `limit` architectures spread over the space (None: all), each with `seeds` seeds."""

    to: Path
    data: str = "digits"
    epochs: int = 12
    seeds: int = 2
    limit: int | None = None


def trainings(plan: Plan) -> Iterator[tuple[int, int]]:
    """Architecture and seed of each, a seed of all before the next seed of any: a broken-off table is a whole one of fewer seeds."""
    size = space().size
    step = 1 if plan.limit is None else max(1, size // plan.limit)
    listed = list(range(0, size, step))[: plan.limit]
    return ((i, seed) for seed in range(plan.seeds) for i in listed)


def make(plan: Plan, data: Data, say: Any = print) -> None:
    """Train what is not trained yet, then write the table."""
    architectures = list(space().enumerate())
    plan.to.mkdir(parents=True, exist_ok=True)
    record = plan.to / "trainings.jsonl"
    done = read(record)
    todo = [key for key in trainings(plan) if key not in done]
    estimator = Training(space(), data, replace(recipe_for(data), epochs=plan.epochs))
    begun = time.monotonic()
    with record.open("ab") as file:
        for number, (i, seed) in enumerate(todo, start=1):
            before = time.process_time()
            outcome = estimator(Proposal(architectures[i]), Context(seed=seed))
            seconds = time.process_time() - before  # of one thread: whatever else the machine does
            if outcome.error is not None:
                raise SystemExit(f"architecture {i} with seed {seed} failed: {outcome.error}")
            line = {
                "architecture": i,
                "seed": seed,
                "metrics": dict(outcome.metrics),
                "curves": {k: list(v) for k, v in outcome.curves.items()},
                "seconds": seconds,
            }
            file.write(json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            if number % 50 == 0 or number == len(todo):
                left = (time.monotonic() - begun) / number * (len(todo) - number)
                say(f"{number} of {len(todo)} trainings, {left / 60:.0f} min left")
    write(plan, read(record), architectures, say)


def read(record: Path) -> dict[tuple[int, int], dict[str, Any]]:
    """What is trained already; a line that was cut off is left out, and cut off the file."""
    if not record.is_file():
        return {}
    whole, end = record.read_bytes(), 0
    done = {}
    for line in whole.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            os.truncate(record, end)
            break
        end += len(line)
        found = json.loads(line)
        done[found["architecture"], found["seed"]] = found
    return done


def write(plan: Plan, done: dict[tuple[int, int], dict[str, Any]], architectures: Sequence[Any], say: Any) -> None:
    """`table.npz` and `table.toml`."""
    listed = list(dict.fromkeys(i for i, _ in trainings(plan)))
    rows = [[done[i, seed] for seed in range(plan.seeds)] for i in listed]
    choices = list(space())
    codes = np.asarray(
        [[c.options.index(str(architectures[i][c.name])) for c in choices] for i in listed], dtype=np.uint8
    )
    accuracy = np.asarray([[r["metrics"]["accuracy"] for r in row] for row in rows], dtype=np.float32)
    curves = np.asarray([[[v for _, v in _curve(r)] for r in row] for row in rows], dtype=np.float16)
    arrays = {
        "architecture": codes,
        "accuracy": accuracy,
        "curve": curves,
        "seconds": np.asarray([[r["seconds"] for r in row] for row in rows], dtype=np.float32),
        "params": np.asarray([row[0]["metrics"]["params"] for row in rows]),
        "macs": np.asarray([row[0]["metrics"]["macs"] for row in rows]),
    }
    write_whole(plan.to / "table.npz", lambda file: np.savez_compressed(file, **arrays))
    text = {
        "name": f"table-{plan.data}",
        "about": f"{len(listed)} networks of four layers on {plan.data}, {plan.epochs} epochs, {plan.seeds} seeds",
        "data": "table.npz",
        "choices": [{"name": c.name, "options": list(c.options), "ordered": c.ordered} for c in choices],
        "architecture": {"columns": "architecture", "options": {c.name: list(c.options) for c in choices}},
        "fidelity": {"epochs": plan.epochs},
        "metrics": {
            "accuracy": {"column": "accuracy", "maximize": True},
            "params": {"column": "params", "fixed": True},
            "macs": {"column": "macs", "fixed": True},
        },
        "curves": {"accuracy": {"column": "curve", "steps": [s for s, _ in _curve(rows[0][0])], "axis": "epochs"}},
        "seconds": {"column": "seconds"},
    }
    write_whole(plan.to / "table.toml", lambda file: file.write(tomli_w.dumps(text).encode()))
    taus = [float(kendalltau(accuracy[:, a], accuracy[:, b]).statistic) for a, b in combinations(range(plan.seeds), 2)]
    say(
        f"{len(listed)} architectures, accuracy {accuracy.min():.4f} to {accuracy.max():.4f}, tau between seeds {np.mean(taus) if taus else float('nan'):.3f}"
    )
    say(
        f"{sum(r['seconds'] for row in rows for r in row):.0f} seconds of training, {(plan.to / 'table.npz').stat().st_size / 1000:.0f} kB, {plan.to / 'table.toml'}"
    )


def _curve(result: dict[str, Any]) -> list[tuple[float, float]]:
    curve: list[tuple[float, float]] = result["curves"]["accuracy"]
    return curve


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--data", default="digits", help="a name that `morphogen list data` shows, or a .npz")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--limit", type=int, help="so many architectures only, spread over the space")
    plan = Plan(**vars(parser.parse_args(words)))
    torch.set_num_threads(1)
    make(plan, find_data(plan.data))
    return 0


if __name__ == "__main__":
    sys.exit(main())
