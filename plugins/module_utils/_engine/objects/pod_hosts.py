# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pods and their containers as hosts of an inventory: their variables, groups and names. Pure functions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from ..errors import UNEXPECTED, PodwrightError
from .containers import container_status, default_container, long_running_containers
from .controllers import REVISION_HASH, TEMPLATE_HASH, workload_of
from .labels import ATTEMPT, HASH, PARENT, SET, TASK, label_of
from .pod_status import is_serving

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..values import Manifest, Options

Host: TypeAlias = "Options"
"""The variables of a host, by name, as JSON can hold them; each name starts with `pod_`."""

ALL = "pods"  # the group of all hosts
GROUPS = ("namespace", "phase", "node", "cluster", "set", "owner", "label")
_OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")  # a DNS subdomain (RFC 1123), as of pods
_HOST_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,1099}")
_RESERVED = frozenset(("localhost", "127.0.0.1", "all", "ungrouped", ALL))  # other hosts than pods, and groups
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# Labels that each pod or each revision has another value of: a group for each would hold one host, or say nothing.
_OWN = frozenset(
    (
        *(ATTEMPT, HASH, PARENT, SET, TASK),
        *(TEMPLATE_HASH, "pod-template-generation", REVISION_HASH, "statefulset.kubernetes.io/pod-name"),
        *("controller-uid", "batch.kubernetes.io/controller-uid", "apps.kubernetes.io/pod-index", "batch.kubernetes.io/job-completion-index"),
    )
)


_TEXTS = (
    *("pod_name", "pod_namespace", "pod_uid", "pod_created", "pod_phase", "pod_node", "pod_ip"),
    *("pod_service_account", "pod_container", "pod_image", "pod_set", "pod_task"),
)
_MAPPINGS = ("pod_labels", "pod_annotations", "pod_owner")
_TYPES: dict[str, type] = dict.fromkeys(_TEXTS, str) | dict.fromkeys(_MAPPINGS, dict) | dict.fromkeys(("pod_ready", "pod_terminating"), bool)


def is_host(value: object) -> bool:
    """Whether a value from a cache is a Host, and not one of another version of this collection."""
    if not isinstance(value, dict) or value.keys() - {"pod_cluster"} != _TYPES.keys() | {"pod_containers"}:
        return False
    if not isinstance(value["pod_containers"], list) or not all(isinstance(value[name], kind) for name, kind in _TYPES.items()):
        return False
    texts = [value.get("pod_cluster", ""), *value["pod_containers"], *(text for name in _MAPPINGS for text in value[name].values())]
    return all(isinstance(text, str) for text in texts) and value["pod_owner"].keys() in (set(), {"kind", "name"})


def read_hosts(pod: Manifest, per_container: bool, only_running: bool) -> list[Host]:
    """The hosts that a pod is.

    Args:
        per_container: whether each container is a host, init containers only if they are sidecars; otherwise the default container is.
        only_running: whether to leave out containers that do not run, and pods that are being deleted.

    Raises: PodwrightError for a name that is invalid in the API: it would mean something else in an inventory.
    """
    if only_running and pod["metadata"].get("deletionTimestamp"):
        return []
    names = [container["name"] for container in long_running_containers(pod)] if per_container else [default_container(pod)]
    running = [name for name in names if not only_running or "running" in (container_status(pod, name).get("state") or {})]
    return [_describe(pod, name) for name in running]


def _describe(pod: Manifest, container: str) -> Host:
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    for kind, name in (("pod", metadata["name"]), ("namespace", metadata.get("namespace")), ("container", container)):
        if not isinstance(name, str) or not _OBJECT_NAME.fullmatch(name):
            message = f"The API server returned a pod with an invalid {kind} name: {str(name)[:100]!r}."
            raise PodwrightError(message, reason=UNEXPECTED, hint="Check the address of the API server, and the proxies in between.")
    containers = long_running_containers(pod)
    annotations = metadata.get("annotations") or {}
    return {
        "pod_name": metadata["name"],
        "pod_namespace": metadata["namespace"],
        "pod_uid": metadata["uid"],
        "pod_created": metadata["creationTimestamp"],
        "pod_phase": status.get("phase") or "Unknown",
        "pod_ready": is_serving(pod),
        "pod_terminating": bool(metadata.get("deletionTimestamp")),
        "pod_node": spec.get("nodeName") or "",
        "pod_ip": _text(status.get("podIP")),
        "pod_labels": dict(metadata.get("labels") or {}),
        "pod_annotations": {name: value for name, value in annotations.items() if name != _LAST_APPLIED},
        "pod_owner": _owner(pod),
        "pod_service_account": _text(spec.get("serviceAccountName")),
        "pod_container": container,
        "pod_containers": [entry["name"] for entry in containers],
        "pod_image": next((entry.get("image") or "" for entry in containers if entry["name"] == container), ""),
        "pod_set": label_of(pod, SET) or "",
        "pod_task": label_of(pod, TASK) or "",
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _owner(pod: Manifest) -> dict[str, str]:
    """The kind and name of a pod's workload; empty if it has none."""
    return dict(zip(("kind", "name"), workload_of(pod) or ()))


def groups_of(host: Host, kinds: Iterable[str]) -> list[str]:
    """The names of a host's groups, not yet sanitized.

    Args:
        kinds: which groups, of GROUPS.
    """
    owner = host["pod_owner"]
    values = {
        "namespace": host["pod_namespace"],
        "phase": host["pod_phase"].lower(),
        "node": host["pod_node"],
        "cluster": host.get("pod_cluster") or "",
        "set": host["pod_set"],
    }
    found = [ALL]
    for kind in kinds:
        if kind == "label":
            found += [f"label_{name}_{value}" if value else f"label_{name}" for name, value in host["pod_labels"].items() if name not in _OWN]
        elif kind == "owner":
            found += [f"{owner['kind'].lower()}_{owner['name']}"] if owner else []
        elif values[kind]:
            found.append(f"{kind}_{values[kind]}")
    return found


def long_name(host: Host) -> str:
    """The name of a host with everything that identifies it: NAME.CONTAINER.NAMESPACE.CLUSTER, of which NAME and CLUSTER may contain dots."""
    return join_names(host["pod_name"], host["pod_container"], host["pod_namespace"], host.get("pod_cluster"))


def join_names(*parts: str | None) -> str:
    """The parts that there are, separated by dots, which group names do not contain."""
    return ".".join(part for part in parts if part)


def is_host_name(name: str) -> bool:
    """Whether a pod may be a host of that name: no pattern of Ansible, no path, no other host or group."""
    return bool(_HOST_NAME.fullmatch(name)) and name.lower() not in _RESERVED
