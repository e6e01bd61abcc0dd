# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why a workload does not become ready: its events, and the last lines of its log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import PodwrightError
from ..objects.containers import default_container
from ..objects.pod_status import has_started, read_pod
from ..objects.selectors import pod_selector
from ..text import decode
from .events import list_events
from .kinds import POD

if TYPE_CHECKING:
    from ..objects.key import Key
    from ..values import Manifest
    from .client import Client
    from .events import Event

MAX_EVENTS = 5
LOG_LINES = 10
READ_BYTES, SHOWN_CHARACTERS = 1 << 20, 1 << 14  # of the last lines of a log: a line can have any length


def explain_workload(client: Client, key: Key) -> str:
    """The lines to append to the error about a workload that does not become ready; empty if nothing is known.

    They are the events of the workload, and the status, events and log of its first pod that is not ready.
    """
    item = _find(client, key)
    if not item:
        return ""
    text = format_diagnosis(list_events(client, item), "")
    for pod in _pods_of(client, item):
        status = read_pod(pod)
        if status.is_ready or status.state == "succeeded":
            continue
        problem = f"\nPod '{pod['metadata']['name']}': {status.reason or status.state}: {status.message}"
        return text + problem + format_diagnosis(list_events(client, pod), log_tail(client, pod, LOG_LINES))
    return text


def log_tail(client: Client, pod: Manifest, lines: int) -> str:
    """The last lines of the log of a pod's default container, at most SHOWN_CHARACTERS; empty if it has not started or its log cannot be read."""
    container = default_container(pod)
    if not has_started(pod, container):
        return ""
    try:
        content = client.log(pod["metadata"]["namespace"], pod["metadata"]["name"], container, tail_lines=lines, limit_bytes=READ_BYTES)
    except PodwrightError:
        return ""
    return decode(content)[-SHOWN_CHARACTERS:]


def format_diagnosis(events: list[Event], log: str) -> str:
    """Events, warnings alone if there are any, and a log as lines to append to an error."""
    parts = []
    shown = [event for event in events if event["type"] != "Normal"] or events
    if shown:
        lines = [f"  {e['reason']}{' (' + str(e['count']) + ' times)' if e['count'] > 1 else ''}: {e['message']}" for e in shown[-MAX_EVENTS:]]
        parts.append("Events:\n" + "\n".join(lines))
    if log.strip():
        parts.append("Log:\n" + "\n".join("  " + line for line in log.rstrip().splitlines()))
    return ("\n" + "\n".join(parts)) if parts else ""


def _find(client: Client, key: Key) -> Manifest | None:
    if not key.namespace:
        return None
    try:
        kind = client.kinds.find_if_served(key.group, key.kind)
        return client.get(kind, key.namespace, key.name) if kind else None
    except PodwrightError:
        return None


def _pods_of(client: Client, item: Manifest) -> list[Manifest]:
    if item["kind"] == "Pod":
        return [item]
    selector = pod_selector(item)
    if not selector:
        return []
    try:
        return client.list(POD, item["metadata"]["namespace"], label_selector=selector)[0]
    except PodwrightError:
        return []
