# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A request to the API server as a value."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from .kinds import Kind

READ_TIMEOUT = 90
APPLY = "application/apply-patch+yaml"
ANYTHING = "*/*"
Query: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Request:
    """One request, which `Transport` sends.

    Attributes:
        body: sent as JSON; None for none.
        kind, namespace, name, subresource: of the object, for errors and to check the response; None if the path is not that of an object.
        retryable: whether the request may be sent again after a connection loss or a server error.
        accept: the media type of the response; `ANYTHING` for content other than an object.
        timeout: seconds between two reads from the connection.
        deadline: when a websocket must be open, by the monotonic clock, or None.
    """

    method: str
    path: str
    query: Query = ()
    body: object = None
    content_type: str = "application/json"
    kind: Kind | None = None
    namespace: str | None = None
    name: str | None = None
    subresource: str | None = None
    retryable: bool = True
    accept: str = "application/json"
    timeout: float = field(default=READ_TIMEOUT, compare=False)
    deadline: float | None = field(default=None, compare=False)

    @property
    def resource(self) -> str:
        """The resource as an RBAC rule names it, such as `pods/log`; the path if it is not that of an object."""
        if not self.kind:
            return self.path
        return f"{self.kind.plural}/{self.subresource}" if self.subresource else self.kind.plural

    @property
    def verb(self) -> str:
        """The verb as an RBAC rule names it."""
        if self.method == "GET" and not self.name:
            return "watch" if ("watch", "true") in self.query else "list"
        return {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete", "PUT": "update"}[self.method]

    @property
    def target(self) -> str:
        """The path and the query."""
        return self.path + ("?" + urllib.parse.urlencode(self.query) if self.query else "")

    def describe(self) -> str:
        """The beginning of an error about this request, such as `Could not get Pod 'web' in namespace 'shop'`."""
        if not self.kind:
            return f"{self.method} {self.path}"
        namespace = f" in namespace '{self.namespace}'" if self.namespace else ""
        part = f"{self.subresource} of " if self.subresource else ""
        name = self.name
        if self.method == "POST" and isinstance(self.body, dict):
            name = name or self.body.get("metadata", {}).get("name")
        what = f"{self.kind.name} {name!r}" if name else self.kind.name if self.method == "POST" else self.kind.title
        return f"Could not {'apply' if self.content_type == APPLY else self.verb} {part}{what}{namespace}"
