import pytest
import torch
import torch.nn.functional as F

from morphogen.nn.depthwise import depthwise


@pytest.mark.parametrize("size", [(4, 4), (7, 7), (8, 9)])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (1, 2), (2, 1), (2, 2), (1, 3)])
def test_output_and_gradients_are_those_of_torch(size, kernel, stride, dilation):
    generator = torch.Generator().manual_seed(0)
    x, weight = (
        torch.randn(*shape, dtype=torch.float64, generator=generator, requires_grad=True)
        for shape in ((3, 4, *size), (4, 1, kernel, kernel))
    )
    expected = F.conv2d(x, weight, None, stride, dilation * (kernel // 2), dilation, 4)
    found = depthwise(x, weight, stride, dilation)
    torch.testing.assert_close(expected, found, rtol=0, atol=1e-13)
    g = torch.randn(expected.shape, dtype=torch.float64, generator=generator)
    for a, b in zip(*(torch.autograd.grad(y, (x, weight), g) for y in (expected, found)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dilation", [1, 2])
def test_it_can_be_differentiated_twice(dilation):
    x, weight = (torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((2, 3, 6, 6), (3, 1, 5, 5)))
    assert torch.autograd.gradgradcheck(lambda x, w: depthwise(x, w, 1, dilation), (x, weight))
