# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options of the event source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ..arguments import CONNECTION, Arguments, check_namespace, check_ranges, read_selector
from ..errors import PodwrightError, option_error
from ..masking import Masker
from ..objects.field_paths import read_paths
from ..option_reader import normalize_options
from .payload import FIELDS, STATES

if TYPE_CHECKING:
    from ..values import Options

EVENT_TYPES = ("ADDED", "MODIFIED", "DELETED")
MIN_BYTES = 4096  # the fields that identify an object fit into it
OWN: Arguments = {
    "kinds": {"type": "list", "elements": "str", "default": ["Pod"], "aliases": ["kind"]},
    "namespaces": {"type": "list", "elements": "str", "default": [], "aliases": ["namespace"]},
    "all_namespaces": {"type": "bool", "default": False},
    "label_selectors": {"type": "list", "elements": "str", "default": []},
    "field_selectors": {"type": "list", "elements": "str", "default": []},
    "event_types": {"type": "list", "elements": "str", "choices": list(EVENT_TYPES), "default": list(EVENT_TYPES)},
    "states": {"type": "list", "elements": "str", "choices": list(STATES), "default": []},
    "phases": {"type": "list", "elements": "str", "default": []},
    "reasons": {"type": "list", "elements": "str", "default": []},
    "changed_fields": {"type": "list", "elements": "str", "default": []},
    "initial": {"type": "bool", "default": False},
    "include_object": {"type": "bool", "default": True},
    "secret_values": {"type": "bool", "default": False, "no_log": False},
    "max_bytes": {"type": "int", "default": 65536},
    "heartbeat": {"type": "int", "default": 0},
    "reconnect_timeout": {"type": "int", "default": 300},
}
ARGUMENTS: Arguments = {name: spec for name, spec in CONNECTION.items() if name != "namespace"} | OWN


def read_options(given: Options) -> Options:
    """The options with their defaults and the variables `K8S_AUTH_*`. Raises: PodwrightError for an invalid one."""
    checked = ArgumentSpecValidator(ARGUMENTS).validate(normalize_options(ARGUMENTS, given))
    if checked.error_messages:
        # ansible-core has no public name for the values of options with no_log.
        raise PodwrightError(Masker(set(checked._no_log_values)).mask(checked.error_messages[0]), reason="BadOption")
    params: dict[str, Any] = checked.validated_parameters
    check_ranges(ARGUMENTS, params)
    _check_selection(params)
    _check_fields(params)
    return params


def _check_selection(params: Options) -> None:
    for name in ("kinds", "event_types"):
        if not params[name]:
            raise option_error(name, "must not be empty.")
    for index, text in enumerate(params["kinds"]):
        if not text.strip():
            raise option_error(f"kinds[{index}]", "must not be empty.")
    for index, name in enumerate(params["namespaces"]):
        check_namespace(f"namespaces[{index}]", name)
    if params["namespaces"] and params["all_namespaces"]:
        raise option_error("all_namespaces", "must not be set with namespaces.")
    for name in ("label_selectors", "field_selectors"):
        read_selector(params, name)


def _check_fields(params: Options) -> None:
    for index, path in enumerate(read_paths("changed_fields", params["changed_fields"])):
        if path[0] not in FIELDS:
            raise option_error(f"changed_fields[{index}]", f"unknown field '{path[0]}' of an event; fields: {', '.join(FIELDS)}.")
    if params["max_bytes"] < MIN_BYTES:
        raise option_error("max_bytes", f"must be {MIN_BYTES} or greater, got {params['max_bytes']}.")
    if params["secret_values"] and not params["include_object"]:
        raise option_error("secret_values", "must not be set with include_object: false, since no event has the object.")
