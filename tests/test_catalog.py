"""Components by name, imported when they are asked for."""

import sys
import types

import pytest

from morphogen.catalog import check_options, component, kebab, lazy, nearest


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with a module of its own; `broken` cannot be imported."""
    parent, child = types.ModuleType("toybox"), types.ModuleType("toybox.parts")
    child.RandomSearch, child.NSGA2 = type("RandomSearch", (), {}), type("NSGA2", (), {})  # type: ignore[attr-defined]
    exports = {"RandomSearch": "parts", "NSGA2": "parts", "Broken": "missing"}
    parent.__all__ = list(exports)  # type: ignore[attr-defined]
    parent.__getattr__, parent.__dir__ = lazy("toybox", exports)  # type: ignore[method-assign, assignment]
    parent.__path__ = []
    monkeypatch.setitem(sys.modules, "toybox", parent)
    monkeypatch.setitem(sys.modules, "toybox.parts", child)
    return "toybox"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("RegularizedEvolution", "regularized-evolution"),
        ("NSGA2", "nsga2"),
        ("DARTSSearch", "darts-search"),
        ("Each", "each"),
        ("darts", "darts"),
        ("single_path", "single-path"),
        ("PC_DARTS", "pc-darts"),
    ],
)
def test_names_for_the_command_line(name: str, expected: str) -> None:
    assert expected == kebab(name)


def test_a_component_is_found_by_its_name_and_nothing_else_is_imported(package: str) -> None:
    assert sys.modules["toybox.parts"].RandomSearch is component(package, "random-search", "strategy")
    assert "NSGA2" == component(package, "nsga2", "strategy").__name__
    assert "toybox.missing" not in sys.modules


def test_an_unknown_component_names_the_nearest_and_all(package: str) -> None:
    message = (
        "there is no strategy 'random-serch', did you mean 'random-search'.; there are broken, nsga2, random-search"
    )
    with pytest.raises(ValueError, match=message):
        component(package, "random-serch", "strategy")
    with pytest.raises(ValueError, match="there is no strategy 'zzz'; there are"):
        component(package, "zzz", "strategy")


def test_anybody_can_bring_their_own_by_a_dotted_name(package: str) -> None:
    assert types.SimpleNamespace is component(package, "types:SimpleNamespace", "strategy")
    with pytest.raises(ValueError, match="'nowhere:Thing' cannot be imported"):
        component(package, "nowhere:Thing", "strategy")


def test_a_lazy_package_lists_its_exports_and_has_nothing_else(package: str) -> None:
    module = sys.modules[package]
    assert ["Broken", "NSGA2", "RandomSearch"] == dir(module)
    with pytest.raises(AttributeError, match="module 'toybox' has no attribute 'Serach'"):
        module.Serach  # noqa: B018
    with pytest.raises(ModuleNotFoundError, match=r"toybox\.missing"):
        module.Broken  # noqa: B018


def test_nearest_is_silent_where_nothing_is_near() -> None:
    assert "" == nearest("zzz", ["darts", "enas"])
    assert ", did you mean 'darts'?" == nearest("dart", ["darts", "enas"])


def test_an_option_that_there_is_not_is_named_with_the_nearest_and_all() -> None:
    check_options("folder", {"size": 1}, ["size", "seed"])
    with pytest.raises(ValueError, match="folder has no option 'sizes', did you mean 'size'\\?; it has size, seed"):
        check_options("folder", ["sizes"], ["size", "seed"])
    with pytest.raises(ValueError, match="folder has no option 'x'; it has none"):
        check_options("folder", ["x"], [])
