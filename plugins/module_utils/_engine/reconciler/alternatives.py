# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fields that exclude each other, of which the API server has set one itself: an apply of the other one does not remove what nobody owns.

So it is for `strategy: {type: Recreate}` beside the default `rollingUpdate`, and for a volume beside its default `emptyDir`. In the API's schema these have
the patch strategy `retainKeys`, which server-side apply ignores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..cluster.kinds import Kind
    from ..errors import PodwrightError
    from ..values import Manifest, Patch

_STRATEGIES = {"Deployment": ("spec", "strategy"), "StatefulSet": ("spec", "updateStrategy"), "DaemonSet": ("spec", "updateStrategy")}
_POD_SPECS = (("spec", "template", "spec"), ("spec", "jobTemplate", "spec", "template", "spec"))


def discard_alternatives(kind: Kind, desired: Manifest, item: Manifest, refusal: PodwrightError) -> Patch:
    """The operations that give such fields of an object nothing but their desired content; empty unless the refusal is about these fields only.

    Args:
        item: the object before the apply, or as predicted.
    """
    if refusal.status != 422 or kind.api_version not in ("apps/v1", "batch/v1"):
        return []
    places = [_STRATEGIES[kind.name]] if kind.name in _STRATEGIES else []
    places += [(*path, "volumes") for path in _POD_SPECS]
    refused = [path for path in places if any(cause["field"].startswith(".".join(path)) for cause in refusal.causes)]
    if not all(cause["field"].startswith(tuple(".".join(path) for path in refused) or (" ",)) for cause in refusal.causes):
        return []
    operations: Patch = []
    for path in refused:
        wanted, live = _value_at(desired, path), _value_at(item, path)
        if path[-1] == "volumes":
            named = {volume.get("name"): volume for volume in wanted or () if isinstance(volume, dict)}
            pairs = [(f"/{index}", named.get(volume["name"]), volume) for index, volume in enumerate(live or ())]
        else:
            pairs = [("", wanted, live)]
        operations += [
            {"op": "replace", "path": "/" + "/".join(path) + suffix, "value": one}
            for suffix, one, other in pairs
            if isinstance(one, dict) and isinstance(other, dict) and other.keys() - one.keys()
        ]
    return operations


def _value_at(item: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        item = item.get(step) if isinstance(item, dict) else None
    return item
