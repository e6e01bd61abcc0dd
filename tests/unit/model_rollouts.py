# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controllers that a rollout depends on: that of Deployments with its ReplicaSets, pods and progress deadline, and the Service that selects them."""

from __future__ import annotations

import copy
import json

import jsonpatch

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import JSON_PATCH
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.pod_status import is_serving

from .fake_cluster import StubWatcher
from .model_cluster import VirtualClock
from .model_server import ModelServer, leaves

NAMESPACE = "shop"
REVISION = "deployment.kubernetes.io/revision"
HASH = "pod-template-hash"
# Seconds after which a pod of an image becomes ready, and after which it crashes.
FATES = {"ready": (1, None), "late": (4, None), "never": (None, None), "crashes": (1, 3)}


class RolloutCluster(ModelServer):
    """An API server with the controller of Deployments; a second passes with each sleep of a client, and controllers may be slow.

    Attributes:
        fates: image -> what becomes of its pods, one of FATES.
        floor: number of ready pods that the Service must have at any time.
        allowed: images of the pods that may receive traffic, or None for any.
        foreign: keys of the objects of others.
        violations: what must not have happened.
        on_turn: called after each second, and before a client lists the Deployments: another client may act then.
        on_request: called before any request.
    """

    def __init__(self, rng):
        super().__init__(rng)
        self.clock = VirtualClock()
        self.clock.on_sleep = self.tick
        self.fates, self.floor, self.allowed = {}, 0, None
        self.foreign, self.violations = set(), []
        self.on_turn = self.on_request = lambda: None
        self._specs, self._born, self._progress, self._observed, self._count = {}, {}, {}, {}, 0

    # -- requests -------------------------------------------------------------------------------------------

    def now(self):
        return self.clock.now()

    def _arrive(self, key=None):
        self.on_request()
        super()._arrive(key)

    def list(self, kind, *arguments, **options):
        if kind.name == "Deployment":
            self.on_turn()
        return super().list(kind, *arguments, **options)

    def log(self, *arguments, **options):
        return b""

    def create(self, kind, namespace, body, manager, dry_run=False):
        key = self._key(kind, namespace, body["metadata"]["name"])
        self._arrive(None if dry_run else key)
        if key in self.objects:
            raise PodwrightError("it exists already", status=409, reason="AlreadyExists")
        return self._perform("create", key, dry_run, lambda: self._merge(key, body, (manager, "Update"), True, dry_run))

    def apply(self, kind, namespace, name, body, manager, force=True, dry_run=False):
        live = self.objects.get(self._key(kind, namespace, name))
        if live and kind.name == "Deployment" and "selector" in body["spec"] and body["spec"]["selector"] != live["spec"]["selector"]:
            raise PodwrightError("spec.selector: field is immutable", status=422, reason="Invalid")
        return super().apply(kind, namespace, name, body, manager, force, dry_run)

    def delete(self, kind, namespace, name, uid=None, propagation="Background", grace_period=None, dry_run=False, version=None):
        live = self.objects.get(self._key(kind, namespace, name))
        if live and propagation == "Foreground" and not dry_run:
            live["metadata"]["finalizers"] = ["foregroundDeletion"]
        return super().delete(kind, namespace, name, uid, propagation, grace_period, dry_run, version)

    def patch(self, kind, namespace, name, patch, manager, content_type="", subresource=None, dry_run=False):
        if isinstance(patch, dict) and "managedFields" in patch.get("metadata", {}):
            return super().patch(kind, namespace, name, patch, manager, content_type, subresource, dry_run)
        key = self._key(kind, namespace, name)
        self._arrive(None if dry_run else key)
        if key not in self.objects:
            raise PodwrightError("not found", status=404, reason="NotFound")

        def write():
            item = copy.deepcopy(self.objects[key])
            after = jsonpatch.apply_patch(item, patch) if content_type == JSON_PATCH else _merge_patch(item, patch)
            return after if dry_run else self._replace(key, after, (manager, "Update"))

        return self._perform("patch", key, dry_run, write)

    def _merge(self, key, body, writer, force, dry_run):
        answer = super()._merge(key, body, writer, force, dry_run)
        for item in (answer, self.objects.get(key, answer)):
            _omit_defaults(item)
            item["metadata"].setdefault("creationTimestamp", f"{self.clock.time:012.3f}")
            if key[0] == "Deployment":
                item["spec"].setdefault("replicas", 1)
            if key[0] == "Service" and "selector" in body.get("spec", {}) and (item is answer or not dry_run):
                item["spec"]["selector"] = dict(body["spec"]["selector"])  # it is replaced as a whole
        return answer

    def _replace(self, key, after, writer):
        before, owners = leaves(self.objects[key]), self.owners[after["metadata"]["uid"]]
        _omit_defaults(after)
        changed = {path for path, value in leaves(after).items() if before.get(path) != value}
        for paths in owners.values():
            paths -= changed | (set(before) - set(leaves(after)))
        owners[writer] = owners.get(writer, set()) | changed
        is_same = after == self.objects[key]
        self.objects[key] = after
        return self._answer(after if is_same else self._touch(after))

    def _touch(self, item):
        spec = json.dumps(item.get("spec"), sort_keys=True)
        if self._specs.get(item["metadata"]["uid"]) != spec:
            self._specs[item["metadata"]["uid"]] = spec
            item["metadata"]["generation"] = item["metadata"].get("generation", 0) + 1
        return super()._touch(item)

    def _record(self, verb, key, before, is_certain):
        super()._record(verb, key, before, is_certain)
        if key in self.foreign and before != self.objects.get(key):
            self.violations.append(f"{verb} of {key}, which belongs to somebody else")
        self._check_traffic(f"after {verb} {key}")

    # -- controllers ----------------------------------------------------------------------------------------

    def tick(self):
        """A second passes."""
        self.finish_deletions()
        self.collect_garbage()
        for item in self.of_kind("Deployment"):
            if self.rng.random() < 0.85:
                self._reconcile(item)
        for pod in self.of_kind("Pod"):
            self._live(pod)
        for item in self.of_kind("Deployment"):
            if self.rng.random() < 0.85:
                self._report(item)
        self._check_traffic("after a second")
        self.on_turn()

    def collect_garbage(self):
        for _level in range(2):  # the ReplicaSets of a Deployment, then their pods
            uids = {item["metadata"]["uid"] for item in self.objects.values()}
            for key, item in list(self.objects.items()):
                owners = item["metadata"].get("ownerReferences")
                if owners and owners[0]["uid"] not in uids:
                    del self.objects[key]

    def settle(self):
        """Time passes until nothing has changed for as long as a late pod takes to become ready."""
        seen, since = None, 0
        while since < 7:
            self.clock.sleep(1)
            now = [(item["metadata"]["uid"], is_serving(item)) for item in self.of_kind("Pod")]
            seen, since = now, since + 1 if now == seen else 0

    def of_kind(self, kind, owner=None):
        found = [item for key, item in self.objects.items() if key[0] == kind]
        return [item for item in found if item["metadata"]["ownerReferences"][0]["uid"] == owner["metadata"]["uid"]] if owner else found

    def add(self, item, owner=None):
        """An object of somebody else, or of a controller."""
        self._count += 1
        item["metadata"] |= {"namespace": NAMESPACE, "uid": f"own-{self._count}", "resourceVersion": str(self._count)}
        if owner:
            reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "controller": True}
            item["metadata"]["ownerReferences"] = [reference | {name: owner["metadata"][name] for name in ("name", "uid")}]
        self.owners[item["metadata"]["uid"]] = {("others", "Update"): set(leaves(item))}
        self.objects[item["kind"], NAMESPACE, item["metadata"]["name"]] = item
        return item

    def _reconcile(self, item):
        spec, sets = item["spec"], self.of_kind("ReplicaSet", item)
        item["metadata"]["annotations"] = item["metadata"].get("annotations", {})
        item.setdefault("status", {})
        self._observed[item["metadata"]["uid"]] = item["metadata"]["generation"]
        if spec.get("paused"):
            running = [each for each in sets if each["spec"]["replicas"]]
            if len(running) == 1:
                self._scale(running[0], spec["replicas"])
            return
        last = max(map(revision_of, sets), default=0)
        new = next((each for each in sets if template_of(each) == spec["template"]), None)
        if new is None:
            new = self._create_replica_set(item)
            sets.append(new)
        new["metadata"]["annotations"] |= {name: value for name, value in item["metadata"]["annotations"].items() if name != REVISION}
        if revision_of(new) < last or not revision_of(new):
            new["metadata"]["annotations"][REVISION] = str(last + 1)
        if item["metadata"]["annotations"].get(REVISION) != new["metadata"]["annotations"][REVISION]:
            item["metadata"]["annotations"][REVISION] = new["metadata"]["annotations"][REVISION]
            item["status"]["conditions"] = []
            self._progress.pop(item["metadata"]["uid"], None)
        self._roll(spec, new, [each for each in sets if each is not new])

    def _create_replica_set(self, item):
        self._count += 1
        name = f"{item['metadata']['name']}-{self._count}"
        template = copy.deepcopy(item["spec"]["template"])
        template["metadata"]["labels"][HASH] = str(self._count)
        labels = template["metadata"]["labels"]
        metadata = {"name": name, "labels": labels, "annotations": {}}
        return self.add({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": {"replicas": 0, "template": template}}, item)

    def _roll(self, spec, new, old):
        """One step of a rolling update, as the controller of Deployments takes it."""
        wanted, limits = spec["replicas"], spec["strategy"]["rollingUpdate"]
        total = sum(each["spec"]["replicas"] for each in [new, *old])
        room = max(0, min(wanted + limits["maxSurge"] - total, wanted - new["spec"]["replicas"]))
        self._scale(new, min(wanted, new["spec"]["replicas"] + room))
        total += room
        least = wanted - limits["maxUnavailable"]
        spare = total - least - (new["spec"]["replicas"] - self._ready(new))
        for each in old:  # pods that are not ready are deleted first
            count = max(0, min(each["spec"]["replicas"] - self._ready(each), spare))
            spare -= count
            self._scale(each, each["spec"]["replicas"] - count)
        spare = sum(map(self._ready, [new, *old])) - least
        for each in old:
            count = max(0, min(each["spec"]["replicas"], spare))
            spare -= count
            self._scale(each, each["spec"]["replicas"] - count)

    def _ready(self, replica_set):
        return sum(map(is_serving, self.of_kind("Pod", replica_set)))

    def _scale(self, replica_set, replicas):
        replica_set["spec"]["replicas"] = replicas
        pods = sorted(self.of_kind("Pod", replica_set), key=is_serving)
        for pod in pods[: max(0, len(pods) - replicas)]:
            del self.objects["Pod", NAMESPACE, pod["metadata"]["name"]]
        for _number in range(replicas - len(pods)):
            template = replica_set["spec"]["template"]
            metadata = {"name": f"{replica_set['metadata']['name']}-{self._count}", "labels": dict(template["metadata"]["labels"])}
            pod = self.add({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"], "status": {}}, replica_set)
            self._born[pod["metadata"]["uid"]] = self.clock.time
            self._live(pod)

    def _live(self, pod):
        starts, crashes = FATES[self.fates.get(image_of(pod), "ready")]
        age, was_ready = self.clock.time - self._born[pod["metadata"]["uid"]], is_serving(pod)
        is_ready = starts is not None and starts <= age and (crashes is None or age < crashes)
        if was_ready and not is_ready and pod in self.selected():
            self.floor -= 1  # which no rollout can help
        state = {"running": {}} if is_ready or not was_ready else {"waiting": {"reason": "CrashLoopBackOff"}}
        containers = [{"name": "task", "image": image_of(pod), "ready": is_ready, "restartCount": 0, "state": state}]
        conditions = [{"type": "Ready", "status": "True" if is_ready else "False"}]
        pod["status"] = {"phase": "Running", "conditions": conditions, "containerStatuses": containers}

    def _report(self, item):
        """The status of a Deployment."""
        spec, status, sets = item["spec"], item.setdefault("status", {}), self.of_kind("ReplicaSet", item)
        for each in sets:  # a ReplicaSet may still count pods that it has deleted
            if "status" not in each or self.rng.random() < 0.7:
                each["status"] = {"replicas": len(self.of_kind("Pod", each)), "readyReplicas": self._ready(each)}
        new = next((each for each in sets if template_of(each) == spec["template"]), None)
        ready, updated = sum(each["status"]["readyReplicas"] for each in sets), new["status"]["replicas"] if new else 0
        counts = {"replicas": sum(each["status"]["replicas"] for each in sets), "updatedReplicas": updated}
        counts |= {"readyReplicas": ready, "availableReplicas": ready}
        status.update(counts, observedGeneration=self._observed.get(item["metadata"]["uid"], 0))
        if spec.get("paused"):
            return
        reason = (status.get("conditions") or [{}])[0].get("reason")
        is_complete = counts["replicas"] == updated == spec["replicas"] == ready or (reason == "NewReplicaSetAvailable" and counts["replicas"] == updated)
        progress = (tuple(counts.values()), self._ready(new) if new else 0)
        seen, since = self._progress.get(item["metadata"]["uid"], (None, 0))
        if seen != progress:
            since = self.clock.time
            self._progress[item["metadata"]["uid"]] = progress, since
        is_late = self.clock.time - since > spec["progressDeadlineSeconds"]
        reason = "NewReplicaSetAvailable" if is_complete else "ProgressDeadlineExceeded" if is_late else "ReplicaSetUpdated"
        status["conditions"] = [{"type": "Progressing", "status": "False" if is_late and not is_complete else "True", "reason": reason}]

    # -- traffic --------------------------------------------------------------------------------------------

    def service(self):
        """The Service of the deployment, or None."""
        return next((item for item in self.of_kind("Service") if "podwright.io/deployment" in labels_of(item) and GENERATION not in labels_of(item)), None)

    def selected(self, is_ready=True):
        """The pods of the Service, without `is_ready` also those that are not ready."""
        service = self.service()
        wanted = service["spec"].get("selector", {}).items() if service else ()
        return [pod for pod in self.of_kind("Pod") if wanted and wanted <= labels_of(pod).items() and (is_serving(pod) or not is_ready)]

    def images(self):
        """The images of the ready pods of the Service, sorted."""
        return sorted(map(image_of, self.selected()))

    def _check_traffic(self, when):
        images = self.images()
        if len(images) < self.floor:
            self.violations.append(f"{len(images)} pods serve instead of {self.floor}, {when}")
        if self.allowed is not None and not set(images) <= self.allowed:
            self.violations.append(f"{images} serve, only {sorted(self.allowed)} may, {when}")

    def disturb(self, key):
        """Somebody else does something to an object."""
        item = self.objects.get(key)
        if item is None or key in self.foreign:
            return
        act = self.rng.choice(["delete", "scale", "restart", "pause"] if key[0] == "Deployment" else ["delete", "select"])
        self.trace.append(f"somebody: {act} {key}")
        self.floor, self.allowed = 0, None
        identity = {"apiVersion": item["apiVersion"], "kind": item["kind"]}
        if act == "delete":
            self._delete(key)
        elif act == "scale":
            self.update(key, identity | {"spec": {"replicas": self.rng.randrange(4)}})
        elif act == "pause":
            self.update(key, identity | {"spec": {"paused": True}})
        elif act == "select" and key[0] == "Service":
            self.update(key, identity | {"spec": {"selector": {GENERATION: "theirs"}}})
        elif act == "restart":
            for pod in self.of_kind("Pod"):
                self._born[pod["metadata"]["uid"]] = self.clock.time


GENERATION = "podwright.io/generation"


class RolloutWatcher(StubWatcher):
    """Replaces a Watcher: a second passes, then an object that is followed is reported."""

    def __enter__(self):
        self._followed = {}
        return self

    def follow(self, kind, namespace, version, field_selector=None, known=()):
        for item in known:
            self._followed[kind.name, NAMESPACE, item["metadata"]["name"]] = item

    def next(self, timeout):
        self._client.clock.sleep(1)
        if self._client.rng.random() < 0.5:
            return None
        key = self._client.rng.choice(sorted(self._followed))
        item = self._client.objects.get(key)
        return ("MODIFIED", self._client._answer(item)) if item else ("DELETED", self._followed[key])


def labels_of(item):
    return item["metadata"].get("labels") or {}


def image_of(pod):
    return pod["spec"]["containers"][0]["image"]


def revision_of(replica_set):
    return int(replica_set["metadata"]["annotations"].get(REVISION, 0))


def template_of(replica_set):
    """The pod template of a ReplicaSet, without the label that the controller adds."""
    template = replica_set["spec"]["template"]
    labels = {name: value for name, value in template["metadata"]["labels"].items() if name != HASH}
    return template | {"metadata": template["metadata"] | {"labels": labels}}


def _omit_defaults(item):
    """The API server omits a field that is false."""
    if item.get("spec", {}).get("paused") is False:
        del item["spec"]["paused"]


def _merge_patch(item, patch):
    for name, value in patch.items():
        if value is None:
            item.pop(name, None)
        else:
            item[name] = _merge_patch(item.get(name) or {}, value) if isinstance(value, dict) else copy.deepcopy(value)
    return item
