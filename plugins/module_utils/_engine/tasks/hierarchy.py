# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tree below an object: the pods that belong to it, and to what belongs to it, with what they use."""

from __future__ import annotations

from ..cluster.kinds import JOB, POD
from ..errors import UNKNOWN_KIND, PodwrightError
from ..objects.labels import PARENT, label_of
from ..objects.pod_status import read_job, read_pod
from ..objects.resources import pod_requests
from .owner import read_parent


class Tree:
    """An object and everything below it.

    Attributes:
        root: the object.
        pods: the pods below it, in the order of the tree.
    """

    def __init__(self, root, items):
        self.root = root
        self._below = {}
        for item in items:
            for uid in _parents_of(item):
                self._below.setdefault(uid, []).append(item)
        self.pods = [item for item in self._walk(root) if item is not root and item["kind"] == POD.name]

    def _walk(self, item):
        yield item
        for child in self._below.get(item["metadata"]["uid"], []):
            yield from self._walk(child)

    def describe(self, usage):
        """The tree as nested mappings; `usage` is what pods use by name, where that is known."""
        return self._describe(self.root, usage)

    def _describe(self, item, usage):
        children = [self._describe(child, usage) for child in self._below.get(item["metadata"]["uid"], [])]
        totals = _own_use(item, usage)
        for child in children:
            for name in totals:
                totals[name] += child[name]
        totals = {name: round(value, 3) for name, value in totals.items()}
        return {
            "kind": item["kind"],
            "name": item["metadata"]["name"],
            "uid": item["metadata"]["uid"],
            "state": self._state(item),
            "children": children,
        } | totals

    def _state(self, item):
        if item["kind"] == JOB.name:
            return read_job(item, [pod for pod in self._below.get(item["metadata"]["uid"], []) if pod["kind"] == POD.name]).state
        return read_pod(item).state if item["kind"] == POD.name else None


def read_tree(client, option, namespace):
    """The Tree below an object.

    Args:
        option: as task_pod's parent.

    Raises: PodwrightError where there is no such object.
    """
    api_version, kind_name, name, _uid = read_parent(option, namespace)
    root = client.get(client.kinds.resolve(api_version, kind_name), namespace, name)
    if root is None:
        raise PodwrightError(
            f"{kind_name} '{name}' in namespace '{namespace}' does not exist.", reason="NoParent", hint="Check parent: its name, kind and api_version."
        )
    items, seen, missing = [], set(), {(POD.api_version, POD.name)}
    while missing:
        for place in missing:
            items += _list(client, *place, namespace)
        seen |= missing
        # What stands between: the kinds of owners that own something here and were not listed yet.
        missing = {(o["apiVersion"], o["kind"]) for item in items for o in item["metadata"].get("ownerReferences") or []} - seen
    return Tree(root, items)


def _list(client, api_version, kind_name, namespace):
    """The objects of a kind; beyond pods and Jobs their metadata is enough, and what cannot be listed connects nothing."""
    try:
        kind = client.kinds.resolve(api_version, kind_name)
        items, _version = client.list(kind, namespace if kind.namespaced else None, metadata_only=kind not in (POD, JOB))
    except PodwrightError as error:
        if error.reason == UNKNOWN_KIND or error.is_forbidden or error.is_not_found:
            return []
        raise
    return [item | {"apiVersion": api_version, "kind": kind_name} for item in items]


def _parents_of(item):
    owners = {owner["uid"] for owner in item["metadata"].get("ownerReferences") or []}
    return owners | ({label_of(item, PARENT)} if label_of(item, PARENT) else set())


def _own_use(item, usage):
    use = {"pods": 0, "cpu_requested": 0.0, "memory_requested": 0}
    if usage:
        use |= {"cpu_used": 0.0, "memory_used": 0}
    if item["kind"] != POD.name or read_pod(item).is_finished:
        return use
    requests = pod_requests(item)
    use |= {"pods": 1, "cpu_requested": float(requests.get("cpu", 0)), "memory_requested": int(requests.get("memory", 0))}
    used = usage.get(item["metadata"]["name"])
    if used:
        use |= {"cpu_used": float(used["cpu"]), "memory_used": int(used["memory"])}
    return use
