"""How well predictors rank architectures that they have not seen, from a hundred that they have.

    python benchmarks/predictors.py nasbench201/cifar10 nasbench201/cifar100 nasbench101 --draws 20

Printed per table and predictor, as means over draws: Kendall's tau on `--unseen` other architectures (`+-` its
standard error), tau among the truly best tenth of them, the share that 90 % intervals hold (of the predictor
itself, and of `Calibrated`), and tau as `Calibrated` estimates it by cross-validation of the hundred. Architectures
are drawn uniformly, each identity once; accuracies below `--least` points stay in. Literature, from 100 architectures
(White et al. 2021, arXiv:2104.01177, figure 2, NAS-Bench-201 CIFAR-10, read off): GP 0.5 to 0.6, XGBoost and
NGBoost 0.6 to 0.65, BANANAS 0.5, SemiNAS and BONAS 0.55 to 0.65. Data: as for benchmarks/efficiency.py.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from efficiency import Problem, problem

from morphogen.predictors import Forest, GaussianProcess, MlpEnsemble, Predictor
from morphogen.predictors.averaged import Averaged
from morphogen.predictors.boosted import Boosted
from morphogen.predictors.calibrated import NORMAL_90, Calibrated, kendall
from morphogen.predictors.ranked import Ranked
from morphogen.space import Architecture, Space
from morphogen.spaces import space as find_space

BARE: dict[str, Callable[[Space], Predictor]] = {
    "gaussian-process": GaussianProcess,
    "boosted": Boosted,
    "forest": Forest,
    "mlp-ensemble": MlpEnsemble,
}
MAKERS: dict[str, Callable[[Space], Predictor]] = {
    "ranked gp and mlp": lambda space: Ranked(
        lambda: Averaged([GaussianProcess(space), MlpEnsemble(space, members=8)])
    ),
    **{f"ranked {name}": lambda space, make=make: Ranked(lambda: make(space)) for name, make in BARE.items()},  # type: ignore[misc]
    **BARE,
}


def of_the_space(of: Problem, table: str) -> Problem:
    """The same values in morphogen's own space, which knows its cell as a graph."""
    if not table.startswith("nasbench201"):
        return of
    space = find_space("nasbench201")
    return Problem(space, lambda a: of.value(of.space.architecture(a.picks)), of.optimum)


def drawn(of: Problem, count: int, rng: np.random.Generator) -> tuple[list[Architecture], np.ndarray]:
    """Different architectures that work, with their values."""
    found: dict[bytes, tuple[Architecture, float]] = {}
    while len(found) < count:
        architecture = of.space.sample(rng)
        value = of.value(architecture)
        if not np.isnan(value):
            found.setdefault(of.space.identity(architecture), (architecture, value))
    architectures, values = zip(*found.values(), strict=True)
    return list(architectures), np.array(values)


def one(of: Problem, name: str, seed: int, count: int, unseen: int, calibrate: bool) -> dict[str, float]:
    """One draw."""
    rng = np.random.default_rng(seed)
    architectures, values = drawn(of, count + unseen, rng)
    predictor = MAKERS[name](of.space)
    calibrated = Calibrated(lambda: MAKERS[name](of.space))
    if calibrate:
        calibrated.fit(architectures[:count], values[:count], rng)
        assert calibrated.predictor is not None
        predictor = calibrated.predictor
    else:
        predictor.fit(architectures[:count], values[:count], rng)
    truth = values[count:]
    mean, deviation = predictor.predict(architectures[count:])
    best = np.argsort(-truth)[: len(truth) // 10]
    row = {
        "tau": kendall(mean, truth),
        "tau of the best": kendall(mean[best], truth[best]),
        "held": float(np.mean(np.abs(mean - truth) <= NORMAL_90 * deviation)),
    }
    if calibrate:
        _, wider = calibrated.predict(architectures[count:])
        row["held, calibrated"] = float(np.mean(np.abs(mean - truth) <= NORMAL_90 * wider))
        row["tau foreseen"] = calibrated.tau
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("table", nargs="+", help="nasbench201/cifar10, nasbench201/cifar100, nasbench101, formula/...")
    parser.add_argument("--predictors", default=",".join(MAKERS))
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--unseen", type=int, default=500)
    parser.add_argument("--no-calibration", action="store_true")
    parser.add_argument(
        "--data", default=os.environ.get("MORPHOGEN_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))
    )
    arguments = parser.parse_args()
    for table in arguments.table:
        of = of_the_space(problem(table, arguments.data), table)
        for name in arguments.predictors.split(","):
            begun = time.process_time()
            how = (arguments.count, arguments.unseen, not arguments.no_calibration)
            rows = [one(of, name, seed, *how) for seed in range(arguments.draws)]
            error = np.std([row["tau"] for row in rows], ddof=1) / len(rows) ** 0.5 if len(rows) > 1 else 0.0
            told = ", ".join(f"{key} {np.mean([row[key] for row in rows]):.3f}" for key in rows[0])
            took = (time.process_time() - begun) / len(rows)
            print(f"{table:22s} {name:25s} {told} (tau +- {error:.3f}; {took:.1f} s a draw)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
