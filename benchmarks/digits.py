"""Does a search of a few minutes beat a plain network? Three fixed splits of scikit-learn's digits, one run each.

Run `python benchmarks/digits.py --budget 3m`. Each run is `examples/digits.toml` with another split and budget.
The goal: the mean test error of the winner is not above that of four plain convolutions plus 0.2 points, with at most
a third of their parameters or of their multiply-adds. All is chosen by validation; test accuracy is only printed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import morphogen
from morphogen.config import duration, load

EXAMPLE = Path(__file__).parents[1] / "examples" / "digits.toml"
ALLOWED_POINTS = 0.2
ALLOWED_SHARE = 1 / 3
WINNER, PLAIN = "winner", "plain"
LINE = "{:<7} {:<24} {:>10} {:>8} {:>10} {:>8}  {}"


def run(split: int, budget: float, workers: int, out: Path) -> list[dict[str, Any]]:
    """The comparison of one run, on its test split."""
    settings = {**load(EXAMPLE), "budget": budget, "workers": workers, "split_seed": split}
    result = morphogen.search(out=out / f"split-{split}", **settings)
    searched = result.json["phases"]
    print(LINE.format("split", "network", "accuracy", "error", "parameters", "MACs", ""))
    rows: list[dict[str, Any]] = result.json["comparison"]
    for row in rows:
        show(split, row)
    counts = ", ".join(f"{name} {phase['trials']}" for name, phase in searched.items())
    print(f"        {result.json['seconds']:.0f} s; trials: {counts}; {result.verdict.answer}\n", flush=True)
    return rows


def show(split: object, row: dict[str, Any]) -> None:
    """A line of the table."""
    accuracy = 100 * row["accuracy"]
    numbers = f"{accuracy:.2f} %", f"{100 - accuracy:.2f}", f"{row['params']:,.0f}", f"{row['macs']:,.0f}"
    print(LINE.format(split, row["name"], *numbers, row["note"]))


def means(runs: Sequence[Sequence[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """By name, the mean over those splits that have a row of that name."""
    found: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(row["name"] for rows in runs for row in rows):
        same = [row for rows in runs for row in rows if row["name"] == name]
        numbers = {key: fmean(row[key] for row in same) for key in ("accuracy", "params", "macs")}
        found[name] = {"name": name, "note": f"mean of {len(same)}", **numbers}
    return found


def reached(found: dict[str, dict[str, Any]]) -> bool:
    """Whether the goal is reached; says so."""
    winner, plain = found[WINNER], found[PLAIN]
    worse = 100 * (plain["accuracy"] - winner["accuracy"])
    shares = {key: winner[key] / plain[key] for key in ("params", "macs")}
    good = worse <= ALLOWED_POINTS and min(shares.values()) <= ALLOWED_SHARE
    print(
        f"\nthe winner's mean error is {worse:+.2f} points from the plain network's "
        f"(at most +{ALLOWED_POINTS} allowed), with {shares['params']:.2f} of its parameters "
        f"and {shares['macs']:.2f} of its MACs (one of them at most {ALLOWED_SHARE:.2f}): "
        f"{'reached' if good else 'NOT reached'}"
    )
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", default="3m", help="for each split, such as 3m")
    parser.add_argument("--splits", type=int, nargs="+", default=[0, 1, 2], help="their seeds")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="a new folder for the runs; by default a temporary one")
    parser.add_argument("--json", action="store_true", help="print the means as JSON at the end")
    asked = parser.parse_args()
    budget = duration(asked.budget)
    assert isinstance(budget, float)
    with tempfile.TemporaryDirectory(prefix="morphogen-digits-") as temporary:
        runs = [run(split, budget, asked.workers, asked.out or Path(temporary)) for split in asked.splits]
    found = means(runs)
    for row in found.values():
        show("mean", row)
    good = reached(found)
    if asked.json:
        print(json.dumps({"means": found, "reached": good}))
    raise SystemExit(not good)


if __name__ == "__main__":
    main()
