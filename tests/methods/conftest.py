"""A whole search on a few images."""

import pytest

import morphogen

SETTINGS = {
    "trials": 4,
    "slots": 2,
    "seed": 1,
    "executor": "inline",
    "training": {"epochs": 1},
    "final": {"finalists": 1, "seeds": 1, "training": {"epochs": 1}},
}


@pytest.fixture
def whole_search(few_images, tmp_path):
    """Searches with a method, in the space that it chooses by itself unless another is given."""

    def search(method, space=None, **settings):
        return morphogen.search(space, few_images, strategy=method, out=tmp_path / "run", **{**SETTINGS, **settings})

    return search


@pytest.fixture
def phases_of():
    """The phases of a run's trials, in order; none may have failed."""

    def phases(result, **objects):
        from morphogen.runs.reading import read

        _, _, told = read(result.folder, **objects)
        assert [] == [t.outcome.error for t in told if t.failed]
        return list(dict.fromkeys(t.phase for t in sorted(told, key=lambda t: t.id)))

    return phases
