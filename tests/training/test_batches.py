"""Batches: every image once, in nearly equal parts."""

import numpy as np
import torch

from morphogen.training.augment import Augment
from morphogen.training.batches import Batches
from morphogen.training.data import Data

CPU = torch.device("cpu")


def numbered(count: int) -> Data:
    """Image i is of the constant value i."""
    x = np.broadcast_to(np.arange(count, dtype=np.float32)[:, None, None], (count, 4, 4))
    y = np.arange(count) % 2
    return Data.from_arrays(x, y, x_valid=x[:2], y_valid=y[:2], x_test=x[:2], y_test=y[:2], augment=Augment())


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_an_epoch_has_every_image_once_in_batches_that_differ_by_one_at_most() -> None:
    data = numbered(21)
    batches = Batches(data, data.train, 8, CPU)
    drawn = list(batches.shuffled(generator(0)))
    assert [len(labels) for _, labels in drawn] == [7, 7, 7]
    assert batches.steps == 3
    values = torch.cat([images for images, _ in drawn])[:, 0, 0, 0] * data.std[0] + data.mean[0]
    assert list(range(21)) == sorted(values.round().int().tolist())
    assert [len(y) for _, y in Batches(numbered(22), numbered(22).train, 8, CPU).shuffled(generator(0))] == [8, 7, 7]


def test_labels_go_with_their_images() -> None:
    data = numbered(21)
    for images, labels in Batches(data, data.train, 8, CPU).shuffled(generator(0)):
        values = (images[:, 0, 0, 0] * data.std[0] + data.mean[0]).round().long()
        assert torch.equal(values % 2, labels)


def test_the_generator_decides_order_and_augmentation() -> None:
    data = numbered(20)
    batches = Batches(data, data.train, 8, CPU, Augment(shift=1, flip=True, cutout=2))

    def epoch(seed: int) -> torch.Tensor:
        return torch.cat([images for images, _ in batches.shuffled(generator(seed))])

    assert torch.equal(epoch(0), epoch(0))
    assert not torch.equal(epoch(0), epoch(1))


def test_in_order_gives_the_images_as_they_are() -> None:
    data = numbered(21)
    batches = Batches(data, data.train, 8, CPU, Augment(shift=1, cutout=2))
    values = torch.cat([images for images, _ in batches.in_order()])[:, 0, 0, 0] * data.std[0] + data.mean[0]
    assert list(range(21)) == values.round().int().tolist()
