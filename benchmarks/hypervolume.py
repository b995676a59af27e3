"""How much of the trade-off between accuracy and latency a strategy finds, beside pymoo's and Optuna's.

    python benchmarks/hypervolume.py --seeds 50 --budget 200 --device pixel3 --rivals /tmp/rivals/bin/python

Protocol: NAS-Bench-201, CIFAR-10, validation accuracy after 200 epochs and the latency of a device, both from the
table; every query counts, repeated ones too. The hypervolume of what was found, both objectives scaled so that the
table's ideal point is 0 and the nadir point of its Pareto front is 1, over that of the table's whole front. Mean
and standard error over equal seeds. What others propose runs in the Python of `--rivals`, an environment with `pip
install pymoo optuna`; they are no dependencies of morphogen, and what is missing is said. They get the six edges as
they would from their users: categories of five operations (Optuna), integers 0 to 4 with their default operators for
integers (pymoo). Data: `--data FOLDER`, or MORPHOGEN_DATA, or `../shared/data`, with `nasbench201/nasbench201.npz`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple, final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ("1<-0", "2<-0", "2<-1", "3<-0", "3<-1", "3<-2")
RIVALS = ("pymoo-nsga2", "optuna-nsga2", "optuna-motpe")
"""What this program runs with `--rival NAME`, in the other environment."""


@final
class Table(NamedTuple):
    """Two losses for each cell, scaled to ideal and nadir, and the hypervolume of the best of them."""

    losses: np.ndarray[Any, np.dtype[np.float64]]
    best: float

    def row(self, operations: Any) -> int:
        """Which row a cell is, from the codes of its operations."""
        return _rows()[tuple(int(o) for o in operations)]


@cache
def _file(data: str) -> Any:
    return np.load(Path(data) / "nasbench201" / "nasbench201.npz")


@cache
def _rows(data: str = "") -> dict[tuple[int, ...], int]:
    return {tuple(cell): i for i, cell in enumerate(_file(data or _DATA[0])["ops"].tolist())}


_DATA = [""]


@cache
def table(data: str, device: str) -> Table:
    """The table, with the latency of a device."""
    _DATA[0] = data
    columns = _file(data)
    losses = np.stack([-columns["cifar10/val_acc_200"], columns[f"latency_ms/{device}"]], 1).astype(float)
    front = losses[staircase(losses)]
    scaled = (losses - front.min(0)) / (front.max(0) - front.min(0))
    return Table(scaled, volume(scaled))


def staircase(losses: Any) -> list[int]:
    """The Pareto front of two losses, by the first one."""
    found, least = [], np.inf
    for i in np.lexsort((losses[:, 1], losses[:, 0])).tolist():
        if losses[i, 1] < least:
            found.append(i)
            least = losses[i, 1]
    return found


def volume(losses: Any) -> float:
    """The hypervolume of two losses up to (1, 1)."""
    inside = losses[(losses < 1).all(1)]
    front = inside[staircase(inside)]
    return float(((1 - front[:, 0]) * -np.diff(front[:, 1], prepend=1.0)).sum())


# --- ours -------------------------------------------------------------------------------------------------------------


def ours(name: str, data: str, device: str, seed: int, budget: int, repeats: bool) -> tuple[list[int], float]:
    """The rows that a strategy of morphogen asks for, and its seconds."""
    from morphogen.catalog import component
    from morphogen.spaces.nasbench201 import NASBENCH201
    from morphogen.strategies import Deduplicated
    from morphogen.trial import Outcome, Trial

    judged = table(data, device)
    strategy = component("morphogen.strategies", name, "strategy")(NASBENCH201)
    strategy = strategy if repeats else Deduplicated(strategy, NASBENCH201)
    rows: list[int] = []
    start = time.process_time()
    for id in range(budget):
        proposal = strategy.ask([], np.random.default_rng((seed, id, 0)))
        if proposal is None:
            break
        assert proposal.architecture is not None
        rows.append(judged.row([OPERATIONS.index(str(proposal.architecture[e])) for e in EDGES]))
        losses = tuple(judged.losses[rows[-1]].tolist())
        strategy.tell(Trial(id, "search", proposal, Outcome(), losses), np.random.default_rng((seed, id, 1)))
    return rows, time.process_time() - start


# --- others -----------------------------------------------------------------------------------------------------------


def rival(name: str, data: str, device: str, seed: int, budget: int) -> tuple[list[int], float]:
    """The rows that somebody else's algorithm asks for, and its seconds. Runs in the other environment."""
    run = _pymoo if name.startswith("pymoo") else _optuna
    start = time.process_time()
    rows = run(name, table(data, device), seed, budget)
    return rows[:budget], time.process_time() - start


def _pymoo(name: str, judged: Table, seed: int, budget: int) -> list[int]:
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import Problem
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.optimize import minimize

    rows: list[int] = []

    class Cells(Problem):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(n_var=6, n_obj=2, xl=0, xu=4, vtype=int)

        def _evaluate(self, x: Any, out: Any, *args: Any, **kwargs: Any) -> None:
            found = [judged.row(cell) for cell in x]
            rows.extend(found)
            out["F"] = judged.losses[found]

    # as pymoo's documentation has integers; its population of 100 would leave one generation of 200 queries
    operators = {"sampling": IntegerRandomSampling(), "eliminate_duplicates": True}
    operators["crossover"] = SBX(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair())
    operators["mutation"] = PM(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair())
    algorithm = NSGA2(pop_size=20, **operators)
    minimize(Cells(), algorithm, ("n_eval", budget), seed=seed, verbose=False)
    return rows


def _optuna(name: str, judged: Table, seed: int, budget: int) -> list[int]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler: Any = (
        optuna.samplers.TPESampler(seed=seed)
        if name.endswith("motpe")
        else optuna.samplers.NSGAIISampler(seed=seed, population_size=20)
    )
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    rows: list[int] = []

    def objective(trial: Any) -> tuple[float, ...]:
        rows.append(judged.row([OPERATIONS.index(trial.suggest_categorical(e, OPERATIONS)) for e in EDGES]))
        return tuple(judged.losses[rows[-1]].tolist())

    study.optimize(objective, n_trials=budget)
    return rows


# --- side by side -----------------------------------------------------------------------------------------------------


def missing(python: str) -> dict[str, str]:
    """The rivals that cannot run, and why."""
    reasons = {}
    for name in RIVALS:
        package = name.partition("-")[0]
        try:
            done = subprocess.run([python, "-c", f"import {package}"], capture_output=True, check=False)
        except OSError as error:
            reasons[name] = f"{python} cannot be run: {error.strerror}"
            continue
        if done.returncode:
            reasons[name] = f"{package} is not installed there: {python} -m pip install {package}"
    return reasons


def _kept(folder: Path | None, name: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    file = None if folder is None else folder / f"{options.device}-{options.budget}-{name}-{seed}.json"
    if file is not None and file.is_file():
        return dict(json.loads(file.read_text()))
    if name in RIVALS:
        command = [
            options.rivals,
            __file__,
            "--rival",
            name,
            "--first-seed",
            str(seed),
            "--budget",
            str(options.budget),
        ]
        command += ["--device", options.device, "--data", options.data]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{name} with seed {seed} failed: {done.stderr.strip().splitlines()[-1:]}")
        result = json.loads(done.stdout.splitlines()[-1])
    else:
        base, _, repeats = name.partition("+")
        rows, seconds = ours(base, options.data, options.device, seed, options.budget, bool(repeats))
        result = {"rows": rows, "seconds": seconds}
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(result))
        partial.replace(file)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--strategies", default="random-search,nsga2,ehvi", help="NAME+repeats: it may repeat itself")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budget", type=int, default=200)
    parser.add_argument("--device", default="pixel3")
    parser.add_argument("--rivals", default=sys.executable, help="a Python that has pymoo and optuna")
    parser.add_argument("--rival", choices=RIVALS, help="run one of others once, and print its rows")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--to", type=Path, help="folder where runs are kept")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--data", default=os.environ.get("MORPHOGEN_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))
    )
    options = parser.parse_args()
    try:
        judged = table(options.data, options.device)
    except (OSError, KeyError) as error:
        print(f"hypervolume: no latency of '{options.device}' in {options.data}/nasbench201: {error}", file=sys.stderr)
        return 2
    if options.rival:
        rows, seconds = rival(options.rival, options.data, options.device, options.first_seed, options.budget)
        print(json.dumps({"rows": rows, "seconds": seconds}))
        return 0
    cannot = missing(options.rivals)
    for name, reason in cannot.items():
        print(f"not run: {name}: {reason}", file=sys.stderr)
    names = [*options.strategies.split(","), *(n for n in RIVALS if n not in cannot)]
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    found = []
    with ProcessPoolExecutor(options.workers) as executor:
        for name in names:
            runs = list(executor.map(_kept, repeat(options.to), repeat(name), seeds, repeat(options)))
            found.append(_measured(name, runs, judged, options.budget))
            if not options.json:
                _print(found[-1])
    if options.json:
        print(json.dumps(found, indent=1))
    return 0


def _measured(name: str, runs: list[dict[str, Any]], judged: Table, budget: int) -> dict[str, Any]:
    row: dict[str, Any] = {"strategy": name, "seeds": len(runs)}
    for at in sorted({min(50, budget), min(100, budget), budget}):
        shares = np.array([volume(judged.losses[run["rows"][:at]]) / judged.best for run in runs])
        error = float(shares.std(ddof=1) / len(shares) ** 0.5) if len(shares) > 1 else 0.0
        row[f"hypervolume@{at}"] = {"mean": float(shares.mean()), "se": error}
    row["different"] = float(np.mean([len(set(run["rows"])) for run in runs]))
    row["seconds"] = float(np.mean([run["seconds"] for run in runs]))
    return row


def _print(row: dict[str, Any]) -> None:
    shares = ", ".join(f"{k[12:]}: {v['mean']:.4f}+-{v['se']:.4f}" for k, v in row.items() if k.startswith("hyper"))
    print(
        f"{row['strategy']:18s} share of the hypervolume after {shares}; {row['different']:.0f} different cells, "
        f"{row['seconds']:.1f} s a run, {row['seeds']} seeds",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
