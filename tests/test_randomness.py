"""The generators of a study."""

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
