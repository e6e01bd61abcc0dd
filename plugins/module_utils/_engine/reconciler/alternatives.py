# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fields that exclude each other: an apply of one does not remove another one that it does not own, and is refused.

The other one may be a default of the API server, such as `rollingUpdate` beside `strategy: {type: Recreate}` and `emptyDir` of a volume, or belong to the tool
that applied the object before. In the API's schema most of these have the patch strategy `retainKeys`, which server-side apply ignores.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..cluster.kinds import is_built_in
from .schema import MERGE_KEYS

if TYPE_CHECKING:
    from ..cluster.kinds import Kind
    from ..errors import PodwrightError
    from ..values import Manifest, Patch

# How the API server (1.29 to 1.36) words such a refusal.
_EXCLUSION = re.compile(r"may not specify more than 1 |may not be specified when |only allowed for updateStrategy|cannot be both set")
_HANDLERS = frozenset(("exec", "httpGet", "tcpSocket", "grpc", "sleep"))
# The fields of which one is allowed, by the name of the field that contains them.
_ALTERNATIVES = {
    **dict.fromkeys(("strategy", "updateStrategy"), frozenset(("rollingUpdate",))),
    **dict.fromkeys(("livenessProbe", "readinessProbe", "startupProbe", "postStart", "preStop"), _HANDLERS),
    "env": frozenset(("value", "valueFrom")),
    "spec": frozenset(("minAvailable", "maxUnavailable")),  # of a PodDisruptionBudget
}


def discard_alternatives(kind: Kind, desired: Manifest, item: Manifest, refusal: PodwrightError) -> Patch:
    """The operations that put the desired fields of an object in place of those that they exclude; empty unless a refusal is about nothing else.

    Args:
        item: the object before the apply, or as predicted.
    """
    is_about_them = refusal.status == 422 and refusal.causes and all(_EXCLUSION.search(cause["message"]) for cause in refusal.causes)
    return list(_find(desired, item, "", "")) if is_about_them and is_built_in(kind.api_version) else []


def _find(desired: Any, live: Any, pointer: str, name: str) -> Iterator[dict[str, Any]]:
    """The operations for a value.

    Args:
        name: the name of its field, that of the list if it is an item.
    """
    if isinstance(desired, list) and isinstance(live, list):
        keys = MERGE_KEYS.get(name) or ("name",)
        wanted = {_identity(item, keys): item for item in desired}
        for index, item in enumerate(live):
            yield from _find(wanted.get(_identity(item, keys)), item, f"{pointer}/{index}", name)
    if not isinstance(desired, dict) or not isinstance(live, dict):
        return
    alternatives = live.keys() - {"name"} if name == "volumes" else _ALTERNATIVES.get(name, frozenset())
    excluded = (live.keys() & alternatives) - desired.keys()
    if excluded and desired.keys() - {"name"}:
        yield {"op": "replace", "path": pointer, "value": {key: value for key, value in live.items() if key not in excluded} | desired}
        return
    for key in desired.keys() & live.keys():
        yield from _find(desired[key], live[key], f"{pointer}/{key}", key)


def _identity(item: Any, keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(item.get(key)) for key in keys) if isinstance(item, dict) else ()
