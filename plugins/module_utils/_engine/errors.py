# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The error type of the engine."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable
from typing import NoReturn, TypedDict

from .text import printable

# Reasons that code distinguishes, beside those of the API.
UNEXPECTED = "UnexpectedAnswer"  # the response is not that of an API server
TOO_LARGE = "TooLarge"
UNKNOWN_KIND = "UnknownKind"
CONNECTION_LOST = "ConnectionLost"
BAD_CERTIFICATE = "BadCertificate"
NO_PODS = "NoPods"  # no pod of a Service can answer
REPLACED = "Replaced"  # another run created the pod to which an object was to belong

_COLLECTION = "/podwright/core/"
_MAX_FRAMES = 5
# How an API server words a denial by RBAC; a websocket that lacks the verb create is refused without a word (Kubernetes 1.35 and later).
_DENIAL = re.compile(r'\bUser "?[^"]*"? cannot |is forbidden:\s+\(403 Forbidden\)\Z')
_FORMER_VERSION = "failed to convert merged object to last applied version"
_MISMATCHES = ("typed patch object", "unstructured object to ", "does not contain declared merge key")
_ADMISSION = re.compile(r"denied (the )?request")
_NULL = re.compile(r'"null": (\S+) in body must be of type')
# How an API server refuses a pod that refers to one of these objects, which the run may create before.
_PREREQUISITES = (
    (re.compile(r"error looking up service account \S+: serviceaccount \S+ not found"), "service account"),
    (re.compile(r"no PriorityClass with name \S+ was found"), "priority class"),
    (re.compile(r"RuntimeClass \S+ not found"), "runtime class"),
)


class Cause(TypedDict):
    """A StatusCause of the API: the field at fault, and why."""

    field: str
    message: str
    reason: str


class PodwrightError(Exception):
    """What failed and to which object, why, and what to do.

    Attributes:
        message: what failed, to which object, and why.
        status: the HTTP status if a server responded, else None.
        reason: the reason of the API (`NotFound`, `Forbidden`, …) or one of Podwright's.
        causes: the causes that the API reported.
        hint: what to do, or an empty string.
        response_was_lost: whether the response to an earlier attempt of the request was lost, so that it may have been executed.
        is_unreachable: whether no server accepted the connection, so that nothing was sent.
    """

    response_was_lost = False
    is_unreachable = False

    def __init__(self, message: str, *, status: int | None = None, reason: str = "", causes: Iterable[Cause] = (), hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.reason = reason
        self.causes = list(causes)
        self.hint = hint

    def __str__(self) -> str:
        if not self.hint:
            return printable(self.message)
        separator = "\n" if "\n" in self.message else " " if self.message.endswith((".", ".)")) else ". "
        return printable(f"{self.message}{separator}{self.hint}")

    @property
    def is_not_found(self) -> bool:
        """Whether the object or its namespace does not exist."""
        return self.status == 404 and self.reason == "NotFound" and not self.is_denied_by_admission

    @property
    def leaves_unknown(self) -> bool:
        """Whether it is unknown if the server executed the request."""
        return self.response_was_lost or self.reason in (CONNECTION_LOST, TOO_LARGE, UNEXPECTED)

    @property
    def is_refusal(self) -> bool:
        """Whether the server refused the request, and certainly did not execute it."""
        return self.status is not None and (self.status < 500 or self.is_schema_mismatch or self.exceeds_storage) and not self.leaves_unknown

    @property
    def is_denied_by_admission(self) -> bool:
        """Whether a webhook or a policy denied the request; status and reason are whatever it chose."""
        return bool(_ADMISSION.search(self.message))

    @property
    def is_schema_mismatch(self) -> bool:
        """Whether a manifest does not match its schema, which server-side apply and strategic merge patches report with status 500."""
        return self.status == 500 and any(words in self.message for words in (*_MISMATCHES, _FORMER_VERSION))

    @property
    def is_about_former_version(self) -> bool:
        """Whether an apply has fields that the version lacks in which the field manager applied the object before."""
        return self.status == 500 and _FORMER_VERSION in self.message

    @property
    def null_fields(self) -> set[str]:
        """The fields of a custom resource that are null, which their types do not allow: their paths, without the indexes of items."""
        return {re.sub(r"\[[^]]*\]", "", path) for path in _NULL.findall(self.message)} if self.status == 422 else set()

    @property
    def exceeds_storage(self) -> bool:
        """Whether an object is larger than etcd stores, which the API server reports with status 500."""
        return self.status == 500 and any(words in self.message for words in ("request is too large", "message larger than max"))

    @property
    def is_forbidden(self) -> bool:
        """Whether RBAC denied the request; a denial by admission (quota, Pod Security, a webhook) has the same status, but is not that."""
        return self.status == 403 and bool(_DENIAL.search(self.message)) and not self.is_denied_by_admission

    @property
    def exceeds_quota(self) -> bool:
        """Whether a ResourceQuota refuses the request: it may be accepted later."""
        return self.status == 403 and "exceeded quota" in self.message

    @property
    def missing_prerequisite(self) -> str:
        """What a pod refers to and does not exist, because of which it is refused; empty for other errors."""
        return next((name for pattern, name in _PREREQUISITES if self.status == 403 and pattern.search(self.message)), "")

    @property
    def is_namespace_terminating(self) -> bool:
        """Whether nothing can be created because the namespace is being deleted."""
        return self.status == 403 and any(cause["reason"] == "NamespaceTerminating" for cause in self.causes)

    @property
    def is_definition_terminating(self) -> bool:
        """Whether a custom resource cannot be created because its definition is being deleted."""
        return self.status == 403 and "while custom resource definition is terminating" in self.message

    @property
    def is_dry_run_refused(self) -> bool:
        """Whether a webhook does not support dry run."""
        return "dry run" in self.message or "dryRun" in self.message


def raise_explained(explained: PodwrightError, error: PodwrightError) -> NoReturn:
    """Raise an error that explains another one, which becomes its cause unless they are the same: Ansible shows every cause."""
    raise explained from None if explained is error else error


def option_error(option: str, message: str, hint: str = "") -> PodwrightError:
    """The error for an invalid option; its message starts with the path of the option."""
    return PodwrightError(f"{option}: {message}", reason="BadOption", hint=hint)


def not_found_error(kind: str, name: str, namespace: str, hint: str) -> PodwrightError:
    """The error for an object that does not exist."""
    return PodwrightError(f"{kind} '{name}' not found in namespace '{namespace}'.", status=404, reason="NotFound", hint=hint)


def as_podwright_error(error: Exception) -> PodwrightError:
    """The error itself if it is a PodwrightError, else an error that names the type and the source lines, but not the message: it may hold secrets."""
    if isinstance(error, PodwrightError):
        return error
    frames = [(frame.f_code.co_filename.rpartition(_COLLECTION), line) for frame, line in traceback.walk_tb(error.__traceback__)]
    lines = [f"{name}:{line}" for (_before, found, name), line in frames if found]
    trace = ", called from ".join(lines[: -_MAX_FRAMES - 1 : -1])
    return PodwrightError(
        f"Internal error of Podwright: {type(error).__name__} at {trace}.",
        reason="Unforeseen",
        hint="Report it with this line; the result shows what was done before.",
    )
