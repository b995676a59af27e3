import pytest

from morphogen.export.whitelist import check
from morphogen.protocols import MorphogenError

GOOD = '''"""A network."""

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Sequential):
    def __init__(self, channels):
        super().__init__(nn.Conv2d(3, channels, 3, padding=1), nn.ReLU())


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(4)])
        self.scale = nn.Parameter(torch.zeros(1))
        self.blocks[0][0].bias = self.scale

    def forward(self, x):
        x = F.relu(self.blocks[0](x)[:, 1:]) * self.scale + float("inf")
        return torch.cat([x, -x], dim=1).flatten(1)
'''


def test_modules_made_of_torch_pass() -> None:
    check(GOOD)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import torch\n", "import torch\nimport os\n"),
        ("import torch\n", "import torch, os\n"),
        ("from torch import nn", "from os import system as nn"),
        ("\n\n\nclass Block", "\n\nprint(1)\n\nclass Block"),
        ("class Block(nn.Sequential)", "class Block(nn.Sequential, metaclass=torch.load)"),
        ("class Block(nn.Sequential)", "@torch.load\nclass Block(nn.Sequential)"),
        ("class Block(nn.Sequential)", "class Block(object)"),
        ("def forward(self, x):", "def forward(self, x=torch.load('x')):"),
        ("def forward(self, x):", "def forward(self, x, *more):"),
        ("def forward(self, x):", "def train(self, x):"),
        ("F.relu(", "eval("),
        ("F.relu(", "torch.load("),
        ("F.relu(", "torch.hub.load("),
        ("F.relu(", "torch.os.system("),
        ("F.relu(", "nn.LSTM("),
        ("F.relu(", "self.blocks.__class__.__mro__("),
        ("F.relu(", "(lambda y: y)("),
        ("-x]", "*x]"),
        ("dim=1", "**x"),
        ("return torch.cat", "import os\n        return torch.cat"),
        ("return torch.cat", "del x\n        return torch.cat"),
        ("return torch.cat", "x = y\n        return torch.cat"),
        ("return torch.cat", "x.backdoor()\n        return torch.cat"),
        ("return torch.cat", "x = [y for y in x]\n        return torch.cat"),
        ('"""A network."""', '"""A network.""" + str(1)'),
    ],
)
def test_anything_else_is_refused(old: str, new: str) -> None:
    assert old in GOOD
    with pytest.raises(MorphogenError, match=r"model\.py would have .* nothing was written"):
        check(GOOD.replace(old, new, 1))
