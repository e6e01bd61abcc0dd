# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors that an API server reports, and what to do about them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import UNKNOWN_KIND, Cause, PodwrightError

if TYPE_CHECKING:
    from ..values import Manifest
    from .request import Request

# How an API server rejects a path that it does not serve: with a Status for a group that it serves, else in plain text.
_NOT_SERVED = re.compile(r"\A404 page not found\s*\Z|could not find the requested resource")


def status_error(status: int, body: object, request: Request, identity: str) -> PodwrightError:
    """The error for a response of HTTP status 400 or more.

    Args:
        body: the decoded Status object, or another object with a message, or text; only a Status has a reason.
        identity: who sent the request, as errors name it.
    """
    content: Manifest = body if isinstance(body, dict) else {"message": str(body).strip()}
    is_status = content.get("kind") == "Status"
    details = (is_status and content.get("details")) or {}
    causes = [Cause(field=c.get("field", ""), message=c.get("message", ""), reason=c.get("reason", "")) for c in details.get("causes") or []]
    reason = (is_status and content.get("reason")) or f"HTTP {status}"
    text = str(content.get("message") or "the API server reported no message")
    if status == 404 and _NOT_SERVED.search(text):
        reason = UNKNOWN_KIND
    message = f"{request.describe()}: {text} ({status} {reason})"
    return PodwrightError(message, status=status, reason=reason, causes=causes, hint=_hint(status, reason, text, request, identity))


def _hint(status: int, reason: str, text: str, request: Request, identity: str) -> str:
    namespace = f" in namespace '{request.namespace}'" if request.namespace else ""
    if status == 401:
        return f"The API server does not accept the credentials of {identity}: renew them (kubectl login, a new token or certificate)."
    if status == 403 and "exceeded quota" in text:
        return f"Raise the ResourceQuota{namespace}, request less, or delete finished pods."
    if status == 403 and "PodSecurity" in text:
        return f"Set security_profile to a profile that the Pod Security level of the namespace allows, or change the level{namespace}."
    if status == 403 and "cannot " in text:
        return f"Grant the verb '{request.verb}' on '{request.resource}'{namespace} to {identity}, for example with the role podwright.core.rbac."
    if status == 404 and "namespaces" in text:
        return "Create the namespace first, for example with the role podwright.core.namespace."
    if status == 422 and "uantit" in text:
        return "Write quantities such as 500m, 2, 128Mi or 1Gi."
    if status == 409 and reason == "Conflict" and "conflict with" in text:
        return "Another field manager owns these fields: set conflicts to take, or omit the fields."
    return ""
