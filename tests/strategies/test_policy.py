from collections import Counter

import numpy as np
import pytest
import torch

from morphogen.nn.controller import Controller
from morphogen.nn.decisions import Decisions
from morphogen.space import Choice, Cost, Limit, Space, When
from morphogen.spaces.nas_rl import nas_rl
from morphogen.spaces.nasnet import nasnet
from morphogen.strategies import Ppo, Reinforce
from morphogen.strategies.policy import Independent
from morphogen.trial import Outcome, Trial

SMALL = Space(
    (
        Choice("a", ("x", "y", "z")),
        Choice("b", ("x", "y"), when=When("a", ("x", "y"))),
        Choice("some", ("0", "1", "2"), pick=(1, 2)),
        Choice("any", ("0", "1"), pick=(0, 2)),
    ),
    (Limit(Cost("macs", {(("a", "y"),): 2.0, (("some", "2"),): 1.0, (("any", "1"),): 1.0}), 3.0),),
)


def independent(space: Space, bound: float = 0.8) -> Independent:
    return Independent(space, bound, torch.Generator().manual_seed(3)).double()


def small_nas_rl() -> Space:
    """Two or three layers with two sizes of filters, and skips: those of the published space."""
    space = nas_rl((2, 3))
    few = {c.name: c.options[:2] for c in space if c.name.rpartition("/")[2] in ("height", "filters")}
    return space.restrict(few | {c.name: c.options[:1] for c in space if c.name.endswith("width")})


def small_nasnet() -> Space:
    """Cells of one block with two operations: 1,024 architectures."""
    return nasnet(1, ("skip_connect", "max_pool_3x3"))


@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("space", [SMALL, small_nas_rl(), small_nasnet()], ids=["small", "nas-rl", "nasnet"])
def test_the_probabilities_of_all_architectures_sum_to_one(space: Space, layers: int) -> None:
    decisions, generator = Decisions(space), torch.Generator().manual_seed(1)
    model = Controller(space, 6, layers, 0.8, generator).double() if layers else independent(space)
    everything = [(decisions, a) for a in space.enumerate()]
    probabilities = model(model.sequences(everything)).log_probability.exp()
    assert len(everything) > 20
    assert abs(probabilities.sum().item() - 1) < 1e-12
    assert probabilities.min().item() > 0


def test_logits_of_nothing_decide_uniformly() -> None:
    model, decisions = independent(SMALL, 0.0), Decisions(SMALL)
    free = SMALL.restrict({"a": ("x",)})
    everything = [(Decisions(free), a) for a in free.enumerate()]
    several = model(model.sequences(everything)).log_probability.exp()
    assert len(everything) * several.mean().item() == pytest.approx(1.0)
    one = model(model.sequences([(decisions, a) for a in SMALL.enumerate() if a["a"] == "z"])).log_probability.exp()
    assert one.sum().item() == pytest.approx(1 / 3)


def test_a_sample_has_the_log_probability_that_the_batch_gives_it() -> None:
    model, decisions, generator = independent(SMALL), Decisions(SMALL), torch.Generator().manual_seed(0)
    drawn = [model.sample(decisions, generator) for _ in range(30)]
    told = model(model.sequences([(decisions, SMALL.architecture(picks)) for picks, _ in drawn])).log_probability
    np.testing.assert_allclose([p for _, p in drawn], told.detach().numpy(), rtol=1e-12)


def test_samples_come_as_often_as_their_probability_says() -> None:
    model, decisions, generator = independent(SMALL), Decisions(SMALL), torch.Generator().manual_seed(0)
    everything = list(SMALL.enumerate())
    probabilities = model(model.sequences([(decisions, a) for a in everything])).log_probability.exp().tolist()
    draws = 4000
    counts = Counter(SMALL.architecture(model.sample(decisions, generator)[0]) for _ in range(draws))
    chi_square = sum((counts[a] - draws * p) ** 2 / (draws * p) for a, p in zip(everything, probabilities, strict=True))
    freedom = len(everything) - 1
    assert chi_square < freedom + 4 * (2 * freedom) ** 0.5


def test_the_expected_sum_of_the_entropies_of_decisions_is_the_entropy_of_the_policy() -> None:
    model, decisions = independent(SMALL), Decisions(SMALL)
    likelihood = model(model.sequences([(decisions, a) for a in SMALL.enumerate()]))
    p = likelihood.log_probability.exp()
    assert abs((p * likelihood.entropy).sum().item() + (p * likelihood.log_probability).sum().item()) < 1e-10


def test_the_gradient_by_a_logit_is_the_pick_minus_its_probability() -> None:
    space = Space((Choice("edge", ("a", "b", "c")),))
    model = independent(space)
    probabilities = torch.softmax(model.logits.detach(), 0)
    model(model.sequences([(Decisions(space), space.architecture({"edge": "b"}))])).log_probability.sum().backward()
    assert model.logits.grad is not None
    torch.testing.assert_close(torch.tensor([0.0, 1.0, 0.0]).double() - probabilities, model.logits.grad)


@pytest.mark.parametrize("make", [Reinforce, Ppo])
def test_a_strategy_without_layers_learns_which_option_is_good(make: type[Reinforce] | type[Ppo]) -> None:
    space = Space(tuple(Choice(f"edge{i}", ("a", "b", "c", "d")) for i in range(3)))
    batch = {"children": 1} if make is Reinforce else {"minibatch": 4}
    strategy = make(space, layers=0, bound=1e-3, learning_rate=0.05, **batch)  # type: ignore[arg-type]
    good = []
    for id in range(200):
        proposal = strategy.ask([], np.random.default_rng((0, id)))
        assert proposal is not None and proposal.architecture is not None
        good.append(sum(o == "b" for o in proposal.architecture.values()) / 3)
        trial = Trial(id, "search", proposal, Outcome({"accuracy": good[-1]}), (-good[-1],))
        strategy.tell(trial, np.random.default_rng(id))
    assert np.mean(good[:40]) < 0.5
    assert np.mean(good[-40:]) > 0.8
