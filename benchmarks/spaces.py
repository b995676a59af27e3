"""Every published space, drawn from by the thousand: what is outside of its limits, what repeats, how long it takes.

    python benchmarks/spaces.py [--spaces darts,pnas] [--draws 10000] [--proposals 2000] [--json FILE]
    python benchmarks/spaces.py --table FOLDER/nasbench101.npz

Limits are on params and multiply-adds, in the spaces where these add up, such that about half of the random
architectures are within both; NAS-Bench-101 has its own limit of edges. `infeasible` counts architectures above a limit
among draws, mutations and crossovers; `repeated` those of equal identity among the proposals of random search and of
regularized evolution, both without duplicates. Times are of the processor, medians in milliseconds; `encode` is of
batches of 64, by architecture, `single` of one architecture alone, both in the slowest of the encodings that serve the
space; `profile` is to build a network of 20 cells (or layers) on the meta device and to count it. What is worse than
expected has a star, and the program then ends with 1.

With `--table` it compares the identities of every cell of NAS-Bench-101 with the hashes of the published table.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from morphogen.choice import Pick
from morphogen.limits import Cost, Limit
from morphogen.moves import crossover, mutate
from morphogen.nn.complexity import complexity
from morphogen.nn.costs import costs
from morphogen.nn.network import network
from morphogen.predictors.encodings import Adjacency, Counts, OneHot, Paths, WeisfeilerLehman
from morphogen.protocols import Strategy
from morphogen.space import Architecture, Space
from morphogen.spaces import SPACES, space
from morphogen.spaces.enas_macro import enas_macro
from morphogen.spaces.nas_rl import GROWING, nas_rl
from morphogen.spaces.nasbench101 import OPERATIONS, Graph, from_graph
from morphogen.strategies import Deduplicated, RandomSearch, RegularizedEvolution
from morphogen.trial import Outcome, Trial

ADDITIVE = ("darts", "mobilenet", "nasbench201", "pnas", "vit")
DEEP: Mapping[str, Callable[[], Space]] = {"enas-macro": lambda: enas_macro(20), "nas-rl": lambda: nas_rl(20)}
"""Spaces whose depth is not the skeleton's: one of 20 layers."""
MOST = {"draw": 1.0, "mutate": 1.0, "cross": 1.0, "encode": 1.0, "single": 1.0, "identity": 5.0, "profile": 2000.0}
"""Milliseconds that are expected at most."""


def every_space() -> dict[str, Space]:
    """By name; growing ones too."""
    return {**{name: space(name) for name in SPACES}, "nas-rl/growing": GROWING}


def limited(some: Space, rng: np.random.Generator) -> Space:
    """The space with limits on params and multiply-adds that about half of it keeps."""
    skeleton = some.skeletons["search"]
    found = costs(some, lambda varying: network(varying, skeleton), skeleton.image)
    drawn = [some.sample(rng).picks for _ in range(300)]
    limits = [Limit(c, float(np.quantile([c(p) for p in drawn], 0.65))) for c in found.values()]
    return replace(some, limits=(*some.limits, *limits))


class Sum:
    """A cost of many architectures, with terms looked up by what is picked; written apart from `Cost`."""

    def __init__(self, cost: Cost) -> None:
        self.always, self.terms = cost.base, dict[Any, list[tuple[Any, float]]]()
        for literals, value in cost.terms.items():
            if literals:
                self.terms.setdefault(literals[0], []).append((literals[1:], value))
            else:
                self.always += value

    def __call__(self, picks: Mapping[str, Pick]) -> float:
        picked = {(name, option) for name, options in picks.items() for option in options}
        due = (value for one in picked for rest, value in self.terms.get(one, ()) if picked.issuperset(rest))
        return self.always + sum(due)


def infeasible(some: Space, draws: int) -> int:
    """How many of so many draws, mutations and crossovers are above a limit."""
    rng, sums = np.random.default_rng(2), [(Sum(limit.cost), limit) for limit in some.limits]
    above, before = 0, some.sample(rng)

    def check(architecture: Architecture) -> None:
        nonlocal above
        picks = architecture.picks
        above += any(cost(picks) > limit.at_most + 2 * limit.slack for cost, limit in sums)

    for _ in range(draws):
        drawn = some.sample(rng)
        mutant, child = mutate(drawn, rng), crossover(before, drawn, rng)
        for architecture in (drawn, mutant, child):
            check(architecture)
        before = child
    return above


def repeated(some: Space, strategy: Strategy, proposals: int) -> tuple[int, int]:
    """How many identities come again among the proposals, and how many proposals there were until none was left."""
    strategy, seen, asked = Deduplicated(strategy, some), set[bytes](), 0
    for number in range(proposals):
        proposal = strategy.ask([], np.random.default_rng([number, 0]))
        if proposal is None:
            break
        assert proposal.architecture is not None
        asked += 1
        seen.add(some.identity(proposal.architecture))
        loss = float(np.random.default_rng([number, 2]).random())
        trial = Trial(number, "search", proposal, Outcome({"loss": loss}), (loss,))
        strategy.tell(trial, np.random.default_rng([number, 1]))
    return asked - len(seen), asked


def milliseconds(call: Callable[[], object], times: int) -> float:
    """The median of the processor's time."""
    taken = []
    for _ in range(times):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return 1e3 * median(taken)


def encodings_of(some: Space) -> list[Callable[[Sequence[Architecture]], object]]:
    """The encodings that serve a space."""
    found: list[Callable[[Sequence[Architecture]], object]] = []
    for encoding in (OneHot, Counts, Adjacency, Paths, WeisfeilerLehman):
        with suppress(ValueError):  # it needs cells, and the space has none
            found.append(encoding(some))
    return found


def timings(name: str, some: Space) -> dict[str, float]:
    """By what is done."""
    rng = np.random.default_rng(3)
    drawn = [some.sample(rng) for _ in range(64)]
    encodings = encodings_of(some)
    for encoding in encodings:
        encoding(drawn[:1])  # what is computed once for a space

    def one() -> Architecture:
        return drawn[int(rng.integers(64))]

    def alone(encoding: Callable[[Sequence[Architecture]], object]) -> object:
        return encoding([one()])

    def profiled() -> None:
        deep = DEEP[name]() if name in DEEP else some
        skeleton = deep.skeletons["final"]
        if hasattr(skeleton, "cells") and name not in DEEP:
            skeleton = replace(skeleton, cells=20)
        with torch.device("meta"):
            complexity(network(deep.fix(deep.sample(rng)), skeleton), skeleton.image)

    return {
        "draw": milliseconds(lambda: some.sample(rng), 300),
        "mutate": milliseconds(lambda: mutate(one(), rng), 300),
        "cross": milliseconds(lambda: crossover(one(), one(), rng), 300),
        "encode": max(milliseconds(partial(encoding, drawn), 20) / len(drawn) for encoding in encodings),
        "single": max(milliseconds(partial(alone, encoding), 50) for encoding in encodings),
        "identity": milliseconds(lambda: some.identity(one()), 100),
        "profile": milliseconds(profiled, 3),
    }


def row(name: str, some: Space, draws: int, proposals: int) -> dict[str, Any]:
    """What is found out about one space."""
    rng = np.random.default_rng(1)
    some = limited(some, rng) if name in ADDITIVE else some
    found: dict[str, Any] = {"space": name, "limits": [limit.cost.metric for limit in some.limits]}
    found["infeasible"] = infeasible(some, draws)
    strategies = {"random-search": RandomSearch(some), "regularized-evolution": RegularizedEvolution(some)}
    found["repeated"], found["proposals"] = {}, {}
    for which, strategy in strategies.items():
        found["repeated"][which], found["proposals"][which] = repeated(some, strategy, proposals)
    found["milliseconds"] = timings(name, some)
    return found


def failures(found: Mapping[str, Any], proposals: int) -> list[str]:
    """The columns in which a space is worse than expected."""
    worse = [what for what, most in MOST.items() if found["milliseconds"][what] > most]
    worse += ["infeasible"] if found["infeasible"] else []
    few = any(n < proposals for n in found["proposals"].values())
    return worse + (["repeated"] if any(found["repeated"].values()) or few else [])


def line(found: Mapping[str, Any], worse: Iterable[str]) -> str:
    """The row of the table."""
    numbers = {"infeasible": found["infeasible"], "repeated": sum(found["repeated"].values())}
    cells = [f"{n}{'*' if what in worse else ' '}" for what, n in numbers.items()]
    cells += [f"{found['milliseconds'][what]:.2f}{'*' if what in worse else ' '}" for what in MOST]
    return f"{found['space']:16}{len(found['limits']):>7}" + "".join(f"{cell:>12}" for cell in cells)


def table(path: Path) -> tuple[int, int]:
    """How many cells the table has, and for how many of them our identity is another than its hash."""
    known = dict(np.load(path))  # the file itself unpacks an array at every look
    hashes = np.cumsum(known["hash48_delta"], dtype=np.uint64)
    wrong, seen, said = 0, set[bytes](), time.monotonic()
    for row in range(len(hashes)):
        architecture = from_graph(cell(known, row))
        identity = architecture.space.identity(architecture)
        wrong += int(identity[:12], 16) != int(hashes[row]) or identity in seen
        seen.add(identity)
        if time.monotonic() > said + 10:
            said = time.monotonic()
            print(f"{row:,} of {len(hashes):,} cells", file=sys.stderr, flush=True)
    return len(seen), wrong


def cell(known: Mapping[str, Any], row: int) -> Graph:
    """A cell of the published table."""
    count, bits, code = (int(known[name][row]) for name in ("n_vertices", "adj_bits", "op_code"))
    sources = tuple(tuple(x for x in range(y) if bits >> (x + y * (y - 1) // 2) & 1) for y in range(1, count))
    return Graph(sources, tuple(OPERATIONS[code // 3**k % 3] for k in range(count - 2)))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spaces", default="all", help="names, with commas")
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--proposals", type=int, default=2_000)
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    parser.add_argument("--table", type=Path, help="the published NAS-Bench-101")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.table is not None:
        identities, wrong = table(given.table)
        print(f"{identities:,} identities, {wrong:,} of them not the table's")
        return int(wrong > 0)
    every = every_space()
    names = list(every) if given.spaces == "all" else given.spaces.split(",")
    if unknown := [name for name in names if name not in every]:
        parser.error(f"there is no space '{unknown[0]}'; there are {', '.join(every)}")
    heads = ["infeasible", "repeated", *MOST]
    print(f"{'milliseconds':16}{'limits':>7}" + "".join(f"{head:>11} " for head in heads))
    rows, bad = [], False
    for name in names:
        found = row(name, every[name], given.draws, given.proposals)
        worse = failures(found, given.proposals)
        rows.append({**found, "worse": worse})
        bad = bad or bool(worse)
        print(line(found, worse), flush=True)
        if given.json is not None:
            given.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
