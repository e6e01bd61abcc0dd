# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Named sets of objects, marked as the ApplySet specification says (KEP-3659), so that other tools can read them."""

from __future__ import annotations

import base64
import hashlib

from ..cluster.kinds import CONFIG_MAP
from .observe import list_members

PART_OF = "applyset.kubernetes.io/part-of"
ID = "applyset.kubernetes.io/id"
TOOLING = "applyset.kubernetes.io/tooling"
GROUP_KINDS = "applyset.kubernetes.io/contains-group-kinds"
NAMESPACES = "applyset.kubernetes.io/additional-namespaces"
PARENT_PREFIX = "podwright-set-"


class ApplySet:
    """One named set. Its parent object is the ConfigMap `podwright-set-NAME` in the set's namespace."""

    def __init__(self, name, namespace):
        self.namespace = namespace
        self.parent_name = PARENT_PREFIX + name
        identity = f"{self.parent_name}.{namespace}.ConfigMap."
        digest = base64.urlsafe_b64encode(hashlib.sha256(identity.encode()).digest()).decode().rstrip("=")
        self.id = f"applyset-{digest}-v1"

    @property
    def selector(self):
        """The label selector of the members."""
        return f"{PART_OF}={self.id}"

    def mark(self, manifest):
        """The manifest as a member of the set."""
        labels = (manifest["metadata"].get("labels") or {}) | {PART_OF: self.id}
        return manifest | {"metadata": manifest["metadata"] | {"labels": labels}}

    def parent(self, keys):
        """The parent's manifest for a set of these members (Keys)."""
        kinds = {f"{key.kind}.{key.group}" if key.group else key.kind for key in keys}
        namespaces = {key.namespace for key in keys} - {"", self.namespace}
        annotations = {TOOLING: "podwright/v1", GROUP_KINDS: ",".join(sorted(kinds))}
        if namespaces:
            annotations[NAMESPACES] = ",".join(sorted(namespaces))
        metadata = {"name": self.parent_name, "namespace": self.namespace, "labels": {ID: self.id}, "annotations": annotations}
        return {"apiVersion": CONFIG_MAP.api_version, "kind": CONFIG_MAP.name, "metadata": metadata}

    def members_elsewhere(self, client, parent, listed):
        """Members of kinds and namespaces that the parent names and that were not listed yet.

        Args:
            parent: the live parent object, or None.
            listed: (Kind, namespace) pairs that were listed already.
        """
        annotations = ((parent or {}).get("metadata") or {}).get("annotations") or {}
        namespaces = [self.namespace, *filter(None, annotations.get(NAMESPACES, "").split(","))]
        places = []
        for group_kind in filter(None, annotations.get(GROUP_KINDS, "").split(",")):
            kind_name, _dot, group = group_kind.partition(".")
            kind = client.kinds.find_if_served(group, kind_name)
            if kind:
                places += [(kind, namespace) for namespace in (namespaces if kind.namespaced else [""])]
        return list_members(client, [place for place in places if place not in listed], self.selector)
