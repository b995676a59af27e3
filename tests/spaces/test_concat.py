import torch

from morphogen.choice import Choice
from morphogen.spaces.concat import Concat, Output, StatesConv2d, StatesLinear, states_conv2d, states_linear

INPUTS = tuple((block, Choice(f"{block}/input", tuple(map(str, range(block))))) for block in (3, 4))
LOOSE = Concat((2, 3, 4), INPUTS)


def test_what_a_block_reads_is_left_out():
    assert (3, 4) == LOOSE.picked({"3/input": ("2",), "4/input": ("0",)})
    assert (4,) == LOOSE.picked({"3/input": ("2",), "4/input": ("3",)})
    assert (2, 3, 4) == LOOSE.picked({"3/input": ("1",), "4/input": ("1",)})


def test_it_is_fixed_where_nothing_is_left_to_decide():
    assert LOOSE.fixed is None
    assert (0, 2) == Concat((0, 2)).fixed
    one = Concat((2, 3, 4), tuple((block, Choice(c.name, ("2",))) for block, c in INPUTS))
    assert (3, 4) == one.fixed
    assert type(states_conv2d(one, 5, 7)) is torch.nn.Conv2d
    assert (7, 10) == states_linear(one, 5, 7).weight.shape
    assert (7, 5) == states_linear(None, 5, 7).weight.shape


def test_blocks_that_there_are_not_neither_read_nor_are_read():
    deep = Concat((2, 3, 4), INPUTS, depth=Choice("blocks", ("1", "2", "3"), ordered=True))
    assert (2,) == deep.picked({"blocks": ("1",)})
    assert (2, 3) == deep.picked({"blocks": ("2",), "3/input": ("0",)})
    assert {2, 3} == set(deep.weights(Output(deep), {"blocks": {"2": None}, "3/input": {"1": None}}))


def test_a_weighted_input_takes_its_share_of_a_state_away():
    half, third = torch.tensor(0.5), torch.tensor(1 / 3)
    mixture = {"3/input": {"1": half, "2": half}, "4/input": {"2": third, "3": 2 * third}}
    states = [torch.ones(1, 1, 1, 1)] * 5
    y = Output(LOOSE)(states, mixture)
    torch.testing.assert_close(y.flatten(), torch.tensor([1 / 3, 1 / 3, 1.0]))


def test_a_layer_reads_the_columns_of_the_states_that_are_there():
    conv, linear = states_conv2d(LOOSE, 2, 3), states_linear(LOOSE, 2, 3)
    assert (StatesConv2d, StatesLinear) == (type(conv), type(linear))
    picks = {"3/input": ("0",), "4/input": ("2",)}
    mixture = {name: dict.fromkeys(picked) for name, picked in picks.items()}
    x = torch.randn(4, 4)
    expected = x @ conv.weight[:, 2:, 0, 0].T
    torch.testing.assert_close(conv(x[:, :, None, None], mixture)[:, :, 0, 0], expected)
    assert torch.equal(conv.weight[:, 2:], conv.narrow(picks)["weight"])
    torch.testing.assert_close(linear(x, mixture), x @ linear.weight[:, 2:].T + linear.bias)
    assert ["weight", "bias"] == list(linear.narrow(picks))
