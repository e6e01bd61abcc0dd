# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rollouts in a simulated cluster: pods keep serving, a failure leaves the old version in service, and a killed run is completed by the next one."""

from __future__ import annotations

import copy
import random
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.deployments.services import noted_service
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import (
    ACTIVE,
    DEPLOYMENT,
    REVISION,
    ROLLED_BACK,
    SERVED,
    STEP,
    STEP_SINCE,
    annotation_of,
    label_of,
    number_of,
)
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_deployment
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler import executor, observation, wait

from ..support.environment import scaled
from ..support.traces import shown_on_failure
from .fake_cluster import Killed
from .model_rollouts import FATES, GENERATION, NAMESPACE, RolloutCluster, RolloutWatcher, image_of, labels_of
from .model_server import is_terminating, leaves

EXAMPLES = scaled(50)
PROGRESS = {("metadata", "annotations", name) for name in (STEP, STEP_SINCE, SERVED)}
OWNED = ("Deployment", "Service", "HTTPRoute", "Secret")
GATEWAY = {"group": "gateway.networking.k8s.io", "names": {"kind": "HTTPRoute", "plural": "httproutes"}, "scope": "Namespaced", "versions": [{"name": "v1"}]}
COMMON = {"namespace": NAMESPACE, "name": "web", "command": ["serve"], "ports": [80], "readiness_probe": {"tcp": 80}, "progress_deadline": 10}


class Session:
    """Runs of pod_deployment in a RolloutCluster, each checked.

    Attributes:
        outcomes: image -> exit code of the commands of its analysis.
    """

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.cluster = RolloutCluster(self.rng)
        self.outcomes, self.measured = {}, []

    def perform(self, params, check_mode=False):
        """One run. Returns: (result, error or None); a result of None if it was killed."""
        cluster = self.cluster
        full = complete(params)
        cluster.floor, cluster.allowed, cluster.is_dead = 0, None, False
        cluster.clock.sleep(1)
        since, start, before = len(cluster.history), len(cluster.trace), self.snapshot()
        cluster.floor, cluster.allowed = self.promised(full), self.may_serve(full)
        cluster.trace.append(f"--- {'check' if check_mode else 'run'} {params}, {cluster.images()} serve, at least {cluster.floor} must")
        cluster.kinds.__init__(cluster._discover)  # another process
        with self.patches():
            result, error = self.attempt(full, check_mode)
        cluster.is_dead = False
        written = cluster.history[since:]
        done = "killed" if result is None else f"{error!r} {error or ''} {[(step['action'], step['kind'], step['name']) for step in result.get('plan', [])]}"
        cluster.trace.append(f"--- {done}")
        assert not cluster.violations, cluster.violations
        assert error is None or error.reason != "Unforeseen", str(error)
        if check_mode:
            assert not written and self.snapshot() == before, "check mode wrote"
        elif result is not None:
            sure = [(verb, key) for verb, key, is_certain in written if is_certain]
            reported = {(step["kind"], step["name"]) for step in result["plan"] if step["action"] != "none"}
            assert result["changed"] == bool(reported)
            by_others = {line.partition("(")[2] for line in cluster.trace[start:] if line.startswith("somebody")}
            sure = [(verb, key) for verb, key in sure if str(key).removeprefix("(") not in by_others]
            changed = {(key[0], key[2]) for key in self.differences(before)} & {(key[0], key[2]) for _verb, key in sure}
            assert changed <= reported, f"not reported: {changed - reported}"
            if not any(line.startswith("somebody") for line in cluster.trace[start:]):
                assert reported <= {(key[0], key[2]) for _verb, key, _certain in written}, "reported, not done"
        return result, error

    @contextmanager
    def patches(self):
        """While it is entered, the engine runs in one thread on the cluster of this process."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(wait, "Watcher", RolloutWatcher)
            for module in (executor, observation):
                patch.setattr(module, "call_in_threads", lambda function, items, _threads: list(map(function, items)))
            patch.setattr(pod_deployment, "_measure_by", self.measure)
            yield

    def attempt(self, full, check_mode=False):
        """One run without checks, with `patches`. Returns: as `perform`."""
        try:
            return attempt(pod_deployment.OPERATION, Invocation(full, check_mode, False, Console(), self.cluster))
        except Killed:
            return None, None

    def promised(self, params):
        """The number of pods that must serve at any time."""
        live = [item for item in self.cluster.of_kind("Deployment") if item in self.active()]
        if params["state"] == "absent" or not live or not params["service"] or self.may_lose_its_service(params):
            return 0
        wanted = live[0]["spec"]["replicas"] if params["state"] not in ("present", "paused") else min(live[0]["spec"]["replicas"], self.replicas_of(params))
        unavailable = max(live[0]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], params["max_unavailable"])
        ready = [pod for pod in self.cluster.selected() if labels_of(live[0])[GENERATION] == labels_of(pod)[GENERATION]]
        return max(0, min(len(ready), wanted) - unavailable)

    def may_lose_its_service(self, params):
        """Whether a run can return to a version that has no Service."""
        returns = params["rollback_on_failure"] or params["state"] not in ("present", "paused")
        return returns and any(noted_service(item) == ("", []) for kind in ("Deployment", "ReplicaSet") for item in self.cluster.of_kind(kind))

    def autoscale(self, replicas):
        """Another client creates an autoscaler for the Deployment in service, which scales it at once."""
        self.cluster.floor = 0
        for item in self.active():
            name = item["metadata"]["name"]
            target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
            metadata = {"name": f"{name}-{len(self.cluster.trace)}"}
            self.cluster.add({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": {"scaleTargetRef": target}})
            self.cluster.update(("Deployment", NAMESPACE, name), {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": replicas}})

    def replicas_of(self, params):
        """The pods that a rollout keeps or creates: those of the version in service while an autoscaler scales the deployment."""
        is_autoscaled = self.cluster.of_kind("HorizontalPodAutoscaler") and (params["strategy"] == "rolling" or self.cluster.service())
        live = self.active()[0]["spec"]["replicas"] if is_autoscaled and self.active() else 0
        return live or params["replicas"]

    def may_serve(self, params):
        """The images that may receive traffic: those that do already, and that which the run brings into service."""
        live = self.cluster.of_kind("Deployment")
        if params["state"] == "absent" or any(label_of(item, GENERATION) == "rolling" for item in live if item not in self.foreign()):
            return None
        images = set(map(image_of, self.cluster.selected(is_ready=False)))
        if params["state"] in ("present", "paused"):
            return {*images, params["image"]} if images else None
        if params["state"] == "aborted":
            return images or None
        return None

    def foreign(self):
        return [self.cluster.objects[key] for key in self.cluster.foreign if key in self.cluster.objects]

    def own(self, kind):
        return [item for item in self.cluster.of_kind(kind) if label_of(item, DEPLOYMENT) == "web" and item not in self.foreign()]

    def active(self):
        """The Deployment in service, in a list."""
        service = self.cluster.service()
        active = (service["spec"].get("selector", {}).get(GENERATION) or annotation_of(service, ACTIVE) if service else None) or "rolling"
        return [item for item in self.own("Deployment") if label_of(item, GENERATION) == active]

    def measure(self, _invocation, operation, options, field):
        """The exit code of a command in a pod of the version that is rolled out."""
        pod = self.cluster.objects["Pod", NAMESPACE, options["pod"]]
        self.measured.append(image_of(pod))
        assert field == "rc" and labels_of(pod)[GENERATION] not in [label_of(item, GENERATION) for item in self.active()], "the active version was measured"
        return self.outcomes.get(image_of(pod), 0), ""

    def snapshot(self):
        """The objects of the deployment without what controllers write, and without the progress of a rollout."""
        hidden = {"status", "managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "deployment.kubernetes.io/revision"}
        found = {key: leaves(item) for key, item in self.cluster.objects.items() if key[0] in OWNED and not is_terminating(item)}
        return {
            key: {path: repr(value) for path, value in item.items() if hidden.isdisjoint(path) and path not in PROGRESS and value != {}}
            for key, item in found.items()
        }

    def differences(self, before):
        """Keys of the objects that differ, each with what was done."""
        now = self.snapshot()
        changed = [key for key in {*before, *now} if before.get(key) != now.get(key)]
        found = {(*key, "create" if key not in before else "delete" if key not in now else "patch") for key in changed}
        return {entry for entry in found if (entry[0], entry[3]) != ("Secret", "delete")}  # it is garbage-collected


def complete(params):
    """Options with the defaults of the others."""
    return {name: entry.get("default") for name, entry in pod_deployment.ARGUMENTS.items()} | {"wait": True} | COMMON | params


def draw(rng, version, strategy):
    """Options of a rollout."""
    options = {"image": f"app:{version}", "strategy": strategy, "replicas": rng.choice([1, 2, 3]), "service": "web"}
    if rng.random() < 0.3:
        options |= {"max_surge": 1, "max_unavailable": rng.choice([0, 1])}
    if rng.random() < 0.3:
        options["rollback_on_failure"] = True
    if rng.random() < 0.15:
        options["service"] = "front" if rng.random() < 0.7 or strategy != "rolling" else None
    if rng.random() < 0.15:
        options["secret_env"] = {"TOKEN": "secret"}
    if strategy == "canary" and rng.random() < 0.9:
        weights = sorted(rng.sample([10, 40, 60], rng.randrange(3)))
        steps = [{"weight": weight, "pause": rng.choice([0, 0, 3, True])} for weight in weights]
        entry = {"prometheus": None, "request": None, "command": ["check"], "success": None, "failure": rng.choice([None, "== 1"])}
        route = {"parents": ["edge"], "hostnames": ["web.example"]} if rng.random() < 0.3 else None
        options["canary"] = {"steps": steps, "analysis": [entry] if rng.random() < 0.5 else None, "route": route}
    return options


def populate(session):
    """What belongs to others: objects of the same kinds and some labels."""
    cluster = session.cluster
    definition = {"kind": "CustomResourceDefinition", "metadata": {"name": "httproutes", "uid": "crd"}, "spec": GATEWAY}
    cluster.objects["CustomResourceDefinition", None, "httproutes"] = definition
    cluster.owners["crd"] = {}
    other = {"labels": {DEPLOYMENT: "website", GENERATION: "rolling"}}
    for kind, version, spec in (("Deployment", "apps/v1", None), ("Service", "v1", {"selector": other["labels"], "ports": []})):
        item = {"apiVersion": version, "kind": kind, "metadata": copy.deepcopy(other) | {"name": "website"}}
        template = {"metadata": {"labels": other["labels"]}, "spec": {"containers": [{"image": "theirs"}]}}
        limits = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        item["spec"] = spec or {"replicas": 1, "selector": {"matchLabels": {}}, "template": template, "strategy": limits, "progressDeadlineSeconds": 600}
        item["metadata"]["generation"] = 1
        cluster.add(item)
        cluster.foreign.add((kind, NAMESPACE, "website"))


def play(seed):
    session = Session(seed)
    rng, cluster = session.rng, session.cluster
    with shown_on_failure(cluster.trace):
        populate(session)
        strategy = rng.choice(["rolling", "blue_green", "canary"])
        for _run in range(rng.randrange(2, 6)):
            if rng.random() < 0.2:
                strategy = rng.choice(["rolling", "blue_green", "canary"])
            version = rng.randrange(3)
            cluster.fates[f"app:{version}"] = rng.choice(["ready", "ready", "late", *FATES])
            session.outcomes[f"app:{version}"] = rng.choice([0, 0, 1, 2])
            state = rng.choice(["present"] * 6 + ["paused", "paused", "promoted", "aborted", "rolled_back", "absent"])
            params = draw(rng, version, strategy) | {"state": state}
            if rng.random() < 0.5:
                cluster.disturbances = rng.randrange(1, 4)
                session.perform(params)
                cluster.disturbances = 0
            if rng.random() < 0.2:
                session.autoscale(rng.randrange(1, 5))
            if rng.random() < 0.5:
                cluster.settle()
            calm_run(session, params)
        finish(session, strategy)


def calm_run(session, params):
    """Undisturbed, check mode predicts the run, and a second run changes nothing."""
    session.cluster.collect_garbage()
    cluster, before, active = session.cluster, session.snapshot(), [copy.deepcopy(item) for item in session.active()]
    replicas, images, earlier = session.replicas_of(params), cluster.images(), {image_of(pod) for pod in cluster.of_kind("Pod")}
    predicted, refusal = session.perform(params, check_mode=True)
    if session.rng.random() < 0.5:
        cluster.settle()
    _result, error = session.perform(params)
    if refusal:
        assert error and str(refusal).partition("\n")[0] == str(error).partition("\n")[0], f"check mode: {refusal}; the run: {error}"
    cluster.settle()
    if error:
        check_failure(session, params, error, active, images, earlier)
        return
    actions = {(step["kind"], step["name"], step["action"]) for step in predicted["plan"] if step["action"] != "none" and not is_progress(step)}
    done = {(kind, name, action) for kind, _namespace, name, action in session.differences(before)}
    assert actions == done, f"check mode: {sorted(actions)}; done: {sorted(done)}"
    check_success(session, params | {"replicas": replicas}, active, images)
    writes = len(cluster.history)
    again, error = session.perform(params)
    if may_crash(session, params) or not all(will_start(session, image_of(item["spec"]["template"])) for item in session.own("Deployment")):
        return  # what was ready as last seen may not be ready any more
    assert error is None, f"a second run failed: {error}"
    assert not again["changed"] and len(cluster.history) == writes, f"a second run changed something: {again['plan']}"


def is_progress(step):
    """Whether a step of the plan only concerns the progress of a canary."""
    return step["action"] == "patch" and all(part["path"].startswith("/metadata/annotations/podwright.io~1step") for part in step["patch"])


def may_crash(session, params):
    """Whether pods of the deployment crash some time after they were ready."""
    images = {params["image"], *(image_of(item["spec"]["template"]) for item in session.own("Deployment"))}
    return any(session.cluster.fates.get(image) == "crashes" for image in images)


def will_start(session, image):
    return session.cluster.fates.get(image, "ready") in ("ready", "late")


def check_failure(session, params, error, active, images, earlier):
    """A failed rollout leaves the old version in service, and there is a reason for it."""
    state, image = params["state"], params["image"]
    assert error.reason in ("WaitFailed", "Analysis", "NothingToDo", "NoRevision", "BadOption", "OtherStrategy"), f"{error.reason}: {error}"
    old = image_of(active[0]["spec"]["template"]) if active else None
    if state == "present":
        has_analysis = bool((params.get("canary") or {}).get("analysis"))
        assert not will_start(session, image) or (has_analysis and session.outcomes[image]), f"no reason to fail: {error}"
    if state != "present" or old == image or old not in images or not will_start(session, old) or error.reason == "BadOption":
        return
    if params["strategy"] == "rolling" and session.cluster.fates.get(image) == "crashes":
        return  # a pod that was ready has replaced an old one
    assert old in session.cluster.images(), f"{old} does not serve any more"
    if params.get("rollback_on_failure") and error.reason == "WaitFailed":
        assert "stays in service" in str(error) or "rolled back" in str(error)
        assert set(session.cluster.images()) == {old}
        left = [pod for pod in session.cluster.of_kind("Pod") if image_of(pod) == image and labels_of(pod).get(DEPLOYMENT) == "web"]
        assert image in earlier or not left, "pods of it are left"
    if error.reason == "Analysis" and "was deleted" in str(error):
        assert set(session.cluster.images()) == {old} and "stays in service" in str(error)


def check_success(session, params, active, images):
    """The state that the guide promises."""
    cluster, state, image = session.cluster, params["state"], params["image"]
    deployments = session.own("Deployment")
    if state == "absent":
        assert not deployments and not session.own("Service") and not session.own("HTTPRoute"), "objects are left"
        return
    now = session.active()
    assert len(now) == 1 or state not in ("present", "promoted", "rolled_back"), "nothing is in service"
    waits = any(step["pause"] is True for step in (params.get("canary") or {}).get("steps", ())) and params["strategy"] == "canary"
    old = image_of(active[0]["spec"]["template"]) if active else None
    if state == "paused" and old in images and old != image and image not in images:
        assert image not in cluster.images() or params["strategy"] == "canary", "it receives traffic although the rollout is paused"
        assert old in cluster.images() or not will_start(session, old)
    running = [item for item in deployments if item["spec"]["replicas"]]
    if state != "present" or may_crash(session, params) or (waits and len(running) > 1):
        return
    if params["service"]:
        assert cluster.images() == [image] * params["replicas"], f"{cluster.images()} serve"
    names = [item["metadata"]["name"] for item in session.own("Service")]
    assert names == ([params["service"]] if params["service"] else []), f"the Services are {names}"
    assert len(running) <= (2 if params["strategy"] == "blue_green" else 1) and len(deployments) <= (1 if params["strategy"] == "rolling" else 2)
    assert not [item for item in now if annotation_of(item, STEP) or annotation_of(item, STEP_SINCE) or annotation_of(item, ROLLED_BACK)]
    for route in session.own("HTTPRoute"):
        assert [ref["name"] for rule in route["spec"]["rules"] for ref in rule["backendRefs"]] == [params["service"]]
    assert params["strategy"] == "rolling" or number_of(now[0], REVISION) == max(number_of(item, REVISION) for item in deployments)


def finish(session, strategy):
    """Once every pod starts, a rollout succeeds, and a deletion leaves nothing."""
    session.cluster.fates, session.outcomes = {}, {}
    session.cluster.settle()
    params = draw(session.rng, 9, strategy) | {"state": "present"}
    for step in (params.get("canary") or {}).get("steps", ()):
        step["pause"] = 0
    calm_run(session, params)
    assert "app:9" in session.cluster.images() or not params["service"]
    calm_run(session, params | {"state": "absent"})
    assert not [pod for pod in session.cluster.of_kind("Pod") if image_of(pod) != "theirs"]


@settings(max_examples=EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_rollouts_hold_their_promises_whatever_happens(tried, seed):
    play(seed)
    tried("rollouts in a simulated cluster whose pods start late, crash or never start, with kills, lost answers and changes by others", 1, "lost", "wrong")
