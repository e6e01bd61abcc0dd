# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Replacing an object whose change the API refuses: whether it may be deleted and created again."""

from __future__ import annotations

import re

from ..cluster.client import Client
from ..errors import PodwrightError
from .plan import Change

# How the API server (1.29 to 1.36) and rules of custom resources say that a field is fixed once it is set. The reason stands
# after the value, which may hold any text.
_FIXED = re.compile(
    r"(^|: )("
    r"([^:]*\b)?(is|are) immutable\b"
    r"|field cannot be (modified|set|cleared) once (set|created)"
    r"|may not (change|be changed) (once set|in an update)"
    r"|may not be updated"
    r"|([^:]*\b)?updates? (to [^:]* (is|are) forbidden|may not (change|add or remove))"
    r"|cannot change roleRef"
    r"|only deletion is allowed"
    r"|failed rule: [^\n]*\boldSelf\b"
    r")"
)
# What a Service is assigned: a new one asks for it while the old one still holds it.
_ASSIGNED = ("clusterIP", "clusterIPs", "healthCheckNodePort", "loadBalancerIP")


def is_immutable(error: PodwrightError) -> bool:
    """Whether an update was refused for nothing but fields that cannot be changed in place."""
    texts = [cause["message"] for cause in error.causes] or [error.message]
    return error.status == 422 and all(_FIXED.search(text) for text in texts)


def immutable_fields(error: PodwrightError) -> str:
    """The fields that a refusal names."""
    return ", ".join(sorted({cause["field"] for cause in error.causes if cause["field"]})) or error.message


def check_replacement(client: Client, change: Change, refusal: PodwrightError, manager: str, on_immutable: str) -> None:
    """Check that an object may be replaced, before anything is deleted.

    Args:
        refusal: why the object cannot be changed in place.
        on_immutable: `fail` or `replace`.

    Raises: PodwrightError if something besides immutable fields is wrong, a replacement was not asked for, or the new object
        would be refused.
    """
    if not change.before or not is_immutable(refusal):
        raise refusal
    shown = change.key.title
    if on_immutable != "replace":
        raise PodwrightError(
            f"{shown} cannot be changed in place; immutable: {immutable_fields(refusal)}.",
            status=refusal.status,
            reason="Immutable",
            causes=refusal.causes,
            hint="Set on_immutable to replace to delete and create it again, or give it another name.",
        ) from refusal
    try:
        # Creating is checked in full (defaults, validation, quota, admission) before its name is found to be taken.
        client.create(change.kind, change.key.namespace or None, _candidate(change), manager, dry_run=True)
    except PodwrightError as error:
        if error.reason == "AlreadyExists" or _fits_quota_afterwards(error):
            return
        raise PodwrightError(
            f"{shown} was not replaced, and nothing was deleted: the new object would be refused. {error.message}",
            status=error.status,
            reason=error.reason,
            causes=error.causes,
            hint=error.hint or _hint(error),
        ) from error


def _candidate(change: Change) -> dict:
    """The desired object, without the addresses and ports that the live one holds and will free."""
    desired, live = change.desired, change.before
    if change.key.kind != "Service" or not isinstance(desired.get("spec"), dict):
        return desired
    held, spec = live.get("spec") or {}, dict(desired["spec"])
    for name in _ASSIGNED:
        if name in spec and spec[name] == held.get(name):
            del spec[name]
    taken = {port.get("nodePort") for port in held.get("ports") or []}
    ports = spec.get("ports")
    if isinstance(ports, list):
        spec["ports"] = [
            {name: value for name, value in port.items() if name != "nodePort" or value not in taken} if isinstance(port, dict) else port for port in ports
        ]
    return desired | {"spec": spec}


def _fits_quota_afterwards(error: PodwrightError) -> bool:
    """Whether only quotas that count objects refuse the new one, which the old one makes room for; quota is checked last."""
    requested = re.findall(r"requested: (\S+), used:", error.message) if error.status == 403 and "exceeded quota" in error.message else []
    resources = [resource for listed in requested for resource in listed.split(",")]
    return bool(resources) and all(resource.startswith("count/") and resource.endswith("=1") for resource in resources)


def _hint(error: PodwrightError) -> str:
    if "dry run" in error.message or "dryRun" in error.message:
        return "A webhook does not support dry run, so a replacement cannot be checked: delete the object yourself and run the task again."
    return "Correct the manifest, or delete the object yourself and run the task again."
