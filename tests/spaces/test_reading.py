"""Architectures as people and papers write them."""

from __future__ import annotations

import numpy as np
import pytest

from morphogen.estimators.toy import toy_space
from morphogen.spaces.darts import DARTS, from_genotype, to_genotype
from morphogen.spaces.nasbench201 import NASBENCH201, to_string
from morphogen.spaces.published import GENOTYPES
from morphogen.spaces.reading import read


def test_text_json_genotypes_and_names_of_the_zoo_are_read() -> None:
    architecture = DARTS.sample(np.random.default_rng(0))
    assert architecture == read(architecture.text, DARTS)
    assert architecture == read(str(architecture.json).replace("'", '"'), DARTS)
    assert architecture == read(str(to_genotype(architecture)), DARTS)
    published = from_genotype(GENOTYPES["darts-v2"])
    assert published == read("zoo:darts-v2", DARTS) == read("zoo:darts-v2-cifar", DARTS)


def test_the_text_of_nasbench201_is_read() -> None:
    architecture = NASBENCH201.sample(np.random.default_rng(0))
    assert architecture == read(to_string(architecture), NASBENCH201)


def test_what_a_space_does_not_map_is_said() -> None:
    with pytest.raises(ValueError, match="space 'toy' does not map genotypes"):
        read("zoo:darts-v1", toy_space())
    with pytest.raises(ValueError, match="did you mean 'darts-v2'"):
        read("zoo:dart-v2", DARTS)
