"""Does it pay to train a little first? Final regret at a third of the cost, against full training.

    python benchmarks/fidelity.py nasbench201/cifar10 nasbench201/cifar100 table-digits/table.toml --seeds 50

Each strategy runs with full trainings until it has spent `--budget` of them; then, with `--share` of that cost, inside
`Asha`, inside `CurveStopping`, and inside `Screening`, whose first round of little trainings is `--search` of what there is,
if all architectures took as long. Regret is that of the architecture with the best full training so
far, without the noise of one training, in points. Costs are the table's: of NAS-Bench-201, 12 epochs cost 12
of 200 (its 12-epoch results are trainings of their own, so going on costs all 200). Data: `--data FOLDER`, or
MORPHOGEN_DATA, or `../shared/data`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import tomli_w

from morphogen.bench.replaying import known
from morphogen.catalog import component
from morphogen.estimators import Tabular
from morphogen.executors import Virtual
from morphogen.protocols import Context, Phase, Stop, Strategy
from morphogen.space import Space
from morphogen.store import Memory
from morphogen.strategies import Asha, CurveStopping, Deduplicated, Screening
from morphogen.study import Study
from morphogen.trial import Outcome, Proposal, Trial

OPTIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""Of the published space, in the order of the table's codes."""
WAYS = ("full", "full-share", "asha", "curve-stopping", "screening")
EDGES = ("1<-0", "2<-0", "2<-1", "3<-0", "3<-1", "3<-2")


def nasbench201(data: Path, column: str, folder: Path) -> Path:
    """The TOML of the two fidelities of the table, written beside nothing that is not ours."""
    file = (data / "nasbench201" / "nasbench201.npz").resolve()
    if not file.is_file():
        raise SystemExit(f"fidelity: there is no {file}: give --data FOLDER")
    link = folder / file.name
    if not link.exists():
        link.symlink_to(file)
    text: dict[str, Any] = {
        "name": f"nasbench201-{column}",
        "data": file.name,
        "space": "nasbench201",
        "architecture": {"columns": "ops", "choices": list(EDGES), "options": list(OPTIONS)},
        "fidelity": {"epochs": 200},
        "metrics": {
            "accuracy": {
                "column": f"{column}/val_acc_200",
                "maximize": True,
                "scale": 0.01,
                "at": [{"epochs": 12, "column": f"{column}/val_acc_12"}],
            }
        },
        "seconds": {"column": "train_sec_per_epoch_cifar10_valid", "per": "epochs"},
    }
    path = folder / f"{column}.toml"
    path.write_text(tomli_w.dumps(text))
    return path


@final
@dataclass
class Charged:
    """A table whose continued trainings cost what they add, where they can be continued."""

    tabular: Tabular
    trials: list[Trial]
    continues: bool
    measured: frozenset[str] = frozenset()

    def __call__(self, proposal: Proposal, context: Context) -> Outcome:
        outcome = self.tabular(proposal, context)
        if not self.continues or proposal.warm_start is None:
            return outcome
        before = self.tabular(self.trials[proposal.warm_start].proposal, context)
        return replace(outcome, seconds=max(outcome.seconds - before.seconds, 1e-6))

    def cost(self, proposal: Proposal) -> float:
        return self.tabular.cost(proposal)


@final
@dataclass(frozen=True)
class Setting:
    """A table, the rungs or looks that it has, and whether trainings go on from a checkpoint."""

    table: str
    lowest: float
    eta: int
    continues: bool


def regret(setting: Setting, make: Callable[[Space], Strategy], seed: int, seconds: float) -> tuple[float, int, int]:
    """After so many seconds of training; the trials, and how many of them were full."""
    table: Any = known(setting.table)
    study = Study(table.space, Memory(), Virtual(1), table.objectives, seed=seed, slots=1)
    judge = Charged(Tabular(table), study.trials, setting.continues)
    strategy = make(table.space)
    study.run([Phase("search", lambda told: (strategy, judge), lambda told: Stop(seconds=seconds))])
    spent, best = 0.0, None
    for trial in study.told:
        assert trial.outcome is not None
        spent += trial.outcome.seconds
        if spent > seconds:  # what was underway at the end does not count
            break
        if not trial.proposal.fidelity and not trial.failed and (best is None or trial.loss < best.loss):
            best = trial
    full = sum(not t.proposal.fidelity for t in study.told)
    truth = table.worst if best is None or best.architecture is None else table.truth(best.architecture)
    return abs(table.optimum - truth) * 100, len(study.told), full


def plain(name: str, space: Space) -> Strategy:
    return Deduplicated(component("morphogen.strategies", name, "strategy")(space), space)


def asha(name: str, setting: Setting, full: float, space: Space) -> Strategy:
    return Asha(space, plain(name, space), lowest=setting.lowest, full=full, eta=setting.eta)


def stopped(name: str, setting: Setting, full: float, space: Space) -> Strategy:
    return CurveStopping(space, plain(name, space), lowest=setting.lowest, full=full, eta=setting.eta)


def screening(name: str, setting: Setting, full: float, first: int, space: Space) -> Strategy:
    return Screening(space, plain(name, space), lowest=setting.lowest, full=full, first=first)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("tables", nargs="+", help="nasbench201/cifar10, nasbench201/cifar100, or a TOML with curves")
    parser.add_argument("--strategies", default="random-search,regularized-evolution")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--ways", default=",".join(WAYS), help="which of the ways to spend it")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--budget", type=int, default=100, help="full trainings of the comparison")
    parser.add_argument("--share", type=float, default=1 / 3, help="of that cost, for the others")
    parser.add_argument("--search", type=float, default=0.5, help="of it, for the first round of screening")
    parser.add_argument(
        "--data", default=os.environ.get("MORPHOGEN_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.tables:
            if name.startswith("nasbench201/"):
                path = nasbench201(Path(arguments.data), name.partition("/")[2], Path(folder))
                setting = Setting(str(path), lowest=12, eta=8, continues=False)
            else:
                setting = Setting(name, lowest=1, eta=3, continues=True)
            _compare(name, setting, arguments)
    return 0


def _compare(name: str, setting: Setting, arguments: argparse.Namespace) -> None:
    table: Any = known(setting.table)
    full = table.full["epochs"]
    rng = np.random.default_rng(0)
    each = float(np.mean([table.cost(table.space.sample(rng), {}) for _ in range(300)]))
    budget = each * arguments.budget
    first = max(round(arguments.budget * arguments.share * arguments.search * full / setting.lowest), 1)
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    print(
        f"{name}: {arguments.budget} full trainings against {arguments.share:.0%} of their cost, "
        f"seeds {seeds.start} to {seeds.stop - 1}"
    )
    for strategy in arguments.strategies.split(","):
        made: Mapping[str, tuple[Callable[[Space], Strategy], float]] = {
            "full": (partial(plain, strategy), budget),
            "full-share": (partial(plain, strategy), budget * arguments.share),
            "asha": (partial(asha, strategy, setting, full), budget * arguments.share),
            "curve-stopping": (partial(stopped, strategy, setting, full), budget * arguments.share),
            "screening": (partial(screening, strategy, setting, full, first), budget * arguments.share),
        }
        for what in arguments.ways.split(","):
            make, seconds = made[what]
            begun = time.monotonic()
            found = [regret(setting, make, seed, seconds) for seed in seeds]
            values = [r for r, _, _ in found]
            error = float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
            trials, whole = (float(np.mean([row[i] for row in found])) for i in (1, 2))
            took = (time.monotonic() - begun) / len(found)
            print(
                f"  {strategy:24s}{what:18s} regret {np.mean(values):6.3f} +- {error:.3f} points, "
                f"{trials:6.1f} trials, {whole:5.1f} of them full, {took:.2f} s a run",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
