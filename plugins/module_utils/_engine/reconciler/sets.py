# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Named sets of objects, marked as the ApplySet specification says (KEP-3659), so that other tools can read them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from ..cluster.kinds import CONFIG_MAP, NAMESPACE
from ..errors import PodwrightError
from ..objects.key import Key

PART_OF = "applyset.kubernetes.io/part-of"
ID = "applyset.kubernetes.io/id"
TOOLING = "applyset.kubernetes.io/tooling"
GROUP_KINDS = "applyset.kubernetes.io/contains-group-kinds"
NAMESPACES = "applyset.kubernetes.io/additional-namespaces"
PARENT_PREFIX = "podwright-set-"
TOOL = "podwright"


class Unlisted(NamedTuple):
    """A kind of which a set may have members that could not be listed.

    Attributes:
        group_kind: such as `Deployment.apps`.
        namespaces: where they may be; empty for cluster-scoped kinds.
        reason: why they could not be listed.
    """

    group_kind: str
    namespaces: tuple[str, ...]
    reason: str


class ApplySet:
    """One named set. Its parent object is the ConfigMap `podwright-set-NAME` in the set's namespace."""

    def __init__(self, name: str, namespace: str):
        self.name = name
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
        """The Key of the namespace that holds the parent object."""
        return Key("", NAMESPACE.name, "", self.namespace)

    def mark(self, manifest: dict) -> dict:
        """The manifest as a member of the set. Raises: PodwrightError if it names another set."""
        labels = manifest["metadata"].get("labels") or {}
        if labels.get(PART_OF, self.id) != self.id:
            raise PodwrightError(
                f"The manifest of {manifest['kind']} '{manifest['metadata']['name']}' sets the label {PART_OF}, which names the set of an object.",
                reason="BadManifest",
                hint="Remove the label from the manifest.",
            )
        return manifest | {"metadata": manifest["metadata"] | {"labels": labels | {PART_OF: self.id}}}

    def parent(self, keys: Iterable[Key], unlisted: Iterable[Unlisted] = ()) -> dict:
        """The parent's manifest.

        Args:
            keys: the members.
            unlisted: where further members may be.
        """
        keys, unlisted = list(keys), list(unlisted)
        kinds = {f"{key.kind}.{key.group}".rstrip(".") for key in keys} | {place.group_kind for place in unlisted}
        namespaces = {key.namespace for key in keys}.union(*(place.namespaces for place in unlisted)) - {"", self.namespace}
        annotations = {TOOLING: f"{TOOL}/v1", GROUP_KINDS: ",".join(sorted(kinds))}
        if namespaces:
            annotations[NAMESPACES] = ",".join(sorted(namespaces))
        metadata = {"name": self.parent_name, "namespace": self.namespace, "labels": {ID: self.id}, "annotations": annotations}
        return {"apiVersion": CONFIG_MAP.api_version, "kind": CONFIG_MAP.name, "metadata": metadata}

    def check_parent(self, parent: dict | None) -> None:
        """Raises: PodwrightError if the ConfigMap of the parent's name belongs to another tool or is no parent at all."""
        if parent is None:
            return
        found = f"ConfigMap '{self.parent_name}' in namespace '{self.namespace}'"
        tooling = _annotations(parent).get(TOOLING)
        if tooling is not None and tooling.partition("/")[0] != TOOL:
            raise PodwrightError(
                f"The set '{self.name}' belongs to another tool: {found} has the annotation {TOOLING}: {tooling}.",
                reason="ForeignSet",
                hint="Give this set another name.",
            )
        if tooling is None or (parent["metadata"].get("labels") or {}).get(ID) != self.id:
            raise PodwrightError(
                f"The set '{self.name}' cannot use the {found} as its parent: its annotation {TOOLING} or its label {ID} is missing or wrong.",
                reason="ForeignSet",
                hint="Give this set another name, or delete the ConfigMap.",
            )

    def foreign_set(self, item: dict) -> str | None:
        """The ID of the other set that an object is part of, or None."""
        part_of = (item["metadata"].get("labels") or {}).get(PART_OF)
        return None if part_of in (None, self.id) else part_of

    def recorded(self, parent: dict | None) -> tuple[list[str], list[str]]:
        """The group kinds (`Deployment.apps`) and the namespaces, the set's own first, that a live parent names."""
        annotations = _annotations(parent or {"metadata": {}})
        kinds, namespaces = ([entry.strip() for entry in annotations.get(name, "").split(",") if entry.strip()] for name in (GROUP_KINDS, NAMESPACES))
        return kinds, [self.namespace, *(namespace for namespace in namespaces if namespace != self.namespace)]


def _annotations(item):
    return item["metadata"].get("annotations") or {}
