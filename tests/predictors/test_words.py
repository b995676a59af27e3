import numpy as np
import pytest

from morphogen.predictors.layout import layout
from morphogen.predictors.words import ALWAYS, Lookup, mix, options, word
from morphogen.space import Choice, Space


def test_every_column_says_what_its_state_means() -> None:
    states = np.array([[0, 2], [1, 0]], np.uint8)
    words = Lookup([(1, [5, 6, 7]), (ALWAYS, [9]), (0, [1, 2])], np.uint64)
    assert [[7, 5], [9, 9], [1, 2]] == words(states).tolist()
    assert [[True, False]] == Lookup([(1, [False, True, True])], np.bool_)(states).tolist()
    assert (0, 2) == Lookup([], np.uint64)(states).shape


def test_an_option_has_the_word_of_its_name_and_what_does_not_exist_has_none() -> None:
    space = Space((Choice("a", ("x",)), Choice("b", ("x", "y"))))
    at, words = options(layout(space).block("b"))
    assert (1, [0, word("x"), word("y")]) == (at, words.tolist())
    assert (ALWAYS, [0]) == (options(None)[0], options(None)[1].tolist())


@pytest.mark.parametrize(("seed", "expected"), [(0x9E3779B97F4A7C15, 0xE220A8397B1DCDAF), (0, 0)])
def test_words_are_mixed_as_by_splitmix64(seed: int, expected: int) -> None:
    words = np.array([seed], np.uint64)
    assert [expected] == mix(words).tolist()
    assert [seed] == words.tolist()
