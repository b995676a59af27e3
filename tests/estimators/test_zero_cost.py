"""Training-free scores: against formulas worked out by hand, and that they leave a network alone."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from morphogen.estimators import ZeroCost
from morphogen.estimators.scores import SCORES, Batch, fisher, jacobian_covariance, log_synflow, naswot, snip, synflow
from morphogen.estimators.zero_cost import mean_ranks
from morphogen.nn.mixed import MixedOp
from morphogen.protocols import Context, MorphogenError
from morphogen.space import Choice, Space
from morphogen.spaces.skeleton import Skeleton
from morphogen.testing import EstimatorSuite
from morphogen.training.data import Data
from morphogen.training.task import Regression
from morphogen.trial import Proposal


class Plain(nn.Module):
    """Somebody's own network, with all that could be disturbed."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(3)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu_(self.norm(self.conv(x)))
        return self.head(self.dropout(x.mean((2, 3))))  # type: ignore[no-any-return]


class Two(nn.Module):
    """Two linear layers of one unit each: everything can be worked out by hand."""

    def __init__(self, first: float, second: float) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(1, 1, bias=False), nn.Linear(1, 2, bias=False)
        nn.init.constant_(self.a.weight, first)
        nn.init.constant_(self.b.weight, second)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(self.a(x.flatten(1))))  # type: ignore[no-any-return]


def batch(images: int = 6, size: int = 5) -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(torch.randn(images, 1, size, size, generator=generator), torch.arange(images) % 2)


def plain() -> Plain:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return Plain()


@pytest.mark.parametrize("name", SCORES)
def test_a_score_is_finite_repeats_and_changes_nothing(name: str) -> None:
    network, given = plain(), batch()
    network.head(torch.ones(1, 3)).sum().backward()
    network.conv.eval()
    before = copy.deepcopy(network.state_dict())
    gradients = [None if p.grad is None else p.grad.clone() for p in network.parameters()]
    modes = [m.training for m in network.modules()]
    images, state = given.images.clone(), torch.get_rng_state()
    scores = [SCORES[name](network, given) for _ in range(2)]
    assert scores[0] == scores[1]
    assert math.isfinite(scores[0])
    assert modes == [m.training for m in network.modules()]
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    for was, parameter in zip(gradients, network.parameters(), strict=True):
        assert parameter.requires_grad
        assert (was is None and parameter.grad is None) or torch.equal(was, parameter.grad)
    assert torch.equal(images, given.images)
    assert not given.images.requires_grad
    assert torch.equal(state, torch.get_rng_state())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_synaptic_flow_is_the_product_of_the_paths() -> None:
    # a path of |-2| * 3 for each of two logits, counted once in the first layer and once in the second
    network = Two(-2.0, 3.0)
    ones = Batch(torch.zeros(1, 1, 1, 1), torch.zeros(1, dtype=torch.int64))
    assert 2 * 6 + 2 * 6 == synflow(network, ones)
    assert 2 * math.log(1 + 6) + 2 * 3 * math.log(1 + 2) == pytest.approx(log_synflow(network, ones))


def test_snip_is_the_sensitivity_of_the_loss() -> None:
    network = Two(1.0, 1.0)
    given = Batch(torch.full((1, 1, 1, 1), 2.0), torch.tensor([0]))
    # equal logits: gradients of -1/2 and 1/2, which cancel in the first layer; the second sees an activation of 2
    assert pytest.approx(2 * 0.5 * 2) == snip(network, given)


def test_the_loss_is_that_of_the_task() -> None:
    network, image = Two(1.0, 1.0), torch.full((1, 1, 1, 1), 2.0)
    given = Batch(image, torch.tensor([[0.0, 1.0]]), Regression().loss)
    # errors of 2 and 1, gradients of 2 and 1: 3 in the first layer times an input of 2, and 4 and 2 in the second
    assert pytest.approx(6 + 4 + 2) == snip(network, given)


def test_fisher_is_the_squared_saliency_of_the_channels() -> None:
    network = Two(1.0, 1.0)
    given = Batch(torch.full((1, 1, 1, 1), 2.0), torch.tensor([0]))
    # two logits of 2 with gradients of -1/2 and 1/2; nothing reaches the first layer
    assert pytest.approx(2 * (2 * 0.5) ** 2 / 2) == fisher(network, given)


def test_naswot_counts_the_bits_on_which_two_images_agree() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        network[1].weight.copy_(torch.eye(2))
    given = Batch(torch.tensor([[1.0, 1.0], [1.0, -1.0]]).view(2, 1, 1, 2), torch.tensor([0, 1]))
    # codes 11 and 10: K = [[2, 1], [1, 2]]
    assert pytest.approx(math.log(3)) == naswot(network, given)
    same = Batch(torch.ones(2, 1, 1, 2), torch.tensor([0, 1]))
    assert -math.inf == naswot(network, same)
    with pytest.raises(MorphogenError, match="the network has none"):
        naswot(nn.Sequential(nn.Flatten(), nn.Linear(2, 2)), given)


def test_gradients_that_do_not_correlate_are_the_best() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(25, 2))
    images = 6
    assert jacobian_covariance(linear, batch(images)) < jacobian_covariance(plain(), batch(images)) < -images


def test_the_auxiliary_head_and_unused_layers_do_not_count() -> None:
    network, given = plain(), batch()
    expected = {name: score(network, given) for name, score in SCORES.items() if name != "params"}
    network.auxiliary = nn.Linear(3, 7)
    assert expected == pytest.approx({name: SCORES[name](network, given) for name in expected})
    assert 27 + 6 + 8 == SCORES["params"](network, given)


def test_mean_ranks_put_scores_of_any_scale_together() -> None:
    assert [0.0, 0.5, 1.0] == mean_ranks({"a": [1, 2, 3], "b": [-1e30, 0, 1e30]})
    assert [0.5, 0.5] == mean_ranks({"a": [1, 2], "b": [2, 1]})
    assert [0.5, 0.5] == mean_ranks({"a": [1, 1]})
    with pytest.raises(ValueError, match="a: 2, b: 1"):
        mean_ranks({"a": [1, 2], "b": [1]})


# --- the estimator ----------------------------------------------------------------------------------------------------


class Network(nn.Module):
    """A chosen width."""

    def __init__(self, space: Space, skeleton: Skeleton) -> None:
        super().__init__()
        c = skeleton.image[0]
        self.op = MixedOp(
            space["width"], lambda w: nn.Sequential(nn.Conv2d(c, int(w), 3), nn.ReLU(), nn.Conv2d(int(w), 4, 1))
        )
        self.head = nn.Linear(4, skeleton.classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.op(x).mean((2, 3)))  # type: ignore[no-any-return]


SPACE = Space((Choice("width", ("2", "4", "8"), ordered=True),), network=Network, name="tiny")


def data() -> Data:
    generator = torch.Generator().manual_seed(3)
    images = (torch.rand(60, 6, 6, generator=generator) * 255).byte().numpy()
    return Data.from_arrays(images, [i % 2 for i in range(60)], name="tiny")


def proposal(width: str) -> Proposal:
    return Proposal(SPACE.architecture({"width": width}))


class TestZeroCost(EstimatorSuite):
    def make(self) -> ZeroCost:
        return ZeroCost(SPACE, data(), tuple(SCORES), images=8)

    def proposal(self) -> Proposal:
        return proposal("4")


def test_a_metric_a_score_by_either_spelling_for_the_weights_of_the_seed() -> None:
    judge = ZeroCost(SPACE, data(), ("log-synflow", "snip"))
    outcome = judge(proposal("4"), Context(seed=1))
    assert ["log_synflow", "snip"] == list(outcome.metrics)
    assert outcome.metrics == judge(proposal("4"), Context(seed=1)).metrics
    assert outcome.metrics != judge(proposal("4"), Context(seed=2)).metrics


def test_targets_can_be_numbers() -> None:
    generator = torch.Generator().manual_seed(3)
    images, numbers = torch.rand(60, 6, 6, generator=generator).numpy(), torch.randn(60, 3, generator=generator).numpy()
    judged = Data.from_arrays(images, numbers, name="numbers", task=Regression())
    metrics = ZeroCost(SPACE, judged, tuple(SCORES), images=8)(proposal("4"), Context(seed=1)).metrics
    assert all(map(math.isfinite, metrics.values()))


def test_a_rank_among_drawn_architectures_puts_scores_together() -> None:
    judge = ZeroCost(SPACE, data(), ("params", "macs")).ranked(count=9)
    ranks = [judge(proposal(width), Context(seed=0)).metrics["rank"] for width in ("2", "4", "8")]
    assert ranks == sorted(ranks)
    assert 0 < ranks[0] < ranks[1] < ranks[2] < 1


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'synflow'"):
        ZeroCost(SPACE, data(), ("sinflow",))
    with pytest.raises(ValueError, match="2 or more, and data 'tiny' has 36"):
        ZeroCost(SPACE, data(), images=100)
    with pytest.raises(ValueError, match="whole space"):
        ZeroCost(SPACE, data())(Proposal(None), Context(seed=0))
