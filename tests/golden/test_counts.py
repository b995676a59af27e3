"""Every row of the reference's tables of counts; `MORPHOGEN_CHECKS` names the folder that has them.

Tests of the spaces and of the zoo have the published ones among them, and are fast.
"""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from morphogen.nn.complexity import complexity
from morphogen.nn.network import network
from morphogen.spaces import enas_macro, enas_micro, zoo
from morphogen.spaces.darts import DARTS, SKELETONS, darts
from morphogen.spaces.nas_rl import nas_rl
from morphogen.spaces.nasnet import nasnet
from morphogen.spaces.pnas import pnas
from network_laws import checks

# row -> preset, what flags change, what else changes in the skeleton
FAMILY = {
    "NASNet-A large 331 N6 F168": ("nasnet-a-large", {}, {}),
    "NASNet-A mobile 224 N4 F44 (skip_red_in=0)": ("nasnet-a-mobile", {}, {"skip_reduction_input": False}),
    "NASNet-A mobile 224 N4 F44 (skip_red_in=1)": ("nasnet-a-mobile", {}, {"skip_reduction_input": True}),
    "NASNet-A cifar N6 F32": ("nasnet-a-cifar", {}, {"skip_reduction_input": False}),
    "NASNet-A cifar N6 F32 skip1": ("nasnet-a-cifar", {}, {"skip_reduction_input": True}),
    "NASNet-A cifar N7 F96": ("nasnet-a-cifar", {"repeats": 7, "channels": 96}, {}),
    "NASNet-A cifar search N2 F32": ("nasnet-a-cifar", {"repeats": 2}, {}),
    "NASNet-A 5@1538? N5 F64 299": ("nasnet-a-large", {"repeats": 5, "channels": 64, "image_size": 299}, {}),
    "NASNet-A 7@1920 N7 F80 299": ("nasnet-a-large", {"repeats": 7, "channels": 80, "image_size": 299}, {}),
    "PNASNet-5 large 331 N4 F216": ("pnasnet-5-large", {}, {}),
    "PNASNet-5 mobile 224 N3 F54": ("pnasnet-5-mobile", {}, {}),
    "PNASNet-5 cifar separate-reduction N3 F48": ("pnasnet-5-cifar", {}, {"extra_reductions": True}),
    "PNASNet-5 cifar strided-normal num_cells=9 F48": ("pnasnet-5-cifar", {}, {}),
    "PNASNet-5 cifar strided-normal num_cells=11 F48": ("pnasnet-5-cifar", {}, {"cells": 11}),
    "PNASNet-5 cifar separate-reduction N2 F24": (
        "pnasnet-5-cifar",
        {"repeats": 2, "channels": 24},
        {"extra_reductions": True},
    ),
    "PNASNet-5 cifar strided-normal num_cells=6 F24": ("pnasnet-5-cifar", {"repeats": 2, "channels": 24}, {}),
    "PNASNet-5 cifar strided-normal num_cells=8 F24": ("pnasnet-5-cifar", {"channels": 24}, {"cells": 8}),
    "AmoebaNet-A imagenet N4 F50 224": ("amoebanet-a-mobile", {}, {}),
    "AmoebaNet-A imagenet N6 F190 331": (
        "amoebanet-a-mobile",
        {"repeats": 6, "channels": 190, "image_size": 331, "stem_multiplier": 3},
        {},
    ),
    "AmoebaNet-A cifar N6 F32": ("amoebanet-a-cifar", {"channels": 32}, {}),
    "AmoebaNet-A cifar N6 F36": ("amoebanet-a-cifar", {}, {}),
}


def built(preset, flags, changes):
    skeleton = replace(zoo.skeleton(preset, **flags), auxiliary=True, **changes)
    with torch.device("meta"):
        return zoo.find(preset).network(skeleton), skeleton


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILY)
def test_networks_of_the_nasnet_family_have_the_counts_and_shapes_of_the_reference(name):
    expected = checks("nasnet_family_counts.json")[name]
    of, skeleton = built(*FAMILY[name])
    counted, shapes = complexity(of, skeleton.image), []
    assert (expected["params"], expected["aux_params"]) == (counted.params, counted.params_auxiliary)
    assert expected["macs"] == counted.macs
    inside = [(n, b) for n, b in of.named_buffers() if n.endswith(("mean", "var")) and not n.startswith("auxiliary.")]
    assert expected["bn_buffers"] == sum(b.numel() for _, b in inside)
    for module in (of.stem, *of.cells):
        module.register_forward_hook(lambda module, args, y: shapes.append(list(y.shape[1:])))
    of.eval()(torch.empty(1, *skeleton.image, device="meta"))
    # of an ImageNet stem, the reference names the last cell
    shapes = shapes[2:] if skeleton.stem == "imagenet" else shapes
    assert [[c, size, size] for _, c, size in expected["shapes"]] == shapes


def test_no_row_of_the_nasnet_family_is_left_out():
    assert set(checks("nasnet_family_counts.json")) <= set(FAMILY)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "file", "name"),
    [
        ("nasnet-a-large", "timm_counts.json", "nasnetalarge"),
        ("pnasnet-5-large", "timm_counts.json", "pnasnet5large"),
        ("nasnet-a-large", "keras_nasnet_counts.json", "NASNetLarge"),
        ("nasnet-a-mobile", "keras_nasnet_counts.json", "NASNetMobile"),
    ],
)
def test_others_count_the_same(preset, file, name):
    expected = checks(file)[name]
    with torch.device("meta"):
        of = zoo.build(preset, auxiliary=False)
    params = sum(p.numel() for p in of.parameters())
    buffers = sum(b.numel() for n, b in of.named_buffers() if n.endswith(("mean", "var")))
    linear = of.classifier.weight.numel()
    if file.startswith("timm"):
        macs = complexity(of, (3, expected["input"], expected["input"])).macs
        found = {"params": params, "macs_conv_plus_linear": macs, "conv": macs - linear, "lin": linear}
        assert {**found, "input": 331, "buffers": buffers} == expected
    else:
        assert params == expected["trainable"]
        assert (buffers, params + buffers) == (expected["non_trainable"], expected["total"])


DARTS_CELLS = {"DARTS_V1": "v1", "DARTS_V2": "v2", "NASNet": "nasnet", "AmoebaNet": "amoebanet"}


@pytest.mark.slow
def test_networks_of_darts_have_the_counts_of_the_released_code():
    rows = checks("darts_param_counts.json")
    assert rows
    for name, row in rows.items():
        kind, channels, cells, *cell = name.split("_", 3)
        c, depth = int(channels[1:]), int(cells[1:])
        if kind == "search":
            with torch.device("meta"):
                supernet = network(DARTS, replace(SKELETONS["search"], channels=c, cells=depth))
            assert row["weights"] == sum(p.numel() for p in supernet.parameters()), name
            edges = [choice for choice in DARTS if choice.name.startswith("normal") and "<-" in choice.name]
            assert row["alphas"] == [[len(edges), len(edges[0].options)]] * 2
            continue
        classes = row["logits_shape"][1]
        preset = f"darts-{DARTS_CELLS[cell[0]]}-{'imagenet' if kind == 'ImageNet' else 'cifar'}"
        of, skeleton = built(preset, {"channels": c, "repeats": depth, "classes": classes}, {})
        counted = complexity(of, skeleton.image)
        found = (counted.params, counted.params_auxiliary, counted.macs)
        assert (row["without_aux"], row["aux"], row["macs_without_aux"]) == found, name
        assert row["total_with_aux"] == counted.params + counted.params_auxiliary


def test_the_supernet_of_darts_has_the_multiply_adds_of_the_released_code():
    with torch.device("meta"):
        supernet = network(DARTS, SKELETONS["search"])
        tiny = network(DARTS, replace(SKELETONS["search"], channels=4, classes=5, cells=3))
    mixture = {choice.name: dict.fromkeys(choice.options, torch.ones((), device="meta")) for choice in DARTS}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        supernet.eval()(torch.empty(1, 3, 32, 32, device="meta"), mixture)
    assert 2 * 300_255_744 == counter.get_total_flops()
    assert 1_930_618 == sum(p.numel() for p in supernet.parameters())
    assert 72_529 == sum(p.numel() for p in tiny.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("micro_search_L6_F20", (enas_micro.ENAS_MICRO, "search")),
        ("micro_final_L15_F36", "enas-micro-cifar"),
        ("macro_search_L12_F36_B6", (enas_macro.ENAS_MACRO, "search")),
        ("macro_final_L24_F96", "enas-macro-cifar"),
    ],
)
def test_networks_of_enas_have_the_counts_of_the_released_code(name, of):
    row = checks("enas_child_counts.json")[name]
    with torch.device("meta"):
        made = zoo.build(of) if isinstance(of, str) else network(of[0], of[0].skeletons[of[1]])
    extra = sum(p.numel() for p in made.auxiliary.parameters()) if "aux" in row else 0
    assert row.get("aux", 0) == extra
    assert row.get("params_without_aux", row.get("params")) == sum(p.numel() for p in made.parameters()) - extra


def test_spaces_have_the_sizes_of_the_reference():
    sizes = checks("space_sizes.json")
    darts_space, cell = darts(), [c for c in darts() if c.name.startswith("normal")]
    assert sizes["darts"]["discrete_both"] == darts_space.size == sizes["darts"]["discrete_per_cell"] ** 2
    edges = sum("<-" in choice.name for choice in cell)
    assert sizes["darts"]["relaxed_per_cell"] == 8**edges
    assert sizes["darts"]["relaxed_both"] == 8 ** (2 * edges)
    pnasnet = {int(b): row for b, row in sizes["pnas"].items() if b.isdecimal()}
    for blocks, row in pnasnet.items():
        assert row["ordered"] == pnas(blocks).restrict({"blocks": (str(blocks),)}).size
    assert sizes["nasnet"]["both_cells"] == nasnet().size == sizes["nasnet"]["per_cell_ordered"] ** 2
    assert sizes["nasnet"]["per_cell_without_combine"] ** 2 == nasnet(combine=("add",)).size
    assert sizes["nasnet"]["controller_tokens"] == len(nasnet().choices)
    for layers, size in sizes["enas_macro"].items():
        assert size == enas_macro.enas_macro(int(layers)).size
    assert sizes["enas_micro"]["both_cells_from_code"] == enas_micro.ENAS_MICRO.size
    assert sizes["enas_micro"]["per_cell_ordered_from_code"] ** 2 == enas_micro.ENAS_MICRO.size
    for layers, row in sizes["zoph_le"].items():
        assert row["stride1"] == nas_rl(int(layers)).size
        assert row["strides"] == nas_rl(int(layers), strides=True).size
