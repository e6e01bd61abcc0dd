# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one error type of the engine."""

from __future__ import annotations

import os
import re
import traceback

from .text import printable

_PLUGINS = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
_FRAMES_SHOWN = 5
UNEXPECTED = "UnexpectedAnswer"  # not that of an API server
UNKNOWN_KIND = "UnknownKind"


class PodwrightError(Exception):
    """What failed, where, why and what to do.

    Attributes:
        message: what failed and where, for a person.
        status: HTTP status where a server answered, else None.
        reason: the API's reason word (`NotFound`, `Forbidden`, …) or one of ours.
        causes: the API's causes, `{field, message, reason}` each.
        hint: what to do about it, or an empty string.
        is_in_doubt: whether this answers a repetition of a request whose first answer was lost: it may have been carried out.
    """

    response_was_lost = False

    def __init__(self, message, *, status=None, reason="", causes=(), hint=""):
        super().__init__(message)
        self.message = message
        self.status = status
        self.reason = reason
        self.causes = list(causes)
        self.hint = hint

    def __str__(self):
        if not self.hint:
            return printable(self.message)
        separator = "\n" if "\n" in self.message else " " if self.message.endswith((".", ")")) else ". "
        return printable(f"{self.message}{separator}{self.hint}")

    @property
    def is_not_found(self):
        """Whether an API server said that the object, or its namespace, does not exist."""
        return self.status == 404 and self.reason == "NotFound"

    @property
    def is_schema_mismatch(self):
        """Whether a manifest does not fit its type, which server-side apply answers with a 500."""
        return self.status == 500 and any(words in self.message for words in ("typed patch object", "unstructured object to "))

    @property
    def is_forbidden(self):
        """Whether the Role lacks a permission; an admission's refusal (quota, Pod Security) is not that."""
        return self.status == 403 and "cannot " in self.message


def raise_explained(explained, error):
    """Raise what explains an error; Ansible shows the whole chain of causes, so that an error must not be its own."""
    raise explained from None if explained is error else error


def option_error(option: str, message: str, hint: str = "") -> PodwrightError:
    """The error for an option at fault; its message starts with the option's full path."""
    return PodwrightError(f"{option}: {message}", reason="BadOption", hint=hint)


def as_podwright_error(error: Exception) -> PodwrightError:
    """The error itself if it is one of ours, else one that says where Podwright failed, and no value: nobody checked what the exception holds."""
    if isinstance(error, PodwrightError):
        return error
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    places = [f"plugins{name.removeprefix(_PLUGINS)}:{line}" for name, line in frames if name.startswith(_PLUGINS)]
    trace = ", called from ".join(places[: -_FRAMES_SHOWN - 1 : -1])
    return PodwrightError(
        f"This is a fault of Podwright: {type(error).__name__} at {trace}.",
        reason="Unforeseen",
        hint="Please report it with this line; what was done before it is in the result.",
    )


# What an API server says of a path that it does not serve: with a Status in a group that it knows, else as plain text.
_UNSERVED = re.compile(r"\A404 page not found\s*\Z|could not find the requested resource")


def status_error(status, body, request, identity):
    """The error for an answer of 400 or more.

    Args:
        status: HTTP status (int).
        body: the decoded Status object, or text (or another object with a message) if the answer was none; only a Status gives a reason.
        request: the Request that was sent.
        identity: who asked, for a person.
    """
    is_status = isinstance(body, dict) and body.get("kind") == "Status"
    if not isinstance(body, dict):
        body = {"message": str(body).strip()}
    details = (is_status and body.get("details")) or {}
    causes = [{"field": c.get("field", ""), "message": c.get("message", ""), "reason": c.get("reason", "")} for c in details.get("causes") or []]
    reason = (is_status and body.get("reason")) or f"HTTP {status}"
    text = str(body.get("message") or "the API server gave no message")
    if status == 404 and _UNSERVED.search(text):
        reason = UNKNOWN_KIND
    message = f"{request.describe()}: {text} ({status} {reason})"
    return PodwrightError(message, status=status, reason=reason, causes=causes, hint=_hint(status, reason, text, request, identity))


def _hint(status, reason, text, request, identity):
    where = f" in namespace '{request.namespace}'" if request.namespace else ""
    if status == 401:
        return f"The API server does not accept the credentials of {identity}: renew them (kubectl login, a new token or certificate)."
    if status == 403 and "exceeded quota" in text:
        return f"Raise the ResourceQuota{where}, or ask for less, or free what finished tasks still hold."
    if status == 403 and "PodSecurity" in text:
        return f"Set security_profile to what the namespace's Pod Security level allows, or change the level{where}."
    if status == 403 and "cannot " in text:
        return f"Grant the verb '{request.verb}' on '{request.resource}'{where} to {identity}, with the role podwright.core.rbac for instance."
    if status == 404 and "namespaces" in text:
        return "Create the namespace first, with the role podwright.core.namespace for instance."
    if status == 422 and "uantit" in text:
        return "Quantities are written like 500m, 2, 128Mi or 1Gi."
    if status == 409 and reason == "Conflict" and "conflict with" in text:
        return "Another field manager owns these fields: set conflicts to take, or leave the fields out."
    return ""
