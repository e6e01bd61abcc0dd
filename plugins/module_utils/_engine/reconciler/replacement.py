# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether an object that cannot be changed in place may be replaced, that is deleted and created again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..cluster.kinds import CLAIM, DEFINITION, is_built_in
from ..errors import PodwrightError
from .alternatives import EXCLUSION
from .manifest import ASSIGNED

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..clock import Clock
    from ..cluster.client import Client
    from ..objects.key import Key
    from ..values import Manifest
    from .plan import Change

# How the API server (1.29 to 1.36) and the rules of custom resources report an immutable field: after the value, which may be any text.
_IMMUTABLE = re.compile(
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
IMMUTABLE = "Immutable"  # reason of an error about fields that cannot be changed
QUOTA_SECONDS, QUOTA_PAUSE = 30, 0.5


def is_immutable(error: PodwrightError, takes_over: bool = True) -> bool:
    """Whether an update was refused because of immutable fields and nothing else but, if fields of others may be removed, those that exclude desired ones."""
    texts = [cause["message"] for cause in error.causes] or [error.message]
    rest = [text for text in texts if not _IMMUTABLE.search(text)]
    return error.status == 422 and len(rest) < len(texts) and all(takes_over and EXCLUSION.search(text) for text in rest)


def immutable_fields(error: PodwrightError) -> str:
    """The fields that a refusal names, or its message if it names none."""
    return ", ".join(sorted({cause["field"] for cause in error.causes if cause["field"] and _IMMUTABLE.search(cause["message"])})) or error.message


_ACCEPTED_HINT = (
    "As a new object it would be accepted. If fields that the manifest does not contain exclude those that it does, "
    "remove them first with state: patched, by null as their value, or by a patch with the operation remove for items of a list; else the live object "
    "must not be changed in this way."
)
_CLAIM_HINT = "A claim can only grow, once it is bound and if its class allows that. Give it another name and copy the data: replacing it would delete them."
_REPLACE_HINT = "Set on_immutable to replace to delete and create it again, or give it another name."
_REPLACE_HINTS = {
    CLAIM.name: _CLAIM_HINT,
    DEFINITION.name: "Set on_immutable to replace to delete and create it again; this deletes all objects of its kind.",
}


def check_replacement(client: Client, change: Change, refusal: PodwrightError, manager: str, on_immutable: str, takes_over: bool = True) -> Manifest:
    """Check that an object may be replaced, before it is deleted.

    Args:
        refusal: the error of the change in place.
        on_immutable: `fail` or `replace`.
        takes_over: whether fields that other managers own may be removed.

    Returns: the live object to delete.
    Raises: PodwrightError: the refusal if it is about more than immutable fields; or a replacement is not enabled, or the API
        server would refuse the new object.
    """
    if not change.before or not is_immutable(refusal, takes_over):
        is_explained = refusal.hint or any(_IMMUTABLE.search(cause["message"]) for cause in refusal.causes)
        if change.before and refusal.status == 422 and is_built_in(change.kind.api_version) and not is_explained and _is_valid(client, change, manager):
            refusal.hint = _CLAIM_HINT if change.kind == CLAIM else _ACCEPTED_HINT
        raise refusal
    title = change.key.title
    if on_immutable != "replace":
        raise PodwrightError(
            f"{title} cannot be changed in place; immutable: {immutable_fields(refusal)}.",
            status=refusal.status,
            reason=IMMUTABLE,
            causes=refusal.causes,
            hint=_REPLACE_HINTS.get(change.kind.name, _REPLACE_HINT),
        ) from refusal
    try:
        # The API server checks a creation in full (defaults, validation, quota, admission) before it reports that the name exists.
        client.create(change.kind, change.key.namespace or None, _candidate(change), manager, dry_run=True)
    except PodwrightError as error:
        if error.reason == "AlreadyExists" or _fits_quota_after_deletion(error):
            return change.before
        raise PodwrightError(
            f"{title} was not replaced, and nothing was deleted: the API server would refuse the new object. {error.message}",
            status=error.status,
            reason=error.reason,
            causes=error.causes,
            hint=error.hint or _hint(error),
        ) from error
    return change.before


def _is_valid(client: Client, change: Change, manager: str) -> bool:
    """Whether the API server would create the desired object under another name."""
    try:
        client.create(change.kind, change.key.namespace or None, _candidate(change), manager, dry_run=True)
    except PodwrightError as error:
        return error.reason == "AlreadyExists"
    return True


def create_again(apply: Callable[[], Manifest], clock: Clock, timeout: float) -> Manifest:
    """Create an object in place of a deleted one, which a ResourceQuota counts until its controller has seen the deletion.

    Args:
        apply: sends the request, and returns the live object.
        timeout: seconds for which a refusal by a quota is retried, at most QUOTA_SECONDS.

    Raises: PodwrightError if the API server refuses the object.
    """
    deadline = clock.monotonic() + min(timeout, QUOTA_SECONDS)
    while True:
        try:
            return apply()
        except PodwrightError as error:
            if not error.exceeds_quota or clock.monotonic() >= deadline:
                raise
        clock.sleep(QUOTA_PAUSE)


def _candidate(change: Change) -> Manifest:
    """The desired object, without the addresses and ports of the live one, which its deletion releases."""
    desired, live = change.desired or {}, change.before or {}
    if change.key.kind != "Service" or not isinstance(desired.get("spec"), dict):
        return desired
    held, spec = live.get("spec") or {}, dict(desired["spec"])
    for name in ASSIGNED:
        if name in spec and spec[name] == held.get(name):
            del spec[name]
    taken = {port.get("nodePort") for port in held.get("ports") or []}
    if isinstance(spec.get("ports"), list):
        spec["ports"] = [_without_taken(port, taken) for port in spec["ports"]]
    return desired | {"spec": spec}


def _without_taken(port: Any, taken: set[Any]) -> Any:
    """A port of a Service, without its node port if that is taken."""
    return {name: value for name, value in port.items() if name != "nodePort" or value not in taken} if isinstance(port, dict) else port


def _fits_quota_after_deletion(error: PodwrightError) -> bool:
    """Whether only quotas that count objects refuse the new object, which the deletion makes room for. The API server checks quota last."""
    requested = re.findall(r"requested: (\S+), used:", error.message) if error.exceeds_quota else []
    resources = [resource for listed in requested for resource in listed.split(",")]
    return bool(resources) and all(resource.startswith("count/") and resource.endswith("=1") for resource in resources)


def _hint(error: PodwrightError) -> str:
    if error.is_dry_run_refused:
        return "A webhook does not support dry run, so the replacement cannot be checked: delete the object yourself and run the task again."
    return "Correct the manifest, or delete the object yourself and run the task again."


def check_preconditions(key: Key, item: Manifest, uid: str | None, version: str | None) -> None:
    """Raises: PodwrightError if an object to delete is not the one of `delete_options.preconditions`."""
    for option, field, wanted in (("uid", "uid", uid), ("resource_version", "resourceVersion", version)):
        if wanted and item["metadata"].get(field) != wanted:
            raise precondition_error(key, option, wanted)


def precondition_error(key: Key, option: str, wanted: str) -> PodwrightError:
    """The error for an object that is not the one of `delete_options.preconditions`."""
    message = f"{key.title} is not deleted: delete_options.preconditions.{option} is {wanted}, and that of the object differs."
    return PodwrightError(message, status=409, reason="Conflict", hint="Read the object again.")
