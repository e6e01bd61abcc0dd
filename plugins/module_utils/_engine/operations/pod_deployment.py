# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Deploy pods that keep running, in one of three ways, each of which a later run can resume: all that it needs to know is on the objects."""

from __future__ import annotations

from dataclasses import dataclass

from ..arguments import CONNECTION, WAIT, url_passwords, with_defaults
from ..clients.prometheus import query_prometheus
from ..deployments import manifests
from ..deployments.deployer import POD_OPTIONS, SERVICE, Deployer
from ..deployments.generations import Generations
from ..deployments.manifests import BLUE_GREEN, CANARY, ROLLING
from ..deployments.rolling import Rolling
from ..errors import option_error
from ..objects.labels import ACTIVE, DEPLOYMENT, annotation_of
from ..operation import Invocation, Operation, attempt
from ..tasks import options as opts
from . import pod_exec, pod_request, task_pod

ARGUMENTS = {
    **CONNECTION,
    **with_defaults(WAIT, wait=True),
    **POD_OPTIONS,
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent", "promoted", "paused", "aborted", "rolled_back"], "default": "present"},
    "replicas": {"type": "int", "default": 1},
    "service": {"type": "raw"},
    "strategy": {"type": "str", "choices": [ROLLING, BLUE_GREEN, CANARY], "default": ROLLING},
    "max_surge": {"type": "raw", "default": 1},
    "max_unavailable": {"type": "raw", "default": 0},
    "progress_deadline": {"type": "int", "default": 600},
    "drain_seconds": {"type": "int", "default": 5},
    "rollback_on_failure": {"type": "bool", "default": False},
    "revision": {"type": "int"},
    "canary": {
        "type": "dict",
        "options": {
            "steps": {
                "type": "list",
                "elements": "dict",
                "options": {"weight": {"type": "int", "required": True}, "pause": {"type": "raw", "default": 0}},
            },
            "route": {
                "type": "dict",
                "options": {
                    "parents": {"type": "list", "elements": "raw", "required": True},
                    "hostnames": {"type": "list", "elements": "str", "default": []},
                },
            },
            "analysis": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "prometheus": {"type": "dict", "options": {"server": {"type": "str", "required": True}, "query": {"type": "str", "required": True}}},
                    "request": {"type": "dict"},
                    "command": {"type": "raw"},
                    "success": {"type": "str"},
                    "failure": {"type": "str"},
                },
            },
        },
    },
}


@dataclass
class Deployed:
    """What was done so far: by the Deployer, once the options are known to be right."""

    deployer: Deployer | None = None


def run(invocation: Invocation, outcome: Deployed) -> None:
    """Deploy, or move a deployment on or back. Raises: PodwrightError."""
    params = invocation.params
    opts.check_name("name", params["name"])
    if params["state"] in ("present", "paused"):
        manifests.check(params)
    deployer = outcome.deployer = Rolling(invocation) if _strategy(invocation) == ROLLING else Generations(invocation, _analyse)
    try:
        getattr(deployer, params["state"])()
    finally:
        deployer.look_again()


def describe(_task: Invocation, outcome: Deployed) -> dict:
    """The result's fields, as far as it got."""
    return outcome.deployer.describe() if outcome.deployer else {}


def _strategy(invocation):
    """The strategy: as asked for where something is made; else that of what is there."""
    params = invocation.params
    if params["state"] in ("present", "paused"):
        return params["strategy"]
    services = invocation.client.list(SERVICE, invocation.namespace, label_selector=f"{DEPLOYMENT}={params['name']}")[0]
    return BLUE_GREEN if any(annotation_of(service, ACTIVE) for service in services) else ROLLING


# -- judging a canary ------------------------------------------------------------------------------------------


def _analyse(invocation, entry, choose_pod):
    """Take one measurement.

    Args:
        task: the Task it is for.
        entry: an entry of `canary.analysis`.
        choose_pod: called for the name of a pod of the canary, where one is to be asked.

    Returns: {what, value, outcome}; value is None where there is none.
    """
    success, failure = entry["success"], entry["failure"]
    if entry["prometheus"]:
        asked = entry["prometheus"]
        what, value = asked["query"], query_prometheus(invocation.client, invocation.namespace, asked["server"], asked["query"])
    elif entry["request"] is not None:
        asked = {"status_code": list(range(100, 600))} | entry["request"]
        asked |= {"pod": choose_pod(), "port": str(asked.get("port") or "")}
        what, value = "the request", _measure(invocation, pod_request.OPERATION, asked, "status")
        success = success or "< 400"
    else:
        asked = {"command": entry["command"], "pod": choose_pod(), "check_rc": False}
        what, value = "the command", _measure(invocation, pod_exec.OPERATION, asked, "rc")
        success = success or "== 0"
    return {"what": what, "value": value, "outcome": manifests.judge_value(value, success, failure)}


def _measure(invocation, operation, options, name):
    """A number that another operation returns; None where it could not be had."""
    unknown = sorted(set(options) - set(operation.arguments))
    if unknown:
        raise option_error("canary.analysis", f"unknown key '{unknown[0]}'.")
    params = {name: spec.get("default") for name, spec in operation.arguments.items()} | {"namespace": invocation.namespace} | options
    fields, _error = attempt(operation, Invocation(params, False, False, invocation.console, invocation.client))
    return fields.get(name)


def secrets(params):
    """The passwords in addresses of Prometheus."""
    analysis = (params["canary"] or {}).get("analysis") or []
    return url_passwords((entry["prometheus"] or {}).get("server") for entry in analysis)


def redact(params):
    """The parameters as they may be shown: also without the requests and commands of an analysis."""
    shown = task_pod.redact(params)
    analysis = (shown["canary"] or {}).get("analysis")
    if analysis:
        kept = ("prometheus", "success", "failure")
        shown["canary"] = shown["canary"] | {"analysis": [{name: entry[name] for name in kept} for entry in analysis]}
    return shown


OPERATION = Operation("pod_deployment", ARGUMENTS, Deployed, run, describe, secrets=secrets, redact=redact)
