# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options that make a task: argument specs, and the checks that need no server."""

from __future__ import annotations

import re

from ..errors import option_error
from ..objects.quantity import parse_quantity

CONTAINER = {
    "image": {"type": "str"},
    "command": {"type": "raw"},
    "args": {"type": "list", "elements": "str"},
    "env": {"type": "dict"},
    "env_from": {"type": "list", "elements": "dict"},
    "working_dir": {"type": "str"},
    "ports": {"type": "list", "elements": "raw"},
    "resources": {"type": "dict", "options": {"limits": {"type": "dict"}, "requests": {"type": "dict"}}},
    "request_ratio": {"type": "float", "default": 0.5},
    "readiness_probe": {"type": "dict"},
    "liveness_probe": {"type": "dict"},
    "startup_probe": {"type": "dict"},
    "image_pull_policy": {"type": "str", "choices": ["Always", "IfNotPresent", "Never"]},
    "lifecycle": {"type": "dict"},
}

FURTHER_CONTAINER = {"name": {"type": "str", "required": True}, **CONTAINER}

POD = {
    "stdin": {"type": "str"},
    "containers": {"type": "list", "elements": "dict", "options": FURTHER_CONTAINER},
    "init_containers": {"type": "list", "elements": "dict", "options": FURTHER_CONTAINER},
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
    "service_account": {"type": "str"},
    "automount_service_account_token": {"type": "bool", "default": False},
    "image_pull_secrets": {"type": "list", "elements": "str", "no_log": False},
    "security_profile": {"type": "str", "choices": ["auto", "restricted", "baseline", "privileged"], "default": "auto"},
    "run_as_user": {"type": "raw"},
    "run_as_group": {"type": "int"},
    "fs_group": {"type": "int"},
    "selinux_options": {"type": "raw"},
    "node_selector": {"type": "dict"},
    "affinity": {"type": "dict"},
    "tolerations": {"type": "list", "elements": "dict"},
    "priority_class": {"type": "str"},
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

# How the task is run rather than what it is: a change of these is no other task.
CONDUCT = {
    "namespace": {"type": "str"},
    "kind": {"type": "str", "default": "Pod"},
    "timeout": {"type": "int"},
    "retries": {"type": "int", "default": 0},
    "rerun": {"type": "str", "choices": ["never", "on_change", "on_failure", "always"], "default": "on_change"},
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
}

# Of the conduct, what the pod carries itself.
CARRIED = ("kind", "timeout", "ttl")

TASK = {"name": {"type": "str"}, "generate_name": {"type": "str"}, **CONDUCT, **CONTAINER, **POD}

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_VARIABLE = re.compile(r"[^=\x00-\x1f]+")


def check_name(option, name):
    """A name that can stand in a label, too (RFC 1123, 63 characters). Raises: PodwrightError."""
    if len(name) > 63 or not _NAME.fullmatch(name):
        raise option_error(option, f"'{name}' is not a name: at most 63 lower-case letters, digits and '-', beginning and ending with a letter or digit.")


def check_quantities(option, quantities):
    """A mapping of resource names to quantities. Raises: PodwrightError that names the entry."""
    for name, text in (quantities or {}).items():
        try:
            parse_quantity(text)
        except ValueError as error:
            raise option_error(f"{option}.{name}", f"{error}.") from error


def check_variable(option, name):
    """The name of an environment variable. Raises: PodwrightError."""
    if not _VARIABLE.fullmatch(name):
        raise option_error(option, f"'{name}' is not the name of an environment variable.")
