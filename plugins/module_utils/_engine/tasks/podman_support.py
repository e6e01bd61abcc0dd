# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which tasks Podman can run: what it does not know is refused by name before anything starts, since it would ignore most of it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..cluster.kinds import POD
from ..errors import option_error
from ..objects.containers import TASK_CONTAINER
from ..podman.played_manifest import field_value, is_carried, is_sidecar, played_container
from ..text import decode
from .options import JOB_OPTIONS, TASK_OPTIONS
from .pod_template import preview_manifest
from .task_secret import STDIN_KEY, STDIN_VOLUME, secret_data, secret_name
from .volumes import WORKSPACE

if TYPE_CHECKING:
    from ..errors import PodwrightError
    from ..values import Manifest, Options
    from .task_spec import TaskSpec

# Options without a field of the pod, or whose field Podman does not know.
_REFUSED = (
    "parent", "max_depth", "max_children", "network", "queue", "spiffe", "service_account", "image_pull_secrets", "automount_service_account_token",
    "schedule_timeout", "pull_timeout", "start_timeout", "suspend", "inputs", "artifacts", "ttl", *JOB_OPTIONS,
)  # fmt: skip
_HINTS = {
    "image_pull_secrets": "Log in to the registry on the host with: podman login",
    "network": "A NetworkPolicy needs a cluster.",
    "volumes": "Use empty_dir or host_path.",
    "env": "Give the value itself, a secret one in secret_env.",
    "env_from": "Give the values themselves, secret ones in secret_env.",
}
_POD = (
    "containers", "initContainers", "volumes", "securityContext", "restartPolicy", "activeDeadlineSeconds", "hostname", "terminationGracePeriodSeconds",
    "hostNetwork", "hostAliases", "dnsConfig", "shareProcessNamespace",
)  # fmt: skip
_ABSENT_ANYWAY = {"automountServiceAccountToken": False, "enableServiceLinks": False}  # fields with what Podman does, too
_CONTAINER = (
    "name", "image", "imagePullPolicy", "command", "args", "env", "workingDir", "ports", "resources", "volumeMounts", "securityContext",
    "terminationMessagePolicy",
)  # fmt: skip
_CONTEXT = (
    "privileged", "allowPrivilegeEscalation", "capabilities", "readOnlyRootFilesystem", "runAsUser", "runAsGroup", "runAsNonRoot", "seccompProfile",
)  # fmt: skip
_POD_CONTEXT = ("runAsUser", "runAsGroup", "runAsNonRoot", "seccompProfile", "supplementalGroups")
_PORT = ("containerPort", "hostPort", "hostIP", "protocol", "name")
_QUANTITIES = ("cpu", "memory")
# Field -> option whose name is not that of the field.
_OPTION_OF = {
    "serviceAccountName": "service_account", "priorityClassName": "priority_class", "runtimeClassName": "runtime_class", "seccompProfile": "seccomp",
    "topologySpreadConstraints": "topology_spread", "appArmorProfile": "apparmor", "seLinuxOptions": "selinux_options", "dnsPolicy": "dns.policy",
    "subdomain": "dns.subdomain", "hostPID": "host_pid", "hostIPC": "host_ipc",
}  # fmt: skip


def check_support(spec: TaskSpec, reason: str = "") -> None:
    """Check that Podman can run a task as Kubernetes does.

    Args:
        spec: a valid task.
        reason: why it is to run on Podman, as a sentence.

    Raises: PodwrightError that names the option.
    """
    options = spec.options
    if options["kind"] != POD.name:
        raise option_error("kind", f"must be {POD.name} on Podman, got {options['kind']}.", f"Podman has no Jobs; retries work. {reason}".rstrip())
    for option in _REFUSED:
        if options.get(option) not in (None, [], {}, "", TASK_OPTIONS[option].get("default")):
            raise _refusal(option, reason)
    for name, source in (options.get("results") or {}).items():
        raise _refusal(f"results.{name}", reason, source)
    manifest = preview_manifest(spec)
    for path in _violations(manifest):
        raise _refusal(_place(options, path), reason)
    for path, rule in _misreadings(manifest, secret_data(options)):
        raise option_error(_place(options, path), rule, " ".join(filter(None, ("Change it, or run the task on Kubernetes.", reason))))


def _place(options: Options, path: str) -> str:
    return path if _is_set(options, path) else f"definition or patches ({path})"


def _refusal(option: str, reason: str, _value: object = None) -> PodwrightError:
    hint = " ".join(filter(None, (_HINTS.get(re.split(r"[.\[]", option)[0]), "Remove it, or run the task on Kubernetes.", reason)))
    return option_error(option, "must not be set on Podman, which has nothing of that kind.", hint)


def _is_set(options: Options, path: str) -> bool:
    value: Any = options
    for part in re.findall(r"\w+", path):
        try:
            value = value[int(part) if isinstance(value, list) else part]
        except (LookupError, TypeError, ValueError):
            return value is not options and value is not None
    return value is not None


def _violations(manifest: Manifest) -> Iterator[str]:
    """The paths of the options that Podman does not know."""
    spec, private = manifest["spec"], secret_name(manifest)
    yield from _unknown(spec, (*_POD, *_ABSENT_ANYWAY))
    yield from (_option(field) for field, value in _ABSENT_ANYWAY.items() if spec.get(field, value) != value)
    yield from _context_violations(spec.get("securityContext") or {}, _POD_CONTEXT, "")
    for index, volume in enumerate(spec.get("volumes") or []):
        if not _is_known_volume(volume):
            yield f"volumes[{index}]"
    for prefix, container in _containers(spec):
        yield from (f"{prefix}{path}" for path in _container_violations(container, manifest, private))
        if _must_not_be_root(spec, container):
            yield f"{prefix}run_as_non_root"


def _misreadings(manifest: Manifest, data: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(path of an option, what must be different) where Podman would read a value differently."""
    places = {volume["name"]: f"volumes[{index}].mount_path" for index, volume in enumerate(manifest["spec"].get("volumes") or [])}
    places[WORKSPACE] = "shared_workspace"
    texts = [("stdin", decode(base64.b64decode(data.get(STDIN_KEY, ""))))]
    for prefix, container in _containers(manifest["spec"]):
        if not container.get("image"):
            yield f"{prefix}image", "must be set."
            continue
        played = played_container(container, manifest, data, "")
        private = {entry["name"] for entry in container.get("env") or [] if "secretKeyRef" in (entry.get("valueFrom") or {})}
        named = [("secret_env" if entry["name"] in private else "env", entry) for entry in played.get("env", [])]
        texts += [(f"{prefix}{option}.{entry['name']}", entry["value"]) for option, entry in named]
        texts += [(f"{prefix}{field}", word) for field in ("command", "args") for word in played.get(field, [])]
        for mount in container.get("volumeMounts") or []:
            if ":" in mount["mountPath"]:
                yield places.get(mount["name"], "volumes"), f"must not contain ':' on Podman, which reads options after it, got {mount['mountPath']!r}."
    for path, text in texts:
        if not is_carried(text):
            yield path, "must not begin with a line feed, a space or a tab on Podman if it has several lines, which Podman would change."


def _containers(spec: Manifest) -> Iterator[tuple[str, Manifest]]:
    """(beginning of the paths of its options, container) of each container; first that of the task."""
    groups = {"containers": [entry for entry in spec["containers"] if entry["name"] != TASK_CONTAINER], "init_containers": []}
    for entry in spec.get("initContainers") or []:
        groups["containers" if is_sidecar(entry) else "init_containers"].append(entry)
    yield from (("", entry) for entry in spec["containers"] if entry["name"] == TASK_CONTAINER)
    yield from ((f"{group}[{index}].", entry) for group, entries in groups.items() for index, entry in enumerate(entries))


def _container_violations(container: Manifest, manifest: Manifest, private: str | None) -> Iterator[str]:
    yield from _unknown(container, (*_CONTAINER, *(["restartPolicy"] if is_sidecar(container) else [])))
    yield from _context_violations(container.get("securityContext") or {}, _CONTEXT, "")
    resources = container.get("resources") or {}
    yield from (f"resources.{part}" for part in resources if part not in ("limits", "requests"))
    yield from (f"resources.{part}.{name}" for part, named in resources.items() if isinstance(named, Mapping) for name in named if name not in _QUANTITIES)
    for index, port in enumerate(container.get("ports") or []):
        yield from (f"ports[{index}].{name}" for name in port if name not in _PORT)
    if any(set(mount) - {"name", "mountPath", "readOnly"} for mount in container.get("volumeMounts") or []):
        yield "volumes"
    for entry in container.get("env") or []:
        source = entry.get("valueFrom") or {}
        is_private = private is not None and (source.get("secretKeyRef") or {}).get("name") == private
        is_field = "fieldRef" in source and field_value(manifest, source["fieldRef"]["fieldPath"], "") is not None
        if source and not is_private and not is_field:
            yield f"env.{entry['name']}"


def _context_violations(context: Manifest, known: Iterable[str], prefix: str) -> Iterator[str]:
    yield from (f"{prefix}{path}" for path in _unknown(context, known))
    if (context.get("seccompProfile") or {"type": "RuntimeDefault"})["type"] != "RuntimeDefault":
        yield f"{prefix}seccomp"


def _must_not_be_root(spec: Manifest, container: Manifest) -> bool:
    """Whether a container must not run as root, and nothing but its image says as whom it runs: Podman would not check it."""
    context = (spec.get("securityContext") or {}) | (container.get("securityContext") or {})
    return bool(context.get("runAsNonRoot")) and not context.get("runAsUser")


def _is_known_volume(volume: Manifest) -> bool:
    if volume["name"] == STDIN_VOLUME:
        return True
    return volume.get("emptyDir") == {} or ("hostPath" in volume and set(volume) == {"name", "hostPath"})


def _unknown(fields: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    return (_option(field) for field in fields if field not in set(known))


def _option(field: str) -> str:
    return _OPTION_OF.get(field) or re.sub("([A-Z])", lambda found: f"_{found[1].lower()}", field)
