# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write a report of the tasks, quotas and autoscalers of namespaces as one HTML page."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..arguments import CONNECTION, read_namespaces, read_selector
from ..cluster.diagnosis import log_tail
from ..cluster.kinds import AUTOSCALER, BUILT_IN, CONFIG_MAP, JOB, POD
from ..cluster.namespaces import warn_of_missing_namespaces
from ..errors import UNKNOWN_KIND, PodwrightError, option_error
from ..files import check_file
from ..objects.labels import MANAGED, RECORD, selector_of
from ..operation import Invocation, Operation
from ..reconciler.sets import PARENT_PREFIX
from ..reports.batch import read_events
from ..reports.file import differs, write
from ..reports.formats import count
from ..reports.live_limits import read_autoscaler, read_quota
from ..reports.live_tasks import read_entries
from ..reports.model import without_messages, without_output
from ..tasks.executor import THREADS
from ..threads import call_in_threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..cluster.kinds import Kind
    from ..reports.model import Entry, Report
    from ..values import Manifest, Options, Result

QUOTA = BUILT_IN["v1", "ResourceQuota"]
MAX_LOGS = 100  # of failed tasks, one request each
ARGUMENTS: dict[str, Options] = {
    **CONNECTION,
    "dest": {"type": "path", "required": True},
    "namespaces": {"type": "list", "elements": "str"},
    "label_selectors": {"type": "list", "elements": "str"},
    "log_tail": {"type": "int", "default": 20},
    "garbage": {"type": "dict"},
    "drift": {"type": "list", "elements": "dict"},
}


@dataclass
class Written:
    """What the operation has done so far: its report, and whether its file says something else than before."""

    report: Report | None = None
    is_change: bool = False


def run(invocation: Invocation, outcome: Written) -> None:
    """Read the namespaces and write the report. Raises: PodwrightError."""
    params = invocation.params
    _check(params)
    report: Report = invocation.clean(_build(invocation))
    outcome.is_change = differs(params["dest"], report)
    if not invocation.check_mode:
        write(params["dest"], report)
    outcome.report = report


def _check(params: Options) -> None:
    check_file("dest", params["dest"])
    read_namespaces(params)
    garbage, drift = params["garbage"], params["drift"]
    if garbage is not None and not _is_denied(garbage) and not (_is_list_of_mappings(garbage.get("deleted")) and isinstance(garbage.get("kept"), list)):
        raise option_error("garbage", "must be the result of pod_gc.", "Register the result of pod_gc in check mode.")
    for index, result in enumerate(drift or ()):
        if not _is_list_of_mappings(result.get("plan")):
            raise option_error(f"drift[{index}]", "must be a result with a plan.", "Register the result of resource_set in check mode.")


def _is_denied(result: Result) -> bool:
    """Whether a result is that of a module which was not permitted to read."""
    return result.get("reason") == "Forbidden"


def _is_list_of_mappings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _build(invocation: Invocation) -> Report:
    params, client = invocation.params, invocation.client
    namespaces = read_namespaces(params) or [invocation.namespace]
    notes: list[str] = []
    selector = read_selector(params) or selector_of(MANAGED)
    pods = [pod for namespace in namespaces for pod in client.list(POD, namespace, label_selector=selector)[0]]
    warn_of_missing_namespaces(client, {name for name in namespaces if name} - {pod["metadata"]["namespace"] for pod in pods}, invocation.console)
    jobs = _list(invocation, JOB, namespaces, selector, notes)
    records = _list(invocation, CONFIG_MAP, namespaces, f"{selector},{RECORD}=true", notes)
    events = {} if invocation.no_log else read_events(client, namespaces, notes)
    entries = read_entries(pods, jobs, records, events)
    if not invocation.no_log:
        _read_logs(invocation, entries, notes)
    garbage = params["garbage"]
    if garbage is not None and _is_denied(garbage):
        notes.append(f"The objects that garbage collection would delete are missing: {garbage.get('msg')}")
        garbage = None
    autoscalers = [read_autoscaler(item, events) for item in _list(invocation, AUTOSCALER, namespaces, None, notes)]
    return {
        "subject": "Report of a cluster" if namespaces == [None] else "Report of a namespace" if len(namespaces) == 1 else "Report of namespaces",
        "server": client.configuration.server,
        "namespaces": [name for name in namespaces if name],
        "generated": client.now(),
        "msg": "",
        "hint": "",
        "tasks": [without_output(entry) if invocation.no_log else entry for entry, _pod in entries],
        "quotas": [read_quota(item) for item in _list(invocation, QUOTA, namespaces, None, notes)],
        "autoscalers": [without_messages(item) if invocation.no_log else item for item in autoscalers],
        "garbage": garbage,
        "drift": None if params["drift"] is None else [step for result in params["drift"] for step in result["plan"] if not _is_record_of_a_set(step)],
        "notes": notes,
    }


def _is_record_of_a_set(step: Result) -> bool:
    """Whether a step of a plan is about the parent of a set, which no manifest describes."""
    return step.get("kind") == CONFIG_MAP.name and str(step.get("name")).startswith(PARENT_PREFIX)


def _list(invocation: Invocation, kind: Kind, namespaces: Sequence[str | None], selector: str | None, notes: list[str]) -> list[Manifest]:
    """The objects of a kind, or as many as may be listed, with a note about the others."""
    found: list[Manifest] = []
    for namespace in namespaces:
        try:
            found += invocation.client.list(kind, namespace, label_selector=selector)[0]
        except PodwrightError as error:
            if not error.is_forbidden and error.reason != UNKNOWN_KIND:  # which an old or reduced API server does not have
                raise
            notes.append(f"{kind.name}s{f' of namespace {namespace}' if namespace else ''} are missing: {error.message}")
    return found


def _read_logs(invocation: Invocation, entries: Sequence[tuple[Entry, Manifest | None]], notes: list[str]) -> None:
    """Read the end of the log of each failed task."""
    lines = invocation.params["log_tail"]
    failed = [(entry, pod) for entry, pod in entries if pod and entry["state"] == "failed"] if lines else []
    if len(failed) > MAX_LOGS:
        notes.append(f"The logs of {len(failed) - MAX_LOGS} failed tasks are missing: a report reads {MAX_LOGS}.")

    def read(pair: tuple[Entry, Manifest]) -> str:
        entry, pod = pair
        tail = log_tail(invocation.client, pod, lines)
        entry["logs"] = [{"title": f"container {tail.container}" if tail.container else "", "text": tail.text}] if tail.text else None
        return tail.denial

    if denials := [denial for denial in call_in_threads(read, failed[:MAX_LOGS], THREADS) if denial]:
        notes.append(f"The logs of {count(len(denials), 'failed task')} are missing: {denials[0]}")


def describe(invocation: Invocation, outcome: Written) -> Result:
    """The fields of the result, as far as the operation got."""
    if outcome.report is None:
        return {}
    states = Counter(entry["state"] for entry in outcome.report["tasks"])
    summary = {**states, "total": len(outcome.report["tasks"])}
    return {"changed": outcome.is_change, "report": os.path.abspath(invocation.params["dest"]), "summary": summary}


def redact(params: Options) -> Options:
    """The parameters without the results of other modules, which were shown before."""
    return params | {name: "(a result, not shown)" for name in _RESULTS if params[name] is not None}


_RESULTS = frozenset(("garbage", "drift"))
OPERATION = Operation("pod_report", ARGUMENTS, Written, run, describe, redact=redact, mostly_public=_RESULTS)
