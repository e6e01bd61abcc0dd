# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A cluster in memory with the methods of a Client: it stores objects, can refuse requests, and can be killed at a write."""

from __future__ import annotations

import copy
from types import SimpleNamespace

from ansible_collections.podwright.core.plugins.module_utils._engine.clock import Clock
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.availability import Availability
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import Kinds
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import UNKNOWN_KIND, PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.selectors import matches

SERVED = {"apps": ["apps/v1"], "autoscaling": ["autoscaling/v2"], "batch": ["batch/v1"], "rbac.authorization.k8s.io": ["rbac.authorization.k8s.io/v1"]}


class Killed(BaseException):
    """The process was killed."""


class FakeCluster:
    """Stores the objects of a cluster.

    Attributes:
        objects: mapping (kind name, namespace, name) -> object.
        refusals: mapping (verb, kind name) -> HTTP status.
        refusal_reason: the reason of these errors.
        die_at: number of the write at which the process is killed, or 0.
        dies_after: whether that write is carried out before.
    """

    poll_seconds = 0

    def __init__(self, tmp_path):
        self.objects, self.refusals, self.writes = {}, {}, []
        self.refusal_reason = "Refused"
        self.die_at, self.dies_after = 0, False
        self.clock = Clock()
        self.availability = Availability(self.clock)
        self.kinds = Kinds(self._discover)
        self.configuration = SimpleNamespace(server="https://192.0.2.1:6443", namespace="default")
        self._version = 0

    # -- the methods of a Client ----------------------------------------------------------------------------

    def get(self, kind, namespace, name):
        self._refuse("get", kind)
        if self.kinds.is_defined(kind) and kind.api_version not in self._versions(kind.group):
            return None
        return copy.deepcopy(self.objects.get((kind.name, namespace if kind.namespaced else None, name)))

    def list(self, kind, namespace=None, label_selector=None, field_selector=None, metadata_only=False, transform=None):
        self._refuse("list", kind)
        if kind.api_version not in self._versions(kind.group):
            raise PodwrightError("the server could not find the requested resource", status=404, reason=UNKNOWN_KIND)
        found = [item for (name, item_namespace, _name), item in self.objects.items() if name == kind.name and (not namespace or item_namespace == namespace)]
        if label_selector:
            found = [item for item in found if matches(label_selector, item["metadata"].get("labels") or {})]
        if field_selector:
            found = [item for item in found if matches(field_selector, {"metadata.name": item["metadata"]["name"]})]
        found = copy.deepcopy(found)
        return [transform(item) for item in found] if transform else found, str(self._version)

    def apply(self, kind, namespace, name, body, manager, force=True, dry_run=False):
        self._refuse("patch", kind)
        before = self.objects.get((kind.name, namespace if kind.namespaced else None, name), {"metadata": {}})
        after = before | copy.deepcopy(body)
        after["metadata"] = before["metadata"] | copy.deepcopy(body["metadata"])
        entry = {"manager": manager, "operation": "Apply", "fieldsV1": fields(body)}
        uid = before["metadata"].get("uid") or f"uid-{self._version}"
        after["metadata"] |= {"uid": uid, "resourceVersion": str(self._version), "managedFields": [entry]}
        if not dry_run:
            self._write("apply", kind, namespace, name, lambda key: self.objects.__setitem__(key, after))
        return copy.deepcopy(after)

    def delete(self, kind, namespace, name, uid=None, propagation="Background", grace_period=None, dry_run=False, version=None):
        self._refuse("delete", kind)
        if kind.api_version not in self._versions(kind.group):
            raise PodwrightError("the server could not find the requested resource", status=404, reason=UNKNOWN_KIND)
        key = (kind.name, namespace if kind.namespaced else None, name)
        if key not in self.objects:
            return False
        if not dry_run:
            self._write("delete", kind, namespace, name, self._delete)
        return True

    # -- the cluster ----------------------------------------------------------------------------------------

    def _refuse(self, verb, kind):
        status = self.refusals.get((verb, kind.name))
        if status:
            raise PodwrightError(f'{kind.plural} is forbidden: User "u" cannot {verb} resource', status=status, reason=self.refusal_reason)

    def _write(self, verb, kind, namespace, name, act):
        self._version += 1
        self.writes.append((verb, kind.name, name))
        if len(self.writes) == self.die_at and not self.dies_after:
            raise Killed
        act((kind.name, namespace if kind.namespaced else None, name))
        if len(self.writes) == self.die_at:
            raise Killed

    def _delete(self, key):
        kind_name, _namespace, name = key
        item = self.objects.pop(key)
        if kind_name == "Namespace":
            self.objects = {other: item for other, item in self.objects.items() if other[1] != name}
        if kind_name == "CustomResourceDefinition":
            defined = item["spec"]["names"]["kind"]
            self.objects = {other: item for other, item in self.objects.items() if other[0] != defined}

    def _definitions(self):
        return [item for (kind_name, _namespace, _name), item in self.objects.items() if kind_name == "CustomResourceDefinition"]

    def _versions(self, group):
        own = [f"{group}/{v['name']}" for d in self._definitions() if d["spec"]["group"] == group for v in d["spec"]["versions"] if v.get("served", True)]
        return own or SERVED.get(group) or (["v1"] if not group else [f"{group}/v1"] if group.endswith(".k8s.io") else [])

    def _discover(self, path):
        self._refuse("discover", type("Discovery", (), {"name": path, "plural": path}))
        if path == "/apis":
            return {"kind": "APIGroupList", "groups": []}
        _api, group, *version = path.strip("/").split("/")
        versions = self._versions(group)
        if not versions:
            raise PodwrightError("the server could not find the requested resource", status=404, reason=UNKNOWN_KIND)
        if not version:
            return {"preferredVersion": {"groupVersion": versions[0]}, "versions": [{"groupVersion": v} for v in versions]}
        resources = []
        for spec in (definition["spec"] for definition in self._definitions()):
            if spec["group"] == group and any(v["name"] == version[0] and v.get("served", True) for v in spec["versions"]):
                resource = {"kind": spec["names"]["kind"], "name": spec["names"]["plural"], "namespaced": spec["scope"] == "Namespaced"}
                has_status = any("status" in v.get("subresources", {}) for v in spec["versions"] if v["name"] == version[0])
                resources += [resource] + ([resource | {"name": f"{resource['name']}/status"}] if has_status else [])
        return {"resources": resources}


def fields(value):
    """The managed fields (fieldsV1) of a manifest, with each list as one field."""
    if not isinstance(value, dict):
        return {}
    return {f"f:{name}": fields(item) for name, item in value.items() if name not in ("apiVersion", "kind", "name", "namespace")}


class StubWatcher:
    """A Watcher that follows nothing; subclasses hand out changes by `next`."""

    def __init__(self, client):
        self._client = client

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def follow(self, *arguments, **options):
        pass
