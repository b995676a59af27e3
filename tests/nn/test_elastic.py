import pytest
import torch
import torch.nn.functional as F
from torch import nn

from morphogen.nn.elastic import ElasticBatchNorm2d, ElasticConv2d, ElasticLinear
from morphogen.nn.inherit import inherit
from morphogen.nn.mixture import bind, picks_to_mixture
from morphogen.space import Choice, Space

WIDTH = Choice("width", ("2", "4", "6"), ordered=True)
WIDER = Choice("wider", ("3", "5"), ordered=True)
KERNEL = Choice("kernel", ("1", "3", "5"), ordered=True)
SPACE = Space((WIDTH, WIDER, KERNEL))


def weights(choice, *values):
    return dict(zip(choice.options, torch.tensor(values, dtype=torch.float64), strict=True))


def padded(y: torch.Tensor, channels: int) -> torch.Tensor:
    return F.pad(y, (0, 0, 0, 0, 0, channels - y.shape[1]))


def build(space):
    width, wider, kernel = space["width"], space["wider"], space["kernel"]
    return nn.Sequential(
        ElasticConv2d(3, width, kernel, stride=2),
        ElasticBatchNorm2d(width),
        nn.ReLU(),
        ElasticConv2d(width, width, kernel, groups=width, dilation=2, bias=False),
        ElasticBatchNorm2d(width, affine=False),
        ElasticConv2d(width, wider, 1),
        nn.Flatten(2),
        Mean(),
        ElasticLinear(wider, width),
        nn.ReLU(),
        ElasticLinear(width, 7, bias=False),
    ).double()


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(2)


@pytest.mark.parametrize("training", [True, False])
def test_every_subgraph_equals_the_standalone_layers_after_inherit(training):
    torch.manual_seed(0)
    supernet, x = build(SPACE), torch.randn(4, 3, 9, 9, dtype=torch.float64)
    for norm in (supernet[1], supernet[4]):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    for architecture in SPACE.enumerate():
        standalone = build(SPACE.fix(architecture)).train(training)
        supernet.train(training)
        assert set(standalone.state_dict()) == set(supernet.state_dict())
        inherit(supernet, standalone, architecture)
        with bind(supernet, picks_to_mixture(architecture)):
            y = supernet(x)
        torch.testing.assert_close(standalone(x), y, rtol=0, atol=1e-12)
        plain = nn.Sequential(*(m.plain() if hasattr(m, "plain") else m for m in standalone))
        torch.testing.assert_close(plain.train(training)(x), y, rtol=0, atol=1e-12)


def test_running_statistics_of_a_subgraph_are_those_of_the_standalone_norm():
    torch.manual_seed(0)
    space = Space((WIDTH,))
    architecture = space.architecture({"width": "4"})
    supernet, standalone = ElasticBatchNorm2d(WIDTH), ElasticBatchNorm2d(space.fix(architecture)["width"])
    inherit(supernet, standalone, architecture)
    x = torch.randn(3, 4, 5, 5) + 2
    supernet(x, picks_to_mixture(architecture))
    standalone(x)
    assert torch.equal(standalone.running_mean, supernet.running_mean[:4])
    assert torch.equal(torch.zeros(2), supernet.running_mean[4:])
    assert 1 == supernet.num_batches_tracked == standalone.num_batches_tracked


def test_weighted_widths_are_the_weighted_sum_of_the_hard_picks():
    conv, x = ElasticConv2d(3, WIDTH, 3).double(), torch.randn(2, 3, 5, 5, dtype=torch.float64)
    w = weights(WIDTH, 0.2, 0.5, 0.3)
    expected = sum(v * padded(conv(x, {"width": {o: None}}), 6) for o, v in w.items())
    torch.testing.assert_close(conv(x, {"width": w}), expected)


def test_weighted_kernels_are_the_weighted_sum_of_the_hard_picks():
    conv, x = ElasticConv2d(3, 4, KERNEL, stride=2).double(), torch.randn(2, 3, 7, 7, dtype=torch.float64)
    w = weights(KERNEL, 0.2, 0.7, 0.3)
    expected = sum(v * conv(x, {"kernel": {o: None}}) for o, v in w.items())
    torch.testing.assert_close(conv(x, {"kernel": w}), expected)


def test_weighted_features_are_the_weighted_sum_of_the_hard_picks():
    layer, x = ElasticLinear(3, WIDTH).double(), torch.randn(2, 3, dtype=torch.float64)
    w = weights(WIDTH, 0.2, 0.5, 0.3)
    expected = sum(v * F.pad(layer(x, {"width": {o: None}}), (0, 6 - int(o))) for o, v in w.items())
    torch.testing.assert_close(layer(x, {"width": w}), expected)


def test_batch_norm_masks_again_what_it_would_undo():
    norm, x = ElasticBatchNorm2d(WIDTH).double(), torch.randn(8, 6, 3, 3, dtype=torch.float64)
    mask = torch.tensor([1.0, 1.0, 0.8, 0.8, 0.3, 0.3], dtype=torch.float64).view(-1, 1, 1)
    y = norm(x, {"width": weights(WIDTH, 0.2, 0.5, 0.3)})
    torch.testing.assert_close(y, mask * nn.BatchNorm2d(6).double()(x))


@pytest.mark.parametrize("architecture", list(SPACE.enumerate()), ids=str)
def test_one_hot_weights_equal_the_hard_pick(architecture):
    torch.manual_seed(0)
    network, x = build(SPACE), torch.randn(4, 3, 9, 9, dtype=torch.float64)
    one_hot = {c.name: weights(c, *(float(o in architecture[c.name]) for o in c.options)) for c in SPACE}
    with bind(network, picks_to_mixture(architecture)):
        hard = network(x)
    with bind(network, one_hot):
        torch.testing.assert_close(network(x), hard, rtol=0, atol=1e-12)


def test_every_weight_of_a_mixture_gets_a_gradient():
    network, x = build(SPACE), torch.randn(4, 3, 9, 9, dtype=torch.float64)
    logits = {c.name: torch.zeros(len(c.options), dtype=torch.float64, requires_grad=True) for c in SPACE}
    with bind(network, {c.name: dict(zip(c.options, logits[c.name].softmax(0), strict=True)) for c in SPACE}):
        network(x).square().sum().backward()
    for name, alpha in logits.items():
        assert alpha.grad.abs().min() > 0, name


def test_a_straight_through_weight_runs_at_the_size_of_its_option():
    network, x = build(SPACE), torch.randn(4, 3, 9, 9, dtype=torch.float64)
    w = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    picks = {"width": {"4": w}, "wider": {"3": None}, "kernel": {"3": w}}
    with bind(network, picks):
        assert (4, 4, 5, 5) == network[0](x).shape
        network(x).square().sum().backward()
    assert w.grad.abs() > 0


def test_mixed_precision_and_memory_format_pass_through():
    conv, norm = ElasticConv2d(3, WIDTH, KERNEL), ElasticBatchNorm2d(WIDTH)
    x = torch.randn(2, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    mixture = {
        "width": dict(zip(WIDTH.options, torch.tensor([0.2, 0.5, 0.3]), strict=True)),
        "kernel": {"3": None},
    }
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = norm(conv(x, mixture), mixture)
    assert torch.bfloat16 == y.dtype
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_sizes_that_cannot_be_served_are_refused():
    with pytest.raises(ValueError, match=r"kernel_size is odd, .* got 4"):
        ElasticConv2d(3, 4, Choice("kernel", ("3", "4")))
    with pytest.raises(ValueError, match="choice 'width' is a size, its options are numbers from 1; got 'wide'"):
        ElasticLinear(3, Choice("width", ("2", "wide")))
    with pytest.raises(ValueError, match="got groups=2"):
        ElasticConv2d(WIDTH, WIDTH, 3, groups=2)
    with pytest.raises(ValueError, match=r"choice 'width' is open \(3 options\): build from space.fix"):
        ElasticBatchNorm2d(WIDTH).plain()


def test_a_fixed_layer_takes_any_groups():
    conv = ElasticConv2d(4, 8, 3, groups=2)
    assert (2, 8, 5, 5) == conv(torch.randn(2, 4, 5, 5)).shape
    assert (8, 2, 3, 3) == conv.plain().weight.shape
