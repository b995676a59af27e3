from itertools import product

import numpy as np
import pytest

from morphogen.objective import dominates
from morphogen.pareto import crowding, fronts, hypervolume


def test_fronts_are_what_is_left_when_the_better_ones_are_taken_away() -> None:
    losses = np.random.default_rng(0).integers(0, 6, size=(40, 3)).astype(float)
    left, expected, rank = set(range(40)), np.zeros(40, int), 0
    while left:
        front = {i for i in left if not any(dominates(losses[j], losses[i]) for j in left)}
        expected[list(front)] = rank
        left, rank = left - front, rank + 1
    assert expected.tolist() == fronts(losses).tolist()


def test_a_smaller_violation_dominates_whatever_the_losses() -> None:
    assert [1, 0, 2, 2] == fronts([[0.0, 5.0], [9.0, 9.0], [0.0, 0.0], [1.0, 1.0]], [0.5, 0.0, 0.7, 0.7]).tolist()


def test_crowding_is_infinite_at_the_ends_and_the_side_of_the_box_between() -> None:
    inf = np.inf
    assert [inf, 2 / 4 + 3 / 4, 3 / 4 + 2 / 4, inf] == crowding([[0, 4], [1, 2], [2, 1], [4, 0]]).tolist()


def test_crowding_of_equal_losses_is_nothing() -> None:
    assert [0.0, 0.0] == crowding([[1.0, 2.0], [1.0, 2.0]]).tolist()


def test_hypervolume_of_textbook_fronts() -> None:
    assert 0.0 == hypervolume([], (1.0, 1.0))
    assert 6.0 == hypervolume([[1, 3], [2, 2], [3, 1]], (4, 4))
    assert 6.0 == hypervolume([[1, 3], [2, 2], [3, 1], [3, 3], [5, 0]], (4, 4))
    assert 1.0 == hypervolume([[1, 1, 1]], (2, 2, 2))
    assert 4.0 == hypervolume([[1, 2, 2], [2, 1, 2], [2, 2, 1]], (3, 3, 3))
    assert 3.0 == hypervolume([[1.0], [2.0]], (4.0,))


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_hypervolume_counts_the_cells_of_a_lattice(objectives: int) -> None:
    losses = np.random.default_rng(objectives).integers(0, 6, size=(12, objectives))
    cells = product(range(5), repeat=objectives)
    expected = sum(bool((losses <= np.array(cell)).all(1).any()) for cell in cells)
    assert expected == hypervolume(losses, (5,) * objectives)


def test_the_discrete_front_of_dtlz1_has_its_known_volume() -> None:
    # the plane x + y + z = 1/2 cuts 1/48 off the box, in the limit
    points = [(a / 200, b / 200, (100 - a - b) / 200) for a in range(101) for b in range(101 - a)]
    assert 0.125 - 1 / 48 == pytest.approx(hypervolume(points, (0.5, 0.5, 0.5)), abs=4e-3)


def test_another_number_of_objectives_is_refused() -> None:
    with pytest.raises(ValueError, match="reference of 3 objectives"):
        hypervolume([[1.0, 2.0]], (4.0, 4.0, 4.0))
