"""How many architectures a strategy has to try: queries to the optimum and regret, on tables and formulas.

    python benchmarks/efficiency.py nasbench201/cifar10 --strategies bayesian,regularized-evolution --seeds
    20 --budget 300

Protocol: one proposal at a time, each query reveals one architecture's value (its own phase of the strategy
is told at once); simple regret is the best value of the table minus the best found, in the metric's own
unit. A run that never finds the optimum counts with 300 queries. Runs are independent and kept as JSON
under `--to`, so that a broken-off benchmark goes on where it was. Data: `--data FOLDER`, or MORPHOGEN_DATA,
or `../shared/data`, with `nasbench201/` and `nasbench101/` as `load.py` and `.npz`; the formulas
(`formula/...`) need none.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import math
import os
import statistics
import sys
import time
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from morphogen.catalog import component
from morphogen.runs.tables import table as find_table
from morphogen.space import Architecture, Choice, Cost, Limit, Space, When
from morphogen.strategies.deduplicated import Deduplicated
from morphogen.trial import Outcome, Proposal, Trial

ON_POLICY = {"reinforce", "ppo"}
NEVER = 300


@final
@dataclass(frozen=True)
class Problem:
    """A space and its values: more is better, NaN where an architecture fails."""

    space: Space
    value: Callable[[Architecture], float]
    optimum: float


# --- NAS-Bench-201: a cell of four nodes ----------------------------------------------------------------------------

CELL_OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
CELL_EDGES = ("1<-0", "2<-0", "2<-1", "3<-0", "3<-1", "3<-2")


def cell_identity(architecture: Architecture) -> bytes:
    """Dong & Yang 2020 (arXiv:2001.00326), the benchmark's unique string with zeroed edges removed: 6,466 are left."""
    nodes = ["0"]
    for target in range(1, 4):
        terms = []
        for source in range(target):
            operation = str(architecture[f"{target}<-{source}"])
            if operation == "none" or nodes[source] == "#":
                continue
            terms.append(nodes[source] if operation == "skip_connect" else f"({nodes[source]})@{operation}")
        nodes.append("+".join(sorted(terms)) if terms else "#")
    return nodes[-1].encode()


@cache
def _module(folder: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"table_{zlib.crc32(folder.encode())}", Path(folder) / "load.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def nasbench201(data: Path, column: str) -> Problem:
    bench = _module(str(data / "nasbench201")).Bench201()
    sign, values = (-1.0, bench.column(column[1:])) if column.startswith("-") else (1.0, bench.column(column))
    space = Space(tuple(Choice(e, CELL_OPERATIONS) for e in CELL_EDGES), canonical=cell_identity, name="nasbench201")
    order = ("1<-0", "2<-0", "2<-1", "3<-0", "3<-1", "3<-2")
    return Problem(
        space, lambda a: sign * float(values[bench.index([a[e] for e in order])]), float((sign * values).max())
    )


# --- NAS-Bench-101: any graph of 7 vertices and 9 edges ---------------------------------------------------------------


def graph_identity(architecture: Architecture) -> bytes:
    bench = _module(_FOLDER101[0])
    pruned = bench.prune(*_spec(architecture))
    return b"" if pruned is None else bench.cell_hash(*pruned).encode()


_FOLDER101 = [""]


def _spec(architecture: Architecture) -> tuple[np.ndarray, list[str]]:
    matrix = np.zeros((7, 7), int)
    for target in range(1, 7):
        for source in architecture[f"{target}/inputs"]:
            matrix[int(source), target] = 1
    return matrix, ["input", *(str(architecture[f"{v}/op"]) for v in range(1, 6)), "output"]


def nasbench101(data: Path) -> Problem:
    _FOLDER101[0] = str(data / "nasbench101")
    module = _module(_FOLDER101[0])
    bench = module.Bench101()
    choices: list[Choice] = []
    for v in range(1, 7):
        choices.append(Choice(f"{v}/inputs", tuple(str(u) for u in range(v)), pick=(0 if v < 6 else 1, v)))
        if v < 6:
            choices.append(Choice(f"{v}/op", module.OPS))
    edges = Cost("edges", {((f"{v}/inputs", str(u)),): 1.0 for v in range(1, 7) for u in range(v)})
    space = Space(tuple(choices), limits=(Limit(edges, 9.0),), canonical=graph_identity, name="nasbench101")

    def value(architecture: Architecture) -> float:
        try:
            return float(bench.test_acc[bench.index(*_spec(architecture))])
        except KeyError:
            return float("nan")

    return Problem(space, value, float(bench.test_acc.max()))


# --- formulas: spaces of other shapes ---------------------------------------------------------------------------------


def _effect(*what: object) -> float:
    """A fixed standard normal draw for a name."""
    seed = int.from_bytes(hashlib.blake2b(repr(what).encode(), digest_size=8).digest(), "little")
    return float(np.random.default_rng(seed).standard_normal())


_effect = cache(_effect)


def _enumerated(space: Space, value: Callable[[Architecture], float]) -> Problem:
    return Problem(space, value, max(value(a) for a in space.enumerate()))


def widths() -> Problem:
    """Five stages with eight widths each, ordered: saturating, with balance between neighbors, and noise."""
    space = Space(
        tuple(Choice(f"stage{i}/width", tuple(str(8 * k) for k in range(1, 9)), ordered=True) for i in range(5))
    )

    def value(a: Architecture) -> float:
        logs = [np.log2(float(str(a[f"stage{i}/width"]))) for i in range(5)]
        gain = sum((0.5 + 0.2 * i) * x for i, x in enumerate(logs)) - 0.3 * sum((x - y) ** 2 for x, y in pairwise(logs))
        return float(95 - 60 * np.exp(-gain / 6) + 0.25 * _noise(a))

    return _enumerated(space, value)


def layers() -> Problem:
    """Six layers of six blocks each: main effects by block and depth, interactions of neighbors, noise."""
    blocks = ("plain", "residual", "inverted3", "inverted6", "pool", "skip")
    space = Space(tuple(Choice(f"layer{i}/block", blocks) for i in range(6)))

    def value(a: Architecture) -> float:
        picked = [str(a[f"layer{i}/block"]) for i in range(6)]
        gain = sum(_effect(p) + 0.4 * _effect(p, i) for i, p in enumerate(picked))
        gain += 0.5 * sum(_effect("pair", *pair) for pair in pairwise(picked))
        return float(90 - 30 * np.exp(-(gain + 8) / 6) + 0.3 * _noise(a))

    return _enumerated(space, value)


def conditional() -> Problem:
    """Two to four layers with an operation and a kernel each where they exist, and any set of skips."""
    choices = [Choice("depth", ("2", "3", "4"), ordered=True)]
    for i in range(4):
        when = None if i < 2 else When("depth", tuple(str(d) for d in range(i + 1, 5)))
        choices.append(Choice(f"{i}/block", ("conv", "depthwise", "pool"), when=when))
        choices.append(
            Choice(f"{i}/kernel", ("3", "5", "7"), when=When(f"{i}/block", ("conv", "depthwise")), ordered=True)
        )
    choices.append(Choice("skips", ("a", "b", "c", "d"), pick=(0, 4)))
    space = Space(tuple(choices))

    def value(a: Architecture) -> float:
        picks = a.picks
        gain = (
            sum(_effect(n.rpartition("/")[2], o) + 0.4 * _effect(n, o) for n, picked in picks.items() for o in picked)
            / 1.5
        )
        skips = picks["skips"]
        gain += 0.5 * sum(_effect("two", x, y) for x in skips for y in skips if x < y) + 0.5 * float(picks["depth"][0])
        return float(90 - 30 * np.exp(-(gain + 6) / 5) + 0.3 * _noise(a))

    return _enumerated(space, value)


def rugged() -> Problem:
    """Seven choices of four, each worth what its two neighbors make of it (an NK landscape, K = 2)."""
    space = Space(tuple(Choice(f"c{i}", ("a", "b", "c", "d")) for i in range(7)))

    def value(a: Architecture) -> float:
        picked = [str(a[f"c{i}"]) for i in range(7)]
        return sum(_effect(i, picked[i], picked[(i + 1) % 7], picked[(i + 2) % 7]) for i in range(7))

    return _enumerated(space, value)


def _noise(a: Architecture) -> float:
    return _effect(a.code)


FORMULAS: Mapping[str, Callable[[], Problem]] = {
    "formula/widths": widths,
    "formula/layers": layers,
    "formula/conditional": conditional,
    "formula/rugged": rugged,
}


@cache
def any_table(name: str) -> Problem:
    """The shipped table or one of a person's own; an architecture's value is the mean over the seeds that it has."""
    table = find_table(name)
    objective, cached = table.objectives[0], dict[Architecture, float]()

    def value(architecture: Architecture) -> float:
        if architecture not in cached:
            entries = [table.entry(architecture, {}, seed) for seed in range(2)]
            known = [-objective.loss(Outcome(entry.metrics)) for entry in entries]
            cached[architecture] = statistics.fmean(known)
        return cached[architecture]

    return Problem(table.space, value, max(value(a) for a in table.space.enumerate()))


def problem(table: str, data: str) -> Problem:
    """A table by name.

    Raises:
        ValueError: There is none of that name, or its data is not there.
    """
    if table in FORMULAS:
        return FORMULAS[table]()
    if table == "digits" or table.endswith(".toml"):
        return any_table(table)
    kind, _, column = table.partition("/")
    if kind not in ("nasbench201", "nasbench101"):
        raise ValueError(
            f"there is no table '{table}'; there are nasbench201/DATA, nasbench101, digits, a TOML file, {', '.join(FORMULAS)}"
        )
    if not (Path(data) / kind / "load.py").is_file():
        raise ValueError(f"no {kind} in '{data}': give the folder by --data or MORPHOGEN_DATA; the formulas need none")
    if kind == "nasbench101":
        return nasbench101(Path(data))
    return nasbench201(Path(data), f"{column}/val_acc_200" if column in ("cifar10", "cifar100") else column)


# --- running ----------------------------------------------------------------------------------------------------------


def one(table: str, data: str, strategy: str, options: Mapping[str, Any], seed: int, budget: int) -> dict[str, Any]:
    """One run: the regret after each query, up to the optimum."""
    p = problem(table, data)
    made = component("morphogen.strategies", strategy, "strategy")(p.space, **options)
    if strategy not in ON_POLICY:
        made = Deduplicated(made, p.space)
    regrets: list[float] = []
    seconds = 0.0
    for id in range(budget):
        start = time.process_time()
        proposal: Proposal | None = made.ask([], np.random.default_rng((seed, id, 0)))
        seconds += time.process_time() - start
        if proposal is None:
            break
        assert proposal.architecture is not None
        value = p.value(proposal.architecture)
        failed = math.isnan(value)
        outcome = Outcome(error="failed") if failed else Outcome({"value": value})
        regret = p.optimum - value if not failed else float("inf")
        regrets.append(min(regret, regrets[-1] if regrets else float("inf")))
        if regrets[-1] <= 1e-9:
            break
        trial = Trial(id, "search", proposal, outcome, (float("inf") if failed else -value,))
        made.tell(trial, np.random.default_rng((seed, id, 1)))
    return {"regrets": regrets, "seconds": seconds}


def _kept(folder: Path | None, key: str, job: tuple[Any, ...]) -> dict[str, Any]:
    file = None if folder is None else folder / f"{key}.json"
    if file is not None and file.is_file():
        return dict(json.loads(file.read_text()))
    result = one(*job)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(result))
        partial.replace(file)
    return result


def row(name: str, results: list[dict[str, Any]], budget: int) -> dict[str, Any]:
    """The measures of one strategy on one table."""
    found = [len(r["regrets"]) if r["regrets"] and r["regrets"][-1] <= 1e-9 else math.inf for r in results]
    queries = [min(q, NEVER) for q in found]
    se = statistics.stdev(queries) / len(queries) ** 0.5 if len(queries) > 1 else 0.0
    out: dict[str, Any] = {"strategy": name, "seeds": len(results), "queries": statistics.fmean(queries), "se": se}
    out["median"] = statistics.median(queries)
    for at in (150, budget):
        out[f"found@{at}"] = statistics.fmean(q <= at for q in found)
    for at in (20, 50, 100, 150):
        if at <= budget:
            out[f"regret@{at}"] = statistics.fmean(r["regrets"][min(at, len(r["regrets"])) - 1] for r in results)
    out["ask_ms"] = 1e3 * sum(r["seconds"] for r in results) / sum(len(r["regrets"]) for r in results)
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("table", nargs="+", help="nasbench201/cifar10, nasbench201/cifar100, nasbench101, formula/...")
    parser.add_argument("--strategies", default="bayesian,regularized-evolution,random-search")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budget", type=int, default=300)
    parser.add_argument("--options", default="{}", help="of the strategies, as JSON")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--to", type=Path, help="folder where runs are kept")
    parser.add_argument(
        "--data", default=os.environ.get("MORPHOGEN_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    options = json.loads(arguments.options)
    rows: list[dict[str, Any]] = []
    for table in arguments.table:
        try:
            problem(table, arguments.data)
        except ValueError as error:
            print(f"efficiency: {error}", file=sys.stderr)
            return 2
        with ProcessPoolExecutor(arguments.workers) as executor:
            for strategy in arguments.strategies.split(","):
                mark = "-".join(f"{k}={v}" for k, v in sorted(options.items()))
                futures = [
                    executor.submit(
                        _kept,
                        arguments.to,
                        f"{table.replace('/', '-')}/{strategy}{mark}/{arguments.budget}-{seed}",
                        (table, arguments.data, strategy, options, seed, arguments.budget),
                    )
                    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds)
                ]
                rows.append({"table": table, **row(strategy, [f.result() for f in futures], arguments.budget)})
                if not arguments.json:
                    _print(rows[-1], arguments.budget)
    if arguments.json:
        print(json.dumps(rows, indent=1))
    return 0


def _print(r: Mapping[str, Any], budget: int) -> None:
    regrets = ", ".join(f"{r[k]:.4g}" for k in r if k.startswith("regret@"))
    at = "/".join(k[7:] for k in r if k.startswith("regret@"))
    print(
        f"{r['table']:22s} {r['strategy']:22s} queries {r['queries']:.1f}+-{r['se']:.1f}, median {r['median']:.0f}, "
        f"found by 150 {r['found@150']:.2f}, by {budget} {r[f'found@{budget}']:.2f}, "
        f"regret@{at} {regrets}, {r['ask_ms']:.0f} ms/ask",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
