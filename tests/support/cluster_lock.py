# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tests that share a cluster: most run beside others, some must run alone."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def hold_cluster(kubeconfig: str, alone: bool = False) -> Iterator[None]:
    """Hold the cluster of a kubeconfig together with other holders, or alone. Blocks until that is possible.

    The lock is flock(2) on the kubeconfig itself, so that it counts for every process on this machine. A process that waits to be
    alone holds the lock of the directory meanwhile: otherwise new holders could keep it waiting for ever.
    """
    path = Path(kubeconfig).resolve()
    with _opened(path.parent) as entrance, _opened(path) as cluster:
        fcntl.flock(entrance, fcntl.LOCK_EX)
        fcntl.flock(cluster, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(entrance, fcntl.LOCK_UN)
        yield


class ClusterHold:
    """What a process holds of a cluster, from one test to a later one."""

    def __init__(self) -> None:
        self._held = ExitStack()
        self._is_held = False

    def take(self, kubeconfig: str, alone: bool) -> None:
        """Hold the cluster unless it is held already."""
        if not self._is_held:
            self._held.enter_context(hold_cluster(kubeconfig, alone))
            self._is_held = True

    def release(self) -> None:
        """Let others hold the cluster."""
        self._held.close()
        self._is_held = False


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
