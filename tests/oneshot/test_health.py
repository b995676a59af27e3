import own_model
import pytest
import torch

from morphogen.oneshot import Softmax, Uniform
from morphogen.oneshot.health import health, most_skips, warnings
from morphogen.spaces.darts import DARTS


def skewed(option, by=9.0):
    distribution = Softmax(DARTS)
    with torch.no_grad():
        for name, logits in distribution.logits.items():
            logits[DARTS[name].options.index(option)] = by
    return distribution


def test_untouched_weights_are_undecided_and_skip_nothing():
    signs = health(Softmax(DARTS))
    assert pytest.approx({"skip_share": 0.0, "none_weight": 0.125, "entropy": 1.0}) == signs


def test_a_collapse_is_seen_and_said():
    distribution = skewed("skip_connect")
    signs = health(distribution)
    assert 1.0 == signs["skip_share"]
    assert signs["entropy"] < 0.01
    assert 8 == most_skips(distribution.likeliest())
    (said,) = warnings({name: [(1.0, value)] for name, value in signs.items()})
    assert said.startswith("100% of the operations found are skips: the collapse")


def test_none_that_dominates_and_indecision_are_said():
    (said,) = warnings({name: [(1.0, v)] for name, v in health(skewed("none", 3.0)).items()})
    assert said.startswith("`none` has 74% of the weight and is never picked")
    (said,) = warnings({"entropy": [(1.0, 1.0), (2.0, 0.999)], "skip_share": [(1.0, 0.9), (2.0, 0.25)]})
    assert said.startswith("the options are still weighed almost alike (entropy 0.999 of 1)")


def test_a_space_without_skips_has_only_the_signs_that_it_can_have():
    assert {"entropy"} == set(health(Softmax(own_model.space)))
    assert {} == health(Uniform(DARTS))
    assert [] == warnings({})
