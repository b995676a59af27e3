from collections import Counter
from dataclasses import replace

import own_model
import pytest
import torch

from morphogen.limits import Cost, Limit
from morphogen.nn.mixture import picks_to_mixture
from morphogen.nn.network import network
from morphogen.oneshot import Sandwich, Uniform
from morphogen.space import Choice, Space
from morphogen.spaces.darts import DARTS
from morphogen.spaces.nasbench201 import NASBENCH201, from_string
from morphogen.spaces.nasbench201 import SKELETONS as CELL_SKELETONS


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_fair_step_runs_every_option_of_a_choice_once():
    space = Space(tuple(Choice(f"layer{i}", ("a", "b", "c")) for i in range(4)))
    distribution = Uniform(space, fair=True)
    draws = generator()
    for _ in range(20):
        mixtures = distribution.draw(draws)
        assert 3 == len(mixtures)
        for choice in space:
            assert {"a": 1, "b": 1, "c": 1} == Counter(o for m in mixtures for o in m[choice.name])
    first = [tuple(m["layer0"]) for m in distribution.draw(generator(1))]
    assert first != [tuple(m["layer1"]) for m in distribution.draw(generator(1))] or len(set(first)) == 3


@pytest.mark.parametrize("space", [DARTS, own_model.space])
def test_fair_counts_differ_by_one_at_most_each_time_a_choice_is_met(space):
    distribution = Uniform(space, fair=True)
    for seed in range(10):
        mixtures = distribution.draw(generator(seed))
        for choice in space:
            counts = Counter(o for m in mixtures for o in m.get(choice.name, ()))
            met = [counts[o] for o in choice.pickable]
            assert max(met) - min(met) <= 1 + (choice.pick != 1)


def test_fair_steps_stay_within_limits():
    choices = tuple(Choice(f"{i}/width", ("8", "16", "24"), ordered=True) for i in range(3))
    cost = Cost("params", {((c.name, o),): float(o) for c in choices for o in c.options})
    space = Space(choices, limits=(Limit(cost, 40),))
    for mixture in Uniform(space, fair=True).draw(generator()):
        assert sum(int(next(iter(options))) for options in mixture.values()) <= 40


def test_a_sandwich_is_the_largest_the_smallest_and_some_between():
    largest, smallest, *between = Sandwich(own_model.space, between=3).draw(generator())
    sizes = [{name: next(iter(m[name])) for name in ("kernel", "width", "depth")} for m in (largest, smallest)]
    assert {"kernel": "5", "width": "24", "depth": "3"} == sizes[0]
    assert {"kernel": "3", "width": "8", "depth": "1"} == sizes[1]
    assert 3 == len(between)


def test_a_sandwich_needs_something_to_be_large_and_keeps_to_the_limits():
    with pytest.raises(ValueError, match="no choice of the space is ordered"):
        Sandwich(DARTS)
    choices = tuple(Choice(f"{i}/width", ("8", "16", "24"), ordered=True) for i in range(2))
    cost = Cost("params", {((c.name, o),): float(o) for c in choices for o in c.options})
    largest, smallest, *_ = Sandwich(Space(choices, limits=(Limit(cost, 40),))).draw(generator())
    assert [["24", "16"], ["8", "8"]] == [[next(iter(o)) for o in m.values()] for m in (largest, smallest)]


def test_two_architectures_that_share_an_edge_train_the_same_weights_of_it_and_no_others():
    skeleton = replace(CELL_SKELETONS["search"], image=(1, 8, 8), classes=4, channels=4, cells=3, cells_per_repeat=1)
    supernet = network(NASBENCH201, skeleton)
    edges = [name for name, _ in supernet.named_parameters() if ".edges." in name]

    def trained(text):
        supernet.zero_grad()
        supernet(torch.randn(4, 1, 8, 8), picks_to_mixture(from_string(text))).sum().backward()
        return {name for name in edges if supernet.get_parameter(name).grad is not None}

    a = trained("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|none~1|skip_connect~2|")
    b = trained("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|nor_conv_3x3~1|skip_connect~2|")
    assert 3 == len(a & b)  # in each of the three cells, the convolution of the first edge
    assert all("1<-0" in name and "nor_conv_3x3" in name for name in a & b)
    assert all("3<-0" in name and "nor_conv_1x1" in name for name in a - b)
    assert all("3<-1" in name and "nor_conv_3x3" in name for name in b - a)
