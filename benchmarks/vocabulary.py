"""How long sampling, moves and reading take, without limits and within limits; prints a table.

    python benchmarks/vocabulary.py

Spaces: `plain` (24 choices of 7 operations), `cells` (the topology of DARTS), `chain` (20 layers of a width and a
kernel, costs of pairs of widths). Limits are set so that about a half, or 2 %, of the architectures are within them.
"""

from __future__ import annotations

import math
import pickle
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from morphogen.limits import Cost, Limit
from morphogen.moves import crossover, mutate, neighbors
from morphogen.space import Architecture, Choice, Space, When

OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    *(f"{c}_conv_{k}" for c in ("sep", "dil") for k in ("3x3", "5x5")),
)
WIDTHS, KERNELS = ("16", "24", "32", "48", "64"), ("3", "5", "7")


def plain() -> Space:
    """24 independent choices."""
    return Space(tuple(Choice(f"layer/{i}", OPERATIONS[1:]) for i in range(24)))


def cells() -> Space:
    """Two cells of four nodes, two inputs a node, an operation on each edge that is picked."""
    choices: list[Choice] = []
    for node in (f"{cell}/{n}" for cell in ("normal", "reduce") for n in range(2, 6)):
        inputs = tuple(f"{i}" for i in range(int(node[-1])))
        choices.append(Choice(f"{node}/inputs", inputs, pick=2))
        choices += [
            Choice(f"{node}<-{i}", OPERATIONS, when=When(f"{node}/inputs", (i,)), mixed_only=("none",)) for i in inputs
        ]
    return Space(tuple(choices))


def chain() -> Space:
    """20 layers, each with a width and a kernel."""
    pairs = [
        (Choice(f"{i}/width", WIDTHS, ordered=True), Choice(f"{i}/kernel", KERNELS, ordered=True)) for i in range(20)
    ]
    return Space(tuple(c for pair in pairs for c in pair))


def additive(space: Space, metric: str, rng: np.random.Generator) -> Cost:
    """A real number an option: unrelated between metrics, which makes the fronts as long as they get."""
    return Cost(metric, {((c.name, o),): float(rng.lognormal(9, 1)) for c in space for o in c.pickable})


def pairwise(metric: str, per_pixel: bool, rng: np.random.Generator) -> Cost:
    """Width times width times kernel size squared, with some noise; times the pixels, for MACs."""
    terms: dict[tuple[tuple[str, str], ...], float] = {}
    for i in range(1, 20):
        pixels = (32 / 2 ** (i // 7)) ** 2 if per_pixel else 1
        for a in WIDTHS:
            for b in WIDTHS:
                for k in KERNELS:
                    cost = int(a) * int(b) * int(k) ** 2 * pixels * float(rng.uniform(0.9, 1.1))
                    terms[(f"{i - 1}/width", a), (f"{i}/width", b), (f"{i}/kernel", k)] = cost
    return Cost(metric, terms, base=1234.5)


def limited(space: Space, costs: list[Cost], share: float) -> Space:
    """The space with limits at quantiles such that about this share of random architectures is within all of them."""
    rng = np.random.default_rng(1)
    drawn = np.array([[cost(a.picks) for cost in costs] for a in (space.sample(rng) for _ in range(400))])
    bounds = np.quantile(drawn, share ** (1 / len(costs)) if share > 0 else 0, axis=0)
    return Space(space.choices, tuple(Limit(c, float(b)) for c, b in zip(costs, bounds, strict=True)))


def microseconds(call: Callable[[], object], seconds: float = 0.15) -> float:
    """The median over calls."""
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while not taken or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return 1e6 * median(taken)


def row(name: str, space: Space, warm_up: float) -> str:
    """The line of one space."""
    rng = np.random.default_rng(0)
    drawn = [space.sample(rng) for _ in range(64)]
    near = len(list(neighbors(drawn[0])))
    half = dict(list(drawn[0].picks.items())[: len(drawn[0]) // 2])
    open_choice = next(c for c in space.active(drawn[0].picks) if c.name not in half)

    def any_of() -> Architecture:
        return drawn[int(rng.integers(64))]

    times = [
        microseconds(lambda: space.sample(rng)),
        microseconds(lambda: space.sample_uniform(rng)),
        microseconds(lambda: mutate(any_of(), rng)),
        microseconds(lambda: crossover(any_of(), any_of(), rng)),
        microseconds(lambda: list(neighbors(drawn[0]))) / near,
        microseconds(lambda: space.allowed(half, open_choice)),
        microseconds(lambda: any_of().text),
        microseconds(lambda: space.parse(drawn[0].text)),
    ]
    return f"{name:34}{1e3 * warm_up:9.0f}" + "".join(f"{t:10.0f}" for t in times)


def main() -> None:
    """Print the table."""
    heads = ["sample", "uniform", "mutate", "crossover", "neighbor", "allowed", "text", "parse"]
    print(f"{'microseconds':34}{'warm ms':>9}" + "".join(f"{h:>10}" for h in heads))
    rng = np.random.default_rng(0)
    spaces = {"plain": plain(), "cells": cells(), "chain": chain()}
    costs = {name: [additive(space, f"cost{k}", rng) for k in range(3)] for name, space in spaces.items()}
    costs["chain"][:2] = pairwise("params", False, rng), pairwise("macs", True, rng)
    for name, space in spaces.items():
        print(row(f"{name}, no limit", space, 0.0), flush=True)
        for limits in (1, 2, 3):
            for share in (0.5, 0.02):
                within = limited(space, costs[name][:limits], share)
                start = time.perf_counter()
                Space(within.choices, within.limits)
                warm_up = time.perf_counter() - start
                print(row(f"{name}, {limits} limits, {share:.0%} within", within, warm_up), flush=True)
    for name, space in spaces.items():
        one = space.sample(rng)
        many = [space.sample(rng) for _ in range(1001)]
        per = (len(pickle.dumps(many)) - len(pickle.dumps(many[:1]))) / 1000
        memory = sys.getsizeof(one) + sys.getsizeof(one.code)
        print(
            f"{name}: 10^{math.log10(space.size):.1f} architectures; one takes {memory} bytes of memory, "
            f"{len(pickle.dumps(one))} bytes pickled alone and {per:.0f} in a list, {len(one.text)} characters of text"
        )


if __name__ == "__main__":
    main()
