import pytest
import torch
import torch.nn.functional as F
from torch import nn

from morphogen.choice import Choice
from morphogen.nn.attention import ElasticAttention, ElasticLayerNorm, Positions
from morphogen.nn.mixture import bind

WIDTH = Choice("width", ("4", "6"), ordered=True)
HEADS = Choice("heads", ("1", "2", "3"), ordered=True)


def hard(**picks):
    return {name: {option: None} for name, option in picks.items()}


def weighted(choice, *weights):
    values = (torch.tensor(w, dtype=torch.float64) for w in weights)
    return {choice.name: dict(zip(choice.options, values, strict=True))}


@pytest.fixture
def attention():
    torch.manual_seed(0)
    return ElasticAttention(6, HEADS, head_width=4).double()


def test_it_is_the_attention_of_torch(attention):
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    with bind(attention, hard(heads="3")):
        got = attention(x, hard(heads="3"))
    q, k, v = (
        F.linear(x, layer.weight, layer.bias).view(2, 5, 3, 4).transpose(1, 2)
        for layer in (attention.query, attention.key, attention.value)
    )
    inside = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 5, 12)
    expected = F.linear(inside, attention.project.weight, attention.project.bias)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


def test_heads_are_taken_whole(attention):
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    before = attention(x, hard(heads="2"))
    with torch.no_grad():
        for layer in (attention.query, attention.key, attention.value):
            layer.weight[8:] = torch.nan
    assert torch.equal(before, attention(x, hard(heads="2")))
    assert torch.isnan(attention(x, hard(heads="3"))).all()


def test_weighted_heads_are_the_weighted_sum(attention):
    x, weights = torch.randn(2, 5, 6, dtype=torch.float64), (0.2, 0.5, 0.3)
    expected = sum(w * attention(x, hard(heads=o)) for w, o in zip(weights, HEADS.options, strict=True))
    torch.testing.assert_close(attention(x, weighted(HEADS, *weights)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("option", WIDTH.options)
def test_a_layer_norm_is_that_of_its_first_features(option):
    norm, n = ElasticLayerNorm(WIDTH).double(), int(option)
    nn.init.normal_(norm.weight)
    x = torch.randn(2, 3, n, dtype=torch.float64)
    plain = ElasticLayerNorm(Choice("width", (option,))).double()
    plain.load_state_dict(norm.narrow({"width": (option,)}))
    torch.testing.assert_close(norm(x, hard(width=option)), plain.plain()(x), rtol=0, atol=1e-12)
    assert isinstance(plain.plain(), nn.LayerNorm)


def test_weighted_layer_norms_are_the_weighted_sum():
    norm, x = ElasticLayerNorm(WIDTH).double(), torch.randn(2, 3, 6, dtype=torch.float64)
    parts = [F.pad(norm(x[..., :4], hard(width="4")), (0, 2)), norm(x, hard(width="6"))]
    torch.testing.assert_close(norm(x, weighted(WIDTH, 0.4, 0.6)), 0.4 * parts[0] + 0.6 * parts[1])
    with pytest.raises(ValueError, match=r"choice 'width' is open: build from space.fix"):
        norm.plain()


def test_positions_are_cut_like_their_tokens():
    positions, x = Positions(3, WIDTH), torch.zeros(2, 3, 4)
    assert torch.equal(positions.weight[:, :4].expand(2, 3, 4), positions(x, hard(width="4")))
    assert (3, 4) == positions.narrow({"width": ("4",)})["weight"].shape
