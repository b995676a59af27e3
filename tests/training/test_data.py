"""Data sets: splits, files, and every way to make one."""

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from morphogen.protocols import MorphogenError
from morphogen.training.augment import Augment
from morphogen.training.data import Data, data
from morphogen.training.images import Images


def arrays(count: int = 100, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 6, 6, 3)).astype(np.uint8), np.arange(count) % classes


def splits(made: Data) -> list[Images]:
    return [made.train, made.valid, made.open_test()]


def test_missing_splits_are_cut_from_train_every_class_alike() -> None:
    made = Data.from_arrays(*arrays())
    assert [len(s) for s in splits(made)] == [60, 20, 20]
    for split in splits(made):
        assert len(set(torch.bincount(split.labels).tolist())) == 1


def test_no_image_is_in_two_splits_and_none_is_lost() -> None:
    x, y = arrays()
    x[:, 0, 0, 0] = np.arange(100)
    made = Data.from_arrays(x, y)
    marks = torch.cat([s.images[:, 0, 0, 0] for s in splits(made)])
    assert list(range(100)) == sorted(marks.tolist())


def test_the_split_seed_decides_the_cut() -> None:
    a, b, c = (Data.from_arrays(*arrays(), split_seed=seed) for seed in (0, 0, 1))
    assert a.digest == b.digest
    assert a.digest != c.digest
    assert torch.equal(a.train.images, b.train.images)
    assert not torch.equal(a.train.images, c.train.images)


def test_given_splits_stay_as_they_are() -> None:
    (x, y), (xv, yv), (xt, yt) = arrays(), arrays(30, seed=1), arrays(40, seed=2)
    made = Data.from_arrays(
        x, y, x_valid=xv, y_valid=yv, x_test=xt, y_test=yt, name="mine", class_names=("a", "b", "c", "d")
    )
    assert [len(s) for s in splits(made)] == [100, 30, 40]
    assert np.array_equal(xv.transpose(0, 3, 1, 2), made.valid.images.numpy())
    assert (made.image, made.classes, made.class_names) == ((3, 6, 6), 4, ("a", "b", "c", "d"))
    assert made.text == "mine: 100 train, 30 valid and 40 test images 3x6x6, 4 classes"


def test_mean_and_deviation_are_those_of_the_training_pixels() -> None:
    made = Data.from_arrays(*arrays())
    pixels = made.train.images.double()
    assert pytest.approx(pixels.mean((0, 2, 3)).tolist()) == list(made.mean)
    assert pytest.approx(pixels.std((0, 2, 3), correction=0).tolist()) == list(made.std)


def test_a_constant_channel_does_not_divide_by_zero() -> None:
    assert Data.from_arrays(np.zeros((50, 4, 4), np.uint8), np.arange(50) % 2).std == (1.0,)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"x_valid": np.zeros((5, 6, 6, 3), np.uint8)}, "x_valid and y_valid go together"),
        ({"x_test": np.zeros((5, 7, 6, 3), np.uint8), "y_test": np.zeros(5, int)}, "x_test has images 3x7x6 uint8"),
        ({"x_test": np.zeros((5, 6, 6, 3)), "y_test": np.zeros(5, int)}, "3x6x6 float32, but x_train has 3x6x6 uint8"),
        ({"x_test": np.zeros((5, 6, 6, 3), np.uint8), "y_test": np.full(5, 4)}, "y_test has labels from 4 to 4"),
        ({"class_names": ("a", "b")}, "y_train has labels from 0 to 3, expected 0 to 1"),
    ],
)
def test_splits_that_do_not_fit_are_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Data.from_arrays(*arrays(), **more)


def test_too_few_images_to_cut_are_refused() -> None:
    with pytest.raises(ValueError, match="too few to cut valid and test"):
        Data.from_arrays(np.zeros((2, 4, 4), np.uint8), np.array([0, 1]))


def test_the_test_split_is_sealed_until_it_is_opened() -> None:
    made = Data.from_arrays(*arrays())
    with pytest.raises(MorphogenError, match="sealed"):
        _ = made.test.images
    with pytest.raises(MorphogenError, match="sealed"):
        _ = pickle.loads(pickle.dumps(made)).test.labels
    assert len(made.open_test().images) == 20


def test_a_limit_holds_for_each_split_and_is_nested() -> None:
    made = Data.from_arrays(*arrays())
    assert [len(s) for s in splits(made.limited(15))] == [15, 15, 15]
    assert [len(s) for s in splits(made.limited(50))] == [50, 20, 20]
    assert torch.equal(made.limited(50).limited(50).train.images, made.limited(50).train.images)
    with pytest.raises(ValueError, match="1 or more"):
        made.limited(0)


def test_saved_data_pickles_small_and_reads_the_same(tmp_path: Path) -> None:
    made = Data.from_arrays(*arrays(400), augment=Augment(2, True, 4), class_names=tuple("abcd"))
    saved = made.save(tmp_path / "data")
    assert len(pickle.dumps(saved)) < 2500
    assert len(pickle.dumps(made)) > 10000
    copy = pickle.loads(pickle.dumps(saved))
    assert made.text == copy.text
    assert (made.mean, made.std, made.augment, made.class_names) == (
        copy.mean,
        copy.std,
        copy.augment,
        copy.class_names,
    )
    for a, b in zip(splits(made), splits(copy), strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.labels, b.labels)


def test_floating_images_survive_saving(tmp_path: Path) -> None:
    made = Data.from_arrays(np.random.default_rng(0).normal(size=(50, 4, 4)), np.arange(50) % 2)
    assert torch.equal(made.train.images, made.save(tmp_path).train.images)


def test_saving_again_writes_nothing_and_another_data_set_is_refused(tmp_path: Path) -> None:
    made = Data.from_arrays(*arrays())
    made.save(tmp_path)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    assert made.digest == made.save(tmp_path).digest
    assert before == {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    with pytest.raises(MorphogenError, match="holds another data set"):
        Data.from_arrays(*arrays(), split_seed=1).save(tmp_path)


def test_a_folder_without_data_is_refused_in_one_line(tmp_path: Path) -> None:
    for text in (None, "", "{}", "[1]", '{"shapes": 3}'):
        if text is not None:
            (tmp_path / "data.json").write_text(text)
        with pytest.raises(MorphogenError, match="holds no data set that can be read") as caught:
            Data.open(tmp_path)
        assert "\n" not in str(caught.value)


class Pairs(Dataset[tuple[Any, int]]):
    """A dataset of somebody's own, without tensors."""

    def __init__(self, count: int, odd: int | None = None) -> None:
        self.count, self.odd = count, odd

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return np.full((5 if index == self.odd else 4, 4, 3), index, np.uint8), index % 2


def test_datasets_of_pytorch_are_read_into_memory() -> None:
    made = Data.from_datasets(Pairs(40), test=Pairs(6), name="pairs")
    assert [len(s) for s in splits(made)] == [32, 8, 6]
    assert made.image == (3, 4, 4)
    tensors = TensorDataset(torch.rand(20, 1, 4, 4), torch.arange(20) % 2)
    given = Data.from_datasets(tensors, tensors, tensors)
    assert torch.equal(tensors.tensors[0], given.valid.images)


def test_datasets_with_several_sizes_or_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("train has images (4, 4, 3) and (5, 4, 3) (number 7)")):
        Data.from_datasets(Pairs(10, odd=7))
    with pytest.raises(ValueError, match="valid is an empty dataset"):
        Data.from_datasets(Pairs(10), Pairs(0))


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(ValueError, match="there is no data set 'digit', did you mean 'digits'"):
        data("digit")


def own() -> Data:
    return Data.from_arrays(*arrays(), name="own")


def text() -> str:
    return "own"


def test_a_dotted_name_is_anybodys_own_function() -> None:
    assert data(f"{__name__}:own").name == "own"
    assert len(data(f"{__name__}:own", limit=10).train) == 10
    with pytest.raises(ValueError, match="gave str, expected"):
        data(f"{__name__}:text")
