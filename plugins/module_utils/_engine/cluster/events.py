# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a person needs to know about a failure: events and the log's end."""

from __future__ import annotations

from ..errors import PodwrightError
from ..objects.labels import selector_of
from ..objects.pod_status import TASK_CONTAINER, has_started, read_pod
from ..reconciler.manifest import Key
from .client import Client
from .exec_stream import decode
from .kinds import EVENT, POD

EVENTS_SHOWN = 5


def events_of(client, item):
    """The events about a live object, not about others that had its name before, oldest first: `{type, reason, message, count, last_seen}` each."""
    metadata = item["metadata"]
    about = {"name": metadata["name"], "kind": item["kind"], "uid": metadata["uid"]}
    selector = ",".join(f"involvedObject.{key}={value}" for key, value in about.items())
    try:
        items, _version = client.list(EVENT, metadata.get("namespace"), field_selector=selector)
    except PodwrightError:
        return []  # a diagnosis must not hide what it is about
    events = [
        {
            "type": item.get("type", ""),
            "reason": item.get("reason", ""),
            "message": item.get("message", ""),
            "count": item.get("count") or (item.get("series") or {}).get("count") or 1,
            "last_seen": item.get("lastTimestamp") or item.get("eventTime") or item["metadata"]["creationTimestamp"],
        }
        for item in items
    ]
    return sorted(events, key=lambda event: event["last_seen"])


def log_tail(client, pod, lines, container=None):
    """The end of the task container's log as text; empty where it never started."""
    names = [c["name"] for c in pod["spec"]["containers"]]
    container = container or (TASK_CONTAINER if TASK_CONTAINER in names else names[0])
    if not has_started(pod, container):
        return ""
    try:
        return decode(client.log(pod["metadata"]["namespace"], pod["metadata"]["name"], container, tail_lines=lines))
    except PodwrightError:
        return ""


def render(events, log):
    """Events and log as the part of a message that follows its first line."""
    parts = []
    shown = [event for event in events if event["type"] != "Normal"] or events
    if shown:
        lines = [f"  {e['reason']}{' (' + str(e['count']) + ' times)' if e['count'] > 1 else ''}: {e['message']}" for e in shown[-EVENTS_SHOWN:]]
        parts.append("Events:\n" + "\n".join(lines))
    if log.strip():
        parts.append("Log:\n" + "\n".join("  " + line for line in log.rstrip().splitlines()))
    return ("\n" + "\n".join(parts)) if parts else ""


def diagnose_workload(client: Client, key: Key) -> str:
    """What is known about a workload that did not get ready: its own events, and the first pod of it that has a problem."""
    item = _find(client, key)
    if not item:
        return ""
    text = render(events_of(client, item), "")
    for pod in _pods_of(client, item):
        status = read_pod(pod)
        if status.is_ready or status.state == "succeeded":
            continue
        problem = f"\nPod '{pod['metadata']['name']}': {status.reason or status.state}: {status.message}"
        return text + problem + render(events_of(client, pod), log_tail(client, pod, 10))
    return text


def _find(client, key):
    if not key.namespace:
        return None
    try:
        kind = client.kinds.find_if_served(key.group, key.kind)
        return client.get(kind, key.namespace, key.name) if kind else None
    except PodwrightError:
        return None


def _pods_of(client, item):
    if item["kind"] == "Pod":
        return [item]
    labels = ((item.get("spec") or {}).get("selector") or {}).get("matchLabels")
    if not labels:
        return []
    try:
        return client.list(POD, item["metadata"]["namespace"], label_selector=selector_of(labels))[0]
    except PodwrightError:
        return []
