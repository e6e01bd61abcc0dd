# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options as the user wrote them, checked before Ansible's own validation, whose errors lack the path, and for suboptions list those of the module."""

from __future__ import annotations

import contextlib
import json
import math
import re
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import PodwrightError, option_error
from .text import LARGEST, SURROGATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .values import Options

_BINARY = ("stdin", "content", "remote_path", "exclude")  # sent as the bytes that they were read from
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
_DURATION = re.compile(r"[0-9]+(\.[0-9]+)?(ms|s|m|h|d)", re.IGNORECASE)
_BOOLEANS = ("y", "yes", "on", "1", "true", "t", "1.0", "n", "no", "off", "0", "false", "f", "0.0")  # those of Ansible
# Keywords of Ansible's tasks, which are written beside the module.
_KEYWORDS = (
    "args", "async", "become", "become_user", "changed_when", "check_mode", "connection", "delay", "delegate_to", "diff",
    "environment", "failed_when", "ignore_errors", "loop", "loop_control", "module_defaults", "no_log", "notify", "poll", "register",
    "run_once", "tags", "until", "vars", "when", "with_dict", "with_fileglob", "with_items",
)  # fmt: skip
_EMPTY_HINT = "Use default(omit) for a variable that may be empty."
_LISTED = 30  # names in an error
_SHOWN = 60  # characters of a value in an error


def normalize_options(arguments: Mapping[str, Options], given: Options, module: str = "", path: str = "") -> Options:
    """The options as Ansible's validation can read them: without those that are null, which are not set.

    Args:
        given: what the user set; names that start with `_ansible_` are Ansible's own.
        module: the name of the module, for errors.
        path: the prefix of the options in errors, such as `tasks[0].`.

    Raises: PodwrightError that names the path of an unknown or missing option, or of a value that its type or choices exclude.
    """
    return _Reader(arguments, module).read(arguments, given, path)


class _Reader:
    def __init__(self, top: Mapping[str, Options], module: str) -> None:
        self._top, self._module = top, module

    def read(self, arguments: Mapping[str, Options], given: Options, path: str) -> Options:
        """The options of a mapping. Raises: PodwrightError."""
        specs = {alias: spec for name, spec in arguments.items() for alias in (name, *spec.get("aliases", ()))}
        found: Options = {}
        for name, value in given.items():
            if name not in specs and not name.startswith("_ansible_"):
                self._refuse_name(name, path, specs)
            if value is not None:
                found[name] = self._read_value(specs.get(name, {"type": "raw"}), value, f"{path}{name}")
        for name, spec in arguments.items():
            if spec.get("required") and not any(alias in found for alias in (name, *spec.get("aliases", ()))):
                raise option_error(f"{path}{name}", "must be set.")
        return found

    def _read_value(self, spec: Options, value: Any, path: str) -> Any:
        kind = spec.get("type", "str")
        if kind == "list":
            return self._read_list(spec, value, path)
        if kind == "dict":
            return self._read_mapping(spec, value, path)
        name = path.rpartition(".")[2].partition("[")[0]
        if name == "command" and isinstance(value, str):
            value = _decode_list(value)  # other text is a single word, or split as by a shell
        check_value(value, path, kind == "path" or name in _BINARY)
        _check_scalar(kind, spec, value, path)
        return {"int": int, "float": float}[kind](value) if kind in ("int", "float") else value

    def _read_list(self, spec: Options, value: Any, path: str) -> Any:
        elements, value = spec.get("elements", "raw"), _decode_list(value) if isinstance(value, str) else value
        if isinstance(value, str):  # a comma-separated list
            if elements == "dict" and not _is_mapping_text(value):
                raise _type_error(path, "a list of mappings", value)
            if elements == "int":
                return self._read_list(spec, value.split(","), path)
            check_value(value, path, False)
            return value
        if isinstance(value, (bool, dict)):
            raise _type_error(path, {"dict": "a list of mappings", "str": "a list of strings"}.get(elements, "a list"), value)
        if not isinstance(value, list):
            return self._read_value(spec | {"type": elements}, value, path)
        item = {name: spec[name] for name in ("options", "choices", "no_log") if name in spec} | {"type": elements}
        # Ansible's validation of a null in a list of mappings does not say which one it is.
        return [value if value is None and elements != "dict" else self._read_value(item, value, f"{path}[{index}]") for index, value in enumerate(value)]

    def _read_mapping(self, spec: Options, value: Any, path: str) -> Any:
        if isinstance(value, dict):
            if "options" in spec:
                return self.read(spec["options"], value, f"{path}.")
        elif not isinstance(value, str) or not _is_mapping_text(value):
            raise _type_error(path, "a mapping", value, _mapping_hint(spec, value))
        check_value(value, path, False)
        return value

    def _refuse_name(self, name: str, path: str, specs: Mapping[str, Options]) -> NoReturn:
        """Raise the error for an unknown name, with those that may be meant."""
        option, parent = f"{path}{name}", re.sub(r"\[\d+\]", "", path).rstrip(".")
        if not path and name in _KEYWORDS:
            raise option_error(option, f"unknown option; {name} is a keyword of the task.", "Indent it like the name of the module.")
        similar = [known for known in specs if _squash(known) == _squash(name)]
        if not similar and path and name in self._top:
            raise option_error(option, f"unknown option of {parent}; {name} is an option of the module, beside {parent.partition('.')[0]}.")
        below = [f"{known}{'[]' if spec['type'] == 'list' else ''}.{name}" for known, spec in specs.items() if name in spec.get("options", ())]
        similar = similar or sorted(below, key=len)[:1] or _close(name, specs)
        kind = f"unknown option of {parent}" if path else "unknown option"
        if similar:
            raise option_error(option, f"{kind}; did you mean {' or '.join(similar)}?")
        listed = sorted(known for known, spec in specs.items() if "K8S_AUTH" not in str(spec.get("fallback")))  # without those of the connection
        if len(listed) <= _LISTED:
            raise option_error(option, f"{kind}; options: {', '.join(listed)}.")
        hint = f"List the options with: ansible-doc podwright.core.{self._module}" if self._module else ""
        raise option_error(option, f"{kind}.", hint)


def _check_scalar(kind: str, spec: Options, value: Any, path: str) -> None:
    """Check a value that is neither a list nor a mapping of options. Raises: PodwrightError."""
    choices = spec.get("choices")
    if choices and not isinstance(value, (dict, list)) and str(value) not in choices:
        raise _value_error(path, f"one of {', '.join(choices)}", spec, value)
    if kind in ("str", "path") and not choices and isinstance(value, bool):
        raise option_error(path, f"must be a string, got the boolean {str(value).lower()}.", "Quote it if it is meant as text.")
    if kind in ("str", "path") and isinstance(value, (dict, list)):
        raise _type_error(path, "a string", value, "The filter to_json makes text of it." if path.rpartition(".")[2] in ("content", "stdin") else "")
    if kind == "path" and isinstance(value, str) and "\0" in value:
        raise option_error(path, "must be a path, got text with a null character.")
    if kind == "bool" and str(value).lower() not in _BOOLEANS:
        raise _value_error(path, "true or false", spec, value)
    if kind in ("int", "float") and not _is_number(kind, value):
        is_duration = isinstance(value, str) and _DURATION.fullmatch(value.strip())
        expected = "a number" if kind == "float" else "an integer"
        hint = "Durations are in seconds." if is_duration else _EMPTY_HINT if value == "" else ""
        raise _value_error(path, expected, spec, value, hint)


def _is_number(kind: str, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return False
    try:
        number = float(value) if kind == "float" else int(value)
    except (ValueError, OverflowError):
        return False
    return math.isfinite(number) if kind == "float" else not isinstance(value, float) or value == number


def _decode_list(text: str) -> Any:
    """The list of a JSON text: variables of the command line and of AWX surveys are text. The validation decodes mappings, but splits this at commas."""
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(text) if text.lstrip().startswith("[") else text
    return text


def _is_mapping_text(text: str) -> bool:
    """Whether Ansible reads a text as a mapping: JSON, or `key=value`."""
    return text.lstrip().startswith("{") or ("=" in text and not text.lstrip().startswith("["))


def _mapping_hint(spec: Options, value: Any) -> str:
    """What to do about a value that is not a mapping; empty if nothing is known."""
    if isinstance(value, str):
        return _EMPTY_HINT if value == "" else "The filter from_yaml reads YAML text as a mapping." if ": " in value or ":\n" in value else ""
    return "Write NAME: VALUE for each entry." if isinstance(value, list) and "options" not in spec else ""


def _value_error(path: str, expected: str, spec: Options, value: Any, hint: str = "") -> PodwrightError:
    if spec.get("no_log") or isinstance(value, (dict, list)):
        return _type_error(path, expected, value, hint)
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return option_error(path, f"must be {expected}, got {text if len(text) <= _SHOWN else text[:_SHOWN] + '…'}.", hint)


def _type_error(path: str, expected: str, value: Any, hint: str = "") -> PodwrightError:
    return option_error(path, f"must be {expected}, got {_type_name(value)}.", hint)


def _type_name(value: object) -> str:
    names = {str: "a string", list: "a list", dict: "a mapping", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _squash(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def _close(name: str, known: Iterable[str]) -> list[str]:
    from difflib import get_close_matches

    return get_close_matches(name, list(known), 3, 0.7)


def check_value(value: Any, path: str, is_binary: bool) -> None:
    """Check the texts and numbers in a value. Raises: PodwrightError for text that is not Unicode, and numbers that are too large or not finite."""
    if isinstance(value, dict):
        for key, item in value.items():
            check_value(key, path, False)
            check_value(item, f"{path}.{key}", False)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check_value(item, f"{path}[{index}]", is_binary)
    elif isinstance(value, str) and SURROGATE.search(_ESCAPED_BYTE.sub("", value) if is_binary else value):
        raise option_error(path, "must be valid Unicode, got text with surrogates.", "It was read from bytes that are not UTF-8.")
    elif isinstance(value, float) and not math.isfinite(value):
        raise option_error(path, f"must be a finite number, got {value}.")
    elif isinstance(value, int) and abs(value) > LARGEST:
        raise option_error(path, f"must be between {-LARGEST} and {LARGEST}, got a number of {math.floor(math.log10(abs(value))) + 1} digits.")
