# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read pods or objects of any kind, and wait for a state or condition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..arguments import CONNECTION, WAIT, read_selector, with_defaults
from ..cluster.diagnosis import LOG_LINES, format_diagnosis, log_tail
from ..cluster.events import list_events, read_events
from ..cluster.kinds import POD, Kind
from ..cluster.metrics import read_usage
from ..cluster.namespaces import warn_of_missing_namespaces
from ..cluster.watch import Watcher
from ..errors import PodwrightError, option_error
from ..objects.labels import MANAGED, MANAGED_BY, label_of
from ..objects.pod_status import exit_codes, read_pod
from ..objects.readiness import FAILED, READY, assess, condition
from ..objects.timestamps import parse_timestamp
from ..operation import Invocation, Operation
from ..reconciler.manifest import Redactor, drop_managed_fields
from ..tasks.hierarchy import Hierarchy, read_hierarchy
from ..tasks.result import TaskRedactor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypedDict

    from ..cluster.client import Client
    from ..cluster.events import Event
    from ..cluster.metrics import Usage
    from ..values import Manifest, Options, Result

    class Selectors(TypedDict):
        """The selectors of a LIST or watch."""

        label_selector: str | None
        field_selector: str | None


POD_STATES = ("scheduled", "running", "completed")
ARGUMENTS = {
    **CONNECTION,
    **with_defaults(WAIT, wait=False, wait_timeout=120),
    "name": {"type": "str"},
    "kind": {"type": "str", "default": "Pod"},
    "api_version": {"type": "str", "default": "v1", "aliases": ["api", "version"]},
    "label_selectors": {"type": "list", "elements": "str", "default": []},
    "field_selectors": {"type": "list", "elements": "str", "default": []},
    "parent": {"type": "raw"},
    "events": {"type": "bool", "default": False},
    "metrics": {"type": "bool", "default": False},
    "wait_for": {"type": "str", "choices": ["scheduled", "running", "ready", "completed", "deleted"]},
    "wait_condition": {
        "type": "dict",
        "options": {
            "type": {"type": "str", "required": True},
            "status": {"type": "str", "choices": ["True", "False", "Unknown"], "default": "True"},
            "reason": {"type": "str"},
        },
    },
}


@dataclass
class Found:
    """What the operation has read so far.

    Attributes:
        kind: the Kind of the items; None before anything was read.
        usage: resource usage by name of the pod.
        events: events by name of the object, if requested.
        tree: the tree below the parent, if requested.
    """

    kind: Kind | None = None
    items: list[Manifest] = field(default_factory=list)
    usage: Usage = field(default_factory=dict)
    events: dict[str, list[Event]] | None = None
    tree: Hierarchy | None = None


def run(invocation: Invocation, outcome: Found) -> None:
    """Read the objects, and wait for them if requested. Raises: PodwrightError."""
    params = invocation.params
    if params["parent"]:
        _read_tree(invocation, outcome)
    else:
        _read_selected(invocation, outcome)
    if params["metrics"]:
        outcome.usage = read_usage(invocation.client, invocation.namespace, read_selector(params) or None)
    if params["events"]:
        outcome.events = {item["metadata"]["name"]: read_events(invocation.client, item) for item in outcome.items}


def _read_selected(invocation: Invocation, outcome: Found) -> None:
    params, client = invocation.params, invocation.client
    kind = client.kinds.resolve(params["api_version"], params["kind"])
    _check_kind(kind, params)
    fields = list(params["field_selectors"]) + ([f"metadata.name={params['name']}"] if params["name"] else [])
    selectors: Selectors = {"label_selector": read_selector(params) or None, "field_selector": ",".join(fields) or None}
    namespace = _namespace(invocation, kind)
    outcome.items, version = _read(client, kind, namespace, params, selectors)
    outcome.kind = kind
    if namespace and not outcome.items and params["wait_for"] != "deleted":
        warn_of_missing_namespaces(client, [namespace], invocation.console)
    if (params["wait"] or params["wait_for"] or params["wait_condition"]) and not invocation.check_mode:
        found = {item["metadata"]["uid"]: item for item in outcome.items}
        try:
            _wait(invocation, _Goal(kind, params), namespace, found, version, selectors)
        finally:
            outcome.items = list(found.values())


def _check_kind(kind: Kind, params: Options) -> None:
    if kind == POD:
        return
    if params["wait_for"] in POD_STATES:
        raise option_error("wait_for", f"must be ready or deleted for kind {kind.name}, got '{params['wait_for']}'.", "wait_condition waits for a condition.")
    if params["metrics"]:
        raise option_error("metrics", f"must not be set for kind {kind.name}: only pods have metrics.")


def _read_tree(invocation: Invocation, outcome: Found) -> None:
    """The pods below the parent."""
    for name in ("label_selectors", "field_selectors", "wait"):
        if invocation.params[name]:
            raise option_error(name, "must not be set with parent, which returns all pods below an object.")
    if invocation.params["kind"] != "Pod":
        raise option_error("kind", "must not be set with parent; set the kind of the parent as parent.kind.")
    outcome.tree = read_hierarchy(invocation.client, invocation.params["parent"], invocation.namespace)
    outcome.kind, outcome.items = POD, outcome.tree.pods


def _namespace(invocation: Invocation, kind: Kind) -> str | None:
    """The namespace to read; None reads all namespaces, as in k8s_info for other kinds than pods without name and namespace."""
    if not kind.namespaced:
        return None
    if kind.name == "Pod" or invocation.params["name"]:
        return invocation.namespace
    namespace: str | None = invocation.params["namespace"]
    return namespace


def _read(client: Client, kind: Kind, namespace: str | None, params: Options, selectors: Selectors) -> tuple[list[Manifest], str | None]:
    """(objects, resource version from which to watch them, or None)."""
    if params["name"] and not params["label_selectors"] and not params["field_selectors"]:
        item = client.get(kind, namespace, params["name"])
        return ([item] if item else []), None
    return client.list(kind, namespace, **selectors)


# -- waiting --------------------------------------------------------------------------------------------------


class _Goal:
    """What the wait is for.

    Attributes:
        kind: the Kind of the objects.
        text: the goal as in `was not ready`.
        is_deletion: whether it is that no object exists.
        timeout: seconds.
        subject: the objects as in `No Pod 'web'`.
    """

    def __init__(self, kind: Kind, params: Options) -> None:
        condition_option = params["wait_condition"]
        self._state: str | None = None if condition_option else params["wait_for"] or "ready"
        self.kind = kind
        self.text = f"in condition {condition_option['type']}={condition_option['status']}" if condition_option else self._state
        self.is_deletion = self._state == "deleted"
        self.timeout: int = params["wait_timeout"]
        self.subject = f"{kind.name} '{params['name']}'" if params["name"] else f"{kind.name} that matches the selectors"
        self.is_met_by = _has_condition(condition_option) if condition_option else self._state_check()

    def _state_check(self) -> Callable[[Manifest], bool]:
        if self._state == "ready" and self.kind != POD:
            return lambda item: assess(item).state == READY
        checks: dict[str | None, Callable[[Manifest], bool]] = {
            "scheduled": lambda pod: condition(pod, "PodScheduled").get("status") == "True",
            "running": lambda pod: read_pod(pod).state == "running",
            "ready": lambda pod: condition(pod, "Ready").get("status") == "True" or read_pod(pod).state == "succeeded",
            "completed": lambda pod: read_pod(pod).is_finished,
            "deleted": lambda item: False,
        }
        return checks[self._state]

    def is_reached(self, found: Mapping[str, Manifest]) -> bool:
        """Whether the objects meet it."""
        return not found if self.is_deletion else bool(found) and all(map(self.is_met_by, found.values()))

    def obstacle(self, item: Manifest) -> str | None:
        """Why an object can never meet it, or None."""
        if self._state not in ("running", "ready"):
            return None
        if self.kind != POD:
            return "cannot become ready" if assess(item).state == FAILED else None
        state = read_pod(item).state
        if state == "failed" or (state == "succeeded" and self._state == "running"):
            return f"terminated before it was {self._state}"
        return None


def _has_condition(option: Options) -> Callable[[Manifest], bool]:
    return lambda item: all(condition(item, option["type"]).get(key) == option[key] for key in ("status", "reason") if option[key])


def _wait(
    invocation: Invocation,
    goal: _Goal,
    namespace: str | None,
    found: dict[str, Manifest],
    version: str | None,
    selectors: Selectors,
) -> None:
    """Watch until the goal is reached. Raises: PodwrightError if it cannot be reached, or not before the timeout.

    Args:
        found: the objects by UID; it is kept up to date.
        version: resource version from which to watch; None lists the objects again.
    """
    client, kind = invocation.client, goal.kind
    deadline = client.clock.monotonic() + goal.timeout
    if goal.is_reached(found):
        return
    if version is None:
        items, version = client.list(kind, namespace, **selectors)
        found.clear()
        found.update({item["metadata"]["uid"]: item for item in items})
    for item in found.values():
        _check_reachable(client, goal, item)
    with Watcher(client) as watcher:
        watcher.follow(kind, namespace, version, known=list(found.values()), **selectors)
        while not goal.is_reached(found):
            remaining = deadline - client.clock.monotonic()
            if remaining <= 0:
                raise _timeout(client, goal, found)
            invocation.console.progress(f"{sum(map(goal.is_met_by, found.values()))} of {len(found)} {kind.plural} {goal.text}")
            event = watcher.next(min(remaining, 1))
            if event is None:
                continue
            event_type, item = event
            if event_type == "DELETED":
                found.pop(item["metadata"]["uid"], None)
            else:
                found[item["metadata"]["uid"]] = item
                _check_reachable(client, goal, item)


def _check_reachable(client: Client, goal: _Goal, item: Manifest) -> None:
    obstacle = goal.obstacle(item)
    if obstacle:
        raise _failure(client, goal.kind, item, obstacle)


def _timeout(client: Client, goal: _Goal, found: Mapping[str, Manifest]) -> PodwrightError:
    pending = next((item for item in found.values() if not goal.is_met_by(item)), None)
    if pending is None:
        hint = "Check the name, the selectors and the namespace."
        return PodwrightError(f"No {goal.subject} was found within {goal.timeout} s.", reason="WaitFailed", hint=hint)
    return _failure(client, goal.kind, pending, f"was not {goal.text} within {goal.timeout} s")


def _failure(client: Client, kind: Kind, item: Manifest, problem: str) -> PodwrightError:
    """The error about an object, with its status, events and log."""
    name, namespace = item["metadata"]["name"], item["metadata"].get("namespace")
    if kind == POD:
        status, log = read_pod(item), log_tail(client, item, LOG_LINES)
        explanation = f": {status.reason or status.state}{': ' + status.message if status.message else ''}"
    else:
        readiness, log = assess(item), ""
        explanation = f": {readiness.message}" if readiness.message else ""
    place = f" in namespace '{namespace}'" if namespace else ""
    diagnosis = format_diagnosis(list_events(client, item), log)
    return PodwrightError(f"{kind.name} '{name}'{place} {problem}{explanation}.{diagnosis}", reason="WaitFailed")


# -- describing -----------------------------------------------------------------------------------------------


def describe(invocation: Invocation, outcome: Found) -> Result:
    """The fields of the result, as far as the operation got."""
    if outcome.kind is None:
        return {}
    configuration, now = invocation.client.configuration, invocation.client.now()
    result: Result = {
        "resources": [_redact(item) for item in outcome.items],
        "cluster": {"server": configuration.server, "source": configuration.source},
    }
    if outcome.kind == POD:
        result["pods"] = [_summarize(item, outcome.usage, now) for item in outcome.items]
    if outcome.tree:
        result["tree"] = outcome.tree.describe(outcome.usage)
    return result | ({} if outcome.events is None else {"events": outcome.events})


def _redact(item: Manifest) -> Manifest:
    is_managed = label_of(item, MANAGED_BY) == MANAGED[MANAGED_BY]
    redactor = TaskRedactor() if is_managed else Redactor()
    return redactor.redact(drop_managed_fields(item))


def _summarize(pod: Manifest, usage: Usage, now: float) -> Result:
    """An item of the field `pods`."""
    status = read_pod(pod)
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    summary = {
        "name": pod["metadata"]["name"],
        "namespace": pod["metadata"]["namespace"],
        "phase": (pod.get("status") or {}).get("phase", "Unknown"),
        "ready": f"{sum(1 for c in statuses if c.get('ready'))}/{len(pod['spec']['containers'])}",
        "restarts": sum(c.get("restartCount", 0) for c in statuses),
        "reason": status.reason,
        "node": pod["spec"].get("nodeName", ""),
        "age": int(now - parse_timestamp(pod["metadata"]["creationTimestamp"])),
        "exit_codes": exit_codes(pod),
    }
    used = usage.get(pod["metadata"]["name"])
    return summary | ({"cpu": float(used["cpu"]), "memory": int(used["memory"])} if used else {})


RULES = {"mutually_exclusive": [("wait_for", "wait_condition"), *(("parent", other) for other in ("name", "wait_for", "wait_condition"))]}
OPERATION = Operation("pod_info", ARGUMENTS, Found, run, describe, rules=RULES)
