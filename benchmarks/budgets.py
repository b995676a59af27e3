"""Do runs keep their time, and does `morphogen profile` know beforehand what they take?

    python benchmarks/budgets.py kept --to out            ten runs with budgets of 1 to 5 minutes: when they end
    python benchmarks/budgets.py foretold --to out        ten runs without one: expected against true hours

Each run is a fresh `morphogen` process on digits and a line of `out/*.jsonl`; what is there already is not
run again, so that the whole can be done in pieces (`--only 0,3`). A budget is kept where the prompt is back within 5 %
of it or 5 seconds, whichever is more. A forecast is good within a factor of 1.5.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

KEPT: tuple[tuple[str, str, int], ...] = (
    ("darts", "regularized-evolution", 60),
    ("nasbench201", "random-search", 60),
    ("darts", "bayesian", 90),
    ("mobilenet", "regularized-evolution", 90),
    ("darts", "darts", 120),
    ("nasbench201", "asha", 120),
    ("nasnet", "regularized-evolution", 180),
    ("darts", "single-path", 180),
    ("nasbench201", "local-search", 240),
    ("darts", "regularized-evolution", 300),
)
"""Space, strategy or method, seconds."""
FORETOLD: tuple[tuple[str, str, int, int], ...] = (
    ("darts", "random-search", 6, 3),
    ("darts", "regularized-evolution", 10, 2),
    ("darts", "asha", 12, 6),
    ("nasbench201", "regularized-evolution", 10, 3),
    ("nasbench201", "local-search", 8, 3),
    ("mobilenet", "random-search", 4, 2),
    ("mobilenet", "asha", 6, 4),
    ("nasnet", "random-search", 4, 2),
    ("darts", "darts", 1, 4),
    ("darts", "single-path", 6, 4),
)
"""Space, strategy or method, trials, epochs of a trial in the search."""


def kept(number: int, to: Path) -> dict[str, Any]:
    """Run one; what it took."""
    space, strategy, budget = KEPT[number]
    out = to / f"kept-{number}"
    command = ["search", "--space", space, "--data", "digits", "--strategy", strategy, "--budget", f"{budget}s"]
    seconds = _run([*command, "--out", str(out), "--json"])[0]
    off = seconds - budget
    row = {"space": space, "strategy": strategy, "budget": budget, "seconds": seconds, "off": off}
    return {**row, "good": abs(off) <= max(5.0, 0.05 * budget)}


def foretold(number: int, to: Path) -> dict[str, Any]:
    """Foretell one, then run it."""
    space, strategy, trials, epochs = FORETOLD[number]
    toml = to / f"foretold-{number}.toml"
    final = "[final]\nfinalists = 1\nseeds = 1\ntraining = { epochs = 4 }\n"
    toml.write_text(
        f'space = "{space}"\ndata = "digits"\nstrategy = "{strategy}"\ntrials = {trials}\n'
        f"training = {{ epochs = {epochs} }}\n{final}"
    )
    expected = _run(["profile", str(toml), "--sample", "4", "--json"])[1]["expected_seconds"]
    seconds = _run(["search", str(toml), "--out", str(to / f"foretold-{number}"), "--json"])[0]
    row = {"space": space, "strategy": strategy, "trials": trials, "expected": expected, "seconds": seconds}
    return {**row, "factor": expected / seconds, "good": 1 / 1.5 <= expected / seconds <= 1.5}


def _run(words: list[str]) -> tuple[float, dict[str, Any]]:
    """Seconds until the prompt is back, and what was printed."""
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "morphogen.cli", *words], capture_output=True, text=True, check=False)
    seconds = time.monotonic() - begun
    if done.returncode:
        raise SystemExit(f"budgets: morphogen {' '.join(words)} failed:\n{done.stderr[-2000:]}")
    return seconds, json.loads(done.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=["kept", "foretold"])
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--only", help="numbers of runs, such as 0,3; by default all")
    arguments = parser.parse_args()
    arguments.to.mkdir(parents=True, exist_ok=True)
    record = arguments.to / f"{arguments.what}.jsonl"
    lines = record.read_text().splitlines() if record.is_file() else []
    rows = {row["number"]: row for row in map(json.loads, lines)}
    one, all_of = (kept, KEPT) if arguments.what == "kept" else (foretold, FORETOLD)
    wanted = range(len(all_of)) if arguments.only is None else [int(n) for n in arguments.only.split(",")]
    for number in wanted:
        if number not in rows:
            rows[number] = {"number": number, **one(number, arguments.to)}
            with record.open("a") as file:
                file.write(json.dumps(rows[number]) + "\n")
        print(json.dumps(rows[number]), flush=True)
    print(f"{sum(row['good'] for row in rows.values())} of {len(rows)} good")
    return 0


if __name__ == "__main__":
    sys.exit(main())
