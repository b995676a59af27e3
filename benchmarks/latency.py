"""How well a latency model of this device predicts architectures that it has not seen.

    python benchmarks/latency.py darts mobilenet --measure 100 --unseen 50

Both are measured on one thread, batch 1, in two rounds. Printed are the mean relative error on the unseen
ones, the mean relative difference of their two rounds (what no model can be better than), the rank
correlation, and what `params` and `macs` alone would say.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from scipy.stats import spearmanr

from morphogen.estimators.complexity import suited_skeleton
from morphogen.estimators.latency_model import relative
from morphogen.nn.costs import costs
from morphogen.nn.network import network
from morphogen.runs.latencies import measure, timed
from morphogen.spaces import space as find_space


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("spaces", nargs="+")
    parser.add_argument("--measure", type=int, default=100)
    parser.add_argument("--unseen", type=int, default=50)
    parser.add_argument("--skeleton", help="a preset; by default search")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.spaces:
        space = find_space(name)
        skeleton = suited_skeleton(space, arguments.skeleton)
        begun = time.monotonic()
        model = measure(space, skeleton, skeleton.image, arguments.measure)
        took = time.monotonic() - begun
        rng = np.random.default_rng(1)
        unseen = [space.sample(rng) for _ in range(arguments.unseen)]
        rounds = timed(space, skeleton, skeleton.image, unseen)
        truth = [min(both) for both in zip(*rounds, strict=True)]
        predicted = [model.cost(a.picks) for a in unseen]
        error, repeat = relative(predicted, truth), relative(rounds[0], rounds[1])
        rank = float(spearmanr(predicted, truth).statistic)
        counted = costs(space, lambda varying, s=skeleton: network(varying, s), skeleton.image)  # type: ignore[misc]
        alone = {m: float(spearmanr([c(a.picks) for a in unseen], truth).statistic) for m, c in counted.items()}
        print(
            f"{name}: {arguments.measure} measured in {took / 60:.1f} min; of {len(unseen)} unseen ones "
            f"({min(truth):.1f} to {max(truth):.1f} ms) mean error {error:.1%}, two measurements differ by {repeat:.1%}, "
            f"Spearman {rank:.3f} (macs alone {alone['macs']:.3f}, params {alone['params']:.3f}); "
            f"left-out error while learning {model.measured['error']:.1%}: "
            f"{'met' if error <= max(0.10, 1.5 * repeat) else 'not met'}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
