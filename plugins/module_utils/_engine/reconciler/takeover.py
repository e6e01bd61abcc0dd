# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is written beside an apply: the ownership of exactly the fields in a manifest and of those that it excludes; and empty maps and lists."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..clock import pause_after
from ..cluster.client import JSON_PATCH, MERGE_PATCH
from ..errors import PodwrightError
from .emptied import change_patch
from .ownership import claimed_entries, disowned_entries, released_entries

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..cluster.kinds import Kind
    from ..values import Manifest, Patch

ATTEMPTS = 8  # the status of an object changes, too


def take_over(client: Client, kind: Kind, item: Manifest, manager: str, is_first_apply: bool) -> Manifest:
    """Remove the fields that `manager` applied to an object from the managedFields of other managers.

    Args:
        item: the object in the response to the apply.
        is_first_apply: whether this was the first apply of `manager` to the object.

    Returns: the object afterwards, or as last seen if it was deleted meanwhile.
    Raises: PodwrightError if the API server refuses, or each of several attempts conflicts with another change.
    """
    return _change_owners(client, kind, item, manager, partial(released_entries, manager=manager, is_first_apply=is_first_apply))


def claim(client: Client, kind: Kind, item: Manifest, manager: str, find: Callable[[Manifest], list[list[Any]]]) -> None:
    """Make `manager` the only owner of fields of an object, so that its next apply removes them. Nothing but the managedFields changes.

    Args:
        find: returns the paths of the fields in the object.

    Raises: PodwrightError as `take_over`.
    """

    def entries(seen: Manifest) -> list[dict[str, Any]] | None:
        paths = find(seen)
        return claimed_entries(seen, manager, paths) if paths else None

    _change_owners(client, kind, item, manager, entries)


def move_version(client: Client, kind: Kind, item: Manifest, manager: str) -> None:
    """Record that `manager` applied its fields of an object in the version of `kind`. Raises: PodwrightError as `take_over`."""

    def entries(seen: Manifest) -> list[dict[str, Any]] | None:
        before: list[dict[str, Any]] = seen["metadata"].get("managedFields") or []
        after = [entry | ({"apiVersion": kind.api_version} if entry.get("manager") == manager else {}) for entry in before]
        return None if after == before else after

    _change_owners(client, kind, item, manager, entries)


def anticipate(client: Client, kind: Kind, item: Manifest, manager: str, applied: Callable[[Manifest], Manifest], dry_run: bool) -> Manifest:
    """Patch an object as an apply will leave it, without owning a field.

    Args:
        applied: returns the object as it will be, from what it is.

    Returns: the object afterwards, or as last seen if it was deleted meanwhile.
    Raises: PodwrightError as `take_over`.
    """
    before = item

    def patch_of(seen: Manifest) -> Patch:
        nonlocal before
        before = seen
        return change_patch(seen, applied(seen))

    after = _change(client, kind, item, manager, patch_of, JSON_PATCH, dry_run)
    # Else the apply could conflict with the patch, and a later one would not remove what that has set.
    return after if dry_run else _change_owners(client, kind, after, manager, partial(disowned_entries, before=before, manager=manager))


def pause(client: Client, attempt: int) -> None:
    """Let other runs finish that change the same object."""
    client.clock.sleep(pause_after(attempt, 0.05, 1) * random.uniform(0, 1))  # noqa: S311 - not a secret


def _change_owners(client: Client, kind: Kind, item: Manifest, manager: str, entries_of: Callable[[Manifest], list[dict[str, Any]] | None]) -> Manifest:
    def patch_of(seen: Manifest) -> Manifest | None:
        entries = entries_of(seen)
        return None if entries is None else {"metadata": {"resourceVersion": seen["metadata"]["resourceVersion"], "managedFields": entries}}

    return _change(client, kind, item, manager, patch_of, MERGE_PATCH)


def _change(
    client: Client,
    kind: Kind,
    item: Manifest,
    manager: str,
    patch_of: Callable[[Manifest], Manifest | Patch | None],
    content_type: str,
    dry_run: bool = False,
) -> Manifest:
    """Patch the object until there is nothing to patch, or nobody else has changed it meanwhile."""
    namespace, name = item["metadata"].get("namespace"), item["metadata"]["name"]
    for attempt in range(1, ATTEMPTS + 1):
        patch = patch_of(item)
        if patch is None:
            return item
        try:
            return client.patch(kind, namespace, name, patch, manager, content_type, dry_run=dry_run)
        except PodwrightError as error:
            # Another client changed it, or this is a retry after a lost response: read the object first.
            # An operation of a JSON patch fails before versions are compared, without a cause.
            is_outdated = error.status in (404, 409) or (error.status == 422 and not error.causes)
            if not is_outdated or attempt == ATTEMPTS:
                raise
            pause(client, attempt)
            seen = client.get(kind, namespace, name)
            if seen is None:
                return item
            item = seen
    return item
