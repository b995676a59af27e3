"""The first search by reinforcement learning, as a method."""

from morphogen.config import parse
from morphogen.methods.nas_rl import nas_rl
from morphogen.spaces.nas_rl import GROWING
from morphogen.spaces.nas_rl import nas_rl as space_of
from morphogen.strategies import Reinforce
from setting_of import setting_of, strategy_of

PHASES = ["search", "random", "baselines", "retrain", "test"]


def test_it_searches_retrains_tests_and_exports(whole_search, phases_of):
    space = space_of((1, 2))
    result = whole_search("nas-rl", space)
    assert PHASES == phases_of(result, space=space)
    assert result.exported
    assert (result.folder / "best" / "model.py").is_file()
    assert (result.folder / "report.html").is_file()


def test_it_searches_the_space_that_it_was_published_with():
    assert "nas-rl" == parse({"strategy": "nas-rl"}, "test").space
    assert "pnas" == parse({"strategy": "nas-rl", "space": "pnas"}, "test").space


def test_the_numbers_are_those_of_the_paper():
    strategy = strategy_of(nas_rl(setting_of(GROWING, trials=12_800)))
    assert isinstance(strategy, Reinforce)
    assert (35, 2, 0.08, 6e-4, 8) == (
        strategy.hidden,
        strategy.layers,
        strategy.bound,
        strategy.learning_rate,
        strategy.children,
    )
    assert 1600 == strategy.every
    assert ["6", "8", "10", "12", "14", "16", "18", "20"] == [level["layers"].options[0] for level in strategy.growth]


def test_few_trials_reach_the_last_depth():
    assert 8 == strategy_of(nas_rl(setting_of(GROWING, trials=64))).every
    assert 1 == strategy_of(nas_rl(setting_of(GROWING, trials=4))).every


def test_a_space_of_one_depth_does_not_grow():
    assert () == strategy_of(nas_rl(setting_of(space_of(2), trials=64))).growth
