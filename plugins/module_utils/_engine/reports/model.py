# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a report says, as plain data; times are seconds since the epoch."""

from __future__ import annotations

from typing import TypedDict

from ..cluster.events import Event
from ..values import Result

# The phases of an attempt, in order.
WAITING, PULLING, INITIALIZING, RUNNING = "waiting", "pulling", "initializing", "running"


class Phase(TypedDict):
    """A phase of an attempt; `end` is None while it lasts."""

    name: str
    start: float
    end: float | None


class Attempt(TypedDict):
    """One pod of a task: `title` names it among those of its task, `restarts` counts those of its containers."""

    title: str
    pod: str
    node: str
    state: str
    reason: str
    message: str
    rc: int | None
    restarts: int
    phases: list[Phase]
    events: list[Event]


class Log(TypedDict):
    """The end of a log, or all of it; `title` is empty for that of the task's own container."""

    title: str
    text: str


class Entry(TypedDict):
    """A task: `msg` is why it failed, `note` what else there is to say, `logs` None if they were not collected, `results` what it left."""

    name: str
    namespace: str
    kind: str
    state: str
    reason: str
    rc: int | None
    msg: str
    hint: str
    note: str
    attempts: list[Attempt]
    logs: list[Log] | None
    results: dict[str, str]


class Limit(TypedDict):
    """One resource of a quota, as quantities; `share` is the used part of it, 1 if all of it is used, or None if there is none."""

    resource: str
    used: str
    hard: str
    share: float | None


class Quota(TypedDict):
    """A ResourceQuota."""

    namespace: str
    name: str
    limits: list[Limit]


class Autoscaler(TypedDict):
    """A HorizontalPodAutoscaler; `metrics` has a text for each metric, `events` its history."""

    namespace: str
    name: str
    target: str
    current: int
    desired: int
    minimum: int
    maximum: int
    metrics: list[str]
    problem: str
    events: list[Event]


class Report(TypedDict):
    """A report.

    `subject` is what it is about, `generated` the time for which it is true, `msg` why the run failed apart from its tasks, `notes` what it lacks.
    `garbage` has the fields `deleted`, `kept` and `reclaimed` of pod_gc, `drift` the entries of plans; a section that was not requested is None.
    """

    subject: str
    server: str
    namespaces: list[str]
    generated: float
    msg: str
    hint: str
    tasks: list[Entry]
    quotas: list[Quota] | None
    autoscalers: list[Autoscaler] | None
    garbage: Result | None
    drift: list[Result] | None
    notes: list[str]


def without_messages(autoscaler: Autoscaler) -> Autoscaler:
    """An autoscaler without messages and events, for an Ansible task with `no_log`."""
    return {**autoscaler, "problem": "", "events": []}


def without_output(entry: Entry) -> Entry:
    """A task without its output, for an Ansible task with `no_log`."""
    attempts: list[Attempt] = [{**attempt, "message": ""} for attempt in entry["attempts"]]
    return {**entry, "msg": "", "hint": "", "logs": None, "results": {}, "attempts": attempts}
