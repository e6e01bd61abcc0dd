# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The types of those fields of live objects on which the engine relies: a server that is not an API server may respond with anything."""

from __future__ import annotations

from typing import Any

from ..objects.timestamps import read_timestamp
from .kinds import ANSWERED_GROUPS, BUILT_IN, POD, SERVICE, Kind

_TEXT = None  # a mapping of text to text; dict[str, str] would be a type in Python 3.10
_TIME = "time"  # the text of a timestamp
# A type, _TIME, _TEXT, a list with the shape of each item, or shapes by field; a field without `!` after its name may be missing or null,
# one with it must not be an empty list either.
_METADATA: dict[str, Any] = {
    **dict.fromkeys(("name!", "namespace", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp"), str),
    "generation": int,
    "labels": _TEXT,
    "annotations": _TEXT,
    "finalizers": [str],
    "ownerReferences": [{"apiVersion!": str, "kind!": str, "name!": str, "uid!": str}],
    "managedFields": [dict],
}
_IDENTIFIED = _METADATA | {"uid!": str, "creationTimestamp!": _TIME}  # the object of a dry run has no resourceVersion
_TERMINATED = {"exitCode!": int, "reason": str, "startedAt": str, "finishedAt": str}
_STATE = {"waiting": {"reason": str, "message": str}, "running": {"startedAt": str}, "terminated": _TERMINATED}
_CONTAINERS = [
    {
        "name!": str,
        "image": str,
        "env": [{"name!": str, "value": str, "valueFrom": {"secretKeyRef": {"name": str, "key": str}}}],
        "ports": [{"containerPort!": int, "name": str}],
        "resources": {"limits": dict, "requests": dict},
    }
]
_STATUSES = [{"name!": str, "state": _STATE, "lastState": _STATE, "restartCount": int, "containerID": str, "resources": dict}]
_STATUS = {"phase": str, "reason": str, "message": str, "observedGeneration": int, "conditions": [{"type!": str, "status": str, "reason": str, "message": str}]}
_POD_SPEC = {
    "containers!": _CONTAINERS,
    "initContainers": _CONTAINERS,
    "ephemeralContainers": _CONTAINERS,
    "restartPolicy": str,
    "nodeName": str,
    "volumes": [{"name!": str, "secret": {"secretName!": str}}],
}
_TEMPLATE = {"metadata": {"labels": _TEXT, "annotations": _TEXT}, "spec!": _POD_SPEC}
_POD = {
    "spec!": _POD_SPEC,
    "status": _STATUS | dict.fromkeys(("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"), _STATUSES),
}
_SERVICE = {"selector": _TEXT, "ports": [{"port!": int, "name": str}]}
_WORKLOADS = ("Deployment", "ReplicaSet", "StatefulSet", "ReplicationController", "Job")
_GROUP = {"versions": [{"groupVersion!": str}], "preferredVersion": {"groupVersion!": str}}
_DISCOVERY: dict[str, Any] = {
    "APIGroup": _GROUP,
    "APIGroupList": {"groups": [_GROUP]},
    "APIResourceList": {"resources": [{"name!": str, "kind!": str, "namespaced!": bool, "singularName": str, "shortNames": [str]}]},
}


def _compile(shape: Any) -> Any:
    """The shape with a tuple (field, is required, shape) for each field of a mapping: thousands of objects are checked."""
    if isinstance(shape, list):
        return [_compile(shape[0])]
    if not isinstance(shape, dict):
        return shape
    required = {name.removesuffix("!") for name in shape if name.endswith("!")}
    return tuple((name, name in required, _compile(part)) for name, part in {name.removesuffix("!"): part for name, part in shape.items()}.items())


_SHAPES = {
    "any": _compile({"metadata!": _METADATA}),
    "built-in": _compile({"metadata!": _IDENTIFIED, "spec": dict, "status": dict}),
    "Pod": _compile({"metadata!": _IDENTIFIED} | _POD),
    "workload": _compile({"metadata!": _IDENTIFIED, "spec!": {"replicas": int, "parallelism": int, "template": _TEMPLATE}, "status": dict}),
    "Service": _compile({"metadata!": _IDENTIFIED, "spec!": _SERVICE, "status": dict}),
    **dict.fromkeys(("ConfigMap", "Secret"), _compile({"metadata!": _IDENTIFIED, "data": _TEXT})),
    "answer": _compile({"status": dict}),
    "bookmark": _compile({"metadata!": {"resourceVersion!": str}}),
    **{name: _compile(shape) for name, shape in _DISCOVERY.items()},
}


def find_misfit(item: Any, kind: Kind | None) -> str | None:
    """The path of a field of a live object that is missing or of another type than in the API, or None.

    Args:
        kind: None for a kind that is unknown.
    """
    if kind is not None and kind.group in ANSWERED_GROUPS:
        return None if _fits(item, _SHAPES["answer"]) else "status"
    # Metrics are computed for each request, and have no identity.
    is_built_in = kind is not None and BUILT_IN.get((kind.api_version, kind.name)) == kind and kind.group != "metrics.k8s.io"
    name = "any" if kind is None or not is_built_in else "workload" if kind.name in _WORKLOADS else kind.name
    shape = _SHAPES[name if name in ("any", "workload", POD.name, SERVICE.name, "ConfigMap", "Secret") else "built-in"]
    return None if _fits(item, shape) else _find(item, shape, "")


def find_discovery_misfit(item: Any) -> str | None:
    """Like `find_misfit`, for a response of the discovery API."""
    shape = _SHAPES.get(item["kind"] if item["kind"] in _DISCOVERY else "", ())
    return None if _fits(item, shape) else _find(item, shape, "")


def is_bookmark(item: Any) -> bool:
    """Whether an object is that of a bookmark, which has nothing but a resource version."""
    return _fits(item, _SHAPES["bookmark"])


def _fits(value: Any, shape: Any) -> bool:
    # Of exactly that type: True is an int, too.
    kind = shape.__class__
    if kind is type:
        return value.__class__ is shape
    if kind is list:
        return value.__class__ is list and all(_fits(item, shape[0]) for item in value)
    if kind is str:
        return value.__class__ is str and read_timestamp(value) is not None
    if value.__class__ is not dict:
        return False
    if kind is not tuple:
        return all(text.__class__ is str for text in value.values())
    for name, is_required, part in shape:
        field = value.get(name)
        if field is None or (is_required and field == []):
            if is_required:
                return False
        elif part.__class__ is type:
            if field.__class__ is not part:
                return False
        elif not _fits(field, part):
            return False
    return True


def _find(value: Any, shape: Any, path: str) -> str:
    """The path of the first field that does not fit."""
    if isinstance(value, list) and isinstance(shape, list):
        misfit = next(((index, item) for index, item in enumerate(value) if not _fits(item, shape[0])), None)
        return _find(misfit[1], shape[0], f"{path}[{misfit[0]}]") if misfit else path  # it must not be empty
    if isinstance(value, dict) and isinstance(shape, tuple):
        for name, is_required, part in shape:
            field = value.get(name)
            is_missing = field is None or (is_required and field == [])
            if is_required if is_missing else not _fits(field, part):
                return _find(field, part, f"{path}.{name}" if path else name)
    return path or "metadata"
