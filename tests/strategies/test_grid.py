import numpy as np
import pytest

from morphogen.space import Architecture, Choice, Space, When
from morphogen.strategies import Grid
from morphogen.trial import Outcome, Trial

SPACE = Space((Choice("a", ("x", "y")), Choice("b", ("1", "2"), when=When("a", ("y",))), Choice("c", ("p", "q"))))


def first_letter(architecture: Architecture) -> bytes:
    return str(architecture["a"]).encode()


def listed(grid: Grid) -> list[str]:
    found: list[str] = []
    while (proposal := grid.ask([], np.random.default_rng(0))) is not None:
        assert proposal.architecture is not None
        found.append(proposal.architecture.text)
        grid.tell(Trial(len(found), "search", proposal, Outcome(), (0.0,)), np.random.default_rng(0))
    return found


def test_every_architecture_once_in_the_order_of_the_choices_then_nothing() -> None:
    assert [a.text for a in SPACE.enumerate()] == listed(Grid(SPACE))


def test_shuffled_it_is_the_same_set_in_an_order_that_the_seed_gives() -> None:
    first, again, other = (listed(Grid(SPACE, shuffle=s)) for s in (1, 1, 2))
    assert first == again != other
    assert sorted(first) == sorted(other) == sorted(listed(Grid(SPACE)))


def test_isomorphic_architectures_are_listed_once() -> None:
    assert ["a=x c=p", "a=y b=1 c=p"] == listed(Grid(Space(SPACE.choices, canonical=first_letter)))


def test_pending_trials_are_passed_over_and_any_order_of_telling_will_do() -> None:
    grid, pending = Grid(SPACE), []
    for id in range(6):
        proposal = grid.ask(pending, np.random.default_rng(0))
        assert proposal is not None
        pending.append(Trial(id, "search", proposal, Outcome(), (0.0,)))
    assert grid.ask(pending, np.random.default_rng(0)) is None
    for trial in reversed(pending):
        grid.tell(trial, np.random.default_rng(0))
    assert grid.ask([], np.random.default_rng(0)) is None


def test_a_space_too_large_to_list_is_not_shuffled_but_enumerated() -> None:
    large = Space(tuple(Choice(f"c{i}", ("a", "b")) for i in range(30)))
    with pytest.raises(ValueError, match="1,073,741,824 architectures"):
        Grid(large, shuffle=0)
    assert Grid(large).ask([], np.random.default_rng(0)) is not None
