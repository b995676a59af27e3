"""What does a short training foretell? Random networks, trained briefly and for longer, on small images of clothes.

    python benchmarks/regimes.py --space enas-macro --to regimes-layers --networks 24 --epochs 9 27 --dropout 0 0.5

The first row is the training by which `methods.py` searches; each of the others is a final one, of so many epochs, with so
many of the features in front of the classifier dropped. A rank correlation (Spearman) near zero, with what the networks of
the last row end at, says that choosing by the other is choosing by lot. The images are training images that the table of
`methods.py` does not use, so that settings can be chosen by them. What is there already is not repeated.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.stats import spearmanr

from methods import LAYERS, METHODS, SEARCHED, judged, prepare, tested
from morphogen.config import parse
from morphogen.runs.assembly import Parts, assemble

LINE = "{:<26} {:>9} {:>9} {:>7} {:>13}"
HEAD = LINE.format("training", "networks", "accuracy", "spread", "correlation")


class Regime(NamedTuple):
    """A final training."""

    epochs: int
    dropout: float | None

    def __str__(self) -> str:
        return f"{self.epochs} epochs" + ("" if self.dropout is None else f", dropout {self.dropout:g}")

    def parts(self, space: str, images: Path) -> Parts:
        """Of a run that ends with it."""
        size: dict[str, Any] = LAYERS if space == "enas-macro" else SEARCHED
        final = {
            **size["final"],
            "skeleton": {} if self.dropout is None else {"dropout": self.dropout},
            "training": {**size["final"]["training"], "epochs": self.epochs},
        }
        return assemble(parse({"space": space, "data": str(images), **size, "final": final}, "regimes"))


def trained(number: int, space: str, images: Path, regimes: Sequence[Regime]) -> list[float]:
    """Accuracies of one random network: on the validation split after a training of the search, on the test split after
    each of the regimes."""
    found = []
    for regime in regimes:
        parts, place = regime.parts(space, images), images.parent / f"{space}-{number}"
        architecture = parts.space.sample(np.random.default_rng(number))
        if not found:
            outcome = judged(parts.judges.search, architecture, number, place / "briefly")
            found.append(outcome.metrics["accuracy"])
        found.append(tested(parts, number, architecture, place / str(regime)))
    return found


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="fashion-mnist", help="a name that `morphogen list data` shows, or a .npz")
    parser.add_argument("--space", default="darts", choices=sorted({method.space for method in METHODS.values()}))
    parser.add_argument("--to", type=Path, required=True, help="where networks are, and go on")
    parser.add_argument("--networks", type=int, default=12, help="at random; three or more")
    parser.add_argument("--epochs", type=int, nargs="+", default=[9, 27])
    parser.add_argument("--dropout", type=float, nargs="+", help="by default that of `methods.py`")
    parser.add_argument("--workers", type=int, default=2, help="networks at a time, each on one core")
    parser.add_argument("--images", type=int, nargs=3, default=[4000, 1000, 10_000], help="to train, validate and test")
    parser.add_argument("--pool", type=int, default=2, help="pixels averaged, each way")
    asked = parser.parse_args(words)
    if asked.networks < 3:
        parser.error(f"--networks {asked.networks}: a correlation takes three or more")
    images = prepare(asked.data, asked.to, asked.images, asked.pool, unused=True)
    regimes = [Regime(*each) for each in product(sorted(asked.epochs), sorted(asked.dropout or [None], reverse=True))]
    with ProcessPoolExecutor(asked.workers, mp_context=get_context("spawn")) as pool:
        one = partial(trained, space=asked.space, images=images, regimes=regimes)
        columns = list(zip(*pool.map(one, range(asked.networks)), strict=True))
    print(HEAD)
    for name, column in zip(["of the search", *map(str, regimes)], columns, strict=True):
        accuracy, spread = 100 * fmean(column), 100 * stdev(column)
        correlation = spearmanr(column, columns[-1]).statistic
        print(LINE.format(name, len(column), f"{accuracy:.2f}", f"{spread:.2f}", f"{correlation:+.2f}"))
    return 0


if __name__ == "__main__":  # the workers import this file, too
    sys.exit(main())
