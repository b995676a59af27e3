from dataclasses import replace

import pytest
import torch
from torch import nn

from morphogen.choice import Choice
from morphogen.nn.mixture import picks_to_mixture
from morphogen.nn.network import network
from morphogen.nn.operations import operation
from morphogen.oneshot import Softmax
from morphogen.oneshot.partial import PartialChannels, narrowed
from morphogen.spaces.darts import DARTS, OPERATIONS, SKELETONS

SKELETON = replace(SKELETONS["search"], image=(1, 8, 8), classes=4, channels=8, cells=3)


def test_one_channel_of_k_goes_through_and_all_are_shuffled():
    choice = Choice("op", ("double",))

    class Double(nn.Module):
        def forward(self, x):
            return 2 * x

    mixed = PartialChannels(4)(choice, lambda option: Double())
    x = torch.arange(8.0).view(1, 8, 1, 1)
    # through: channels 0 and 1; four groups of two channels: (0 1) (2 3) (4 5) (6 7)
    assert [0, 2, 4, 6, 2, 3, 5, 7] == mixed(x).flatten().tolist()


def test_what_passes_by_is_pooled_where_operations_halve():
    choice = Choice("op", ("skip_connect", "none"))
    mixed = PartialChannels(4)(choice, lambda option: operation(option, 8, 2))
    x = torch.randn(2, 8, 7, 7)
    y = mixed(x, {"op": {"skip_connect": None}})
    assert (2, 8, 4, 4) == tuple(y.shape)
    torch.testing.assert_close(nn.functional.max_pool2d(x[:, 2], 2, ceil_mode=True), y[:, 1])
    assert (2, 8, 4, 4) == tuple(mixed(x, {"op": {"none": None}}).shape)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_can_be_narrowed(name):
    for stride in (1, 2):
        expected = operation(name, 2, stride, affine=False, pool_norm=True)
        found = narrowed(operation(name, 8, stride, affine=False, pool_norm=True), 4)
        assert [p.shape for p in expected.parameters()] == [p.shape for p in found.parameters()]
        assert [b.shape for b in expected.buffers()] == [b.shape for b in found.buffers()]
        x = torch.randn(2, 2, 8, 8)
        assert expected(x).shape == found(x).shape


def test_a_supernet_of_partial_channels_is_smaller_and_runs_mixtures_and_sub_graphs():
    torch.manual_seed(0)
    supernet = network(DARTS, SKELETON, PartialChannels(4))
    full = network(DARTS, SKELETON)
    count = [sum(p.numel() for p in net.cells.parameters()) for net in (supernet, full)]
    assert count[0] < count[1] / 2
    distribution = Softmax(DARTS, edges=True)
    x = torch.randn(4, 1, 8, 8).contiguous(memory_format=torch.channels_last)
    supernet(x, distribution.mixture()).sum().backward()
    assert all(p.grad is not None for p in distribution.logits.values())
    found = distribution.derive(lambda a: 0.0, torch.Generator())
    assert torch.isfinite(supernet(x, picks_to_mixture(found))).all()


def test_edges_weigh_in_when_inputs_are_ranked():
    distribution = Softmax(DARTS, edges=True)
    with torch.no_grad():
        distribution.logits["normal/3/inputs"].copy_(torch.tensor([0.0, 3.0, 2.0]))
        distribution.logits["normal/3<-0"][4] = 1.0  # the surest operation, on the weakest edge
    assert ("1", "2") == distribution.derive(lambda a: 0.0, torch.Generator()).picks["normal/3/inputs"]
    plain = Softmax(DARTS)
    with torch.no_grad():
        plain.logits["normal/3<-0"][4] = 1.0
    assert ("0", "1") == plain.derive(lambda a: 0.0, torch.Generator()).picks["normal/3/inputs"]


class StandardizedConv2d(nn.Conv2d):
    def forward(self, x):
        return nn.functional.conv2d(x, self.weight / self.weight.std())


def test_what_cannot_be_narrowed_is_refused():
    with pytest.raises(ValueError, match="partial channels take one of 4 channels, but an operation has 6"):
        narrowed(nn.Conv2d(6, 6, 3), 4)
    with pytest.raises(ValueError, match="cannot make a Linear narrower"):
        narrowed(nn.Sequential(nn.Linear(4, 4)), 4)
    with pytest.raises(ValueError, match="cannot make a StandardizedConv2d narrower"):
        narrowed(StandardizedConv2d(4, 4, 1), 4)
    with pytest.raises(ValueError, match="k=1"):
        PartialChannels(1)


def test_a_strided_pointwise_convolution_stays_the_same_function():
    conv = nn.Conv2d(8, 4, 1, stride=2, bias=False).double()
    pointwise = narrowed(nn.Conv2d(16, 8, 1, stride=2, bias=False), 2).double()
    pointwise.load_state_dict(conv.state_dict())
    x = torch.randn(2, 8, 7, 7, dtype=torch.float64)
    torch.testing.assert_close(conv(x), pointwise(x))
