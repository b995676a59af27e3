import math
from dataclasses import replace

import own_model
import pytest
import torch

from morphogen.choice import Choice
from morphogen.nn.network import network
from morphogen.oneshot import Softmax, Uniform
from morphogen.oneshot.controller import Controller
from morphogen.oneshot.distribution import Step
from morphogen.oneshot.health import health, most_skips, warnings
from morphogen.space import Space
from morphogen.spaces.darts import DARTS
from morphogen.spaces.enas_macro import SKELETONS, enas_macro
from morphogen.spaces.nasbench201 import NASBENCH201


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


@pytest.mark.parametrize(
    "space",
    [
        NASBENCH201,
        *(
            Space(tuple(Choice(n, ("skip", "skip_connect")) for n in names))
            for names in ("abcdef", [f"{i}/op" for i in range(6)])
        ),
    ],
)
def test_skips_of_spaces_without_cells_are_all_of_one(space):
    assert 6 == most_skips(space.architecture({c.name: "skip_connect" for c in space}))


def test_none_that_dominates_and_indecision_are_said():
    (said,) = warnings({name: [(1.0, v)] for name, v in health(skewed("none", 3.0)).items()})
    assert said.startswith("`none` has 74% of the weight and is never picked")
    (said,) = warnings({"entropy": [(1.0, 1.0), (2.0, 0.999)], "skip_share": [(1.0, 0.9), (2.0, 0.25)]})
    assert said.startswith("the options are still weighed almost alike (entropy 0.999 of 1)")


def test_a_space_without_skips_has_only_the_signs_that_it_can_have():
    assert {"entropy"} == set(health(Softmax(own_model.space)))
    assert {} == health(Uniform(DARTS))
    assert [] == warnings({})


def test_a_controller_shows_rewards_their_average_and_its_entropy():
    space = enas_macro(2)
    controller = Controller(space, steps=2, aggregate=20)
    assert {} == health(controller)
    skeleton = replace(SKELETONS["search"], image=(1, 8, 8), classes=4, channels=4, cells=2)
    torch.manual_seed(0)
    supernet = network(space, skeleton)
    batch = torch.randn(8, 1, 8, 8), torch.arange(8) % 4
    optimizer = torch.optim.SGD(supernet.parameters(), 0.1)
    controller.update(Step(supernet, optimizer, batch, lambda: batch, 0, True, torch.Generator().manual_seed(0)))
    signs = health(controller)
    assert {"reward": controller.reward, "baseline": controller.baseline} == {
        k: signs[k] for k in ("reward", "baseline")
    }
    # untrained, all architectures are about equally likely: 6 operations twice, one connection
    assert pytest.approx(math.log(6 * 6 * 2), rel=0.05) == signs["controller_entropy"]


def test_a_controller_that_has_settled_or_fails_is_said():
    (said,) = warnings({"controller_entropy": [(1.0, 4.0), (2.0, 0.1)]})
    assert said.startswith("the controller samples almost one architecture only (entropy 0.10 nats, first 4.00)")
    (said,) = warnings({"reward": [(e, 0.4) for e in (1.0, 2.0, 3.0)], "baseline": [(3.0, 0.6)]})
    assert said.startswith("the controller's last rewards (0.4) are far below their moving average (0.6)")


def test_a_minimum_that_gets_sharp_is_said():
    def curves(values):
        return {"sharpness": list(enumerate(values, start=1))}

    (said,) = warnings(curves([0.3] * 5 + [0.5] * 5))
    assert said.startswith(
        "the minimum that the architecture sits in gets sharp (largest eigenvalue 0.5 in the last 5 "
    )
    assert [] == warnings(curves([0.4] * 5 + [0.5] * 5)) == warnings(curves([0.1] * 4 + [0.5] * 5))
