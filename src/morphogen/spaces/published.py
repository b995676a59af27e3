"""Cells that papers have published, in one plain form.

Every cell says what it concatenates: the published networks do not follow the rules of their papers in that.
States are numbered as DARTS does: 0 is the cell before the last, 1 the last one (the code of NASNet, PNASNet and
AmoebaNet numbers them the other way around).
"""

from __future__ import annotations

from collections.abc import Mapping

from morphogen.spaces.genotype import Genotype

__all__ = ["GENOTYPES"]

GENOTYPES: Mapping[str, Genotype] = {
    # Zoph et al. 2018 (arXiv:1707.07012), figure 4; slim. The cell before the last is concatenated, and in the
    # reduction a block that another one reads.
    "nasnet-a": Genotype.parse(
        "Genotype(normal=[('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 0), ('sep_conv_3x3', 0), "
        "('avg_pool_3x3', 1), ('skip_connect', 0), ('avg_pool_3x3', 0), ('avg_pool_3x3', 0), ('sep_conv_3x3', 1), "
        "('skip_connect', 1)], normal_concat=[0, 2, 3, 4, 5, 6], "
        "reduce=[('sep_conv_5x5', 1), ('sep_conv_7x7', 0), ('max_pool_3x3', 1), ('sep_conv_7x7', 0), "
        "('avg_pool_3x3', 1), ('sep_conv_5x5', 0), ('skip_connect', 3), ('avg_pool_3x3', 2), ('sep_conv_3x3', 2), "
        "('max_pool_3x3', 1)], reduce_concat=[3, 4, 5, 6])"
    ),
    # Real et al. 2019 (arXiv:1802.01548), figure 5; the TPU models
    "amoebanet-a": Genotype.parse(
        "Genotype(normal=[('avg_pool_3x3', 1), ('max_pool_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), "
        "('skip_connect', 1), ('avg_pool_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_5x5', 2), ('avg_pool_3x3', 5), "
        "('sep_conv_3x3', 1)], normal_concat=[0, 3, 4, 6], "
        "reduce=[('sep_conv_3x3', 0), ('avg_pool_3x3', 1), ('max_pool_3x3', 1), ('sep_conv_7x7', 2), "
        "('max_pool_3x3', 0), ('max_pool_3x3', 1), ('sep_conv_3x3', 4), ('conv_1x7_7x1', 1), ('avg_pool_3x3', 0), "
        "('sep_conv_7x7', 1)], reduce_concat=[2, 3, 4, 5, 6])"
    ),
    # Liu et al. 2018 (arXiv:1712.00559), figure 1; slim
    "pnasnet-5": Genotype.parse(
        "Genotype(normal=[('sep_conv_5x5', 0), ('max_pool_3x3', 0), ('sep_conv_7x7', 1), ('max_pool_3x3', 1), "
        "('sep_conv_5x5', 1), ('sep_conv_3x3', 1), ('sep_conv_3x3', 4), ('max_pool_3x3', 1), ('sep_conv_3x3', 0), "
        "('skip_connect', 1)], normal_concat=[2, 3, 4, 5, 6], "
        "reduce=[('sep_conv_5x5', 0), ('max_pool_3x3', 0), ('sep_conv_7x7', 1), ('max_pool_3x3', 1), "
        "('sep_conv_5x5', 1), ('sep_conv_3x3', 1), ('sep_conv_3x3', 4), ('max_pool_3x3', 1), ('sep_conv_3x3', 0), "
        "('skip_connect', 1)], reduce_concat=[2, 3, 4, 5, 6])"
    ),
    # Liu et al. 2019 (arXiv:1806.09055), found by the first-order approximation; the released code
    "darts-v1": Genotype.parse(
        "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), ('sep_conv_3x3', 1), "
        "('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 2)], "
        "normal_concat=[2, 3, 4, 5], "
        "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), "
        "('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], "
        "reduce_concat=[2, 3, 4, 5])"
    ),
    # by the second-order one; figures 4 and 5
    "darts-v2": Genotype.parse(
        "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
        "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
        "normal_concat=[2, 3, 4, 5], "
        "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), "
        "('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
        "reduce_concat=[2, 3, 4, 5])"
    ),
    # the cells of NASNet-A and AmoebaNet-A as the released code of DARTS has them, which are others
    "darts-nasnet": Genotype.parse(
        "Genotype(normal=[('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 0), ('sep_conv_3x3', 0), "
        "('avg_pool_3x3', 1), ('skip_connect', 0), ('avg_pool_3x3', 0), ('avg_pool_3x3', 0), ('sep_conv_3x3', 1), "
        "('skip_connect', 1)], normal_concat=[2, 3, 4, 5, 6], "
        "reduce=[('sep_conv_5x5', 1), ('sep_conv_7x7', 0), ('max_pool_3x3', 1), ('sep_conv_7x7', 0), "
        "('avg_pool_3x3', 1), ('sep_conv_5x5', 0), ('skip_connect', 3), ('avg_pool_3x3', 2), ('sep_conv_3x3', 2), "
        "('max_pool_3x3', 1)], reduce_concat=[4, 5, 6])"
    ),
    "darts-amoebanet": Genotype.parse(
        "Genotype(normal=[('avg_pool_3x3', 0), ('max_pool_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 2), "
        "('sep_conv_3x3', 0), ('avg_pool_3x3', 3), ('sep_conv_3x3', 1), ('skip_connect', 1), ('skip_connect', 0), "
        "('avg_pool_3x3', 1)], normal_concat=[4, 5, 6], "
        "reduce=[('avg_pool_3x3', 0), ('sep_conv_3x3', 1), ('max_pool_3x3', 0), ('sep_conv_7x7', 2), "
        "('sep_conv_7x7', 0), ('avg_pool_3x3', 1), ('max_pool_3x3', 0), ('max_pool_3x3', 1), ('conv_7x1_1x7', 0), "
        "('sep_conv_3x3', 5)], reduce_concat=[3, 4, 6])"
    ),
    # Pham et al. 2018 (arXiv:1802.03268), figure 8; the script of the released code
    "enas-micro": Genotype.parse(
        "Genotype(normal=[('avg_pool_3x3', 0), ('sep_conv_3x3', 0), ('skip_connect', 0), ('sep_conv_5x5', 0), "
        "('skip_connect', 0), ('sep_conv_5x5', 1), ('sep_conv_3x3', 1), ('sep_conv_5x5', 0), ('avg_pool_3x3', 0), "
        "('sep_conv_5x5', 1)], normal_concat=[2, 3, 4, 5, 6], "
        "reduce=[('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('max_pool_3x3', 0), ('avg_pool_3x3', 0), "
        "('sep_conv_5x5', 1), ('sep_conv_5x5', 3), ('sep_conv_3x3', 1), ('skip_connect', 0), ('max_pool_3x3', 0), "
        "('sep_conv_5x5', 1)], reduce_concat=[2, 4, 5, 6])"
    ),
}
