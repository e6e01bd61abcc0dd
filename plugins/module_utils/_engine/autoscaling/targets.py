# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The objects that are scaled: how they are found, and whether an autoscaler scales them already."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..arguments import read_selector
from ..cluster.kinds import JOB, POD, REPLICA_SET, Kind
from ..errors import UNKNOWN_KIND, PodwrightError, not_found_error
from ..objects.controllers import controller_reference
from ..objects.labels import AUTOSCALED, LAST_SCALED, annotation_of
from ..objects.readiness import whole_number
from ..objects.selectors import pod_selector
from ..reconciler.manifest import difference, key_of
from ..reconciler.plan import Change
from .scalers import list_scalers

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..cluster.client import Client
    from ..console import Console
    from ..objects.key import Key
    from ..values import Manifest, Options, Patch

# Kinds of other groups may have their replicas in any field: their scale subresource names it.
_BUILT_IN_GROUPS = ("", "apps", "batch")
WRITE_ATTEMPTS = 5  # while the status of an object changes
_SCALABLE = ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController", JOB.name)  # of these groups


@dataclass
class Target:
    """An object whose replicas are scaled.

    Attributes:
        before: the object before the task.
        after: the object after the latest change, or in check mode as predicted.
        patch: what was changed.
        note: why it was or was not changed.
        scale, scale_after: its Scale before and after, of a kind that is not built in; else None.
    """

    kind: Kind
    before: Manifest
    after: Manifest
    patch: Patch = field(default_factory=list)
    note: str = ""
    scale: Manifest | None = None
    scale_after: Manifest | None = None

    @classmethod
    def of(cls, kind: Kind, item: Manifest) -> Target:
        """A live object that has not been changed yet."""
        return cls(kind, item, item)

    @property
    def key(self) -> Key:
        """What identifies the object in a plan."""
        return key_of(self.before, self.kind)

    @property
    def name(self) -> str:
        """The name of the object."""
        return str(self.before["metadata"]["name"])

    @property
    def title(self) -> str:
        """Kind and name, for messages."""
        return f"{self.kind.name} '{self.name}'"

    @property
    def replicas_field(self) -> str:
        """The field of the spec that holds the replicas."""
        return "parallelism" if self.kind == JOB else "replicas"

    @property
    def replicas(self) -> int:
        """Desired replicas before the task."""
        return self._replicas_of(self.scale or self.before)

    @property
    def replicas_after(self) -> int:
        """Desired replicas after the latest change."""
        return self._replicas_of(self.scale_after or self.scale or self.after)

    def _replicas_of(self, item: Manifest) -> int:
        return whole_number((item.get("spec") or {}).get(self.replicas_field), 0 if self.scale else 1)  # a Scale omits 0

    @property
    def selector(self) -> str:
        """The label selector for its pods; empty if it has none."""
        return pod_selector(self.scale or self.before)

    def record(self, after: Manifest, scale: Manifest | None = None) -> None:
        """Record the object, and its Scale if it has one, as it was changed."""
        self.after, self.scale_after = after, scale or self.scale_after
        if self.scale is None:
            self.patch = difference(self.before, after)
        else:
            self.patch = difference(self._scaled(self.before, self.replicas), self._scaled(after, self.replicas_after))

    @staticmethod
    def _scaled(item: Manifest, replicas: int) -> Manifest:
        return {"metadata": {"annotations": item["metadata"].get("annotations") or {}}, "spec": {"replicas": replicas}}

    def to_change(self) -> Change:
        """The entry of the plan."""
        before, after = self.before, self.after
        if self.scale:
            before, after = (item | {"spec": (item.get("spec") or {}) | {"replicas": n}} for item, n in ((before, self.replicas), (after, self.replicas_after)))
        return Change("patch" if self.patch else "none", self.key, self.kind, before=before, after=after, patch=self.patch, note=self.note)


def find_kind(client: Client, params: Options) -> Kind:
    """The kind of the options. Raises: PodwrightError if it is not served, unless state is absent: an autoscaler can outlive the definition, too."""
    try:
        return client.kinds.find_optional(params["api_version"], params["kind"])
    except PodwrightError as error:
        if error.reason != UNKNOWN_KIND or params["state"] != "absent" or params["api_version"] in (None, "v1"):
            raise
        return Kind(params["api_version"], params["kind"], "")


def find_targets(client: Client, namespace: str, params: Options) -> list[Target]:
    """The object of that name, or the objects that the selectors match; a pod is replaced by its controller.

    Returns: an empty list if there is none and state is absent, since an autoscaler can outlive its object.
    Raises: PodwrightError if there is none, a pod has no controller, or an object to scale has no replicas.
    """
    kind = find_kind(client, params)
    if not kind.plural:
        return []
    if params["name"]:
        item = client.get(kind, namespace, params["name"])
        items = [item] if item else []
    else:
        items = client.list(kind, namespace, label_selector=read_selector(params))[0]
    if not items and (params["state"] == "present" or kind == POD):
        if params["name"]:
            hint = "Check kind, name and namespace." if params["state"] == "present" else "Name the object that its autoscaler scales instead of a pod."
            raise not_found_error(kind.name, params["name"], namespace, hint)
        message = f"No {kind.name} in namespace '{namespace}' matches {','.join(params['label_selectors'])}."
        raise PodwrightError(message, status=404, reason="NotFound", hint="Check kind, label_selectors and namespace.")
    targets = [Target.of(kind, item) for item in items]
    if kind == POD:
        controllers = [_controller_of(client, target) for target in targets]
        targets = list({target.before["metadata"]["uid"]: target for target in controllers}.values())
    for target in targets:
        if params["state"] == "present":
            _check_controller(target)
        is_built_in = target.kind.group in _BUILT_IN_GROUPS
        target.scale = None if is_built_in else _read_scale(client, target)
        if params["state"] == "present" and not (target.scale or (is_built_in and target.kind.name in _SCALABLE)):
            hint = f"Scale one of these kinds: {', '.join(_SCALABLE)}, or one whose definition has a scale subresource."
            raise PodwrightError(f"{target.title} cannot be scaled: its kind has no scale subresource.", reason="NotScalable", hint=hint)
    return targets


def _check_controller(target: Target) -> None:
    """Raises: PodwrightError if a controller sets the replicas of the object, and would reset them."""
    owner = controller_reference(target.before)
    if owner and target.kind == REPLICA_SET:
        message = f"{target.title} cannot be scaled: its controller, {owner['kind']} '{owner['name']}', sets its replicas."
        raise PodwrightError(message, reason="NotScalable", hint=f"Scale {owner['kind']} '{owner['name']}'.")


def _read_scale(client: Client, target: Target) -> Manifest | None:
    """The scale subresource of an object, or None if its kind has none. Raises: PodwrightError."""
    try:
        return client.get(target.kind, target.before["metadata"].get("namespace"), target.name, "scale")
    except PodwrightError as error:
        if error.reason != UNKNOWN_KIND:
            raise
        return None


def _controller_of(client: Client, pod: Target) -> Target:
    """The topmost controller of a pod, such as the Deployment of its ReplicaSet."""
    found, seen = pod, {pod.key}
    while True:
        metadata = found.before["metadata"]
        owner = controller_reference(found.before)
        if owner is None:
            break
        kind = client.kinds.resolve(owner["apiVersion"], owner["kind"])
        item = client.get(kind, metadata.get("namespace"), owner["name"])
        if item is None:
            message = f"{found.title} has a controller that does not exist: {kind.name} '{owner['name']}'."
            raise PodwrightError(message, reason="NotFound", hint="Name the object to scale instead of a pod that will be garbage-collected.")
        found = Target.of(kind, item)
        if found.key in seen:
            message = f"{pod.title} cannot be scaled: the owner references of {found.title} form a cycle."
            raise PodwrightError(message, reason="NotScalable", hint="Name the object to scale instead of a pod.")
        seen.add(found.key)
    if found is pod:
        raise PodwrightError(f"{pod.title} cannot be scaled: it has no controller.", reason="NotScalable", hint="Scale a Deployment, StatefulSet or Job.")
    return found


def autoscaler_of(client: Client, target: Target, console: Console) -> tuple[str, str]:
    """(what scales an object automatically, how to stop that), for messages; empty if nothing does or, with a warning, if autoscalers must not be listed."""
    if annotation_of(target.before, AUTOSCALED):
        return "pod_autoscale with engine direct", "stop that with state absent"
    return next(((scaler.title, scaler.removal) for scaler in list_scalers(client, target, console) if scaler.target == target.key), ("", ""))


def write_unless_changed(client: Client, target: Target, write: Callable[[Manifest], Manifest], seen: Manifest | None = None) -> Manifest:
    """The answer to a write that requires the version of the object which was read; sent again if only its status has changed since. Raises: PodwrightError.

    Args:
        write: called with the metadata that requires the version.
        seen: the object after an earlier write; by default as it was read.
    """
    item, attempts = (seen := seen or target.before), WRITE_ATTEMPTS
    while True:
        attempts -= 1
        try:
            return write({"resourceVersion": item["metadata"]["resourceVersion"]})
        except PodwrightError as error:
            live = client.get(target.kind, target.key.namespace, target.name) if error.status == 409 and attempts else None
            if live is None or _scaling_of(live) != _scaling_of(seen):
                raise
            item = live


def _scaling_of(item: Manifest) -> tuple[object, ...]:
    """What a step of scaling depends on."""
    metadata = item["metadata"]
    return metadata["uid"], metadata.get("generation"), annotation_of(item, AUTOSCALED), annotation_of(item, LAST_SCALED)
