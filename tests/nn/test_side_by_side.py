"""The fast path of relaxed supernets gives what the plain path gives."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from morphogen.choice import Choice
from morphogen.nn.mixed import MixedOp, fuse
from morphogen.nn.mixture import bind, picks_to_mixture
from morphogen.nn.network import network
from morphogen.nn.operations import operation
from morphogen.oneshot import Softmax
from morphogen.oneshot.distribution import Step
from morphogen.oneshot.gradients import first_order
from morphogen.oneshot.partial import PartialChannels
from morphogen.oneshot.second_order import SecondOrder, second_order_exact
from morphogen.spaces import darts, enas_micro, nasbench201

IMAGE, CLASSES = (2, 8, 8), 3
SETTINGS = {
    "darts": (darts.DARTS, replace(darts.SKELETONS["search"], channels=4, cells=3), MixedOp),
    "darts-affine": (
        darts.darts(2),
        replace(darts.SKELETONS["search"], channels=12, cells=3, affine=True, drop_path=0.2),
        MixedOp,
    ),
    "pc-darts": (darts.darts(2), replace(darts.SKELETONS["search"], channels=8, cells=3), PartialChannels(4)),
    "nasbench201": (
        nasbench201.NASBENCH201,
        replace(nasbench201.SKELETONS["search"], channels=4, cells=3, cells_per_repeat=1),
        MixedOp,
    ),
    "enas-micro": (
        enas_micro.enas_micro(2),
        replace(enas_micro.SKELETONS["search"], channels=4, cells=3, auxiliary=False, dropout=0.0),
        MixedOp,
    ),
}
GRADIENTS = {"first": first_order, "second": SecondOrder(), "exact": second_order_exact}


def batch(seed):
    x = torch.randn(4, *IMAGE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x.contiguous(memory_format=torch.channels_last), torch.arange(4) % CLASSES


@pytest.fixture(params=SETTINGS)
def pair(request):
    """A distribution, and two equal supernets: the fast one, the plain one."""
    space, skeleton, mixed = SETTINGS[request.param]
    torch.manual_seed(0)
    fast = network(space, replace(skeleton, image=IMAGE, classes=CLASSES), mixed).double()
    fast = fast.to(memory_format=torch.channels_last)
    distribution = Softmax(space, dtype=torch.float64, edges=True)
    with torch.no_grad():
        for number, logits in enumerate(distribution.logits.values()):
            logits.copy_(torch.arange(len(logits)).add(number).sin())
    plain = copy.deepcopy(fast)
    fuse(fast)
    fuse(plain, False)
    return distribution, fast, plain


def close(a, b):
    a, b = (torch.cat([x.flatten() for x in xs]) for xs in (a, b))
    return bool((a - b).norm() <= 1e-12 * b.norm())


def test_loss_gradients_and_running_statistics_are_equal(pair):
    distribution, *networks = pair
    images, classes = batch(1)
    found = []
    for supernet in networks:
        logits, weights = list(distribution.logits.values()), list(supernet.parameters())
        loss = F.cross_entropy(supernet(images, distribution.mixture()), classes)
        gradients = torch.autograd.grad(loss, [*logits, *weights], allow_unused=True, materialize_grads=True)
        found.append((loss, gradients[: len(logits)], gradients[len(logits) :], supernet.state_dict()))
    (loss, of_logits, of_weights, state), (loss_, of_logits_, of_weights_, state_) = found
    torch.testing.assert_close(loss_, loss, rtol=1e-13, atol=0)
    assert close(of_logits, of_logits_)
    assert close(of_weights, of_weights_)
    assert list(state_) == list(state)
    for name, value in state_.items():
        torch.testing.assert_close(value, state[name], rtol=1e-12, atol=1e-12, msg=name)


@pytest.mark.parametrize("order", GRADIENTS)
def test_the_gradient_of_the_architecture_is_equal_and_leaves_no_trace(pair, order):
    distribution, *networks = pair
    logits, found = list(distribution.logits.values()), []
    for supernet in networks:
        optimizer = torch.optim.SGD(supernet.parameters(), 0.1, momentum=0.9, weight_decay=3e-4)
        step = Step(supernet, optimizer, batch(1), lambda: batch(2), 0, False, torch.Generator())
        before = copy.deepcopy(supernet.state_dict())
        found.append([g for g in GRADIENTS[order](step, distribution.mixture, logits) if g is not None])
        assert all(torch.equal(before[name], value) for name, value in supernet.state_dict().items())
    assert close(*found)


def test_a_step_of_the_weights_leaves_the_architecture_alone(pair):
    distribution, fast, _ = pair
    before = {name: value.clone() for name, value in distribution.logits.items()}
    images, classes = batch(1)
    mixture = {
        c: {o: w if w is None else w.detach() for o, w in ws.items()} for c, ws in distribution.mixture().items()
    }
    optimizer = torch.optim.SGD(fast.parameters(), 0.1)
    with bind(fast, mixture):
        F.cross_entropy(fast(images), classes).backward()
    optimizer.step()
    assert all(torch.equal(before[name], value) for name, value in distribution.logits.items())
    assert all(value.grad is None for value in distribution.logits.values())


def test_what_it_does_not_know_runs_as_it_is():
    class Twice(torch.nn.Module):
        def forward(self, x):
            return 2 * x

    made = {"twice": Twice, "skip_connect": torch.nn.Identity}
    mixed = MixedOp(Choice("op", ("twice", "skip_connect")), lambda name: made[name]())
    fuse(mixed)
    x = torch.randn(2, 3, 4, 4)
    half = torch.tensor(0.5)
    torch.testing.assert_close(1.5 * x, mixed(x, {"op": {"twice": half, "skip_connect": half}}))


def test_an_operation_that_somebody_listens_to_runs_as_it_is():
    mixed = MixedOp(Choice("op", ("sep_conv_3x3", "max_pool_3x3")), lambda name: operation(name, 4, 1))
    fuse(mixed)
    heard = []
    mixed.ops["sep_conv_3x3"][1].register_forward_hook(lambda *_: heard.append("depthwise"))
    mixed.ops["max_pool_3x3"].register_forward_hook(lambda *_: heard.append("pool"))
    weights = {"op": {"sep_conv_3x3": torch.tensor(0.5), "max_pool_3x3": torch.tensor(0.5)}}
    mixed(torch.randn(2, 4, 6, 6), weights)
    assert ["depthwise", "pool"] == sorted(heard)


class Residual(torch.nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


class Doubled(torch.nn.Identity):
    def forward(self, x):
        return 2 * x


def norm_of_four():
    return torch.nn.BatchNorm2d(4, affine=False)


def convolution():
    return torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 1, bias=False), norm_of_four()


def patched():
    made = torch.nn.Sequential(*convolution())
    made[1].forward = lambda x: -x
    return made


OWN = {
    "patched": patched,
    "residual": lambda: Residual(*convolution()),
    "nested": lambda: torch.nn.Sequential(torch.nn.Identity(), Residual(*convolution())),
    "straight": lambda: torch.nn.Sequential(*convolution()),
    "doubled": Doubled,
    "nothing": torch.nn.Sequential,
    "average": lambda: torch.nn.AvgPool2d(3, 1, 1),
    "average-inside": lambda: torch.nn.AvgPool2d(3, 1, 1, count_include_pad=False),
    "average-inside-norm": lambda: torch.nn.Sequential(
        torch.nn.AvgPool2d(3, 1, 1, count_include_pad=False), norm_of_four()
    ),
    "max-norm": lambda: torch.nn.Sequential(torch.nn.MaxPool2d(3, 1, 1), norm_of_four()),
}


def test_operations_of_ones_own_that_look_like_known_ones_are_what_they_are():
    torch.manual_seed(0)
    mixed = MixedOp(Choice("op", tuple(OWN)), lambda name: OWN[name]()).double()
    x = torch.randn(3, 4, 6, 6, dtype=torch.float64)
    for name in OWN:
        weights = {"op": {other: torch.tensor(1.0 if other == name else 1e-9) for other in OWN}}
        fuse(mixed, True)
        found = mixed(x, weights)
        fuse(mixed, False)
        torch.testing.assert_close(found, mixed(x, weights), rtol=1e-12, atol=1e-12, msg=name)


def test_norms_in_evaluation_mode_use_their_running_statistics():
    mixed = MixedOp(Choice("op", ("sep_conv_3x3", "max_pool_3x3")), lambda name: operation(name, 4, 1, pool_norm=True))
    fuse(mixed)
    mixed(torch.randn(2, 4, 6, 6), {"op": {"sep_conv_3x3": torch.tensor(0.5), "max_pool_3x3": torch.tensor(0.5)}})
    mixed.eval()
    x = torch.randn(2, 4, 6, 6)
    weights = {"op": {"sep_conv_3x3": torch.tensor(0.3), "max_pool_3x3": torch.tensor(0.7)}}
    expected = 0.3 * mixed.ops["sep_conv_3x3"](x) + 0.7 * mixed.ops["max_pool_3x3"](x)
    torch.testing.assert_close(expected, mixed(x, weights))
    mixed.training = True  # but its operations are not
    torch.testing.assert_close(expected, mixed(x, weights))


def test_a_sampled_sub_graph_is_equal_too(pair):
    distribution, *networks = pair
    mixture = picks_to_mixture(distribution.space.sample(np.random.default_rng(3)))
    images, classes = batch(1)
    found = []
    for supernet in networks:
        loss = F.cross_entropy(supernet(images, mixture), classes)
        gradients = torch.autograd.grad(loss, list(supernet.parameters()), allow_unused=True)
        found.append({i: g for i, g in enumerate(gradients) if g is not None})
    assert found[0].keys() == found[1].keys()
    assert close(found[0].values(), found[1].values())


def test_small_sums_are_computed_by_their_modules_unless_told():
    mixed = MixedOp(Choice("op", ("sep_conv_3x3", "max_pool_3x3")), lambda name: operation(name, 4, 1))
    weights = {"op": {"sep_conv_3x3": torch.tensor(0.5), "max_pool_3x3": torch.tensor(0.5)}}

    def together(fused, images):
        fuse(mixed, fused)
        with torch.profiler.profile() as profile:
            mixed(torch.randn(images, 4, 8, 8), weights)
        return "_Normalized" in {event.key for event in profile.key_averages()}

    assert [False, True] == [together(None, 2), together(None, 64)]
    assert [False, False] == [together(False, 2), together(False, 64)]
    assert [True, True] == [together(True, 2), together(True, 64)]
