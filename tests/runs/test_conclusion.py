"""The end of a run that time cut short."""

import shutil

import pytest

import morphogen
from morphogen.protocols import MorphogenError
from morphogen.runs.conclusion import conclude, export_again
from morphogen.runs.reading import read

SETTINGS = {
    "strategy": "random-search", "slots": 2, "executor": "inline", "control": False, "trials": 2,
    "training": {"epochs": 1}, "final": {"finalists": 1, "seeds": 1, "training": {"epochs": 1}},
}  # fmt: skip


class Enough(Exception):
    """Of the run."""


@pytest.fixture
def searched(few_images, tmp_path):
    """A run that ended with its search."""

    def watch(study, event):
        if event is not None and study.trials[event.trial].phase == "retrain":
            raise Enough

    folder = tmp_path / "run"
    with pytest.raises(Enough):
        morphogen.search("nasbench201", few_images, out=folder, watch=watch, **SETTINGS)
    config, parts, trials = read(folder)
    return folder, config, parts, [t for t in trials if t.phase == "search"]


def test_without_a_finalist_the_network_is_the_one_that_the_search_trained(searched, tmp_path):
    result = conclude(*searched, 10.0)
    assert result.exported
    assert "search" == result.winner.phase
    assert (searched[0] / "best" / "model.py").is_file()
    assert any("the one that the search trained" in warning for warning in result.record.warnings)
    assert not export_again(searched[0], tmp_path / "again")["finalist"]
    assert (tmp_path / "again" / "weights.safetensors").is_file()


def test_without_any_weights_it_says_that_nothing_can_be_exported(searched, tmp_path):
    shutil.rmtree(searched[0] / "trials")
    result = conclude(*searched, 10.0)
    assert not result.exported
    assert "no finalist was retrained" in result.export_error
    with pytest.raises(MorphogenError, match="no finished training yet"):
        export_again(searched[0], tmp_path / "again")
