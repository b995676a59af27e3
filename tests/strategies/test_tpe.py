import numpy as np
import pytest

from morphogen.estimators.toy import ToyTable, toy_space
from morphogen.predictors.layout import layout
from morphogen.space import Choice, Cost, Limit, Space, When
from morphogen.strategies import RandomSearch, Tpe
from morphogen.strategies.tpe import Density
from morphogen.testing.strategy import run
from morphogen.trial import Outcome, Proposal, Trial

SPACE = Space(
    (
        Choice("depth", ("1", "2", "4"), ordered=True),
        Choice("op", ("conv", "pool", "none"), mixed_only=("none",)),
        Choice("kernel", ("3", "5", "7"), when=When("op", ("conv",)), ordered=True),
        Choice("skips", ("0", "1"), pick=(0, 2)),
        Choice("inputs", ("a", "b", "c"), pick=2, when=When("op", ("pool",))),
    )
)


def taught(strategy: Tpe, count: int, fidelity: dict[str, float] | None = None, first: int = 0) -> None:
    for id in range(first, first + count):
        proposal = Proposal(strategy.space.sample(np.random.default_rng(id)), fidelity or {})
        strategy.tell(Trial(id, "search", proposal, Outcome(), (float(id % 13),)), np.random.default_rng(id))


def test_a_density_over_a_space_of_unrestricted_choices_adds_up_to_one() -> None:
    space = Space(SPACE.choices[:4])
    rows = layout(space)
    everything = rows.read(list(space.enumerate()))
    density = Density(rows, everything[[0, 5, 17]], bandwidth=0.25, prior=1.0)
    assert 1.0 == pytest.approx(float(np.exp(density.logarithm(everything)).sum()))


def test_draws_are_distributed_as_the_density_says() -> None:
    space = Space(SPACE.choices[:3])
    rows = layout(space)
    everything = rows.read(list(space.enumerate()))
    density = Density(rows, everything[[0, 4]], bandwidth=0.25, prior=1.0)
    drawn = density.draw(20_000, np.random.default_rng(0))
    counts = np.array([(drawn == row).all(1).sum() for row in everything])
    assert 20_000 == counts.sum()
    assert np.abs(counts / 20_000 - np.exp(density.logarithm(everything))).max() < 0.01


def test_draws_have_subsets_of_the_right_size_and_only_choices_that_exist() -> None:
    rows = layout(SPACE)
    everything = rows.read(list(SPACE.enumerate()))
    drawn = Density(rows, everything[::7], bandwidth=0.25, prior=1.0).draw(500, np.random.default_rng(0))
    assert {row.tobytes() for row in drawn} <= {row.tobytes() for row in everything}
    assert len(np.unique(drawn, axis=0)) > 40


def test_near_numbers_are_more_likely_than_far_ones() -> None:
    rows = layout(SPACE)
    center = SPACE.parse("depth=1 op=conv kernel=3 skips=")
    near, far = (center.text.replace("depth=1", f"depth={d}") for d in ("2", "4"))
    density = Density(rows, rows.read([center]), bandwidth=0.25, prior=1.0)
    at = density.logarithm(rows.read([center, SPACE.parse(near), SPACE.parse(far)]))
    assert at[0] > at[1] > at[2]


def test_it_never_proposes_what_was_told_and_ends_with_the_space() -> None:
    space = Space((Choice("a", ("x", "y", "z")), Choice("b", ("1", "2", "3", "4"))))
    strategy, found = Tpe(space, startup=3), []
    while (proposal := strategy.ask([], np.random.default_rng(len(found)))) is not None:
        found.append(proposal.architecture)
        trial = Trial(len(found), "search", proposal, Outcome(), (float(len(found) % 5),))
        strategy.tell(trial, np.random.default_rng(0))
    assert 12 == len(found) == len(set(found))


def test_limits_are_kept_where_hardly_anything_meets_them() -> None:
    choices = tuple(Choice(f"c{i}", ("a", "b")) for i in range(12))
    space = Space(choices, limits=(Limit(Cost("b", {((c.name, "b"),): 1.0 for c in choices}), 1.0),))
    strategy, found = Tpe(space, startup=3), set()
    for id in range(13):
        proposal = strategy.ask([], np.random.default_rng(id))
        assert proposal is not None
        assert proposal.architecture is not None
        assert space.feasible(proposal.architecture.picks)
        found.add(proposal.architecture)
        strategy.tell(Trial(id, "search", proposal, Outcome(), (float(id),)), np.random.default_rng(id))
    assert 13 == len(found)
    assert strategy.ask([], np.random.default_rng(0)) is None


def test_the_fullest_fidelity_with_enough_trials_is_modeled() -> None:
    strategy = Tpe(toy_space(), startup=10)
    taught(strategy, 20, {"epochs": 1.0})
    low = strategy._fullest()
    taught(strategy, 9, {"epochs": 3.0}, first=20)
    assert low is strategy._fullest()
    taught(strategy, 1, {"epochs": 3.0}, first=29)
    assert [t.id for t in strategy._fullest().latest] == list(range(20, 30))  # type: ignore[union-attr]
    taught(strategy, 10, first=30)
    assert [t.id for t in strategy._fullest().latest] == list(range(30, 40))  # type: ignore[union-attr]


def test_it_beats_random_search_on_the_toy_table() -> None:
    table = ToyTable()

    def mean_best(make: type) -> float:
        return float(
            np.mean([min(t.loss for t in run(make(table.space), table, 80, slots=1, seed=s).told) for s in range(5)])
        )

    assert mean_best(Tpe) < mean_best(RandomSearch)


@pytest.mark.parametrize("wrong", [{"startup": 0}, {"good": 1.0}, {"bandwidth": 0.0}, {"prior": 0.0}])
def test_what_cannot_work_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Tpe(toy_space(), **wrong)
