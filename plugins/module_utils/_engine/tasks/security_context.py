# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Security contexts by Pod Security level (https://kubernetes.io/docs/concepts/security/pod-security-standards/)."""

from __future__ import annotations

import hashlib

from ..cluster.kinds import NAMESPACE
from ..errors import PodwrightError

ENFORCE = "pod-security.kubernetes.io/enforce"
UNPRIVILEGED_USER = 65532


def choose_profile(client, namespace, asked):
    """The profile to build for: the one asked for, or for `auto` as strict as the namespace enforces and never looser than baseline."""
    if asked != "auto":
        return asked
    try:
        found = client.get(NAMESPACE, None, namespace)
    except PodwrightError as error:
        if error.is_forbidden:
            return "baseline"  # whoever may not read the level is told by the server where it is stricter
        raise
    level = ((found or {}).get("metadata", {}).get("labels") or {}).get(ENFORCE)
    return "restricted" if level == "restricted" else "baseline"


def pod_context(profile, options, name):
    """The pod's securityContext."""
    context = {}
    if profile != "privileged":
        context["seccompProfile"] = {"type": "RuntimeDefault"}
    user = options.get("run_as_user")
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


def container_context(profile):
    """Each container's securityContext."""
    if profile == "privileged":
        return {}
    context = {"allowPrivilegeEscalation": False}
    return context | ({"capabilities": {"drop": ["ALL"]}} if profile == "restricted" else {})


def _selinux(options, name):
    if options != "auto":
        return options
    # Two categories of 1024, from the name: tasks cannot read each other's files, and a task gets the same ones again.
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    first, second = digest % 1023, digest // 1023 % 1023
    low, high = sorted((first, second + 1 if second == first else second))
    return {"level": f"s0:c{low},c{high}"}
