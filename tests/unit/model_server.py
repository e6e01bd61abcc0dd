# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An API server in this process with server-side apply, in which a random generator refuses requests, loses answers and lets others change objects."""

from __future__ import annotations

import copy

from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import difference
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.sets import PART_OF

from .fake_cluster import FakeCluster, Killed

OURS = "podwright"
FAULTS = {
    "forbidden": PodwrightError("it is forbidden: User x cannot do that", status=403, reason="Forbidden"),
    "denied": PodwrightError("admission webhook denied the request", status=403, reason="Forbidden"),
    "broken": PodwrightError("internal error", status=500, reason="InternalError"),
}
_IDENTITY = (("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace"))


def leaves(value, path=()):
    """{path: value} of the scalars and lists in a manifest, without what identifies the object."""
    if not isinstance(value, dict) or (not value and path):
        return {} if path in _IDENTITY else {path: value}
    return {leaf: content for name, below in value.items() for leaf, content in leaves(below, (*path, name)).items()}


def to_tree(paths):
    """Paths as fieldsV1."""
    tree = {}
    for path in sorted(paths):
        below = tree
        for name in path:
            below = below.setdefault(f"f:{name}", {})
    return tree


def to_paths(tree, path=()):
    """fieldsV1 as paths."""
    return {found for step, below in tree.items() for found in to_paths(below, (*path, step[2:]))} if tree else {path}


class ModelServer(FakeCluster):
    """An API server.

    Attributes:
        disturbances: how many faults may still happen.
        unlistable: names of kinds that must not be listed.
        history: (verb, key, whether its answer was received) of each write of ours that changed something visible.
        taken: keys of the objects that others put into their set, or took out of ours, while a run was in progress.
        on_delete: called with each object before we delete it.
    """

    def __init__(self, rng):
        super().__init__(None)
        self.rng, self.disturbances, self.unlistable, self.is_dead = rng, 0, set(), False
        self.history, self.trace, self.taken, self.on_delete = [], [], set(), lambda item: None
        self.owners = {}  # uid -> {(manager, operation): paths}
        self.namespaces = {"shop"}

    # -- requests -------------------------------------------------------------------------------------------

    def get(self, kind, namespace, name, subresource=None):
        self._arrive()
        item = self.objects.get(self._key(kind, namespace, name))
        return self._answer(item) if item else None

    def list(self, kind, namespace=None, label_selector=None, field_selector=None, metadata_only=False, transform=None):
        self._arrive()
        if kind.name in self.unlistable:
            raise FAULTS["forbidden"]
        items, version = super().list(kind, namespace, label_selector, field_selector)
        return [transform(item) if transform else self._answer(item) for item in items], version

    def apply(self, kind, namespace, name, body, manager, force=True, dry_run=False):
        key = self._key(kind, namespace, name)
        self._arrive(None if dry_run else key)
        if not self._is_served(kind) or (kind.namespaced and namespace not in self.namespaces):
            raise PodwrightError("not found", status=404, reason="NotFound")
        return self._perform("apply", key, dry_run, lambda: self._merge(key, body, (manager, "Apply"), force, dry_run))

    def patch(self, kind, namespace, name, patch, manager, content_type="", subresource=None, dry_run=False):
        """Change the owners of fields, all that a merge patch of Podwright does to an object of a set."""
        key = self._key(kind, namespace, name)
        self._arrive(key)
        item = self.objects.get(key)
        if item is None:
            raise PodwrightError("not found", status=404, reason="NotFound")
        if patch["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
            raise PodwrightError("the object has been modified", status=409, reason="Conflict")

        def write():
            entries = patch["metadata"]["managedFields"]
            self.owners[item["metadata"]["uid"]] = {(entry["manager"], entry["operation"]): to_paths(entry["fieldsV1"]) for entry in entries}
            return self._answer(self._touch(item))

        return self._perform("patch", key, dry_run, write)

    def delete(self, kind, namespace, name, uid=None, propagation="Background", grace_period=None, dry_run=False, version=None):
        key = self._key(kind, namespace, name)
        self._arrive(None if dry_run else key)
        item = self.objects.get(key)
        if item is None or (uid and item["metadata"]["uid"] != uid) or (version and item["metadata"]["resourceVersion"] != version):
            return False
        if not dry_run:
            self.on_delete(item)
        self._perform("delete", key, dry_run, lambda: None if dry_run else self._terminate(key))
        return True

    def _arrive(self, key=None):
        """A request arrives; before a write, others may change objects."""
        if self.is_dead:
            raise Killed
        if key and self.is_disturbed(0.15):
            self.disturb(key)

    def _perform(self, verb, key, dry_run, write):
        """Carry out a write, or refuse it, lose its answer, or kill the client before or after it."""
        if dry_run or not self.is_disturbed(0.12):
            before = copy.deepcopy(self.objects.get(key))
            answer = write()
            if not dry_run:
                self._record(verb, key, before, True)
            return answer
        fault = self.rng.choice(["lost", "lost", "kill before", "kill after", *FAULTS])
        self.trace.append(f"{fault}: {verb} {key}")
        if fault in FAULTS:
            raise FAULTS[fault]
        if fault != "kill before":
            before = copy.deepcopy(self.objects.get(key))
            write()
            self._record(verb, key, before, False)
        if fault == "lost":
            raise PodwrightError("the connection was lost", reason="ConnectionLost")
        self.is_dead = True
        raise Killed

    def _record(self, verb, key, before, is_certain):
        after = self.objects.get(key)
        is_change = (before is None) != (after is None) or bool(
            before and after and (difference(before, after) or is_terminating(before) != is_terminating(after))
        )
        self.trace.append(f"{verb} {key}{'' if is_change else ' (nothing)'}")
        if is_change:
            self.history.append((verb, key, is_certain))

    # -- objects --------------------------------------------------------------------------------------------

    @staticmethod
    def _key(kind, namespace, name):
        return kind.name, namespace if kind.namespaced else None, name

    def _is_served(self, kind):
        return not kind.group.endswith("example.com") or kind.api_version in self._versions(kind.group)

    def _answer(self, item):
        item = copy.deepcopy(item)
        owners = self.owners[item["metadata"]["uid"]]
        item["metadata"]["managedFields"] = [{"manager": m, "operation": o, "fieldsV1": to_tree(paths)} for (m, o), paths in owners.items() if paths]
        return item

    def _touch(self, item):
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        return item

    def _merge(self, key, body, writer, force, dry_run):
        """Server-side apply, or an update by somebody else (KEP-555); lists are atomic."""
        live = self.objects.get(key)
        item = copy.deepcopy(live) if live else {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": {"name": key[2]}}
        if not live:
            item["metadata"] |= {"uid": f"uid-{self._version}-{len(self.owners)}"} | ({"namespace": key[1]} if key[1] else {})
        owners = {other: set(paths) for other, paths in self.owners.get(item["metadata"]["uid"], {}).items()}
        desired, current = leaves(body), leaves(item)
        for path, value in desired.items():
            for other, owned in owners.items():
                if other != writer and path in owned and current.get(path) != value:
                    if not force:
                        raise PodwrightError("conflict with another manager", status=409, reason="Conflict")
                    owned.discard(path)
            _set(item, path, value)
        for path in owners.get(writer, set()) - set(desired) if writer[1] == "Apply" else ():
            if not any(path in paths for other, paths in owners.items() if other != writer):
                _unset(item, path)
        owners[writer] = set(desired) if writer[1] == "Apply" else owners.get(writer, set()) | set(desired)
        uid = item["metadata"]["uid"]
        is_same = live is not None and item == live and owners == self.owners.get(uid)
        if dry_run:
            return item | {"metadata": item["metadata"] | {"managedFields": []}}
        self.owners[uid], self.objects[key] = owners, item
        if key[0] == "Namespace":
            self.namespaces.add(key[2])
        return self._answer(item if is_same else self._touch(item))

    def _terminate(self, key):
        item = self.objects[key]
        if item["metadata"].get("finalizers"):
            item["metadata"].setdefault("deletionTimestamp", "2026-01-01T00:00:00Z")
            self._touch(item)
            return
        self._delete(key)
        if key[0] == "Namespace":
            self.namespaces.discard(key[2])

    def finish_deletions(self):
        """Let whatever is being deleted go."""
        for key in [key for key, item in self.objects.items() if is_terminating(item)]:
            if key in self.objects:
                self.objects[key]["metadata"].pop("finalizers")
                self._terminate(key)

    # -- others ---------------------------------------------------------------------------------------------

    def is_disturbed(self, probability):
        """Whether a fault happens now."""
        if self.disturbances <= 0 or self.rng.random() >= probability:
            return False
        self.disturbances -= 1
        return True

    def update(self, key, body):
        """Somebody else writes an object."""
        self._merge(key, body, ("kubectl", "Update"), True, False)

    def disturb(self, key):
        """Somebody else does something to an object."""
        item = self.objects.get(key)
        act = self.rng.choice(["delete", "change", "own", "recreate", "steal", "release", "finalize"])
        self.trace.append(f"somebody: {act} {key}")
        if item is None:
            if act == "recreate" and key[0] == "ConfigMap":
                self.update(key, {"apiVersion": "v1", "kind": "ConfigMap", "data": {"theirs": "1"}})
            return
        identity = {"apiVersion": item["apiVersion"], "kind": item["kind"]}
        is_plain = key[0] not in ("Namespace", "CustomResourceDefinition") and not key[2].startswith("podwright-set-")
        if act == "change":
            self.update(key, identity | {"data": {"theirs": str(self.rng.random())}})
        elif act == "own":
            self.update(key, identity | {"data": dict(item.get("data", {}))})
        elif act == "finalize":
            item["metadata"]["finalizers"] = ["example.com/hold"]
        elif is_plain and act == "steal":
            self.update(key, identity | {"metadata": {"labels": {PART_OF: "applyset-theirs-v1"}}})
            self.taken.add(key)
        elif is_plain and act == "release":
            for paths in self.owners[item["metadata"]["uid"]].values():
                paths.discard(("metadata", "labels", PART_OF))
            _unset(self._touch(item), ("metadata", "labels", PART_OF))
            self.taken.add(key)
        elif is_plain and act in ("delete", "recreate"):
            self._delete(key)
            if act == "recreate":
                self.update(key, identity | {"data": {"theirs": "2"}})
                self.taken.add(key)


def is_terminating(item):
    """Whether an object is being deleted."""
    return bool(item["metadata"].get("deletionTimestamp"))


def _set(item, path, value):
    for name in path[:-1]:
        item = item.setdefault(name, {})
    item[path[-1]] = copy.deepcopy(value)


def _unset(item, path):
    *above, last = path
    parents = [item]
    for name in above:
        if not isinstance(parents[-1].get(name), dict):
            return
        parents.append(parents[-1][name])
    parents[-1].pop(last, None)
    for parent, name in zip(parents[-2::-1], above[::-1]):
        if not parent[name]:
            del parent[name]
