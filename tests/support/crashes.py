# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Components of a cluster that are killed at a point of an operation, and started again."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.transport import Transport

from ..cluster.cluster import Cluster

COMPONENTS = ("apiserver", "etcd", "kubelet", "containerd")


@dataclass(frozen=True)
class Extent:
    """How long an operation is: its requests and seconds."""

    requests: int
    seconds: float


@dataclass(frozen=True)
class Crash:
    """A component that is killed.

    Attributes:
        component: its name.
        request: the number of the request, from 0, at whose beginning the delay starts; None for the beginning of the operation.
        delay: seconds until it is killed.
        pause: seconds until it is started again.
    """

    component: str
    request: int | None
    delay: float
    pause: float


def draw(chance: random.Random, extent: Extent, component: str = "") -> Crash:
    """A crash at a random point of an operation: in the middle of one of its requests, or at any time."""
    component = component or chance.choice(COMPONENTS)
    pause = chance.choice([chance.uniform(0, 1), chance.uniform(0, 8)])
    if extent.requests and chance.random() < 0.6:
        return Crash(component, chance.randrange(extent.requests), chance.choice([0, chance.uniform(0, 0.03)]), pause)
    return Crash(component, None, chance.uniform(0, extent.seconds), pause)


class _Requests:
    """Counts the requests of this process, and signals when the one of a number begins."""

    def __init__(self, number: int | None):
        self.count, self.reached = 0, threading.Event()
        self._number, self._lock = number, threading.Lock()
        if number is None:
            self.reached.set()

    @contextmanager
    def counted(self) -> Iterator[None]:
        request, counter = Transport._request, self

        def counting(transport, *arguments):
            with counter._lock:
                if counter.count == counter._number:
                    counter.reached.set()
                counter.count += 1
            return request(transport, *arguments)

        with mock.patch.object(Transport, "_request", counting):
            yield


@contextmanager
def measured() -> Iterator[list[Extent]]:
    """Yields a list that has the Extent of what was done in the context after it is left."""
    requests, extent, started = _Requests(None), [], time.monotonic()
    with requests.counted():
        yield extent
    extent.append(Extent(requests.count, time.monotonic() - started))


@contextmanager
def crashing(cluster: Cluster, crash: Crash) -> Iterator[None]:
    """Kill a component at its point of what is done in the context, or at its end, and start it again. It is ready when the context is left."""
    requests, ended = _Requests(crash.request), threading.Event()

    def kill() -> None:
        while not requests.reached.wait(0.01) and not ended.is_set():
            pass
        ended.wait(crash.delay)
        cluster.kill(crash.component)
        time.sleep(crash.pause)
        cluster.restart(crash.component)

    thread = threading.Thread(target=kill)
    with requests.counted():
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            cluster.wait_until_ready()
