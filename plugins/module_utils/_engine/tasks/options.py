# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Argument specs of a task, and checks that several options share."""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..arguments import check_name, from_variable
from ..cluster.kinds import JOB, POD
from ..errors import option_error
from ..text import scalar_text

if TYPE_CHECKING:
    from ..values import Options

CONTAINER_OPTIONS: dict[str, Options] = {
    "image": {"type": "str"},
    "command": {"type": "raw"},
    "args": {"type": "list", "elements": "raw"},
    "env": {"type": "dict"},
    "secret_env": {"type": "dict", "no_log": True},
    "env_from": {"type": "list", "elements": "dict"},
    "working_dir": {"type": "str"},
    "ports": {"type": "list", "elements": "raw"},
    "resources": {"type": "dict", "options": {"limits": {"type": "dict"}, "requests": {"type": "dict"}, "claims": {"type": "list", "elements": "raw"}}},
    "request_ratio": {"type": "float", "default": 0.5},
    "readiness_probe": {"type": "dict"},
    "liveness_probe": {"type": "dict"},
    "startup_probe": {"type": "dict"},
    "image_pull_policy": {"type": "str", "choices": ["Always", "IfNotPresent", "Never"]},
    "lifecycle": {"type": "dict"},
    "privileged": {"type": "bool"},
    "allow_privilege_escalation": {"type": "bool"},
    "capabilities": {"type": "dict", "options": {"add": {"type": "list", "elements": "str"}, "drop": {"type": "list", "elements": "str"}}},
    "read_only_root_filesystem": {"type": "bool"},
    "proc_mount": {"type": "str", "choices": ["Default", "Unmasked"]},
}

# Those of the pod, which a further container may override.
IDENTITY_OPTIONS: dict[str, Options] = {
    "run_as_user": {"type": "raw"},
    "run_as_group": {"type": "int"},
    "run_as_non_root": {"type": "bool"},
    "selinux_options": {"type": "raw"},
    "seccomp": {"type": "str"},
    "apparmor": {"type": "str"},
}

# Options of containers that came later: without a value they are not part of a task's hash.
LATER_OPTIONS = frozenset(
    ("secret_env", "privileged", "allow_privilege_escalation", "capabilities", "read_only_root_filesystem", "proc_mount", *IDENTITY_OPTIONS)
)

NAMED_CONTAINER_OPTIONS: dict[str, Options] = {"name": {"type": "str", "required": True}, **CONTAINER_OPTIONS, **IDENTITY_OPTIONS}

POD_OPTIONS: dict[str, Options] = {
    "stdin": {"type": "str"},
    "containers": {"type": "list", "elements": "dict", "options": NAMED_CONTAINER_OPTIONS},
    "init_containers": {"type": "list", "elements": "dict", "options": NAMED_CONTAINER_OPTIONS},
    "shared_workspace": {"type": "str"},
    "volumes": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "mount_path": {"type": "str"},
            "read_only": {"type": "bool", "default": False},
            "sub_path": {"type": "str"},
            "empty_dir": {"type": "raw"},
            "host_path": {"type": "raw"},
            "nfs": {"type": "raw"},
            "claim": {"type": "raw"},
            "ephemeral": {"type": "dict"},
            "config_map": {"type": "raw"},
            "secret": {"type": "raw", "no_log": False},
            "projected": {"type": "dict"},
            "csi": {"type": "dict"},
        },
    },
    "service_account": {"type": "str", "fallback": from_variable("PODWRIGHT_SERVICE_ACCOUNT")},
    "automount_service_account_token": {"type": "bool", "default": False},
    "registry": {"type": "str", "fallback": from_variable("PODWRIGHT_REGISTRY")},
    "image_pull_secrets": {"type": "list", "elements": "str", "no_log": False, "fallback": from_variable("PODWRIGHT_IMAGE_PULL_SECRETS")},
    "security_profile": {"type": "str", "choices": ["auto", "restricted", "baseline", "privileged"], "default": "auto"},
    **IDENTITY_OPTIONS,
    "fs_group": {"type": "int"},
    "fs_group_change_policy": {"type": "str", "choices": ["Always", "OnRootMismatch"]},
    "supplemental_groups": {"type": "list", "elements": "int"},
    "supplemental_groups_policy": {"type": "str", "choices": ["Merge", "Strict"]},
    "sysctls": {"type": "dict"},
    "host_network": {"type": "bool"},
    "host_pid": {"type": "bool"},
    "host_ipc": {"type": "bool"},
    "host_users": {"type": "bool"},
    "share_process_namespace": {"type": "bool"},
    "node_selector": {"type": "dict", "fallback": from_variable("PODWRIGHT_NODE_SELECTOR")},
    "affinity": {"type": "dict"},
    "tolerations": {"type": "list", "elements": "dict"},
    "topology_spread": {"type": "list", "elements": "raw"},
    "scheduler_name": {"type": "str"},
    "priority_class": {"type": "str"},
    "preemption_policy": {"type": "str", "choices": ["Never", "PreemptLowerPriority"]},
    "resource_claims": {"type": "list", "elements": "dict"},
    "runtime_class": {"type": "str"},
    "restart_policy": {"type": "str", "choices": ["Always", "OnFailure", "Never"]},
    "termination_grace_period": {"type": "int"},
    "host_aliases": {"type": "list", "elements": "dict"},
    "dns": {"type": "dict"},
    "labels": {"type": "dict"},
    "annotations": {"type": "dict"},
    "definition": {"type": "dict"},
    "patches": {"type": "list", "elements": "dict"},
    "parent": {"type": "raw"},
    "max_depth": {"type": "int"},
    "max_children": {"type": "int"},
    "network": {"type": "raw", "default": "default"},
    "queue": {"type": "str"},
    "spiffe": {"type": "raw"},
}

# How Podwright runs the task: a change of these does not run it again.
EXECUTION_OPTIONS: dict[str, Options] = {
    "namespace": {"type": "str"},
    "kind": {"type": "str", "default": "Pod"},
    "timeout": {"type": "int"},
    "schedule_timeout": {"type": "int"},
    "pull_timeout": {"type": "int"},
    "start_timeout": {"type": "int"},
    "suspend": {"type": "bool"},
    "retries": {"type": "int", "default": 0},
    "retry_delay": {"type": "int"},
    "retry_backoff": {"type": "float"},
    "retry_delay_max": {"type": "int"},
    "retry_on": {"type": "list", "elements": "raw"},
    "skip_on": {"type": "list", "elements": "raw"},
    "rerun": {"type": "str", "choices": ["never", "on_change", "on_failure", "always"], "default": "on_failure"},
    "on_immutable": {"type": "str", "choices": ["fail", "replace"], "default": "replace"},
    "cleanup": {"type": "str", "choices": ["always", "on_success", "on_failure", "never"], "default": "never"},
    "ttl": {"type": "int"},
    "grace_period": {"type": "int"},
    "force": {"type": "bool", "default": False},
    "logs": {"type": "str", "choices": ["none", "collect", "stream"], "default": "none"},
    "log_tail": {"type": "int", "default": 20},
    "record": {"type": "bool"},
    "propagation_policy": {"type": "str", "choices": ["Background", "Foreground", "Orphan"], "default": "Background"},
    "failure_grace": {"type": "int", "default": 30},
    "helper_image": {"type": "str", "default": "busybox"},
    "helper_resources": {"type": "dict", "options": {"limits": {"type": "dict"}, "requests": {"type": "dict"}}},
}

# Files that a task is given and leaves; the hash of a task includes what of them its pod depends on.
FILE_OPTIONS: dict[str, Options] = {
    "inputs": {
        "type": "list",
        "elements": "dict",
        "options": {
            "path": {"type": "str", "required": True},
            "src": {"type": "path"},
            "content": {"type": "str"},
            "mode": {"type": "raw"},
        },
    },
    "results": {"type": "dict"},
    "artifacts": {
        "type": "list",
        "elements": "dict",
        "options": {
            "path": {"type": "str", "required": True},
            "dest": {"type": "path", "required": True},
            "optional": {"type": "bool", "default": False},
        },
    },
}

JOB_OPTIONS: dict[str, Options] = {
    "completions": {"type": "int"},
    "parallelism": {"type": "int"},
    "completion_mode": {"type": "str", "choices": ["NonIndexed", "Indexed"]},
    "backoff_limit_per_index": {"type": "int"},
    "max_failed_indexes": {"type": "int"},
    "pod_failure_policy": {"type": "dict"},
}

# Those of them that are part of the manifest, too.
IN_MANIFEST = ("kind", "timeout", "ttl")

TASK_OPTIONS: dict[str, Options] = {
    "name": {"type": "str"},
    "generate_name": {"type": "str"},
    **EXECUTION_OPTIONS,
    **CONTAINER_OPTIONS,
    **POD_OPTIONS,
    **FILE_OPTIONS,
    **JOB_OPTIONS,
}

_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_LABEL_KEY = re.compile(rf"([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(?=.)(?!/){_LABEL_VALUE.pattern}")
_VARIABLE = re.compile(r"[^=\x00-\x1f]+")


def text_of(option: str, value: object) -> str:
    """A scalar as text for fields that are strings in the API: `true` for true. Raises: PodwrightError for a list or a mapping."""
    if isinstance(value, (list, dict)):
        # Not the value, which may be secret.
        raise option_error(option, f"must be a string, got a {'list' if isinstance(value, list) else 'mapping'}.")
    text = scalar_text(value)
    if "\0" in text:  # a container runtime would show it, with the value of a variable
        raise option_error(option, "must not contain a NUL character.", "Pass binary data by a file, or encode it in base64.")
    return text


def words_of(option: str, command: object) -> list[str]:
    """A command as its words. Raises: PodwrightError."""
    if isinstance(command, str):
        try:
            command = shlex.split(command)
        except ValueError as error:
            raise option_error(option, f"must be a list of strings, or a string that can be split by the rules of a shell: {error}.") from error
    if not isinstance(command, list) or not command:
        raise option_error(option, "must be a list of strings, or a string, and must not be empty.")
    return [text_of(f"{option}[{index}]", word) for index, word in enumerate(command)]


def texts_of(option: str, mapping: Options | None) -> dict[str, str]:
    """A mapping such as labels, with keys and values as text. Raises: PodwrightError for a value that is a list or a mapping."""
    return {scalar_text(key): text_of(f"{option}.{key}", value) for key, value in (mapping or {}).items()}


def labels_of(option: str, mapping: Options | None) -> dict[str, str]:
    """Labels as text. Raises: PodwrightError that names an invalid one, which the API server does not."""
    labels = texts_of(option, mapping)
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or len(key.rpartition("/")[0]) > 253:
            rule = "must have keys of at most 63 letters, digits, '-', '_' and '.', with or without a domain such as example.com/ before them"
            raise option_error(option, f"{rule}, got {key!r}.")
        check_label_value(f"{option}.{key}", value, "Put other text into annotations." if option == "labels" else "")
    return labels


def check_label_value(option: str, value: str, hint: str) -> None:
    """Check a text that becomes the value of a label. Raises: PodwrightError."""
    if not _LABEL_VALUE.fullmatch(value):
        rule = "must consist of at most 63 letters, digits, '-', '_' and '.', and start and end with a letter or digit"
        raise option_error(option, f"{rule}, got {value!r}.", hint)


def check_remote_path(option: str, path: str | None) -> None:
    """Check a path in a container that nothing but the kernel reads. Raises: PodwrightError for one that begins with the home directory of a shell."""
    if path is not None and (path == "~" or path.startswith("~/")):
        raise option_error(option, f"must not begin with '~', which no shell expands, got {path!r}.", "Write the path of the home directory.")


def check_keys(option: str, mapping: Iterable[str], known: Iterable[str]) -> None:
    """Check the keys of a mapping. Raises: PodwrightError for the first unknown one."""
    unknown = sorted(set(mapping) - set(known))
    if unknown:
        raise option_error(option, f"unknown key '{unknown[0]}'; use {', '.join(known)}.")


def check_variable(option: str, name: object) -> None:
    """Check the name of an environment variable. Raises: PodwrightError."""
    if not _VARIABLE.fullmatch(scalar_text(name)):
        raise option_error(option, f"must have names without '=' and control characters, got {name!r}.")


def read_kind(text: str) -> str:
    """The name of the kind that runs a task, in any case. Raises: PodwrightError for another."""
    for kind in (POD, JOB):
        if text.lower() == kind.name.lower():
            return kind.name
    raise option_error("kind", f"must be {POD.name} or {JOB.name}, got {text!r}.")


def generate_name(prefix: str | None) -> str | None:
    """A name that is generated here rather than by the server, so that a retried request cannot create two objects. Raises: PodwrightError."""
    if not prefix:
        return None
    check_name("generate_name", prefix.rstrip("-"), 63 - len("-123456"))
    return f"{prefix.rstrip('-')}-{secrets.token_hex(3)}"
