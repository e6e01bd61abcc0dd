# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Taking over the ownership of fields: exactly those in a manifest, and those that it excludes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..cluster.client import MERGE_PATCH
from ..errors import PodwrightError
from .ownership import claimed_entries, released_entries

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..cluster.kinds import Kind
    from ..values import Manifest

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


def _change_owners(client: Client, kind: Kind, item: Manifest, manager: str, entries_of: Callable[[Manifest], list[dict[str, Any]] | None]) -> Manifest:
    namespace, name = item["metadata"].get("namespace"), item["metadata"]["name"]
    for attempt in range(1, ATTEMPTS + 1):
        entries = entries_of(item)
        if entries is None:
            return item
        patch = {"metadata": {"resourceVersion": item["metadata"]["resourceVersion"], "managedFields": entries}}
        try:
            return client.patch(kind, namespace, name, patch, manager, MERGE_PATCH)
        except PodwrightError as error:
            # Another client changed it, or this is a retry after a lost response: read the object first.
            if error.status not in (404, 409) or attempt == ATTEMPTS:
                raise
            seen = client.get(kind, namespace, name)
            if seen is None:
                return item
            item = seen
    return item
