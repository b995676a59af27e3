"""The generators of a study."""

import pickle

import numpy as np
import pytest

from morphogen.randomness import BLOCK, Generators


@pytest.mark.parametrize("seed", [0, 1, 20_261_124, 2**32 - 1, 2**32, 2**70])
@pytest.mark.parametrize("id", [0, 1, BLOCK - 1, BLOCK, 123_456, 2**32 - 1, 2**32, 2**40])
def test_a_generator_is_the_one_that_numpy_makes(seed: int, id: int) -> None:
    made = Generators(seed)
    for purpose in (0, 1, 2):
        expected, found = np.random.default_rng((seed, id, purpose)), made(id, purpose)
        assert expected.bit_generator.state == found.bit_generator.state
        assert expected.random(3).tolist() == found.random(3).tolist()


def test_each_is_a_new_one() -> None:
    made = Generators(0)
    first = made(5, 1)
    first.random(10)
    assert np.random.default_rng((0, 5, 1)).random() == made(5, 1).random()
    assert first is not made(5, 1)


def test_more_can_be_had_of_it_as_of_numpys() -> None:
    expected, found = np.random.default_rng((7, 5, 1)), Generators(7)(5, 1)
    assert [g.random() for g in expected.spawn(2)] == [g.random() for g in found.spawn(2)]
    assert expected.spawn(1)[0].random() == found.spawn(1)[0].random()  # the third, not the first again
    sequences = expected.bit_generator.seed_seq, found.bit_generator.seed_seq
    words = [[*s.generate_state(4), *s.generate_state(8, np.uint64)] for s in sequences]
    assert words[0] == words[1]


def test_it_can_be_pickled() -> None:
    found = Generators(7)(5, 1)
    assert found.random() == pickle.loads(pickle.dumps(Generators(7)(5, 1))).random()
