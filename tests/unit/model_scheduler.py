# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Threads, answers and watches of a ModelCluster, all in one thread and in any order."""

from __future__ import annotations

import queue
from collections import deque
from signal import SIGTERM
from types import SimpleNamespace

from ansible_collections.podwright.core.plugins.module_utils._engine.cancellation import Cancelled
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError


class ModelPool:
    """Replaces a Pool: requests are sent in any order."""

    def __init__(self, cluster):
        self._cluster = cluster

    def __call__(self, threads):
        return self

    def __enter__(self):
        return self

    def __exit__(self, error_type, *_details):
        cluster = self._cluster
        is_cancelled = error_type is not None and not issubclass(error_type, Exception)
        while cluster.requests:
            if is_cancelled and cluster.rng.random() < 0.5:
                cluster.requests.pop()  # it was not sent yet
            else:
                self.send_one()
        if is_cancelled:
            cluster.answers = [answer for answer in cluster.answers if cluster.rng.random() < 0.5]  # others do not come in time
        cluster.ready.extend(cluster.answers)
        cluster.answers.clear()

    def submit(self, function, *arguments):
        self._cluster.requests.append((function, arguments))

    def send_one(self):
        requests = self._cluster.requests
        function, arguments = requests.pop(self._cluster.rng.randrange(len(requests)))
        function(*arguments)


class ModelQueue:
    """Replaces the queue of answers: they come when the cluster says."""

    def __init__(self, cluster):
        self._cluster = cluster

    def put(self, answer):
        self._cluster.answers.append(answer)

    def get_nowait(self):
        if not self._cluster.ready:
            raise queue.Empty
        return self._cluster.ready.popleft()


class ModelWatcher:
    """Replaces a Watcher: each call lets something happen, and may deliver an event of any kind; those of one kind in their order."""

    def __init__(self, cluster):
        self._cluster, self._pool = cluster, ModelPool(cluster)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._cluster.streams = {}

    def follow(self, kind, *arguments, **options):
        self._cluster.streams[kind.name] = deque()

    def next(self, timeout):
        cluster, rng = self._cluster, self._cluster.rng
        busy = False
        if cluster.is_disturbed(0.003):
            cluster.trace.append("the watch fails")
            raise PodwrightError("the watch failed", status=404, reason="NotFound")
        if cluster.is_disturbed(0.02):
            cluster.trace.append("the run is cancelled")
            raise Cancelled(SIGTERM)
        if cluster.is_disturbed(0.03):
            cluster.overtake()
        if cluster.requests and rng.random() < 0.5:
            self._pool.send_one()
        if cluster.answers and rng.random() < 0.4:
            cluster.ready.append(cluster.answers.pop(rng.randrange(len(cluster.answers))))
        for _step in range(rng.randrange(3)):
            busy = cluster.act()
        streams = [stream for stream in cluster.streams.values() if stream]
        if not (busy or streams or cluster.requests or cluster.answers or cluster.ready):
            cluster.clock.time += max(timeout, 0.1)
        cluster.clock.time += 0.001
        return rng.choice(streams).popleft() if streams and rng.random() < 0.5 else None


class ModelThread:
    """Replaces a Thread: it runs when it is started."""

    def __init__(self, target, args=(), daemon=False):
        self._run = lambda: target(*args)

    def start(self):
        self._run()

    def join(self, timeout=None):
        pass

    def is_alive(self):
        return False


def answer_queue(cluster):
    """Replaces the module `queue`."""
    return SimpleNamespace(Queue=lambda: ModelQueue(cluster), Empty=queue.Empty)
