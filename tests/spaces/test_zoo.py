import json
import math
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from morphogen.nn.complexity import complexity
from morphogen.nn.nasnet_operations import Norms
from morphogen.protocols import MorphogenError
from morphogen.spaces import zoo
from morphogen.spaces.genotype import Genotype
from morphogen.spaces.nasnet import genotype_cell
from morphogen.spaces.nasnet_cell import Cell, Features
from morphogen.spaces.timm_weights import cell_weights

CHECKS = Path(os.environ.get("MORPHOGEN_CHECKS", Path(__file__).parents[3] / "shared" / "checks"))


def checks(name):
    """A file of the reference's numbers; empty where it is not there."""
    file = CHECKS / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else {}


def with_checks(name):
    reason = f"no file {CHECKS / name}.json: MORPHOGEN_CHECKS names the folder of the reference's numbers"
    return pytest.mark.skipif(not checks(name), reason=reason)


def meta(preset, **changes):
    with torch.device("meta"):
        return zoo.build(preset, **changes)


# --- counts -----------------------------------------------------------------------------------------------------------

COUNTS = [
    # timm, Keras and slim's rules counted by hand
    ("nasnet-a-large", {}, 88_753_150, 4_567_784, 23_783_414_658),
    ("nasnet-a-mobile", {}, 5_289_978, 2_411_240, 563_638_816),
    ("nasnet-a-cifar", {}, 3_346_538, 1_631_498, 544_333_312),
    ("nasnet-a-cifar", {"repeats": 2}, 1_294_698, 1_631_498, 232_185_344),
    ("pnasnet-5-large", {}, 86_057_668, 4_586_216, 24_937_395_792),
    ("pnasnet-5-large", {"classes": 1001}, 86_061_989, 4_586_985, 24_937_400_112),
    ("pnasnet-5-mobile", {}, 5_065_121, 2_412_776, 587_674_224),
    ("pnasnet-5-cifar", {}, 3_189_082, 1_643_786, 574_891_392),
    ("pnasnet-5-cifar", {"repeats": 2, "channels": 24}, 559_090, 1_613_066, 112_046_784),
    ("amoebanet-a-mobile", {}, 5_088_162, 2_394_856, 555_500_996),
    ("amoebanet-a-cifar", {}, 3_218_266, 1_619_210, 509_668_992),
    ("amoebanet-a-cifar", {"channels": 32}, 2_567_754, 1_615_114, 407_671_808),
    (
        "amoebanet-a-mobile",
        {"repeats": 6, "channels": 190, "image_size": 331, "stem_multiplier": 3},
        86_757_379,
        4_504_296,
        23_401_280_867,
    ),
    # the released code of DARTS, run
    ("darts-v1-cifar", {}, 3_169_414, 476_426, 500_987_520),
    ("darts-v1-imagenet", {}, 4_510_432, 1_260_776, 505_864_704),
    ("darts-v2-cifar", {}, 3_349_342, 476_426, 528_359_040),
    ("darts-v2-imagenet", {}, 4_718_752, 1_260_776, 529_911_552),
    ("darts-nasnet-cifar", {}, 3_830_950, 457_994, 603_452_448),
    ("darts-nasnet-imagenet", {}, 5_564_320, 1_236_200, 604_031_616),
    ("darts-amoebanet-cifar", {}, 3_145_078, 457_994, 488_931_552),
    ("darts-amoebanet-imagenet", {}, 4_627_360, 1_236_200, 526_746_624),
]


@pytest.mark.parametrize(
    ("preset", "changes", "params", "auxiliary", "macs"), COUNTS, ids=[f"{row[0]}-{i}" for i, row in enumerate(COUNTS)]
)
def test_published_networks_have_the_published_counts(preset, changes, params, auxiliary, macs):
    counted = complexity(meta(preset, **changes), zoo.skeleton(preset, **changes).image)
    assert (params, auxiliary, macs) == (counted.params, counted.params_auxiliary, counted.macs)


@pytest.mark.parametrize(("preset", "buffers"), [("nasnet-a-large", 196_668), ("nasnet-a-mobile", 36_738)])
def test_running_statistics_have_the_published_count(preset, buffers):
    built = meta(preset, auxiliary=False)
    assert buffers == sum(b.numel() for name, b in built.named_buffers() if name.endswith(("mean", "var")))


NETWORKS = {
    "NASNet-A large 331 N6 F168": ("nasnet-a-large", {}),
    "NASNet-A mobile 224 N4 F44 (skip_red_in=0)": ("nasnet-a-mobile", {}),
    "NASNet-A cifar N6 F32": ("nasnet-a-cifar", {}),
    "NASNet-A cifar search N2 F32": ("nasnet-a-cifar", {"repeats": 2}),
    "PNASNet-5 large 331 N4 F216": ("pnasnet-5-large", {}),
    "PNASNet-5 mobile 224 N3 F54": ("pnasnet-5-mobile", {}),
    "PNASNet-5 cifar strided-normal num_cells=9 F48": ("pnasnet-5-cifar", {}),
    "AmoebaNet-A imagenet N4 F50 224": ("amoebanet-a-mobile", {}),
    "AmoebaNet-A cifar N6 F36": ("amoebanet-a-cifar", {}),
}


@with_checks("nasnet_family_counts")
@pytest.mark.parametrize("name", NETWORKS)
def test_every_cell_has_the_published_shape(name):
    preset, changes = NETWORKS[name]
    built, skeleton, shapes = meta(preset, **changes).eval(), zoo.skeleton(preset, **changes), []
    for module in (built.stem, *built.cells):
        module.register_forward_hook(lambda module, args, y: shapes.append(tuple(y.shape[1:])))
    built(torch.empty(1, *skeleton.image, device="meta"))
    # of an ImageNet stem, the reference names the last cell
    shapes = shapes[2:] if skeleton.stem == "imagenet" else shapes
    expected = checks("nasnet_family_counts")[name]["shapes"]
    assert [(c, size, size) for _, c, size in expected] == shapes


# --- cells ------------------------------------------------------------------------------------------------------------

VECTORS = checks("nasnet_pnasnet_cell_vectors").get("cells", {})


@with_checks("nasnet_pnasnet_cell_vectors")
@pytest.mark.parametrize("name", VECTORS or ["none"])
def test_cells_compute_what_the_reference_does(name):
    vector = VECTORS[name]
    nasnet, inputs = name.startswith("nasnet"), vector["inputs"]
    reduces = "net_reduction" in name or "stem0" in name
    genotype = zoo.GENOTYPES["nasnet-a" if nasnet else "pnasnet-5"]
    choices = genotype_cell(genotype.reduce if reduces else genotype.normal)
    # NASNet's cell is called with the last cell's output first; each call's second argument has the factor 0.21,
    # PNASNet's the first
    factors = [0.3] if len(inputs) == 1 else [0.3, 0.21] if nasnet else [0.21, 0.3]
    given = [
        (torch.arange(math.prod(s), dtype=torch.float64) * f).cos().view(s)
        for s, f in zip(inputs, factors, strict=True)
    ]
    before_last, last = given * 2 if len(given) == 1 else given[::-1] if nasnet else given
    features = {id(x): Features(x.shape[1], (x.shape[2], x.shape[3])) for x in given}
    norms = Norms(eps=1e-3, pool_zeros=not name.endswith("_TFavgpool"))
    cell = Cell(choices, (features[id(before_last)], features[id(last)]), 4, reduces=reduces, norms=norms)
    weights = {}
    for k, (parameter, shape) in enumerate(vector["params"]):
        values = (torch.arange(math.prod(shape), dtype=torch.float64) * 0.7 + 1.3 * (k + 1)).sin() * 0.4
        weights[parameter] = values.view(shape)
        if parameter.endswith(".bias"):
            norm = parameter.removesuffix("bias")
            weights |= {f"{norm}running_mean": torch.zeros(shape), f"{norm}running_var": torch.ones(shape)}
    cell.double().eval().load_state_dict(cell_weights(weights, cell))
    y = cell(before_last, last)
    assert vector["out_shape"] == list(y.shape)
    assert vector["sum"] == pytest.approx(y.sum().item(), rel=1e-9)
    assert vector["sumsq"] == pytest.approx(y.square().sum().item(), rel=1e-9)
    assert vector["per_channel_sum"] == pytest.approx(y.sum((0, 2, 3)).tolist(), rel=1e-9)
    assert vector["first8"] == pytest.approx(y.flatten()[:8].tolist(), rel=1e-9)


# --- weights of timm --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("theirs", "preset"), [("nasnetalarge", "nasnet-a-large"), ("pnasnet5large", "pnasnet-5-large")]
)
def test_the_logits_are_those_of_timm_for_the_same_weights(theirs, preset):
    timm = _timm()
    torch.manual_seed(0)
    reference = timm.create_model(theirs, pretrained=False).eval()
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    weights = zoo.from_timm(reference.state_dict(), preset)
    ours = meta(preset, variant="timm").eval()
    ours.load_state_dict(weights, assign=True)
    x = torch.randn(1, 3, 331, 331)
    with torch.no_grad():
        expected, got = reference(x), ours(x)
    assert (expected - got).abs().max() <= 1e-4 * expected.abs().max()


def _timm():
    """timm, which imports torchvision; its wheels declare operators that a CPU build of torch has not."""
    try:
        torch.library.define("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torch.library.define("torchvision::qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    except RuntimeError:
        pass  # this torchvision loads its own
    return pytest.importorskip("timm", reason="timm is not installed: pip install timm -c constraints.txt")


def test_other_weights_than_timms_are_refused():
    with pytest.raises(
        ValueError, match="timm publishes weights for nasnet-a-large and pnasnet-5-large, not for 'dart"
    ):
        zoo.from_timm({}, "darts-v2-cifar")
    with pytest.raises(MorphogenError, match=r"have no 'last_linear\.weight'"):
        zoo.from_timm({}, "nasnet-a-large")
    head = {"last_linear.weight": torch.empty(7, 4032, device="meta")}
    with pytest.raises(MorphogenError, match=r"have no 'conv0\.conv\.weight', which our 'stem\.0\.weight' needs"):
        zoo.from_timm(head, "nasnet-a-large")
    with pytest.raises(MorphogenError, match=r"'conv0\.conv\.weight' has the shape \(1,\), our .* has \(96, 3, 3, 3\)"):
        zoo.from_timm({**head, "conv0.conv.weight": torch.empty(1)}, "nasnet-a-large")


# --- presets ----------------------------------------------------------------------------------------------------------


@with_checks("genotypes")
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("nasnet-a", "NASNet-A"),
        ("amoebanet-a", "AmoebaNet-A"),
        ("pnasnet-5", "PNASNet-5"),
        ("darts-v1", "quark0_DARTS_V1"),
        ("darts-v2", "quark0_DARTS_V2"),
        ("darts-nasnet", "quark0_NASNet"),
        ("darts-amoebanet", "quark0_AmoebaNet"),
    ],
)
def test_published_cells_are_those_of_the_reference(ours, theirs):
    assert Genotype.from_json(checks("genotypes")[theirs]) == zoo.GENOTYPES[ours]


@pytest.mark.parametrize("genotype", zoo.GENOTYPES.values(), ids=zoo.GENOTYPES)
def test_published_cells_survive_text_and_json(genotype):
    assert genotype == Genotype.parse(str(genotype)) == Genotype.from_json(json.loads(json.dumps(genotype.json)))


@pytest.mark.parametrize("preset", [preset for preset in zoo.PRESETS if not preset.startswith("enas")])
def test_every_preset_runs_at_another_size(preset):
    built = zoo.build(
        preset, repeats=3 if preset.startswith("darts") else 1, channels=4, classes=7, image_size=(33, 40)
    )
    x = torch.randn(2, 3, 33, 40)
    logits, auxiliary = built(x)
    assert (2, 7) == logits.shape == auxiliary.shape
    assert (2, 7) == built.eval()(x).shape


def test_what_is_given_changes_the_preset():
    changed = zoo.skeleton(
        "nasnet-a-mobile", repeats=2, channels=8, classes=3, image_size=64, stem_multiplier=3, auxiliary=False
    )
    assert ((3, 64, 64), 3, 8, 6, 3, False) == (
        changed.image,
        changed.classes,
        changed.channels,
        changed.cells,
        changed.stem_multiplier,
        changed.auxiliary,
    )
    assert 5 == zoo.skeleton("darts-v2-cifar", repeats=5).cells
    assert zoo.PRESETS["darts-v2-cifar"].skeleton == zoo.skeleton("darts-v2-cifar")


def test_timms_variant_counts_zeros_and_has_no_auxiliary_head():
    variant = zoo.skeleton("nasnet-a-large", variant="timm")
    assert variant.pool_zeros
    assert not variant.auxiliary
    assert zoo.skeleton("nasnet-a-large", variant="timm", auxiliary=True).auxiliary
    assert meta("nasnet-a-mobile", variant="timm").auxiliary is None


@pytest.mark.parametrize(
    ("preset", "changes", "message"),
    [
        ("nasnet-a-larg", {}, "there is no 'nasnet-a-larg' in the zoo, did you mean 'nasnet-a-large'"),
        ("darts-v2-cifar", {"variant": "timm"}, "'darts-v2-cifar' has no variant 'timm'; its variants: none"),
        ("nasnet-a-cifar", {"variant": "keras"}, "has no variant 'keras'; its variants: timm"),
        ("nasnet-a-cifar", {"repeats": 0}, "a network has 1 repeat or more, got 0"),
        ("nasnet-a-cifar", {"channels": 0}, "a skeleton has channels of 1 or more, got 0"),
    ],
)
def test_what_is_not_in_the_zoo_is_refused(preset, changes, message):
    with pytest.raises(ValueError, match=message):
        zoo.build(preset, **changes)
