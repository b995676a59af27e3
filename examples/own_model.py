"""Somebody's own PyTorch model, with choices of operation, width, kernel and depth put into it.

Run `python examples/own_model.py`: it shows what one definition is good for, then searches for a minute on two cores.
On the command line, from this folder, the space is `--space own_model:space`.
"""

import numpy as np
import torch
from torch import Tensor, nn

import morphogen
from morphogen.nn import MixedDepth, MixedOp, bind, network, picks_to_mixture
from morphogen.nn.elastic import ElasticBatchNorm2d, ElasticConv2d, ElasticLinear
from morphogen.nn.inherit import inherit
from morphogen.oneshot import Softmax
from morphogen.space import Choice, Space, When


class OwnModel(nn.Module):
    """A small classifier of digits."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        width = space["width"]
        self.features = nn.Sequential(
            ElasticConv2d(1, width, space["kernel"], bias=False),
            ElasticBatchNorm2d(width),
            nn.ReLU(),
            MixedDepth(space["depth"], lambda i: Block(width, space[f"block{i}"])),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = ElasticLinear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class Block(nn.Module):
    """A residual block around a chosen operation."""

    def __init__(self, width: Choice, choice: Choice) -> None:
        super().__init__()
        operations = {
            "conv_3x3": lambda: ElasticConv2d(width, width, 3, bias=False),
            "depthwise_5x5": lambda: ElasticConv2d(width, width, 5, groups=width, bias=False),
            "max_pool_3x3": lambda: nn.MaxPool2d(3, stride=1, padding=1),
        }
        self.operation = MixedOp(choice, lambda name: operations[name]())
        self.norm = ElasticBatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.norm(self.operation(x)))


OPERATIONS = ("conv_3x3", "depthwise_5x5", "max_pool_3x3")
space = Space(
    (
        Choice("kernel", ("3", "5"), ordered=True),
        Choice("width", ("8", "16", "24"), ordered=True),
        Choice("depth", ("1", "2", "3"), ordered=True),
        Choice("block0", OPERATIONS),
        Choice("block1", OPERATIONS, when=When("depth", ("2", "3"))),
        Choice("block2", OPERATIONS, when=When("depth", ("3",))),
    ),
    network=OwnModel,
    name="own-model",
)


def show() -> None:
    """One definition: supernet, sub-graph, relaxed supernet and stand-alone network."""
    torch.manual_seed(0)
    images = torch.randn(2, 1, 8, 8)
    supernet = network(space).eval()
    print(f"{space.size} architectures share {sum(p.numel() for p in supernet.parameters())} parameters")

    architecture = space.sample(np.random.default_rng(0))
    print(f"one of them: {architecture.text}")
    with torch.no_grad(), bind(supernet, picks_to_mixture(architecture)):
        as_subgraph = supernet(images)

    with torch.no_grad(), bind(supernet, Softmax(space).mixture()):
        print(f"all of them at once, weighted by a softmax: logits {tuple(supernet(images).shape)}")

    standalone = network(space.fix(architecture)).eval()
    inherit(supernet, standalone, architecture)
    with torch.no_grad():
        difference = (standalone(images) - as_subgraph).abs().max().item()
    print(
        f"that one alone: {sum(p.numel() for p in standalone.parameters())} parameters, logits differ by {difference:g}"
    )


def search() -> None:
    """Search, train, compare and export."""
    result = morphogen.search(
        space,
        "digits",
        strategy="regularized-evolution",
        strategy_options={"population_size": 6, "tournament_size": 3},
        trials=12,
        workers=2,
        training={"epochs": 4},
        final={"finalists": 1, "seeds": 2, "training": {"epochs": 8}},
    )
    print(f"found: {result.best.text}")
    for row in result.record.rows:
        print(f"{row.name}: accuracy {row.accuracy:.4f} with {row.params:.0f} parameters ({row.note})")
    print(result.verdict.sentence)
    print(f"exported to {result.folder / 'best'}, described in {result.folder / 'report.html'}")


if __name__ == "__main__":  # the workers import this file, too
    show()
    search()
