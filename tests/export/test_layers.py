import inspect
from collections.abc import Callable

import pytest
import torch
from torch import nn

from morphogen.export.layers import INTERNAL, LAYERS, REQUIRED, Unsupported, layer

FLAT = (4, 8)  # an image without width: [batch, 4, 8]


@pytest.mark.parametrize("kind", LAYERS)
def test_the_table_says_what_the_installed_torch_does(kind: type[nn.Module]) -> None:
    known = {n: p for n, p in inspect.signature(kind.__init__).parameters.items() if n not in INTERNAL}
    table = LAYERS[kind]
    if known:
        assert list(table) == [n for n in known if n in table]
    for name, default in table.items():
        assert default == (REQUIRED if known[name].default is inspect.Parameter.empty else known[name].default)


LAYERS_AND_TEXTS = [
    (nn.Conv2d(3, 4, 3), "nn.Conv2d(3, 4, 3)"),
    (
        nn.Conv2d(3, 6, (3, 1), 2, (1, 0), 1, 3, False, "reflect"),
        '3, 6, (3, 1), stride=2, padding=(1, 0), groups=3, bias=False, padding_mode="reflect"',
    ),
    (nn.Conv2d(3, 4, 3, padding="same", dilation=2), 'nn.Conv2d(3, 4, 3, padding="same", dilation=2)'),
    (nn.ConvTranspose2d(3, 4, 2, 2), "nn.ConvTranspose2d(3, 4, 2, stride=2)"),
    (nn.BatchNorm2d(3), "nn.BatchNorm2d(3)"),
    (
        nn.BatchNorm2d(3, affine=False, eps=1e-3, momentum=0.01),
        "nn.BatchNorm2d(3, eps=0.001, momentum=0.01, affine=False)",
    ),
    (nn.InstanceNorm2d(3, affine=True), "nn.InstanceNorm2d(3, affine=True)"),
    (nn.GroupNorm(3, 3), "nn.GroupNorm(3, 3)"),
    (nn.LayerNorm(8), "nn.LayerNorm(8)"),
    (nn.LayerNorm((8, 8), elementwise_affine=False), "nn.LayerNorm((8, 8), elementwise_affine=False)"),
    (nn.LayerNorm([3, 8, 8], bias=False), "nn.LayerNorm((3, 8, 8), bias=False)"),
    (nn.RMSNorm(8), "nn.RMSNorm(8)"),
    (nn.LocalResponseNorm(3), "nn.LocalResponseNorm(3)"),
    (nn.ReLU(inplace=True), "nn.ReLU(inplace=True)"),
    (nn.ReLU6(), "nn.ReLU6()"),
    (nn.SiLU(), "nn.SiLU()"),
    (nn.GELU("tanh"), 'nn.GELU(approximate="tanh")'),
    (nn.Hardswish(), "nn.Hardswish()"),
    (nn.Hardtanh(0.0, 2.0), "nn.Hardtanh(min_val=0.0, max_val=2.0)"),
    (nn.LeakyReLU(0.2), "nn.LeakyReLU(negative_slope=0.2)"),
    (nn.Sigmoid(), "nn.Sigmoid()"),
    (nn.Softmax(dim=1), "nn.Softmax(dim=1)"),
    (nn.PReLU(3), "nn.PReLU(num_parameters=3)"),
    (nn.MaxPool2d(3, 2, 1), "nn.MaxPool2d(3, stride=2, padding=1)"),
    (nn.MaxPool2d(2), "nn.MaxPool2d(2)"),
    (
        nn.AvgPool2d((3, 3), (1, 1), 1, count_include_pad=False),
        "nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)",
    ),
    (nn.AdaptiveAvgPool2d((1, 1)), "nn.AdaptiveAvgPool2d(1)"),
    (nn.AdaptiveAvgPool2d((None, 4)), "nn.AdaptiveAvgPool2d((None, 4))"),
    (nn.AdaptiveMaxPool2d(2), "nn.AdaptiveMaxPool2d(2)"),
    (nn.Flatten(), "nn.Flatten()"),
    (nn.Linear(8, 5, bias=False), "nn.Linear(8, 5, bias=False)"),
    (nn.Dropout(0.3), "nn.Dropout(p=0.3)"),
    (nn.Dropout2d(), "nn.Dropout2d()"),
    (nn.Identity(3, a=4), "nn.Identity()"),
    (nn.ZeroPad2d((1, 0, 1, 0)), "nn.ZeroPad2d((1, 0, 1, 0))"),
    (nn.ConstantPad2d(1, 0.5), "nn.ConstantPad2d(1, 0.5)"),
    (
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        'scale_factor=2.0, mode="bilinear", align_corners=True)',
    ),
    (nn.Upsample(size=(4, 4)), "nn.Upsample(size=4)"),
    (nn.PixelUnshuffle(2), "nn.PixelUnshuffle(2)"),
    (nn.ChannelShuffle(3), "nn.ChannelShuffle(3)"),
    (nn.Unflatten(1, (3, 1)), "nn.Unflatten(1, (3, 1))"),
]


@pytest.mark.parametrize(
    ("module", "text"), LAYERS_AND_TEXTS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_layers_are_written_without_their_defaults(rebuild: Callable, module: nn.Module, text: str) -> None:
    written = rebuild(nn.Sequential(module, nn.Identity()))
    assert text in " ".join(written.text.split())
    assert layer(module) == layer(written.model[0])


def test_layers_of_one_dimension(rebuild: Callable) -> None:
    network = nn.Sequential(
        nn.Flatten(2), nn.Conv1d(3, 4, 5, padding=2), nn.BatchNorm1d(4), nn.AvgPool1d(2), nn.Flatten()
    )
    assert "nn.AvgPool1d(2)" in rebuild(network).text


def test_attention(rebuild: Callable) -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, kdim=4, vdim=4, bias=False, batch_first=True)
            self.key = nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.flatten(1, 2)
            y, _ = self.attention(x, self.key(x), self.key(x), need_weights=False)
            return y.mean(1)

    text = rebuild(Attention()).text
    assert "nn.MultiheadAttention(8, 2, bias=False, kdim=4, vdim=4, batch_first=True)" in text


def test_an_argument_that_older_torch_does_not_know_is_refused() -> None:
    if "bias" not in inspect.signature(nn.BatchNorm2d.__init__).parameters:
        assert layer(nn.BatchNorm2d(3)) is not None
        return
    with pytest.raises(Unsupported, match=r"nn\.BatchNorm2d has bias=False, an argument that torch 2\.6 does not know"):
        layer(nn.BatchNorm2d(3, bias=False))


def test_other_modules_are_no_layers() -> None:
    assert layer(nn.LSTM(3, 3)) is None
    assert layer(nn.Sequential()) is None
