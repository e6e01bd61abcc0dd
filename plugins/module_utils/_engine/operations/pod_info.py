# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read pods or objects of any kind, and wait for a state or condition."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..arguments import CONDITION, CONNECTION, WAIT, read_selector, with_defaults
from ..cluster.client import PAGE_SIZE
from ..cluster.events import read_events
from ..cluster.kinds import POD, SECRET, Kind
from ..cluster.metrics import read_usage, usage_key
from ..cluster.namespaces import warn_of_missing_namespaces
from ..errors import UNKNOWN_KIND, PodwrightError, option_error
from ..objects.containers import container_status, long_running_containers
from ..objects.field_paths import read_paths, without_fields
from ..objects.labels import MANAGED, MANAGED_BY, label_of
from ..objects.pod_status import exit_codes, read_pod, read_problems
from ..objects.timestamps import parse_timestamp
from ..operation import Invocation, Operation
from ..reconciler.goal import Goal, wait_for
from ..reconciler.manifest import Redactor, drop_managed_fields
from ..tasks.hierarchy import Hierarchy, read_hierarchy
from ..tasks.redactor import TaskRedactor

if TYPE_CHECKING:
    from ..cluster.events import Event
    from ..cluster.metrics import Usage
    from ..reconciler.goal import Selectors
    from ..values import Manifest, Options, Result

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
    "all_namespaces": {"type": "bool", "default": False},
    "limit": {"type": "int"},
    "continue_token": {"type": "str", "no_log": False},
    "metadata_only": {"type": "bool", "default": False},
    "hidden_fields": {"type": "list", "elements": "str", "default": []},
    "secret_values": {"type": "bool", "default": False, "no_log": False},
    **CONDITION,
}


@dataclass
class Found:
    """What the operation has read so far.

    Attributes:
        kind: the Kind of the items; None before anything was read.
        is_unserved: whether the server does not serve it.
        token: for the objects that follow the limit; empty if there are none.
        remaining: how many these are, if the API server says so.
        is_cut: whether the server ignored the limit, and the objects that follow it were dropped: there is no token for them.
        usage: resource usage of pods.
        events: events by name of the object, if requested.
        tree: the tree below the parent, if requested.
    """

    kind: Kind | None = None
    is_unserved: bool = False
    items: list[Manifest] = field(default_factory=list)
    token: str = ""
    remaining: int | None = None
    is_cut: bool = False
    usage: Usage = field(default_factory=dict)
    events: dict[str, list[Event]] | None = None
    tree: Hierarchy | None = None


def run(invocation: Invocation, outcome: Found) -> None:
    """Read the objects, and wait for them if requested. Raises: PodwrightError."""
    params = invocation.params
    _check_options(invocation)
    if params["parent"] is not None:
        _read_tree(invocation, outcome)
    else:
        _read_selected(invocation, outcome)
    if params["metrics"]:
        namespace = None if params["all_namespaces"] else invocation.namespace
        outcome.usage = read_usage(invocation.client, namespace, read_selector(params) or None)
    if params["events"]:
        outcome.events = {_event_key(invocation, item): read_events(invocation.client, item) for item in outcome.items}


def _event_key(invocation: Invocation, item: Manifest) -> str:
    """The name of an object, which is unique in its namespace only."""
    name: str = item["metadata"]["name"]
    return f"{item['metadata']['namespace']}/{name}" if invocation.params["all_namespaces"] and "namespace" in item["metadata"] else name


def _check_options(invocation: Invocation) -> None:
    params = invocation.params
    read_paths("hidden_fields", params["hidden_fields"])
    if params["secret_values"] and not invocation.no_log:
        raise option_error("secret_values", "must not be true unless the task has no_log: true, which keeps the values out of the output.")
    for name, others in _EXCLUSIVE.items():
        for other in others if params[name] else ():
            if params[other]:
                raise option_error(name, f"must not be set with {other}.")
    if params["limit"] == 0:
        raise option_error("limit", "must be 1 or greater, got 0.")
    if params["continue_token"] and not params["limit"]:
        raise option_error("continue_token", "must not be set without limit.")


def _read_selected(invocation: Invocation, outcome: Found) -> None:
    params, client = invocation.params, invocation.client
    try:
        kind = client.kinds.find_optional(params["api_version"], params["kind"])
    except PodwrightError as error:
        outcome.is_unserved = error.reason == UNKNOWN_KIND
        raise
    _check_kind(kind, params)
    fields = list(params["field_selectors"]) + ([f"metadata.name={params['name']}"] if params["name"] else [])
    selectors: Selectors = {"label_selector": read_selector(params) or None, "field_selector": ",".join(fields) or None}
    namespace = _namespace(invocation, kind)
    version = _read(invocation, outcome, kind, namespace, selectors)
    outcome.kind = kind
    # In check mode, what comes before may be what creates the namespace.
    if namespace and not outcome.items and params["wait_for"] != "deleted" and not invocation.check_mode:
        warn_of_missing_namespaces(client, [namespace], invocation.console)
    if (params["wait"] or params["wait_for"] or params["wait_condition"]) and not invocation.check_mode:
        found = {item["metadata"]["uid"]: item for item in outcome.items}
        try:
            wait_for(client, invocation.console, Goal(kind, params), namespace, found, version, selectors)
        finally:
            outcome.items = list(found.values())


def _check_kind(kind: Kind, params: Options) -> None:
    if params["secret_values"] and kind != SECRET:
        raise option_error("secret_values", f"must not be true for kind {kind.name}: only Secrets have such values.")
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
    """The namespace to read; None reads all namespaces, as in k8s_info for kinds other than Pod for which neither a name nor a namespace is set."""
    if not kind.namespaced or invocation.params["all_namespaces"]:
        return None
    is_chosen = kind.name == "Pod" or invocation.params["name"] or invocation.params["namespace"] or os.environ.get("PODWRIGHT_NAMESPACE")
    return invocation.namespace if is_chosen else None


def _read(invocation: Invocation, outcome: Found, kind: Kind, namespace: str | None, selectors: Selectors) -> str | None:
    """Read the objects. Returns: the resource version from which to watch them, or None."""
    params, client = invocation.params, invocation.client
    is_named = params["name"] and (namespace or not kind.namespaced)
    if is_named and not (params["label_selectors"] or params["field_selectors"] or params["metadata_only"] or params["limit"]):
        item = client.get(kind, namespace, params["name"])
        outcome.items = [item] if item else []
        return None
    if not params["limit"]:
        items, version = client.list(kind, namespace, **selectors, metadata_only=params["metadata_only"])
        outcome.items = [item | {"apiVersion": kind.api_version, "kind": kind.name} for item in items]
        return version
    outcome.token = params["continue_token"] or ""
    while len(outcome.items) < params["limit"]:
        size = min(PAGE_SIZE, params["limit"] - len(outcome.items))
        page = client.page(kind, namespace, **selectors, metadata_only=params["metadata_only"], limit=size, token=outcome.token)
        outcome.items += [item | {"apiVersion": kind.api_version, "kind": kind.name} for item in page.items[:size]]
        outcome.token, outcome.remaining = page.token, page.remaining
        if len(page.items) > size:
            _cut(invocation, outcome, kind, len(page.items) - size)
        if not outcome.token:
            break
    return None


def _cut(invocation: Invocation, outcome: Found, kind: Kind, dropped: int) -> None:
    """Note that a server returned more objects than requested, as some aggregated API servers do: its next page would begin behind them."""
    outcome.is_cut, outcome.token, outcome.remaining = True, "", dropped + (outcome.remaining or 0)
    text = f"The server ignores limit for kind {kind.name}: {outcome.remaining} objects that follow were dropped, and there is no next page."
    invocation.console.warn(f"{text} Read all of them without limit.")


# -- describing -----------------------------------------------------------------------------------------------


def describe(invocation: Invocation, outcome: Found) -> Result:
    """The fields of the result, as far as the operation got."""
    if outcome.kind is None:
        return {"api_found": False, "resources": []} if outcome.is_unserved else {}
    params = invocation.params
    configuration, now = invocation.client.configuration, invocation.client.now()
    result: Result = {
        "api_found": True,
        "resources": [_show(item, params) for item in outcome.items],
        "cluster": {"server": configuration.server, "source": configuration.source},
    }
    if params["limit"]:
        is_truncated = bool(outcome.token) or outcome.is_cut
        result |= {"truncated": is_truncated, "continue_token": outcome.token, "remaining": outcome.remaining if is_truncated else 0}
    if outcome.kind == POD and not params["metadata_only"]:
        result["pods"] = [_summarize(item, outcome.usage, now) for item in outcome.items]
    if outcome.tree:
        result["tree"] = outcome.tree.describe(outcome.usage)
    return result | ({} if outcome.events is None else {"events": outcome.events})


def _show(item: Manifest, params: Options) -> Manifest:
    """An object as the result shows it."""
    shown = drop_managed_fields(item) if params["secret_values"] else _redact(item)
    return without_fields(shown, read_paths("hidden_fields", params["hidden_fields"]))


def _redact(item: Manifest) -> Manifest:
    is_managed = label_of(item, MANAGED_BY) == MANAGED[MANAGED_BY]
    redactor = TaskRedactor() if is_managed else Redactor()
    return redactor.redact(drop_managed_fields(item))


def _summarize(pod: Manifest, usage: Usage, now: float) -> Result:
    """An item of the field `pods`."""
    status = read_pod(pod)
    names = [container["name"] for container in long_running_containers(pod)]
    statuses = [container_status(pod, name) for name in names]
    summary = {
        "name": pod["metadata"]["name"],
        "namespace": pod["metadata"]["namespace"],
        "phase": (pod.get("status") or {}).get("phase", "Unknown"),
        "ready": f"{sum(1 for c in statuses if c.get('ready'))}/{len(names)}",
        "restarts": sum(c.get("restartCount", 0) for c in statuses),
        "reason": status.reason,
        "message": status.message,
        "problems": read_problems(pod),
        "node": pod["spec"].get("nodeName", ""),
        "age": int(now - parse_timestamp(pod["metadata"]["creationTimestamp"])),
        "exit_codes": exit_codes(pod),
    }
    return summary | {name: (float if name == "cpu" else int)(value) for name, value in usage.get(usage_key(pod), {}).items()}


_EXCLUSIVE = {
    "limit": ("wait", "wait_for", "wait_condition", "parent", "metrics"),
    "metadata_only": ("wait", "wait_for", "wait_condition", "parent", "metrics", "secret_values"),
    "all_namespaces": ("parent",),
    "secret_values": ("parent",),
}
RULES = {"mutually_exclusive": [("wait_for", "wait_condition"), *(("parent", other) for other in ("name", "wait_for", "wait_condition"))]}
OPERATION = Operation("pod_info", ARGUMENTS, Found, run, describe, rules=RULES)
