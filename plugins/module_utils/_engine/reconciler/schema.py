# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The types and defaults of values of built-in kinds in the OpenAPI schema of the API, as far as comparisons need them.

A path is the tuple of mapping keys that lead to a value; positions in lists are left out.
"""

from __future__ import annotations

from typing import TypeAlias

from ..cluster.kinds import BUILT_IN

Path: TypeAlias = tuple[str, ...]

# The last keys in the paths of quantities; `*` is any key.
_QUANTITIES = (
    ("resources", "limits", "*"),
    ("resources", "requests", "*"),
    ("overhead", "*"),
    ("podFixed", "*"),
    ("emptyDir", "sizeLimit"),
    ("resourceFieldRef", "divisor"),
    ("target", "averageValue"),
    ("target", "value"),
)
_QUANTITIES_OF_KIND = {
    "ResourceQuota": (("spec", "hard", "*"),),
    "PersistentVolume": (("spec", "capacity", "*"),),
    "LimitRange": tuple(("spec", "limits", name, "*") for name in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")),
}
# Defaults that the API server sets within atomic values, by the end of the path; a missing entry costs a request.
_DEFAULTS = {
    ("ports", "protocol"): "TCP",
    ("fieldRef", "apiVersion"): "v1",
    ("resourceFieldRef", "divisor"): "0",
    ("serviceAccountToken", "expirationSeconds"): 3600,
    ("subjects", "apiGroup"): "rbac.authorization.k8s.io",
    ("volumeClaimTemplates", "apiVersion"): "v1",
    ("volumeClaimTemplates", "kind"): "PersistentVolumeClaim",
    ("volumeClaimTemplates", "status"): {"phase": "Pending"},
    ("volumeClaimTemplates", "spec", "volumeMode"): "Filesystem",
}
# The merge keys of lists of built-in types by field (OpenAPI: x-kubernetes-list-map-keys), for local predictions.
MERGE_KEYS = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "imagePullSecrets": ("name",),
    "hostAliases": ("ip",),
    "secrets": ("name",),
    "ownerReferences": ("uid",),
    "webhooks": ("name",),
    "ports": (),  # its keys differ by kind
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
# Built-in kinds that contain values of arbitrary types.
_OPAQUE = ("CustomResourceDefinition", "ControllerRevision")


class Schema:
    """The schema of one kind.

    Attributes:
        is_known: false for a custom resource, whose values are compared literally.
    """

    def __init__(self, api_version: str, kind_name: str):
        self._kind_name = kind_name
        self.is_known = (api_version, kind_name) in BUILT_IN and kind_name not in _OPAQUE

    def is_quantity(self, path: Path) -> bool:
        """Whether the value at the path is a quantity."""
        patterns = (*_QUANTITIES, *_QUANTITIES_OF_KIND.get(self._kind_name, ()))
        return self.is_known and any(_matches(path, pattern) for pattern in patterns)

    def is_default(self, path: Path, value: object) -> bool:
        """Whether the API server sets this value at the path if a manifest has none."""
        return self.is_known and any(path[-length:] in _DEFAULTS and _DEFAULTS[path[-length:]] == value for length in (2, 3))

    def leaves_out(self, path: Path, value: object, is_owned: bool) -> bool:
        """Whether the API server omits an empty value at the path from the object; it records no owner of an empty list with merge keys."""
        return self.is_known and not value and (is_owned or (value == [] and path[-1] in MERGE_KEYS))

    def default_of_key(self, path: Path, name: str) -> object:
        """The default of a merge key of the list at the path, or None."""
        return _DEFAULTS.get((path[-1], name)) if self.is_known and path else None


def _matches(path: Path, pattern: Path) -> bool:
    return len(path) >= len(pattern) and all(part in ("*", step) for part, step in zip(pattern, path[-len(pattern) :]))


def keeps_null(api_version: str, kind_name: str) -> bool:
    """Whether null may differ from absence: a custom resource can have nullable fields (KEP-95), a built-in kind has none."""
    return (api_version, kind_name) not in BUILT_IN
