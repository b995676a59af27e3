import pytest
import torch

from morphogen.oneshot import Dirichlet
from morphogen.space import Choice, Space

SPACE = Space((Choice("op", ("a", "b", "c")),))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def weights(distribution, draws):
    return torch.stack(list(distribution.sample(draws)["op"].values()))


def set_alpha(distribution, values):
    with torch.no_grad():
        distribution.logits["op"].copy_(torch.tensor(values))


def test_draws_have_the_moments_of_the_dirichlet_distribution():
    distribution = Dirichlet(SPACE, dtype=torch.float64)
    set_alpha(distribution, [2.0, 0.0, -0.5])
    beta = torch.tensor([3.0, 1.0, 0.6065306597126334], dtype=torch.float64)
    draws = generator()
    with torch.no_grad():
        drawn = torch.stack([weights(distribution, draws) for _ in range(4000)])
    mean = beta / beta.sum()
    torch.testing.assert_close(torch.ones(4000, dtype=torch.float64), drawn.sum(1))
    torch.testing.assert_close(mean, drawn.mean(0), atol=0.02, rtol=0)
    torch.testing.assert_close(mean * (1 - mean) / (beta.sum() + 1), drawn.var(0), atol=0.01, rtol=0)
    assert pytest.approx(mean.tolist()) == list(distribution.probabilities()["op"].values())


def test_the_gradient_through_draws_is_on_average_that_of_the_mean():
    distribution = Dirichlet(SPACE, dtype=torch.float64)
    set_alpha(distribution, [1.0, 0.5, 0.2])
    costs = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    draws = generator()
    loss = sum(weights(distribution, draws) @ costs for _ in range(4000)) / 4000
    (found,) = torch.autograd.grad(loss, distribution.logits["op"])
    alpha = torch.tensor([1.0, 0.5, 0.2], dtype=torch.float64, requires_grad=True)
    beta = torch.nn.functional.elu(alpha) + 1
    (expected,) = torch.autograd.grad((beta / beta.sum()) @ costs, alpha)
    torch.testing.assert_close(expected, found, atol=0.02, rtol=0)


def test_tiny_concentrations_still_give_weights_that_sum_to_one():
    distribution = Dirichlet(SPACE)
    set_alpha(distribution, [-30.0, -30.0, -30.0])
    draws = generator()
    for _ in range(50):
        drawn = weights(distribution, draws)
        assert torch.isfinite(drawn).all()
        assert pytest.approx(1.0) == drawn.sum().item()


def test_it_ends_at_the_largest_mean():
    distribution = Dirichlet(SPACE)
    set_alpha(distribution, [0.1, 0.4, -0.3])
    assert "b" == distribution.derive(lambda a: 0.0, generator())["op"]
