# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Named sets of objects in the labels and annotations of the ApplySet specification (KEP-3659), which other tools read, too."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from ..cluster.client import MANAGER
from ..cluster.kinds import CONFIG_MAP, NAMESPACE, SECRET
from ..errors import PodwrightError
from ..objects.key import Key
from ..objects.labels import annotation_of, label_of
from .fields import label_appliers

if TYPE_CHECKING:
    from ..values import Manifest

PART_OF = "applyset.kubernetes.io/part-of"
ID = "applyset.kubernetes.io/id"
TOOLING = "applyset.kubernetes.io/tooling"
GROUP_KINDS = "applyset.kubernetes.io/contains-group-kinds"
NAMESPACES = "applyset.kubernetes.io/additional-namespaces"
PARENT_PREFIX = "podwright-set-"
TOOL = "podwright"
_RECORDS = (CONFIG_MAP.group, CONFIG_MAP.name), (SECRET.group, SECRET.name)


class Unlisted(NamedTuple):
    """A kind of which a set may have members that cannot be listed.

    Attributes:
        group_kind: such as `Deployment.apps`.
        namespaces: the namespaces that cannot be listed; empty for a cluster-scoped kind.
        reason: the message of the API server.
    """

    group_kind: str
    namespaces: tuple[str, ...]
    reason: str


class ApplySet:
    """A named set; its parent object is the ConfigMap `podwright-set-NAME` in the set's namespace.

    Args:
        manager: the field manager that applies its members.

    Attributes:
        appliers: further managers that may have applied members, as they have applied the record; None if nobody has, since it was restored from a backup.
    """

    appliers: set[str] | None

    def __init__(self, name: str, namespace: str, manager: str = MANAGER):
        self.name = name
        self.manager, self.appliers = manager, set()
        self.namespace = namespace
        self.parent_name = PARENT_PREFIX + name
        identity = f"{self.parent_name}.{namespace}.ConfigMap."
        digest = base64.urlsafe_b64encode(hashlib.sha256(identity.encode()).digest()).decode().rstrip("=")
        self.id = f"applyset-{digest}-v1"

    @property
    def selector(self) -> str:
        """The label selector of the members."""
        return f"{PART_OF}={self.id}"

    @property
    def parent_key(self) -> Key:
        """The Key of the parent object."""
        return Key("", CONFIG_MAP.name, self.namespace, self.parent_name)

    @property
    def namespace_key(self) -> Key:
        """The Key of the parent object's namespace."""
        return Key("", NAMESPACE.name, "", self.namespace)

    def mark(self, manifest: Manifest) -> Manifest:
        """The manifest as a member of the set. Raises: PodwrightError if its label names another set."""
        labels = manifest["metadata"].get("labels") or {}
        if labels.get(PART_OF, self.id) != self.id:
            raise PodwrightError(
                f"The manifest of {manifest['kind']} '{manifest['metadata']['name']}' has the label {PART_OF} of a set other than '{self.name}'.",
                reason="BadManifest",
                hint="Remove the label from the manifest: the set adds its own.",
            )
        return manifest | {"metadata": manifest["metadata"] | {"labels": labels | {PART_OF: self.id}}}

    def parent(self, keys: Iterable[Key], unlisted: Iterable[Unlisted] = ()) -> Manifest:
        """The manifest of the parent, which records the kinds and namespaces of the members.

        Args:
            keys: the members.
            unlisted: kinds of which there may be further members.
        """
        keys, unlisted = list(keys), list(unlisted)
        kinds = {f"{key.kind}.{key.group}".rstrip(".") for key in keys} | {place.group_kind for place in unlisted}
        namespaces = {key.namespace for key in keys}.union(*(place.namespaces for place in unlisted)) - {"", self.namespace}
        annotations = {TOOLING: f"{TOOL}/v1", GROUP_KINDS: ",".join(sorted(kinds))}
        if namespaces:
            annotations[NAMESPACES] = ",".join(sorted(namespaces))
        metadata = {"name": self.parent_name, "namespace": self.namespace, "labels": {ID: self.id}, "annotations": annotations}
        return {"apiVersion": CONFIG_MAP.api_version, "kind": CONFIG_MAP.name, "metadata": metadata}

    def check_parent(self, parent: Manifest | None) -> None:
        """Check the ConfigMap of the parent's name, if there is one. Raises: PodwrightError if it is another tool's, or not a parent."""
        if parent is None:
            return
        title = self.parent_key.title
        tooling = annotation_of(parent, TOOLING)
        if tooling is not None and tooling.partition("/")[0] != TOOL:
            raise PodwrightError(
                f"The set '{self.name}' belongs to another tool: {title} has the annotation {TOOLING}: {tooling}.",
                reason="ForeignSet",
                hint="Give this set another name.",
            )
        if tooling is None or label_of(parent, ID) != self.id:
            raise PodwrightError(
                f"The set '{self.name}' cannot use {title} as its parent: its annotation {TOOLING} or its label {ID} is missing or wrong.",
                reason="ForeignSet",
                hint="Give this set another name, or delete the ConfigMap.",
            )

    def read_appliers(self, parent: Manifest | None) -> None:
        """Read from the parent who has applied the set, if it exists: the members of a restored set, as its record, have no manager that applied them."""
        self.appliers = set() if parent is None else label_appliers(parent, ID) or None

    def foreign_set(self, item: Manifest) -> str | None:
        """The ID of the other set of which an object is a member, or None."""
        return None if self.has(item) else label_of(item, PART_OF)

    def has(self, item: Manifest) -> bool:
        """Whether an object is a member."""
        return label_of(item, PART_OF) == self.id

    def recorded(self, parent: Manifest | None) -> tuple[list[str], list[str]]:
        """The group kinds (`Deployment.apps`) and the namespaces, the set's own first, in the record of a live parent."""
        kinds, namespaces = (entries_of(parent, name) if parent else [] for name in (GROUP_KINDS, NAMESPACES))
        return kinds, [self.namespace, *(namespace for namespace in namespaces if namespace != self.namespace)]


def is_record(key: Key, item: Manifest) -> bool:
    """Whether an object is nothing but the record of a set. Custom objects may be parents of sets, too, and are more than that."""
    return key[:2] in _RECORDS and label_of(item, ID) is not None


def entries_of(parent: Manifest, annotation: str) -> list[str]:
    """The group kinds or namespaces in an annotation of a parent."""
    return [entry.strip() for entry in (annotation_of(parent, annotation) or "").split(",") if entry.strip()]
