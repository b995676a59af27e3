"""The second-order gradient: a bilevel problem with a known solution, and the released code's own numbers."""

import json
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from morphogen.nn.network import network
from morphogen.oneshot import Softmax
from morphogen.oneshot.distribution import Step
from morphogen.oneshot.gradients import first_order
from morphogen.oneshot.second_order import (
    SecondOrder,
    Virtual,
    exact,
    finite_difference,
    second_order_exact,
    virtual_step,
)
from morphogen.spaces.darts import DARTS
from morphogen.spaces.skeleton import Skeleton

FILE = (
    Path(os.environ.get("MORPHOGEN_CHECKS", Path(__file__).parents[3] / "shared" / "checks"))
    / "darts_second_order.json"
)
VECTORS = json.loads(FILE.read_text()) if FILE.exists() else {}
with_vectors = pytest.mark.skipif(
    not VECTORS, reason=f"no file {FILE}: MORPHOGEN_CHECKS names the folder of the reference's numbers"
)


def double(value):
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


def relative(found, expected):
    found, expected = (
        torch.cat([torch.as_tensor(x, dtype=torch.float64).flatten() for x in xs]) for xs in (found, expected)
    )
    return ((found - expected).norm() / expected.norm()).item()


# --- min over a of a w - 2 a + 1, where w minimizes (w - a)^2: the optimum is a = 1 -----------------------------------


def scalar(a, w):
    return lambda: w**2 - 2 * a * w + a**2, lambda: a * w - 2 * a + 1


@pytest.mark.parametrize("gradient", [finite_difference, exact])
@pytest.mark.parametrize("xi", [0.0, 0.1, 0.5, 0.7])
@pytest.mark.parametrize("start", [(2.0, -2.0), (1.0, 1.0), (0.5, 0.3)])
def test_the_gradient_of_a_scalar_problem_is_the_exact_one(gradient, xi, start):
    a, w = map(double, start)
    (found,) = gradient(*scalar(a, w), [w], [a], Virtual(xi))
    moved = start[1] - 2 * xi * (start[1] - start[0])
    assert pytest.approx((moved - 2) + 2 * xi * start[0], abs=1e-11) == found.item()
    assert (start[0], start[1]) == (a.item(), w.item())


@pytest.mark.parametrize("gradient", [finite_difference, exact])
def test_alternating_steps_end_at_the_fixed_point_of_the_virtual_step(gradient):
    for xi, end in ((0.0, 2.0), (0.1, 2 / 1.2), (0.3, 2 / 1.6), (0.5, 1.0), (0.7, 2 / 2.4)):
        a, w = double(2.0), double(-2.0)
        train, valid = scalar(a, w)
        for _ in range(600):
            (g,) = gradient(train, valid, [w], [a], Virtual(xi))
            with torch.no_grad():
                a -= 0.05 * g
            (g,) = torch.autograd.grad(train(), w)
            with torch.no_grad():
                w -= 0.05 * g
        assert pytest.approx((end, end), abs=1e-6) == (a.item(), w.item())


@with_vectors
@pytest.mark.parametrize("gradient", [finite_difference, exact])
def test_points_and_first_steps_of_the_scalar_problem_are_the_recorded_ones(gradient):
    for point in VECTORS["scalar"]["points"]:
        a, w = double(point["alpha"]), double(point["w"])
        (found,) = gradient(*scalar(a, w), [w], [a], Virtual(point["xi"]))
        assert pytest.approx(point["grad_second_order_exact"], abs=1e-11) == found.item()
    for xi, recorded in VECTORS["scalar"]["trajectory_lr_alpha_0p05_then_lr_w_0p05"].items():
        a, w = (double(value) for value in recorded["first_steps"][0])
        train, valid = scalar(a, w)
        for expected in recorded["first_steps"][1:]:
            (g,) = gradient(train, valid, [w], [a], Virtual(float(xi)))
            with torch.no_grad():
                a -= 0.05 * g
            (g,) = torch.autograd.grad(train(), w)
            with torch.no_grad():
                w -= 0.05 * g
            assert pytest.approx(expected, abs=1e-11) == [a.item(), w.item()]


# --- three smooth operations ------------------------------------------------------------------------------------------


def mixture_problem(body):
    w = [double(body["w1"]), double(body["w2"])]
    alpha = double(body["alpha"])

    def loss(x, y):
        h = x @ w[0].T
        p = alpha.softmax(0)
        found = (p[0] * h + p[1] * torch.tanh(h) + p[2] * h**2) @ w[1].T
        return F.mse_loss(found.squeeze(1), y)

    data = [torch.tensor(body[f"{n}_{s}"], dtype=torch.float64) for s in ("train", "val") for n in ("x", "y")]
    return lambda: loss(*data[:2]), lambda: loss(*data[2:]), w, [alpha]


@with_vectors
@pytest.mark.parametrize("case", VECTORS.get("tiny_mixture", {}).get("cases", []))
def test_a_smooth_mixture_gives_the_numbers_of_the_released_code(case):
    train, valid, weights, alphas = mixture_problem(VECTORS["tiny_mixture"])
    buffers = [torch.tensor(b, dtype=torch.float64) for b in case["momentum_buffers"]]
    virtual = Virtual(case["eta"], case["momentum"], case["weight_decay"], buffers)
    before = [w.detach().clone() for w in weights]
    by_difference = finite_difference(train, valid, weights, alphas, virtual)
    by_product = exact(train, valid, weights, alphas, virtual)
    assert relative(by_difference, [case["grad_quark0_finite_difference"]]) < 1e-9
    assert relative(by_difference, [case["grad_exact_unrolled"]]) < 1e-4
    assert relative(by_product, [case["grad_exact_unrolled"]]) < 1e-12
    assert all(torch.equal(b, w) for b, w in zip(before, weights, strict=True))


# --- a supernet -------------------------------------------------------------------------------------------------------


def formula_supernet():
    supernet = network(DARTS, Skeleton((3, 8, 8), 5, channels=4, cells=3, affine=False, pool_norm=True)).double()
    distribution = Softmax(DARTS, dtype=torch.float64)
    with torch.no_grad():
        for k, p in enumerate(supernet.parameters()):
            p.copy_((torch.arange(p.numel(), dtype=torch.float64) * 0.7 + 1.3 * (k + 1)).sin().mul(0.3).view_as(p))
        for k, cell in enumerate(("normal", "reduce")):
            rows = torch.arange(14 * 8, dtype=torch.float64).mul(0.31).add(k).sin().mul(0.5).view(14, 8)
            edges = [name for name in distribution.logits if name.startswith(f"{cell}/")]
            for name, row in zip(edges, rows, strict=True):
                distribution.logits[name].copy_(row)

    def batch(frequency, classes):
        x = torch.arange(4 * 3 * 8 * 8, dtype=torch.float64).mul(frequency).cos().view(4, 3, 8, 8)
        return x, torch.tensor(classes)

    return supernet, distribution, batch(0.11, [0, 1, 2, 3]), batch(0.17, [4, 3, 2, 1])


def step(supernet, train, valid, lr):
    optimizer = torch.optim.SGD(supernet.parameters(), lr, momentum=0.9, weight_decay=3e-4)
    return Step(supernet, optimizer, train, lambda: valid, 0, False, torch.Generator())


@with_vectors
def test_a_supernet_gives_the_numbers_of_the_released_code_and_stays_as_it_was():
    supernet, distribution, train, valid = formula_supernet()
    logits = list(distribution.logits.values())
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    for case in VECTORS["supernet_C4_L3"]["cases"]:
        given = step(supernet, train, valid, case["eta"])
        assert relative(first_order(given, distribution.mixture, logits), [case["grad_first"]]) < 1e-9
        assert relative(SecondOrder()(given, distribution.mixture, logits), [case["grad_fd"]]) < 1e-6
        by_product = second_order_exact(given, distribution.mixture, logits)
        assert relative(by_product, [case["grad_exact"]]) < 1e-8
        # so close to a kink of ReLU only the smallest radius is on one side of it
        assert relative(SecondOrder(1e-8)(given, distribution.mixture, logits), by_product) < 1e-6
    assert all(torch.equal(before[name], value) for name, value in supernet.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in supernet.parameters())


def test_the_difference_agrees_with_the_product_in_a_network_as_torch_starts_it():
    torch.manual_seed(0)
    supernet = network(DARTS, Skeleton((3, 8, 8), 5, channels=4, cells=3, affine=False, pool_norm=True)).double()
    distribution = Softmax(DARTS, dtype=torch.float64)
    logits = list(distribution.logits.values())
    batches = [(torch.randn(8, 3, 8, 8, dtype=torch.float64), torch.arange(8) % 5) for _ in range(2)]
    given = step(supernet, *batches, 0.025)
    by_product = second_order_exact(given, distribution.mixture, logits)
    assert relative(SecondOrder(1e-6)(given, distribution.mixture, logits), by_product) < 1e-8


def test_the_virtual_step_is_the_one_that_the_optimizer_takes():
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = torch.optim.SGD([weight], 0.1, momentum=0.9, weight_decay=0.01)
    for gradient in ([0.5, 0.25], [1.0, -1.0], [-0.5, 2.0]):
        weights, virtual = virtual_step(optimizer)
        moved = [w.detach().clone() for w in weights]
        virtual.take(moved, [torch.tensor(gradient, dtype=torch.float64)])
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        torch.testing.assert_close(weight.detach(), moved[0], rtol=1e-15, atol=0)


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, lambda p: torch.optim.SGD(p, 0.1, 0.9, nesterov=True)])
def test_other_optimizers_are_refused(optimizer):
    with pytest.raises(ValueError, match="the second order is derived for the step of SGD with momentum"):
        virtual_step(optimizer([torch.nn.Parameter(torch.zeros(1))]))


@pytest.mark.parametrize("gradient", [finite_difference, exact])
def test_a_training_loss_without_the_architecture_leaves_the_first_order(gradient):
    a, w = double(2.0), double(-2.0)
    (found,) = gradient(lambda: (w - 1) ** 2, lambda: a * w, [w], [a], Virtual(0.1))
    assert -1.4 == pytest.approx(found.item())  # the weight after its step


def test_both_sides_of_the_difference_drop_the_same():
    a, w = double(2.0), torch.linspace(-1, 1, 50, dtype=torch.float64).requires_grad_()
    torch.manual_seed(3)
    dropped = []

    def train():
        mask = torch.rand(50, dtype=torch.float64) > 0.5
        dropped.append(mask)
        return (a * w * mask).square().mean()

    finite_difference(train, lambda: (w * w).mean() + a, [w], [a], Virtual(0.1))
    step, *sides = dropped
    assert torch.equal(*sides)
    assert not torch.equal(step, sides[0])
