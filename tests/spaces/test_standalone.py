import numpy as np
import pytest

from morphogen.nn.mixed import MixedOp
from morphogen.space import Choice, Space
from morphogen.spaces.standalone import require_one_point

SPACE = Space((Choice("op", ("a", "b")), Choice("inputs", ("0", "1"), pick=(0, 2))))


def test_a_space_of_one_point_is_accepted():
    for seed in range(4):
        require_one_point(SPACE.fix(SPACE.sample(np.random.default_rng(seed))), MixedOp, "they share no weights")


def test_an_open_choice_and_another_mixed_operation_are_refused_with_the_reason():
    with pytest.raises(ValueError, match=r"they share no weights, and choice 'op' is open \(2 options\): build from"):
        require_one_point(SPACE, MixedOp, "they share no weights")
    with pytest.raises(ValueError, match="choice 'inputs' is open"):
        require_one_point(SPACE.restrict({"op": ("a",)}), MixedOp, "they share no weights")
    fixed = SPACE.fix(SPACE.sample(np.random.default_rng(0)))
    with pytest.raises(ValueError, match="so nothing mixes its operations"):
        require_one_point(fixed, lambda choice, build: build(choice.options[0]), "they share no weights")
