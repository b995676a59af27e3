import pytest
import torch
import torch.nn.functional as F
from torch import nn

from morphogen.nn.nasnet_operations import (
    NASNET_OPERATIONS,
    FactorizedReduction,
    Norms,
    SamePad,
    nasnet_operation,
)


@pytest.mark.parametrize("name", NASNET_OPERATIONS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("c_in", "c_out"), [(8, 8), (5, 8), (3, 2)])
def test_every_operation_gives_the_channels_and_resolution_asked_for(name, stride, c_in, c_out):
    operation = nasnet_operation(name, c_in, c_out, stride, Norms())
    for height, width in ((6, 7), (7, 6), (1, 2)):
        y = operation(torch.randn(2, c_in, height, width))
        assert (2, c_out, -(-height // stride), -(-width // stride)) == y.shape


def test_there_are_the_13_operations_of_the_paper():
    assert 13 == len(NASNET_OPERATIONS)
    with pytest.raises(ValueError, match="there is no NASNet operation 'sep_conv_9x9'; there are skip_connect, "):
        nasnet_operation("sep_conv_9x9", 4, 4, 1, Norms())


@pytest.mark.parametrize("size", [1, 2, 5, 6])
@pytest.mark.parametrize("kernel_size", [3, 5, 7])
def test_borders_are_those_of_tensorflow(size, kernel_size):
    # TensorFlow: what is needed in all, the smaller half of it in front
    needed = max((-(-size // 2) - 1) * 2 + kernel_size - size, 0)
    x = torch.ones(1, 1, size, size)
    expected = F.pad(x, (needed // 2, needed - needed // 2) * 2)
    got = SamePad((kernel_size, kernel_size), (2, 2))(x)
    # behind there may be one more, which stride 2 does not meet
    assert torch.equal(F.conv2d(expected, _ramp(kernel_size), stride=2), F.conv2d(got, _ramp(kernel_size), stride=2))


def _ramp(kernel_size):
    return torch.arange(float(kernel_size**2)).view(1, 1, kernel_size, kernel_size)


@pytest.mark.parametrize("size", [5, 6])
def test_a_mean_is_of_the_pixels_that_are_there_unless_zeros_count(size):
    ones = torch.ones(1, 1, size, size)
    assert torch.equal(torch.ones(1, 1, 3, 3), nasnet_operation("avg_pool_3x3", 1, 1, 2, Norms())(ones))
    zeros = nasnet_operation("avg_pool_3x3", 1, 1, 2, Norms(pool_zeros=True))(ones)
    # timm: two thirds at an edge, four ninths in a corner
    expected = [2 / 3, 2 / 3, 4 / 9] if size == 6 else [4 / 9, 2 / 3, 4 / 9]
    torch.testing.assert_close(zeros[0, 0, -1].tolist(), expected)
    # with stride 1, timm does as TensorFlow
    assert torch.equal(ones, nasnet_operation("avg_pool_3x3", 1, 1, 1, Norms(pool_zeros=True))(ones))


def test_a_maximum_is_of_the_pixels_that_are_there():
    for size in (5, 6):
        y = nasnet_operation("max_pool_7x7", 1, 1, 2, Norms())(-torch.ones(1, 1, size, size))
        assert torch.equal(-torch.ones(1, 1, 3, 3), y)


def test_separable_convolutions_change_channels_in_the_first_pointwise_one():
    shapes = [tuple(p.shape) for p in nasnet_operation("sep_conv_5x5", 3, 8, 2, Norms(affine=False)).parameters()]
    assert [(3, 1, 5, 5), (8, 3, 1, 1), (8, 1, 5, 5), (8, 8, 1, 1)] == shapes


def test_plain_convolutions_have_a_bottleneck_where_it_has_channels():
    shapes = [tuple(p.shape) for p in nasnet_operation("conv_1x3_3x1", 4, 16, 1, Norms(affine=False)).parameters()]
    assert [(6, 4, 1, 1), (6, 6, 1, 3), (6, 6, 3, 1), (16, 6, 1, 1)] == shapes
    shapes = [tuple(p.shape) for p in nasnet_operation("conv_3x3", 4, 3, 1, Norms(affine=False)).parameters()]
    assert [(3, 4, 3, 3)] == shapes


def test_norms_are_as_they_are_said_to_be():
    norms = Norms(eps=1e-3, momentum=0.01, affine=False, pool_norm=True)
    found = [m for m in nasnet_operation("max_pool_3x3", 4, 8, 1, norms).modules() if isinstance(m, nn.BatchNorm2d)]
    assert [(4, 1e-3, 0.01, False), (8, 1e-3, 0.01, False)] == [
        (m.num_features, m.eps, m.momentum, m.affine) for m in found
    ]


def test_the_second_path_of_a_factorized_reduction_is_one_pixel_further():
    conv = nn.Conv2d(1, 1, 1, stride=2, bias=False)
    nn.init.ones_(conv.weight)
    x = torch.arange(1.0, 10.0).view(1, 1, 3, 3)
    y = FactorizedReduction(conv, conv, nn.Identity())(x)
    assert [[1, 3], [7, 9]] == y[0, 0].tolist()
    assert [[5, 0], [0, 0]] == y[0, 1].tolist()
