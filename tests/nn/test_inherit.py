import pytest
import torch
from torch import nn

from morphogen.nn.inherit import inherit
from morphogen.nn.mixed import MixedOp
from morphogen.space import Choice, Space

SPACE = Space((Choice("op", ("small", "large")),))
A = SPACE.architecture({"op": "large"})


def build(space, width=2):
    sizes = {"small": 2, "large": width}
    mixed = MixedOp(space["op"], lambda name: nn.Sequential(nn.Conv2d(1, sizes[name], 1), nn.BatchNorm2d(sizes[name])))
    return nn.Sequential(mixed)


def test_parameters_and_buffers_are_copied_not_shared():
    supernet, standalone = build(SPACE), build(SPACE.fix(A))
    supernet[0].ops["large"][1].running_mean.fill_(3)
    inherit(supernet, standalone, A)
    for name, tensor in standalone.state_dict().items():
        assert torch.equal(supernet.state_dict()[name], tensor)
        assert supernet.state_dict()[name].data_ptr() != tensor.data_ptr()


def test_another_shape_is_an_error_that_says_which():
    with pytest.raises(
        ValueError, match=r"tensor '0.ops.large.0.weight' of shape \(5, 1, 1, 1\), the supernet has one"
    ):
        inherit(build(SPACE), build(SPACE.fix(A), width=5), A)


def test_a_module_that_the_supernet_has_not_is_an_error_that_says_which():
    with pytest.raises(ValueError, match=r"has a module '0.ops.large', the supernet has none"):
        inherit(build(Space((Choice("op", ("small",)),))), build(SPACE.fix(A)), A)
