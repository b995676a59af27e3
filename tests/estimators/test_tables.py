"""Tables in files: what they answer, and that what is wrong with one is said in one line."""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from morphogen.estimators.tables import FileTable, is_table_file, load
from morphogen.estimators.tabular import Tabular
from morphogen.protocols import Context, MorphogenError
from morphogen.spaces.nasbench101 import from_graph, to_graph
from morphogen.testing import EstimatorSuite
from morphogen.trial import Proposal

DOCS = (Path(__file__).parents[2] / "docs" / "tables.md").read_text()
CSV = re.search(r"```csv\n(.*?)```", DOCS, re.S)
TOML = re.findall(r"```toml\n(.*?)```", DOCS, re.S)
assert CSV is not None
SMALL = TOML[0]


def small(folder: Path, toml: str = SMALL, csv: str = CSV[1]) -> FileTable:
    (folder / "small.csv").write_text(csv)
    (folder / "small.toml").write_text(toml)
    return load(folder / "small.toml")


def test_the_example_of_the_documentation_is_read(tmp_path: Path) -> None:
    table = small(tmp_path)
    architecture = table.space.architecture({"op": "conv", "width": "16", "skips": ["a", "b"]})
    entry = table.entry(architecture, {}, seed=0)
    assert entry.metrics["accuracy"] in (0.95, 0.94)
    assert 4100 == entry.metrics["params"]
    assert 55 == entry.seconds == table.cost(architecture, {})
    assert math.isclose(0.945, table.optimum)
    assert math.isclose(0.82, table.worst)
    assert {"epochs": 9} == table.full
    assert not table.deterministic


def test_a_seed_picks_one_training_and_always_the_same(tmp_path: Path) -> None:
    table = small(tmp_path)
    architecture = table.space.architecture({"op": "conv", "width": "8", "skips": []})
    found = [table.entry(architecture, {}, seed).metrics["accuracy"] for seed in range(20)]
    assert {0.91, 0.92} == set(found)
    assert found == [table.entry(architecture, {}, seed).metrics["accuracy"] for seed in range(20)]


def test_a_fidelity_is_answered_by_the_highest_recorded_below_it(tmp_path: Path) -> None:
    table = small(tmp_path)
    architecture = table.space.architecture({"op": "pool", "width": "8", "skips": ["a"]})
    entry = table.entry(architecture, {"epochs": 5}, seed=0)
    assert {"accuracy": 0.79, "params": 300} == entry.metrics
    assert math.isclose(10 / 3, entry.seconds)
    with pytest.raises(LookupError, match="the least it has is epochs 3"):
        table.entry(architecture, {"epochs": 1}, seed=0)


def test_what_is_not_listed_fails_and_says_so(tmp_path: Path) -> None:
    table = small(tmp_path)
    missing = table.space.architecture({"op": "pool", "width": "16", "skips": []})
    assert table.truth(missing) is None
    with pytest.raises(LookupError, match="no row for op=pool"):
        table.entry(missing, {}, seed=0)


def test_a_table_pickles_as_the_way_to_its_file(tmp_path: Path) -> None:
    table = small(tmp_path)
    pickled = pickle.dumps(table)
    assert len(pickled) < 400
    assert pickle.loads(pickled) is table


def test_a_folder_with_one_toml_is_a_table(tmp_path: Path) -> None:
    assert small(tmp_path) is load(tmp_path)
    assert is_table_file(str(tmp_path))
    assert not is_table_file("toy")


BAD: dict[str, tuple[Callable[[str], str], Callable[[str], str], str]] = {
    "missing column": (
        lambda t: t.replace('"params"\n', '"parms"\n'),
        str,
        "has no column 'parms', did you mean 'params'",
    ),
    "unknown option": (str, lambda c: c.replace("pool,8", "pol,8"), "choice 'op' has no option 'pol'"),
    "duplicate": (str, lambda c: c.replace("pool,16,b", "pool,8,a"), "rows 2 and 3 are of the same architecture"),
    "NaN": (lambda t: t, lambda c: c.replace("0.91,0.92", ","), "is [nan, nan] in row 0"),
    "no number": (str, lambda c: c.replace("0.91", "good"), "row 0: 'good' is not a number"),
    "unknown key": (lambda t: t.replace("fixed", "fixd"), str, "no key 'metrics.params.fixd'"),
    "unknown axis": (lambda t: t.replace("epochs = 3", "epoch = 3"), str, "no fidelity axis 'epoch'"),
    "unknown space": (
        lambda t: 'space = "nasbench20"\n' + re.sub(r"\[\[choices\]\].*?(?=\[arch)", "", t, flags=re.S),
        str,
        "did you mean 'nasbench201'",
    ),
    "code as space": (
        lambda t: 'space = "os:system"\n' + re.sub(r"\[\[choices\]\].*?(?=\[arch)", "", t, flags=re.S),
        str,
        "is code",
    ),
    "ragged": (str, lambda c: c + "conv,8\n", "has 2 fields"),
    "no seconds": (str, lambda c: c.replace(",30,", ",0,"), "expected more than 0"),
    "not a TOML": (lambda t: t + "[", str, "is not valid TOML"),
    "two forms": (
        lambda t: t.replace("[architecture]", '[architecture]\ntext = "op"'),
        str,
        "give one of columns, text, identity",
    ),
    "no data": (lambda t: t.replace('data = "small.csv" ', 'data = "none.csv" '), str, "there is no data file"),
    "another kind": (
        lambda t: t.replace('data = "small.csv" ', 'data = "small.pkl" '),
        str,
        "expected one of .npz, .csv, .parquet",
    ),
    "codes beyond": (
        lambda t: t.replace("[architecture]", '[architecture]\noptions = ["conv"]'),
        str,
        "is no whole number",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_one_line(case: str, tmp_path: Path) -> None:
    toml, csv, expected = BAD[case]
    with pytest.raises(MorphogenError) as raised:
        small(tmp_path, toml(SMALL), csv(str(CSV[1])))
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)


def test_trainings_that_failed_are_failed_trials_where_the_table_says_so(tmp_path: Path) -> None:
    table = small(
        tmp_path, "nan_fails = true\n" + SMALL.replace("at = [", "# at = ["), str(CSV[1]).replace("0.91,0.92", ",")
    )
    failed = table.space.architecture({"op": "conv", "width": "8", "skips": []})
    outcome = Tabular(table)(Proposal(failed), Context(seed=0))
    assert outcome.error is not None
    assert 30 == outcome.seconds
    assert table.truth(failed) is None


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", arch=np.asarray([{"op": "conv"}], dtype=object), acc=np.asarray([1.0]))
    (tmp_path / "x.toml").write_text(
        'data = "x.npz"\nchoices = [{ name = "op", options = ["conv"] }]\narchitecture = { text = "arch" }\nmetrics.accuracy.column = "acc"\n'
    )
    with pytest.raises(MorphogenError, match="allow_pickle=False"):
        load(tmp_path)


def test_parquet_needs_pyarrow_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    (tmp_path / "small.parquet").write_bytes(b"PAR1")
    with pytest.raises(MorphogenError, match="'pyarrow', which is not installed"):
        small(tmp_path, SMALL.replace("small.csv", "small.parquet"))


CODES = """
data = "codes.npz"
[[choices]]
name = "depth"
options = ["1", "2"]
[[choices]]
name = "op"
options = ["conv", "pool"]
when = { choice = "depth", any_of = "2" }
[[choices]]
name = "skips"
options = ["a", "b", "c"]
pick = [0, 3]
[architecture]
columns = "arch"
[architecture.options]
depth = ["2", "1"]
op = ["pool", "conv"]
skips = ["a", "b", "c"]
[fidelity]
epochs = 4
[metrics.accuracy]
column = "acc"
maximize = true
[curves.accuracy]
column = "curve"
axis = "epochs"
[seconds]
constant = 10.0
"""


def test_codes_conditions_subsets_runs_and_curves(tmp_path: Path) -> None:
    curve = np.asarray([[[0.1, 0.2, 0.3, 0.4], [0.2, 0.3, 0.4, 0.5]], [[0.3, 0.4, 0.5, 0.6], [np.nan] * 4]])
    np.savez(tmp_path / "codes.npz", arch=np.asarray([[0, 1, 0b101], [1, -1, 0]]), acc=curve[:, :, -1], curve=curve)
    (tmp_path / "codes.toml").write_text(CODES)
    table = load(tmp_path)
    deep = table.space.architecture({"depth": "2", "op": "conv", "skips": ["a", "c"]})
    flat = table.space.architecture({"depth": "1", "skips": []})
    assert {0.2, 0.3} == {table.entry(deep, {"epochs": 2}, seed).metrics["accuracy"] for seed in range(9)}
    # the second training of this one was never made
    assert {0.6} == {table.entry(flat, {}, seed).metrics["accuracy"] for seed in range(9)}
    entry = table.entry(flat, {"epochs": 2}, 0)
    assert [(1.0, 0.3), (2.0, 0.4)] == entry.curves["accuracy"]
    assert 5.0 == entry.seconds
    assert {"epochs": 1} == table.lowest


def test_noise_is_seeded_and_the_truth_is_without_it(tmp_path: Path) -> None:
    table = small(tmp_path, SMALL.replace("maximize = true", "maximize = true\nnoise = 0.01", 1))
    architecture = table.space.architecture({"op": "conv", "width": "8", "skips": []})
    a, b, again = (table.entry(architecture, {}, seed).metrics["accuracy"] for seed in (0, 1, 0))
    assert a == again != b
    assert math.isclose(0.915, table.truth(architecture) or 0)


def test_published_text_and_the_protocol_of_the_paper_are_read(tmp_path: Path) -> None:
    cells = [
        "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|",
        "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
    ]
    np.savez(tmp_path / "x.npz", arch=np.asarray(cells), acc=np.asarray([90.0, 10.0]))
    (tmp_path / "x.toml").write_text(
        'space = "nasbench201"\ndata = "x.npz"\narchitecture = { text = "arch" }\nmetrics.accuracy = { column = "acc", scale = 0.01, maximize = true }\n'
    )
    table = load(tmp_path)
    # another cell of the class of the first: the skip goes another way around
    twin = {
        "1<-0": "nor_conv_3x3",
        "2<-0": "none",
        "2<-1": "skip_connect",
        "3<-0": "none",
        "3<-1": "nor_conv_1x1",
        "3<-2": "none",
    }
    assert 0.9 == table.entry(table.space.architecture(twin), {}, 0).metrics["accuracy"]


@pytest.mark.parametrize("number", [1, 2])
def test_the_documented_tables_of_nasbench201_are_read(number: int, tmp_path: Path) -> None:
    ops = np.asarray([[3, 0, 1, 0, 0, 2], [0, 0, 0, 1, 0, 0]], dtype=np.uint8)
    columns = {
        f"cifar10/{split}_acc_{e}": np.asarray([90.0, 10.0]) + e / 100 for split in ("val", "test") for e in (12, 200)
    }
    np.savez(
        tmp_path / "nasbench201.npz", ops=ops, train_sec_per_epoch_cifar10_valid=np.asarray([10.0, 5.0]), **columns
    )
    (tmp_path / "table.toml").write_text(TOML[number])
    table = load(tmp_path)
    architecture = table.space.architecture(
        dict(
            zip(
                (c.name for c in table.space),
                ("nor_conv_3x3", "none", "skip_connect", "none", "none", "nor_conv_1x1"),
                strict=True,
            )
        )
    )
    assert math.isclose([0, 2000, 124.5][number], table.entry(architecture, {}, 0).seconds)
    assert "test_accuracy" == table.report
    assert math.isclose(0.92, table.at_end(architecture, "test_accuracy") or 0)


def test_the_documented_table_of_nasbench101_answers_isomorphic_cells(tmp_path: Path) -> None:
    from morphogen.spaces.nasbench101 import NASBENCH101

    rng = np.random.default_rng(0)
    found = {NASBENCH101.identity(a)[:12]: a for a in (NASBENCH101.sample(rng) for _ in range(9))}
    hashes = sorted(int(key, 16) for key in found)
    deltas = np.diff(np.asarray([0, *hashes], dtype=np.uint64))
    np.savez(tmp_path / "nasbench101.npz", hash48_delta=deltas, test_acc_108=np.linspace(0.8, 0.9, len(hashes)))
    (tmp_path / "table.toml").write_text(TOML[3])
    table = load(tmp_path)
    for key, architecture in found.items():
        expected = np.linspace(0.8, 0.9, len(hashes))[hashes.index(int(key, 16))]
        pruned = from_graph(to_graph(architecture))
        assert expected == table.truth(architecture) == table.truth(pruned)


class TestLaws(EstimatorSuite):
    """The laws of every estimator."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self.table = small(tmp_path_factory.mktemp("table"))

    def make(self) -> Tabular:
        return Tabular(self.table)

    def proposal(self) -> Proposal:
        return Proposal(self.table.space.architecture({"op": "conv", "width": "8", "skips": []}))
