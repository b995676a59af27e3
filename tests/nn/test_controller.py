import math
import pickle
from collections import Counter

import numpy as np
import pytest
import torch

from morphogen.estimators.toy import toy_space
from morphogen.nn.controller import Controller
from morphogen.nn.decisions import Decisions
from morphogen.space import Choice, Cost, Limit, Space, When


def small_toy_space() -> Space:
    """Depths that switch layers on, and skips: 896 architectures."""
    narrow = {f"{i}/width": ("8",) for i in range(5)} | {f"{i}/op": ("conv3", "pool") for i in range(5)}
    return toy_space().restrict({**narrow, "2/width": ("8", "16")})


def limited_space() -> Space:
    choices = (
        Choice("a/op", ("x", "y", "z")),
        Choice("b/op", ("x", "y", "z"), when=When("a/op", ("x", "y"))),
        Choice("b/skips", ("a", "image"), pick=(0, 2)),
        Choice("inputs", ("0", "1", "2", "3"), pick=2),
        Choice("some", ("0", "1", "2"), pick=(1, 2)),
    )
    terms = {(("a/op", "y"),): 2.0, (("b/op", "z"),): 2.0, (("a/op", "x"), ("b/op", "x")): 3.0}
    terms |= {(("inputs", str(i)),): float(i) for i in range(4)} | {(("b/skips", "a"), ("some", "0")): 2.0}
    return Space(choices, (Limit(Cost("macs", terms), 5.0),))


def controller(space: Space, hidden: int = 8, layers: int = 2, bound: float = 0.8) -> Controller:
    return Controller(space, hidden, layers, bound, torch.Generator().manual_seed(3)).double()


@pytest.mark.parametrize("space", [small_toy_space(), limited_space()], ids=["toy", "limited"])
def test_the_probabilities_of_all_architectures_sum_to_one(space: Space) -> None:
    model, decisions = controller(space), Decisions(space)
    everything = [(decisions, a) for a in space.enumerate()]
    probabilities = model(model.sequences(everything)).log_probability.exp()
    assert len(everything) > 100
    assert abs(probabilities.sum().item() - 1) < 1e-12
    assert probabilities.min().item() > 0


def test_the_expected_sum_of_the_entropies_of_decisions_is_the_entropy_of_the_policy() -> None:
    space = small_toy_space()
    model, decisions = controller(space), Decisions(space)
    likelihood = model(model.sequences([(decisions, a) for a in space.enumerate()]))
    p = likelihood.log_probability.exp()
    assert abs((p * likelihood.entropy).sum().item() + (p * likelihood.log_probability).sum().item()) < 1e-10


@pytest.mark.parametrize("space", [small_toy_space(), limited_space()], ids=["toy", "limited"])
def test_a_sample_has_the_log_probability_that_the_batch_gives_it(space: Space) -> None:
    model, decisions = controller(space), Decisions(space)
    generator = torch.Generator().manual_seed(0)
    drawn = [model.sample(decisions, generator) for _ in range(30)]
    likelihood = model(model.sequences([(decisions, space.architecture(picks)) for picks, _ in drawn]))
    np.testing.assert_allclose([p for _, p in drawn], likelihood.log_probability.tolist(), rtol=1e-9, atol=1e-12)


def test_samples_come_as_often_as_their_probability_says() -> None:
    space = Space(
        (
            Choice("1/op", ("x", "y")),
            Choice("skips", ("1", "image"), pick=(0, 2)),
            Choice("two", ("a", "b", "c"), pick=2),
        )
    )
    model, decisions = controller(space, layers=1), Decisions(space)
    generator, n = torch.Generator().manual_seed(0), 3000
    counts = Counter(space.architecture(model.sample(decisions, generator)[0]) for _ in range(n))
    everything = list(space.enumerate())
    expected = n * model(model.sequences([(decisions, a) for a in everything])).log_probability.exp()
    chi2 = sum((counts[a] - e) ** 2 / e for a, e in zip(everything, expected.tolist(), strict=True))
    assert len(everything) == 24
    assert chi2 < 23 + 4 * math.sqrt(2 * 23)


@pytest.mark.parametrize("pick", [2, (0, 4), (1, 3), (2, 4)])
def test_zero_weights_make_every_subset_equally_likely(pick: int | tuple[int, int]) -> None:
    space = Space((Choice("inputs", ("0", "1", "2", "3"), pick=pick),))
    model, decisions = controller(space, bound=0.0), Decisions(space)
    likelihood = model(model.sequences([(decisions, a) for a in space.enumerate()]))
    np.testing.assert_allclose(likelihood.log_probability.tolist(), -math.log(space.size), rtol=1e-12)


def test_a_skip_is_the_sigmoid_of_the_anchor_points_of_both_layers() -> None:
    space = Space((Choice("0/op", ("x", "y")), Choice("1/op", ("x", "y")), Choice("1/skips", ("0",), pick=(0, 1))))
    model, decisions = controller(space, layers=1), Decisions(space)
    architecture = space.architecture({"0/op": "x", "1/op": "y", "1/skips": ["0"]})
    sequences = model.sequences([(decisions, architecture)])
    states = model.lstm(model.embedding(sequences.inputs[:, :, 0]))[0][0]
    logit = model.query(torch.tanh(model.previous(states[0]) + model.current(states[2])))
    tokens = sum(
        torch.log_softmax(model.softmax(states[t])[rows], 0)[i] for t, rows, i in [(0, [1, 2], 0), (1, [3, 4], 1)]
    )
    expected = tokens + torch.nn.functional.logsigmoid(logit)
    np.testing.assert_allclose(model(sequences).log_probability.item(), expected.item(), rtol=1e-12)


def test_a_nested_space_is_written_with_the_same_weights_and_only_it() -> None:
    space = small_toy_space()
    level = space.restrict({"depth": ("4",), "0/op": ("pool",)})
    model, decisions = controller(space), Decisions(level)
    probabilities = model(model.sequences([(decisions, a) for a in level.enumerate()])).log_probability.exp()
    assert abs(probabilities.sum().item() - 1) < 1e-12
    picks, _ = model.sample(decisions, torch.Generator().manual_seed(1))
    assert (picks["depth"], picks["0/op"]) == (("4",), ("pool",))
    with pytest.raises(ValueError, match="choice 'depth' picks"):
        model.sequences([(decisions, next(space.enumerate()))])


def test_first_weights_are_uniform_within_the_bound_and_a_function_of_the_seed() -> None:
    space = small_toy_space()
    one, two = (Controller(space, 35, 2, 0.08, torch.Generator().manual_seed(5)) for _ in range(2))
    weights = torch.cat([p.flatten() for p in one.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert 0.079 < weights.abs().max().item() <= 0.08
    assert abs(weights.std().item() - 0.16 / math.sqrt(12)) < 1e-3


def test_a_pickled_controller_samples_the_same() -> None:
    space = limited_space()
    model = controller(space)
    copy, decisions = pickle.loads(pickle.dumps((model, Decisions(space))))
    drawn = [m.sample(d, torch.Generator().manual_seed(7)) for m, d in ((model, Decisions(space)), (copy, decisions))]
    assert drawn[0] == drawn[1]
