# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Deploy pods that keep running, by one of three strategies, and resume a rollout that was interrupted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ..arguments import CONNECTION, REVIEW, WAIT, check_name, check_ranges, given_options, with_defaults
from ..clients.prometheus import query_prometheus
from ..deployments.analysis import Measurement, judge
from ..deployments.canary import Canary
from ..deployments.deployer import DEPLOYMENT_KIND, Deployer
from ..deployments.generations import Generations
from ..deployments.options import BLUE_GREEN, CANARY, DEPLOYMENT_OPTIONS, ROLLING, validate
from ..deployments.rolling import Rolling
from ..errors import option_error
from ..objects.labels import DEPLOYMENT, GENERATION, label_of
from ..operation import Invocation, Operation, attempt
from ..option_reader import normalize_options
from ..reconciler.diff import yaml_diff
from ..tasks.options import words_of
from ..tasks.redactor import TaskRedactor, redact_options
from ..text import LARGEST, MAX_PORT, parse_integer, url_passwords
from . import pod_exec, pod_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..reconciler.plan import Change
    from ..values import Options, Result

_OTHERS = (*CONNECTION, "pod", "service", "requests", "concurrency")  # a request is sent to a pod of the canary
_REQUEST = {name: spec for name, spec in pod_request.ARGUMENTS.items() if name not in _OTHERS}
ARGUMENTS: dict[str, dict[str, Any]] = {**CONNECTION, **with_defaults(WAIT, wait=True), **REVIEW, **DEPLOYMENT_OPTIONS}


@dataclass
class Deployed:
    """What was done so far: the Deployer holds it, None until the options are validated."""

    deployer: Deployer | None = None


def run(invocation: Invocation, outcome: Deployed) -> None:
    """Bring the deployment into its state. Raises: PodwrightError."""
    params = invocation.params
    check_name("name", params["name"])
    if params["state"] in ("present", "paused"):
        validate(params)
        _read_analysis(params)
    _warn_about_options(invocation)
    deployer = outcome.deployer = _choose_deployer(invocation)
    states = {"present": deployer.roll_out, "paused": deployer.pause, "promoted": deployer.promote}
    states |= {"aborted": deployer.abort, "rolled_back": deployer.roll_back, "absent": deployer.delete_all}
    try:
        states[params["state"]]()
    finally:
        deployer.refresh_status()


def _warn_about_options(invocation: Invocation) -> None:
    """Warn about options that have no effect."""
    params, warn = invocation.params, invocation.console.warn
    is_rollout = params["state"] in ("present", "paused")
    if is_rollout and params["canary"] and params["strategy"] != CANARY:
        warn(f"canary has no effect with the strategy {params['strategy']}. Set strategy to canary, or remove it.")
    if is_rollout and params["rollback_on_failure"] and not params["wait"]:
        warn("rollback_on_failure has no effect if wait is false, unless the rollout has to wait to change the Service. Set wait to true, or remove it.")
    if params["revision"] is not None and params["state"] != "rolled_back":
        warn(f"revision has no effect with the state {params['state']}. Set state to rolled_back, or remove it.")


def _choose_deployer(invocation: Invocation) -> Deployer:
    arguments = (invocation.client, invocation.namespace, invocation.params, invocation.console, invocation.check_mode)
    strategy = _strategy(invocation)
    if strategy == CANARY:
        return Canary(*arguments, partial(_measure, invocation))
    return Rolling(*arguments) if strategy == ROLLING else Generations(*arguments)


def _strategy(invocation: Invocation) -> str:
    """The strategy of the options for a rollout; in other states that of the live objects."""
    params = invocation.params
    if params["state"] in ("present", "paused"):
        return str(params["strategy"])
    deployments = invocation.client.list(DEPLOYMENT_KIND, invocation.namespace, label_selector=f"{DEPLOYMENT}={params['name']}")[0]
    return BLUE_GREEN if any(label_of(item, GENERATION) != ROLLING for item in deployments) else ROLLING


def describe(invocation: Invocation, outcome: Deployed) -> Result:
    """The fields of the result."""
    deployer = outcome.deployer
    if not deployer:
        return {}
    redactor = TaskRedactor()
    changes = [change for change in deployer.changes if change.is_change]
    plan = [change.describe(redactor) for change in changes or deployer.changes]
    result = {"changed": bool(changes), "plan": plan, "analysis": deployer.analysis} | deployer.status
    return result | ({"diff": yaml_diff(changes, redactor, invocation.clean)} if invocation.diff_mode else {})


# -- measurements of a canary ---------------------------------------------------------------------------------


def _measure(invocation: Invocation, entry: Options, choose_pod: Callable[[], str], timeout: float) -> Measurement:
    """Take a measurement.

    Args:
        entry: an entry of `canary.analysis`.
        choose_pod: returns the name of a ready canary pod.
        timeout: of a command, in seconds.

    Raises: PodwrightError if Prometheus does not answer, or no pod is ready.
    """
    success, message = entry["success"], ""
    if entry["prometheus"]:
        server, what = entry["prometheus"]["server"], entry["prometheus"]["query"]
        value = query_prometheus(invocation.client, invocation.namespace, server, what)
    elif entry["request"] is not None:
        options = {"status_code": list(range(100, 600))} | entry["request"]
        options |= {"pod": choose_pod(), "port": str(options.get("port") or "")}
        what, success = "the request", success or "< 400"
        value, message = _measure_by(invocation, pod_request.OPERATION, options, "status")
    else:
        options = {"command": entry["command"], "pod": choose_pod(), "check_rc": False, "timeout": float(timeout)}
        what, success = "the command", success or "== 0"
        value, message = _measure_by(invocation, pod_exec.OPERATION, options, "rc")
    return {"what": what, "value": value, "outcome": judge(value, success, entry["failure"]), "message": message}


def _measure_by(invocation: Invocation, operation: Operation[Any], options: Options, field: str) -> tuple[float | None, str]:
    """(a number in the result of another operation, or None and why it failed before there was one). Raises: PodwrightError if it is not allowed."""
    params = {name: spec.get("default") for name, spec in operation.arguments.items()} | {"namespace": invocation.namespace} | options
    result, error = attempt(operation, Invocation(params, False, False, invocation.console, invocation.client))
    if error and error.is_forbidden:
        raise error
    value: float | None = result.get(field)
    if value in (None, pod_request.NO_STATUS):
        return None, error.message if error else ""
    return value, ""


def _read_analysis(params: Options) -> None:
    """Validate each command and request, and convert options of a request that are text, as the value of a template is. Raises: PodwrightError."""
    for number, entry in enumerate((params["canary"] or {}).get("analysis") or []):
        path = f"canary.analysis[{number}]"
        if entry["command"] is not None:
            words_of(f"{path}.command", entry["command"])
        if entry["request"] is not None:
            entry["request"] = _read_request(f"{path}.request.", entry["request"])


def _read_request(path: str, request: Options) -> Options:
    if request.get("protocol") == "grpc":
        raise option_error(f"{path}protocol", "must be http or https, since the status is measured, got grpc.")
    if request.get("grpc_method") is not None:
        raise option_error(f"{path}grpc_method", "must not be set, since the status of HTTP is measured.")
    request = normalize_options(_REQUEST, request, path=path)
    check_ranges(_REQUEST, request, path)
    port = parse_integer(request["port"], LARGEST, -LARGEST)
    if port is not None and not 0 < port <= MAX_PORT:
        raise option_error(f"{path}port", f"must be a port number from 1 to {MAX_PORT} or the name of a port, got {port}.")
    pod_request.prepare({name: spec.get("default") for name, spec in _REQUEST.items()} | given_options(request), path)
    return request


# -- secrets --------------------------------------------------------------------------------------------------


def secrets(params: Options) -> set[str]:
    """The passwords in URLs of Prometheus."""
    analysis = (params["canary"] or {}).get("analysis") or []
    return url_passwords((entry["prometheus"] or {}).get("server") for entry in analysis)


def redact(params: Options) -> Options:
    """The options as they may be shown, without the requests and commands of an analysis."""
    shown: Options = redact_options(params)
    analysis = (shown["canary"] or {}).get("analysis")
    if not analysis:
        return shown
    visible = [{name: entry[name] for name in ("prometheus", "success", "failure")} for entry in analysis]
    return shown | {"canary": shown["canary"] | {"analysis": visible}}


def predicted(outcome: Deployed) -> list[Change]:
    """The changes of a run in check mode."""
    return outcome.deployer.changes if outcome.deployer else []


OPERATION = Operation("pod_deployment", ARGUMENTS, Deployed, run, describe, secrets=secrets, redact=redact, redactor=TaskRedactor, predicted=predicted)
