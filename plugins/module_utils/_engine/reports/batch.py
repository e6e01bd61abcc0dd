# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of a batch of tasks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..cluster.events import read_events_by_uid
from ..errors import PodwrightError
from ..files import check_file
from ..objects.containers import TASK_CONTAINER
from ..tasks.result import describe_task
from ..text import json_text
from . import file
from .attempts import read_attempts, read_record
from .model import without_output

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..cluster.events import Event, EventsByUid
    from ..console import Console
    from ..tasks.task_run import TaskRun
    from ..tasks.task_spec import TaskSpec
    from ..values import Manifest
    from .model import Attempt, Entry, Log, Report

_HIDDEN = "The output is hidden because no_log is set."


class BatchReport:
    """Writes the report of a batch.

    Args:
        path: that of the file.
        clean: removes secret values from plain data.
        no_log: whether the Ansible task has `no_log`: the report then contains no output.

    Raises: PodwrightError if there cannot be such a file.
    """

    def __init__(self, path: str, client: Client, console: Console, clean: Callable[[Any], Any], no_log: bool) -> None:
        check_file("report", path)
        self._path, self._client, self._console = path, client, console
        self._clean, self._no_log = clean, no_log

    def write(self, runs: Iterable[TaskRun], error: PodwrightError | None) -> bool:
        """Write the report, and return whether that was possible.

        Args:
            error: why the run failed, or None. It is more important than one of writing, which becomes a warning.

        Raises: PodwrightError.
        """
        try:
            file.write(self._path, self._clean(self._build([(run, run.spec) for run in runs if run.spec], error)))
        except PodwrightError as problem:
            if not error:
                raise
            self._console.warn(f"The report was not written: {problem}")
            return False
        return True

    def _build(self, runs: list[tuple[TaskRun, TaskSpec]], error: PodwrightError | None) -> Report:
        notes: list[str] = [_HIDDEN] if self._no_log else []
        namespaces = sorted({spec.namespace for _run, spec in runs})
        events: EventsByUid = {} if self._no_log else read_events(self._client, namespaces, notes)
        entries = [build_entry(run, spec, events) for run, spec in runs]
        if self._no_log:
            entries = list(map(without_output, entries))
        is_explained = any(entry["state"] == "failed" for entry in entries)
        return {
            "subject": {0: "Run of tasks", 1: "Run of a task"}.get(len(entries), "Run of a batch of tasks"),
            "server": self._client.configuration.server,
            "namespaces": namespaces,
            "generated": self._client.now(),
            "msg": "" if error is None or is_explained else _HIDDEN if self._no_log else error.message,
            "hint": "" if error is None or is_explained or self._no_log else error.hint,
            "tasks": entries,
            "quotas": None,
            "autoscalers": None,
            "garbage": None,
            "drift": None,
            "notes": notes,
        }


def read_events(client: Client, namespaces: Iterable[str | None], notes: list[str]) -> EventsByUid:
    """The events of namespaces by the uid of the object that they are about, with a note if they cannot be listed."""
    found: dict[str, list[Event]] = {}
    for namespace in namespaces:
        try:
            found |= read_events_by_uid(client, namespace)
        except PodwrightError as error:
            notes.append(f"The events could not be listed: {error.message}")
    return found


def build_entry(run: TaskRun, spec: TaskSpec, events: EventsByUid) -> Entry:
    """What the report says of a task. Pure."""
    described = describe_task(spec, run)
    results = {name: json_text(value) for name, value in (described.get("results") or {}).items()}
    return {
        "name": spec.name,
        "namespace": spec.namespace,
        "kind": spec.options["kind"],
        "state": described["state"],
        "reason": described["reason"],
        "rc": described["rc"],
        "msg": "" if not run.error else first_part(run.error.message),
        "hint": "" if not run.error else run.error.hint,
        "note": f"It needs {', '.join(name for _namespace, name in spec.needs)}." if spec.needs else "",
        "attempts": _attempts(run, spec, events),
        "logs": _logs(run),
        "results": results,
    }


def _attempts(run: TaskRun, spec: TaskSpec, events: EventsByUid) -> list[Attempt]:
    if run.record and run.is_known_by_record:
        return [read_record(run.record)]
    return read_attempts(pods_of(run, spec), events)


def pods_of(run: TaskRun, spec: TaskSpec) -> list[Manifest]:
    """The pods of a task's attempts, as far as they are known."""
    pods = list(run.pods.values()) if spec.is_job else [run.live] if run.live else []
    return [*run.earlier, *pods]


def _logs(run: TaskRun) -> list[Log] | None:
    if run.index_logs:
        pairs = [(index, name, log) for index, logs in run.index_logs.items() for name, log in logs.items()]
        return [{"title": f"index {index}{'' if name == TASK_CONTAINER else f', container {name}'}", "text": log} for index, name, log in pairs]
    recorded = run.record.tail if run.record and run.is_known_by_record else None
    logs: list[Log] = [{"title": "", "text": run.logs}] if run.logs is not None else []
    logs += [{"title": f"container {name}", "text": log} for name, log in run.container_logs.items()]
    if not logs and recorded and recorded.text:
        logs = [{"title": f"container {recorded.container}" if recorded.container else "", "text": recorded.text}]
    return logs or None


def first_part(message: str) -> str:
    """The message of a task without the events and the log that follow it, of which the report says more."""
    lines = itertools.takewhile(lambda line: line != "Events:" and not (line.startswith("Log") and line.endswith(":")), message.splitlines())
    return "\n".join(lines)
