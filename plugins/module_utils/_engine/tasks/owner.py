# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hierarchies: the object that a task belongs to, which takes the task with it when it goes, and the limits it sets."""

from __future__ import annotations

from dataclasses import dataclass

from ..cluster.kinds import JOB, POD
from ..errors import PodwrightError, option_error
from ..objects.labels import MAX_CHILDREN, MAX_DEPTH, PARENT, label_of, number_of, owner_reference
from ..objects.pod_status import read_job, read_pod

_KEYS = {"api_version", "kind", "name", "namespace", "uid"}


@dataclass(frozen=True)
class Parent:
    """A live parent.

    Attributes:
        item: the object.
        is_over: whether it is a task that ended, or is being deleted: nothing new can belong to it.
    """

    item: dict
    is_finished: bool

    @property
    def uid(self):
        """Its uid."""
        return self.item["metadata"]["uid"]

    @property
    def title(self):
        """What it is, for a person."""
        return f"{self.item['kind']} '{self.item['metadata']['name']}'"

    def as_child(self, manifest):
        """The manifest as one of a child: owner reference, label, and what is left of the parent's limits."""
        metadata, item = manifest["metadata"], self.item
        limits = self._limits_left(metadata.get("annotations") or {})
        annotations = (metadata.get("annotations") or {}) | limits | {PARENT: f"{item['apiVersion']} {item['kind']} {item['metadata']['name']}"}
        references = [*(metadata.get("ownerReferences") or []), owner_reference(item)]
        marked = metadata | {"labels": metadata["labels"] | {PARENT: self.uid}, "annotations": annotations, "ownerReferences": references}
        return _limit_template(manifest, limits) | {"metadata": marked}

    def _limits_left(self, own):
        """What a child may have below it, in its own words and its parent's."""
        depth, width, limits = number_of(self.item, MAX_DEPTH), number_of(self.item, MAX_CHILDREN), {}
        if depth is not None:
            limits[MAX_DEPTH] = str(min(depth - 1, int(own.get(MAX_DEPTH, depth))))
        if width is not None:
            limits[MAX_CHILDREN] = own.get(MAX_CHILDREN, str(width))
        return limits


def _limit_template(manifest, limits):
    """A Job's pods carry its limits, too: it is they that start children."""
    template = manifest["spec"].get("template")
    if not template:
        return manifest
    metadata = template["metadata"] | {"annotations": template["metadata"].get("annotations", {}) | limits}
    return manifest | {"spec": manifest["spec"] | {"template": template | {"metadata": metadata}}}


def read_parent(option, namespace):
    """(api version, kind, name, uid or None) of the option. Raises: PodwrightError, for another namespace too."""
    if isinstance(option, str):
        option = {"name": option}
    if not isinstance(option, dict) or not option.get("name") or set(option) - _KEYS:
        raise option_error("parent", f"'{option}' is neither the name of a pod nor a mapping with name, kind and api_version.")
    if option.get("namespace") not in (None, namespace):
        raise option_error(
            "parent.namespace",
            f"the task is in '{namespace}' and its parent in '{option['namespace']}'; Kubernetes would delete the task at once.",
            "Owners live in the same namespace, or in none.",
        )
    kind = option.get("kind") or POD.name
    return option.get("api_version") or ("batch/v1" if kind == JOB.name else "v1"), kind, option["name"], option.get("uid")


class Parents:
    """Finds parents, each with one request, and counts their children.

    Args:
        client: a Client.
    """

    def __init__(self, client):
        self._client = client
        self._found = {}
        self._room = {}

    def find(self, spec):
        """The Parent of a task, or None where it names none. Raises: PodwrightError where there is no such object."""
        if not spec.options.get("parent"):
            return None
        api_version, kind_name, name, uid = read_parent(spec.options["parent"], spec.namespace)
        place = (api_version, kind_name, spec.namespace, name)
        if place not in self._found:
            kind = self._client.kinds.resolve(api_version, kind_name)
            self._found[place] = self._client.get(kind, spec.namespace, name)
        item = self._found[place]
        if item is None or uid not in (None, item["metadata"]["uid"]):
            what = "does not exist" if item is None else f"is another one now (its uid is {item['metadata']['uid']})"
            raise PodwrightError(
                f"The parent of task '{spec.name}', {kind_name} '{name}' in namespace '{spec.namespace}', {what}.",
                reason="NoParent",
                hint="Start the parent first, or correct parent.",
            )
        return Parent(item, _is_over(item))

    def admit(self, spec, parent, replaced=None):
        """Count a task that is about to be created, or takes the place of a live one.

        Raises: PodwrightError where the parent ended, or its limits are reached.
        """
        if parent.is_finished:
            raise _refused(spec, f"{parent.title} has ended, and would take it away", "Start the parent again first.")
        depth, width = number_of(parent.item, MAX_DEPTH), number_of(parent.item, MAX_CHILDREN)
        if depth is not None and depth < 1:
            raise _refused(spec, f"{parent.title} may have no tasks below it (max_depth)", "Raise max_depth of the task at the top.")
        if width is None or (replaced and label_of(replaced, PARENT) == parent.uid and not _is_over(replaced)):
            return
        if parent.uid not in self._room:
            children = [item for kind in (POD, JOB) for item in self._client.list(kind, spec.namespace, label_selector=f"{PARENT}={parent.uid}")[0]]
            self._room[parent.uid] = width - sum(not _is_over(item) for item in children)
        self._room[parent.uid] -= 1
        if self._room[parent.uid] < 0:
            raise _refused(spec, f"{parent.title} has {width} children already (max_children)", "Wait until some end, or raise max_children.")


def _is_over(item):
    if item["metadata"].get("deletionTimestamp"):
        return True
    return {POD.name: read_pod, JOB.name: lambda job: read_job(job, [])}[item["kind"]](item).is_finished if item["kind"] in (POD.name, JOB.name) else False


def _refused(spec, why, hint):
    return PodwrightError(f"The task '{spec.name}' in namespace '{spec.namespace}' cannot start: {why}.", reason="ParentRefused", hint=hint)
