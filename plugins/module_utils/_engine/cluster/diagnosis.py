# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why a workload does not become ready: its events, and the last lines of its log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ..errors import PodwrightError
from ..objects.containers import container_status, container_statuses, default_container, has_finished, will_not_run
from ..objects.controllers import REVISION_HASH, TEMPLATE_HASH, controller_reference
from ..objects.labels import KUBERNETES_REVISION, annotation_of, label_of
from ..objects.pod_status import explaining_container, has_started, read_pod, read_waiting
from ..objects.selectors import pod_selector
from ..objects.start_hints import start_hint
from ..text import SHOWN_CHARACTERS, decode, shown_lines
from .events import list_events
from .kinds import POD, REPLICA_SET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..objects.key import Key
    from ..values import Manifest
    from .client import Client
    from .events import Event

MAX_EVENTS = 5
LOG_LINES = 10
CAUSE_CHARACTERS = 60  # of an event, whose cause comes last
_LEFT_BEHIND = "It is of an earlier revision, and its StatefulSet does not replace it while it is not ready: delete the pod."
READ_BYTES = 1 << 20  # of the last lines of a log: a line can have any length


def explain_workload(client: Client, key: Key) -> str:
    """The lines to append to the error about a workload that does not become ready; empty if nothing is known.

    They are the events of the workload, and the status, events and log of a pod that is not ready, or else of one that was restarted: the newest one of
    the present revision, or else of an earlier one.
    """
    item = _find(client, key)
    if not item:
        return ""
    text = format_diagnosis(list_events(client, item), Tail())
    pods = sorted(_pods_of(client, item), key=lambda pod: pod["metadata"].get("creationTimestamp") or "", reverse=True)
    label, present = _present_revision(client, item) if len(pods) > 1 else ("", None)
    for pod in sorted(pods, key=lambda pod: (read_pod(pod).is_ready, label_of(pod, label) != present)):
        if problem := _problem(pod, _is_left_behind(pod, item)):
            return text + problem + format_diagnosis(list_events(client, pod), log_tail(client, pod, LOG_LINES), problem)
    return text


def _present_revision(client: Client, item: Manifest) -> tuple[str, str | None]:
    """(label, value) of the pods with the present template of a workload; None if it is unknown."""
    if item["kind"] == "StatefulSet":
        return REVISION_HASH, (item.get("status") or {}).get("updateRevision")
    revision, uid = annotation_of(item, KUBERNETES_REVISION), item["metadata"].get("uid")
    if item["kind"] != "Deployment" or revision is None:
        return TEMPLATE_HASH, None
    try:
        sets = client.list(REPLICA_SET, item["metadata"]["namespace"], label_selector=pod_selector(item))[0]
    except PodwrightError:
        return TEMPLATE_HASH, None
    own = (each for each in sets if (controller_reference(each) or {}).get("uid") == uid and annotation_of(each, KUBERNETES_REVISION) == revision)
    return TEMPLATE_HASH, next((label_of(each, TEMPLATE_HASH) for each in own), None)


def _is_left_behind(pod: Manifest, item: Manifest) -> bool:
    """Whether a pod of a StatefulSet is of an earlier revision, and not by its partition."""
    if item["kind"] != "StatefulSet" or ((item["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}).get("partition"):
        return False
    updated = (item.get("status") or {}).get("updateRevision")
    return bool(updated) and label_of(pod, REVISION_HASH) not in (None, updated)


def _problem(pod: Manifest, is_left_behind: bool = False) -> str:
    """What keeps a workload from being ready; empty if its pod does not. A container that exits again and again is ready in between.

    Args:
        is_left_behind: whether the pod is of an earlier revision, which its StatefulSet does not replace while it is not ready.
    """
    status, start = read_pod(pod), f"\nPod '{pod['metadata']['name']}': "
    restarts = sum(one.get("restartCount") or 0 for one in container_statuses(pod))
    if status.state == "succeeded" or (status.is_ready and not restarts):
        return ""
    if status.is_ready:
        return f"{start}its containers were restarted {restarts} times"
    is_running = status.state == "running" and not status.reason
    problem = f"{start}it runs, but is not ready" if is_running else f"{start}{status.reason or status.state}: {status.message}"
    hint = _LEFT_BEHIND if is_left_behind else "" if is_running else start_hint(status.reason, status.message)
    return f"{problem.rstrip('.')}. {hint}" if hint else problem


def explain_container(pod: Manifest, name: str | None) -> tuple[str, str] | None:
    """Why a container (None: the default one) of a live pod does not run, and what to do; None if that is not known."""
    name = name or default_container(pod)
    status = container_status(pod, name)
    if waiting := read_waiting(status | {"name": name}):
        hint = start_hint(waiting.reason, waiting.message) or "Read its log with pod_logs."
        return f"the container does not run: {waiting.reason}: {waiting.message.removeprefix(f'{name}: ')}", hint
    if terminated := (status.get("state") or {}).get("terminated"):
        problem = f"the container has terminated with exit code {terminated.get('exitCode')}"
        if not will_not_run(pod, name):
            return problem, "Its node starts it again: read its log with pod_logs, and wait for it with pod_info."
        if terminated.get("exitCode") == 0 and not has_finished(pod) and name not in [entry["name"] for entry in pod["spec"]["containers"]]:
            return problem, "An init container does not run again: set container to one that runs."
        return problem, "Create the pod again. The files of such a container are lost; artifacts of task_pod fetches them from a task."
    known = read_pod(pod)  # what holds up its init containers holds it up
    if has_finished(pod):
        return f"the pod has terminated: {known.message or known.reason or known.state}", "Create the pod again."
    if known.grace is None:
        return None
    return f"the container has not started: {known.reason}: {known.message}", start_hint(known.reason, known.message) or "Check the pod with pod_info."


class Tail(NamedTuple):
    """The last lines of a log.

    Attributes:
        text: the lines; empty if there are none, or they cannot be read.
        container: the name of the container, or empty for the default one of its pod.
        denial: why the log may not be read, or empty.
    """

    text: str = ""
    container: str = ""
    denial: str = ""


def log_tail(client: Client, pod: Manifest, lines: int) -> Tail:
    """The last lines of the log that says what a pod does, at most SHOWN_CHARACTERS: of its default container, or of one that failed instead."""
    container = explaining_container(pod)
    if not has_started(pod, container):
        return Tail()
    try:
        content = client.log(pod["metadata"]["namespace"], pod["metadata"]["name"], container, tail_lines=lines, limit_bytes=READ_BYTES)
    except PodwrightError as error:
        return Tail(denial=error.message if error.is_forbidden else "")
    return Tail(decode(content)[-SHOWN_CHARACTERS:], "" if container == default_container(pod) else container)


def format_diagnosis(events: list[Event], tail: Tail, error: str = "") -> str:
    """Events and the end of a log as lines to append to an error: warnings alone if there are any, and no other events if there is a log.

    Args:
        error: the message so far. Events that only say it again are left out.
    """
    parts = []
    warnings = [event for event in events if event["type"] != "Normal"]
    shown = _latest(warnings, error) if warnings else [] if tail.text.strip() else events[-MAX_EVENTS:]
    if shown:
        lines = [f"  {e['reason']}{' (' + str(e['count']) + ' times)' if e['count'] > 1 else ''}: {e['message']}" for e in shown]
        parts.append("Events:\n" + "\n".join(lines))
    if tail.text.strip():
        title = f"Log of container '{tail.container}'" if tail.container else "Log"
        parts.append(f"{title}:\n" + "\n".join("  " + line for line in shown_lines(tail.text)))
    return ("\n" + "\n".join(parts)) if parts else ""


def _latest(warnings: list[Event], error: str) -> list[Event]:
    """The latest warnings that say more than the error and the warnings after them, oldest first."""
    found: list[Event] = []
    known = [error]
    for event in reversed(warnings):
        if len(found) < MAX_EVENTS and not _is_known(event["message"], known):
            found.append(event)
        known.append(event["message"])
    return found[::-1]


def _is_known(message: str, texts: Sequence[str]) -> bool:
    """Whether one of the texts contains the cause in a message of an event; ports and times in it do not matter."""
    cause = message.removeprefix("Error: ")  # of a kubelet; a reason alone, which may be that of a moment before, explains nothing
    end = _without_digits(cause[-CAUSE_CHARACTERS:])
    return bool(message) and ((cause != message and cause.isalnum()) or any(end in _without_digits(text) for text in texts))


def _without_digits(text: str) -> str:
    return re.sub(r"\d+", "0", text)


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
