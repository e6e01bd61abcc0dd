# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Objects of the API server: get, list, create, apply, patch and delete, as raw JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar, overload

from ..errors import TOO_LARGE, UNEXPECTED, UNKNOWN_KIND, PodwrightError
from ..text import parse_integer
from .kinds import POD, Kind, Kinds
from .log_lines import missing_log
from .request import ANYTHING, APPLY, Query, Request
from .transport import Transport

if TYPE_CHECKING:
    from ..clock import Clock
    from ..values import Manifest, Patch
    from .configuration import Configuration

MANAGER = "podwright"  # the field manager
PAGE_SIZE, MAX_PAGES = 500, 10_000
CONNECTIONS = 16  # kept open at most
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

T = TypeVar("T")
Listing: TypeAlias = tuple[list[T], str]
"""Items, and the resource version to watch from."""


class Page(NamedTuple):
    """A page of a list.

    Attributes:
        token: for the next page; empty if there is none.
        remaining: how many objects follow, if the API server says so.
        version: resource version to watch from.
    """

    items: list[Manifest]
    token: str
    remaining: int | None
    version: str


class Client(Transport):
    """Reads and writes the objects of one API server; threads may share it.

    Args:
        connections: how many connections are kept open at most.
        poll_seconds: how often a collection is listed if watching it is forbidden.

    Attributes:
        kinds: the kinds that the server serves.
    """

    def __init__(self, configuration: Configuration, connections: int = CONNECTIONS, clock: Clock | None = None, poll_seconds: float = 5) -> None:
        super().__init__(configuration, connections, clock)
        self.poll_seconds = poll_seconds
        self.kinds = Kinds(lambda path: self.send(Request("GET", path)))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def get(self, kind: Kind, namespace: str | None, name: str, subresource: str | None = None) -> Manifest | None:
        """An object or its subresource, or None if it, its namespace or a definition that is about to be created does not exist. Raises: PodwrightError."""
        try:
            return self.send(_object_request("GET", kind, namespace, name, subresource))
        except PodwrightError as error:
            if error.is_not_found or (error.reason == UNKNOWN_KIND and self.kinds.is_defined(kind)):
                return None
            raise

    @overload
    def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        transform: None = None,
        metadata_only: bool = False,
    ) -> Listing[Manifest]: ...

    @overload
    def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        *,
        transform: Callable[[Manifest], T],
        metadata_only: bool = False,
    ) -> Listing[T]: ...

    def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        transform: Callable[[Manifest], Any] | None = None,
        metadata_only: bool = False,
    ) -> Listing[Any]:
        """The objects of a kind, read in pages, each with apiVersion and kind.

        Args:
            namespace: None for all namespaces.
            transform: what to keep of each object; each page is dropped before the next one is requested.
            metadata_only: return nothing but the metadata (PartialObjectMetadata of the API).

        Returns: (items, resource version to watch from).
        Raises: PodwrightError.
        """
        items: list[Any] = []
        known: set[tuple[str | None, str]] = set()
        token, limit, restarts = "", PAGE_SIZE, 0
        for _number in range(MAX_PAGES):
            try:
                page = self.page(kind, namespace, label_selector, field_selector, metadata_only, limit, token)
            except PodwrightError as error:
                if error.status == 410 and token and not restarts:  # the continue token has expired, and so may the next one: all in one page
                    items, known, token, limit, restarts = [], set(), "", 0, 1
                elif error.reason == TOO_LARGE and limit != 1:
                    limit = max((limit or PAGE_SIZE) // 10, 1)
                else:
                    raise
                continue
            _check_unique(page.items, known, kind)
            items += map(transform, page.items) if transform else page.items
            token = page.token
            if not token:
                return items, page.version
        raise PodwrightError(f"The list of {kind.name}s has more than {MAX_PAGES} pages.", reason=UNEXPECTED, hint="Check the address of the API server.")

    def page(
        self,
        kind: Kind,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        metadata_only: bool = False,
        limit: int = PAGE_SIZE,
        token: str = "",
    ) -> Page:
        """The first objects of a kind, as from `list`.

        Args:
            limit: how many objects; 0 for all.
            token: that of the page before, or an empty string.

        Raises: PodwrightError; with status 410 if the token has expired.
        """
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        query = _query(limit=str(limit) if limit else None, **selectors, **{"continue": token})
        accept = METADATA if metadata_only else Request.accept
        answer = self.send(Request("GET", kind.path(namespace), query, kind=kind, namespace=namespace, accept=accept))
        items = answer.get("items") or []
        for item in items:
            item.setdefault("apiVersion", kind.api_version)
            item.setdefault("kind", kind.name)
        metadata = answer["metadata"]
        return Page(items, metadata.get("continue") or "", parse_integer(metadata.get("remainingItemCount")), metadata.get("resourceVersion", ""))

    def create(self, kind: Kind, namespace: str | None, body: Manifest, manager: str, dry_run: bool = False) -> Manifest:
        """Create an object and return it as created. Raises: PodwrightError; AlreadyExists also if the response to an earlier attempt was lost."""
        return self.send(Request("POST", kind.path(namespace), _write_query(manager, dry_run), body, kind=kind, namespace=namespace))

    def apply(self, kind: Kind, namespace: str | None, name: str, body: Manifest, manager: str, force: bool = True, dry_run: bool = False) -> Manifest:
        """Apply a manifest on the server (KEP-555) and return the object as it is then. Raises: PodwrightError."""
        query = (*_write_query(manager, dry_run), ("force", "true" if force else "false"))
        return self.send(_object_request("PATCH", kind, namespace, name, query=query, body=body, content_type=APPLY))

    def patch(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        patch: Patch | Manifest,
        manager: str,
        content_type: str = JSON_PATCH,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> Manifest:
        """Patch an object or its subresource, and return it as patched. Raises: PodwrightError."""
        query = _write_query(manager, dry_run)
        try:
            return self.send(_object_request("PATCH", kind, namespace, name, subresource, query=query, body=patch, content_type=content_type))
        except PodwrightError as error:
            if error.status != 409 or not error.response_was_lost or not isinstance(patch, dict):
                raise
            # The attempt whose response was lost may have changed the resource version that the patch requires.
            live = self.get(kind, namespace, name)
            if live is None or not _contains(live, _without_version(patch)):
                raise
            return live

    def delete(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        uid: str | None = None,
        propagation: str = "Background",
        grace_period: int | None = None,
        dry_run: bool = False,
        version: str | None = None,
    ) -> bool:
        """Delete an object.

        Args:
            uid: delete only the object of this uid.
            propagation: the propagation policy.
            grace_period: in seconds; 0 kills at once; None keeps the grace period of the object.
            version: delete the object of that uid only if this is still its resource version.

        Returns: False if the object did not exist, unless the response to an earlier attempt was lost.
        Raises: PodwrightError; not if no response says whether it was deleted, and the object was or is being deleted.
        """
        body: Manifest = {"propagationPolicy": propagation} | ({"dryRun": ["All"]} if dry_run else {})
        if uid:
            body["preconditions"] = {"uid": uid} | ({"resourceVersion": version} if version else {})
        if grace_period is not None:
            body["gracePeriodSeconds"] = grace_period
        try:
            self.send(_object_request("DELETE", kind, namespace, name, body=body))
            return True
        except PodwrightError as error:
            is_conflict = error.status == 409 and "precondition" in error.message.lower()
            if error.is_not_found or (is_conflict and not version):
                return error.response_was_lost
            if error.leaves_unknown and not dry_run and self._is_deleted(kind, namespace, name, uid):
                return True  # by the request whose response was lost, or by another client
            if is_conflict:
                return False
            raise

    def _is_deleted(self, kind: Kind, namespace: str | None, name: str, uid: str | None) -> bool:
        """Whether an object has certainly been deleted, or is being deleted."""
        try:
            live = self.get(kind, namespace, name)
        except PodwrightError:
            return False
        return live is None or bool(live["metadata"].get("deletionTimestamp")) or (uid is not None and live["metadata"].get("uid") != uid)

    def log(self, namespace: str, pod: str, container: str, tail_lines: int | None = None, limit_bytes: int | None = None) -> bytes:
        """The log of a container. Raises: PodwrightError, also if its node has deleted it."""
        query = _query(
            container=container,
            tailLines=None if tail_lines is None else str(tail_lines),
            limitBytes=None if limit_bytes is None else str(limit_bytes),
        )
        content = self.fetch(_object_request("GET", POD, namespace, pod, "log", query=query, accept=ANYTHING))
        missing = missing_log(content, pod, container)
        if missing:
            raise missing
        return content


def _object_request(method: str, kind: Kind, namespace: str | None, name: str, subresource: str | None = None, **options: Any) -> Request:
    namespace = namespace if kind.namespaced else None
    return Request(method, kind.path(namespace, name, subresource), kind=kind, namespace=namespace, name=name, subresource=subresource, **options)


def _check_unique(items: list[Manifest], known: set[tuple[str | None, str]], kind: Kind) -> None:
    """Add objects to those that are known. Raises: PodwrightError if one is known: what is done to each object would be done to it twice."""
    for item in items:
        key = (item["metadata"].get("namespace"), item["metadata"]["name"])
        if key in known:
            message = f"The list of {kind.name}s contains {kind.name} '{key[1]}' twice."
            raise PodwrightError(message, reason=UNEXPECTED, hint="Check the address of the API server, and the proxies in between.")
        known.add(key)


def _contains(value: Any, patch: Any) -> bool:
    """Whether a value is as a merge patch leaves it (RFC 7386)."""
    if isinstance(patch, dict):
        return isinstance(value, dict) and all(_contains(value.get(name), part) for name, part in patch.items())
    return bool(value == patch)


def _without_version(patch: Manifest) -> Manifest:
    metadata = {name: value for name, value in (patch.get("metadata") or {}).items() if name != "resourceVersion"}
    return patch | {"metadata": metadata}


def _query(**parameters: str | None) -> Query:
    return tuple((name, value) for name, value in parameters.items() if value)


def _write_query(manager: str, dry_run: bool) -> Query:
    return (("fieldManager", manager), ("fieldValidation", "Strict"), *((("dryRun", "All"),) if dry_run else ()))
