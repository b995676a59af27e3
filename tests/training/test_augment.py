"""Augmentation, against boxes of the released code and by brute force."""

import json
from pathlib import Path

import pytest
import torch

from morphogen.training.augment import Augment, Normalize, cutout, hole, shift_and_flip

VECTORS = json.loads((Path(__file__).parent / "schedule_vectors.json").read_text())


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_cutout_boxes_are_those_of_darts() -> None:
    side = VECTORS["cutout_darts"]["length"]
    for row in VECTORS["cutout_darts"]["examples"]:
        y, x = torch.tensor([row["y"]]), torch.tensor([row["x"]])
        mask = hole(y - side // 2, x - side // 2, side, 32, 32)[0, 0]
        wanted = torch.zeros(32, 32, dtype=torch.bool)
        wanted[slice(*row["rows"]), slice(*row["cols"])] = True
        assert torch.equal(wanted, mask)
        assert row["zeroed"] == int(mask.sum())


def test_cutout_blanks_as_many_pixels_on_average_as_darts_and_enas_do() -> None:
    y, x = (axis.flatten() for axis in torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij"))
    centered = hole(y - 8, x - 8, 16, 32, 32).sum((1, 2, 3)).double().mean()
    assert VECTORS["cutout_darts"]["mean_zeroed_pixels"] == float(centered)
    # ENAS anchors the hole at its first corner
    anchored = hole(y, x, 16, 32, 32).sum((1, 2, 3)).double().mean()
    assert VECTORS["cutout_enas"]["mean_zeroed_pixels"] == float(anchored)


def test_cutout_blanks_one_square_in_each_image_and_nothing_else() -> None:
    images = cutout(torch.ones(50, 3, 9, 7), 4, generator())
    blank = (images == 0).all(1)
    assert torch.equal(blank, (images == 0).any(1))
    areas = blank.sum((1, 2))
    assert int(areas.min()) >= 4
    assert int(areas.max()) == 16


def test_shifting_is_padding_and_cropping_each_image_on_its_own() -> None:
    images = torch.randint(1, 255, (40, 2, 5, 4), dtype=torch.uint8)
    shifted = shift_and_flip(images, 1, False, generator())
    seen = set()
    for before, after in zip(images, shifted, strict=True):
        padded = torch.nn.functional.pad(before, (1, 1, 1, 1))
        places = [(r, c) for r in range(3) for c in range(3) if torch.equal(padded[:, r : r + 5, c : c + 4], after)]
        assert len(places) == 1
        seen.update(places)
    assert len(seen) == 9


def test_flipping_mirrors_about_half_of_the_images() -> None:
    images = torch.rand(200, 1, 3, 4)
    flipped = shift_and_flip(images, 0, True, generator())
    mirrored = [torch.equal(after, before.flip(-1)) for before, after in zip(images, flipped, strict=True)]
    kept = [torch.equal(after, before) for before, after in zip(images, flipped, strict=True)]
    assert sum(mirrored) + sum(kept) == 200
    assert 70 < sum(mirrored) < 130


def test_the_same_generator_gives_the_same_images() -> None:
    images = torch.rand(20, 3, 8, 8)
    assert torch.equal(shift_and_flip(images, 2, True, generator(1)), shift_and_flip(images, 2, True, generator(1)))
    assert not torch.equal(shift_and_flip(images, 2, True, generator(1)), shift_and_flip(images, 2, True, generator(2)))


def test_without_switches_images_stay() -> None:
    images = torch.rand(4, 1, 8, 8)
    assert shift_and_flip(images, 0, False, generator()) is images
    assert cutout(images, 0, generator()) is images


def test_normalizing_gives_mean_0_and_deviation_1_and_leaves_the_data_alone() -> None:
    images = torch.rand(100, 2, 8, 8) * 3 + 1
    before = images.clone()
    mean, std = images.mean((0, 2, 3)).tolist(), images.std((0, 2, 3), correction=0).tolist()
    normal = Normalize(mean, std, torch.device("cpu"))(images)
    assert pytest.approx([0, 0], abs=1e-5) == normal.mean((0, 2, 3)).tolist()
    assert pytest.approx([1, 1], abs=1e-5) == normal.std((0, 2, 3), correction=0).tolist()
    assert normal.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(before, images)


def test_negative_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match="shift=-1"):
        Augment(shift=-1)
