import pytest
import torch
from torch import nn

from morphogen.oneshot.held import frozen, held


class Counting(nn.Module):
    """Puts a new tensor in the place of its buffer, as one's own averages often do."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen = self.seen + len(x)
        return self.norm(x)


def test_buffers_are_the_same_tensors_with_the_same_bits():
    network = Counting()
    network(torch.randn(4, 3))
    before = [(buffer, buffer.clone()) for buffer in network.buffers()]
    with held(network):
        network(torch.randn(5, 3))
        assert 9 == network.seen
    assert 4 == network.seen
    for (was, value), now in zip(before, network.buffers(), strict=True):
        assert was is now
        assert torch.equal(value, now)


def test_an_exception_puts_them_back_too():
    network = Counting()
    with pytest.raises(ValueError, match="expected 2D"), held(network):
        network(torch.randn(5, 3, 1, 1))
    assert 0 == network.seen


def test_what_asked_for_no_gradient_does_not_afterwards():
    network = Counting()
    network.norm.weight.requires_grad_(False)
    with frozen(network):
        assert not any(p.requires_grad for p in network.parameters())
    assert [False, True] == [p.requires_grad for p in network.parameters()]
