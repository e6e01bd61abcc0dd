# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options of deployments: argument spec, and the validation that needs no server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..arguments import check_name
from ..clients.prometheus import is_address
from ..errors import option_error
from ..tasks.options import CONTAINER_OPTIONS, POD_OPTIONS
from ..text import parse_number
from .analysis import FAILURE, SUCCESS, is_condition

if TYPE_CHECKING:
    from ..values import Options

CANARY_SUFFIX = "-canary"  # of a second Service, for a route that splits the traffic
ROLLING, BLUE_GREEN, CANARY = "rolling", "blue_green", "canary"
_TASKS_ONLY = ("stdin", "parent", "max_depth", "max_children", "network", "queue", "restart_policy")
_DEPLOYMENT_FIELDS = ("template", "selector", "replicas", "strategy", "minReadySeconds", "revisionHistoryLimit", "paused", "progressDeadlineSeconds")
TEMPLATE_OPTIONS: dict[str, dict[str, Any]] = {name: spec for name, spec in {**CONTAINER_OPTIONS, **POD_OPTIONS}.items() if name not in _TASKS_ONLY}

_STEP = {"weight": {"type": "int", "required": True}, "pause": {"type": "raw", "default": 0}}
_ROUTE = {
    "parents": {"type": "list", "elements": "raw", "required": True},
    "hostnames": {"type": "list", "elements": "str", "default": []},
}
_ANALYSIS = {
    "prometheus": {"type": "dict", "options": {"server": {"type": "str", "required": True}, "query": {"type": "str", "required": True}}},
    "request": {"type": "dict"},
    "command": {"type": "raw"},
    "success": {"type": "str"},
    "failure": {"type": "str"},
}
DEPLOYMENT_OPTIONS: dict[str, dict[str, Any]] = {
    **TEMPLATE_OPTIONS,
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent", "promoted", "paused", "aborted", "rolled_back"], "default": "present"},
    "replicas": {"type": "int", "default": 1},
    "service": {"type": "raw"},
    "strategy": {"type": "str", "choices": [ROLLING, BLUE_GREEN, CANARY], "default": ROLLING},
    "max_surge": {"type": "raw", "default": 1},
    "max_unavailable": {"type": "raw", "default": 0},
    "progress_deadline": {"type": "int", "default": 600},
    "min_ready_seconds": {"type": "int"},
    "drain_seconds": {"type": "int", "default": 5},
    "rollback_on_failure": {"type": "bool", "default": False},
    "revision": {"type": "int"},
    "canary": {
        "type": "dict",
        "options": {
            "steps": {"type": "list", "elements": "dict", "options": _STEP},
            "route": {"type": "dict", "options": _ROUTE},
            "analysis": {"type": "list", "elements": "dict", "options": _ANALYSIS},
        },
    },
}


def validate(params: Options) -> None:
    """Validate the options of a rollout. Raises: PodwrightError that names the option."""
    if params["replicas"] < 0:
        raise option_error("replicas", f"must be 0 or greater, got {params['replicas']}.")
    if params["strategy"] != ROLLING and not params["service"]:
        raise option_error("service", f"must be set for the strategy {params['strategy']}.", "It switches the traffic from one generation to the next.")
    if params["strategy"] != ROLLING and not params["wait"]:
        hint = "Traffic is switched only to pods that are ready. Remove wait, or set strategy to rolling."
        raise option_error("wait", f"must be true for the strategy {params['strategy']}.", hint)
    if str(params["max_surge"]) in ("0", "0%") and str(params["max_unavailable"]) in ("0", "0%"):
        raise option_error("max_surge", "must be greater than 0 if max_unavailable is 0.")
    if (ready := params["min_ready_seconds"]) is not None and ready >= params["progress_deadline"]:
        raise option_error("min_ready_seconds", f"must be less than progress_deadline ({params['progress_deadline']}), got {ready}.")
    _validate_definition(params["definition"], params["patches"])
    _validate_service(params["service"], 63 - len(CANARY_SUFFIX) if (params["canary"] or {}).get("route") else 63)
    grace, drain = params.get("termination_grace_period"), params["drain_seconds"]
    if params["service"] and drain and grace is not None and grace <= drain:
        raise option_error("termination_grace_period", f"must be greater than drain_seconds ({drain}), got {grace}.")
    canary = params["canary"] or {}
    _validate_steps(canary.get("steps") or [])
    for number, entry in enumerate(canary.get("analysis") or []):
        _validate_analysis(f"canary.analysis[{number}]", entry)


def _validate_definition(definition: Options | None, patches: list[Options] | None) -> None:
    """Check that they are of a Pod, and not of a Deployment. Raises: PodwrightError."""
    hint = "definition and patches are for the manifest of a Pod; the options of this module set the other fields of the Deployment."
    given = definition or {}
    if given.get("kind") not in (None, "Pod"):
        raise option_error("definition.kind", "must be Pod.", hint)
    spec = given.get("spec")
    if found := next((name for name in _DEPLOYMENT_FIELDS if isinstance(spec, dict) and name in spec), None):
        raise option_error(f"definition.spec.{found}", "unknown field of a Pod.", hint)
    for number, patch in enumerate(patches or []):
        names = str(patch.get("path")).split("/")[1:3]
        if names[:1] == ["spec"] and names[-1] in _DEPLOYMENT_FIELDS:
            raise option_error(f"patches[{number}].path", f"unknown field of a Pod, {'.'.join(names)}.", hint)


def _validate_service(service: Any, longest: int) -> None:
    if not service:
        return
    if isinstance(service, str):
        check_name("service", service, longest)
        return
    if not isinstance(service, dict):
        raise option_error("service", f"must be a name or a mapping with name and ports, got '{service}'.")
    if unknown := sorted(str(key) for key in service if key not in ("name", "ports")):
        raise option_error(f"service.{unknown[0]}", "unknown option; a service has name and ports.")
    if not service.get("name"):
        raise option_error("service.name", "missing.")
    if not isinstance(service["name"], str):
        raise option_error("service.name", f"must be a string, got '{service['name']}'.")
    check_name("service.name", service["name"], longest)
    if not isinstance(service.get("ports"), (list, type(None))):
        raise option_error("service.ports", f"must be a list of ports, got '{service['ports']}'.")


def _validate_steps(steps: list[Options]) -> None:
    least = 1
    for number, step in enumerate(steps):
        if not least <= step["weight"] < 100:
            raise option_error(f"canary.steps[{number}].weight", f"must be between {least} and 99, got {step['weight']}.", "Weights must not decrease.")
        least = step["weight"]
        if not _is_duration(step["pause"]):
            raise option_error(f"canary.steps[{number}].pause", f"must be a number of seconds or true, got '{step['pause']}'.")


def _is_duration(value: Any) -> bool:
    number = 1 if value is True else parse_number(value or 0)
    return number is not None and number >= 0


def _validate_analysis(path: str, entry: Options) -> None:
    given = [name for name in ("prometheus", "request", "command") if entry[name] is not None]
    if len(given) != 1:
        raise option_error(path, f"must have exactly one of prometheus, request and command, got {' and '.join(given) or 'none'}.")
    for name in (SUCCESS, FAILURE):
        if entry[name] is not None and not is_condition(entry[name]):
            raise option_error(f"{path}.{name}", f"must be a condition such as < 0.05, >= 1 or == 200, got '{entry[name]}'.")
    for name, value in (entry["prometheus"] or {}).items():
        if not value.strip():
            raise option_error(f"{path}.prometheus.{name}", "must not be empty.")
    if entry["prometheus"] and not is_address(entry["prometheus"]["server"]):  # which is not shown: it can contain a password
        raise option_error(f"{path}.prometheus.server", "must be a URL such as http://prometheus:9090, or NAMESPACE/SERVICE:PORT.")
    if entry["prometheus"] and not entry[SUCCESS]:
        raise option_error(f"{path}.{SUCCESS}", "must be set for a Prometheus query, such as < 0.05.")
