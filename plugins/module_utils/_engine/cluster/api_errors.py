# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors that an API server reports, and what to do about them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import UNKNOWN_KIND, Cause, PodwrightError

if TYPE_CHECKING:
    from ..values import Manifest
    from .configuration import Configuration
    from .request import Request

# What to do about a status whose message says no more.
_HINTS = {
    "403": "An admission plugin or webhook denied it: change the object as the message says, or the policy.",
    "405": "The API server does not support this for the kind: check api_version and kind.",
    "409": "Another client changed the object meanwhile: run the task again.",
    "410": "Run the task again.",
    "413": "Move large values elsewhere, or split the object: a cluster stores objects of up to about 1 MiB.",
    "415": "The kind does not support this type of patch: omit merge_type, or set it to merge. Custom resources have no strategic-merge.",
    "429": "The API server limits the rate of requests: lower concurrency or forks, or raise the limits of its priority levels.",
    "5xx": "Check the health of the API server, of its webhooks and of proxies in between: kubectl get --raw '/readyz?verbose'.",
}
_MAX_MESSAGE, _MAX_REASON = 10_000, 100  # characters of a response in an error
_IMMUTABLE = "}: field is immutable"  # the end of a cause that contains an object
# What to do about a pod that admission or validation refuses, by what the refusal says: also in an event, if a controller creates the pod.
_ADMISSION_HINTS = (
    (r"service ?account \S+ not found", "Create the service account{namespace} first, for example with the role podwright.core.rbac."),
    (r"RuntimeClass \S+ not found|no PriorityClass with name", "Create what is not found first, or correct its name."),
    (r"exceeded quota: .*requested: count/", "Raise the ResourceQuota{namespace}, or delete objects that it counts."),
    (r"exceeded quota", "Raise the ResourceQuota{namespace}, request less, or delete finished pods."),
    (r"because it is being terminated", "Wait until it is deleted and create it again: nothing can be created{namespace} before."),
    (r"failed quota: .*must specify", "Set the resources that the ResourceQuota{namespace} limits, or defaults for them in a LimitRange."),
    (r"PodSecurity", "Set security_profile, or securityContext in a manifest, to what the Pod Security level allows, or change the level{namespace}."),
    (r"security context constraint", "Set run_as_user to auto and no other user or group: OpenShift assigns those of its range{namespace}."),
    (
        r"less than or equal to \S+ limit",
        "Set resources.limits to at least the requests: their default is that of the LimitRange{namespace}.",
    ),
    (r"(maximum|minimum) \S+ (usage|limit)|max limit to request ratio", "Set resources that the LimitRange{namespace} allows, or change the LimitRange."),
)
_GO_VALUE = re.compile(r"&(?:value\.valueUnstructured)?\{(?:Value:)?(.*?)\}")  # how an API server prints a value of another type
# How an API server repeats the whole object that a patch would have made, with values of a Secret that no parameter has.
_PATCHED = re.compile(r'patch: Invalid value: "(?:[^"\\]|\\.)*"(?:: )?')
# How it reports text for a number or a boolean: in an apply, and in patches.
_TEXT_FOR_OTHER = re.compile(
    r"expected (numeric|boolean)\b.* got (string|&)|cannot unmarshal string into .* \*?(int|float|bool)|cannot convert string to "
    r'|unrecognized type: u?(int|float|bool)|[pP]ort: Invalid value: "\d+": must contain at least one letter'
)
_OTHER_FOR_TEXT = re.compile(
    r"expected string, got|cannot unmarshal (number|bool) into .* of type (\*?string|\[\]uint8)|cannot convert (int64|float64|bool) to string"
)
_MAPPING_FOR_TEXT = re.compile(
    r"expected string, got &?(value\.valueUnstructured)?\{?(Value:)?(map)?\[|cannot unmarshal (object|array) into .* of type \*?string"
    r"|unrecognized type: string"
)
_MERGE_KEY = re.compile(r"does not contain declared merge key: (\w+)")  # of a list, in a strategic merge patch
_UNASSIGNABLE = re.compile("is not in the valid range|duplicate nodePort")  # which dry runs do not find
_OTHER_FOR_LIST = re.compile(r"expected list, got|cannot unmarshal (string|object|number|bool) into .* of type \[\](?!uint8)|cannot restore slice from")
# A field in snake_case: in a create, and in an apply.
_SNAKE_CASE = re.compile(r'unknown field "(?:[^"]*\.)?[a-z]+_\w+"|\.[a-z]+_\w+: field not declared in schema')
# How an API server rejects a path that it does not serve: with a Status for a group that it serves, else in plain text.
_NOT_SERVED = re.compile(r"\A404 page not found\s*\Z|could not find the requested resource")
# An apply that creates needs another verb than its request has, impersonation another resource: what is missing is known from the message.
_USER = re.compile(r'\b[Uu]ser "([^"]+)" (?:cannot|\(groups=)')
_DENIED = re.compile(r'cannot (\S+) resource "([^"]+)" in API group "([^"]*)"(?: in the namespace "([^"]*)")?')


def status_error(status: int, body: object, request: Request, configuration: Configuration) -> PodwrightError:
    """The error for a response of HTTP status 400 or more.

    Args:
        body: the decoded Status object, or another object with a message, or text; only a Status has a reason.
        configuration: of the connection; its credentials are masked, which a server may repeat.
    """
    content: Manifest = body if isinstance(body, dict) else {"message": str(body).strip()}
    is_status = content.get("kind") == "Status"
    causes = causes_of(content) if is_status else []
    reason = str((is_status and content.get("reason")) or f"HTTP {status}")[:_MAX_REASON]
    text = configuration.mask(_without_values(str(content.get("message") or "the API server reported no message"), causes))
    text = text if len(text) <= _MAX_MESSAGE else f"{text[:_MAX_MESSAGE]} … ({len(text)} characters)"
    if status == 404 and _NOT_SERVED.search(text):
        reason = UNKNOWN_KIND
    code = reason if reason.startswith("HTTP ") else f"{status} {reason}"
    shown = _GO_VALUE.sub(r"\1", text)
    error = PodwrightError(f"{request.describe()}: {shown} ({code})", status=status, reason=reason, causes=causes)
    is_anonymous = status == 401 or (error.is_forbidden and 'User "system:anonymous"' in text)
    error.hint = configuration.renewal if is_anonymous and not error.is_denied_by_admission else _hint(error, text, request, _user_of(text, configuration))
    return error


def _without_values(text: str, causes: Iterable[Cause]) -> str:
    """A message without whole objects: those that patches would have made, and the templates that immutable fields have."""
    for message in {cause["message"] for cause in causes if cause["message"].endswith(_IMMUTABLE)}:
        text = text.replace(message, f"Invalid value: {{…{_IMMUTABLE}")
    return _PATCHED.sub("patch: ", text)


def causes_of(status: Manifest) -> list[Cause]:
    """The causes in a Status, of any type if it is not from an API server."""
    details = status.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    found = [cause for cause in causes if isinstance(cause, dict)] if isinstance(causes, list) else []
    return [Cause(field=str(c.get("field") or ""), message=str(c.get("message") or ""), reason=str(c.get("reason") or "")) for c in found]


def admission_hint(text: str, namespace: str | None = None) -> str:
    """What to do if admission or validation refuses a pod, from the message of the API server or of an event; empty for anything else."""
    place = f" in namespace '{namespace}'" if namespace else ""
    return next((hint.format(namespace=place) for pattern, hint in _ADMISSION_HINTS if re.search(pattern, text)), "")


def _hint(error: PodwrightError, text: str, request: Request, identity: str) -> str:
    status = error.status
    if error.is_denied_by_admission:
        return "A webhook or policy of the cluster refuses it: correct what its message names, or ask those who operate it."
    if error.is_namespace_terminating:
        return f"Run the task again when the namespace is deleted: kubectl get namespace {request.namespace} -o yaml shows what its deletion waits for."
    if status in (403, 422) and (hint := admission_hint(text, request.namespace)):
        return hint
    if status == 403 and "attempting to grant RBAC permissions" in text:
        return f"Grant these permissions to {identity} first, or apply the object as a user that has them."
    if error.is_definition_terminating:
        return "Wait until its definition is deleted, and apply that again first: objects of the kind with finalizers keep it."
    if error.is_forbidden:
        grant = f"Grant {_missing_permission(text, request)} to {identity}"
        if "at the cluster scope" not in text:
            return f"{grant}, for example with the role podwright.core.rbac."
        is_wide = request.kind is not None and request.kind.namespaced and not request.namespace
        return f"{grant}, with a ClusterRole{', or set namespace' if is_wide else ''}."  # that role grants in namespaces only
    if status == 404 and "namespaces" in text:
        return "Create the namespace first, for example with the role podwright.core.namespace."
    if status == 422 and "uantit" in text:
        return "Write quantities such as 500m, 2, 128Mi or 1Gi."
    if any(cause["reason"] == "FieldManagerConflict" for cause in error.causes):
        return "Another field manager owns these fields: set conflicts to take, or omit the fields."
    if status == 409 and error.reason == "AlreadyExists":
        return "Use another name, or delete the existing object. If another client has just created it, run the task again."
    if hint := _type_hint(error, text):
        return hint
    if error.null_fields:
        return "Remove the fields that are null, or set them: their types do not allow null."
    if status == 422 and "status.storedVersions" in text:
        return "Keep the version in the definition, with served: false, until no object is stored in it and status.storedVersions lacks it."
    if status == 422 and "already allocated" in text:
        return "Leave out the addresses and node ports that another Service has (clusterIP, clusterIPs, nodePort), so that others are assigned."
    if status in (422, 500) and _UNASSIGNABLE.search(text):
        return "Leave out clusterIP, clusterIPs or nodePort, so that the cluster assigns one, or set another one."
    if error.exceeds_storage:
        return _HINTS["413"]
    return _HINTS.get("5xx" if status and status >= 500 else str(status), "")


def _user_of(text: str, configuration: Configuration) -> str:
    """Whom the API server names as the user, else who sends the requests by the configuration."""
    found = _USER.search(text)
    return f"the user '{found[1]}'" if found else configuration.identity


def _type_hint(error: PodwrightError, text: str) -> str:
    """What to do about values of the wrong types and misspelled fields, or empty."""
    hints = ['Quote the value, such as "1" or "true".'] if _OTHER_FOR_TEXT.search(text) else []
    hints = ["The filter to_json makes text of a mapping or a list."] if _MAPPING_FOR_TEXT.search(text) else hints
    hints += ["Write the value as a list."] if _OTHER_FOR_LIST.search(text) else []
    if found := _MERGE_KEY.search(text):
        hints.append(f"Add {found[1]} to each item of the list: items are merged by it.")
    if _SNAKE_CASE.search(text):
        hints.append("Write the fields of a manifest as the API does, in camelCase, such as restartPolicy.")
    if _TEXT_FOR_OTHER.search(text):
        hints.append("Write numbers and booleans without quotes, and variables that are text, such as those of the command line, with the filter int or bool.")
    return " ".join(hints) or ("Correct the fields that the message names." if error.is_schema_mismatch else "")


def _missing_permission(text: str, request: Request) -> str:
    """What RBAC denied, such as `the verb 'patch' on 'deployments.apps/scale' in namespace 'shop'`."""
    found = _DENIED.search(text)
    if found:
        verb, resource, group, namespace = found.groups()
    else:
        verb, resource, group, namespace = "create" if request.subresource else request.verb, request.resource, "", request.namespace
    place = f" in namespace '{namespace}'" if namespace else ""
    name, slash, subresource = resource.partition("/")
    return f"the verb '{verb}' on '{name}{'.' if group else ''}{group}{slash}{subresource}'{place}"
