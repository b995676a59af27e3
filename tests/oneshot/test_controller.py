"""ENAS's controller against the numbers of its released code, and what it learns."""

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import own_model
import pytest
import torch

from morphogen.limits import Cost, Limit
from morphogen.nn.network import network
from morphogen.oneshot.controller import Controller, controller_loss, policy_of
from morphogen.oneshot.distribution import Step
from morphogen.oneshot.enas_any import AnyPolicy
from morphogen.oneshot.enas_macro import MacroPolicy
from morphogen.oneshot.enas_micro import MicroPolicy
from morphogen.oneshot.enas_writing import Squash, greedy, sampling
from morphogen.space import Choice, Space
from morphogen.spaces.darts import darts
from morphogen.spaces.enas_macro import SKELETONS, enas_macro
from morphogen.spaces.enas_macro import from_arc as macro_arc
from morphogen.spaces.enas_micro import enas_micro
from morphogen.spaces.enas_micro import from_arc as micro_arc
from morphogen.spaces.nasnet import nasnet
from morphogen.testing.distribution import DistributionSuite

CHECKS = Path(os.environ.get("MORPHOGEN_CHECKS", Path(__file__).parents[3] / "shared" / "checks"))
FILE = CHECKS / "enas_controller_vectors.json"
VECTORS = json.loads(FILE.read_text()) if FILE.is_file() else {}
ASSETS = Path(__file__).parents[1] / "assets"
BASELINES = json.loads((ASSETS / "rl_vectors.json").read_text())["ema_baseline"]
CONVENTIONS = {
    "enas_tf_update_then_use_init_zero_0.99": (0.99, 0.0),
    "carpedm20_init_first_update_then_use_0.95": (0.95, None),
}
needs_vectors = pytest.mark.skipif(
    not VECTORS, reason=f"no file {FILE}: MORPHOGEN_CHECKS names the folder of the reference's numbers"
)
NAMES = {
    "controller/lstm/layer_0/w": "lstm",
    "controller/g_emb": "start",
    "controller/emb/w": "embedding",
    "controller/softmax/w": "softmax",
    "controller/softmax/b": "bias",
    "controller/attention/w_1": "w_1",
    "controller/attention/w_2": "w_2",
    "controller/attention/v": "v",
}
MACRO = {
    "macro_greedy": Squash(tanh=1.5),
    "macro_temp_greedy": Squash(tanh=2.5, temperature=5.0),
}


def double(values):
    return torch.tensor(values, dtype=torch.float64)


def loaded(policy, vector):
    policy.load_state_dict({NAMES[name]: double(value) for name, value in vector["weights"].items()})
    return policy


def assert_as_in_the_released_code(policy, written, vector):
    assert pytest.approx(vector["sum_neg_log_prob"], abs=1e-12) == written.surprise.item()
    assert len(vector["logits_in_order"]) == len(written.logits)
    for expected, actual in zip(vector["logits_in_order"], written.logits, strict=True):
        torch.testing.assert_close(actual.reshape(double(expected).shape), double(expected), rtol=0, atol=1e-12)
    written.surprise.backward()
    for name, norm in vector["grad_norms_of_sum_neg_log_prob"].items():
        assert pytest.approx(norm, rel=1e-11) == policy.get_parameter(NAMES[name]).grad.norm().item()


@needs_vectors
@pytest.mark.parametrize("name", MACRO)
def test_layers_are_written_as_by_the_released_code(name):
    vector, space = VECTORS[name], enas_macro(4)
    policy = loaded(MacroPolicy(space, hidden=8, squash=MACRO[name], dtype=torch.float64), vector)
    written = policy.write(greedy)
    assert macro_arc(vector["arc"], space) == written.architecture
    assert pytest.approx(vector["sum_entropy_reference_definition"], abs=1e-12) == written.bonus
    assert pytest.approx(vector["sum_full_entropy"], abs=1e-12) == written.entropy
    assert pytest.approx(vector["skip_penalty_mean_KL"], abs=1e-12) == written.penalty.item()
    assert_as_in_the_released_code(policy, written, vector)


@needs_vectors
def test_cells_are_written_as_by_the_released_code():
    vector, space = VECTORS["micro_greedy"], enas_micro(2)
    policy = loaded(MicroPolicy(space, hidden=8, dtype=torch.float64), vector)
    written = policy.write(greedy)
    assert micro_arc(vector["arc_normal"], vector["arc_reduce"], space) == written.architecture
    assert pytest.approx(vector["sum_entropy"], abs=1e-12) == written.bonus == written.entropy
    assert_as_in_the_released_code(policy, written, vector)


def test_controllers_have_the_weights_of_the_released_code():
    for space, weights in ((enas_macro(), 41_856), (enas_micro(), 41_733)):
        assert weights == sum(p.numel() for p in policy_of(space).module.parameters())


def test_first_weights_and_biases_are_those_of_the_released_code():
    policy = MicroPolicy(enas_micro())
    assert [[10.0, 10.0, 0.0, 0.0, 0.0]] == policy.bias.tolist()
    assert [[0.25, 0.25, -0.25, -0.25, -0.25]] == policy.favor.tolist()
    assert 0.099 < policy.lstm.abs().max().item() <= 0.1


@pytest.mark.parametrize(
    ("space", "policy"),
    [
        (enas_macro(3), MacroPolicy),
        (enas_micro(1), MicroPolicy),
        (enas_macro(3).restrict({"1/op": ("conv_5x5",), "2/skips": ("1",)}), MacroPolicy),
        (nasnet(2, combine=()), MicroPolicy),
        (nasnet(2), AnyPolicy),
        (darts(nodes=2), AnyPolicy),
        (own_model.space, AnyPolicy),
    ],
)
def test_every_kind_of_space_has_a_controller(space, policy):
    made = policy_of(space, generator=torch.Generator().manual_seed(1))
    assert type(made) is policy
    with torch.no_grad():
        drawn = {made.write(sampling(torch.Generator().manual_seed(seed))).architecture for seed in range(8)}
    assert len(drawn) > 3
    assert all(architecture == space.architecture(architecture.json) for architecture in drawn)


def probabilities(policy):
    """The probability of every architecture, by taking every way through its decisions."""
    total, counts, paths = {}, [], [()]
    while paths:
        path = paths.pop()
        counts.clear()

        def choose(given, path=path):
            counts.append(len(given))
            return path[len(counts) - 1] if len(counts) <= len(path) else 0

        with torch.no_grad():
            written = policy.write(choose)
        assert written.architecture not in total
        total[written.architecture] = float(torch.exp(-written.surprise))
        # the siblings of every decision that was taken by default
        for depth in range(len(path), len(counts)):
            paths += [(*path, *[0] * (depth - len(path)), other) for other in range(1, counts[depth])]
    return total


TWO = ("conv_3x3", "max_pool_3x3")
SKIPS = Cost("skips", {((f"{k}/skips", str(j)),): 1.0 for k in (1, 2) for j in range(k)})


@pytest.mark.parametrize(
    "space",
    [
        enas_macro(3, TWO),
        replace(enas_macro(3, TWO), limits=(Limit(SKIPS, at_most=1),)),
        enas_micro(1, TWO),
        darts(nodes=1, operations=("none", "skip_connect", "sep_conv_3x3")),
        Space((Choice("a", ("0", "1", "2")), Choice("b", ("x", "y", "z"), pick=(1, 2)))),
    ],
    ids=["macro", "macro-limited", "micro", "darts", "subset"],
)
def test_probabilities_of_all_architectures_sum_to_one(space):
    policy = policy_of(space, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    total = probabilities(policy)
    assert pytest.approx(1.0, abs=1e-12) == sum(total.values())
    assert {a.code for a in space.enumerate()} == {a.code for a in total}
    assert min(total.values()) > 0


def test_a_connection_is_as_likely_as_the_softmax_of_minus_a_and_a():
    policy = MacroPolicy(enas_macro(2), dtype=torch.float64)
    asked = []

    def choose(probabilities):
        asked.append(probabilities)
        return 1

    written = policy.write(choose)
    (_, a) = written.logits[-1][0].tolist()
    assert pytest.approx(1 / (1 + np.exp(-2 * a))) == asked[-1][1]


@pytest.mark.parametrize("name", CONVENTIONS)
def test_the_moving_average_moves_before_it_is_subtracted(name):
    decay, baseline = CONVENTIONS[name]
    controller = Controller(enas_macro(2), entropy=0.0, decay=decay, baseline=baseline)
    before = baseline
    for step in BASELINES[name]:
        before = step["reward"] if before is None else before
        advantage = controller.advantage(step["reward"], 3.0)
        assert pytest.approx(step["baseline_after"], abs=1e-12) == controller.baseline
        assert pytest.approx(step["advantage"], abs=1e-12) == advantage
        assert pytest.approx(decay * (step["reward"] - before)) == advantage
        before = controller.baseline


def test_entropy_is_rewarded_and_the_first_reward_can_be_the_average():
    controller = Controller(enas_macro(2), entropy=0.1, baseline=None)
    assert 0.0 == controller.advantage(0.5, 2.0)
    assert pytest.approx(0.7) == controller.baseline


def test_a_loss_has_the_surprise_times_the_advantage_and_the_skips():
    written = MacroPolicy(enas_macro(3)).write(greedy)
    expected = 0.3 * written.surprise + 0.8 * written.penalty
    torch.testing.assert_close(controller_loss(written, 0.3, 0.8), expected)


# --- learning ---------------------------------------------------------------------------------------------------------

IMAGE, CLASSES = (1, 8, 8), 4
SKELETON = replace(SKELETONS["search"], image=IMAGE, classes=CLASSES, channels=4, cells=2)


def batch(seed):
    return torch.randn(8, *IMAGE, generator=torch.Generator().manual_seed(seed)), torch.arange(8) % CLASSES


def step(supernet, *, last=True):
    optimizer = torch.optim.SGD(supernet.parameters(), 0.1)
    return Step(supernet, optimizer, batch(0), lambda: batch(1), 0, last, torch.Generator().manual_seed(0))


def test_it_learns_at_the_last_step_of_an_epoch_only():
    controller = Controller(enas_macro(2), steps=2, aggregate=3)
    supernet = network(controller.space, SKELETON)
    before = controller.state_dict()
    controller.update(step(supernet, last=False))
    assert all(torch.equal(before["policy"][k], v) for k, v in controller.state_dict()["policy"].items())
    controller.update(step(supernet))
    assert controller.baseline > 0
    assert not torch.equal(before["policy"]["lstm"], controller.state_dict()["policy"]["lstm"])


def test_gradients_of_a_step_are_averages_over_its_samples(monkeypatch):
    controller = Controller(enas_macro(2), steps=1, aggregate=4)
    supernet, gradients = network(controller.space, SKELETON), {}

    def keep(self):
        gradients.update({n: p.grad.clone() for n, p in controller.policy.named_parameters() if p.grad is not None})

    monkeypatch.setattr(torch.optim.Adam, "step", keep)
    controller.update(step(supernet))
    again = Controller(enas_macro(2))
    supernet.eval()
    losses, choose = [], sampling(torch.Generator().manual_seed(0))
    from morphogen.oneshot.controller import _judging, _reward

    with _judging(supernet, True):
        for _ in range(4):
            written = again.policy.write(choose)
            reward = _reward(step(supernet), written.architecture)
            losses.append(controller_loss(written, again.advantage(reward, written.bonus), 0.8))
    torch.stack(losses).mean().backward()
    for name, parameter in again.policy.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad)


def test_the_better_architecture_becomes_the_more_probable(monkeypatch):
    space = enas_macro(2, TWO)
    controller = Controller(space, lr=0.02, steps=40, aggregate=5, baseline=None, skip_weight=0.0)
    wanted = ("max_pool_3x3", "conv_3x3")

    def reward(step, architecture):
        return sum(architecture.picks[f"{i}/op"] == (o,) for i, o in enumerate(wanted)) / 2

    monkeypatch.setattr("morphogen.oneshot.controller._reward", reward)
    controller.update(step(network(space, SKELETON)))
    found = controller.likeliest().picks
    assert wanted == (found["0/op"][0], found["1/op"][0])
    drawn = [controller.sample(torch.Generator().manual_seed(s)) for s in range(40)]
    assert np.mean([reward(None, a) for a in drawn]) > 0.7


def test_the_penalty_draws_connections_to_their_target():
    space = enas_macro(3, TWO)
    controller = Controller(space, lr=0.02)
    optimizer = torch.optim.Adam(controller.policy.parameters(), 0.05)
    first = controller.policy.write(greedy).penalty.item()
    for seed in range(30):
        optimizer.zero_grad()
        written = controller.policy.write(sampling(torch.Generator().manual_seed(seed)))
        controller_loss(written, 0.0, 0.8).backward()
        optimizer.step()
    assert controller.policy.write(greedy).penalty.item() < 0.3 * first


def test_rewards_are_by_the_statistics_of_the_batch_unless_told():
    space = enas_macro(2, ("conv_3x3",))
    torch.manual_seed(0)
    supernet = network(space, SKELETON)
    for module in supernet.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.fill_(1e6)  # kills what is normalized by it
    rewards = []
    for by_batch in (True, False):
        controller = Controller(space, steps=1, aggregate=8, batch_statistics=by_batch)
        controller.update(step(supernet))
        rewards.append(controller.reward)
    assert rewards[0] != rewards[1]
    assert supernet.training


def test_derive_keeps_the_best_of_its_candidates():
    controller = Controller(enas_macro(3), candidates=6)
    scored = []

    def score(architecture):
        scored.append((sum(architecture.code), architecture))
        return float(scored[-1][0])

    found = controller.derive(score, torch.Generator().manual_seed(3))
    assert 6 == len(scored)
    assert max(s for s, _ in scored) == sum(found.code)


def test_what_cannot_be_is_refused():
    for wrong in ({"steps": 0}, {"aggregate": 0}, {"candidates": 0}, {"decay": 1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Controller(enas_macro(2), **wrong)
    with pytest.raises(ValueError, match="expected the choices 0/op, 1/op, 1/skips"):
        MacroPolicy(enas_micro(1))
    with pytest.raises(ValueError, match="expected the choices CELL/2/a/input"):
        MicroPolicy(enas_macro(2))
    with pytest.raises(ValueError, match="tanh=0 of a controller"):
        Squash(tanh=0)
    with pytest.raises(ValueError, match="skip_target=1"):
        MacroPolicy(enas_macro(2), skip_target=1)


# --- the laws of distributions, on every kind of space ----------------------------------------------------------------


class TestControllerOfLayers(DistributionSuite):
    space, skeleton = enas_macro(2), SKELETON

    def make(self, space, *, generator, device):
        return Controller(space, steps=2, aggregate=2, candidates=3, generator=generator, device=device)


class TestControllerOfCells(TestControllerOfLayers):
    space = enas_micro(1)
    skeleton = replace(SKELETON, reductions=(1,), auxiliary=False, stem_multiplier=1)


class TestControllerOfDarts(TestControllerOfLayers):
    space, skeleton = DistributionSuite.space, DistributionSuite.skeleton


class TestControllerOfAnOwnModel(TestControllerOfLayers):
    space, skeleton = own_model.space, None


class TestControllerWithOtherNumbers(TestControllerOfLayers):
    def make(self, space, *, generator, device):
        policy = partial(MacroPolicy, hidden=8, squash=Squash(2.5, 5.0))
        return Controller(space, policy=policy, steps=1, aggregate=2, candidates=3, generator=generator, device=device)
