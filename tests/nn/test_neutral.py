import torch
from torch import Tensor, nn

from morphogen.nn.neutral import make_neutral


def conv_norm(c: int = 4, affine: bool = True) -> list[nn.Module]:
    return [nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c, affine=affine)]


class Bottleneck(nn.Module):
    """Adds what comes out of its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*conv_norm(), nn.ReLU(), *conv_norm())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.layers(x)
        return y


def images() -> Tensor:
    return torch.randn(8, 4, 6, 6, generator=torch.Generator().manual_seed(0))


def test_of_a_residual_block_only_the_last_norm_is_zeroed() -> None:
    block, x = Bottleneck().eval(), images()
    before = {name: tensor.clone() for name, tensor in block.state_dict().items()}
    assert make_neutral(block, x, x)
    assert torch.equal(x, block(x))
    changed = {name for name, tensor in block.state_dict().items() if not torch.equal(before[name], tensor)}
    assert {"layers.4.weight"} == changed  # its bias was zero


def test_a_plain_block_becomes_the_identity_with_norms_that_undo_themselves() -> None:
    block, x = nn.Sequential(*conv_norm(), nn.ReLU(), *conv_norm(), nn.ReLU()).eval(), images().relu()
    assert make_neutral(block, x, x)
    torch.testing.assert_close(block(x), x)
    block.train()  # the statistics of these images are those of the norms
    torch.testing.assert_close(block(x), x, rtol=1e-4, atol=1e-4)


def test_what_stands_for_nothing_gives_zeros() -> None:
    block, x = nn.Sequential(nn.ReLU(), *conv_norm()).eval(), images()
    assert make_neutral(block, x, torch.zeros_like(x))
    assert 0 == block(x).abs().max()
    assert all(p.abs().max() > 0 for p in block[1].parameters())


def test_where_no_way_leads_there_the_weights_are_as_before() -> None:
    for block in (
        nn.Sequential(nn.ReLU(), *conv_norm()),  # the identity of negative numbers is not to be had
        nn.Sequential(nn.Conv2d(4, 8, 1), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1)),
        nn.Sequential(*conv_norm(affine=False)),
        nn.Sequential(nn.MaxPool2d(3, 1, 1)),
    ):
        block.eval()
        before = {name: tensor.clone() for name, tensor in block.state_dict().items()}
        assert not make_neutral(block, images(), images())
        assert all(torch.equal(before[name], tensor) for name, tensor in block.state_dict().items())
