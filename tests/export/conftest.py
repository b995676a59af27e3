"""What the tests of the export share."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from morphogen.export.classes import source, weights
from morphogen.export.tracing import trace
from morphogen.export.whitelist import check

Image = tuple[int, int, int]
IMAGE: Image = (3, 8, 8)


def _rebuild(network: nn.Module, image: Image = IMAGE) -> SimpleNamespace:
    """Write the source of a network, run it, load the weights strictly, and require bit-equal logits."""
    plain = copy.deepcopy(network).eval()
    block = trace(plain, image)
    text = source(block, image)
    assert text == source(trace(plain, image), image)
    check(text)
    names: dict[str, type[nn.Module]] = {}
    exec(compile(text, "model.py", "exec"), names)
    model = names["Model"]()
    state = {key: tensor.detach().clone() for key, tensor in weights(block).items()}
    model.load_state_dict(state)
    x = torch.randn(3, *image, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, actual = plain(x), model.eval()(x)
    assert expected.shape == actual.shape
    assert torch.equal(expected, actual)
    return SimpleNamespace(text=text, model=model, state=state)


@pytest.fixture
def rebuild() -> Callable[..., SimpleNamespace]:
    """`rebuild(network, image)` gives `text`, `model` and `state`, after it has compared the logits."""
    torch.manual_seed(0)
    return _rebuild
