import pytest
import torch
import torch.nn.functional as F

from morphogen.nn.normalized import normalized

EPS = 1e-5
SHAPES = [(3, 4, 4), (1, 4, 6), (2, 16, 16), (3, 12, 20)]


def inputs(blocks, c_in, c_out):
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    d = (random(4, blocks * c_in, 5, 5) + 1).contiguous(memory_format=torch.channels_last)
    tensors = (d, random(blocks, c_out, c_in), random(blocks, c_out), random(blocks, c_out))
    return [t.requires_grad_() for t in tensors]


def one_after_the_other(d, p, scale, shift, summed):
    blocks, _, c = p.shape
    ys = []
    for e in range(blocks):
        y = F.conv2d(d[:, e * c : (e + 1) * c], p[e][:, :, None, None])
        ys.append(F.batch_norm(y, None, None, scale[e], shift[e], training=True, eps=EPS))
    return sum(ys) if summed else torch.cat(ys, dim=1)


@pytest.mark.parametrize("summed", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_convolution_and_norm_with_first_and_second_derivatives(shape, summed):
    tensors = inputs(*shape)
    expected, found = one_after_the_other(*tensors, summed), normalized(*tensors, EPS, summed=summed).y
    torch.testing.assert_close(expected, found, rtol=0, atol=1e-12)
    g = torch.randn_like(expected)
    first = [torch.autograd.grad(y, tensors, g, create_graph=True) for y in (expected, found)]
    products = [sum((x * x.detach().cos()).sum() for x in xs) for xs in first]
    second = [torch.autograd.grad(product, tensors[:3]) for product in products]
    for pairs in (first, second):
        for a, b in zip(*pairs, strict=True):
            assert (a - b).norm() <= 1e-12 * a.norm()


def test_statistics_are_those_of_the_product():
    d, p, scale, shift = inputs(2, 3, 5)
    _, mean, variance = normalized(d, p, scale, shift, EPS, summed=True)
    y = torch.cat([F.conv2d(d[:, :3], p[0][:, :, None, None]), F.conv2d(d[:, 3:], p[1][:, :, None, None])], dim=1)
    torch.testing.assert_close(y.mean((0, 2, 3)), mean.flatten())
    torch.testing.assert_close(y.var((0, 2, 3), correction=0), variance.flatten())


def test_channels_that_do_not_vary_become_the_shift():
    d = torch.full((4, 4, 5, 5), 1000.1).contiguous(memory_format=torch.channels_last).requires_grad_()
    p, shift = torch.randn(1, 4, 4), torch.randn(1, 4)
    y = normalized(d, p, torch.ones(1, 4), shift, EPS, summed=True).y
    (gradient,) = torch.autograd.grad(y.square().sum(), d)
    assert torch.isfinite(y).all()
    assert torch.isfinite(gradient).all()
