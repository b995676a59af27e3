import torch
import torch.nn.functional as F
from torch import nn

from morphogen.nn.complexity import Complexity, Layer, complexity, layers


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 5, padding=2, groups=8)
        self.auxiliary = nn.Linear(8, 10)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        y = self.depthwise(self.norm(self.conv(x)).relu()).mean((2, 3))
        return (self.head(y), self.auxiliary(y)) if self.training else self.head(y)


CONV, DEPTHWISE, HEAD = 3 * 8 * 9 * 16, 8 * 25 * 16, 8 * 10


def test_counts_are_those_done_by_hand():
    expected = Complexity(3 * 8 * 9 + 16 + 8 * 25 + 8 + 90, 90, CONV + DEPTHWISE + HEAD)
    assert expected == complexity(Small(), (3, 8, 8))


def test_a_network_on_meta_counts_the_same():
    with torch.device("meta"):
        network = Small()
    assert complexity(Small(), (3, 8, 8)) == complexity(network, (3, 8, 8))


def test_the_table_has_a_row_for_each_layer():
    expected = [
        Layer("conv", "Conv2d", (8, 4, 4), 3 * 8 * 9, CONV),
        Layer("norm", "BatchNorm2d", (8, 4, 4), 16, 0),
        Layer("depthwise", "Conv2d", (8, 4, 4), 208, DEPTHWISE),
        Layer("head", "Linear", (10,), 90, HEAD),
    ]
    assert expected == layers(Small(), (3, 8, 8))


def test_a_layer_that_runs_twice_has_one_row_with_both():
    shared = nn.Conv2d(4, 4, 1)
    (row,) = layers(nn.Sequential(shared, nn.ReLU(), shared), (4, 2, 2))
    assert (4 * 4 + 4, 2 * 4 * 4 * 4) == (row.params, row.macs)


def test_operators_outside_of_layers_are_counted_where_they_run():
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(5, 3, 1, 1))

        def forward(self, x):
            return F.conv2d(x, self.weight)

    assert [Layer("0", "Functional", (5, 2, 2), 15, 60)] == layers(nn.Sequential(Functional(), nn.ReLU()), (3, 2, 2))


def test_counting_leaves_the_network_as_it_is():
    network = Small().double()
    network.norm.eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    layers(network, (3, 8, 8))
    complexity(network, (3, 8, 8))
    assert network.training
    assert not network.norm.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
