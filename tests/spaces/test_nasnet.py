import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from morphogen.moves import mutate
from morphogen.nn.complexity import complexity
from morphogen.nn.drop_path import DropPath
from morphogen.nn.mixture import picks_to_mixture
from morphogen.nn.network import network
from morphogen.spaces import NASNET, Genotype, space
from morphogen.spaces.blocks import canonical, picked_blocks
from morphogen.spaces.nasnet import OPERATIONS, SKELETONS, from_genotype, genotype_network, nasnet, to_genotype
from morphogen.spaces.nasnet_network import places
from morphogen.spaces.published import GENOTYPES
from morphogen.testing import SpaceSuite
from morphogen.training.schedules import scheduled_keep_by_depth
from network_laws import SupernetLaws

CHECKS = Path(os.environ.get("MORPHOGEN_CHECKS", Path(__file__).parents[3] / "shared" / "checks"))
SCHEDULES = CHECKS / "schedule_vectors.json"
# a first cell on the bare stem, one behind it, a reduction, a normal cell behind that
TINY = replace(SKELETONS["search"], image=(1, 7, 7), classes=3, channels=2, cells=3, reductions=(2,))
TINY_FINAL = replace(
    TINY, channels=4, cells=2, reductions=(1,), auxiliary=True, dropout=0.1, affine=True, skip_reduction_input=True
)
TINY_IMAGENET = replace(TINY, stem="imagenet", stem_multiplier=1, image=(1, 17, 18), channels=4, cells=1, reductions=())


ADDING = {f"{cell}/{block}/combine": "add" for cell in ("normal", "reduce") for block in (2, 3, 4)}


def rng(seed=0):
    return np.random.default_rng(seed)


def meta(of, skeleton):
    with torch.device("meta"):
        return network(of, skeleton)


class TestTheSpace(SpaceSuite):
    draws = 20

    def make(self):
        return nasnet()


class TestTheNetwork(SupernetLaws):
    image = TINY_IMAGENET.image

    def make(self):
        return nasnet()

    def small(self, image, classes):
        some = [TINY, TINY_FINAL] if min(image[1:]) < 3 else [TINY_IMAGENET, TINY, TINY_FINAL]
        return [replace(s, image=image, classes=classes) for s in some]


def test_a_cell_has_the_published_number_of_architectures():
    assert 2_286_906_949_584_691_200**2 == NASNET.size == space("nasnet").size
    # 5 blocks x (2 inputs, 2 operations, 1 combination) x 2 cells
    assert 50 == len(NASNET.choices)
    assert 13 == len(OPERATIONS)


# --- the network ------------------------------------------------------------------------------------------------------


def test_one_hot_weights_equal_the_subgraph():
    torch.manual_seed(0)
    small = nasnet(blocks=3, operations=("sep_conv_3x3", "max_pool_3x3", "skip_connect"))
    skeleton = replace(TINY, reductions=(0,))
    supernet, x = network(small, skeleton).double(), torch.randn(2, 1, 7, 7, dtype=torch.float64)
    one = torch.ones((), dtype=torch.float64)
    compared = 0
    for seed in range(12):
        architecture = small.sample(rng(seed))
        genotype = to_genotype(small.architecture({**architecture.json, **ADDING}))
        if 1 in {len(genotype.normal.concat), len(genotype.reduce.concat)}:
            continue  # what such a cell gives needs no 1x1, and weights cannot say so
        weighted = {c.name: {o: one if o == architecture[c.name] else 0 * one for o in c.options} for c in small}
        with torch.no_grad():
            y = supernet(x, picks_to_mixture(architecture))
            torch.testing.assert_close(supernet(x, weighted), y, rtol=0, atol=1e-12)
        compared += 1
    assert compared > 3


def test_every_weight_of_a_mixture_has_a_gradient():
    small = nasnet(blocks=2, operations=("sep_conv_3x3", "skip_connect"))
    supernet = network(small, TINY)
    logits = {c.name: torch.randn(len(c.options), generator=torch.Generator().manual_seed(0)) for c in small}
    leaves = {name: value.requires_grad_() for name, value in logits.items()}
    mixture = {c.name: dict(zip(c.options, leaves[c.name].softmax(0), strict=True)) for c in small}
    supernet(torch.randn(8, 1, 7, 7), mixture).square().sum().backward()
    assert all(leaf.grad.abs().max() > 0 for leaf in leaves.values())


def test_only_the_picked_operations_get_gradients():
    supernet, architecture = network(NASNET, TINY), NASNET.sample(rng())
    supernet(torch.randn(2, 1, 7, 7), picks_to_mixture(architecture)).sum().backward()
    standalone = network(NASNET.fix(architecture), TINY)
    got = {name for name, p in supernet.named_parameters() if p.grad is not None}
    assert {name for name, _ in standalone.named_parameters()} == got


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"image": (3, 1, 8)}, "an imagenet stem takes images of 3x3 or more, got 1x8"),
        ({"channels": 3}, "the first cell of an imagenet stem has a quarter of the channels, of 3 that is none"),
        ({"reductions": (), "stem": "cifar"}, r"nothing in the network .* reads choice 'reduce/2/a/input'"),
    ],
)
def test_a_skeleton_that_cannot_be_built_says_why(wrong, message):
    with pytest.raises(ValueError, match=message):
        meta(NASNET.fix(NASNET.sample(rng())), replace(TINY_IMAGENET, **wrong))


# --- where cells stand ------------------------------------------------------------------------------------------------


def test_reductions_are_extra_cells_and_the_auxiliary_head_is_in_front_of_the_second():
    final = list(places(SKELETONS["final"]))
    assert 20 == len(final)
    assert [6, 13] == [i for i, place in enumerate(final) if place.reduces]
    assert [12] == [i for i, place in enumerate(final) if place.auxiliary]
    assert [32] * 6 + [64] * 7 + [128] * 7 == [place.channels for place in final]
    mobile = list(places(SKELETONS["imagenet"]))
    assert [11, 22] + [44] * 4 + [88] * 5 + [176] * 5 == [place.channels for place in mobile]
    assert [0, 1, 6, 11] == [i for i, place in enumerate(mobile) if place.reduces]
    assert {2} == {place.back for place in mobile}
    skipping = list(places(replace(SKELETONS["imagenet"], skip_reduction_input=True)))
    assert [7, 12] == [i for i, place in enumerate(skipping) if place.back == 3]


def test_paths_drop_by_time_and_by_depth():
    final = replace(SKELETONS["final"], image=(1, 4, 4), channels=2)
    built = genotype_network(GENOTYPES["nasnet-a"], final)
    for i, cell in enumerate(built.cells):
        drops = [m for m in cell.modules() if isinstance(m, DropPath)]
        # of ten operations, two identities in a normal cell and one in a reduction
        assert (9 if i in (6, 13) else 8) == len(drops)
        for progress in (0.0, 0.25, 1.0):
            keeps = {round(1 - drop.final * progress, 12) for drop in drops}
            assert {round(scheduled_keep_by_depth(progress, i, 20, 0.6), 12)} == keeps


@pytest.mark.skipif(
    not SCHEDULES.exists(), reason=f"no file {SCHEDULES}: MORPHOGEN_CHECKS names the folder of the reference's numbers"
)
def test_reductions_and_schedules_are_those_of_the_released_code():
    expected = json.loads(SCHEDULES.read_text())
    for cells, reductions in expected["reduction_positions"]["nasnet_slim"].items():
        assert tuple(reductions) == replace(SKELETONS["final"], cells=int(cells)).reduction_cells
    built = genotype_network(GENOTYPES["nasnet-a"], replace(SKELETONS["final"], image=(1, 4, 4), channels=2))
    for row in expected["scheduled_drop_path_v3"]:
        if row["total_cells"] == len(built.cells) and row["final_keep"] == 0.6:
            drop = next(m for m in built.cells[row["cell"]].modules() if isinstance(m, DropPath))
            assert row["keep"] == pytest.approx(1 - drop.final * min(row["step_ratio"], 1), rel=1e-12)


def test_the_cell_behind_a_reduction_may_read_what_the_reduction_read():
    genotype = GENOTYPES["nasnet-a"]
    skeleton = replace(TINY, channels=4)
    torch.manual_seed(0)
    plain = genotype_network(genotype, skeleton).eval()
    skipping = genotype_network(genotype, replace(skeleton, skip_reduction_input=True)).eval()
    # cells: normal, normal, reduction, normal. The last one's first input is the second or the first cell's
    # output; both have the same shape
    skipping.load_state_dict(plain.state_dict())
    seen = {}
    for name, built in (("plain", plain), ("skipping", skipping)):
        outputs = []
        for cell in built.cells:
            cell.register_forward_hook(lambda module, args, y, outputs=outputs: outputs.append((args[0], y)))
        built(torch.randn(2, 1, 7, 7, generator=torch.Generator().manual_seed(1)))
        seen[name] = [i for i, (_, y) in enumerate(outputs) if y is outputs[3][0]]
    assert {"plain": [1], "skipping": [0]} == seen


# --- other forms ------------------------------------------------------------------------------------------------------


def test_genotypes_and_architectures_are_two_forms_of_one_thing():
    adding = nasnet(combine=("add",))
    for seed in range(20):
        architecture = adding.sample(rng(seed))
        assert architecture == from_genotype(Genotype.parse(str(to_genotype(architecture))), adding)


def test_a_block_that_concatenates_has_no_genotype():
    architecture = nasnet(combine=("concat",)).sample(rng())
    with pytest.raises(ValueError, match="block 0 combines its operations by 'concat', and a genotype can only add"):
        to_genotype(architecture)


def test_a_published_cell_that_is_no_point_of_the_space_says_why():
    with pytest.raises(
        ValueError, match=r"the normal cell concatenates the states \[0, 2, 3, 4, 5, 6\]; .* here \[2, "
    ):
        from_genotype(GENOTYPES["nasnet-a"])
    with pytest.raises(ValueError, match="the normal cell has 4 blocks, cells of space 'nasnet' have 5"):
        from_genotype(GENOTYPES["darts-v2"])


def test_the_identity_knows_neither_the_order_of_blocks_nor_sides():
    small = nasnet(blocks=3, operations=("sep_conv_3x3", "skip_connect"))
    one = small.sample(rng())
    for cell in ("normal", "reduce"):
        # block 3 does not read block 2, block 4 reads both
        base = {
            **_block(cell, 2, ("sep_conv_3x3", 0), ("skip_connect", 1), "add"),
            **_block(cell, 3, ("sep_conv_3x3", 1), ("sep_conv_3x3", 1), "concat"),
            **_block(cell, 4, ("skip_connect", 2), ("sep_conv_3x3", 3), "add"),
        }
        other = {
            **_block(cell, 2, ("sep_conv_3x3", 1), ("sep_conv_3x3", 1), "concat"),
            **_block(cell, 3, ("skip_connect", 1), ("sep_conv_3x3", 0), "add"),
            **_block(cell, 4, ("sep_conv_3x3", 2), ("skip_connect", 3), "add"),
        }
        a, b = (small.architecture({**one.json, **picks}) for picks in (base, other))
        assert a != b
        assert small.identity(a) == small.identity(b)
        changed = small.architecture({**a.json, f"{cell}/3/combine": "add"})
        assert small.identity(a) != small.identity(changed)


def test_two_blocks_that_are_alike_are_still_two():
    small = nasnet(blocks=3, operations=("skip_connect",), combine=("add",))
    # two equal blocks: one read twice, or each once
    picks = {c.name: c.options[0] for c in small}
    twice = small.architecture({**picks, "normal/4/a/input": "2", "normal/4/b/input": "2"})
    each = small.architecture({**picks, "normal/4/a/input": "2", "normal/4/b/input": "3"})
    other = small.architecture({**picks, "normal/4/a/input": "3", "normal/4/b/input": "3"})
    assert small.identity(twice) != small.identity(each)
    assert small.identity(twice) == small.identity(other)


def test_identities_are_equal_only_where_the_costs_are():
    small = nasnet(blocks=2, operations=("max_pool_3x3", "sep_conv_3x3"))
    seen, architecture, generator = {}, small.sample(rng()), rng(1)
    for _ in range(15):
        counted = complexity(meta(small.fix(architecture), TINY), TINY.image)
        assert counted == seen.setdefault(small.identity(architecture), counted)
        architecture = mutate(architecture, generator)


def test_the_canonical_form_is_that_of_some_order():
    for seed in range(20):
        blocks = picked_blocks(NASNET.sample(rng(seed)).picks, "normal")
        form = canonical(blocks)
        assert sorted(op for sides, _ in blocks for op, _ in sides) == sorted(
            op for *sides, _ in form for _, op in sides
        )
        assert [(*sorted((state, op) for op, state in sides), combine) for sides, combine in blocks] >= form


def _block(cell, number, a, b, combine):
    return {
        f"{cell}/{number}/a/op": a[0],
        f"{cell}/{number}/a/input": str(a[1]),
        f"{cell}/{number}/b/op": b[0],
        f"{cell}/{number}/b/input": str(b[1]),
        f"{cell}/{number}/combine": combine,
    }
