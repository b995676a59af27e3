"""Inputs that no person would write, to everything that reads a file or a text: an answer or one line, never a traceback.

In the suite every target gets a few hundred inputs, always the same. `MORPHOGEN_FUZZ=100000` gives each so many new ones.
Hypothesis draws and shrinks; each input that it draws is tried with some variants of it.
"""

from __future__ import annotations

import json
import math
import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fuzz.variants import variants
from morphogen import config as configuration
from morphogen import store
from morphogen.catalog import component
from morphogen.estimators.tables import load as load_table
from morphogen.estimators.toy import ToyTable, toy_space
from morphogen.executors import Inline
from morphogen.objective import Objective
from morphogen.protocols import Event, MorphogenError
from morphogen.record import recorded
from morphogen.runs.tally import Tally
from morphogen.spaces.genotype import Genotype
from morphogen.study import Study

ASKED = os.environ.get("MORPHOGEN_FUZZ")
EACH = 20 if ASKED else 5
"""Inputs of each that is drawn."""
FUZZED = settings(
    max_examples=-(-int(ASKED) // EACH) if ASKED else 60,
    derandomize=ASKED is None,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
pytestmark = pytest.mark.timeout(0 if ASKED else 120)

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(10**400), 10**400), st.floats(), st.text(max_size=12), st.datetimes()
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=8
)  # fmt: skip


SEEDS = st.integers(0, 2**32)


def one_line_or_an_answer(call: Callable[[], Any]) -> Any:
    """What the command line does with an error; anything else than these would be a traceback."""
    try:
        return call()
    except (MorphogenError, ValueError, TypeError, LookupError, OSError) as error:
        said = str(error)
    assert said.strip(), "a line that says nothing"
    return None


def mutated(text: str) -> st.SearchStrategy[str]:
    """A text with some spans taken out, doubled, or replaced by characters that mean something somewhere."""
    pieces = st.sampled_from(
        ["", "[", "]", "{", "}", '"', "'", "=", ",", ".", "(", ")", "\n", "\\", "\x00", "-1", "1e999", "nan", "é", "#"]
    )

    def edit(edits: list[tuple[int, int, str, bool]]) -> str:
        found = text
        for at, length, piece, twice in edits:
            at %= len(found) + 1
            span = found[at : at + length]
            found = found[:at] + piece + (span * 2 if twice else "") + found[at + length :]
        return found

    spans = st.tuples(st.integers(0, 10_000), st.integers(0, 30), pieces | st.text(max_size=4), st.booleans())
    return st.lists(spans, max_size=6).map(edit)


# --- configurations ---------------------------------------------------------------------------------------------------

KEYS = sorted(configuration.Config.model_fields)
REASONABLE = st.sampled_from(
    [
        "darts",
        "digits",
        "toy",
        "random-search",
        "10m",
        "-3s",
        "1h",
        "max:f1",
        "ray",
        "cpu",
        1,
        0,
        1.5,
        True,
        ["accuracy"],
    ]
)


@FUZZED
@example({"data": None}, 0)
@example({"data_options": {"": datetime(2000, 1, 1)}}, 0)
@example({"strategy_options": {"deep": [{"rate": None}]}}, 0)
@example({"skeleton": {"": math.inf}}, 0)
@example({"limits": {"\ud800": 1.0}}, 0)
@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), VALUES | REASONABLE, max_size=6), SEEDS)
def test_values_of_a_configuration(drawn: dict[str, Any], seed: int) -> None:
    for values in variants(drawn, seed, EACH):
        parsed = one_line_or_an_answer(partial(configuration.parse, values, "fuzz"))
        if parsed is not None:
            again = configuration.parse(parsed.model_dump(mode="json", exclude_none=True), "fuzz")
            assert repr(parsed) == repr(again)


SAMPLE = tomli_w.dumps(
    configuration.parse({"table": "toy", "trials": 9, "budget": 90, "limits": {"params": 1e6}}, "here").model_dump(
        exclude_none=True
    )
)


@FUZZED
@given(mutated(SAMPLE) | st.text(max_size=200), SEEDS)
def test_texts_of_a_configuration(tmp_path: Path, drawn: str, seed: int) -> None:
    path = tmp_path / "run.toml"
    for text in variants(drawn, seed, EACH):
        path.write_bytes(text.encode(errors="surrogatepass"))
        one_line_or_an_answer(lambda: configuration.parse(configuration.load(path), str(path)))


@FUZZED
@given(st.text(max_size=40) | mutated("training.epochs=8") | mutated('limits={params = 3, "a.b" = [1]}'), SEEDS)
def test_settings_of_the_command_line(drawn: str, seed: int) -> None:
    def read(assignment: str) -> None:
        values: dict[str, Any] = {"training": {}}
        configuration.assign(values, assignment)
        configuration.parse(values, "fuzz")

    for assignment in variants(drawn, seed, EACH):
        one_line_or_an_answer(partial(read, assignment))


@FUZZED
@given(st.text(max_size=30) | mutated("morphogen.strategies:RandomSearch") | mutated("regularized-evolution"), SEEDS)
def test_names_of_components(drawn: str, seed: int) -> None:
    for name in variants(drawn, seed, EACH):
        one_line_or_an_answer(partial(component, "morphogen.strategies", name, "strategy"))


# --- tables -----------------------------------------------------------------------------------------------------------

DOCS = (Path(__file__).parents[2] / "docs" / "tables.md").read_text()
TABLE_TOML = re.findall(r"```toml\n(.*?)```", DOCS, re.S)[0]
TABLE_CSV = re.findall(r"```csv\n(.*?)```", DOCS, re.S)[0]


@FUZZED
@given(mutated(TABLE_TOML), mutated(TABLE_CSV), st.booleans(), SEEDS)
def test_tables(tmp_path: Path, toml: str, csv: str, both: bool, seed: int) -> None:
    def read() -> None:
        table = load_table(tmp_path / "small.toml")
        for architecture, _ in zip(table.space.enumerate(), range(3), strict=False):
            table.entry(architecture, {}, 0)

    numbers = csv if both else TABLE_CSV
    for description, rows in zip(variants(toml, seed, EACH), variants(numbers, seed + 1, EACH), strict=True):
        (tmp_path / "small.csv").write_bytes((rows if both else numbers).encode(errors="surrogatepass"))
        (tmp_path / "small.toml").write_bytes((toml if both else description).encode(errors="surrogatepass"))
        one_line_or_an_answer(read)


# --- architectures ------------------------------------------------------------------------------------------------------

SPACE = toy_space()
POINT = next(SPACE.enumerate())
GENOTYPE = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1)], normal_concat=[2], "
    "reduce=[('max_pool_3x3', 0), ('skip_connect', 1)], reduce_concat=range(2, 3))"
)


@FUZZED
@given(mutated(POINT.text) | mutated(json.dumps(POINT.json)) | st.text(max_size=60), SEEDS)
def test_texts_of_architectures(drawn: str, seed: int) -> None:
    for text in variants(drawn, seed, EACH):
        found = one_line_or_an_answer(partial(SPACE.parse, text))
        if found is not None:
            assert found == SPACE.parse(found.text) == SPACE.architecture(found.json)


@FUZZED
@given(
    st.dictionaries(st.sampled_from([c.name for c in SPACE]), st.sampled_from(["3", "conv3", "8", "0", []]) | VALUES)
    | VALUES,
    SEEDS,
)
def test_json_of_architectures(drawn: Any, seed: int) -> None:
    for picks in variants(drawn, seed, EACH):
        found = one_line_or_an_answer(partial(SPACE.architecture, picks))
        if found is not None:
            assert found == SPACE.parse(found.text) == SPACE.architecture(found.json)


@FUZZED
@given(mutated(GENOTYPE) | st.text(max_size=60), SEEDS)
@example("Genotype(normal=[('a', 0)]*10**9)", 0)
def test_texts_of_genotypes(drawn: str, seed: int) -> None:
    for text in variants(drawn, seed, EACH):
        one_line_or_an_answer(partial(Genotype.parse, text))


# --- records ------------------------------------------------------------------------------------------------------------

OBJECTIVES = (Objective("accuracy", maximize=True),)
ASK = {"phase": "search", "told": 0, "proposal": {"architecture": POINT.json}, "at": 1.0}
FINISH = {"metrics": {"accuracy": 0.5}, "seconds": 1.0, "at": 2.0}


def read_record(path: Path) -> None:
    """Everything that reads one, each by itself."""
    with closing(store.open(path, readonly=True)) as reader:
        readers: list[Callable[[], Any]] = [
            lambda: recorded(reader.stream(), SPACE, OBJECTIVES),
            lambda: Tally(OBJECTIVES).catch_up(reader),
            lambda: Study(SPACE, reader, Inline(), OBJECTIVES),
            reader.counts,  # type: ignore[attr-defined]
        ]
        for read in readers:
            one_line_or_an_answer(read)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("records") / "sound.sqlite"
    with closing(store.open(path)) as opened:
        for id in range(20):
            opened.append([Event("asked", id, {**ASK, "told": id}), Event("finished", id, FINISH)])
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=DELETE")
    return path.read_bytes()


@FUZZED
@given(
    edits=st.lists(st.tuples(st.integers(0), st.binary(min_size=1, max_size=40)), max_size=5),
    length=st.none() | st.integers(0, 40_000),
    seed=SEEDS,
)
def test_files_of_records(
    sound: bytes, tmp_path: Path, edits: list[tuple[int, bytes]], length: int | None, seed: int
) -> None:
    content = bytearray(sound)
    for at, piece in edits:
        at %= len(content)
        content[at : at + len(piece)] = piece
    path = tmp_path / "record.sqlite"
    for varied in variants(bytes(content[:length]), seed, EACH):
        path.write_bytes(varied)
        one_line_or_an_answer(partial(read_record, path))


FIELDS = st.sampled_from(
    [*ASK, *FINISH, "architecture", "warm_start", "fidelity", "origin", "error", "curves", "found"]
)
JSONABLE = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**400), 10**400) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS | st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@FUZZED
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["asked", "finished", "died"]), st.integers(0, 3), st.dictionaries(FIELDS, JSONABLE, max_size=3), st.booleans()
        ),
        max_size=5,
    ),
    SEEDS,
)  # fmt: skip
def test_events_of_records(events: list[tuple[Any, int, dict[str, Any], bool]], seed: int) -> None:
    bodies: list[dict[str, Any]] = []
    for kind, _, changes, nested in events:
        body: dict[str, Any] = dict({"asked": ASK, "finished": FINISH, "died": {}}[kind])
        if nested and kind == "asked":
            body["proposal"] = {**ASK["proposal"], **changes}  # type: ignore[dict-item]
        else:
            body |= changes
        bodies.append(body)
    for varied in variants(bodies, seed, EACH):
        memory = store.open("memory:")
        for (kind, trial, _, _), body in zip(events, varied, strict=False):
            if isinstance(body, dict):
                memory.append([Event(kind, trial, body)])
        for read in (
            partial(recorded, memory.stream(), SPACE, OBJECTIVES),
            partial(Tally(OBJECTIVES).catch_up, memory),
            partial(Study, SPACE, memory, Inline(), OBJECTIVES),
        ):
            one_line_or_an_answer(read)


@FUZZED
@given(JSONABLE | st.dictionaries(st.sampled_from(["version", "events", "last", "phases"]), JSONABLE), SEEDS)
def test_counts_beside_a_record(tmp_path: Path, drawn: Any, seed: int) -> None:
    memory = store.open("memory:")
    memory.append([Event("asked", 0, ASK), Event("finished", 0, FINISH)])
    for body in variants({"version": 1, **drawn} if isinstance(drawn, dict) else drawn, seed, EACH):
        (tmp_path / "tally.json").write_text(json.dumps(body))
        tally = Tally(OBJECTIVES).read(tmp_path).catch_up(memory)
        assert 2 == tally.events
        assert math.isfinite(tally.phases["search"].seconds) if "search" in tally.phases else True


def test_the_table_of_these_tests_is_sound() -> None:
    assert SPACE == ToyTable().space
