"""Latency models of one's own device."""

import json
from pathlib import Path

import pytest

from morphogen.estimators.latency_model import LatencyModel
from morphogen.runs.latencies import built_around, measure
from morphogen.spaces import space as find_space
from morphogen.spaces.skeleton import Skeleton

SMALL = Skeleton(image=(3, 8, 8), channels=2, cells=3, stem_multiplier=1)


def test_a_few_architectures_give_a_model_that_says_of_what_it_is() -> None:
    space = find_space("darts")
    seen = []

    def watch(rows):  # type: ignore[no-untyped-def]
        for row in rows:
            seen.append(row)
            yield row

    model = measure(space, SMALL, SMALL.image, 8, watch=watch)
    assert 16 == len(seen)
    about = model.measured
    assert (8, 1, 1, "Eager") == tuple(about[k] for k in ("count", "batch_size", "threads", "runtime"))
    assert about["skeleton"] == built_around(SMALL, SMALL.image)["skeleton"]
    assert about["least_ms"] <= about["most_ms"]
    assert about["error"] >= 0
    assert model.cost(seen[0].picks) > 0
    model.check(space)


def test_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match="--measure 3: a model is learned from eight"):
        measure(find_space("darts"), SMALL, SMALL.image, 3)


def test_the_command_writes_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from typer.testing import CliRunner

    from morphogen.cli import app

    to = tmp_path / "latency.json"
    words = ["profile", "--space", "darts", "--channels", "2", "--repeats", "3", "--image-size", "8", "--measure", "8"]
    done = CliRunner().invoke(app, [*words, "--to", str(to), "--json"])
    assert done.exit_code == 0, done.output
    assert str(to) == json.loads(done.stdout)["latency_model"]
    assert "darts" == LatencyModel.load(to).space
    refused = CliRunner().invoke(app, ["profile", "--architecture", "zoo:darts-v2-cifar", "--measure", "8"])
    assert refused.exit_code == 2
