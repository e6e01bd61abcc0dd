# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tree of an object's direct and indirect dependents, with the resources of its pods."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..cluster.kinds import JOB, POD
from ..cluster.metrics import usage_key
from ..errors import UNKNOWN_KIND, PodwrightError
from ..objects.job_status import read_job
from ..objects.labels import PARENT, label_of
from ..objects.pod_status import read_pod
from ..objects.resources import pod_requests
from .owner import read_parent

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..cluster.metrics import Usage
    from ..values import Manifest, Result


MAX_LEVELS = 100  # of dependents: the result is as deep, and whoever creates objects chooses their owner references


class Hierarchy:
    """An object and its direct and indirect dependents, each once: as near to the root as its owners have it.

    Args:
        items: candidates; those that have no path to the root are ignored.

    Attributes:
        root: the object.
        pods: the pods below it, depth first.

    Raises: PodwrightError if there are more than MAX_LEVELS levels.
    """

    def __init__(self, root: Manifest, items: Sequence[Manifest]) -> None:
        self.root = root
        self._children: dict[str, list[Manifest]] = {}
        dependents: dict[str, list[Manifest]] = {}
        for item in items:
            for uid in _parent_uids(item):
                dependents.setdefault(uid, []).append(item)
        level, seen = [root], {root["metadata"]["uid"]}
        for _number in range(MAX_LEVELS + 1):
            below: list[Manifest] = []
            for owner in level:
                children = {item["metadata"]["uid"]: item for item in dependents.get(owner["metadata"]["uid"], ()) if item["metadata"]["uid"] not in seen}
                self._children[owner["metadata"]["uid"]] = list(children.values())
                seen |= children.keys()
                below += children.values()
            level = below
        if level:
            title = f"{root['kind']} '{root['metadata']['name']}'"
            raise PodwrightError(f"{title} has more than {MAX_LEVELS} levels of dependents.", reason="TooLarge", hint="Name an object further down as parent.")
        self.pods = [item for item in self._walk(root) if item is not root and item["kind"] == POD.name]

    def _children_of(self, item: Manifest) -> list[Manifest]:
        return self._children.get(item["metadata"]["uid"], [])

    def _walk(self, item: Manifest) -> Iterator[Manifest]:
        yield item
        for child in self._children_of(item):
            yield from self._walk(child)

    def describe(self, usage: Usage | None) -> Result:
        """The tree as nested mappings with kind, name, uid, state, children and the totals of pods, cpu (cores) and memory (bytes).

        Args:
            usage: the resource usage of pods by name; without it the totals contain requests only.
        """
        return self._describe(self.root, usage)

    def _describe(self, item: Manifest, usage: Usage | None) -> Result:
        children = [self._describe(child, usage) for child in self._children_of(item)]
        totals = _own_resources(item, usage)
        for name in totals:
            totals[name] = round(totals[name] + sum(child[name] for child in children), 3)
        return {
            "kind": item["kind"],
            "name": item["metadata"]["name"],
            "uid": item["metadata"]["uid"],
            "state": self._state(item),
            "children": children,
            **totals,
        }

    def _state(self, item: Manifest) -> str | None:
        if item["kind"] == JOB.name:
            return read_job(item, [child for child in self._children_of(item) if child["kind"] == POD.name]).state
        return read_pod(item).state if item["kind"] == POD.name else None


def read_hierarchy(client: Client, option: str | Manifest, namespace: str) -> Hierarchy:
    """Read the hierarchy below an object.

    Args:
        option: a reference to it, as the option `parent` of a task.

    Raises: PodwrightError if the object does not exist, or has another uid.
    """
    reference = read_parent(option, namespace)
    root = client.get(client.kinds.find_optional(reference.api_version, reference.kind), namespace, reference.name)
    if root is None:
        message = f"{reference.kind} '{reference.name}' in namespace '{namespace}' does not exist."
        raise PodwrightError(message, reason="NoParent", hint="Check parent: its name, kind and api_version.")
    if reference.uid not in (None, root["metadata"]["uid"]):
        message = f"{reference.kind} '{reference.name}' in namespace '{namespace}' has the uid '{root['metadata']['uid']}', not '{reference.uid}'."
        raise PodwrightError(message, reason="NoParent", hint="Correct parent.uid, or omit it for any object of that name.")
    items: list[Manifest] = []
    seen: set[tuple[str, str]] = set()
    missing = {(POD.api_version, POD.name)}
    while missing:
        for api_version, kind_name in missing:
            items += _list(client, api_version, kind_name, namespace)
        seen |= missing
        # Kinds of owners between the pods and the object, such as ReplicaSets, that have not been listed yet.
        missing = {(owner["apiVersion"], owner["kind"]) for item in items for owner in item["metadata"].get("ownerReferences") or []} - seen
    return Hierarchy(root, items)


def _list(client: Client, api_version: str, kind_name: str, namespace: str) -> list[Manifest]:
    """The objects of a kind, without spec and status unless they are pods or Jobs; empty if they cannot be listed."""
    try:
        kind = client.kinds.resolve(api_version, kind_name)
        items, _version = client.list(kind, namespace if kind.namespaced else None, metadata_only=kind not in (POD, JOB))
    except PodwrightError as error:
        if error.reason == UNKNOWN_KIND or error.is_forbidden or error.is_not_found:
            return []
        raise
    return [item | {"apiVersion": api_version, "kind": kind_name} for item in items if "uid" in item["metadata"]]


def _parent_uids(item: Manifest) -> set[str]:
    """The uids of an object's owners, and of its parent, which Kubernetes removes from the owners when it orphans the object."""
    uids: set[str] = {owner["uid"] for owner in item["metadata"].get("ownerReferences") or []}
    parent = label_of(item, PARENT)
    return uids | ({parent} if parent else set())


def _own_resources(item: Manifest, usage: Usage | None) -> dict[str, float]:
    """The resources of an object without its dependents; a finished pod has none."""
    resources: dict[str, float] = {"pods": 0, "cpu_requested": 0.0, "memory_requested": 0}
    if usage:
        resources |= {"cpu_used": 0.0, "memory_used": 0}
    if item["kind"] != POD.name or read_pod(item).is_finished:
        return resources
    requests = pod_requests(item)
    resources |= {"pods": 1, "cpu_requested": float(requests.get("cpu", 0)), "memory_requested": int(requests.get("memory", 0))}
    used = (usage or {}).get(usage_key(item))
    if used:
        resources |= {"cpu_used": float(used.get("cpu", 0)), "memory_used": int(used.get("memory", 0))}
    return resources
