"""A network by the name that a person gives it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from morphogen.nn.complexity import complexity
from morphogen.runs.named import Sizes, export_named, named, resized
from morphogen.spaces import space
from morphogen.spaces.skeleton import Skeleton

GENOTYPE = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1)], normal_concat=[2], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1)], reduce_concat=[2])"
)


def params(text: str, **options: object) -> int:
    found = named(text, **options)  # type: ignore[arg-type]  # as in the calls below
    with torch.device("meta"):
        return complexity(found.build(), found.image).params


def test_a_network_of_the_zoo_has_the_published_size_unless_one_is_given() -> None:
    assert 3_349_342 == params("zoo:darts-v2-cifar")
    small = named("zoo:darts-v2-cifar", sizes=Sizes(repeats=8, channels=16, classes=7, image_size=16))
    assert ((3, 16, 16), 7) == (small.image, small.classes)
    assert 246_106 - 3 * 257 == params("zoo:darts-v2-cifar", sizes=Sizes(repeats=8, channels=16, classes=7))


def test_cells_as_text_need_no_space() -> None:
    found = named(GENOTYPE, sizes=Sizes(repeats=3, channels=4))
    assert found.architecture is not None
    assert [2] == found.architecture["normal"]["concat"]
    assert (2, 10) == tuple(found.build().eval()(torch.zeros(2, *found.image)).shape)


def test_an_architecture_of_a_space_is_read_in_its_forms() -> None:
    bench = space("nasbench201")
    text = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"
    picks = " ".join(f"{name}={option}" for name, option in (named(text, bench).architecture or {}).items())
    assert params(text, space=bench) == params(picks, space=bench)
    assert params(text, space=bench, sizes=Sizes(repeats=1)) < params(text, space=bench)


def test_what_names_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'darts-v2-cifar'"):
        named("zoo:darts-v2-cifr")
    with pytest.raises(ValueError, match="write zoo:NAME"):
        named("normal/2/inputs=0,1")
    with pytest.raises(ValueError, match="say which space"):
        named("zoo:darts-v2-cifar", skeleton="search")
    with pytest.raises(ValueError, match="no skeleton preset 'huge'"):
        named("zoo:darts-v2", space("darts"), skeleton="huge")


def test_a_size_that_the_skeleton_has_not_is_refused() -> None:
    assert Skeleton(cells=6, cells_per_repeat=3) == resized(Skeleton(cells_per_repeat=3), Sizes(repeats=2))
    with pytest.raises(ValueError, match="no setting 'channels'; it has none"):
        resized(None, Sizes(channels=3))


def test_a_named_network_is_exported_with_a_card_that_says_it_is_untrained(tmp_path: Path) -> None:
    text, sizes = "|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|", Sizes(repeats=1, channels=2, image_size=8)
    written = export_named(text, tmp_path / "out", space="nasbench201", sizes=sizes)
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert (text, "untrained, drawn with seed 0") == (card["name"], card["weights"])
    assert not written["trained"]
    assert (tmp_path / "out" / "model.py").is_file()
