# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Events about an object."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, TypedDict

from ..errors import PodwrightError
from ..text import parse_integer
from .kinds import EVENT

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from ..values import Manifest
    from .client import Client


class Event(TypedDict):
    """An event as results show it; `last_seen` is a timestamp as the API writes it."""

    type: str
    reason: str
    message: str
    count: int
    last_seen: str


EventsByUid: TypeAlias = "Mapping[str, list[Event]]"
"""Events by the uid of the object that they are about."""


def list_events(client: Client, item: Manifest, besides: Container[str] = ()) -> list[Event]:
    """The events about a live object as `read_events` returns them, but none if they cannot be listed: to explain a failure, which they must not hide."""
    try:
        return read_events(client, item, besides)
    except PodwrightError:
        return []


def read_events(client: Client, item: Manifest, besides: Container[str] = ()) -> list[Event]:
    """The events about a live object, oldest first; none about an earlier object of the same name.

    Args:
        besides: names of containers of a pod, whose events are left out.

    Raises: PodwrightError.
    """
    metadata = item["metadata"]
    about, uids = {"name": metadata["name"], "kind": item["kind"]}, ("", metadata["uid"], metadata["name"])
    if item["kind"] != "Node":  # of which the kubelet knows only the name, which it also writes as the uid
        about["uid"] = metadata["uid"]
    selector = ",".join(f"involvedObject.{key}={value}" for key, value in about.items())
    items, _version = client.list(EVENT, metadata.get("namespace"), field_selector=selector)
    abouts = ((event, event.get("involvedObject") or {}) for event in items)
    items = [event for event, about in abouts if about.get("uid", "") in uids and _container_of(about) not in besides]
    return sorted(map(_read_event, items), key=lambda event: event["last_seen"])


def read_events_by_uid(client: Client, namespace: str | None) -> dict[str, list[Event]]:
    """The events of a namespace (None: of all), oldest first, by the uid of the object that they are about. Raises: PodwrightError."""
    pairs, _version = client.list(EVENT, namespace, transform=lambda item: ((item.get("involvedObject") or {}).get("uid") or "", _read_event(item)))
    found: dict[str, list[Event]] = {}
    for uid, event in sorted(pairs, key=lambda pair: pair[1]["last_seen"]):
        found.setdefault(uid, []).append(event)
    return found


def _container_of(about: Mapping[str, str]) -> str:
    """The name of the container in the path of a field such as `spec.containers{task}`, or an empty string."""
    return (about.get("fieldPath") or "").partition("{")[2].removesuffix("}")


def _read_event(item: Manifest) -> Event:
    return {
        "type": item.get("type") or "",
        "reason": item.get("reason") or "",
        "message": item.get("message") or "",
        "count": parse_integer(item.get("count") or (item.get("series") or {}).get("count")) or 1,
        "last_seen": item.get("lastTimestamp") or item.get("eventTime") or item["metadata"]["creationTimestamp"],
    }
