# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Taking fields over from whoever wrote them before: exactly those that a manifest names."""

from __future__ import annotations

from ..cluster.client import MERGE_PATCH, Client
from ..cluster.kinds import Kind
from ..errors import PodwrightError
from .ownership import released_entries

ATTEMPTS = 5


def take_over(client: Client, kind: Kind, item: dict, manager: str, is_first_apply: bool = False) -> dict:
    """Take what `manager` applied to an object out of the entries of those who wrote it before.

    Args:
        item: the object as the apply answered it.
        is_first_apply: whether `manager` had applied nothing to the object before.

    Returns: the object as it then is; as last seen if it was deleted meanwhile.
    Raises: PodwrightError if the API server refuses, or the object changes faster than it can be read.
    """
    namespace, name = item["metadata"].get("namespace"), item["metadata"]["name"]
    for attempt in range(1, ATTEMPTS + 1):
        entries = released_entries(item, manager, is_first_apply)
        if entries is None:
            return item
        patch = {"metadata": {"resourceVersion": item["metadata"]["resourceVersion"], "managedFields": entries}}
        try:
            return client.patch(kind, namespace, name, patch, manager, MERGE_PATCH)
        except PodwrightError as error:
            # Somebody else wrote it, or this is the repetition of a request whose answer was lost: look before judging.
            if error.status not in (404, 409) or attempt == ATTEMPTS:
                raise
            seen = client.get(kind, namespace, name)
            if seen is None:
                return item
            item = seen
    return item
