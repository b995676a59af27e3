import ast
import keyword

import pytest
import torch
from torch import nn

from morphogen.export.text import MODULE_NAMES, WIDTH, Expression, camel, identifier, literal, render, unique

HOSTILE = [
    '"""\nimport os',
    "x); import os; (",
    "a\\\nb",
    "__class__",
    "lambda",
    "",
    "3x3",
    "é",
    "a" * 500,
    "self",
    "print",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_becomes_a_plain_identifier(name: str) -> None:
    for safe in (identifier(name), camel(name), identifier(name, MODULE_NAMES)):
        assert safe.isidentifier()
        assert safe.isascii()
        assert not safe.startswith("_")
        assert not keyword.iskeyword(safe)
    assert identifier(name) not in ("self", "print")


def test_names_that_are_fine_stay_as_they_are() -> None:
    assert "sep_conv_3x3" == identifier("sep_conv_3x3")
    assert "SepConv3x3" == camel("sep_conv_3x3")
    assert "ReLUConvBN" == camel("ReLUConvBN")
    assert "Conv1x7_7x1" == camel("conv_1x7_7x1")
    assert "MaxPool3x3" == camel("max pool-3x3")


def test_attributes_of_modules_are_not_overwritten() -> None:
    assert "forward_" == identifier("forward", MODULE_NAMES)
    assert "training_" == identifier("training", MODULE_NAMES)


def test_taken_names_get_a_number() -> None:
    assert "Cell" == unique("Cell", set())
    assert "Cell3" == unique("Cell", {"Cell", "Cell2"})
    assert "Conv3x3_2" == unique("Conv3x3", {"Conv3x3"})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (True, "True"),
        (None, "None"),
        (1e-05, "1e-05"),
        (float("inf"), 'float("inf")'),
        ("zeros", '"zeros"'),
        ((1, 2), "(1, 2)"),
        ((1,), "(1,)"),
        ((), "()"),
        (torch.float16, "torch.float16"),
        (torch.device("cpu"), 'torch.device("cpu")'),
        (torch.channels_last, "torch.channels_last"),
        ([1], None),
        (nn.ReLU(), None),
        (torch.zeros(1), None),
    ],
)
def test_constants_are_written_as_python_reads_them(value: object, text: str | None) -> None:
    assert text == literal(value)


@pytest.mark.parametrize("value", ['"""\nimport os', "'", "\\", '"', "a\nb"])
def test_a_text_stays_inside_its_quotes(value: str) -> None:
    written = literal(value)
    assert written is not None
    assert "\n" not in written
    assert value == ast.literal_eval(written)


def test_long_calls_break_item_by_item() -> None:
    short = Expression("nn.Conv2d(", tuple(Expression(str(i)) for i in range(5)), ")")
    assert ["x = nn.Conv2d(0, 1, 2, 3, 4)"] == list(render(short, "x = "))
    row = Expression("f(", tuple(Expression("n" * 20) for _ in range(4)), ")")
    assert 3 == len(list(render(row, "variable_of_some_length = ")))
    column = Expression("f(", tuple(Expression("n" * 30) for _ in range(4)), ")")
    assert 6 == len(list(render(column)))
    nested = list(render(Expression("nn.Sequential(", (row, column), ")"), indent=8))
    assert all(len(line) <= WIDTH for line in nested)
