import pytest

from morphogen.choice import Pick
from morphogen.nn.decisions import Decision, Decisions
from morphogen.space import Choice, Cost, Limit, Space, When


def every_path(space: Space) -> list[dict[str, Pick]]:
    """Follow every allowed answer at every decision."""
    found: list[dict[str, Pick]] = []
    open_paths: list[tuple[int, ...]] = [()]
    while open_paths:
        answers = open_paths.pop()
        path = Decisions(space).path()
        decision = next(path)
        try:
            for answer in answers:
                decision = path.send(answer)
        except StopIteration as end:
            found.append(end.value)
            continue
        assert decision.allowed, "no dead ends"
        open_paths += [(*answers, a) for a in decision.allowed]
    return found


def test_paths_are_exactly_the_architectures_of_a_space_with_limits_conditions_and_subsets() -> None:
    choices = (
        Choice("a", ("x", "y")),
        Choice("b", ("x", "y"), when=When("a", ("x",))),
        Choice("s", ("0", "1", "2", "3"), pick=2),
        Choice("t", ("0", "1", "2"), pick=(0, 3)),
    )
    # leaving options of `s` out early would leave only dear ones: the limit has to be seen ahead
    terms = {(("s", str(i)),): float(i) for i in range(4)} | {(("a", "y"), ("t", "1")): 2.0, (("b", "y"),): 1.0}
    space = Space(choices, (Limit(Cost("macs", terms), 3.0),))
    found = [space.architecture(p) for p in every_path(space)]
    assert sorted(a.code for a in space.enumerate()) == sorted(a.code for a in found)


def test_answers_lead_back_to_the_architecture() -> None:
    space = Space((Choice("a", ("x", "y"), mixed_only=("x",)), Choice("s", ("0", "1", "2"), pick=2)))
    trail = Decisions(space).answers({"a": ("y",), "s": ("0", "2")})
    assert [(d.choice.name, d.option, a) for d, a in trail] == [
        ("a", None, 1),
        ("s", "0", 1),
        ("s", "1", 0),
        ("s", "2", 1),
    ]
    assert [d.allowed for d, _ in trail] == [(1,), (0, 1), (0, 1), (1,)]


def test_an_architecture_of_another_space_is_refused_by_name() -> None:
    space = Space((Choice("a", ("x", "y")),))
    with pytest.raises(ValueError, match="choice 'a' picks \\('z',\\), which this space does not allow"):
        Decisions(space).answers({"a": ("z",)})


def test_log_odds_count_the_subsets_on_both_sides() -> None:
    space = Space((Choice("s", ("0", "1", "2"), pick=1 + 1),))
    first: Decision = next(Decisions(space).path())
    assert abs(first.log_odds - 0.6931471805599453) < 1e-12  # {0,1} and {0,2} have option 0, {1,2} has not
