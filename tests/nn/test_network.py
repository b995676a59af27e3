import pytest
from torch import nn

from morphogen.nn.mixed import MixedOp
from morphogen.nn.network import choices_read, network
from morphogen.space import Choice, Space
from morphogen.spaces.skeleton import Skeleton

OP = Choice("op", ("relu", "identity"))
MODULES = {"relu": nn.ReLU, "identity": nn.Identity}


def of_the_space_alone(space):
    return MixedOp(space["op"], lambda name: MODULES[name]())


def with_skeleton(space, skeleton):
    return nn.Sequential(of_the_space_alone(space), nn.Linear(skeleton.classes, 1))


def with_optional_skeleton(space, skeleton=None):
    return of_the_space_alone(space) if skeleton is None else with_skeleton(space, skeleton)


def with_mixed(space, mixed=MixedOp):
    return mixed(space["op"], lambda name: MODULES[name]())


def no_module(space):
    return space


def test_a_network_gets_what_it_has_parameters_for():
    assert isinstance(network(Space((OP,), network=of_the_space_alone), Skeleton()), MixedOp)
    assert 7 == network(Space((OP,), network=with_skeleton), Skeleton(classes=7))[1].in_features
    assert isinstance(network(Space((OP,), network=with_optional_skeleton)), MixedOp)
    assert 7 == network(Space((OP,), network=with_optional_skeleton), Skeleton(classes=7))[1].in_features


def test_a_method_can_put_in_its_own_mixed_operation():
    class Own(nn.Module):
        def __init__(self, choice, build):
            super().__init__()
            self.choices = (choice,)

    assert isinstance(network(Space((OP,), network=with_mixed), mixed=Own), Own)
    with pytest.raises(ValueError, match="has no parameter 'mixed', so it cannot take another"):
        network(Space((OP,), network=of_the_space_alone), mixed=Own)


def test_a_space_without_a_network_says_how_to_give_it_one():
    with pytest.raises(
        ValueError, match=r"space 'bare' has no network: give it one, Space\(..., network='module:function'\)"
    ):
        network(Space((OP,), name="bare"))


def test_a_network_that_needs_a_skeleton_names_the_presets():
    space = Space((OP,), network=with_skeleton, skeletons={"search": Skeleton(), "final": Skeleton()})
    with pytest.raises(ValueError, match=r"needs a skeleton; the presets in space.skeletons are: search, final"):
        network(space)


def test_a_choice_that_nothing_reads_is_an_error():
    unread = (Choice("depth", ("1", "2")), Choice("width", ("1", "2")))
    with pytest.raises(ValueError, match=r"reads choice 'depth' \(nor 1 others\): give it to a mixing module"):
        network(Space((OP, *unread), network=of_the_space_alone))


def test_hyperparameters_are_for_the_training_to_read():
    space = Space((OP, Choice("train/lr", ("0.1", "0.01"))), network=of_the_space_alone)
    assert {"op": OP} == choices_read(network(space))


def test_what_gives_no_module_is_an_error():
    with pytest.raises(TypeError, match=r"gave a Space, expected a torch.nn.Module"):
        network(Space((OP,), network=no_module))
