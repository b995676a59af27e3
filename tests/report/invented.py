"""A run that never happened: two arms of trials with a known rule, for the tests of the report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from morphogen.moves import mutate
from morphogen.objective import Objective, judge
from morphogen.report.record import Row, RunRecord
from morphogen.space import Architecture, Choice, Space, When
from morphogen.trial import Outcome, Proposal, Trial

OPERATIONS = ("max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3")
ACCURACY = Objective("accuracy", maximize=True)


def cells(nodes: int = 4, names: tuple[str, ...] = ("normal", "reduce")) -> Space:
    """The edge idiom: two inputs a node, an operation on each."""
    choices = []
    for cell in names:
        for node in range(2, 2 + nodes):
            states = tuple(map(str, range(node)))
            inputs = Choice(f"{cell}/{node}/inputs", states, pick=2)
            choices.append(inputs)
            choices += [Choice(f"{cell}/{node}<-{s}", OPERATIONS, when=When(inputs.name, (s,))) for s in states]
    return Space(tuple(choices), name="cells")


def pairs(nodes: int = 5) -> Space:
    """The pairs idiom: an input and an operation, twice a node."""
    choices = []
    for node in range(2, 2 + nodes):
        for slot in "ab":
            choices.append(Choice(f"normal/{node}/{slot}/input", tuple(map(str, range(node)))))
            choices.append(Choice(f"normal/{node}/{slot}/op", OPERATIONS))
    return Space(tuple(choices), name="pairs")


TRAINING = Space((Choice("train/lr", ("0.01", "0.03", "0.1"), ordered=True),))


def outcome(architecture: Architecture, rng: np.random.Generator, *, fails: bool = False) -> Outcome:
    """Convolutions help and cost; one in twelve fails."""
    picks = architecture.picks
    convolutions = sum("conv" in o for picked in picks.values() for o in picked)
    params = 4000.0 + sum(900 * ("sep" in o) + 2600 * ("5x5" in o) for picked in picks.values() for o in picked)
    seconds = 2 + params / 8000 + rng.random()
    if fails:
        return Outcome(seconds=seconds, error="ValueError: the loss is NaN at step 120 <of 400>\nTraceback\n  ...")
    accuracy = min(0.995, 0.93 + 0.06 * (1 - np.exp(-convolutions / 6)) + 0.004 * rng.standard_normal())
    curve = [(float(e), float(accuracy - 0.5 * np.exp(-e / 2.5) + 0.004 * rng.standard_normal())) for e in range(1, 13)]
    loss = [(e, 2.3 * float(np.exp(-e / 3)) + 0.05) for e, _ in curve]
    metrics = {"accuracy": float(accuracy), "params": params, "macs": params * 61}
    return Outcome(metrics, {"accuracy": curve, "train_loss": loss}, seconds=seconds)


def trials(space: Space, search: int = 30, random: int = 30, seed: int = 0) -> dict[str, list[Trial]]:
    """A search by mutation, and a random arm."""
    rng = np.random.default_rng(seed)
    phases: dict[str, list[Trial]] = {"search": [], "random": []}
    for i in range(search + random):
        phase = "search" if i < search else "random"
        known = sorted((t for t in phases["search"] if not t.failed), key=lambda t: t.loss)[:3]
        architecture = space.sample(rng)
        if phase == "search" and len(known) == 3 and i > 10:
            parent = known[int(rng.integers(3))].architecture
            assert parent is not None
            architecture = mutate(parent, rng)
        asked = Trial(i, phase, Proposal(architecture))
        phases[phase].append(judge(asked, outcome(architecture, rng, fails=i % 12 == 7), [ACCURACY]))
    return phases


def record(**changes: Any) -> RunRecord:
    """60 trials of two arms with failures and curves, a table of four networks, three seeds."""
    space = cells() | TRAINING
    made = RunRecord(
        name="digits, regularized evolution",
        space=space,
        phases=trials(space),
        objectives=(ACCURACY,),
        rows=(
            Row("winner", (0.9889, 0.9861, 0.9917), 12_400, 812_000, 14.2),
            Row("plain network", (0.9917, 0.9889, 0.9889), 61_300, 5_210_000, 9.8, "four 3x3 convolutions"),
            Row("logistic regression", (0.9622,), 650, 640, 0.4),
            Row("random arm's winner", (0.9833, 0.9861, 0.9806), 15_900, 990_000, 15.1),
        ),
        retrained_search=((0.9889, 0.9861, 0.9917), (0.9861, 0.9889, 0.9861)),
        retrained_random=((0.9833, 0.9861, 0.9806),),
        seed=3,
        settings={"space": "cells", "strategy": "regularized-evolution", "data": "digits", "slots": 4, "workers": 2},
        command="morphogen search --space cells --strategy regularized-evolution --data digits --seed 3 --out run",
        versions={"morphogen": "0.1.0", "python": "3.11.2", "torch": "2.13.0", "numpy": "2.4.6"},
        started="2026-11-24 05:12 UTC",
        seconds=412.0,
        warnings=("the objective latency_ms is measured: repetition is not exact",),
    )
    return replace(made, **changes)
