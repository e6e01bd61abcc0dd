# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waiting until all selected objects meet a state or a condition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cluster.diagnosis import LOG_LINES, Tail, format_diagnosis, log_tail
from ..cluster.events import list_events
from ..cluster.kinds import JOB, POD
from ..cluster.watch import Watcher
from ..errors import PodwrightError
from ..objects.containers import has_finished
from ..objects.pod_status import read_pod
from ..objects.readiness import FAILED, PROGRESSING, READY, Readiness, assess, condition
from ..objects.start_hints import start_hint
from .earlier_failures import EarlierFailures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypedDict

    from ..cluster.client import Client
    from ..cluster.kinds import Kind
    from ..console import Console
    from ..values import Manifest, Options

    class Selectors(TypedDict):
        """The selectors of a LIST or watch."""

        label_selector: str | None
        field_selector: str | None


# Conditions of the scheduler and the kubelet, which do not become true once a pod has terminated; others may.
_OF_ACTIVE_PODS = frozenset(("podscheduled", "podreadytostartcontainers", "initialized", "containersready", "ready"))


class Goal:
    """What the wait is for.

    Attributes:
        kind: the Kind of the objects.
        text: the goal as in `was not ready`.
        is_deletion: whether it is that no object exists.
        timeout: seconds.
        subject: the objects as in `No Pod 'web'`.
    """

    def __init__(self, kind: Kind, params: Options) -> None:
        condition_option = self._condition = params["wait_condition"]
        self._state: str | None = None if condition_option else params["wait_for"] or "ready"
        self.kind = kind
        self.text = f"in condition {condition_option['type']}={condition_option['status']}" if condition_option else self._state
        self.is_deletion = self._state == "deleted"
        self.timeout: int = params["wait_timeout"]
        self.subject = f"{kind.name} '{params['name']}'" if params["name"] else f"{kind.name} that matches the selectors"
        self.is_met_by = has_condition(condition_option) if condition_option else self._state_check()

    def _state_check(self) -> Callable[[Manifest], bool]:
        if self._state == "ready" and self.kind != POD:
            return lambda item: assess(item).state == READY
        checks: dict[str | None, Callable[[Manifest], bool]] = {
            "scheduled": lambda pod: bool(pod["spec"].get("nodeName")) or condition(pod, "PodScheduled").get("status") == "True",
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
        if self._state not in ("scheduled", "running", "ready", None):
            return None
        if self.kind != POD:
            # With a condition of its own, a workload that has not become ready in time may still meet it; a Job that has failed does not change any more.
            has_failed = assess(item).state == FAILED and not self.is_met_by(item) and (self._state is not None or self.kind == JOB)
            return f"cannot become {self._state}" if has_failed and self._state else f"cannot be {self.text}" if has_failed else None
        if self._condition and _is_out_of_reach(self._condition, item):
            return f"has terminated, and cannot be {self.text} any more"
        state = read_pod(item).state
        if self._state == "running" and state in ("failed", "succeeded"):
            return "has terminated, and is not running any more"
        if self._state == "scheduled" and state in ("failed", "succeeded") and not self.is_met_by(item):
            return "terminated before it was scheduled"
        return "terminated before it was ready" if self._state == "ready" and state == "failed" else None


def _is_out_of_reach(option: Options, item: Manifest) -> bool:
    """Whether a pod has terminated without the condition of the option `wait_condition`, which only active pods get."""
    is_of_active = option["status"] == "True" and option["type"].lower() in _OF_ACTIVE_PODS
    return is_of_active and item["kind"] == POD.name and has_finished(item) and not has_condition(option)(item)


def has_condition(option: Options) -> Callable[[Manifest], bool]:
    """Whether an object has the condition of the option `wait_condition`."""
    # In any case, as `kubectl wait` does it.
    return lambda item: all(condition(item, option["type"], any_case=True).get(key) == option[key] for key in ("status", "reason") if option[key])


def condition_assessment(option: Options) -> Callable[[Manifest], Readiness]:
    """What assesses an object by the option `wait_condition`: ready if it has the condition, failed if it has failed without it."""
    is_met = has_condition(option)

    def assess_item(item: Manifest) -> Readiness:
        readiness = assess(item)
        if is_met(item):
            return Readiness(READY)
        found = condition(item, option["type"], any_case=True)
        shown = f"{found.get('status')} ({found.get('reason')})" if found else "missing"
        is_lost = readiness.state == FAILED or _is_out_of_reach(option, item)
        return Readiness(FAILED if is_lost else PROGRESSING, f"condition {option['type']} is {shown}; {readiness.message}".rstrip("; "))

    return assess_item


def wait_for(
    client: Client,
    console: Console,
    goal: Goal,
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
    kind = goal.kind
    deadline = client.clock.monotonic() + goal.timeout
    if goal.is_reached(found):
        return
    if version is None:
        version = _list_again(client, kind, namespace, found, selectors)
    failures = EarlierFailures(client.clock)
    for item in found.values():
        _check_reachable(client, goal, failures.hide(item))
    with Watcher(client) as watcher:
        watcher.follow(kind, namespace, version, known=list(found.values()), **selectors)
        while not goal.is_reached(found):
            remaining = deadline - client.clock.monotonic()
            if remaining <= 0:
                raise _timeout(client, goal, found)
            console.progress(_progress_line(goal, found) + client.availability.describe())
            event = watcher.next(min(remaining, 1))
            if event is None:
                continue
            event_type, item = event
            if event_type == "DELETED":
                found.pop(item["metadata"]["uid"], None)
            else:
                found[item["metadata"]["uid"]] = item
                _check_reachable(client, goal, failures.hide(item))


def _progress_line(goal: Goal, found: Mapping[str, Manifest]) -> str:
    names = goal.kind.plural
    return f"{sum(map(goal.is_met_by, found.values()))} of {len(found)} {names} {goal.text}" if found else f"no {names} found so far"


def _list_again(client: Client, kind: Kind, namespace: str | None, found: dict[str, Manifest], selectors: Selectors) -> str:
    items, version = client.list(kind, namespace, **selectors)
    found.clear()
    found.update({item["metadata"]["uid"]: item for item in items})
    return version


def _check_reachable(client: Client, goal: Goal, item: Manifest) -> None:
    obstacle = goal.obstacle(item)
    if obstacle:
        raise _failure(client, goal.kind, item, obstacle)


def _timeout(client: Client, goal: Goal, found: Mapping[str, Manifest]) -> PodwrightError:
    pending = next((item for item in found.values() if not goal.is_met_by(item)), None)
    if pending is None:
        hint = "Check the name, the selectors and the namespace."
        return PodwrightError(f"No {goal.subject} was found within {goal.timeout} s.", reason="WaitFailed", hint=hint)
    return _failure(client, goal.kind, pending, f"was not {goal.text} within {goal.timeout} s{client.availability.describe()}")


def _failure(client: Client, kind: Kind, item: Manifest, problem: str) -> PodwrightError:
    """The error about an object, with its status, events and log."""
    name, namespace = item["metadata"]["name"], item["metadata"].get("namespace")
    if kind == POD:
        status, log = read_pod(item), log_tail(client, item, LOG_LINES)
        explanation = f": {status.reason or status.state}{': ' + status.message if status.message else ''}"
        hint = start_hint(status.reason, status.message)
    else:
        readiness, log, hint = assess(item), Tail(), ""
        explanation = f": {readiness.message}" if readiness.message else ""
    place = f" in namespace '{namespace}'" if namespace else ""
    text = f"{kind.name} '{name}'{place} {problem}{explanation}."
    return PodwrightError(text + format_diagnosis(list_events(client, item), log, text), reason="WaitFailed", hint=hint)
