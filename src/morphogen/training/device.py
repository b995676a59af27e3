"""The one place that knows devices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch

from morphogen.protocols import MorphogenError

__all__ = ["precision", "reseed", "seeded", "torch_device"]


def torch_device(name: str) -> torch.device:
    """The device that a person names.

    Raises:
        MorphogenError: There is no such device here.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise MorphogenError(
            f"device '{name}' cannot be used here ({reason}): use 'cpu', or one that torch finds"
        ) from None
    return device


def precision(device: torch.device) -> AbstractContextManager[object]:
    """Where forward passes run: bfloat16 by autocast on CUDA devices that have it, float32 elsewhere."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, torch's own generators start from a seed and kernels are deterministic; afterwards all is as before."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        torch.manual_seed(seed)
        yield


def reseed(seed: int, epoch: int) -> torch.Generator:
    """Seed torch's own generators (dropout) for an epoch, and give a generator for batches and augmentation.

    What an epoch draws is a function of seed and epoch, so going on after one needs no state of any generator.
    """
    networks, batches = np.random.SeedSequence((seed, epoch)).generate_state(2, np.uint64)
    torch.manual_seed(int(networks) >> 1)
    return torch.Generator().manual_seed(int(batches) >> 1)
