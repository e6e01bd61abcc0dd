# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The types and defaults of values of built-in kinds in the OpenAPI schema of the API, as far as comparisons need them.

A path is the tuple of mapping keys that lead to a value; positions in lists are left out.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, TypeAlias

from ..cluster.kinds import is_built_in
from ..objects.quantity import same_quantity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..values import Manifest

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
_QUANTITIES_OF_KIND: dict[str, tuple[Path, ...]] = {
    "ResourceQuota": (("spec", "hard", "*"),),
    "PersistentVolume": (("spec", "capacity", "*"),),
    "CSIStorageCapacity": (("capacity",), ("maximumVolumeSize",)),
    "ResourceSlice": (("capacity", "*", "value"), ("counters", "*", "value"), ("allocationMultiplier",)),
    "ResourceClaim": (("capacity", "requests", "*"),),
    "ResourceClaimTemplate": (("capacity", "requests", "*"),),
    "LimitRange": tuple(("spec", "limits", name, "*") for name in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")),
}
# Defaults that the API server sets within atomic values, by the end of the path; a missing entry costs a request.
_DEFAULTS: dict[Path, object] = {
    ("ports", "protocol"): "TCP",
    ("fieldRef", "apiVersion"): "v1",
    ("resourceFieldRef", "divisor"): "0",
    ("serviceAccountToken", "expirationSeconds"): 3600,
    ("subjects", "apiGroup"): "rbac.authorization.k8s.io",
    ("volumeClaimTemplates", "apiVersion"): "v1",
    ("volumeClaimTemplates", "kind"): "PersistentVolumeClaim",
    ("volumeClaimTemplates", "status"): {"phase": "Pending"},
    ("volumeClaimTemplates", "spec", "volumeMode"): "Filesystem",
    ("endpoints", "conditions"): {},
    ("exactly", "allocationMode"): "ExactCount",
    ("exactly", "count"): 1,
    **{(rules, "scope"): "*" for rules in ("rules", "resourceRules", "excludeResourceRules")},
    **{
        (match, name): value
        for match in ("matchConstraints", "matchResources")
        for name, value in (("namespaceSelector", {}), ("objectSelector", {}), ("matchPolicy", "Equivalent"))
    },
}
# Bytes, which manifests may write in several lines of base64.
_BYTES: dict[str, tuple[Path, ...]] = {
    "Secret": (("data", "*"),),
    "ConfigMap": (("binaryData", "*"),),
    "APIService": (("caBundle",),),
    "CertificateSigningRequest": (("request",),),
    "ValidatingWebhookConfiguration": (("clientConfig", "caBundle"),),
    "MutatingWebhookConfiguration": (("clientConfig", "caBundle"),),
}
_BASE64 = re.compile("[A-Za-z0-9+/]*={0,2}")
# The types of fields that the API server omits if they are false or 0; it refuses empty values of other types. A missing entry costs a request.
_OMITTED: dict[str, type] = {
    **dict.fromkeys(("hostIPC", "hostNetwork", "hostPID", "stdin", "stdinOnce", "tty", "readOnly", "paused", "publishNotReadyAddresses"), bool),
    **dict.fromkeys(("unschedulable", "globalDefault", "insecureSkipTLSVerify", "sslEnabled", "chapAuthDiscovery", "chapAuthSession", "clusterScope"), bool),
    **dict.fromkeys(("minReadySeconds", "initialDelaySeconds", "hostPort", "nodePort", "healthCheckNodePort", "count", "deprecatedCount"), int),
}
# Fields whose values no apply changes or owns.
_RESET = {"CertificateSigningRequest": (("spec",),)}
# Tolerations that the API server adds to each pod (the admission plugin DefaultTolerationSeconds).
_ADDED_TOLERATIONS = [
    {"key": f"node.kubernetes.io/{state}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300} for state in ("not-ready", "unreachable")
]
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
    "finalizers": (),  # a set
}


def merge_keys(name: str, item: Mapping[str, Any]) -> tuple[str, ...]:
    """The merge keys of an item in a list of this name."""
    if name == "ports":
        return ("containerPort" if "containerPort" in item else "port", "protocol")
    return MERGE_KEYS.get(name) or ("name",)


def identity_of(item: Mapping[str, Any], keys: Iterable[str]) -> tuple[Any, ...]:
    """The values of merge keys of an item; a port without a protocol is one of TCP."""
    return tuple(item.get(key, "TCP" if key == "protocol" else None) for key in keys)


# Built-in kinds that contain values of arbitrary types.
_OPAQUE = ("CustomResourceDefinition", "ControllerRevision")


class Schema:
    """The schema of one kind.

    Attributes:
        is_known: false for a custom resource, whose values are compared literally.
    """

    def __init__(self, api_version: str, kind_name: str):
        self._kind_name = kind_name
        self.is_known = is_built_in(api_version) and kind_name not in _OPAQUE

    def is_equal(self, path: Path, one: object, other: object) -> bool:
        """Whether two scalars at the path are equal to the API: numbers by value (1 is 1.0, but true is not 1), quantities and bytes in any notation."""
        if one == other:
            return isinstance(one, bool) == isinstance(other, bool)
        patterns = (*_QUANTITIES, *_QUANTITIES_OF_KIND.get(self._kind_name, ()))
        if self._has_pattern(path, patterns):
            return same_quantity(one, other)
        return self.is_bytes(path) and _same_bytes(one, other)

    def is_bytes(self, path: Path) -> bool:
        """Whether the value at the path is base64."""
        return self._has_pattern(path, _BYTES.get(self._kind_name, ()))

    def _has_pattern(self, path: Path, patterns: tuple[Path, ...]) -> bool:
        return self.is_known and any(_matches(path, pattern) for pattern in patterns)

    def is_reset(self, path: Path) -> bool:
        """Whether the API server keeps the live values below the path whatever is applied."""
        return self.is_known and path in _RESET.get(self._kind_name, ())

    def complete(self, desired: Manifest) -> Manifest:
        """The desired state with the defaults that the API server derives from other values within atomic lists."""
        if not self.is_known or self._kind_name != "LimitRange" or not isinstance(desired.get("spec"), dict):
            return desired
        limits = desired["spec"].get("limits")
        completed = [_complete_limits(item) for item in limits] if isinstance(limits, list) else limits
        return desired | {"spec": desired["spec"] | {"limits": completed}} if completed else desired

    def without_additions(self, path: Path, desired: Any, live: Any) -> Any:
        """The live value without the items that the API server adds to an atomic list."""
        if not self.is_known or (self._kind_name, path) != ("Pod", ("spec", "tolerations")) or not isinstance(live, list):
            return live
        wanted = desired if isinstance(desired, list) else []
        return [item for item in live if item in wanted or item not in _ADDED_TOLERATIONS]

    def is_default(self, path: Path, value: object) -> bool:
        """Whether the API server sets this value at the path if a manifest has none."""
        return self.is_known and any(path[-length:] in _DEFAULTS and _DEFAULTS[path[-length:]] == value for length in (2, 3))

    def leaves_out(self, path: Path, value: object, is_owned: bool) -> bool:
        """Whether the API server omits an empty value at the path from the object; it records no owner of an empty list with merge keys."""
        if not self.is_known or value:
            return False
        if path[-1] in _OMITTED or isinstance(value, (bool, int, float)):
            return is_owned and value.__class__ is _OMITTED.get(path[-1])
        is_unowned_list = value == [] and path[-1] in MERGE_KEYS and (path[0] == "metadata" or path[-1] not in ("finalizers", "ownerReferences"))
        return is_owned or is_unowned_list

    def default_of_key(self, path: Path, name: str) -> object:
        """The default of a merge key of the list at the path, or None."""
        return _DEFAULTS.get((path[-1], name)) if self.is_known and path else None


def _matches(path: Path, pattern: Path) -> bool:
    return len(path) >= len(pattern) and all(part in ("*", step) for part, step in zip(pattern, path[-len(pattern) :]))


def _same_bytes(one: object, other: object) -> bool:
    """Whether both are base64 of the same bytes, which the API writes without line feeds."""
    texts = [re.sub("[\r\n]", "", text) for text in (one, other) if isinstance(text, str)]
    if len(texts) < 2 or not all(_BASE64.fullmatch(text) and len(text) % 4 == 0 for text in texts):
        return False
    return base64.b64decode(texts[0]) == base64.b64decode(texts[1])


def _complete_limits(item: Any) -> Any:
    """An item of a LimitRange, in which a default is the maximum, and a default request the default or the minimum, unless it is given."""
    parts = ("max", "default", "defaultRequest", "min")
    if not isinstance(item, dict) or item.get("type") != "Container" or not all(isinstance(item.get(part) or {}, dict) for part in parts):
        return item
    most, limits, requests, least = (item.get(part) or {} for part in parts)
    limits = most | limits
    completed = {"default": limits, "defaultRequest": least | limits | requests}
    return item | {part: values for part, values in completed.items() if values}


def keeps_null(api_version: str) -> bool:
    """Whether null may differ from absence: a custom resource can have nullable fields (KEP-95), a built-in kind has none."""
    return not is_built_in(api_version)
