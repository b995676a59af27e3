"""One step of a DARTS supernet, architecture and weights: ours beside a checkout of quark0/darts.

    python benchmarks/supernet.py --reference ~/darts --config S --order first --rounds 4 --json out.json

Protocol: random images, one thread, CPU seconds of the process (so that neighbors count less), the variants one after
the other in each round, the first round dropped, the median of the rest. A step is the architecture step (Adam
included) and the weight step (gradients clipped at 5, SGD with momentum). Memory: the growth of the peak of the
resident set over one forward and backward pass of the weights, each in a process of its own. `morphogen again` is ours
with cells that run again in backward; with `--partial K`, `1 of K, plain` runs one operation after the other. `--check`
compares losses and gradients in float64 with the same weights on both sides instead. `--order sampled` times the weight
step of sampled sub-graphs (ENAS, single path) and needs no reference: ours beside the same modules one after the other
in torch's default memory layout.

The reference is read from the folder it is in and adapted as it is read, none of its code is here: `.cuda()` is taken
away, removed overloads of `add_` and `sub_` are rewritten, `view` becomes `reshape` where gradients are flattened, and
the stem takes as many channels as the images have.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
import types
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from morphogen.nn.mixed import Mixed, MixedOp, fuse
from morphogen.nn.mixture import bind, picks_to_mixture
from morphogen.nn.network import network
from morphogen.oneshot import Softmax
from morphogen.oneshot.distribution import Step
from morphogen.oneshot.gradients import first_order
from morphogen.oneshot.partial import PartialChannels
from morphogen.oneshot.recompute import recompute
from morphogen.oneshot.second_order import SecondOrder
from morphogen.spaces.darts import DARTS, SKELETONS

REWRITTEN = {
    ".cuda()": "",
    "x.view(-1) for x in xs": "x.reshape(-1) for x in xs",
    "theta.sub(eta, moment+dtheta)": "theta.sub(moment+dtheta, alpha=eta)",
    ".sub_(eta, ig.data)": ".sub_(ig.data, alpha=eta)",
    ".add_(R, v)": ".add_(v, alpha=float(R))",
    ".sub_(2*R, v)": ".sub_(v, alpha=2*float(R))",
    "nn.Conv2d(3, C_curr": "nn.Conv2d(IN_CHANNELS, C_curr",
}


@final
@dataclass(frozen=True)
class Setup:
    """A size of supernet and batch."""

    channels: int
    cells: int
    batch: int
    image: tuple[int, int, int]


SETUPS = {
    "S": Setup(8, 5, 32, (1, 28, 28)),
    "M": Setup(16, 8, 16, (3, 32, 32)),
    "tiny": Setup(4, 3, 4, (1, 8, 8)),
}

Side = tuple[Callable[[], None], Callable[[], None]]
"""An architecture step and a weight step."""


def batch(setup: Setup, seed: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(setup.batch, *setup.image, generator=generator, dtype=dtype)
    return images, torch.randint(10, (setup.batch,), generator=generator)


def sgd(network: nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD(network.parameters(), 0.025, momentum=0.9, weight_decay=3e-4)


def descend(network: nn.Module, optimizer: torch.optim.Optimizer, loss: Callable[[], Tensor]) -> None:
    optimizer.zero_grad()
    loss().backward()
    nn.utils.clip_grad_norm_(network.parameters(), 5)
    optimizer.step()


# --- the two sides ----------------------------------------------------------------------------------------------------


def load_reference(folder: Path, channels: int) -> dict[str, types.ModuleType]:
    """The modules of a checkout, adapted.

    Raises:
        SystemExit: There is none.
    """
    if not (folder / "cnn" / "model_search.py").is_file():
        raise SystemExit(f"{folder} is no checkout of quark0/darts: it has no cnn/model_search.py")
    found = {}
    for name in ("genotypes", "operations", "model_search", "architect"):
        text = (folder / "cnn" / f"{name}.py").read_text()
        for before, after in REWRITTEN.items():
            text = text.replace(before, after)
        module = types.ModuleType(name)
        module.__dict__["IN_CHANNELS"] = channels
        sys.modules[name] = module  # they import one another by these names
        exec(compile(text, f"{folder}/cnn/{name}.py", "exec"), module.__dict__)
        found[name] = module
    return found


def reference_parts(folder: Path, setup: Setup, dtype: torch.dtype) -> tuple[Any, Any]:
    modules = load_reference(folder, setup.image[0])
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    made = modules["model_search"].Network(setup.channels, 10, setup.cells, nn.CrossEntropyLoss())
    args = types.SimpleNamespace(momentum=0.9, weight_decay=3e-4, arch_learning_rate=3e-4, arch_weight_decay=1e-3)
    return made, modules["architect"].Architect(made, args)


def reference(folder: Path, setup: Setup, unrolled: bool) -> Side:
    made, architect = reference_parts(folder, setup, torch.float32)
    optimizer = sgd(made)
    train, valid = batch(setup, 1, torch.float32), batch(setup, 2, torch.float32)
    return (
        lambda: architect.step(*train, *valid, 0.025, optimizer, unrolled=unrolled),
        lambda: descend(made, optimizer, lambda: made._loss(*train)),
    )


def our_parts(setup: Setup, dtype: torch.dtype, unrolled: bool, mixed: Mixed = MixedOp) -> tuple[nn.Module, Softmax]:
    skeleton = replace(SKELETONS["search"], image=setup.image, channels=setup.channels, cells=setup.cells)
    torch.manual_seed(0)
    made = network(DARTS, skeleton, mixed).to(dtype=dtype, memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(0)
    gradient = SecondOrder() if unrolled else first_order
    edges = mixed is not MixedOp
    return made, Softmax(DARTS, gradient=gradient, edges=edges, generator=generator, dtype=dtype)


def ours(
    setup: Setup, unrolled: bool, *, again: bool = False, mixed: Mixed = MixedOp, fused: bool | None = None
) -> Side:
    made, distribution = our_parts(setup, torch.float32, unrolled, mixed)
    fuse(made, fused)
    optimizer = sgd(made)
    batches = [batch(setup, seed, torch.float32) for seed in (1, 2)]
    train, valid = ((x.contiguous(memory_format=torch.channels_last), y) for x, y in batches)
    step = Step(made, optimizer, train, lambda: valid, 0, False, torch.Generator())

    def loss() -> Tensor:
        mixture = {
            choice: {o: None if w is None else w.detach() for o, w in options.items()}
            for choice, options in distribution.mixture().items()
        }
        bind(made, mixture)
        return F.cross_entropy(made(train[0]), train[1])

    def cells() -> AbstractContextManager[None]:
        return recompute(made) if again else nullcontext()

    def architecture_step() -> None:
        with cells():
            distribution.update(step)

    def weight_step() -> None:
        with cells():
            descend(made, optimizer, loss)

    return architecture_step, weight_step


def sampled(setup: Setup, *, plain: bool) -> Side:
    """The same sub-graphs on every side, in the same order."""
    made, _ = our_parts(setup, torch.float32, False)
    layout = torch.contiguous_format if plain else torch.channels_last
    made.to(memory_format=layout)
    fuse(made, False if plain else None)
    optimizer, rng = sgd(made), np.random.default_rng(0)
    images, classes = batch(setup, 1, torch.float32)
    images = images.contiguous(memory_format=layout)

    def weight_step() -> None:
        with bind(made, picks_to_mixture(DARTS.sample(rng))):
            descend(made, optimizer, lambda: F.cross_entropy(made(images), classes))

    return lambda: None, weight_step


# --- what is measured -------------------------------------------------------------------------------------------------


def seconds(run: Callable[[], None]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


def timed(sides: dict[str, Side], rounds: int) -> dict[str, dict[str, float]]:
    """Medians of the CPU seconds of both steps."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, (architecture, weights) in sides.items():
            found[name].append((seconds(architecture), seconds(weights)))
        print(f"round {number} of {rounds} done", file=sys.stderr)
    medians = {}
    for name, pairs in found.items():
        a, w = (statistics.median(values) for values in zip(*pairs[1:], strict=True))
        medians[name] = {
            "architecture_seconds": a,
            "weights_seconds": w,
            "step_seconds": statistics.median(map(sum, pairs[1:])),
        }
    return medians


def memory(name: str, options: argparse.Namespace) -> float:
    """Megabytes that the peak grows by in one pass of the weights, in a new process."""
    command = [sys.executable, __file__, "--config", options.config, "--order", options.order, "--memory-of", name]
    if options.partial:
        command += ["--partial", str(options.partial)]
    if options.reference:
        command += ["--reference", str(options.reference)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def grown(side: Side) -> float:
    before = peak_mb()
    side[1]()
    return peak_mb() - before


def peak_mb() -> float:
    """Of the resident set of this process. On Linux not from `getrusage`, where a child begins at its parent's peak."""
    status = Path("/proc/self/status")
    if status.is_file():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2  # macOS counts bytes


def check(folder: Path, setup: Setup) -> dict[str, float]:
    """Relative differences in float64, with the same weights and logits."""
    theirs, architect = reference_parts(folder, setup, torch.float64)
    found: dict[str, float] = {}
    train, valid = batch(setup, 1, torch.float64), batch(setup, 2, torch.float64)
    for order, unrolled in (("first", False), ("second", True)):
        mine, distribution = our_parts(setup, torch.float64, unrolled)
        with torch.no_grad():
            for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
                a.copy_(b)
            rows = torch.cat([theirs.alphas_normal, theirs.alphas_reduce])
            for logits, row in zip(distribution.logits.values(), rows, strict=True):
                logits.copy_(row)
        step = Step(mine, sgd(mine), train, lambda: valid, 0, False, torch.Generator())
        gradient = SecondOrder() if unrolled else first_order
        parameters = list(distribution.logits.values())
        ours_ = torch.cat([g for g in gradient(step, distribution.mixture, parameters) if g is not None])
        architect.optimizer.zero_grad()
        if unrolled:
            architect._backward_step_unrolled(*train, *valid, 0.025, sgd(theirs))
        else:
            architect._backward_step(*valid)
        expected = torch.cat([a.grad.flatten() for a in theirs.arch_parameters()])
        found[f"{order}_order_gradient"] = ((ours_ - expected).norm() / expected.norm()).item()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--reference", type=Path, help="A checkout of quark0/darts; without one, only ours is measured."
    )
    parser.add_argument("--config", choices=SETUPS, default="S")
    parser.add_argument("--order", choices=("first", "second", "sampled"), default="first")
    parser.add_argument("--partial", type=int, metavar="K", help="Beside it, ours on one of K channels (PC-DARTS).")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--memory", action="store_true", help="Measure memory too.")
    parser.add_argument("--check", action="store_true", help="Compare the mathematics instead of the time.")
    parser.add_argument("--json", type=Path, help="Where to write the numbers.")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    setup = SETUPS[options.config]
    makers: dict[str, Callable[[bool], Side]] = {"morphogen": lambda unrolled: ours(setup, unrolled)}
    if options.memory or options.memory_of:
        makers["morphogen again"] = lambda unrolled: ours(setup, unrolled, again=True)
    if options.partial:
        partial = PartialChannels(options.partial)
        makers[f"1 of {options.partial}, plain"] = lambda unrolled: ours(setup, unrolled, mixed=partial, fused=False)
        makers[f"1 of {options.partial}"] = lambda unrolled: ours(setup, unrolled, mixed=partial)
    if options.order == "sampled":
        makers = {
            "plain modules": lambda _: sampled(setup, plain=True),
            "morphogen": lambda _: sampled(setup, plain=False),
        }
    elif options.reference:
        makers = {"quark0/darts": lambda unrolled: reference(options.reference, setup, unrolled), **makers}
    if options.memory_of:
        print(grown(makers[options.memory_of](False)))
        return
    results: dict[str, Any] = {"config": options.config, "order": options.order, "torch": torch.__version__}
    if options.check:
        if not options.reference:
            parser.error("--check compares with a reference: give --reference FOLDER")
        results["relative_differences"] = check(options.reference, setup)
        for name, value in results["relative_differences"].items():
            print(f"{name:24} {value:.2e}")
    else:
        sides = {name: make(options.order == "second") for name, make in makers.items()}
        results["medians"] = timed(sides, options.rounds)
        if options.memory:
            for name, row in results["medians"].items():
                row["memory_mb"] = memory(name, options)
        show(results["medians"])
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def show(medians: dict[str, dict[str, float]]) -> None:
    first = next(iter(medians.values()))
    columns = list(first)
    print(f"{'':16}" + "".join(f"{c.replace('_', ' '):>24}" for c in columns))
    for name, row in medians.items():
        cells = [f"{row[c]:.3f} ({first[c] / row[c]:.2f}x)" if row[c] else f"{row[c]:.3f}" for c in columns]
        print(f"{name:16}" + "".join(f"{cell:>24}" for cell in cells))


if __name__ == "__main__":
    main()
