# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read pods, or objects of any kind, and wait until they are as asked."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field

from ..arguments import CONNECTION, WAIT, with_defaults
from ..cluster.diagnosis import format_diagnosis, log_tail
from ..cluster.events import list_events
from ..cluster.kinds import POD, Kind
from ..cluster.metrics import read_usage
from ..cluster.namespaces import warn_of_missing_namespaces
from ..cluster.watch import Watcher
from ..errors import PodwrightError, option_error
from ..objects.labels import MANAGED, MANAGED_BY
from ..objects.pod_status import exit_codes, read_pod
from ..objects.readiness import FAILED, READY, assess, condition
from ..operation import Invocation, Operation
from ..reconciler.manifest import Redactor, drop_managed_fields
from ..tasks.hierarchy import Tree, read_tree
from ..tasks.result import TaskRedactor

WAIT_STATES = ("scheduled", "running", "ready", "completed", "deleted")

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
    "wait_for": {"type": "str", "choices": list(WAIT_STATES)},
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
    """What was read so far.

    Attributes:
        kind: of the items; None before anything was read.
        items: objects.
        usage: a pod's name -> its usage.
        events: an object's name -> its events, where asked for.
        tree: what is below the parent, where asked for.
    """

    kind: Kind | None = None
    items: list[dict] = field(default_factory=list)
    usage: dict = field(default_factory=dict)
    events: dict | None = None
    tree: Tree | None = None


def run(invocation: Invocation, outcome: Found) -> None:
    """Read, and wait where asked. Raises: PodwrightError."""
    params = invocation.params
    if params["parent"]:
        _read_below(invocation, outcome)
    else:
        _read_chosen(invocation, outcome)
    if params["metrics"]:
        outcome.usage = read_usage(invocation.client, invocation.namespace, ",".join(params["label_selectors"]) or None)
    if params["events"]:
        outcome.events = {item["metadata"]["name"]: list_events(invocation.client, item) for item in outcome.items}


def _read_chosen(invocation, outcome):
    params, client = invocation.params, invocation.client
    kind = client.kinds.resolve(params["api_version"], params["kind"])
    _refuse_what_is_of_pods(kind, params)
    fields = list(params["field_selectors"]) + ([f"metadata.name={params['name']}"] if params["name"] else [])
    selection = {"label_selector": ",".join(params["label_selectors"]) or None, "field_selector": ",".join(fields) or None}
    namespace = _namespace(invocation, kind)
    outcome.items, version = _read(client, kind, namespace, params, selection)
    outcome.kind = kind
    if namespace and not outcome.items and params["wait_for"] != "deleted":
        warn_of_missing_namespaces(client, [namespace], invocation.console)
    waits = params["wait"] or params["wait_for"] or params["wait_condition"]
    if waits and not invocation.check_mode:
        _wait(invocation, outcome, namespace, version, selection)


def _refuse_what_is_of_pods(kind, params):
    if kind != POD:
        if params["wait_for"] in ("scheduled", "running", "completed"):
            raise option_error("wait_for", f"'{params['wait_for']}' is for pods, and these are {kind.plural}.", "Wait for ready, or for a wait_condition.")
        if params["metrics"]:
            raise option_error("metrics", f"they are of pods, and these are {kind.plural}.")


def _read_below(invocation, outcome):
    """The pods below an object, and the tree they make."""
    for name in ("label_selectors", "field_selectors", "wait"):
        if invocation.params[name]:
            raise option_error(name, "parent reads all the pods below it, as they are.", "Leave one of the two out.")
    if invocation.params["kind"] != "Pod":
        raise option_error("kind", "parent reads the pods below it; its own kind stands in parent itself.")
    outcome.tree = read_tree(invocation.client, invocation.params["parent"], invocation.namespace)
    outcome.kind, outcome.items = POD, outcome.tree.pods


def _namespace(invocation, kind):
    """The option; for pods else the context's; other kinds and selectors alone read all namespaces, as k8s_info does."""
    if not kind.namespaced:
        return None
    if kind.name == "Pod" or invocation.params["name"]:
        return invocation.namespace
    return invocation.params["namespace"]


def _read(client, kind, namespace, params, selection):
    if params["name"] and not params["label_selectors"] and not params["field_selectors"]:
        item = client.get(kind, namespace, params["name"])
        return ([item] if item else []), None
    return client.list(kind, namespace, **selection)


def _shown(item):
    is_ours = (item["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGED[MANAGED_BY]
    redactor = TaskRedactor() if is_ours else Redactor()
    return redactor.redact(drop_managed_fields(item))


# -- waiting --------------------------------------------------------------------------------------------------


def _wait(invocation, outcome, namespace, version, selection):
    """Wait until what was found is as asked; the outcome holds what was seen last. Raises: PodwrightError."""
    found = {item["metadata"]["uid"]: item for item in outcome.items}
    try:
        _watch(invocation, outcome.kind, namespace, found, version, selection)
    finally:
        outcome.items = list(found.values())


def _watch(invocation, kind, namespace, found, version, selection):
    params, client = invocation.params, invocation.client
    holds = _predicate(kind, params)
    wanted = params["wait_for"] or (params["wait_condition"] or {}).get("type") or "ready"
    deadline = client.clock.monotonic() + params["wait_timeout"]
    if _is_met(found, params, holds):
        return
    for item in found.values():
        _stop_if_hopeless(client, kind, item, params)
    with Watcher(client) as watcher:
        if version is None:
            items, version = client.list(kind, namespace, **selection)
            found.clear()
            found.update({item["metadata"]["uid"]: item for item in items})
        else:
            items = list(found.values())
        watcher.follow(kind, namespace, version, known=items, **selection)
        while not _is_met(found, params, holds):
            left = deadline - client.clock.monotonic()
            if left <= 0:
                raise _timeout(client, kind, found, params, wanted, holds)
            invocation.console.progress(f"{sum(map(holds, found.values()))} of {len(found)} {kind.plural} {wanted}")
            change = watcher.next(min(left, 1))
            if change:
                sort, item = change
                if sort == "DELETED":
                    found.pop(item["metadata"]["uid"], None)
                else:
                    found[item["metadata"]["uid"]] = item
                    _stop_if_hopeless(client, kind, item, params)


def _is_met(found, params, holds):
    if params["wait_for"] == "deleted":
        return not found
    return bool(found) and all(map(holds, found.values()))


def _predicate(kind, params):
    asked = params["wait_condition"]
    if asked:
        return lambda item: all(condition(item, asked["type"]).get(key) == asked[key] for key in ("status", "reason") if asked[key])
    name = params["wait_for"] or "ready"
    if name == "ready" and kind != POD:
        return lambda item: assess(item).state == READY
    return {
        "scheduled": lambda pod: condition(pod, "PodScheduled").get("status") == "True",
        "running": lambda pod: read_pod(pod).state == "running",
        "ready": lambda pod: condition(pod, "Ready").get("status") == "True" or read_pod(pod).state == "succeeded",
        "completed": lambda pod: read_pod(pod).is_finished,
        "deleted": lambda item: False,
    }[name]


def _stop_if_hopeless(client, kind, item, params):
    """What is over never gets running or ready: say why at once."""
    if params["wait_condition"] or params["wait_for"] in ("completed", "deleted", "scheduled"):
        return
    if kind != POD:
        if assess(item).state == FAILED:
            raise _describe_failure(client, kind, item, "cannot get ready")
        return
    status = read_pod(item)
    if status.state == "failed" or (status.state == "succeeded" and params["wait_for"] == "running"):
        raise _describe_failure(client, kind, item, f"ended before it was {params['wait_for'] or 'ready'}")


def _timeout(client, kind, found, params, wanted, holds):
    late = next((item for item in found.values() if not holds(item)), None)
    if late is None:
        chosen = f" '{params['name']}'" if params["name"] else " of the selection"
        return PodwrightError(
            f"No {kind.name}{chosen} appeared within {params['wait_timeout']} s.", reason="WaitFailed", hint="Check the name, the selectors and the namespace."
        )
    return _describe_failure(client, kind, late, f"was not {wanted} within {params['wait_timeout']} s")


def _describe_failure(client, kind, item, what):
    name, namespace = item["metadata"]["name"], item["metadata"].get("namespace")
    events = list_events(client, item)
    if kind == POD:
        status, log = read_pod(item), log_tail(client, item, 10)
        why = f": {status.reason or status.state}{': ' + status.message if status.message else ''}"
    else:
        verdict, log = assess(item), ""
        why = f": {verdict.message}" if verdict.message else ""
    return PodwrightError(
        f"{kind.name} '{name}'{f' in namespace {namespace!r}' if namespace else ''} {what}{why}.{format_diagnosis(events, log)}",
        reason="WaitFailed",
    )


# -- describing -----------------------------------------------------------------------------------------------


def describe(invocation: Invocation, outcome: Found) -> dict:
    """The result's fields, as far as it got."""
    if outcome.kind is None:
        return {}
    configuration, now = invocation.client.configuration, invocation.client.now()
    result = {"resources": [_shown(item) for item in outcome.items], "cluster": {"server": configuration.server, "source": configuration.source}}
    if outcome.kind == POD:
        result["pods"] = [_line(item, outcome.usage, now) for item in outcome.items]
    if outcome.tree:
        result["tree"] = outcome.tree.describe(outcome.usage)
    return result | ({} if outcome.events is None else {"events": outcome.events})


def _line(pod, usage, now):
    """One pod in one line."""
    status = read_pod(pod)
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    created = datetime.datetime.fromisoformat(pod["metadata"]["creationTimestamp"].replace("Z", "+00:00"))
    line = {
        "name": pod["metadata"]["name"],
        "namespace": pod["metadata"]["namespace"],
        "phase": (pod.get("status") or {}).get("phase", "Unknown"),
        "ready": f"{sum(1 for c in statuses if c.get('ready'))}/{len(pod['spec']['containers'])}",
        "restarts": sum(c.get("restartCount", 0) for c in statuses),
        "reason": status.reason,
        "node": pod["spec"].get("nodeName", ""),
        "age": int(now - created.timestamp()),
        "exit_codes": exit_codes(pod),
    }
    used = usage.get(pod["metadata"]["name"])
    return line | ({"cpu": float(used["cpu"]), "memory": int(used["memory"])} if used else {})


RULES = {"mutually_exclusive": [("wait_for", "wait_condition"), *(("parent", other) for other in ("name", "wait_for", "wait_condition"))]}
OPERATION = Operation("pod_info", ARGUMENTS, Found, run, describe, rules=RULES)
