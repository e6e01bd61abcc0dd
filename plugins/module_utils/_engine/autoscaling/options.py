# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options of scaling: argument spec, and the validation that needs no server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import option_error

if TYPE_CHECKING:
    from ..console import Console
    from ..values import Options

SCALING_OPTIONS: dict[str, dict[str, Any]] = {
    "kind": {"type": "str", "default": "Deployment"},
    "api_version": {"type": "str", "aliases": ["api", "version"]},
    "name": {"type": "str"},
    "label_selectors": {"type": "list", "elements": "str", "default": []},
    "resource_version": {"type": "str"},
    "continue_on_error": {"type": "bool", "default": False},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "replicas": {"type": "int"},
    "current_replicas": {"type": "int"},
    "min_replicas": {"type": "int", "default": 1},
    "max_replicas": {"type": "int", "default": 10},
    "target_cpu": {"type": "int"},
    "target_memory": {"type": "int"},
    "metrics": {"type": "list", "elements": "dict"},
    "prometheus": {
        "type": "dict",
        "options": {
            "server": {"type": "str", "required": True},
            "query": {"type": "str", "required": True},
            "target": {"type": "float", "required": True},
        },
    },
    "scale_up_cooldown": {"type": "int"},
    "scale_down_cooldown": {"type": "int"},
    "behavior": {"type": "dict"},
    "engine": {"type": "str", "choices": ["auto", "hpa", "keda", "direct"], "default": "auto"},
}
_FIXED_ONLY = ("resource_version", "current_replicas", "continue_on_error")
_AUTOMATIC_ONLY = ("target_cpu", "target_memory", "metrics", "prometheus", "scale_up_cooldown", "scale_down_cooldown", "behavior")
_COOLDOWNS = ("scale_up_cooldown", "scale_down_cooldown")


def validate(params: Options, console: Console) -> None:
    """Validate the options, with a warning for those that have no effect. Raises: PodwrightError that names the option."""
    is_fixed = params["replicas"] is not None
    if params["label_selectors"] and (params["state"] == "absent" or not is_fixed):
        raise option_error("label_selectors", "must not be set for an autoscaler, which scales one object.", "Set name, or replicas for a fixed number.")
    if not params["name"] and not params["label_selectors"]:
        raise option_error("name", "missing, and so is label_selectors.", "Set one of them.")
    if is_fixed and params["state"] == "absent":
        console.warn("replicas has no effect with state absent: the object keeps its replicas.")
    if is_fixed:
        _validate_fixed(params)
        for name in ("min_replicas", "max_replicas"):
            if params[name] != SCALING_OPTIONS[name]["default"]:
                console.warn(f"{name} has no effect together with replicas: the object is scaled to a fixed number.")
    elif params["state"] == "present":
        _validate_automatic(params)


def _validate_fixed(params: Options) -> None:
    given = next((name for name in _AUTOMATIC_ONLY if params[name] is not None), None)
    if given:
        raise option_error("replicas", f"must not be set together with {given}.", f"Remove replicas to scale by load, or {given} for a fixed number.")


def _validate_automatic(params: Options) -> None:
    for name in _COOLDOWNS:
        if params[name] is not None and params[name] < 0:
            raise option_error(name, f"must be 0 or greater, got {params[name]}.")
    least, most = params["min_replicas"], params["max_replicas"]
    if least > most:
        raise option_error("min_replicas", f"must not exceed max_replicas ({most}), got {least}.")
    if params["prometheus"] and not 0 < params["prometheus"]["target"] < float("inf"):
        raise option_error("prometheus.target", f"must be a finite number greater than 0, got {params['prometheus']['target']}.")
    if not any(params[name] for name in ("target_cpu", "target_memory", "metrics", "prometheus")):
        hint = "Set one of them to scale by load, or replicas for a fixed number."
        raise option_error("target_cpu", "missing, and so are target_memory, metrics and prometheus.", hint)
    given = next((name for name in _FIXED_ONLY if params[name]), None)
    if given:
        raise option_error(given, "must not be set without replicas.", "Remove it, or set replicas for a fixed number.")
