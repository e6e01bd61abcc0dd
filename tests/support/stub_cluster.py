# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An API server in memory with controllers that act at once: what it answers to a request, without the HTTP around it."""

from __future__ import annotations

import copy
import json
import threading
import urllib.parse
from dataclasses import dataclass, field

import jsonpatch

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, Kind
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import owner_reference
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.selectors import matches

STAMP = "2001-01-01T00:00:00Z"
PAGE = 2  # items of a page, fewer than any limit that a client sets
WIDGET = Kind("example.com/v1", "Widget", "widgets")
KINDS = {(kind.api_version, kind.plural): kind for kind in [*BUILT_IN.values(), WIDGET]}
VERBS = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete"}


@dataclass
class Call:
    """A request: `headers` by lower-case name, `query` as a mapping with the last value of each name, `pairs` with all."""

    method: str
    target: str
    headers: dict
    body: bytes = b""

    def __post_init__(self):
        url = urllib.parse.urlsplit(self.target)
        self.pairs = urllib.parse.parse_qsl(url.query, keep_blank_values=True)
        self.query = dict(self.pairs)
        segments = [urllib.parse.unquote(part) for part in url.path.strip("/").split("/")]
        size = 2 if segments[0] == "api" else 3
        self.api_version, rest = "/".join(segments[1:size]), segments[size:]
        self.namespace = None
        if rest[:1] == ["namespaces"] and len(rest) > 2:
            self.namespace, rest = rest[1], rest[2:]
        self.plural, self.name, self.subresource = (rest + [None] * 3)[:3]
        self.path, self.kind = url.path, KINDS.get((self.api_version, self.plural))

    @property
    def group(self):
        """What faults are chosen by: `upgrade`, `watch`, `log`, `discovery`, `list`, `get` or `write`."""
        if "upgrade" in self.headers:
            return "upgrade"
        if self.query.get("watch") == "true":
            return "watch"
        if self.method != "GET":
            return "write"
        return "log" if self.subresource == "log" else "discovery" if not self.plural else "get" if self.name else "list"


@dataclass
class Answer:
    """A status and a body: bytes, a value that is sent as JSON, or a function that yields bytes until the cluster is stopped."""

    status: int = 200
    body: object = None
    headers: dict = field(default_factory=lambda: {"Content-Type": "application/json"})

    def content(self):
        """The body as bytes."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def failure(code, reason, message, **details):
    """The answer with a Status."""
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason, "message": message}
    return Answer(code, body | ({"details": details} if details else {}))


def live(api_version, kind, name, **rest):
    """A live object."""
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{kind}-{name}", "resourceVersion": "1", "creationTimestamp": STAMP}
    if kind == "Namespace":
        del metadata["namespace"]
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata | rest.pop("metadata", {}), **rest}


def pod_status(state, ready=True):
    """The status of a pod whose task container is in that state."""
    phase = "Succeeded" if "terminated" in state else "Running"
    conditions = [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": str(ready)}]
    return {"phase": phase, "conditions": conditions, "containerStatuses": [{"name": "task", "state": state, "ready": ready, "containerID": "c"}]}


RUNNING = pod_status({"running": {"startedAt": STAMP}})
SUCCEEDED = pod_status({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": STAMP, "finishedAt": STAMP}}, ready=False)


class StubCluster:
    """Stores objects and answers requests.

    Attributes:
        objects: mapping (plural, namespace, name) -> object.
        effects: (verb, plural, name) of each write that was carried out.
    """

    def __init__(self, objects):
        self.objects = {}
        self.effects, self.events = [], []
        self._version, self._lock, self._changed = 10, threading.Lock(), threading.Condition()
        self.is_stopped = False
        for item in copy.deepcopy(objects):
            kind = next(k for k in KINDS.values() if (k.api_version, k.name) == (item["apiVersion"], item["kind"]))
            self.objects[kind.plural, item["metadata"].get("namespace"), item["metadata"]["name"]] = item

    def stop(self):
        """End every watch."""
        with self._changed:
            self.is_stopped = True
            self._changed.notify_all()

    def answer(self, call):
        """Carry out a request other than an upgrade. Returns: an Answer."""
        if call.subresource == "proxy":
            return Answer(200, {"status": "success", "data": {"resultType": "scalar", "result": [0, "3"]}})
        if not call.plural:
            return self._discover(call.path)
        if call.kind is None or (call.namespace and not call.kind.namespaced):
            return failure(404, "NotFound", "the server could not find the requested resource")
        with self._lock:
            if call.group in ("list", "watch"):
                return self._watch(call) if call.group == "watch" else self._list(call)
            return getattr(self, f"_{call.group}")(call)

    @staticmethod
    def _discover(path):
        group = {"kind": "APIGroup", "name": "example.com", "preferredVersion": {"groupVersion": "example.com/v1"}}
        found = {
            "/apis": {"kind": "APIGroupList", "groups": []},
            "/apis/example.com": group | {"versions": [{"groupVersion": "example.com/v1"}]},
            "/apis/example.com/v1": {"kind": "APIResourceList", "resources": [{"name": "widgets", "kind": "Widget", "namespaced": True}]},
        }
        return Answer(200, found[path]) if path in found else Answer(404, b"404 page not found\n", {"Content-Type": "text/plain"})

    # -- reading --------------------------------------------------------------------------------------------

    def _matching(self, call):
        return [item for (plural, namespace, _name), item in self.objects.items() if plural == call.plural and _matches(call, item, namespace)]

    def _list(self, call):
        items = self._matching(call)
        token = call.query.get("continue", "0")
        if not token.isdecimal():
            return failure(400, "BadRequest", "invalid continue token")
        start = int(token)
        size = PAGE if "limit" in call.query else len(items)
        metadata = {"resourceVersion": str(self._version)} | ({"continue": str(start + size)} if start + size < len(items) else {})
        name = "PartialObjectMetadata" if "PartialObjectMetadata" in call.headers.get("accept", "") else call.kind.name
        return Answer(200, {"kind": f"{name}List", "apiVersion": call.api_version, "metadata": metadata, "items": items[start : start + size]})

    def _watch(self, call):
        version = call.query.get("resourceVersion") or "0"
        if not version.isdecimal():
            return failure(400, "BadRequest", "invalid resource version")
        since = int(version)

        def stream():
            number = 0
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self.is_stopped or len(self.events) > number)  # noqa: B023
                    if self.is_stopped:
                        return
                    fresh, number = self.events[number:], len(self.events)
                for version, event_type, plural, item in fresh:
                    if version > since and plural == call.plural and _matches(call, item, item["metadata"].get("namespace")):
                        yield json.dumps({"type": event_type, "object": item}).encode() + b"\n"

        return Answer(200, stream)

    def _get(self, call):
        found = self.objects.get((call.plural, call.namespace, call.name))
        return Answer(200, found) if found else failure(404, "NotFound", f'{call.plural} "{call.name}" not found')

    def _log(self, call):
        lines = [f"line {number}" for number in range(3)]
        if call.query.get("timestamps") == "true":
            lines = [f"2001-01-01T00:00:0{number}.5Z {line}" for number, line in enumerate(lines)]
        return Answer(200, "".join(f"{line}\n" for line in lines).encode(), {"Content-Type": "text/plain"})

    # -- writing --------------------------------------------------------------------------------------------

    def _write(self, call):
        body = json.loads(call.body or b"{}")
        dry_run = "dryRun" in call.query or "dryRun" in (body if isinstance(body, dict) else {})
        if call.subresource == "token":
            return Answer(201, {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": {}, "status": {"token": "issued"}})
        answer, key, item = getattr(self, f"_{VERBS[call.method]}")(call, body) if call.method != "GET" else (None, None, None)
        if key and not dry_run:
            self._store(VERBS[call.method], key, item)
            self._control(key, item)
        return answer

    def _create(self, call, body):
        name = body["metadata"].get("name") or body["metadata"]["generateName"] + "x"
        key = (call.plural, call.namespace, name)
        if key in self.objects:
            return failure(409, "AlreadyExists", f'{call.plural} "{name}" already exists'), None, None
        item = self._stamp(call, body | {"metadata": body["metadata"] | {"name": name}}, {})
        return Answer(201, item), key, item

    def _patch(self, call, body):
        key = (call.plural, call.namespace, call.name)
        before = self.objects.get(key)
        content_type = call.headers["content-type"]
        if before is None and "apply" not in content_type:
            return failure(404, "NotFound", f'{call.plural} "{call.name}" not found'), None, None
        before = before or {}
        version = body["metadata"].get("resourceVersion") if isinstance(body, dict) and body.get("metadata") else None
        if version not in (None, before.get("metadata", {}).get("resourceVersion")):
            return failure(409, "Conflict", "the object has been modified; please apply your changes to the latest version"), None, None
        if content_type == "application/json-patch+json":
            after = jsonpatch.apply_patch(before, body)
        else:
            after = merge(before, {key: value for key, value in body.items() if key != "metadata"} | {"metadata": body.get("metadata") or {}})
        if "apply" in content_type:
            entry = {"manager": call.query["fieldManager"], "operation": "Apply", "fieldsV1": fields_of(body)}
            others = [e for e in before.get("metadata", {}).get("managedFields") or [] if e["manager"] != entry["manager"]]
            after["metadata"]["managedFields"] = [*others, entry]
        if before and _without_managers(after) == _without_managers(before):
            return Answer(200, _view(call, before)), None, None
        item = self._stamp(call, after, before)
        return Answer(200 if before else 201, _view(call, item)), key, item

    def _delete(self, call, body):
        key = (call.plural, call.namespace, call.name)
        item = self.objects.get(key)
        if item is None:
            return failure(404, "NotFound", f'{call.plural} "{call.name}" not found'), None, None
        uid = (body.get("preconditions") or {}).get("uid")
        if uid not in (None, item["metadata"]["uid"]):
            return failure(409, "Conflict", "Precondition failed: UID in precondition"), None, None
        return Answer(200, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}), key, None

    def _stamp(self, call, body, before):
        metadata = {"uid": f"uid-{self._version}", "creationTimestamp": STAMP, "generation": 1} | body["metadata"]
        metadata |= {"resourceVersion": str(self._version + 1)} | ({"namespace": call.namespace} if call.namespace else {})
        return copy.deepcopy({"apiVersion": call.api_version, "kind": call.kind.name} | body | {"metadata": metadata})

    def _store(self, verb, key, item):
        if verb != "control":
            self.effects.append((verb, key[0], key[2]))
        self._version += 1
        with self._changed:
            event_type = "DELETED" if item is None else "MODIFIED" if key in self.objects else "ADDED"
            self.events.append((self._version, event_type, key[0], copy.deepcopy(item or self.objects[key])))
            if item is None:
                del self.objects[key]
            else:
                self.objects[key] = item
            self._changed.notify_all()

    def _control(self, key, item):
        """Act as the controller of an object that was written."""
        if key[0] == "deployments":
            self._control_pods(key, item)
        status = item and status_of(item)
        if status and item.get("status") != status:
            after = copy.deepcopy(item) | {"status": status}
            after["metadata"]["resourceVersion"] = str(self._version + 1)
            self._store("control", key, after)

    def _control_pods(self, key, deployment):
        """Create and delete the pods of a Deployment; None: it was deleted."""
        spec = (deployment or {}).get("spec") or {}
        names = [f"{key[2]}-{number}" for number in range(spec.get("replicas", 1))] if "template" in spec else []
        for name in names:
            if ("pods", key[1], name) not in self.objects:
                item = live("v1", "Pod", name, metadata={"labels": spec["template"]["metadata"]["labels"]}, spec=spec["template"]["spec"], status=RUNNING)
                item["metadata"] |= {"namespace": key[1], "ownerReferences": [owner_reference(deployment) | {"controller": True}]}
                self._store("control", ("pods", key[1], name), item)
        for other, item in list(self.objects.items()):
            is_owned = any((owner["kind"], owner["name"]) == ("Deployment", key[2]) for owner in item["metadata"].get("ownerReferences") or ())
            if other[:2] == ("pods", key[1]) and is_owned and other[2] not in names:
                self._store("control", other, None)


def _view(call, item):
    """An object, or its scale subresource."""
    scale = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": item["metadata"], "spec": {"replicas": item.get("spec", {}).get("replicas", 0)}}
    return scale if call.subresource == "scale" else item


def _without_managers(item):
    return item | {"metadata": {name: value for name, value in item["metadata"].items() if name != "managedFields"}}


def status_of(item):
    """The status that the controller of an object writes, or None."""
    spec = item.get("spec") or {}
    if item["kind"] == "Pod":
        return SUCCEEDED if spec.get("restartPolicy") in ("Never", "OnFailure") else RUNNING
    if item["kind"] == "Job":
        return {"conditions": [{"type": "Complete", "status": "True"}], "succeeded": 1}
    if item["kind"] == "Deployment":
        return {"observedGeneration": 1} | dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas", "availableReplicas"), spec.get("replicas", 1))
    if item["kind"] == "HorizontalPodAutoscaler":
        return {"conditions": [{"type": name, "status": "True"} for name in ("AbleToScale", "ScalingActive")], "desiredReplicas": 1}
    return None


def merge(before, patch):
    """A JSON merge patch (RFC 7386) applied to a value."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(before) if isinstance(before, dict) else {}
    for name, value in patch.items():
        merged[name] = merge(merged.get(name), value)
    return {name: value for name, value in merged.items() if value is not None}


def fields_of(value):
    """The managed fields (fieldsV1) of a manifest, with each list as one field."""
    if not isinstance(value, dict):
        return {}
    return {f"f:{name}": fields_of(item) for name, item in value.items() if name not in ("apiVersion", "kind", "name", "namespace")}


def _matches(call, item, namespace):
    if call.namespace not in (None, namespace):
        return False
    selector = call.query.get("labelSelector")
    if selector and not matches(selector, item["metadata"].get("labels") or {}):
        return False
    for term in filter(None, call.query.get("fieldSelector", "").split(",")):
        name, _equals, value = term.partition("=")
        found = item
        for part in name.split("."):
            found = (found or {}).get(part)
        if found != value:
            return False
    return True
