import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import own_model
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from morphogen.limits import Cost, Limit
from morphogen.nn.inherit import inherit
from morphogen.nn.mixed import MixedOp
from morphogen.nn.mixture import bind
from morphogen.nn.network import network
from morphogen.oneshot import Dirichlet, Gumbel, Softmax, Uniform
from morphogen.oneshot.distribution import Step, logits_of
from morphogen.space import Choice, Space
from morphogen.spaces.darts import DARTS, SKELETONS, from_genotype, to_genotype
from morphogen.spaces.genotype import CellGenotype, Genotype

FILE = (
    Path(os.environ.get("MORPHOGEN_CHECKS", Path(__file__).parents[3] / "shared" / "checks")) / "darts_discretize.json"
)
CASES = json.loads(FILE.read_text())["cases"] if FILE.exists() else []
NAMES = ["seed0", "seed2", "seed4", "all_zero_ties", "none_dominates_some_edges"]
TINY = replace(SKELETONS["search"], image=(1, 8, 8), classes=10, channels=2, cells=3)
SPACES = {"darts": (DARTS, TINY), "own-model": (own_model.space, None)}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def never(architecture):
    raise AssertionError("nothing is to be scored")


def step(supernet, x, y, loss=F.cross_entropy):
    def valid():
        return x, y

    optimizer = torch.optim.SGD(supernet.parameters(), 0.1)
    return Step(supernet, optimizer, (x, y), valid, epoch=0, last=False, generator=generator(), loss=loss)


def set_logits(distribution, values):
    with torch.no_grad():
        for name, row in values.items():
            distribution.logits[name].copy_(torch.as_tensor(row))


@pytest.fixture(params=SPACES)
def setting(request):
    space, skeleton = SPACES[request.param]
    torch.manual_seed(0)
    return space, skeleton, network(space, skeleton).double(), torch.randn(2, 1, 8, 8, dtype=torch.float64)


def test_a_uniform_draw_is_one_architecture_and_equals_it_alone(setting):
    space, skeleton, supernet, x = setting
    draws, distribution = generator(), Uniform(space)
    for _ in range(20):
        (mixture,) = distribution.draw(draws)
        assert all(weight is None for options in mixture.values() for weight in options.values())
        architecture = space.architecture({name: list(options) for name, options in mixture.items()})
        standalone = network(space.fix(architecture), skeleton).double()
        inherit(supernet, standalone, architecture)
        with bind(supernet, mixture), torch.no_grad():
            torch.testing.assert_close(standalone(x), supernet(x), rtol=0, atol=1e-12)


def test_a_softmax_that_is_sure_equals_what_it_derives_alone(setting):
    space, skeleton, supernet, x = setting
    draws = generator()
    for _ in range(20):
        distribution = Softmax(space, dtype=torch.float64)
        for choice in space:
            if choice.name in distribution.logits:
                sure = torch.randint(len(choice.pickable), (), generator=draws).item()
                values = {choice.name: [1000.0 * (o == choice.pickable[sure]) for o in choice.options]}
                set_logits(distribution, values)
        architecture = distribution.derive(never, generator())
        # edges that were not picked do not run in the architecture: `none` takes them out of the mixture
        for choice in space:
            if choice.mixed_only and choice.name not in architecture:
                set_logits(distribution, {choice.name: [1000.0 * (o == "none") for o in choice.options]})
        assert architecture == distribution.derive(never, generator())
        (mixture,) = distribution.draw(generator())
        standalone = network(space.fix(architecture), skeleton).double()
        inherit(supernet, standalone, architecture)
        with bind(supernet, mixture), torch.no_grad():
            torch.testing.assert_close(standalone(x), supernet(x), rtol=0, atol=1e-12)


def test_a_softmax_draw_weighs_every_option_and_leaves_inputs_to_their_children():
    (mixture,) = Softmax(DARTS).draw(generator())
    assert {choice.name for choice in DARTS} == set(mixture)
    for choice in DARTS:
        weights = mixture[choice.name]
        assert choice.options == tuple(weights)
        if choice.pick == 2:
            assert {None} == set(weights.values())
        else:
            assert pytest.approx(1.0) == sum(w.item() for w in weights.values())


@pytest.mark.skipif(not CASES, reason=f"no file {FILE}: MORPHOGEN_CHECKS names the folder of the reference's numbers")
@pytest.mark.parametrize("name", NAMES)
def test_derive_discretizes_as_the_released_code_does(name):
    case = next(case for case in CASES if case["name"] == name)
    distribution = Softmax(DARTS, dtype=torch.float64)
    for cell in ("normal", "reduce"):
        edges = [choice.name for choice in DARTS if choice.name.startswith(f"{cell}/") and "<-" in choice.name]
        set_logits(distribution, dict(zip(edges, case[f"alphas_{cell}"], strict=True)))
    expected = from_genotype(published(case["genotype"]))
    assert to_genotype(expected) == to_genotype(distribution.derive(never, generator()))


def published(body):
    cells = []
    for cell in ("normal", "reduce"):
        pairs = [tuple(pair) for pair in body[cell]]
        blocks = tuple(zip(pairs[::2], pairs[1::2], strict=True))
        cells.append(CellGenotype(blocks, tuple(body[f"{cell}_concat"])))
    return Genotype(*cells)


def test_derive_stays_within_the_limits():
    choices = tuple(Choice(f"{i}/width", ("8", "16", "24"), ordered=True) for i in range(3))
    cost = Cost("params", {((c.name, o),): float(o) for c in choices for o in c.options})
    distribution = Softmax(Space(choices, limits=(Limit(cost, 40),)))
    set_logits(distribution, {c.name: [0.0, 1.0, 2.0] for c in choices})
    # as probable as 16, 16, 8: then the first is as wide as it can be
    assert {"0/width": "24", "1/width": "8", "2/width": "8"} == dict(distribution.derive(never, generator()))


def test_the_step_of_a_softmax_descends_the_validation_loss_and_leaves_the_weights_alone(setting):
    space, _, supernet, _ = setting
    x, y = torch.randn(16, 1, 8, 8, dtype=torch.float64), torch.arange(16) % 10
    distribution = Softmax(space, lr=0.05, dtype=torch.float64)
    before = {name: p.detach().clone() for name, p in supernet.named_parameters()}
    losses = []

    def loss(logits, classes):
        value = F.cross_entropy(logits, classes)
        losses.append(value.item())
        return value

    for _ in range(8):
        distribution.update(step(supernet, x, y, loss))
    assert losses[-1] < losses[0]
    assert all(torch.equal(before[name], p) and p.grad is None for name, p in supernet.named_parameters())
    assert all(logits.abs().max() > 0 for logits in distribution.logits.values())


def test_the_first_step_is_adam_on_the_gradient_with_weight_decay():
    space = Space((Choice("op", ("small", "large")),))

    class Scale(nn.Module):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

        def forward(self, x):
            return self.factor * x

    supernet = MixedOp(space["op"], lambda name: Scale({"small": 1.0, "large": 3.0}[name]))
    distribution = Softmax(space, lr=3e-4, dtype=torch.float64)
    x = torch.ones(1, dtype=torch.float64)
    update = Step(supernet, None, (x, x), lambda: (x, x), 0, False, generator(), loss=lambda y, _: y.sum())
    distribution.update(update)
    # the gradient is w_small w_large (1 - 3) = -1/2 and 1/2; Adam's first step has the length of its learning rate
    torch.testing.assert_close(
        distribution.logits["op"].detach(), torch.tensor([3e-4, -3e-4], dtype=torch.float64), rtol=1e-4, atol=0
    )


@pytest.mark.parametrize("name", SPACES)
def test_a_softmax_goes_on_from_its_state_bit_for_bit(name):
    space, skeleton = SPACES[name]
    torch.manual_seed(0)
    supernet, x, y = network(space, skeleton), torch.randn(4, 1, 8, 8), torch.arange(4)
    straight, first, second = Softmax(space, lr=0.1), Softmax(space, lr=0.1), Softmax(space, lr=0.1)
    supernet.eval()  # running statistics move in training mode, and would differ between the two
    for _ in range(4):
        straight.update(step(supernet, x, y))
    for _ in range(2):
        first.update(step(supernet, x, y))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    for _ in range(2):
        second.update(step(supernet, x, y))
    assert all(torch.equal(straight.logits[n], second.logits[n]) for n in straight.logits)


def test_the_first_logits_are_zero_or_drawn_small():
    assert {0.0} == {v for p in Softmax(own_model.space).logits.values() for v in p.tolist()}
    drawn = torch.cat([p.detach() for p in Softmax(DARTS, generator=generator()).logits.values()])
    assert pytest.approx(1e-3, rel=0.2) == drawn.std().item()
    again = torch.cat([p.detach() for p in Softmax(DARTS, generator=generator()).logits.values()])
    assert torch.equal(drawn, again)


def test_uniform_derives_the_best_of_its_candidates():
    scored = []

    def score(architecture):
        scored.append(architecture)
        return float(architecture["width"])

    best = Uniform(own_model.space, candidates=6).derive(score, generator(3))
    assert 6 == len(scored)
    assert max(int(a["width"]) for a in scored) == int(best["width"])
    assert best == Uniform(own_model.space, candidates=6).derive(score, generator(3))


def test_uniform_draws_are_the_generators():
    distribution = Uniform(DARTS)
    assert distribution.draw(generator(1)) == distribution.draw(generator(1))
    assert distribution.draw(generator(1)) != distribution.draw(generator(2))
    distribution.load_state_dict(distribution.state_dict())


@pytest.mark.parametrize("distribution", [Softmax, Uniform])
def test_hyperparameters_are_refused(distribution):
    space = own_model.space | Space((Choice("train/lr", ("0.1", "0.01")),))
    with pytest.raises(
        ValueError, match=f"{distribution.__name__} cannot decide 'train/lr': a supernet has one training"
    ):
        distribution(space)


@pytest.mark.parametrize("make", [Softmax, Gumbel, Dirichlet])
def test_options_of_any_number_weigh_by_themselves(make):
    distribution = make(Space((Choice("skips", ("0", "1", "2"), pick=(0, 3)),)), dtype=torch.float64)
    set_logits(distribution, {"skips": [4.0, -4.0, 0.5]})
    probabilities = distribution.probabilities()["skips"]
    assert probabilities["0"] > 0.8 > probabilities["2"] > 0.5
    assert probabilities["1"] < 0.2
    assert ("0", "2") == distribution.derive(never, generator())["skips"]
    draws, generator_ = [], generator()
    for _ in range(400):
        (mixture,) = distribution.draw(generator_)
        draws.append([float(mixture["skips"][option].detach()) for option in "012"])
    np.testing.assert_allclose(np.mean(draws, axis=0), [probabilities[o] for o in "012"], atol=0.07)


def test_a_gumbel_of_options_of_any_number_runs_them_or_not_and_keeps_to_their_bounds():
    distribution = Gumbel(Space((Choice("inputs", ("0", "1", "2"), pick=(1, 2)),)))
    set_logits(distribution, {"inputs": [-9.0, -8.0, -9.0]})
    (mixture,) = distribution.draw(generator())
    weights = mixture["inputs"].values()
    assert [0.0, 0.0, 1.0] == sorted(float(w.detach()) for w in weights)
    sum(weights).backward()
    assert (distribution.logits["inputs"].grad > 0).all()


def test_a_state_of_another_space_is_refused():
    with pytest.raises(ValueError, match="the state is of another space: it has logits of 6 choices"):
        Softmax(DARTS).load_state_dict(Softmax(own_model.space).state_dict())


def test_several_options_without_children_are_the_ones_of_largest_weight():
    distribution = Softmax(Space((Choice("inputs", ("0", "1", "2"), pick=2),)))
    set_logits(distribution, {"inputs": [0.3, -1.0, 0.5]})
    assert ("0", "2") == distribution.derive(never, generator())["inputs"]


def test_the_logits_of_a_pair_are_the_first():
    a, b = torch.zeros(1), torch.ones(1)
    assert logits_of(a) is a
    assert logits_of((a, b)) is a
