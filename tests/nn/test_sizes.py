import pytest
import torch

from morphogen.choice import Choice
from morphogen.nn.mixture import Mixing
from morphogen.nn.sizes import Product, choices_of, first, is_fixed, largest, part, picked, sizes_of

WIDTH = Choice("width", ("4", "6"), ordered=True)
RATIO = Choice("ratio", ("0.5", "2"), ordered=True)


def test_a_product_has_the_sizes_of_all_its_factors():
    assert [8, 32, 12, 48] == sizes_of(Product((WIDTH, RATIO, 4)))
    assert 48 == largest(Product((WIDTH, RATIO, 4)))
    assert 12 == picked(Product((WIDTH, RATIO, 4)), {"width": ("6",), "ratio": ("0.5",)})
    assert [WIDTH, RATIO] == choices_of(Product((WIDTH, RATIO)), WIDTH, 3)


@pytest.mark.parametrize(("number", "rounded"), [(72, 24), (16, 8), (64, 16), (120, 32), (240, 64), (960, 240)])
def test_rounding_is_to_multiples_and_not_far_down(number, rounded):
    # a quarter, to multiples of 8, as in MobileNetV3
    assert rounded == Product((number,), divisor=4, multiple=8).of({})


def test_a_size_is_fixed_where_every_choice_has_one_option():
    assert is_fixed(3)
    assert is_fixed(Product((Choice("width", ("4",)), 2)))
    assert not is_fixed(Product((Choice("width", ("4",)), RATIO)))


def test_weights_of_equal_products_add_up():
    a, b = Choice("a", ("1", "2")), Choice("b", ("1", "2"))
    layer, like = Mixing(a, b), torch.zeros(())
    half = torch.tensor(0.5)
    mixture = {"a": dict.fromkeys(a.options, half), "b": dict.fromkeys(b.options, half)}
    # 1, 2 twice, and 4, each combination with a quarter
    size, mask = part(layer, Product((a, b)), mixture, like)
    assert 4 == size
    assert [1.0, 0.75, 0.25, 0.25] == mask.tolist()
    assert (2, None) == part(layer, Product((a, b)), {"a": {"2": None}, "b": {"1": None}}, like)


def test_all_of_a_tensor_is_the_tensor_itself():
    x = torch.randn(3, 4)
    assert first(x, 3) is x
    assert (3, 2) == first(x, 2, dimension=1).shape
    assert first(None, 2) is None


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (Choice("width", ("4", "wide")), "choice 'width' is a size, its options are numbers from 1; got 'wide'"),
        (Choice("width", ("0.5", "1")), "is a size, its options are numbers from 1; got '0.5'"),
        (Product((Choice("ratio", ("0", "1")),)), "choice 'ratio' is a factor, its options are numbers; got '0'"),
        (Product((Choice("ratio", ("1", "nan")),)), "is a factor, its options are numbers; got 'nan'"),
    ],
)
def test_an_option_that_is_no_size_is_refused(size, message):
    with pytest.raises(ValueError, match=message):
        choices_of(size)
