# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Environment variables of a container."""

from __future__ import annotations

import re

from ..errors import option_error
from ..text import scalar_text
from ..values import Manifest, Options
from .options import text_of

_KEY_REFERENCES = {"secret": "secretKeyRef", "config_map": "configMapKeyRef"}
_SOURCES = {"secret": "secretRef", "config_map": "configMapRef"}
_TWO_DOLLARS = re.compile(r"(?<!\$)\$\$(?![$(])")


def build_variables(variables: Options, option: str) -> list[Manifest]:
    """The container's `env`.

    Args:
        variables: from names to literals or references.
        option: path of the option.

    Raises: PodwrightError for an unknown reference.
    """
    return [{"name": scalar_text(name), **_build_value(value, f"{option}.{name}")} for name, value in variables.items()]


def _build_value(value: object, option: str) -> Manifest:
    if not isinstance(value, dict):
        return {"value": text_of(option, value)}
    for source, field in _KEY_REFERENCES.items():
        if set(value) in ({source, "key"}, {source, "key", "optional"}):
            rest = {"optional": value["optional"]} if "optional" in value else {}
            return {"valueFrom": {field: {"name": value[source], "key": value["key"]} | rest}}
    if set(value) == {"field"}:
        return {"valueFrom": {"fieldRef": {"fieldPath": value["field"]}}}
    if set(value) == {"resource"}:
        return {"valueFrom": {"resourceFieldRef": {"resource": value["resource"]}}}
    forms = "{secret: NAME, key: KEY}, {config_map: NAME, key: KEY}, {field: PATH} or {resource: NAME}"
    raise option_error(option, f"must be a literal, {forms}, got a mapping with {_keys_of(value)}.")


def build_sources(entries: list[Options], option: str) -> list[Manifest]:
    """The container's `envFrom`. Raises: PodwrightError for an unknown source."""
    return [_build_source(entry, f"{option}[{index}]") for index, entry in enumerate(entries)]


def _build_source(entry: Options, option: str) -> Manifest:
    for source, field in _SOURCES.items():
        if source in entry and set(entry) <= {source, "prefix", "optional"}:
            reference = {"name": entry[source]} | ({"optional": entry["optional"]} if "optional" in entry else {})
            return {field: reference} | ({"prefix": entry["prefix"]} if "prefix" in entry else {})
    raise option_error(option, f"must be {{secret: NAME}} or {{config_map: NAME}}, optionally with prefix and optional, got a mapping with {_keys_of(entry)}.")


def find_lost_dollars(container: Options) -> str | None:
    """The option of a container in which Kubernetes makes one dollar sign of two, where nobody escapes a reference; None if there is none."""
    texts = {f"env.{name}": value for name, value in (container.get("env") or {}).items()}
    for option in ("command", "args"):
        texts |= {f"{option}[{index}]": word for index, word in enumerate(container.get(option) or ())}
    return next((option for option, text in texts.items() if isinstance(text, str) and _TWO_DOLLARS.search(text)), None)


def order_of_references(container: Options) -> list[str]:
    """The names of a container's variables in order if that order matters, else an empty list.

    It matters if a value contains `$(NAME)`, which the kubelet expands only if NAME is defined before it.
    """
    variables = container.get("env") or {}
    return list(variables) if any("$(" in str(value) for value in variables.values()) else []


def _keys_of(mapping: Options) -> str:
    return ", ".join(map(str, mapping)) or "no keys"
