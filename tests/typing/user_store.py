"""A user's own store: a JSON file; and a run put together from parts."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from morphogen import Cost, Limit, MeasuredLimit, Objective, Phase, Proposal, Space, Stop, Study, Trial
from morphogen.protocols import Estimator, Event, Executor, Store, Strategy


class Lines:
    def __init__(self, file: Path) -> None:
        self._file = file

    def append(self, events: Sequence[Event]) -> None:
        with self._file.open("a") as file:
            file.writelines(json.dumps(event) + "\n" for event in events)

    def events(self) -> Sequence[Event]:
        return [Event(*json.loads(line)) for line in self._file.read_text().splitlines()]

    def stream(self, after: int = 0) -> Iterator[Event]:
        yield from self.events()[after:]

    def close(self) -> None:
        pass


class First:
    def __init__(self, space: Space) -> None:
        self.space = space

    def ask(self, pending: Sequence[Trial], rng: np.random.Generator) -> Proposal:
        return Proposal(self.space.sample(rng))

    def tell(self, trial: Trial, rng: np.random.Generator) -> None: ...


store: Store = Lines(Path("events.jsonl"))


def run(space: Space, estimator: Estimator, executor: Executor) -> list[Trial]:
    cost = Cost("params", {(("op", "conv"),): 900.0}, base=10.0)
    limited = space.restrict({"op": ("conv", "skip")}) | Space((), limits=(Limit(cost, at_most=500),))

    def start(told: Sequence[Trial]) -> tuple[Strategy, Estimator]:
        return First(limited), estimator

    phases = [Phase("search", start, lambda told: Stop(trials=10 + len(told))), Phase("again", start)]
    objectives = [Objective("accuracy", maximize=True), Objective("params")]
    study = Study(limited, store, executor, objectives, limits=(MeasuredLimit("latency_ms", 20.0),))
    return study.run(phases)
