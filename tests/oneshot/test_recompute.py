from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from morphogen.nn.network import network
from morphogen.oneshot import Softmax
from morphogen.oneshot.recompute import recompute
from morphogen.spaces.darts import SKELETONS, darts

SPACE = darts(2)
SKELETON = replace(SKELETONS["search"], image=(1, 8, 8), classes=4, channels=4, cells=3, drop_path=0.3)


def learned(again):
    torch.manual_seed(0)
    supernet = network(SPACE, SKELETON)
    distribution = Softmax(SPACE)
    x = torch.randn(6, 1, 8, 8)
    for module in supernet.modules():
        if hasattr(module, "progress"):
            module.progress = 1.0  # drops a third

    def step():
        loss = F.cross_entropy(supernet(x, distribution.mixture()), torch.arange(6) % 4)
        loss.backward()

    if again:
        with recompute(supernet):
            step()
    else:
        step()
    logits = [p.grad for p in distribution.logits.values()]
    return logits, [p.grad for p in supernet.parameters()], list(supernet.buffers()), supernet


def test_gradients_and_running_statistics_are_the_same_bits():
    *plain, _ = learned(False)
    *found, supernet = learned(True)
    for a, b in zip(plain, found, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert all("forward" not in vars(cell) for cell in supernet.cells)


def test_cells_keep_little_for_backward():
    torch.manual_seed(0)
    supernet, x = network(SPACE, SKELETON), torch.randn(6, 1, 8, 8)
    mixture = Softmax(SPACE).mixture()
    kept = []
    for again in (False, True):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t):
            if again:
                with recompute(supernet):
                    supernet(x, mixture)
            else:
                supernet(x, mixture)
        kept.append(sum(sizes))
    assert kept[1] < 0.2 * kept[0]


def test_a_network_without_cells_is_refused():
    with pytest.raises(ValueError, match="Linear has no module list 'cells'"), recompute(torch.nn.Linear(2, 2)):
        pass


def test_cells_are_called_by_keywords_too():
    class Scaled(torch.nn.Module):
        def forward(self, x, *, by):
            return by * x

    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.cells = torch.nn.ModuleList([Scaled(), Scaled()])

        def forward(self, x):
            for cell in self.cells:
                x = cell(x, by=3)
            return x

    x, two = torch.ones(2, requires_grad=True), Two()
    with recompute(two):
        two(x).sum().backward()
    assert [9, 9] == x.grad.tolist()
