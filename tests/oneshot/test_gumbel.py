from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from morphogen.nn.inherit import inherit
from morphogen.nn.mixture import bind
from morphogen.nn.network import network
from morphogen.oneshot import Gumbel
from morphogen.oneshot.distribution import Step
from morphogen.space import Choice, Space
from morphogen.spaces.darts import SKELETONS, darts

SMALL = darts(nodes=2, operations=("none", "skip_connect", "sep_conv_3x3", "max_pool_3x3"))
SKELETON = replace(SKELETONS["search"], image=(1, 8, 8), classes=4, channels=4, cells=2, reductions=(1,))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_one_option_runs_with_weight_one_and_the_gradient_of_the_softmax():
    space = Space((Choice("op", ("a", "b", "c")),))
    distribution = Gumbel(space, dtype=torch.float64)
    with torch.no_grad():
        distribution.logits["op"].copy_(torch.tensor([0.5, -0.5, 0.0]))
    distribution.temperature = 2.0
    options = distribution.sample(generator(3))["op"]
    ((picked, weight),) = options.items()
    noise = -torch.empty(3, dtype=torch.float64).exponential_(generator=generator(3)).log()
    logits = torch.tensor([0.5, -0.5, 0.0], dtype=torch.float64, requires_grad=True)
    noisy = logits.log_softmax(0) + noise
    assert "abc"[int(noisy.argmax())] == picked
    assert 1.0 == weight.item()
    (found,) = torch.autograd.grad(weight, distribution.logits["op"])
    (expected,) = torch.autograd.grad((noisy / 2.0).softmax(0)[int(noisy.argmax())], logits)
    torch.testing.assert_close(found, expected)


def test_options_are_picked_as_often_as_the_softmax_says():
    space = Space((Choice("op", ("a", "b", "c")), Choice("inputs", ("0", "1", "2"), pick=2)))
    distribution = Gumbel(space)
    with torch.no_grad():
        distribution.logits["op"].copy_(torch.tensor([1.0, 0.0, -1.0]))
    draws = generator()
    drawn = [distribution.sample(draws) for _ in range(2000)]
    assert all(2 == len(mixture["inputs"]) for mixture in drawn)
    shares = [sum(o in mixture["op"] for mixture in drawn) / 2000 for o in "abc"]
    assert pytest.approx(torch.tensor([1.0, 0.0, -1.0]).softmax(0).tolist(), abs=0.04) == shares


def test_a_sample_runs_what_it_picked_only_and_equals_it_alone():
    torch.manual_seed(0)
    supernet = network(SMALL, SKELETON).double()
    distribution = Gumbel(SMALL, dtype=torch.float64)
    x = torch.randn(4, 1, 8, 8, dtype=torch.float64)
    mixture = distribution.sample(generator(1))
    with bind(supernet, mixture):
        supernet(x).sum().backward()
    for name, p in supernet.named_parameters():
        if ".ops." in name and "cells.0." in name:
            _, _, _, node, _, state, _, option, *_ = name.split(".")
            assert (option in mixture[f"normal/{int(node) + 2}<-{state}"]) == (p.grad is not None)
    assert sum(p.grad is not None for p in supernet.parameters()) < len(list(supernet.parameters()))
    picks = {}
    for choice in SMALL:
        options = [o for o in mixture[choice.name] if o in choice.pickable]
        picks[choice.name] = options[:2] if choice.pick == 2 else options or ["skip_connect"]
    architecture = SMALL.architecture(picks)
    alone = {c.name: dict.fromkeys(architecture.picks.get(c.name, ("none",))) for c in SMALL}
    standalone = network(SMALL.fix(architecture), SKELETON).double()
    inherit(supernet, standalone, architecture)
    with bind(supernet, alone), torch.no_grad():
        torch.testing.assert_close(standalone(x), supernet(x), rtol=0, atol=1e-12)


def test_the_temperature_falls_with_the_progress_and_is_part_of_the_state():
    supernet, x = network(SMALL, SKELETON), torch.randn(4, 1, 8, 8)
    distribution = Gumbel(SMALL, hottest=5.0, coldest=1.0)
    optimizer = torch.optim.SGD(supernet.parameters(), 0.1)
    step = Step(supernet, optimizer, None, lambda: (x, torch.arange(4)), 0, False, generator(), F.cross_entropy, 0.25)
    distribution.update(step)
    assert 4.0 == distribution.temperature
    again = Gumbel(SMALL, hottest=5.0, coldest=1.0)
    again.load_state_dict(distribution.state_dict())
    assert 4.0 == again.temperature


def test_temperatures_are_above_zero():
    with pytest.raises(ValueError, match=r"temperatures are above 0, got 10\.0 to 0"):
        Gumbel(SMALL, coldest=0)
