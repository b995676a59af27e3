import json
import os
from pathlib import Path

import pytest

from morphogen.spaces import Genotype
from morphogen.spaces.genotype import CellGenotype

FILE = Path(os.environ.get("MORPHOGEN_CHECKS", Path(__file__).parents[3] / "shared" / "checks")) / "genotypes.json"
PUBLISHED = json.loads(FILE.read_text()) if FILE.exists() else {}
CELLS = ["NASNet-A", "PNASNet-5", "AmoebaNet-A", "ENAS_micro"] + [
    f"quark0_{name}" for name in ("DARTS_V1", "DARTS_V2", "NASNet", "AmoebaNet")
]
# as printed in the released code of DARTS
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
SMALL = "Genotype(normal=[('a', 0), ('b', 1)], normal_concat={}, reduce=[('a', 0), ('b', 0)], reduce_concat=[0, 2])"


def test_the_published_text_reads_and_writes():
    genotype = Genotype.parse(DARTS_V2)
    assert DARTS_V2 == str(genotype)
    assert (("skip_connect", 0), ("dil_conv_3x3", 2)) == genotype.normal.blocks[3]
    assert (2, 3, 4, 5) == genotype.reduce.concat


def test_a_range_is_a_list_and_white_space_does_not_matter():
    assert Genotype.parse(SMALL.format("[2]")) == Genotype.parse("\n" + SMALL.format(" range(2,\n 3) "))


@pytest.mark.skipif(not PUBLISHED, reason=f"no file {FILE}: MORPHOGEN_CHECKS names the folder of published cells")
@pytest.mark.parametrize("name", CELLS)
def test_every_published_pair_of_cells_survives_text_and_json(name):
    genotype = Genotype.from_json(PUBLISHED[name])
    for kind in ("normal", "reduce"):
        cell = PUBLISHED[name][kind]
        assert {"blocks": cell["blocks"], "concat": cell["concat"]} == genotype.json[kind]
    assert genotype == Genotype.parse(str(genotype))
    assert genotype == Genotype.from_json(json.loads(json.dumps(genotype.json)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a genotype: ''; expected Genotype"),
        ("DARTS_V2", "not a genotype: 'DARTS_V2'"),
        ("__import__('os').system('true')", "not a genotype"),
        ("Genotype(normal=[])", "a genotype has the fields normal, normal_concat, reduce, reduce_concat; got normal"),
        (SMALL.format("open('x')"), r"normal_concat of the genotype is neither a literal nor a range: open\('x'\)"),
        (SMALL.format("range('x')"), "normal_concat of the genotype is neither a literal nor a range"),
        (SMALL.format("2"), "normal_concat is not a list of states: 2"),
        (SMALL.format("[3]"), r"concat=\[3\]: expected some of the states 0 to 2"),
        (SMALL.format("range(10**9)"), "normal_concat of the genotype is neither a literal nor a range"),
        (SMALL.format("range(1000000000)"), "expected some of the states 0 to 2"),
        (SMALL.format("[2]").replace("('a', 0), ('b', 1)", "('a', 0)"), "normal has 1 pairs, expected an even number"),
        (SMALL.format("[2]").replace("('a', 0)", "'a'"), r"normal is not a list of \('operation', input\) pairs"),
        (SMALL.format("[2]").replace("('b', 1)", "('b', 2)"), "block 0 cannot read input 2: it has the inputs 0 to 1"),
        (SMALL.format("[2]").replace("('b', 1)", "(1, 'b')"), r"block 0: \(1, 'b'\) is not an operation's name"),
        ("(" * 5000, "not a genotype"),
    ],
)
def test_what_is_no_genotype_is_a_value_error_that_says_why(text, message):
    with pytest.raises(ValueError, match=message):
        Genotype.parse(text)


@pytest.mark.parametrize("body", [{}, {"blocks": 3, "concat": [2]}, {"blocks": [["a"]], "concat": [2]}])
def test_json_of_another_form_is_a_value_error(body):
    with pytest.raises(
        ValueError, match=r"not the JSON of a cell|is not an operation's name|expected 2|not enough values"
    ):
        CellGenotype.from_json(body)
