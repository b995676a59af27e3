from dataclasses import replace

import pytest
import torch

from morphogen.nn.network import network
from morphogen.oneshot import Controller, Dirichlet, Gumbel, Softmax, Uniform
from morphogen.oneshot.curvature import Relaxed, largest_eigenvalue, sharpness
from morphogen.oneshot.distribution import Step
from morphogen.spaces.darts import SKELETONS, darts


def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("values", [(3.0, 1.0, -0.5), (0.5, -4.0, 1.0), (-5.0, -3.0, -4.0), (2.0, 2.0, -2.0)])
def test_it_is_the_largest_eigenvalue_and_not_the_largest_magnitude(values):
    basis, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator(), dtype=torch.float64))
    hessian = basis @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ basis.T
    parts = [torch.randn(n, dtype=torch.float64, requires_grad=True) for n in (1, 2)]
    x = torch.cat(parts)
    found = largest_eigenvalue(x @ hessian @ x / 2, parts, generator())
    assert pytest.approx(max(values), rel=1e-9) == found


def test_a_linear_loss_has_none():
    x = torch.ones(3, requires_grad=True)
    assert 0.0 == largest_eigenvalue((2 * x).sum(), [x], generator())


def test_that_of_a_supernet_is_the_one_of_its_whole_hessian_and_leaves_no_trace():
    space = darts(1, ("skip_connect", "sep_conv_3x3", "max_pool_3x3"))
    torch.manual_seed(0)
    skeleton = replace(SKELETONS["search"], image=(1, 8, 8), classes=3, channels=4, cells=2, reductions=(1,))
    supernet = network(space, skeleton).double()
    distribution = Softmax(space, dtype=torch.float64)
    logits = list(distribution.logits.values())
    batch = torch.randn(6, 1, 8, 8, dtype=torch.float64), torch.arange(6) % 3
    step = Step(supernet, torch.optim.SGD(supernet.parameters(), 0.1), batch, lambda: batch, 0, False, generator())
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    said = []
    found = sharpness(step, distribution.mixture, logits, iterations=60, say=said.append)
    assert all(torch.equal(before[name], value) for name, value in supernet.state_dict().items())

    def loss(*values):
        weights = {
            name: dict(zip(space[name].options, v.softmax(0), strict=True))
            for name, v in zip(distribution.logits, values, strict=True)
        }
        return step.loss(supernet(batch[0], {**distribution.mixture(), **weights}), batch[1])

    blocks = torch.autograd.functional.hessian(loss, tuple(p.detach() for p in logits))
    eigenvalues = torch.linalg.eigvalsh(torch.cat([torch.cat(row, dim=1) for row in blocks]))
    assert pytest.approx(eigenvalues[-1].item(), rel=1e-6) == found
    assert ["sharpness of the architecture: 60 Hessian-vector products, about 122 passes"] == said


@pytest.mark.parametrize("make", [Softmax, Gumbel, Dirichlet])
def test_what_learns_logits_relaxes_to_the_weights_that_options_have_on_average(make):
    space = darts(1, ("none", "skip_connect", "max_pool_3x3"))
    distribution = make(space, generator=generator())
    assert isinstance(distribution, Relaxed)
    mixture = distribution.mixture()
    for name, options in distribution.probabilities().items():
        assert pytest.approx(options) == {option: weight.item() for option, weight in mixture[name].items()}
        assert all(weight.requires_grad for weight in mixture[name].values())


@pytest.mark.parametrize("make", [Uniform, Controller])
def test_what_only_samples_does_not(make):
    assert not isinstance(make(darts(1, ("skip_connect", "max_pool_3x3"))), Relaxed)
