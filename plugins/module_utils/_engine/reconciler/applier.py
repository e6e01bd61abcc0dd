# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Applying an object, or asking the API server by dry run what an apply would make of it.

An apply alone does not remove fields of others that exclude the desired ones, keeps the other name of a dropped field, resets replicas that are left to an
autoscaler, and leaves null instead of an empty map or list in a custom resource.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import PodwrightError
from ..objects.field_paths import without_fields
from .alternatives import alias_fields, excluded_fields, explain_exclusion
from .emptied import applied_paths, emptied_fields, null_fields, with_empty, with_values, without_values
from .fields import owned_fields
from .manifest import difference, replicas_of
from .ownership import HANDOVER
from .takeover import ATTEMPTS, anticipate, claim, move_version, pause

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..cluster.client import Client
    from ..values import Manifest
    from .plan import Change
    from .reconciler import ReconcilerOptions

_NULL_HINT = "The API server itself sets fields to null that lose their last part: remove them first, with null as their values and state: patched."


class Applier:
    """Applies the desired states of changes, one at a time for each object."""

    def __init__(self, client: Client, options: ReconcilerOptions):
        self._client = client
        self._options = options

    def prepare(self, change: Change) -> None:
        """Change the owners of fields, so that an apply leads to the desired state. Raises: PodwrightError."""
        if change.action == "patch":
            self._hand_over_replicas(change)
            self._claim_aliases(change)

    def apply(self, change: Change, dry_run: bool = False) -> Iterator[Manifest]:
        """Apply the desired state of a change. Yields: the object after each request. Raises: PodwrightError."""
        live = change.before
        for attempt in itertools.count(1):
            try:
                is_emptied = bool(self._emptied(change, live))
                if is_emptied:
                    yield self._empty(change, dry_run)
                if not is_emptied or not dry_run:
                    yield self._send(change, change.desired or {}, dry_run)
                return
            except PodwrightError as error:
                live = self._look_again(change, error, attempt)

    def create(self, change: Change) -> Manifest:
        """Create the desired object of a change whose previous one does not exist any more. Raises: PodwrightError."""
        return self._send(change, change.successor)

    def predict(self, change: Change) -> Manifest:
        """The object as the API server answers to a dry run of the change. Raises: PodwrightError."""
        (answer,) = self.apply(change, dry_run=True)
        return _without(answer, self._aliases(change, change.before))

    def predict_repaired(self, change: Change, refusal: PodwrightError) -> Manifest | None:
        """The object as it would be after `repair` and another apply; None if there is nothing to repair. Raises: PodwrightError."""
        if change.before and refusal.is_about_former_version:
            return self._try_without(change, [])
        if not self._excluded_fields(change, refusal, change.before):
            return None
        return self._try_without(change, self._excluded_fields(change, refusal, change.after) + self._aliases(change, change.before))

    def repair(self, change: Change, refusal: PodwrightError) -> bool:
        """Change the owners of fields because of which an apply was refused, so that another apply is accepted.

        These are fields that the desired ones exclude, and those of a former version of the kind.

        Returns: whether there are any. Raises: PodwrightError if the API server would refuse the change without them, too.
        """

        def find(item: Manifest) -> list[list[Any]]:
            return self._excluded_fields(change, refusal, item)

        if change.before and refusal.is_about_former_version:
            move_version(self._client, change.kind, change.before, self._options.manager)
            return True
        if not change.before or not find(change.before):
            return False
        self._check_without(change, find(change.after or {}) + self._aliases(change, change.before))
        claim(self._client, change.kind, change.before, self._options.manager, lambda item: find(item) + self._aliases(change, item))
        return True

    def _send(self, change: Change, desired: Manifest, dry_run: bool = False) -> Manifest:
        key, options = change.key, self._options
        if dry_run and (replicas := self._left_out_replicas(change)):
            desired = desired | {"spec": (desired.get("spec") or {}) | replicas}
        return self._client.apply(change.kind, key.namespace, key.name, desired, options.manager, options.takes_over, dry_run=dry_run)

    def _claim_aliases(self, change: Change) -> None:
        """Own the fields with other names that the change drops, so that an apply removes them, if the API server would accept that."""
        aliases = self._aliases(change, change.before)
        if not change.before or not aliases:
            return
        try:
            self._check_without(change, aliases)
        except PodwrightError as error:
            if not error.is_refusal:
                raise
            return  # the apply is refused, too
        claim(self._client, change.kind, change.before, self._options.manager, partial(self._aliases, change))

    def _emptied(self, change: Change, item: Manifest | None) -> list[list[str]]:
        """The maps and lists that an apply of the change would set to null."""
        return emptied_fields(change.desired, item, self._options.manager) if change.action == "patch" and change.desired and item else []

    def _look_again(self, change: Change, refusal: PodwrightError, attempt: int) -> Manifest | None:
        """The object after a refusal of null which the manifest does not contain: another run has filled or emptied a map meanwhile.

        Raises: PodwrightError: any other refusal, and the last one.
        """
        if not refusal.null_fields - null_fields(change.desired):
            raise refusal
        if attempt == ATTEMPTS:
            refusal.hint = _NULL_HINT
            raise refusal
        pause(self._client, attempt)
        return self._client.get(change.kind, change.key.namespace, change.key.name)

    def _empty(self, change: Change, dry_run: bool) -> Manifest:
        """Carry out the change by a patch, since an apply would set the maps and lists that it empties to null.

        The patch leads to the final state, which alone the API server has to accept; the apply after it only owns that. Raises: PodwrightError.
        """
        key = change.key
        live = self._client.get(change.kind, key.namespace, key.name) or change.before or {}  # in this version
        return anticipate(self._client, change.kind, live, self._options.manager, partial(self._with_emptied, change), dry_run)

    def _with_emptied(self, change: Change, seen: Manifest) -> Manifest:
        """An object after a change that empties maps and lists, by a dry run of an apply that leaves these as they are. Raises: PodwrightError."""
        desired, emptied = change.desired or {}, self._emptied(change, seen)
        full = with_values(desired, seen, emptied)
        try:
            answer = self._send(change, full, dry_run=True)
            applied = applied_paths(emptied, answer, self._options.manager)
            if applied != emptied:  # an item without a merge key is another one
                answer = self._send(change, with_values(desired, seen, applied), dry_run=True)
            return with_empty(answer, applied)
        except PodwrightError as error:
            if error.is_dry_run_refused:
                return with_empty(seen, emptied)
            if error.status != 422:
                raise
            refusal = error
        try:  # perhaps the change requires that they are empty
            return with_values(self._send(change, without_values(desired, emptied), dry_run=True), with_empty(full, emptied), emptied)
        except PodwrightError:
            raise refusal from None

    def _check_without(self, change: Change, paths: list[list[Any]]) -> None:
        """Check that the API server would accept a change without the fields at some paths: owners do not change in vain. Raises: PodwrightError."""
        try:
            self._try_without(change, paths)
        except PodwrightError as error:
            if not error.is_dry_run_refused:
                raise

    def _try_without(self, change: Change, paths: list[list[Any]]) -> Manifest:
        """The object as the API server answers to a dry run of the change as predicted locally, without the fields at some paths."""
        after = _without(change.after or {}, paths)
        if replicas := self._left_out_replicas(change):
            after = after | {"spec": after["spec"] | replicas}
        patch = difference(change.before or {}, after)
        return self._client.patch(change.kind, change.key.namespace, change.key.name, patch, self._options.manager, dry_run=True)

    def _excluded_fields(self, change: Change, refusal: PodwrightError, item: Manifest | None) -> list[list[Any]]:
        """The fields of an object that exclude the desired ones, and because of which an apply was refused. Raises: PodwrightError if they must stay."""
        if not change.desired or not item:
            return []
        manager = self._options.manager
        found = excluded_fields(change.kind, change.desired, item, owned_fields(item, manager) or {}, refusal)
        if found and not self._options.takes_over:
            raise explain_exclusion(item, found, manager, refusal) from None
        return found

    def _aliases(self, change: Change, item: Manifest | None) -> list[list[Any]]:
        """The fields with other names that the change drops, and these."""
        if change.action != "patch" or not change.desired or not item or not self._options.takes_over:
            return []
        return alias_fields(change.kind, change.desired, item, self._options.manager)

    def _owned(self, change: Change) -> dict[str, Any]:
        return owned_fields(change.before or {"metadata": {}}, self._options.manager) or {}

    def _hand_over_replicas(self, change: Change) -> None:
        """Apply the replicas as another manager before they are left out: the API server resets a field that loses its only owner."""
        if replicas := self._left_out_replicas(change):
            desired = change.desired or {}
            handed = {key: desired[key] for key in ("apiVersion", "kind")} | {"metadata": {"name": change.key.name}, "spec": replicas}
            self._client.apply(change.kind, change.key.namespace, change.key.name, handed, HANDOVER)

    def _left_out_replicas(self, change: Change) -> dict[str, Any]:
        """The replicas that were applied before and are not any more, as a part of the spec; they keep their number."""
        before = change.before or {}
        if not isinstance((change.desired or {}).get("spec", {}), dict):
            return {}
        is_left_out = "f:replicas" in self._owned(change).get("f:spec", {}) and replicas_of(change.desired or {}) is None and replicas_of(before) is not None
        return {"replicas": before["spec"]["replicas"]} if is_left_out and change.action == "patch" else {}


def _without(item: Manifest, paths: list[list[Any]]) -> Manifest:
    return without_fields(item, [tuple(map(str, path)) for path in paths])
