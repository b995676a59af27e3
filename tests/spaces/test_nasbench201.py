from dataclasses import replace

import numpy as np
import pytest
import torch

from morphogen.nn.complexity import complexity
from morphogen.nn.network import network
from morphogen.spaces.nasbench201 import (
    EDGES,
    NASBENCH201,
    OPERATIONS,
    SKELETONS,
    from_string,
    identity,
    nasbench201,
    to_string,
)
from morphogen.testing import SpaceSuite
from network_laws import SupernetLaws, table

BEST = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"


class TestSpace(SpaceSuite):
    def make(self):
        return nasbench201()


def test_uniform_samples_hit_every_architecture_alike():
    rng, each = np.random.default_rng(0), 5
    counts = dict.fromkeys((architecture.code for architecture in NASBENCH201.enumerate()), 0)
    assert 15_625 == len(counts)
    for _ in range(each * len(counts)):
        counts[NASBENCH201.sample_uniform(rng).code] += 1
    chi_square = sum((count - each) ** 2 / each for count in counts.values())
    # 15,624 degrees of freedom: standard deviation 177
    assert 15_624 - 4 * 177 < chi_square < 15_624 + 4 * 177


class TestNetwork(SupernetLaws):
    def make(self):
        return NASBENCH201

    def small(self, image, classes):
        return [replace(s, image=image, classes=classes, channels=4, cells=3) for s in SKELETONS.values()]


def test_there_are_15625_cells_in_6245_classes():
    assert 15_625 == NASBENCH201.size
    assert 6_245 == len({identity(a) for a in NASBENCH201.enumerate()})


@pytest.mark.parametrize(
    ("cell", "params", "macs"),
    [
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", 73_306, 7_783_040),
        ("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|", 316_346, 43_172_480),
        ("|nor_conv_1x1~0|+|none~0|nor_conv_3x3~1|+|avg_pool_3x3~0|none~1|skip_connect~2|", 344_346, 47_104_640),
    ],
)
def test_a_network_has_the_costs_of_the_table(cell, params, macs):
    with torch.device("meta"):
        built = network(NASBENCH201.fix(from_string(cell)), SKELETONS["final"])
    counted = complexity(built, (3, 32, 32))
    assert (params, macs) == (counted.params, counted.macs)


def test_a_random_cell_has_the_costs_of_the_table():
    known = table("nasbench201")
    for i in np.random.default_rng(0).integers(0, 15_625, 5):
        with torch.device("meta"):
            built = network(NASBENCH201.fix(_cell(known["ops"][i])), SKELETONS["final"])
        counted = complexity(built, (3, 32, 32))
        # the table counts the ten additions of the classifier's bias as well
        assert (known["params_cifar10"][i], known["flops_cifar10"][i]) == (counted.params, counted.macs + 10)


def test_identities_are_the_classes_of_the_table_refined_by_costs():
    known = table("nasbench201")
    classes = list(zip(known["iso_class"], known["params_cifar10"], known["flops_cifar10"], strict=True))
    identities = [identity(_cell(ops)) for ops in known["ops"]]
    assert 6_245 == len(set(classes)) == len(set(identities)) == len(set(zip(classes, identities, strict=True)))


def test_what_is_exactly_zero_makes_no_difference_and_a_convolution_of_zeros_does():
    def same(a, b):
        return identity(from_string(a)) == identity(from_string(b))

    skip = "|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"
    assert same(skip, "|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|avg_pool_3x3~2|")
    # a convolution of nothing adds what its batch norm learns
    nothing = "|none~0|+|none~0|none~1|+|skip_connect~0|nor_conv_3x3~1|none~2|"
    assert not same(skip, nothing)
    # here it reaches nothing, and yet it has parameters
    assert not same(skip, "|skip_connect~0|+|nor_conv_3x3~0|none~1|+|none~0|skip_connect~1|none~2|")


def test_the_benchmarks_text_reads_and_writes():
    for seed in range(20):
        architecture = NASBENCH201.sample(np.random.default_rng(seed))
        assert architecture == from_string(to_string(architecture))
    assert BEST == to_string(from_string(BEST))
    for wrong in ("", BEST[:-1], BEST.replace("+|", "|"), BEST.replace("~2", "~1")):
        with pytest.raises(ValueError, match=r"not a cell of NAS-Bench-201.*expected \|op~0\|"):
            from_string(wrong)
    with pytest.raises(ValueError, match="choice '3<-0' cannot pick"):
        from_string(BEST.replace("skip_connect", "sep_conv_3x3"))


def _cell(ops):
    picks = {f"{node}<-{source}": OPERATIONS[op] for (node, source), op in zip(EDGES, ops, strict=True)}
    return NASBENCH201.architecture(picks)
