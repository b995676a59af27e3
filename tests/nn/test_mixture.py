import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from morphogen.nn.mixed import MixedOp
from morphogen.nn.mixture import bind, key, picks_to_mixture
from morphogen.protocols import MorphogenError
from morphogen.space import Choice, Space, When

CHOICE = Choice("op", ("double", "negate"))


class Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x):
        return self.factor * x


def mixed_op(choice=CHOICE):
    return MixedOp(choice, lambda name: Scale({"double": 2.0, "negate": -1.0}.get(name, 1.0)))


def test_the_mixture_of_an_architecture_runs_what_it_picks_and_nothing_else():
    space = Space((Choice("a", ("x", "y", "z"), pick=2), Choice("b", ("p", "q"), when=When("a", ("z",)))))
    with_child = space.architecture({"a": ["z", "x"], "b": "q"})
    assert {"a": {"x": None, "z": None}, "b": {"q": None}} == picks_to_mixture(with_child)
    assert {"a": {"x": None, "y": None}} == picks_to_mixture(space.architecture({"a": ["x", "y"]}))


def test_an_open_choice_without_a_mixture_says_what_to_do():
    with pytest.raises(
        MorphogenError,
        match=r"^choice 'op' is open \(2 options, pick 1\): pass a mixture, or build from space.fix\(architecture\)$",
    ):
        mixed_op()(torch.ones(1))


def test_an_option_that_the_network_does_not_have_is_an_error():
    with pytest.raises(MorphogenError, match="choice 'op' has no option halve in this network, it has double, negate"):
        mixed_op()(torch.ones(1), {"op": {"halve": None}})


def test_an_explicit_mixture_comes_before_a_bound_one_and_that_before_the_only_option():
    network, x = mixed_op(), torch.ones(1)
    bind(network, {"op": {"double": None}})
    assert 2.0 == network(x).item()
    assert -1.0 == network(x, {"op": {"negate": None}}).item()
    alone = mixed_op(Choice("op", ("double",)))
    assert 2.0 == alone(x).item()
    assert 6.0 == alone(x, {"op": {"double": torch.tensor(3.0)}}).item()


def test_leaving_a_binding_restores_what_was_bound_before():
    network, x = nn.Sequential(mixed_op()), torch.ones(1)
    bind(network, {"op": {"double": None}})
    with bind(network, {"op": {"negate": None}}):
        assert -1.0 == network(x).item()
    assert 2.0 == network(x).item()
    bind(network, None)
    with pytest.raises(MorphogenError, match="open"):
        network(x)


def test_a_checkpointed_segment_finds_the_mixture_again_in_backward():
    network, x = nn.Sequential(mixed_op(), mixed_op()), torch.ones(3, requires_grad=True)
    weight = torch.tensor(0.25, requires_grad=True)
    with bind(network, {"op": {"double": weight, "negate": 1 - weight}}):
        checkpoint(network, x, use_reentrant=False).sum().backward()
    # (2w - (1 - w))^2 = (3w - 1)^2 for each of three entries
    assert pytest.approx(3 * 2 * 3 * (3 * 0.25 - 1)) == weight.grad.item()
    assert [pytest.approx(0.0625)] * 3 == x.grad.tolist()


@pytest.mark.parametrize("option", ["0.5", "type", "keys", "training", "forward", "a.b.c", "1x1", "+/-", "a->b"])
def test_every_option_name_has_a_key(option):
    network = mixed_op(Choice("op", (option, "other")))
    assert 1.0 == network(torch.ones(1), {"op": {option: None}}).item()
    assert {f"ops.{key(option)}.factor", "ops.other.factor"} == set(network.state_dict())


def test_keys_of_different_options_differ():
    options = ["0.5", "05", "type", "a.b", "a-b", "a/b", "ab"]
    assert len(options) == len({key(option) for option in options})
    assert "sep_conv_3x3" == key("sep_conv_3x3")


def test_a_supernet_can_be_sampled_and_bound_many_times():
    space, network = Space((CHOICE,)), mixed_op()
    rng = np.random.default_rng(0)
    for _ in range(5):
        architecture = space.sample(rng)
        with bind(network, picks_to_mixture(architecture)):
            assert {"double": 2.0, "negate": -1.0}[architecture["op"]] == network(torch.ones(1)).item()
