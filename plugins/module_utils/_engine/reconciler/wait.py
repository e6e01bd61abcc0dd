# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waiting with watches: until objects are ready, or until they are deleted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from ..cluster.api_errors import admission_hint
from ..cluster.kinds import BUILT_IN, CLAIM
from ..cluster.watch import Watcher
from ..errors import PodwrightError
from ..objects.labels import annotation_of
from ..objects.readiness import FAILED, PROGRESSING, READY, Readiness, assess, deletion_obstacle
from .earlier_failures import EarlierFailures
from .manifest import key_of
from .pod_counter import PodCounter

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..cluster.kinds import Kind
    from ..console import Console
    from ..objects.key import Key
    from ..values import Manifest

STORAGE_CLASS = BUILT_IN["storage.k8s.io/v1", "StorageClass"]
SELECTED_NODE = "volume.kubernetes.io/selected-node"
SHOWN = 3  # objects that the progress names
WAIT_FAILED = "WaitFailed"  # reason of an error of objects that were waited for in vain


def explain_nothing(_key: Key) -> str:
    """No text to append to an error."""
    return ""


def wait_until_ready(
    client: Client,
    items: Mapping[Key, tuple[Kind, Manifest]],
    timeout: float,
    console: Console,
    assess_item: Callable[[Manifest], Readiness] = assess,
    explain: Callable[[Key], str] = explain_nothing,
) -> dict[Key, Manifest]:
    """Wait until every object is ready. Objects that are ready as last seen cost no request.

    Args:
        items: each Kind and object as last seen; one without a uid is created by a controller later.
        timeout: seconds for all objects together.
        explain: called with the Key of an object that does not become ready; returns text to append to the error.

    Returns: each object as last seen.
    Raises: PodwrightError for the first object that failed, was deleted or is not ready in time, with its state.
    """
    assessor, latest = _Assessor(client, console, assess_item), {key: item for key, (_kind, item) in items.items()}
    items = _without_late_claims(client, items)
    found = {key: assessor.assess_status(item) for key, (_kind, item) in items.items()}
    pending = {key: kind for key, (kind, _item) in items.items() if found[key].state != READY}

    def update(key: Key, item: Manifest) -> None:
        if key not in pending:
            return
        latest[key], found[key] = item, assessor.assess(key, item)
        if found[key].state == READY:
            del pending[key]
        elif found[key].state == FAILED:
            raise _failure(key, f"failed: {found[key].message}", explain(key))

    def delete(key: Key) -> None:
        if key in pending and latest[key]["metadata"].get("uid"):
            raise _failure(key, "failed: it was deleted before it became ready", explain(key))

    _follow(client, pending, timeout, update, delete, console, lambda: assessor.due((key, latest[key]) for key in pending))
    for key in pending:
        raise _failure(key, f"did not become ready within {timeout} s: {found[key].message}{client.availability.describe()}", explain(key))
    return latest


class _Assessor:
    """Assesses objects by their status, their pods and their earlier failures."""

    def __init__(self, client: Client, console: Console, assess_item: Callable[[Manifest], Readiness]) -> None:
        self._assess, self._counter, self._failures = assess_item, PodCounter(client, console), EarlierFailures(client.clock)

    def assess_status(self, item: Manifest) -> Readiness:
        """The Readiness of an object by its status, without a request."""
        return self._assess(self._failures.hide(item))

    def assess(self, key: Key, item: Manifest) -> Readiness:
        """The Readiness of an object, at most with a LIST of its pods."""
        readiness = self.assess_status(item)
        return self._counter.confirm(key, item, readiness) if self._assess is assess else readiness

    def due(self, pending: Iterable[tuple[Key, Manifest]]) -> list[tuple[Key, Manifest]]:
        """The objects to assess again although they have not changed."""
        return self._counter.due() + [(key, item) for key, item in pending if self._failures.is_due(item)]


def _without_late_claims(client: Client, items: Mapping[Key, tuple[Kind, Manifest]]) -> dict[Key, tuple[Kind, Manifest]]:
    """The objects without claims that are not bound before the first pod that uses them is scheduled (WaitForFirstConsumer).

    A claim that names its volume is bound at once.
    """
    classes = {}
    for key, (_kind, item) in items.items():
        if key.kind != CLAIM.name or assess(item).state != PROGRESSING:
            continue
        if annotation_of(item, SELECTED_NODE) is None and not item["spec"].get("volumeName"):
            classes[key] = item["spec"].get("storageClassName")
    late = {name for name in set(classes.values()) if name and _binds_late(client, name)}
    return {key: value for key, value in items.items() if classes.get(key) not in late}


def _binds_late(client: Client, name: str) -> bool:
    try:
        storage_class = client.get(STORAGE_CLASS, None, name)
    except PodwrightError as error:
        if error.is_forbidden:
            return False  # not everybody may read classes: the claim is awaited
        raise
    return (storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer"


def wait_until_deleted(client: Client, items: Mapping[Key, tuple[Kind, Manifest]], timeout: float, console: Console) -> None:
    """Wait until the objects, by their uids, are deleted.

    Args:
        items: each Kind and object as last seen.
        timeout: seconds for all objects together.

    Raises: PodwrightError for the first object that still exists, with the finalizers that block its deletion.
    """
    uids = {key: item["metadata"]["uid"] for key, (_kind, item) in items.items()}
    pending = {key: kind for key, (kind, _item) in items.items()}
    latest: dict[Key, Manifest] = {}

    def update(key: Key, item: Manifest) -> None:
        if key not in pending:
            return
        latest[key] = item
        if item["metadata"]["uid"] != uids[key]:
            delete(key)

    def delete(key: Key) -> None:
        pending.pop(key, None)

    _follow(client, pending, timeout, update, delete, console, aim="waiting until {} {} deleted")
    for key in pending:
        item = latest.get(key, {"metadata": {}})
        obstacle = deletion_obstacle(item) + client.availability.describe()
        hint = (
            "Their controllers remove them as soon as nothing uses the object: stop what uses it, or increase wait_timeout. "
            "If a controller is not installed any more, remove its finalizer with state: patched."
        )
        if not item["metadata"].get("finalizers"):
            hint = "Increase wait_timeout to wait longer."
        raise _failure(key, f"was not deleted within {timeout} s: {obstacle}", hint=hint)


def _follow(
    client: Client,
    pending: dict[Key, Kind],
    timeout: float,
    update: Callable[[Key, Manifest], None],
    delete: Callable[[Key], None],
    console: Console,
    due: Callable[[], list[tuple[Key, Manifest]]] = list,
    aim: str = "waiting for {}",
) -> None:
    """List and watch pending objects until none is pending, since `update` and `delete` have removed them, or the timeout expires.

    Args:
        update: called with a Key and its object.
        delete: called with the Key of an object that was deleted, or that the LIST lacks.
        due: returns objects that have not changed and are to be assessed again, with which `update` is called.
        aim: the progress, with places for the pending objects and for `is` or `are`.
    """
    if not pending:
        return
    deadline = client.clock.monotonic() + timeout
    places: defaultdict[tuple[Kind, str], list[Key]] = defaultdict(list)
    for key, kind in pending.items():
        places[kind, key.namespace].append(key)
    with Watcher(client) as watcher:
        for (kind, namespace), keys in places.items():
            found, version, selector = _list(client, kind, namespace, keys)
            for key in keys:
                update(key, found[key]) if key in found else delete(key)
            if any(key in pending for key in keys):
                watcher.follow(kind, namespace or None, version, field_selector=selector, known=found.values())
        kinds = {(kind.api_version, kind.name): kind for kind, _namespace in places}
        while pending and client.clock.monotonic() < deadline:
            console.progress(aim.format(_describe(pending), "is" if len(pending) == 1 else "are") + client.availability.describe())
            event = watcher.next(min(deadline - client.clock.monotonic(), 1))
            for key, item in due():
                update(key, item)
            if event:
                key = key_of(event[1], kinds[event[1]["apiVersion"], event[1]["kind"]])
                delete(key) if event[0] == "DELETED" else update(key, event[1])


def _list(client: Client, kind: Kind, namespace: str, keys: list[Key]) -> tuple[dict[Key, Manifest], str, str | None]:
    """The objects of a kind and namespace, their resource version, and the field selector if only one of them is awaited."""
    selector = f"metadata.name={keys[0].name}" if len(keys) == 1 else None
    items, version = client.list(kind, namespace or None, field_selector=selector)
    return {key_of(item, kind): item for item in items}, version, selector


def _describe(pending: Mapping[Key, Kind]) -> str:
    names = [f"{key.kind} {key.name}" for key in pending]
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _failure(key: Key, problem: str, explanation: str = "", hint: str = "") -> PodwrightError:
    message = f"{key.title} {problem.rstrip('.')}.{explanation}"
    return PodwrightError(message, reason=WAIT_FAILED, hint=hint or admission_hint(message, key.namespace))
