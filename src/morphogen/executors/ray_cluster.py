"""A cluster of Ray: joined or started, quietly, and never open to anybody."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from morphogen.protocols import MorphogenError

__all__ = ["check_address", "connect", "import_ray"]

PLACE = "trial"
"""A resource of the cluster that is started: Ray runs no more trials at a time than there are places."""

OBJECT_STORE_BYTES = 100_000_000
"""Of shared memory on this machine: weights go through files. Ray wants 78.6 MB at least."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def check_address(address: str) -> None:
    """Refuse an address that is none, and a cluster that is open to anybody.

    Raises:
        MorphogenError: It is on another machine, and no token is asked for.
        ValueError: It is no `HOST:PORT`.
    """
    if address.startswith("ray://"):
        raise ValueError(f"'{address}' is for Ray's client: start the search on a node of the cluster, give HOST:PORT")
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise ValueError(f"'{address}' is no address of a Ray cluster: give HOST:PORT, as `ray start --head` prints it")
    if host.strip("[]") not in LOOPBACK and os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        raise MorphogenError(
            f"the Ray cluster at {address} is refused: without a token, whoever reaches it runs programs on all nodes. "
            "Run `ray get-auth-token --generate`, copy ~/.ray/auth_token to every node, and set RAY_AUTH_MODE=token "
            "there and here, before `ray start`"
        )


def import_ray() -> ModuleType:
    """Ray, which sends nothing to its makers.

    Raises:
        MorphogenError: It is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    try:
        import ray
        import ray.cloudpickle
        import ray.exceptions
    except ImportError:
        raise MorphogenError(
            "the executor `ray` needs the extra morphogen[ray]: pip install 'morphogen[ray]'"
        ) from None
    module: ModuleType = ray
    return module


def connect(ray: ModuleType, address: str | None, cpus: int, places: int) -> None:
    """Join a cluster, or start one on this machine where there is no address, with CPUs and with places for trials.

    Raises:
        MorphogenError: It is not reached, does not start, or started without a token.
    """
    quiet = {"log_to_driver": False, "configure_logging": False}
    local = {
        "num_cpus": cpus, "resources": {PLACE: places}, "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
    }  # fmt: skip
    try:
        with _own_signals(), _without_warnings("ray"):
            ray.init(address=address or "local", **quiet, **(local if address is None else {}))
    except (ConnectionError, OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        ray.shutdown()
        where = "does not start on this machine" if address is None else f"at {address} cannot be reached"
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise MorphogenError(f"Ray {where}: {line}") from error
    # a death would be told in ten lines on stdout, where `--json` writes; there is no other way to say so
    ray._private.worker._worker_logs_enabled = False
    # Ray listens on every interface; a cluster that it starts has a token, where nobody says otherwise
    if address is None and os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        ray.shutdown()
        raise MorphogenError(
            f"Ray {ray.__version__} started without a token and was ended: whoever reaches this machine could run "
            "programs on it. Set RAY_AUTH_MODE=token"
        )


@contextmanager
def _without_warnings(name: str) -> Iterator[None]:
    """Ray says on stderr that it has a token, how its memory is, and more that is nothing to a search."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this program's handler of SIGTERM, which Ray replaces by one that ends it without ado."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGTERM, before)
