# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Security contexts by Pod Security level (https://kubernetes.io/docs/concepts/security/pod-security-standards/)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from ..cluster.kinds import NAMESPACE
from ..errors import PodwrightError, option_error
from ..text import parse_integer

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..values import Manifest, Options

ENFORCE = "pod-security.kubernetes.io/enforce"
UNPRIVILEGED_USER = 65532
MAX_ID = 2**31 - 1  # of runAsUser, runAsGroup and fsGroup


def choose_profile(client: Client, namespace: str, requested: str) -> str:
    """The profile of a pod: the requested one, or for `auto` that of the namespace's Pod Security level, but never looser than baseline.

    Raises: PodwrightError if the namespace cannot be read for another reason than a missing permission.
    """
    if requested != "auto":
        return requested
    try:
        found = client.get(NAMESPACE, None, namespace)
    except PodwrightError as error:
        if error.is_forbidden:
            return "baseline"  # if the level is stricter, the server refuses the pod and says so
        raise
    level = ((found or {}).get("metadata", {}).get("labels") or {}).get(ENFORCE)
    return "restricted" if level == "restricted" else "baseline"


def pod_context(profile: str, options: Options, name: str) -> Manifest:
    """The `securityContext` of a pod.

    Args:
        options: the options of the task.
        name: the name of the task, which determines its SELinux level.

    Raises: PodwrightError for an invalid user.
    """
    context: Manifest = {}
    if profile != "privileged":
        context["seccompProfile"] = {"type": "RuntimeDefault"}
    user = _user(options.get("run_as_user"))
    if profile == "restricted":
        context["runAsNonRoot"] = True
        if user is None:
            user = UNPRIVILEGED_USER
    for field, value in (("runAsUser", user), ("runAsGroup", options.get("run_as_group")), ("fsGroup", options.get("fs_group"))):
        if value is not None and value != "image":
            context[field] = int(value)
    if options.get("selinux_options"):
        context["seLinuxOptions"] = _selinux(options["selinux_options"], name)
    return context


def container_context(profile: str) -> Manifest:
    """The `securityContext` of each container."""
    if profile == "privileged":
        return {}
    context: Manifest = {"allowPrivilegeEscalation": False}
    return context | ({"capabilities": {"drop": ["ALL"]}} if profile == "restricted" else {})


def _user(value: Any) -> int | str | None:
    """The user ID, `image` or None. Raises: PodwrightError."""
    if value is None:
        return None
    user = "image" if value == "image" else parse_integer(value, MAX_ID)
    if user is None:
        raise option_error("run_as_user", f"must be a user ID from 0 to {MAX_ID} or 'image', got {value!r}.")
    return user


def _selinux(options: Any, name: str) -> Manifest:
    if isinstance(options, dict):
        return options
    if options != "auto":
        raise option_error("selinux_options", f"must be auto or a mapping with level, role, type or user, got {options!r}.")
    # Two of 1024 categories, derived from the name: tasks cannot read each other's files, and each task keeps its level.
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    first, second = digest % 1023, digest // 1023 % 1023
    low, high = sorted((first, second + 1 if second == first else second))
    return {"level": f"s0:c{low},c{high}"}
