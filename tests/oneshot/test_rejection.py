"""Limits that can only be looked up."""

import torch

from morphogen.choice import Choice
from morphogen.oneshot import Controller, Softmax, Uniform
from morphogen.oneshot.rejection import LOOKED_AT, within
from morphogen.space import Space

SPACE = Space(tuple(Choice(f"{i}", ("small", "large")) for i in range(12)))


def large(architecture):
    return sum(picked == ("large",) for picked in architecture.picks.values())


def generator():
    return torch.Generator().manual_seed(0)


def weighing(by):
    distribution = Softmax(SPACE, dtype=torch.float64)
    with torch.no_grad():
        for i, logits in enumerate(distribution.logits.values()):
            logits[1] = by * (1 + i / 100)
    return distribution


def never(architecture):
    raise AssertionError("what is weighed needs no score")


def test_of_weights_it_is_the_most_probable_that_fits():
    distribution, asked = weighing(1.0), []

    def fits(architecture):
        asked.append(architecture)
        return large(architecture) <= 10

    found = within(distribution, distribution.likeliest(), fits, never, generator())
    # the two that are least sure of being large
    assert [f"{i}" for i in range(2)] == [name for name, picked in found.picks.items() if picked == ("small",)]
    assert len(set(asked)) == len(asked) <= LOOKED_AT


def test_where_the_most_probable_ones_are_all_too_large_some_are_drawn():
    distribution = weighing(0.3)
    found = within(distribution, distribution.likeliest(), lambda a: large(a) <= 4, never, generator())
    assert large(found) <= 4


def test_what_samples_derives_anew_and_scores_only_what_fits():
    for distribution in (Uniform(SPACE, candidates=4), Controller(SPACE, candidates=4)):
        scored = []

        def score(architecture, scored=scored):
            scored.append(architecture)
            return float(large(architecture))

        unlimited = distribution.derive(score, generator())
        scored.clear()
        found = within(distribution, unlimited, lambda a: large(a) <= 4, score, generator())
        assert large(found) <= 4
        assert all(large(a) <= 4 for a in scored)
        assert large(found) == max(map(large, scored))


def test_where_nothing_fits_it_stays_what_it_was():
    for distribution in (weighing(1.0), Uniform(SPACE, candidates=2)):
        first = distribution.derive(lambda a: 0.0, generator())
        assert first == within(distribution, first, lambda a: False, lambda a: 0.0, generator())
