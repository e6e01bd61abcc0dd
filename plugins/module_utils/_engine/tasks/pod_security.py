# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pod Security levels: what a namespace enforces, and which options of a task need another level.

https://kubernetes.io/docs/concepts/security/pod-security-standards/ in the newest version; if an older one is stricter, the API server refuses the pod.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from ..cluster.kinds import NAMESPACE
from ..errors import PodwrightError, option_error
from ..objects.containers import TASK_CONTAINER, pod_spec
from .task_spec import containers_of

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..values import Manifest, Options
    from .task_spec import TaskSpec

ENFORCE = "pod-security.kubernetes.io/enforce"
RESTRICTED, BASELINE, PRIVILEGED = "restricted", "baseline", "privileged"
AUTO = "auto"
_CAPABILITIES = frozenset((
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
))  # fmt: skip
_SYSCTLS = frozenset((
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
))  # fmt: skip
_SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
_VOLUMES = ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret")
# Options that are older than their check: with a profile that is set, the namespace alone decides about them.
_UNCHECKED = ("volumes", "ports")


class Violation(NamedTuple):
    """An option that a Pod Security level forbids.

    Attributes:
        option: its name in the container or the pod, such as `capabilities.add`.
        needs: the strictest level that allows its value.
        container: the name of its container, or None for the pod.
        values: which of its values need that level, if only some of a list do.
    """

    option: str
    needs: str
    container: str | None = None
    values: tuple[str, ...] = ()

    def requires(self, what: str) -> str:
        """That it requires a level, in words."""
        return f"requires {what} {self.needs}{' for ' + ', '.join(self.values) if self.values else ''}"


def read_level(client: Client, namespace: str) -> str:
    """The Pod Security level that a namespace enforces, or an empty string if there is none, or the namespace must not be read. Raises: PodwrightError."""
    try:
        found = client.get(NAMESPACE, None, namespace)
    except PodwrightError as error:
        if error.is_forbidden:
            return ""  # if the level is stricter, the server refuses the pod and says so
        raise
    return str(((found or {}).get("metadata", {}).get("labels") or {}).get(ENFORCE) or "")


def profile_of(requested: str, level: str = "") -> str:
    """The profile of a pod: the requested one, or for `auto` that of the level that the namespace enforces, but never looser than baseline."""
    return requested if requested != AUTO else RESTRICTED if level == RESTRICTED else BASELINE


def check_level(spec: TaskSpec, manifest: Manifest, level: str) -> None:
    """Check a task's manifest against the level that its namespace enforces. Raises: PodwrightError that names the options."""
    violations = _violations(manifest, level)
    if not violations:
        return
    found = "; ".join(f"{_path(spec, violation)} {violation.requires('the Pod Security level')}" for violation in violations)
    needed = PRIVILEGED if any(violation.needs == PRIVILEGED for violation in violations) else BASELINE
    raise PodwrightError(
        f"Pods of '{spec.name}' are not allowed in namespace '{spec.namespace}': {found}, but the namespace enforces {level} (label {ENFORCE}).",
        reason="PodSecurity",
        hint=f"Remove what requires it, or set the label of the namespace to {needed}. If the cluster exempts the pods from Pod Security, "
        "set security_profile to privileged.",
    )


def check_profile(spec: TaskSpec, manifest: Manifest) -> None:
    """Check that the options of a task do not contradict a `security_profile` that is set. Raises: PodwrightError that names the first one that does."""
    profile = spec.options["security_profile"]
    for violation in _violations(manifest, profile):
        path = _path(spec, violation)
        if violation.option not in _UNCHECKED and not path.startswith("definition"):
            raise option_error(path, f"{violation.requires('security_profile')}, got {profile}.", "Or remove security_profile, to follow the namespace.")


def _violations(manifest: Manifest, level: str) -> list[Violation]:
    """What a level forbids in the manifest of a Pod, Job or Deployment."""
    if level not in (RESTRICTED, BASELINE):
        return []
    pod = pod_spec(manifest)
    found = [*_pod_violations(pod)]
    if level == RESTRICTED:
        found += _restricted_violations(pod)
    return list(dict.fromkeys(found))


def _containers(pod: Manifest) -> list[Manifest]:
    return [*(pod.get("containers") or []), *(pod.get("initContainers") or [])]


def _contexts(pod: Manifest) -> list[tuple[str | None, Manifest]]:
    """(name of the container or None, its securityContext) of the pod and of each container."""
    return [(None, pod.get("securityContext") or {}), *((item["name"], item.get("securityContext") or {}) for item in _containers(pod))]


def _pod_violations(pod: Manifest) -> Iterator[Violation]:
    """What the levels baseline and restricted forbid."""
    for option, field in (("host_network", "hostNetwork"), ("host_pid", "hostPID"), ("host_ipc", "hostIPC")):
        if pod.get(field):
            yield Violation(option, PRIVILEGED)
    if any("hostPath" in volume for volume in pod.get("volumes") or []):
        yield Violation("volumes", PRIVILEGED)
    for sysctl in (pod.get("securityContext") or {}).get("sysctls") or []:
        if sysctl.get("name", "").replace("/", ".") not in _SYSCTLS:
            yield Violation(f"sysctls.{sysctl.get('name')}", PRIVILEGED)
    for name, context in _contexts(pod):
        for option, field in (("seccomp", "seccompProfile"), ("apparmor", "appArmorProfile")):
            if (context.get(field) or {}).get("type") == "Unconfined":
                yield Violation(option, PRIVILEGED, name)
        selinux = context.get("seLinuxOptions") or {}
        if selinux.get("type", "") not in _SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
            yield Violation("selinux_options", PRIVILEGED, name)
    for container in _containers(pod):
        yield from _container_violations(container, has_own_users=pod.get("hostUsers") is False)


def _container_violations(container: Manifest, has_own_users: bool) -> Iterator[Violation]:
    name, context = container["name"], container.get("securityContext") or {}
    if context.get("privileged"):
        yield Violation("privileged", PRIVILEGED, name)
    other = set((context.get("capabilities") or {}).get("add") or []) - _CAPABILITIES
    if other:
        yield Violation("capabilities.add", PRIVILEGED, name, tuple(sorted(map(str, other))))
    if context.get("procMount") == "Unmasked" and not has_own_users:
        yield Violation("proc_mount", PRIVILEGED, name)
    if any(port.get("hostPort") for port in container.get("ports") or []):
        yield Violation("ports", PRIVILEGED, name)


def _restricted_violations(pod: Manifest) -> Iterator[Violation]:
    """What the level restricted forbids and baseline allows; the profile sets what it demands."""
    for volume in pod.get("volumes") or []:
        if not any(kind in volume for kind in (*_VOLUMES, "hostPath")) and len(volume) > 1:
            yield Violation("volumes", BASELINE)
    has_own_users = pod.get("hostUsers") is False
    for name, context in _contexts(pod):
        if context.get("runAsUser") == 0 and not has_own_users:
            yield Violation("run_as_user", BASELINE, name)
        if context.get("runAsNonRoot") is False and not has_own_users:
            yield Violation("run_as_non_root", BASELINE, name)
    for container in _containers(pod):
        name, context = container["name"], container.get("securityContext") or {}
        if context.get("allowPrivilegeEscalation") is not False and not context.get("privileged"):
            yield Violation("allow_privilege_escalation", BASELINE, name)
        if context.get("procMount") == "Unmasked" and has_own_users:
            yield Violation("proc_mount", BASELINE, name)
        added = set((context.get("capabilities") or {}).get("add") or [])
        if added <= _CAPABILITIES and added - {"NET_BIND_SERVICE"}:
            yield Violation("capabilities.add", BASELINE, name, tuple(sorted(map(str, added - {"NET_BIND_SERVICE"}))))


def _path(spec: TaskSpec, violation: Violation) -> str:
    """The path of an option; `definition` or `patches` if it is not set there."""
    prefixes = {TASK_CONTAINER if not path else options["name"]: (path, options) for path, options in containers_of(spec.options)}
    path, options = prefixes.get(violation.container or TASK_CONTAINER, ("", {}))
    return f"{path}{violation.option}" if _is_set(options, violation.option) else f"definition or patches ({violation.option})"


def _is_set(options: Options, option: str) -> bool:
    name, _dot, key = option.partition(".")
    value = options.get(name)
    return bool(key in value if isinstance(value, dict) and key else value is not None)
