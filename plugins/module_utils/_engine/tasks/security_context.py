# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Security contexts of pods and containers: defaults by Pod Security profile, which options override.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#security-context
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from ..errors import option_error
from ..text import parse_integer
from .options import check_keys, texts_of
from .task_spec import containers_of

if TYPE_CHECKING:
    from ..values import Manifest, Options

UNPRIVILEGED_USER = 65532
MAX_ID = 2**31 - 1  # of users and groups
# What run_as_user may be besides a number: both leave the choice to others.
USER_OF_IMAGE, USER_OF_CLUSTER = "image", "auto"
ALL = "ALL"
CAPABILITIES = (
    "AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER",
    "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE",
    "NET_BROADCAST", "NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE",
    "SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "WAKE_ALARM",
)  # fmt: skip
_SELINUX = ("level", "role", "type", "user")
_SYSCTL = re.compile(r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?([./][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*")
# Sysctls of a namespace that a pod shares with its node.
_SHARED_SYSCTLS = {"host_network": ("net.",), "host_ipc": ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")}
# Option -> field of the pod's spec.
HOST_NAMESPACES = {"host_network": "hostNetwork", "host_pid": "hostPID", "host_ipc": "hostIPC"}


def pod_context(profile: str, options: Options, name: str) -> Manifest:
    """The `securityContext` of a pod.

    Args:
        profile: the Pod Security profile, which determines the defaults.
        options: the options of the task.
        name: the name of the task, which determines its SELinux level.

    Raises: PodwrightError that names the invalid option.
    """
    context: Manifest = {}
    if profile != "privileged":
        context["seccompProfile"] = {"type": "RuntimeDefault"}
    if profile == "restricted":
        context |= {"runAsNonRoot": True, "runAsUser": UNPRIVILEGED_USER}
    if options.get("run_as_user") in (USER_OF_IMAGE, USER_OF_CLUSTER):
        context.pop("runAsUser", None)
    context |= _identity(options, name, "", (USER_OF_IMAGE, USER_OF_CLUSTER))
    fields = {
        "fsGroup": options.get("fs_group"),
        "fsGroupChangePolicy": options.get("fs_group_change_policy"),
        "supplementalGroups": _groups(options.get("supplemental_groups")),
        "supplementalGroupsPolicy": options.get("supplemental_groups_policy"),
        "sysctls": _sysctls(options),
    }
    return context | {name: value for name, value in fields.items() if value not in (None, [])}


def container_context(profile: str, container: Options, name: str, path: str) -> Manifest:
    """The `securityContext` of a container.

    Args:
        container: its options; those of the task's own container that are the pod's, too, are in the context of the pod.
        name: the name of the task.
        path: prefix of the container's options in errors, such as `containers[0].`; empty for the task's own container.

    Raises: PodwrightError that names the invalid option.
    """
    is_privileged, escalation = container.get("privileged"), container.get("allow_privilege_escalation")
    if is_privileged and escalation is False:
        raise option_error(f"{path}allow_privilege_escalation", "must not be false if privileged is true.")
    if escalation is None and profile != "privileged" and not is_privileged:
        escalation = False
    fields = {
        "privileged": is_privileged,
        "allowPrivilegeEscalation": escalation,
        "capabilities": _capabilities(container.get("capabilities") or {}, profile, path),
        "readOnlyRootFilesystem": container.get("read_only_root_filesystem"),
        "procMount": container.get("proc_mount"),
    }
    context = {name: value for name, value in fields.items() if value not in (None, {})}
    return context | (_identity(container, name, path) if path else {})


def namespace_fields(options: Options) -> Manifest:
    """The fields of a pod's spec for the namespaces of the node that it shares.

    Raises: PodwrightError for options that contradict each other.
    """
    shared = [option for option in HOST_NAMESPACES if options.get(option)]
    if shared and options.get("host_users") is False:
        raise option_error("host_users", f"must not be false if {shared[0]} is true: a pod with users of its own shares no namespace of the node.")
    if options.get("host_pid") and options.get("share_process_namespace"):
        raise option_error("share_process_namespace", "must not be true if host_pid is true.")
    _check_proc_mounts(options)
    fields = {field: options.get(option) for option, field in HOST_NAMESPACES.items()}
    fields |= {"hostUsers": options.get("host_users"), "shareProcessNamespace": options.get("share_process_namespace")}
    return {field: value for field, value in fields.items() if value is not None}


def _check_proc_mounts(options: Options) -> None:
    for path, container in containers_of(options):
        if container.get("proc_mount") == "Unmasked" and options.get("host_users") is not False:
            raise option_error(f"{path}proc_mount", "must not be Unmasked unless host_users is false.")


def _identity(options: Options, name: str, path: str, words: tuple[str, ...] = ()) -> Manifest:
    """The fields that the contexts of a pod and of a container have in common."""
    user = options.get("run_as_user")
    fields = {
        "runAsUser": None if user is None or user in words else _user(user, words, path),
        "runAsGroup": options.get("run_as_group"),
        "runAsNonRoot": options.get("run_as_non_root"),
        "seLinuxOptions": _selinux(options["selinux_options"], name, path) if options.get("selinux_options") else None,
        "seccompProfile": _profile(options.get("seccomp"), f"{path}seccomp"),
        "appArmorProfile": _profile(options.get("apparmor"), f"{path}apparmor"),
    }
    return {field: value for field, value in fields.items() if value is not None}


def _user(value: Any, words: tuple[str, ...], path: str) -> int:
    user = parse_integer(value, MAX_ID)
    if user is None:
        others = f", {', '.join(words[:-1])} or {words[-1]}" if words else ""
        raise option_error(f"{path}run_as_user", f"must be a user ID from 0 to {MAX_ID}{others}, got {value!r}.")
    return user


def _groups(groups: list[int] | None) -> list[int]:
    for index, group in enumerate(groups or []):
        if not 0 <= group <= MAX_ID:
            raise option_error(f"supplemental_groups[{index}]", f"must be a group ID from 0 to {MAX_ID}, got {group}.")
    return groups or []


def _profile(text: str | None, option: str) -> Manifest | None:
    """A seccomp or AppArmor profile; None for None."""
    if text is None or text in ("RuntimeDefault", "Unconfined"):
        return {"type": text} if text else None
    place, _slash, profile = text.partition("/")
    if place != "localhost" or not profile or profile != profile.strip() or profile.startswith("/") or ".." in profile.split("/"):
        raise option_error(option, f"must be RuntimeDefault, Unconfined or localhost/PROFILE with a profile of the node, got {text!r}.")
    return {"type": "Localhost", "localhostProfile": profile}


def _capabilities(given: Options, profile: str, path: str) -> Manifest:
    """The capabilities; the profile `restricted` drops all that are not added."""
    added, dropped = (_capability_names(given.get(part), f"{path}capabilities.{part}") for part in ("add", "drop"))
    if profile == "restricted" and ALL not in dropped:
        dropped = [ALL]
    return {part: names for part, names in (("add", added), ("drop", dropped)) if names}


def _capability_names(names: list[str] | None, option: str) -> list[str]:
    found: dict[str, None] = {}
    for index, name in enumerate(names or []):
        capability = name.upper().removeprefix("CAP_")
        if capability not in CAPABILITIES and capability != ALL:
            raise option_error(f"{option}[{index}]", f"unknown capability {name!r}; use {ALL}, {', '.join(CAPABILITIES)}.")
        found[capability] = None
    return list(found)


def _sysctls(options: Options) -> list[Manifest]:
    sysctls = texts_of("sysctls", options.get("sysctls"))
    for name in sysctls:
        if len(name) > 253 or not _SYSCTL.fullmatch(name):
            raise option_error("sysctls", f"must have names such as net.ipv4.ip_local_port_range, got {name!r}.")
        for option, prefixes in _SHARED_SYSCTLS.items():
            if options.get(option) and name.replace("/", ".").startswith(prefixes):
                raise option_error(f"sysctls.{name}", f"must not be set if {option} is true: it would be that of the node.")
    return [{"name": name, "value": value} for name, value in sysctls.items()]


def _selinux(options: Any, name: str, path: str) -> Manifest:
    if isinstance(options, dict):
        check_keys(f"{path}selinux_options", options, _SELINUX)
        return options
    if options != "auto":
        raise option_error(f"{path}selinux_options", f"must be auto or a mapping with level, role, type or user, got {options!r}.")
    # Two of 1024 categories, derived from the name: tasks cannot read each other's files, and each task keeps its level.
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    first, second = digest % 1023, digest // 1023 % 1023
    low, high = sorted((first, second + 1 if second == first else second))
    return {"level": f"s0:c{low},c{high}"}
