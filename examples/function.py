"""Somebody's own training code as the judge of a search: any loop, any metric, any fidelity.

Run `python examples/function.py`. The judge is found by its name, `function:judge`, so that other processes can run it.
"""

from collections.abc import Mapping

import torch
from own_model import space
from sklearn.datasets import load_digits
from torch import nn

from morphogen import Context, Objective, Phase, Stop
from morphogen.estimators import Function
from morphogen.executors import Inline
from morphogen.objective import best
from morphogen.store.memory import Memory
from morphogen.strategies import RegularizedEvolution
from morphogen.study import Study
from morphogen.trial import Fidelity

EPOCHS = 2


def judge(network: nn.Module, fidelity: Fidelity, context: Context) -> Mapping[str, float]:
    """Train on the first 600 digits, and give the error on others; `epochs` is the only fidelity axis."""
    pixels, digits = load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    labels = torch.tensor(digits)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    for epoch in range(int(fidelity["epochs"])):
        network.train()
        for batch in torch.randperm(600).split(50):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            wrong = (network(images[600:1000]).argmax(1) != labels[600:1000]).float().mean().item()
        context.log(epoch + 1, {"error": wrong})
    return {"error": wrong, "params": sum(p.numel() for p in network.parameters())}


def main() -> None:
    study = Study(space, Memory(), Inline(), [Objective("error")], seed=0)
    estimator = Function(space, "function:judge", full={"epochs": EPOCHS})
    strategy = RegularizedEvolution(space, population_size=4, tournament_size=2)
    trials = study.run_phase(Phase("search", lambda told: (strategy, estimator), lambda told: Stop(trials=8)))
    winner = best(trials)
    assert winner is not None and winner.outcome is not None and winner.architecture is not None
    print(f"best of {len(trials)}: error {winner.outcome.metrics['error']:.3f}, {winner.architecture.text}")


if __name__ == "__main__":
    main()
