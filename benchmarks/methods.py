"""Is a search worth it? Every method against random search at equal budget, on small images of clothes, several seeds each.

    python benchmarks/methods.py --data fashion-mnist --to methods-fashion --write docs/results.md

Each run searches, spends as much again on a random arm, trains the finalists of both anew, and opens the test split once
for the best training of each arm. What counts is the difference between the two. A run that is there already is not
repeated, one that was interrupted goes on; so does the whole program.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

import morphogen
from morphogen.methods.phases import RANDOM, SEARCH, TEST
from morphogen.protocols import MorphogenError
from morphogen.runs.reading import read
from morphogen.training.data import data as find_data

BATCH = 16
"""Of 4,000 images, so that a short training still has steps enough for the deeper networks that supernets prefer: in batches
of 64, twelve epochs are 750 steps, and what has few convolutions is ahead."""

SUMMED = {"epochs": 4, "batch_size": BATCH}
"""A supernet of weighted sums."""
SAMPLED = {"epochs": 12, "batch_size": BATCH}
"""A supernet that trains one path a step."""

METHODS: dict[str, dict[str, Any]] = {
    "darts": SUMMED,
    "darts-second-order": SUMMED,
    "gdas": SAMPLED,
    "drnas": SUMMED,
    "pc-darts": SUMMED,
    "single-path": SAMPLED,
    "enas": SAMPLED,
    "regularized-evolution": {},
    "bayesian": {},
    "local-search": {},
}
"""With the options of each."""

SIZE: dict[str, Any] = {
    "trials": 12,
    "skeleton": {"channels": 8, "cells": 3},
    "training": {"epochs": 2, "batch_size": BATCH},
    "final": {"finalists": 1, "seeds": 2, "training": {"epochs": 8, "batch_size": BATCH}},
}
LINE = "{:<22} {:>5} {:>9} {:>9} {:>11} {:>8}"


@dataclass(frozen=True)
class Row:
    """The test accuracies, in percent, of a method's runs and of their random arms."""

    method: str
    searched: list[float]
    random: list[float]

    @property
    def differences(self) -> list[float]:
        """Of each run, in points."""
        return [ours - theirs for ours, theirs in zip(self.searched, self.random, strict=True)]

    @property
    def text(self) -> str:
        """A line of the table."""
        spread = f"{stdev(self.differences):.2f}" if len(self.differences) > 1 else "-"
        return LINE.format(
            self.method, len(self.searched), f"{fmean(self.searched):.2f}", f"{fmean(self.random):.2f}",
            f"{fmean(self.differences):+.2f}", spread,
        )  # fmt: skip


HEAD = LINE.format("method", "seeds", "search", "random", "difference", "spread")


def prepare(name: str, to: Path, counts: Sequence[int], pool: int) -> Path:
    """A part of a data set, with its pixels averaged in squares of `pool`, as one file."""
    path = to / "images.npz"
    if path.is_file():
        return path
    data, rng = find_data(name), np.random.default_rng(0)
    taken = {}
    for split, images, count in zip(
        ("train", "valid", "test"), (data.train, data.valid, data.open_test()), counts, strict=True
    ):
        chosen = rng.permutation(len(images))[:count]
        pixels = images.images.numpy()[chosen].astype(np.float32)
        n, c, h, w = pixels.shape
        pooled = pixels[:, :, : h - h % pool, : w - w % pool].reshape(n, c, h // pool, pool, w // pool, pool)
        taken[f"x_{split}"] = np.rint(pooled.mean((3, 5))).astype(np.uint8)
        taken[f"y_{split}"] = images.labels.numpy()[chosen]
    to.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part.npz")
    np.savez_compressed(aside, class_names=np.array(data.class_names), **taken)
    aside.replace(path)
    return path


def run(method: str, seed: int, images: Path, to: Path, workers: int) -> tuple[float, float] | None:
    """The test accuracies of search and random arm of one run, in percent; None where an arm has none."""
    folder = to / f"{method}-{seed}"
    if not (folder / "result.json").is_file():
        if (folder / "run.toml").is_file():
            morphogen.resume(folder)
        else:
            morphogen.search(
                "enas-micro" if method == "enas" else "darts", str(images), strategy=method, out=folder, seed=seed,
                workers=workers, strategy_options=METHODS[method], **SIZE,
            )  # fmt: skip
    _, _, trials = read(folder)
    tested = {
        str(t.proposal.origin.get("arm")): 100 * t.outcome.metrics["accuracy"]
        for t in trials
        if t.phase == TEST and t.outcome is not None and not t.failed
    }
    return (tested[SEARCH], tested[RANDOM]) if {SEARCH, RANDOM} <= set(tested) else None


def page(rows: Sequence[Row], command: str, about: str) -> str:
    """The table as Markdown."""
    lines = [
        "# Is a search worth it?", "", about, "", f"    {command}", "",
        "| method | seeds | search, % | random arm, % | difference, points | spread of it |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in rows:
        cells = row.text.split()
        lines.append("| " + " | ".join(cells) + " |")
    overall = fmean(d for row in rows for d in row.differences)
    return "\n".join([*lines, "", f"On average over all runs: {overall:+.2f} points.", ""])


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fashion-mnist", help="a name that `morphogen list data` shows, or a .npz")
    parser.add_argument("--to", type=Path, required=True, help="where runs are, and go on")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--images", type=int, nargs=3, default=[4000, 1000, 10_000], help="to train, validate and test")
    parser.add_argument("--pool", type=int, default=2, help="pixels averaged, each way")
    parser.add_argument("--write", type=Path, help="a Markdown file for the table")
    asked = parser.parse_args(words)
    images = prepare(asked.data, asked.to, asked.images, asked.pool)
    print(HEAD, flush=True)
    found: dict[str, list[tuple[float, float]]] = {method: [] for method in asked.methods}
    for seed in range(asked.seeds):  # a seed of every method before the next seed of any
        for method in asked.methods:
            try:
                pair = run(method, seed, images, asked.to, asked.workers)
            except MorphogenError as error:
                pair = None
                print(f"{method}, seed {seed}: {error}", flush=True)
            if pair is not None:
                found[method].append(pair)
                print(Row(method, [pair[0]], [pair[1]]).text, flush=True)
    rows = [Row(m, [s for s, _ in pairs], [r for _, r in pairs]) for m, pairs in found.items() if pairs]
    if not rows:
        print("no run came to an end in both arms")
        return 1
    print("", HEAD, *(row.text for row in rows), sep="\n")
    if asked.write is not None:
        sizes = " + ".join(f"{count:,}" for count in asked.images)
        about = (
            f"{asked.data}, {sizes} images to train, validate and test, pixels averaged {asked.pool} by {asked.pool}; cells in a skeleton of "
            f"{SIZE['skeleton']['cells']} cells and {SIZE['skeleton']['channels']} channels. The random arm has the seconds of the search. "
            "Test accuracy of the best training of each arm's winner."
        )
        command = f"python benchmarks/methods.py --data {asked.data} --seeds {asked.seeds} --to DIR"
        asked.write.write_text(page(rows, command, about), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
