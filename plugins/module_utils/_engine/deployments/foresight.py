# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the changes of a run in check mode would leave: a dry run knows only the live object, without the changes before."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from ..libraries import load

if TYPE_CHECKING:
    from ..reconciler.plan import Change
    from ..values import Manifest, Patch


class Foresight:
    """The objects that a run has changed so far, if it is in check mode."""

    def __init__(self, check_mode: bool) -> None:
        self._check_mode = check_mode
        self._patches: dict[tuple[str, str], list[Manifest | Patch]] = {}  # by kind and name of an object that was changed

    def after_apply(self, change: Change, answer: Manifest) -> Manifest:
        """The object as an apply and the patches before it leave it.

        Args:
            answer: the response to the apply.
        """
        if not self._check_mode:
            return answer
        key = (answer["kind"], answer["metadata"]["name"])
        if change.is_change:
            self._patches.setdefault(key, [])
        return reduce(patched, self._patches.get(key, []), answer)

    def after_patch(self, item: Manifest, body: Manifest | Patch, answer: Manifest) -> Manifest:
        """The object as a patch and the changes before it leave it.

        Args:
            item: the object before the patch.
            answer: the response to the patch.
        """
        if not self._check_mode:
            return answer
        key = (item["kind"], item["metadata"]["name"])
        after = patched(item, body) if key in self._patches else answer
        self._patches.setdefault(key, []).append(body)
        return after


def patched(item: Manifest, body: Manifest | Patch) -> Manifest:
    """An object after a merge patch (RFC 7386) or a JSON patch."""
    result: Manifest = load("jsonpatch").apply_patch(item, body) if isinstance(body, list) else _merged(item, body)
    return result


def _merged(item: Manifest, body: Manifest) -> Manifest:
    kept = {name: value for name, value in item.items() if body.get(name, value) is not None}
    return kept | {name: _merged(item.get(name) or {}, value) if isinstance(value, dict) else value for name, value in body.items() if value is not None}
