# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Patches of live objects: fields that a patch does not name stay as they are, whoever owns them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ..cluster.client import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from ..cluster.kinds import is_built_in
from ..errors import PodwrightError, option_error
from ..libraries import load
from ..objects.key import Key
from ..threads import call_in_threads
from .desired import complete
from .manifest import check_manifest
from .manifest import merge as merge_values
from .plan import Change, Merge
from .secret_data import check_digests

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..cluster.client import Client
    from ..console import Console
    from ..values import Manifest, Options, Patch

_TYPES = {"merge": MERGE_PATCH, "strategic-merge": STRATEGIC_PATCH}
_VALUED = ("add", "replace", "test")
_MOVING = ("move", "copy")
_OPERATIONS = (*_VALUED, *_MOVING, "remove")


def check_operations(patch: Iterable[Options]) -> None:
    """Check the operations of an RFC 6902 patch in the option `patch`. Raises: PodwrightError."""
    for index, entry in enumerate(patch):
        option, operation = f"patch[{index}]", entry.get("op")
        if operation not in _OPERATIONS:
            raise option_error(f"{option}.op", f"must be one of {', '.join(_OPERATIONS)}, got {operation!r}.")
        for name in ("path", "from") if operation in _MOVING else ("path",):
            pointer = entry.get(name)
            if not isinstance(pointer, str) or not pointer.startswith("/"):
                raise option_error(f"{option}.{name}", f"must be a JSON pointer such as /metadata/labels/app, got {pointer!r}.")
        if operation in _VALUED and "value" not in entry:
            raise option_error(f"{option}.value", f"must be set for {operation}.")


class Patches:
    """How to patch objects.

    Attributes:
        operations: the RFC 6902 patch of each object, or None to merge the manifests themselves.
        merge_types: `merge` and `strategic-merge` in the order to try; None for what suits the kind.
    """

    def __init__(self, operations: Patch | None = None, merge_types: Sequence[str] | None = None) -> None:
        self.operations, self.merge_types = operations, merge_types

    def plan(self, client: Client, manifests: Iterable[Manifest], namespace: str, concurrency: int, console: Console) -> list[Change]:
        """A Change for each object that the manifests name; an object that does not exist is not created, with a warning.

        Raises: PodwrightError for an invalid manifest or an unknown kind.
        """
        manifests = [complete(client, manifest) for manifest in manifests]
        for manifest in manifests:
            check_manifest(manifest)
            check_digests(manifest)
        changes = call_in_threads(lambda manifest: self._plan_one(client, manifest, namespace), manifests, max(1, concurrency))
        for change in changes:
            if change.before is None:
                console.warn(f"{change.key.title} does not exist, and a patch does not create it.")
        return changes

    def _plan_one(self, client: Client, manifest: Manifest, namespace: str) -> Change:
        kind = client.kinds.find(manifest["apiVersion"], manifest["kind"])
        metadata = manifest["metadata"]
        key = Key(kind.group, kind.name, (metadata.get("namespace") or namespace) if kind.namespaced else "", metadata["name"])
        if kind.has_status:
            _check_status(key, self.operations, manifest)
        live = client.get(kind, key.namespace or None, key.name)
        if live is None:
            return Change("none", key, kind, note="it does not exist")
        if self.operations is not None:
            merge = Merge(self.operations, (JSON_PATCH,))
        else:
            suited = ["strategic-merge"] if is_built_in(kind.api_version) else ["merge"]
            body = manifest | {"apiVersion": kind.api_version, "kind": kind.name}
            merge = Merge(body, tuple(_TYPES[name] for name in self.merge_types or suited))
        return Change("patch", key, kind, before=live, after=live, merge=merge)


def _check_status(key: Key, operations: Patch | None, manifest: Manifest) -> None:
    """Raises: PodwrightError for a patch of the status of a kind with the subresource status."""
    hint = "Remove it from the patch: the controller of the kind sets the status."
    why = f"the API server ignores the status in a patch of {key.title}, whose kind has the subresource status."
    for index, entry in enumerate(operations or ()):
        for name in ("path", "from") if entry["op"] == "move" else ("path",):
            if entry["op"] != "test" and f"{entry[name]}/".startswith("/status/"):
                raise option_error(f"patch[{index}].{name}", f"must not be {entry[name]}: {why}", hint)
    if operations is None and manifest.get("status"):
        raise option_error("definition.status", f"must not be set: {why}", hint)


class SentPatch(NamedTuple):
    """A patch that was sent, and what it did."""

    merge: Merge
    done: Change


def follow(change: Change, earlier: SentPatch | None, check_mode: bool) -> Change:
    """The change, planned on the object as an earlier patch of this run left it; a dry run, before which nothing was written, sends both patches as one."""
    if not earlier or not change.merge:
        return change
    merge, item = change.merge, earlier.done.after
    if check_mode and isinstance(merge.body, dict):
        join = merge_values if merge.content_types[0] == STRATEGIC_PATCH else _join
        merge = replace(merge, body=join(earlier.merge.body, merge.body))
    return replace(change, before=item, after=item, merge=merge)


def _join(one: Any, other: Any) -> Any:
    """Two JSON merge patches (RFC 7396) as one."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return other
    return one | {key: _join(one[key], value) if key in one else value for key, value in other.items()}


def send_merge(client: Client, change: Change, merge: Merge, manager: str, dry_run: bool) -> Manifest:
    """Send a patch. Returns: the object as patched. Raises: PodwrightError."""
    for content_type in merge.content_types:
        try:
            return client.patch(change.kind, change.key.namespace or None, change.key.name, merge.body, manager, content_type, dry_run=dry_run)
        except PodwrightError as error:
            if error.status != 415 or content_type == merge.content_types[-1]:  # this kind does not support the type
                if isinstance(merge.body, list) and error.status == 422:
                    _explain_operation(error, change.before, merge.body)
                raise
    raise option_error("merge_type", "must not be empty.")


def _explain_operation(error: PodwrightError, item: Manifest | None, patch: Patch) -> None:
    """Add the operation of a patch that fails to the error of the API server, which does not name it."""
    jsonpatch = load("jsonpatch")
    for index, entry in enumerate(patch):
        try:
            item = jsonpatch.JsonPatch([entry]).apply(item)
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError, ValueError):
            error.message += f". patch[{index}] ({entry['op']} {entry['path']}) fails"
            error.hint = "Correct the path, or the value that test expects: the object is not as the patch requires."
            return
