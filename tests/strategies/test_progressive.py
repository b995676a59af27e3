from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from morphogen.estimators.toy import ToyTable
from morphogen.predictors.recurrent import Ensemble
from morphogen.predictors.validation import cross_validated
from morphogen.protocols import Strategy
from morphogen.space import Architecture, Choice, Cost, Limit, Space, When
from morphogen.strategies.deduplicated import Deduplicated
from morphogen.strategies.progressive import Progressive, growth
from morphogen.testing.strategy import StrategySuite, run
from morphogen.trial import Outcome, Trial

Score = Callable[[Architecture], float]


def cells(blocks: int, operations: int, limits: tuple[Limit, ...] = (), canonical: Any = "") -> Space:
    """PNAS's cells: block by block two inputs, the cell's own two and all earlier blocks, with an operation each."""
    choices = [Choice("blocks", tuple(str(b) for b in range(1, blocks + 1)), ordered=True)]
    for b in range(1, blocks + 1):
        when = None if b == 1 else When("blocks", tuple(str(n) for n in range(b, blocks + 1)))
        for side in "ab":
            choices.append(Choice(f"{b}/{side}/input", tuple(str(i) for i in range(b + 1)), when=when))
            choices.append(Choice(f"{b}/{side}/op", tuple(f"op{i}" for i in range(operations)), when=when))
    return Space(tuple(choices), limits, canonical=canonical)


def sorted_cell(architecture: Architecture) -> bytes:
    """The least spelling: swapping the sides of a block and renumbering blocks leave the network as it is."""
    picks = architecture.picks
    n = int(picks["blocks"][0])
    blocks = [[(int(picks[f"{b}/{s}/input"][0]), picks[f"{b}/{s}/op"][0]) for s in "ab"] for b in range(1, n + 1)]
    spelled = []
    for order in permutations(range(n)):
        place = {0: 0, 1: 1} | {old + 2: new + 2 for new, old in enumerate(order)}
        moved = [sorted((place[i], o) for i, o in blocks[old]) for old in order]
        if all(i < new + 2 for new, block in enumerate(moved) for i, _ in block):
            spelled.append(repr(moved).encode())
    return min(spelled)


def additive(space: Space) -> Score:
    """A score that is the sum of a number for each pick, between 0 and 1."""
    rng = np.random.default_rng(0)
    values = {(c.name, o): float(rng.random()) for c in space for o in c.options}
    return lambda a: sum(values[name, o] for name, picked in a.picks.items() for o in picked) / len(space.choices)


class Oracle:
    """Predicts what the score will be."""

    def __init__(self, score: Score) -> None:
        self.score = score
        self.fitted: list[int] = []

    def fit(self, architectures: Sequence[Architecture], targets: Any, rng: Any, *, first: bool) -> Any:
        self.fitted.append(len(architectures))
        assert [pytest.approx(self.score(a)) for a in architectures] == targets.tolist()
        assert first == (len(self.fitted) == 1)
        return lambda some: np.array([self.score(a) for a in some])


def drive(strategy: Strategy, score: Score, failing: Callable[[int], bool] = lambda id: False) -> list[Trial]:
    told: list[Trial] = []
    while (proposal := strategy.ask([], np.random.default_rng((0, len(told), 0)))) is not None:
        assert proposal.architecture is not None
        id = len(told)
        outcome, loss = Outcome({"accuracy": score(proposal.architecture)}), -score(proposal.architecture)
        if failing(id):
            outcome, loss = Outcome(error="diverged"), float("inf")
        told.append(Trial(id, "search", proposal, outcome, (loss,)))
        strategy.tell(told[-1], np.random.default_rng((0, id, 1)))
    return told


def architectures(trials: Sequence[Trial]) -> list[Architecture]:
    return [t.proposal.architecture for t in trials if t.proposal.architecture is not None]


class TestProgressive(StrategySuite):
    trials = 20

    def make(self, space: Space) -> Strategy:
        return Progressive(space, beam=6, predictor=Ensemble(space, members=2, steps=5))


class TestProgressiveWithoutADepth(StrategySuite):
    trials = 16
    table = ToyTable(toy := ToyTable().space.restrict({"depth": ("3",)}))

    def make(self, space: Space) -> Strategy:
        levels = growth(space.restrict({"depth": ("3",)}))
        return Progressive(space, beam=4, levels=levels, predictor=Ensemble(space, members=2, steps=5))


@pytest.mark.parametrize("space", [cells(2, 2), cells(3, 1)], ids=["2 operations", "3 blocks"])
def test_with_an_oracle_and_a_beam_of_everything_it_finds_the_enumerated_optimum(space: Space) -> None:
    score = additive(space)
    told = drive(Progressive(space, beam=10**6, predictor=Oracle(score)), score)
    everything = list(space.enumerate())
    assert max(everything, key=score) == max(architectures(told), key=score)
    assert sorted(a.code for a in everything) == sorted(a.code for a in architectures(told))


def test_without_isomorphic_cells_it_still_finds_the_optimum_and_trains_each_once() -> None:
    space = cells(3, 1, canonical=sorted_cell)

    def score(architecture: Architecture) -> float:
        return np.random.default_rng(list(space.identity(architecture))).random()

    told = architectures(drive(Progressive(space, beam=10**6, predictor=Oracle(score)), score))
    identities = [space.identity(a) for a in told]
    assert len(identities) == len(set(identities))
    assert {space.identity(a) for a in space.enumerate()} == set(identities)


def test_it_trains_136_cells_and_then_a_beam_a_level() -> None:
    space = cells(4, 8, canonical=sorted_cell)
    score = additive(space)
    oracle = Oracle(score)
    told = architectures(drive(Progressive(space, beam=20, predictor=oracle, levels=growth(space)[:3]), score))
    assert [sum(a["blocks"] == b for a in told) for b in "123"] == [20, 20, 20]
    assert oracle.fitted == [20, 40]
    first = Progressive(cells(4, 8, canonical=sorted_cell), beam=256)
    assert len(first.queue) == 136


def test_a_level_is_the_best_of_all_extensions_of_the_one_before() -> None:
    space = cells(3, 2)
    score = additive(space)
    told = architectures(drive(Progressive(space, beam=5, predictor=Oracle(score)), score))
    for parents, level, blocks in ((told[:5], told[5:10], "2"), (told[5:10], told[10:], "3")):
        extensions = [
            space.architecture({**a.picks, **parent.picks, "blocks": blocks})
            for parent in parents
            for a in (
                space.restrict({"blocks": (blocks,)}).enumerate(
                    {k: v for k, v in parent.picks.items() if k != "blocks"}
                )
            )
        ]
        assert sorted(map(score, extensions), reverse=True)[:5] == [score(a) for a in level]


def test_extensions_stay_within_the_limits() -> None:
    terms: dict[tuple[tuple[str, str], ...], float] = {
        ((f"{b}/{side}/op", "op1"),): 1.0 for b in (1, 2) for side in "ab"
    }
    limit = Limit(Cost("macs", terms), 2.0)
    space = cells(2, 2, (limit,))
    score = additive(space)
    told = architectures(drive(Progressive(space, beam=10**6, predictor=Oracle(score)), score))
    assert sorted(a.code for a in space.enumerate()) == sorted(a.code for a in told)
    assert max(limit.cost(a.picks) for a in told) == 2.0


def test_a_space_without_a_depth_is_opened_group_by_group() -> None:
    space = Space(
        (
            Choice("1/op", ("x", "y", "z")),
            Choice("1/width", ("8", "16")),
            Choice("2/op", ("x", "y")),
            Choice("2/inputs", ("0", "1", "2"), pick=2),
            Choice("skips", ("a", "b"), pick=(0, 2)),
        )
    )
    levels = growth(space)
    assert [level.size for level in levels] == [6, 36, 144]
    score = additive(space)
    told = architectures(drive(Progressive(space, beam=10**6, predictor=Oracle(score)), score))
    assert max(space.enumerate(), key=score) == max(told, key=score)
    flat = Space((Choice("a", ("x", "y")), Choice("b", ("x", "y"))))
    assert [level.size for level in growth(flat)] == [2, 4]


@pytest.mark.parametrize("beam", [4, 100])
def test_what_an_earlier_level_trained_is_kept_and_not_trained_again(beam: int) -> None:
    space = Space(tuple(Choice(c, ("x", "y", "z")) for c in "abcd"))
    score = additive(space)
    trials = drive(Deduplicated(Progressive(space, beam=beam, predictor=Oracle(score)), space), score)
    told = architectures(trials)
    assert len(told) == len(set(told))
    assert all("level" in t.proposal.origin for t in trials)  # not by enumeration
    assert max(space.enumerate(), key=score) in told
    assert beam < space.size or set(space.enumerate()) == set(told)


def test_failed_trials_are_not_extended() -> None:
    space = cells(2, 2)
    score = additive(space)
    told = drive(Progressive(space, beam=16, predictor=Ensemble(space, members=2, steps=5)), score, lambda id: id < 12)
    worked = [a for t, a in zip(told, architectures(told), strict=True) if a["blocks"] == "1" and not t.failed]
    first_blocks = [{k: v for k, v in a.picks.items() if k != "blocks"} for a in worked]
    for a in architectures(told)[16:]:
        assert {k: v for k, v in a.picks.items() if k.startswith("1/")} in first_blocks


def test_where_all_failed_the_search_goes_on() -> None:
    space = cells(2, 2)
    assert len(drive(Progressive(space, beam=16), additive(space), lambda id: True)) == 32


def test_a_fitted_predictor_finds_better_cells_than_chance() -> None:
    space = cells(3, 3)
    value = {"0": 0.1, "1": 0.0, "2": 0.3, "3": 0.2, "op0": 0.0, "op1": 0.2, "op2": 0.4}

    def score(architecture: Architecture) -> float:
        tokens = [value[p[0]] for name, p in architecture.picks.items() if name != "blocks"]
        return 1.5 * sum(tokens) / len(tokens)

    ensemble = Ensemble(space, members=2, steps=60)
    told = architectures(drive(Progressive(space, beam=21, predictor=ensemble), score))
    last = space.restrict({"blocks": ("3",)})
    drawn = [score(space.architecture(last.sample(np.random.default_rng(i)).picks)) for i in range(200)]
    assert np.quantile(drawn, 0.95) < np.mean([score(a) for a in told[42:]])


def test_workers_wait_at_the_end_of_a_level() -> None:
    strategy = Progressive(cells(2, 1), beam=4, predictor=Ensemble(cells(2, 1), members=1, steps=1))
    pending: list[Trial] = []
    while (proposal := strategy.ask(pending, np.random.default_rng(len(pending)))) is not None:
        pending.append(Trial(len(pending), "search", proposal))
    assert 4 == len(pending) == len({t.proposal.architecture for t in pending})


def test_levels_that_are_not_nested_are_refused() -> None:
    with pytest.raises(ValueError, match="levels\\[0\\] is not nested in the space: choice 'c' has the options x"):
        Progressive(cells(2, 1), levels=(Space((Choice("c", ("x",)),)),))


def test_it_runs_to_its_end_in_a_study() -> None:
    table = ToyTable()
    strategy = Progressive(table.space, beam=10, predictor=Ensemble(table.space, steps=20))
    trials = run(strategy, table, 100).told
    assert [sum(a["depth"] == d for a in architectures(trials)) for d in "345"] == [10, 10, 10]


def test_its_predictor_of_losses_orders_what_it_was_not_shown() -> None:
    space = cells(2, 4)
    score, rng = additive(space), np.random.default_rng(0)
    some = list(dict.fromkeys(space.sample(rng) for _ in range(60)))
    losses = np.array([10 - 30 * score(a) for a in some])
    found = cross_validated(Progressive(space).surrogate, some, losses, rng)
    assert found.kendall > 0.5
