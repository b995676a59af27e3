import torch
import torch.nn.functional as F

from morphogen.choice import Choice
from morphogen.nn.sizes import Product
from morphogen.nn.squeeze_excite import SqueezeExcite

EXPANSION = Choice("expansion", ("2", "4"), ordered=True)


def test_it_weights_channels_by_their_means():
    torch.manual_seed(0)
    module, x = SqueezeExcite(32).double(), torch.randn(2, 32, 3, 4, dtype=torch.float64)
    assert (8, 32, 1, 1) == module.reduce.weight.shape
    inside = F.relu(F.linear(x.mean((2, 3)), module.reduce.weight.flatten(1), module.reduce.bias))
    weight = F.hardsigmoid(F.linear(inside, module.expand.weight.flatten(1), module.expand.bias))
    torch.testing.assert_close(module(x), x * weight[:, :, None, None])


def test_fewer_channels_have_fewer_between():
    module = SqueezeExcite(Product((16, EXPANSION)))
    assert (16, 64, 1, 1) == module.reduce.weight.shape
    picks = {"expansion": ("2",)}
    assert (8, 32, 1, 1) == module.reduce.narrow(picks)["weight"].shape
    assert (2, 32, 5, 5) == module(torch.randn(2, 32, 5, 5), {"expansion": {"2": None}}).shape


def test_the_gate_is_a_hard_sigmoid_that_can_be_differentiated_twice():
    module = SqueezeExcite(16).double()
    x = torch.randn(2, 16, 3, 3, dtype=torch.float64, requires_grad=True)
    y = module.expand(module.reduce(x.mean((2, 3), keepdim=True)).relu())
    torch.testing.assert_close(module(x), x * torch.nn.functional.hardsigmoid(y))
    (gradient,) = torch.autograd.grad(module(x).square().sum(), x, create_graph=True)
    gradient.square().sum().backward()
    assert x.grad.isfinite().all()
