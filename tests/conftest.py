"""One torch thread a test process, Ctrl-C that is heard, and a few images in a file."""

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")
# a shell has what it starts in the background ignore Ctrl-C, and so would the drivers that tests send it to
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest


@pytest.fixture
def few_images(tmp_path):
    """120 images of 8x8 in 3 classes, each with a bright stripe somewhere else."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    images = rng.integers(0, 80, (120, 8, 8))
    images[np.arange(120), 2 * labels + 1] += 150
    path = tmp_path / "stripes.npz"
    np.savez(path, x=images.astype(np.uint8), y=labels)
    return str(path)
