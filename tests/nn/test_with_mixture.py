import torch
from torch import nn

from morphogen.choice import Choice
from morphogen.nn.mixed import MixedDepth, MixedOp
from morphogen.nn.mixture import bind
from morphogen.nn.with_mixture import WithMixture


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.op = MixedOp(Choice("op", ("relu", "skip")), lambda name: nn.ReLU() if name == "relu" else nn.Identity())

    def forward(self, x, mixture=None):
        return self.op(x, mixture)


def test_a_mixture_reaches_what_is_inside_a_block():
    depth = MixedDepth(Choice("depth", ("1", "2")), lambda i: WithMixture(Block()))
    x = torch.tensor([-1.0, 1.0])
    assert [0.0, 1.0] == depth(x, {"depth": {"2": None}, "op": {"relu": None}}).tolist()
    with bind(depth, {"depth": {"1": None}, "op": {"skip": None}}):
        assert torch.equal(x, depth(x))
