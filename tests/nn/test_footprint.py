"""Memory without running: against what a real run keeps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from morphogen.nn.footprint import MEGABYTE, Live, footprint


class Small(nn.Module):
    """A convolution, a norm, a sum of two paths, a head; in training a second head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.norm(self.conv(x))
        y: Tensor = self.head((torch.relu(x) + x).mean((2, 3)))
        return (y, y) if self.training else y


WEIGHTS = 3 * 8 * 9 + 16 + 8 * 4 + 4
BUFFERS = 4 * 16 + 8
MAP = 8 * 6 * 6


def test_activations_are_the_outputs_of_layers_with_multiply_adds() -> None:
    assert MAP + 4 == footprint(Small(), (3, 6, 6), batch_size=5).activations


def test_inference_keeps_weights_and_what_is_alive() -> None:
    found = footprint(Small(), (3, 6, 6), batch_size=10, training=False)
    # at the sum: the image, the normalized map, its rectification, and the sum
    expected = 4 * WEIGHTS + BUFFERS + 4 * 10 * (3 * 36 + 3 * MAP)
    assert expected / MEGABYTE == pytest.approx(found.inference_mb, rel=0.01)
    assert found.training_mb is None


def test_the_estimate_is_what_a_real_run_keeps() -> None:
    network, images = Small(), torch.randn(32, 3, 16, 16)
    found = footprint(network, (3, 16, 16), batch_size=32)
    with torch.no_grad(), Live([*network.parameters(), *network.buffers(), images]) as live:
        network.eval()(images)
    assert live.peak / MEGABYTE == pytest.approx(found.inference_mb, rel=0.02)
    network.train()
    with Live([*network.parameters(), *network.buffers(), images]) as live:
        first, second = network(images)
        (first.log_softmax(-1).mean() + second.log_softmax(-1).mean()).backward()
    assert (live.peak + 4 * WEIGHTS) / MEGABYTE == pytest.approx(found.training_mb, rel=0.05)


def test_the_network_stays_as_it_is_and_may_be_on_meta() -> None:
    network = Small()
    network.norm.eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    footprint(network, (3, 6, 6))
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert network.training
    assert not network.norm.training
    assert all(p.grad is None for p in network.parameters())
    assert footprint(network, (3, 6, 6)) == footprint(network.to("meta"), (3, 6, 6))


class Needy(nn.Module):
    """Looks at values, in training only."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.sum() > 0:
            x = -x
        y: Tensor = self.head(x.flatten(1))
        return y


def test_training_that_looks_at_values_is_not_estimated() -> None:
    found = footprint(Needy(), (3, 2, 2))
    assert found.training_mb is None
    assert found.inference_mb > 0
