"""Images a second of child training: morphogen's loop against a plain one, interleaved.

    python benchmarks/throughput.py --rounds 8 --steps 4

The network is DARTS V2 (16 channels, 8 cells), batch 64, one thread, 32x32 images of random pixels, SGD with momentum,
crop and flip. The plain loop is what a tutorial has: a torch `DataLoader` in the same process over a dataset that
crops, flips and normalizes image by image, NCHW, eager, `optimizer.step()` with its defaults. Both train the same
module, so what is compared is the loop, the memory format and the data, not the cells. The rounds alternate; what is
printed is the median of the rounds' ratios, and the share of a step that the data take in morphogen's loop.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from morphogen.spaces.zoo import find
from morphogen.training.augment import Augment
from morphogen.training.batches import Batches
from morphogen.training.data import Data
from morphogen.training.fit import Fit, _gradients
from morphogen.training.recipe import Recipe
from morphogen.training.task import Classification

BATCH = 64


class Images(Dataset[tuple[Tensor, int]]):
    """Image by image, as torchvision's transforms would do it."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels
        self.mean = torch.tensor([125.3, 123.0, 113.9])[:, None, None]
        self.std = torch.tensor([63.0, 62.1, 66.7])[:, None, None]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = functional.pad(self.images[index], (4, 4, 4, 4))
        top, left = torch.randint(9, (2,)).tolist()
        image = image[:, top : top + 32, left : left + 32]
        if torch.rand(()) < 0.5:
            image = image.flip(2)
        return (image.float() - self.mean) / self.std, int(self.labels[index])


def plain(built: nn.Module, images: Tensor, labels: Tensor) -> Iterator[float]:
    """Seconds of each step, its data included."""
    loader = DataLoader(Images(images, labels), BATCH, shuffle=True, drop_last=True)
    optimizer = torch.optim.SGD(built.parameters(), 0.025, momentum=0.9, weight_decay=3e-4)
    built.train()
    while True:
        begun = time.perf_counter()
        for x, y in loader:
            optimizer.zero_grad()
            loss = functional.cross_entropy(_logits(built(x)), y)
            loss.backward()
            nn.utils.clip_grad_norm_(built.parameters(), 5.0)
            optimizer.step()
            loss.item()
            yield time.perf_counter() - begun
            begun = time.perf_counter()


def ours(built: nn.Module, data: Data, shares: list[float]) -> Iterator[float]:
    """The same, as `fit` does it."""
    recipe = Recipe(batch_size=BATCH, lr=0.025, weight_decay=3e-4, nesterov=False, clip=5.0, auxiliary_weight=0.0)
    built.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = recipe.make_optimizer(built.parameters())
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    batches = Batches(data, data.train, BATCH, torch.device("cpu"), data.augment)
    generator = torch.Generator().manual_seed(0)
    built.train()
    while True:
        begun = time.perf_counter()
        for x, y in batches.shuffled(generator):
            read = time.perf_counter() - begun
            optimizer.zero_grad()
            _gradients(built, x, y, Classification(), 0.0, Fit())
            nn.utils.clip_grad_norm_(parameters, 5.0, foreach=True)
            optimizer.step()
            took = time.perf_counter() - begun
            shares.append(read / took)
            yield took
            begun = time.perf_counter()


def _logits(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=8)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (BATCH * 20, 3, 32, 32)).astype(np.uint8), np.arange(BATCH * 20) % 10
    valid = {"x_valid": pixels[:20], "y_valid": labels[:20], "x_test": pixels[:20], "y_test": labels[:20]}
    data = Data.from_arrays(pixels, labels, **valid, augment=Augment(shift=4, flip=True))
    preset = find("darts-v2-cifar")
    skeleton = replace(
        preset.skeleton, channels=arguments.channels, cells=arguments.cells, auxiliary=False, drop_path=0.0
    )
    torch.manual_seed(0)
    shares: list[float] = []
    loops = {
        "plain": plain(preset.network(skeleton), data.train.images, data.train.labels),
        "morphogen": ours(preset.network(skeleton), data, shares),
    }
    for loop in loops.values():
        list(islice(loop, 2))  # first uses
    rates: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(arguments.rounds):
        for name, loop in loops.items():
            rates[name].append(BATCH * arguments.steps / sum(islice(loop, arguments.steps)))
    ratios = [b / a for a, b in zip(rates["plain"], rates["morphogen"], strict=True)]
    for name, found in rates.items():
        print(f"{name:10s} {statistics.median(found):7.1f} images a second")
    print(
        f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); data {statistics.median(shares):.1%}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
