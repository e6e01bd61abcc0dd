# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Probes of a container (https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/)."""

from __future__ import annotations

from ..errors import option_error
from ..text import MAX_PORT, parse_integer, scalar_text
from ..values import Manifest, Options
from .field_names import camelize
from .options import text_of

_SETTINGS = {
    "initial_delay": "initialDelaySeconds",
    "interval": "periodSeconds",
    "timeout": "timeoutSeconds",
    "success_threshold": "successThreshold",
    "failure_threshold": "failureThreshold",
    "termination_grace_period": "terminationGracePeriodSeconds",
}
_API_FIELDS = {"httpGet", "tcpSocket", "grpc", "exec", *_SETTINGS.values()}


def build_probe(probe: Options, option: str) -> Manifest:
    """A probe from its short form, the API's form, or both mixed.

    Args:
        option: path of the option.

    Raises: PodwrightError for an unknown key or an invalid HTTP path.
    """
    built: Manifest = {}
    for key, value in probe.items():
        if key in _SETTINGS:
            built[_SETTINGS[key]] = value
        else:
            built |= _build_handler(key, value, option)
    return built


def _build_handler(key: str, value: object, option: str) -> Manifest:
    if key == "http":
        path, _colon, port = str(value).rpartition(":")
        if not path.startswith("/") or not port:
            raise option_error(f"{option}.http", f"must be PATH:PORT such as /healthz:8080, got {value!r}.")
        return {"httpGet": {"path": path, "port": _port(port)}}
    if key == "tcp":
        return {"tcpSocket": {"port": _port(value)}}
    if key == "grpc" and not isinstance(value, dict):
        return {"grpc": {"port": _port(value)}}
    if key == "exec" and not isinstance(value, dict):
        return {"exec": {"command": _words(value, f"{option}.exec")}}
    field: Manifest = camelize({key: value})
    if field.keys() & _API_FIELDS:
        return field
    raise option_error(option, f"unknown key {key!r}; use http, tcp, grpc, exec, {', '.join(_SETTINGS)} or the API's own fields.")


def _words(command: object, option: str) -> list[str]:
    """The words of a list, or a shell that runs a string."""
    if isinstance(command, list):
        return [text_of(f"{option}[{index}]", word) for index, word in enumerate(command)]
    return ["sh", "-c", scalar_text(command)]


def _port(value: object) -> int | str:
    """A port's number, or the name of a container's port."""
    number = parse_integer(value, MAX_PORT, 1)
    return str(value) if number is None else number
