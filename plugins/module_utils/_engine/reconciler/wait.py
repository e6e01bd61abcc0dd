# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waiting by watch: for objects to become ready, and for objects to be gone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from ..cluster.kinds import BUILT_IN
from ..cluster.watch import Watcher
from ..errors import PodwrightError
from ..objects.key import Key
from ..objects.readiness import FAILED, PROGRESSING, READY, Readiness, assess, deletion_obstacle
from .manifest import key_of

CLAIM = BUILT_IN["v1", "PersistentVolumeClaim"]
STORAGE_CLASS = BUILT_IN["storage.k8s.io/v1", "StorageClass"]
SELECTED_NODE = "volume.kubernetes.io/selected-node"


def explain_nothing(_key: Key) -> str:
    return ""


def wait_until_ready(client, items, timeout, console, judge_item=assess, explain: Callable[[Key], str] = explain_nothing):
    """Wait until every object is ready; those that are already cost no request.

    Args:
        items: mapping Key -> (Kind, object as last seen).
        timeout: seconds for all of them together.
        explain: called with the Key of what did not get ready; what it returns ends the error's message.

    Returns: mapping Key -> object as last seen.
    Raises: PodwrightError that names the first object that failed or did not get ready, and its state.
    """
    latest = {key: item for key, (_kind, item) in items.items()}
    items = _without_claims_of_a_later_pod(client, items)
    open_items = {key: kind for key, (kind, item) in items.items() if judge_item(item).state != READY}
    verdicts = {}

    def see(key, item):
        if key not in open_items or item is None:
            return
        latest[key] = item
        verdicts[key] = judge_item(item)
        if verdicts[key].state == READY:
            del open_items[key]
        elif verdicts[key].state == FAILED:
            raise _failure(key, verdicts[key], "failed", explain=explain)

    def gone(key):
        if key in open_items:
            raise _failure(key, Readiness(FAILED, "it was deleted while it was waited for"), "failed", explain=explain)

    _follow(client, open_items, timeout, see, gone, console)
    for key in open_items:
        raise _failure(key, verdicts.get(key, Readiness(FAILED, "nothing was seen of it")), f"was not ready within {timeout} s", explain=explain)
    return latest


def _without_claims_of_a_later_pod(client, items):
    """Without claims that are bound when their first pod is scheduled, not before."""
    classes = {}
    for key, (_kind, item) in items.items():
        is_scheduled = SELECTED_NODE in (item["metadata"].get("annotations") or {})
        if key.kind == CLAIM.name and assess(item).state == PROGRESSING and not is_scheduled:
            classes[key] = item["spec"].get("storageClassName")
    late = {name for name in set(classes.values()) if name and _binds_late(client, name)}
    return {key: value for key, value in items.items() if classes.get(key) not in late}


def _binds_late(client, name):
    try:
        storage_class = client.get(STORAGE_CLASS, None, name)
    except PodwrightError as error:
        if error.is_forbidden:
            return False  # the claim is waited for: its class is not for everybody to see
        raise
    return (storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer"


def wait_until_gone(client, items, timeout, console):
    """Wait until the objects with these uids are gone.

    Args:
        items: mapping Key -> (Kind, object as last seen).

    Raises: PodwrightError that names what is still there, and its finalizers.
    """
    uids = {key: item["metadata"]["uid"] for key, (_kind, item) in items.items()}
    open_items = {key: kind for key, (kind, _item) in items.items()}
    latest = {}

    def see(key, item):
        if key in open_items and (item is None or item["metadata"]["uid"] != uids[key]):
            del open_items[key]
        elif item:
            latest[key] = item

    def gone(key):
        open_items.pop(key, None)

    _follow(client, open_items, timeout, see, gone, console)
    for key in open_items:
        held = deletion_obstacle(latest[key]) if key in latest else "it is still shutting down"
        raise _failure(key, Readiness(FAILED, held), f"was not gone within {timeout} s", "wait_timeout gives it longer.")


def _follow(client, open_items, timeout, see, gone, console):
    """List and watch the places of the open items until there are none or the time is up.

    Args:
        open_items: mapping Key -> Kind; `see` and `gone` remove from it.
        see: called with (Key, object or None where a LIST lacks it).
        gone: called with a Key that was deleted.
    """
    if not open_items:
        return
    deadline = client.clock.monotonic() + timeout
    places = defaultdict(list)
    for key, kind in open_items.items():
        places[kind, key.namespace].append(key)
    with Watcher(client) as watcher:
        for (kind, namespace), keys in places.items():
            selector = f"metadata.name={keys[0].name}" if len(keys) == 1 else None
            items, version = client.list(kind, namespace or None, field_selector=selector)
            found = {key_of(item, kind): item for item in items}
            for key in keys:
                see(key, found.get(key))
            if any(key in open_items for key in keys):
                watcher.follow(kind, namespace or None, version, field_selector=selector, known=items)
        while open_items and client.clock.monotonic() < deadline:
            console.progress(f"waiting for {_shown(open_items)}")
            change = watcher.next(min(deadline - client.clock.monotonic(), 1))
            if change:
                sort, item = change
                key = key_of(item, _kind_of(places, item))
                gone(key) if sort == "DELETED" else see(key, item)


def _kind_of(places, item):
    return next(kind for kind, _namespace in places if kind.name == item["kind"] and kind.api_version == item["apiVersion"])


def _shown(open_items):
    names = [f"{key.kind} {key.name}" for key in open_items]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _failure(key, verdict, what, hint="", explain=explain_nothing):
    return PodwrightError(f"{key.title} {what}: {verdict.message.rstrip('.')}.{explain(key)}", reason="WaitFailed", hint=hint)
