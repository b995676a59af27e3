import pytest
import torch
from torch import nn

from morphogen.nn.mixed import MixedDepth, MixedInput, MixedOp
from morphogen.nn.operations import operation
from morphogen.protocols import MorphogenError
from morphogen.space import Choice

OPS = ("none", "avg_pool_3x3", "sep_conv_3x3")


def linear(i: int) -> nn.Module:
    layer = nn.Linear(3, 3)
    with torch.no_grad():
        layer.weight.fill_(0.1 * (int(i) + 1))
    return layer


def test_a_mixed_operation_is_the_weighted_sum():
    op = MixedOp(Choice("op", OPS, mixed_only=("none",)), lambda name: operation(name, 4, 1)).double()
    x, weights = torch.randn(2, 4, 6, 6, dtype=torch.float64), torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    expected = 0.2 * op.ops["avg_pool_3x3"](x) + 0.3 * op.ops["sep_conv_3x3"](x)
    mixture = {"op": dict(zip(OPS, weights, strict=True))}
    torch.testing.assert_close(op(x, mixture), expected)


def test_a_mixture_of_nothing_but_zero_is_zeros_of_the_right_shape():
    op = MixedOp(Choice("op", ("none", "skip_connect")), lambda name: operation(name, 4, 2))
    assert torch.equal(torch.zeros(2, 4, 3, 3), op(torch.randn(2, 4, 5, 5), {"op": {"none": torch.tensor(0.7)}}))


def test_only_the_picked_operation_runs_and_gets_gradients():
    op = MixedOp(Choice("op", (*OPS[1:], "dil_conv_3x3")), lambda name: operation(name, 4, 1))
    ran = []
    for name, module in op.ops.items():
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
    op(torch.randn(2, 4, 6, 6), {"op": {"dil_conv_3x3": None}}).sum().backward()
    assert ["dil_conv_3x3"] == ran
    assert {"dil_conv_3x3"} == {n.split(".")[1] for n, p in op.named_parameters() if p.grad is not None}


def test_a_straight_through_weight_of_one_operation_gets_a_gradient():
    op = MixedOp(Choice("op", OPS[1:]), lambda name: operation(name, 4, 1))
    x, weight = torch.randn(2, 4, 6, 6), torch.tensor(1.0, requires_grad=True)
    op(x, {"op": {"avg_pool_3x3": weight}}).sum().backward()
    torch.testing.assert_close(weight.grad, op.ops["avg_pool_3x3"](x).sum())


def test_mixed_inputs_sum_those_that_are_picked():
    choice = Choice("inputs", ("0", "1", "2"), pick=2)
    mixed = MixedInput(choice, linear)
    states = [torch.full((1, 3), float(i + 1)) for i in range(3)]
    expected = mixed.edges["0"](states[0]) + mixed.edges["2"](states[2])
    torch.testing.assert_close(mixed(states, {"inputs": {"2": None, "0": None}}), expected)
    closed = MixedInput(Choice("inputs", ("0", "2"), pick=2), linear)
    assert {"0", "2"} == set(closed.edges)
    with pytest.raises(MorphogenError, match=r"choice 'inputs' is open \(3 options, pick 2\)"):
        mixed(states)


def test_no_input_at_all_is_a_zero_that_can_be_added():
    mixed = MixedInput(Choice("skips", ("0", "1"), pick=(0, 2)), linear)
    x = torch.randn(2, 3)
    assert torch.equal(x, x + mixed([x, x], {"skips": {}}))
    nothing = MixedInput(Choice("skips", (), pick=0), linear)
    assert torch.equal(x, x + nothing([x, x]))


def test_a_mixed_input_passes_the_mixture_to_mixed_operations_that_share_a_choice():
    source, op = Choice("a/input", ("0", "1")), Choice("a/op", ("x", "y"))
    factors = {"x": 1.0, "y": 10.0}
    mixed = MixedInput(source, lambda i: MixedOp(op, lambda name: Times(factors[name])))
    states = [torch.tensor([1.0]), torch.tensor([2.0])]
    assert 20.0 == mixed(states, {"a/input": {"1": None}, "a/op": {"y": None}}).item()
    weights = {"a/input": dict(zip("01", torch.tensor([0.3, 0.7]), strict=True)), "a/op": {"x": None, "y": None}}
    assert pytest.approx((0.3 * 1 + 0.7 * 2) * 11) == mixed(states, weights).item()


def test_depth_runs_the_first_blocks_or_a_weighted_sum_of_depths():
    mixed = MixedDepth(Choice("depth", ("0", "1", "3")), linear)
    x = torch.randn(2, 3)
    h = [x]
    for block in mixed.blocks:
        h.append(block(h[-1]))
    for depth in (0, 1, 3):
        assert torch.equal(h[depth], mixed(x, {"depth": {str(depth): None}}))
    weights = dict(zip(("0", "1", "3"), torch.tensor([0.2, 0.5, 0.3]), strict=True))
    torch.testing.assert_close(mixed(x, {"depth": weights}), 0.2 * h[0] + 0.5 * h[1] + 0.3 * h[3])


def test_a_fixed_depth_builds_only_its_blocks():
    supernet = MixedDepth(Choice("depth", ("1", "2", "3")), linear)
    standalone = MixedDepth(Choice("depth", ("2",)), linear)
    assert 2 == len(standalone.blocks)
    assert set(standalone.state_dict()) < set(supernet.state_dict())


@pytest.mark.parametrize("mixing", [MixedInput, MixedDepth])
def test_options_that_are_no_numbers_are_refused(mixing):
    with pytest.raises(ValueError, match=r"choice 'x' is .* got 'conv'"):
        mixing(Choice("x", ("1", "conv")), linear)


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x
