"""Is weight sharing worth it? Every method that trains a supernet against random search, on small images of clothes.

    python benchmarks/methods.py --data fashion-mnist --to methods-fashion --write docs/results.md

A method searches and trains what it found anew, as `morphogen search` does, and the test split judges that. Against it
stands random search for as many seconds as its searches took, on average, in the same space: the best of the architectures
that it could train by then, trained anew by the same recipe. Both train an architecture as briefly while they search. The
methods of a space share the searches at random that they are held against, each cut off at the method's own seconds; what
many are compared with should be known best, so there are more of these.

What is there already is not repeated, and what was interrupted goes on: so does the whole program.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import morphogen
from morphogen.config import parse
from morphogen.methods.phases import SEARCH, SUPERNET, TEST
from morphogen.oneshot.health import most_skips
from morphogen.protocols import Context, Estimator, MorphogenError
from morphogen.runs.assembly import Parts, assemble
from morphogen.runs.reading import read
from morphogen.space import Architecture
from morphogen.training.data import data as find_data
from morphogen.trial import Outcome, Proposal, Trial

TRAINING = {"batch_size": 32, "lr": 0.1, "warmup": 0.5}
"""Of 4,000 images, so that a short training still has steps enough for networks of many convolutions."""

SEARCHED: dict[str, Any] = {
    "skeleton": {"channels": 8, "cells": 3},
    "training": {"epochs": 3, **TRAINING},
    "final": {"finalists": 1, "seeds": 1, "training": {"epochs": 27, **TRAINING}},
}
LAYERS: dict[str, Any] = {**SEARCHED, "skeleton": {"channels": 8, "dropout": 0.0}}
"""In a space whose choices are its layers, their number is the space's. Half of 32 features dropped, as the paper does
with 384, would be most of what there is."""


@final
@dataclass(frozen=True)
class Method:
    """A row of the table: epochs such that all searches take about as long.

    Args:
        strategy: As the command line calls it.
        epochs: Of the supernet.
        space: Where it searches.
        options: More of the strategy's.
        settings: More of the run's.
    """

    strategy: str
    epochs: int
    space: str = "darts"
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, Any]:
        """Of the configuration."""
        options = {"epochs": self.epochs, "batch_size": TRAINING["batch_size"], **self.options}
        size = LAYERS if self.space == "enas-macro" else SEARCHED
        return {**size, "strategy": self.strategy, "strategy_options": options, **self.settings}


SUMMED: dict[str, Any] = {"batch_size": 64, "lr": 0.1, "start": 0.5, "shortlist": 3}
"""A step of a sum of all operations has a price of its own, so batches are larger; and while weights are new, pools win."""

LATE: dict[str, Any] = {"lr": 0.1, "start": 0.5, "steps": 4, "candidates": 16, "shortlist": 3}
"""The accuracies by which a controller learns mean nothing as long as the weights that it shares are new."""

METHODS = {
    "darts": Method("darts", 6, options=SUMMED),
    "darts-second-order": Method("darts-second-order", 5, options={**SUMMED, "start": 0.6, "shortlist": 2}),
    "drnas": Method("drnas", 6, options=SUMMED),
    "pc-darts": Method("pc-darts", 8, options=SUMMED),
    "gdas": Method("gdas", 12, options={"shortlist": 3}),
    "single-path": Method("single-path", 12, settings={"trials": 50}),
    "enas": Method("enas", 12, "enas-micro", LATE),
    "enas-macro": Method("enas", 30, "enas-macro", LATE),
}
LINE = "{:<20} {:>5} {:>8} {:>9} {:>9} {:>11} {:>7} {:>6}  {}"
HEAD = LINE.format(
    "method", "seeds", "seconds", "search", "random", "difference", "error", "skips", "search, seed by seed; random"
)


@final
@dataclass(frozen=True)
class Found:
    """What a search came to.

    Args:
        accuracy: On the test split, of what it found, trained anew.
        seconds: Of the search.
        skips: The most operations of one of its cells that only pass their input on.
    """

    accuracy: float
    seconds: float
    skips: int


@final
@dataclass(frozen=True)
class Row:
    """A method's searches, and searches at random that took as long.

    Args:
        method: Its name.
        space: Where it searches.
        searched: One a seed.
        random: Accuracies on the test split, of as many seeds of their own.
    """

    method: str
    space: str
    searched: Sequence[Found]
    random: Sequence[float]

    @property
    def accuracies(self) -> list[float]:
        """Of what was found, one a seed."""
        return [found.accuracy for found in self.searched]

    @property
    def difference(self) -> float:
        """In points."""
        return 100 * (fmean(self.accuracies) - fmean(self.random))

    @property
    def cells(self) -> list[str]:
        """Of the table."""
        error = 100 * (_error(self.accuracies) ** 2 + _error(self.random) ** 2) ** 0.5
        return [
            self.method,
            f"{len(self.searched)}",
            f"{fmean(f.seconds for f in self.searched):.0f}",
            f"{100 * fmean(self.accuracies):.2f}",
            f"{100 * fmean(self.random):.2f}",
            f"{self.difference:+.2f}",
            f"{error:.2f}",
            f"{fmean(f.skips for f in self.searched):.1f}",
            "; ".join(", ".join(f"{100 * a:.2f}" for a in each) for each in (self.accuracies, self.random)),
        ]


def overall(table: Sequence[Row]) -> tuple[float, float]:
    """The mean difference over methods and its standard error, in points; methods that share random searches share
    their luck."""
    squares = sum(_error(row.accuracies) ** 2 for row in table)
    for space in {row.space for row in table}:
        shared = zip(*(row.random for row in table if row.space == space), strict=True)
        squares += _error([sum(each) for each in shared]) ** 2
    return fmean(row.difference for row in table), 100 * squares**0.5 / len(table)


def _error(values: Sequence[float]) -> float:
    """The standard error of their mean; NaN of one."""
    return stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")


def prepare(name: str, to: Path, counts: Sequence[int], pool: int, unused: bool = False) -> Path:
    """A part of a data set, with its pixels averaged in squares of `pool`, as one file.

    Args:
        name: Of the data set.
        to: The folder of the file.
        counts: Images to train, to validate and to test.
        pool: Pixels, each way.
        unused: All of them from what the data set has to train with and the table does not use: to choose settings by.
    """
    path = to / ("unused.npz" if unused else "images.npz")
    if path.is_file():
        return path
    data, rng = find_data(name), np.random.default_rng(0)
    if unused:
        if len(data.train) < counts[0] + sum(counts):
            raise SystemExit(
                f"{name} has {len(data.train):,} images to train with; that leaves too few beside the table"
            )
        ends = np.cumsum([counts[0], *counts])
        chosen = np.split(rng.permutation(len(data.train)), ends)[1:-1]
        sources = [data.train] * len(counts)
    else:
        sources = [data.train, data.valid, data.open_test()]
        chosen = [rng.permutation(len(images))[:count] for images, count in zip(sources, counts, strict=True)]
    taken = {}
    for split, images, those in zip(("train", "valid", "test"), sources, chosen, strict=True):
        pixels = images.images.numpy()[those].astype(np.float32)
        n, c, h, w = pixels.shape
        pooled = pixels[:, :, : h - h % pool, : w - w % pool].reshape(n, c, h // pool, pool, w // pool, pool)
        taken[f"x_{split}"] = np.rint(pooled.mean((3, 5))).astype(np.uint8)
        taken[f"y_{split}"] = images.labels.numpy()[those]
    to.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part.npz")
    np.savez_compressed(aside, class_names=np.array(data.class_names), **taken)
    aside.replace(path)
    return path


# --- the methods ------------------------------------------------------------------------------------------------------


def search(name: str, seed: int, to: Path) -> Found:
    """A run of a method, from the search to the test split.

    Raises:
        MorphogenError: It did not come to an end.
    """
    folder, method = to / f"{name}-{seed}", METHODS[name]
    if not (folder / "result.json").is_file():
        if (folder / "run.toml").is_file():
            morphogen.resume(folder)
        else:
            images = str(to / "images.npz")
            morphogen.search(method.space, images, out=folder, seed=seed, control=False, **method.values)
    _, _, trials = read(folder)
    tested = [t for t in trials if t.phase == TEST and t.proposal.origin.get("arm") == SEARCH and not t.failed]
    if not tested:
        raise MorphogenError(f"{folder} ended with no network that was tested")
    assert tested[0].architecture is not None
    return Found(_accuracy(tested[0]), _seconds(trials), most_skips(tested[0].architecture))


def _accuracy(trial: Trial) -> float:
    assert trial.outcome is not None
    return trial.outcome.metrics["accuracy"]


def _seconds(trials: Sequence[Trial]) -> float:
    return sum(t.outcome.seconds for t in trials if t.phase in (SUPERNET, SEARCH) and t.outcome is not None)


# --- random search ----------------------------------------------------------------------------------------------------


def at_random(space: str, seed: int, to: Path, budgets: Sequence[float]) -> list[float]:
    """Test accuracies of what random search ends with after each of so many seconds."""
    size = LAYERS if space == "enas-macro" else SEARCHED
    parts = assemble(parse({"space": space, "data": str(to / "images.npz"), "seed": seed, **size}, "random search"))
    folder = to / f"random-{space}-{seed}"
    found, spent, left = list[float](), 0.0, sorted(budgets)
    best: tuple[float, Architecture, Path] | None = None
    for architecture, outcome, place in _sequence(parts, seed, folder):
        spent += outcome.seconds
        if outcome.error is None and (best is None or outcome.metrics["accuracy"] > best[0]):
            best = outcome.metrics["accuracy"], architecture, place
        while left and spent >= left[0] and best is not None:
            found.append(tested(parts, seed, best[1], best[2]))
            left.pop(0)
        if not left:
            break
    by_budget = dict(zip(sorted(budgets), found, strict=True))
    return [by_budget[budget] for budget in budgets]


def _sequence(parts: Parts, seed: int, folder: Path) -> Iterator[tuple[Architecture, Outcome, Path]]:
    """Random architectures without end, trained as briefly as in a search."""
    rng, known, number = np.random.default_rng(seed), set[bytes](), 0
    while True:
        architecture = parts.space.sample(rng)
        if (identity := parts.space.identity(architecture)) in known:
            continue
        known.add(identity)
        place = folder / f"{number}"
        yield architecture, judged(parts.judges.search, architecture, number, place / "briefly"), place
        number += 1


def tested(parts: Parts, seed: int, architecture: Architecture, folder: Path) -> float:
    """Accuracy on the test split, trained anew."""
    assert parts.judges.final is not None
    assert parts.judges.test is not None
    anew = folder / "anew"
    judged(parts.judges.final, architecture, seed, anew)
    return judged(parts.judges.test, architecture, seed, folder / "test", warm_start=anew).metrics["accuracy"]


def judged(
    judge: Estimator, architecture: Architecture, seed: int, folder: Path, warm_start: Path | None = None
) -> Outcome:
    """What an estimator says, which is asked once."""
    said = folder / "outcome.json"
    if not said.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        proposal = Proposal(architecture, warm_start=None if warm_start is None else 0)
        outcome = judge(proposal, Context(seed, folder=folder, warm_start=warm_start))
        said.write_text(json.dumps({"metrics": outcome.metrics, "seconds": outcome.seconds, "error": outcome.error}))
    return Outcome(**json.loads(said.read_text()))


# --- the table --------------------------------------------------------------------------------------------------------


def rows(names: Sequence[str], seeds: Sequence[int], arms: int | None, to: Path, workers: int) -> list[Row]:
    """Run what is missing, `workers` at a time."""
    found: dict[str, dict[int, Found]] = {name: {} for name in names}
    random: dict[str, dict[int, float]] = {name: {} for name in names}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        searches = {pool.submit(search, name, seed, to): (name, seed) for seed in seeds for name in names}
        for done in as_completed(searches):
            name, seed = searches[done]
            try:
                found[name][seed] = done.result()
                print(f"{name}, seed {seed}: {found[name][seed]}", flush=True)
            except MorphogenError as error:
                print(f"{name}, seed {seed}: {error}", flush=True)
        running = {}
        for space in dict.fromkeys(METHODS[name].space for name in names):
            those = [name for name in names if METHODS[name].space == space and found[name]]
            budgets = [fmean(f.seconds for f in found[name].values()) for name in those]
            # a control of k groups is best given sqrt(k) times the size of each (Dunnett 1955)
            for seed in range(arms or round(len(seeds) * len(those) ** 0.5)):
                running[pool.submit(at_random, space, seed, to, budgets)] = seed, those
        for arm in as_completed(running):
            seed, those = running[arm]
            for name, accuracy in zip(those, arm.result(), strict=True):
                random[name][seed] = accuracy
            print(f"random search, seed {seed}, beside {', '.join(those)}: {arm.result()}", flush=True)
    return [
        Row(
            name,
            METHODS[name].space,
            [found[name][s] for s in sorted(found[name])],
            [random[name][s] for s in sorted(random[name])],
        )
        for name in names
        if found[name]
    ]


def page(table: Sequence[Row], command: str, about: str) -> str:
    """The table as Markdown."""
    lines = [
        "# Is weight sharing worth it?", "", about, "", f"    {command}", "",
        "| method | seeds | seconds | found, % | random search, % | difference, points | its error | skips | found, seed by seed; random search |",
        "|---|---|---|---|---|---|---|---|---|",
        *("| " + " | ".join(row.cells) + " |" for row in table),
    ]  # fmt: skip
    mean, error = overall(table)
    return "\n".join([*lines, "", f"On average over the methods: {mean:+.2f} +- {error:.2f} points.", ""])


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fashion-mnist", help="a name that `morphogen list data` shows, or a .npz")
    parser.add_argument("--to", type=Path, required=True, help="where runs are, and go on")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--arms",
        type=int,
        help="random searches of a space; by default as many as seeds, times the root of its methods",
    )
    parser.add_argument("--workers", type=int, default=2, help="runs at a time, each on one core")
    parser.add_argument("--images", type=int, nargs=3, default=[4000, 1000, 10_000], help="to train, validate and test")
    parser.add_argument("--pool", type=int, default=2, help="pixels averaged, each way")
    parser.add_argument("--write", type=Path, help="a Markdown file for the table")
    asked = parser.parse_args(words)
    prepare(asked.data, asked.to, asked.images, asked.pool)
    table = rows(asked.methods, asked.seeds, asked.arms, asked.to, asked.workers)
    if not table:
        print("no run came to an end")
        return 1
    print("", HEAD, *(LINE.format(*row.cells) for row in table), sep="\n")
    if asked.write is not None:
        sizes = " + ".join(f"{count:,}" for count in asked.images)
        about = (
            f"{asked.data}, {sizes} images to train, validate and test, pixels averaged {asked.pool} by {asked.pool}; three cells "
            "and eight channels (`enas-macro`: twelve layers). A search has the seconds of the table, on one core, and random "
            "search has as many. What either found is trained anew from new weights, once, by one recipe; the test split judges "
            "that. Errors are standard errors. `skips` are the most operations of a cell that only pass their input on."
        )
        command = f"python benchmarks/methods.py --data {asked.data} --to DIR"
        asked.write.write_text(page(table, command, about), encoding="utf-8")
    return 0


if __name__ == "__main__":  # the workers import this file, too
    sys.exit(main())
