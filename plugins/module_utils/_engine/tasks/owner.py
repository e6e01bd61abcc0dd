# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Owners of tasks: a task is garbage-collected with its parent, which limits the tasks below it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..cluster.kinds import JOB, POD
from ..errors import PodwrightError, option_error
from ..objects.job_status import read_job
from ..objects.labels import MAX_CHILDREN, MAX_DEPTH, PARENT, label_of, number_of, owner_reference
from ..objects.pod_status import read_pod
from ..text import parse_integer
from .options import check_keys, text_of

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..cluster.kinds import Kind
    from ..values import Manifest
    from .task_spec import TaskSpec


class ParentReference(NamedTuple):
    """The option `parent`, defaults filled in; without a uid it refers to any object of that name."""

    api_version: str
    kind: str
    name: str
    uid: str | None


def read_parent(option: Any, namespace: str) -> ParentReference:
    """Read the option `parent` of a task in a namespace. Raises: PodwrightError, also if the parent is in another namespace."""
    if isinstance(option, str):
        option = {"name": option}
    if not isinstance(option, dict) or not option.get("name"):
        raise option_error("parent", f"must be the name of a pod, or a mapping with name, kind, api_version and uid, got {option!r}.")
    check_keys("parent", option, ("name", "kind", "api_version", "uid", "namespace"))
    if option.get("namespace") not in (None, namespace):
        hint = "Kubernetes deletes an object whose owner is in another namespace. An owner can be cluster-scoped."
        raise option_error("parent.namespace", f"must be the namespace of the task, '{namespace}', got '{option['namespace']}'.", hint)
    api_version, kind, name, uid = (text_of(f"parent.{part}", option.get(part)) for part in ("api_version", "kind", "name", "uid"))
    return ParentReference(api_version or "v1", kind or POD.name, name, uid or None)


@dataclass(frozen=True)
class Parent:
    """The live parent of a task.

    Attributes:
        item: its object.
        is_finished: whether it is a task that has terminated, or is being deleted: it can have no new dependents.
    """

    item: Manifest
    is_finished: bool

    @property
    def uid(self) -> str:
        """Its uid."""
        uid: str = self.item["metadata"]["uid"]
        return uid

    @property
    def title(self) -> str:
        """Its kind and name for a message."""
        return f"{self.item['kind']} '{self.item['metadata']['name']}'"

    def as_child(self, manifest: Manifest) -> Manifest:
        """The manifest of a Pod or Job with the owner reference and label of a child, and with what remains of the parent's limits."""
        metadata, item = manifest["metadata"], self.item
        annotations = metadata.get("annotations") or {}
        limits = self._remaining_limits(annotations)
        reference = f"{item['apiVersion']} {item['kind']} {item['metadata']['name']}"
        child = metadata | {
            "labels": metadata["labels"] | {PARENT: self.uid},
            "annotations": annotations | limits | {PARENT: reference},
            "ownerReferences": [*(metadata.get("ownerReferences") or []), owner_reference(item)],
        }
        return _limit_template(manifest, limits) | {"metadata": child}

    def _remaining_limits(self, own: dict[str, str]) -> dict[str, str]:
        """The limits of a child, from its own annotations and those of its parent."""
        depth, children, limits = number_of(self.item, MAX_DEPTH), number_of(self.item, MAX_CHILDREN), {}
        if depth is not None:
            wanted = parse_integer(own.get(MAX_DEPTH))
            limits[MAX_DEPTH] = str(depth - 1 if wanted is None else min(depth - 1, wanted))
        if children is not None:
            limits[MAX_CHILDREN] = own.get(MAX_CHILDREN, str(children))
        return limits


def _limit_template(manifest: Manifest, limits: dict[str, str]) -> Manifest:
    """The manifest with the limits on the pods of a Job, too, which are the parents of their children."""
    template = manifest["spec"].get("template")
    if not template:
        return manifest
    metadata = template["metadata"] | {"annotations": template["metadata"].get("annotations", {}) | limits}
    return manifest | {"spec": manifest["spec"] | {"template": template | {"metadata": metadata}}}


class Parents:
    """Reads parents, each with one request, and enforces their limits."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kinds: dict[tuple[str, str], Kind] = {}  # without an API version all groups are searched
        self._found: dict[tuple[str, str, str, str], Manifest | None] = {}
        self._free: dict[str, int] = {}  # uid -> number of children that it may still get

    def find(self, spec: TaskSpec) -> Parent | None:
        """The parent of a task, or None if it has none. Raises: PodwrightError with reason `NoParent` if the object does not exist."""
        if not spec.options.get("parent"):
            return None
        api_version, kind_name, name, uid = read_parent(spec.options["parent"], spec.namespace)
        key = (api_version, kind_name, spec.namespace, name)
        if key not in self._found:
            kind = self._kinds.get(key[:2]) or self._client.kinds.find_optional(api_version, kind_name)
            self._kinds[key[:2]] = kind
            self._found[key] = self._client.get(kind, spec.namespace, name)
        item = self._found[key]
        if item is not None and uid in (None, item["metadata"]["uid"]):
            return Parent(item, _is_finished(item))
        fault = "does not exist" if item is None else f"has the uid '{item['metadata']['uid']}', not '{uid}'"
        raise PodwrightError(
            f"The parent of task '{spec.name}', {kind_name} '{name}' in namespace '{spec.namespace}', {fault}.",
            reason="NoParent",
            hint="Create the parent first, or correct parent.",
        )

    def admit(self, spec: TaskSpec, parent: Parent, replaced: Manifest | None = None) -> None:
        """Count a task that is about to be created, unless it replaces a live child of the same parent.

        Raises: PodwrightError if the parent is finished or its limits are reached.
        """
        if parent.is_finished:
            state = "is being deleted" if parent.item["metadata"].get("deletionTimestamp") else "has terminated"
            raise _refusal(spec, f"{parent.title} {state}; its dependents would be garbage-collected", "Run the parent again first.")
        depth, children = number_of(parent.item, MAX_DEPTH), number_of(parent.item, MAX_CHILDREN)
        if depth is not None and depth < 1:
            raise _refusal(spec, f"{parent.title} must not have tasks below it (max_depth)", "Increase max_depth of the topmost task.")
        if children is None or (replaced and label_of(replaced, PARENT) == parent.uid and not _is_finished(replaced)):
            return
        if parent.uid not in self._free:
            self._free[parent.uid] = children - self._count_children(parent.uid, spec.namespace)
        self._free[parent.uid] -= 1
        if self._free[parent.uid] < 0:
            hint = "Wait until one of them finishes, or increase max_children."
            raise _refusal(spec, f"{parent.title} has {children} children already (max_children)", hint)

    def _count_children(self, uid: str, namespace: str) -> int:
        lists = [self._client.list(kind, namespace, label_selector=f"{PARENT}={uid}")[0] for kind in (POD, JOB)]
        return sum(not _is_finished(item) for items in lists for item in items)


def _is_finished(item: Manifest) -> bool:
    """Whether an object is being deleted, or is a Pod or Job that has terminated."""
    if item["metadata"].get("deletionTimestamp"):
        return True
    if item["kind"] == JOB.name:
        return read_job(item, []).is_finished
    return item["kind"] == POD.name and read_pod(item).is_finished


def _refusal(spec: TaskSpec, why: str, hint: str) -> PodwrightError:
    return PodwrightError(f"The task '{spec.name}' in namespace '{spec.namespace}' cannot start: {why}.", reason="ParentRefused", hint=hint)
