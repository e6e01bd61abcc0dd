# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Several clusters of this process, with one clock, that can be lost, full or over quota; and runs of task_pod in them."""

from __future__ import annotations

import copy
import random
from collections import deque
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.dispatch import claims, dispatcher, members
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import TASK, label_of
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import task_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import batch, completion, leftovers, prediction, restoration, runner

from .model_cluster import QUOTA, ModelCluster, VirtualClock
from .model_scheduler import ModelPool, ModelThread, answer_queue


def call_in_turn(function, items, _threads):
    return [function(item) for item in items]


class Site(ModelCluster):
    """One of the clusters.

    Attributes:
        is_down: whether it cannot be reached; what runs in it keeps running.
        has_room: whether its scheduler finds a node.
        has_quota: whether it accepts pods.
        loses: how many of the next answers to creations are lost.
        started: name of each task whose pod has been scheduled, once for each pod.
    """

    def __init__(self, name, rng, clock):
        super().__init__(None, rng)
        self.name, self.clock = name, clock
        self.configuration = SimpleNamespace(server=f"https://{name}", namespace="n")
        self.availability = SimpleNamespace(failing_since=None, describe=str, lets_wait=lambda error: True)
        self.watches = []
        self.is_down, self.has_room, self.has_quota, self.loses, self.started = False, True, True, 0, []

    def _stamp(self, body, name):
        item = super()._stamp(body, name)
        item["metadata"] |= {"uid": f"{self.name}-{self._version}", "creationTimestamp": f"{self.clock.time:012.3f}"}
        return item

    def _report(self, event, item):
        for streams in self.watches:
            if item["kind"] in streams:
                streams[item["kind"]].append((event, copy.deepcopy(item)))

    def fetch(self, request):
        self._reach()
        return b"{}"

    def _reach(self):
        if self.is_down:
            if self.availability.failing_since is None:
                self.availability.failing_since = self.clock.time
            error = PodwrightError(f"{self.name} refuses the connection.", reason="ConnectionLost")
            error.is_unreachable = True
            raise error
        self.availability.failing_since = None

    def get(self, kind, *arguments):
        self._reach()
        if kind.name == "ConfigMap":  # which the role rbac permits to be listed only
            raise PodwrightError("configmaps is forbidden: User x cannot get", status=403, reason="Forbidden")
        return super().get(kind, *arguments)

    def list(self, *arguments, **options):
        self._reach()
        return super().list(*arguments, **options)

    def apply(self, kind, namespace, name, body, *arguments, **options):
        self._reach()
        version, live = body["metadata"].get("resourceVersion"), self.objects.get((kind.name, namespace, name))
        if version and version != (live or {"metadata": {}})["metadata"].get("resourceVersion"):
            raise PodwrightError("the object has been modified", status=409, reason="Conflict")
        return super().apply(kind, namespace, name, body, *arguments, **options)

    def create(self, kind, namespace, body, manager, dry_run=False):
        self._reach()
        if not self.has_quota and kind.name == "Pod":
            raise QUOTA
        answer = super().create(kind, namespace, body, manager, dry_run)
        if self.loses and not dry_run and kind.name == "Pod":
            self.loses -= 1
            raise self._lose_answer()
        return answer

    def _lose_answer(self):
        """The error of a request that was executed; perhaps it was sent again by the Client, and reached no server."""
        error = PodwrightError("the connection was lost", reason="ConnectionLost")
        error.is_unreachable = error.response_was_lost = self.rng.random() < 0.5
        return error

    def delete(self, kind, namespace, name, uid=None, propagation="Background", grace_period=None, dry_run=False, version=None):
        self._reach()
        item = self.objects.get((kind.name, namespace, name))
        if item and version and item["metadata"]["resourceVersion"] != version:
            return False
        if item and grace_period == 0:
            self._remove(item)
            return True
        return super().delete(kind, namespace, name, uid, propagation, grace_period)

    def _pod_step(self, pod):
        status = pod["status"]
        if status["phase"] == "Pending" and not pod["metadata"].get("deletionTimestamp"):
            if not self.has_room:
                blocked = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}]
                return None if status.get("conditions") == blocked else lambda: self._modify(pod, lambda p: p["status"].update(conditions=blocked))
            return lambda: self._schedule(pod)
        return super()._pod_step(pod)

    def _schedule(self, pod):
        if not pod["spec"].get("nodeName"):
            pod["spec"]["nodeName"] = "node"
            self.started.append(label_of(pod, TASK))
        super()._pod_step(pod)()


class Channel:
    """The requests and answers of one Runner, and the events of its watch."""

    def __init__(self, site):
        self.site, self.rng = site, site.rng
        self.requests, self.answers, self.ready, self.streams = [], [], deque(), {}


class FleetWatcher:
    """A Watcher: each step lets something happen, and may deliver an event; it fails once its cluster has been down for five minutes."""

    def __init__(self, channel):
        self._channel, self._site = channel, channel.site

    def __enter__(self):
        self._site.watches.append(self._channel.streams)
        return self

    def __exit__(self, *exception):
        self._site.watches = [streams for streams in self._site.watches if streams is not self._channel.streams]

    def follow(self, kind, namespace, version, selector, known):
        """What has happened since the list is reported, too."""
        live = [copy.deepcopy(item) for (name, _namespace, _name), item in self._site.objects.items() if name == kind.name]
        uids = {item["metadata"]["uid"] for item in live}
        deleted = [("DELETED", item) for item in known if item["metadata"]["uid"] not in uids]
        self._channel.streams[kind.name] = deque(deleted + [("MODIFIED", item) for item in live])

    def next(self, timeout):
        channel, site = self._channel, self._site
        site.clock.time += 0.05
        if channel.requests and channel.rng.random() < 0.7:
            ModelPool(channel).send_one()
        if channel.answers and channel.rng.random() < 0.7:
            channel.ready.append(channel.answers.pop(channel.rng.randrange(len(channel.answers))))
        site.act()
        if site.is_down:
            try:
                site._reach()
            except PodwrightError as error:
                if site.clock.time - site.availability.failing_since > 300:
                    raise
                assert error.is_unreachable
            return None
        streams = [stream for stream in channel.streams.values() if stream]
        return channel.rng.choice(streams).popleft() if streams and channel.rng.random() < 0.8 else None


class FleetRunner(runner.Runner):
    """A Runner whose threads and answers are its own Channel."""

    def __init__(self, client, *arguments):
        self._channel = Channel(client)
        runner.queue = answer_queue(self._channel)
        super().__init__(client, *arguments)

    def steps(self, tick=1):
        runner.Pool, runner.Watcher = ModelPool(self._channel), lambda client: FleetWatcher(self._channel)
        yield from super().steps(tick)


class Fleet:
    """Runs task_pod in several Sites.

    Attributes:
        sites: name -> Site.
        console: that of the last run.
    """

    def __init__(self, *names, seed=0):
        clock, rng = VirtualClock(), random.Random(seed)
        self.sites = {name: Site(name, rng, clock) for name in names}
        self.clock, self.console = clock, Console()
        self.during = lambda: None  # called in each step of a run

    def __getitem__(self, name):
        return self.sites[name]

    @property
    def started(self):
        """Name of each task that was started -> the clusters, one for each start."""
        found = {}
        for site in self.sites.values():
            for task in site.started:
                found.setdefault(task, []).append(site.name)
        return found

    def run(self, tasks, check_mode=False, clusters=None, **params):
        """(fields of the result, error or None) of a run; no tasks (None) are those of a set."""
        defaults = {name: entry.get("default") for name, entry in task_pod.ARGUMENTS.items()}
        given = {"namespace": "n", "image": "i", "wait_timeout": 600, "state": "completed", "clusters": list(self.sites) if clusters is None else clusters}
        items = [task | {} if isinstance(task, dict) else {"name": task, "command": ["true"]} for task in tasks or ()]
        self.console = Console()
        with self._patched():
            invocation = Invocation(defaults | given | {"tasks": None if tasks is None else items} | params, check_mode, False, self.console)
            invocation.connect = self.sites.__getitem__
            return attempt(task_pod.OPERATION, invocation)

    @contextmanager
    def _patched(self):
        move = dispatcher.Dispatcher._move

        def step(own):
            self.during()
            return move(own)

        with pytest.MonkeyPatch.context() as patch:
            for name in ("queue", "Pool", "Watcher"):
                patch.setattr(runner, name, getattr(runner, name))  # each Runner has its own
            patch.setattr(batch, "Runner", FleetRunner)
            patch.setattr(dispatcher.Dispatcher, "_move", step)
            for module in (restoration, prediction, completion, leftovers, members, claims, dispatcher):
                patch.setattr(module, "call_in_threads", call_in_turn)
            patch.setattr(completion, "wait_until_deleted", lambda *arguments: None)
            patch.setattr(leftovers, "threading", SimpleNamespace(Thread=ModelThread))
            yield
