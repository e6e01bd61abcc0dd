# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documents with manifests: YAML and JSON text as kubectl reads it, and lists of objects."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from ..errors import PodwrightError
from ..libraries import load

# Dates, base 60 numbers and `=` in YAML 1.1 are text to kubectl, and 1e3 is a number, as in JSON.
_TEXT_TO_KUBECTL = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_MERGE = "tag:yaml.org,2002:merge"
_TEXTS = ("tag:yaml.org,2002:str", *_TEXT_TO_KUBECTL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_BYTE_ORDER_MARK = re.compile("^\ufeff", re.MULTILINE)  # of files from Windows, also in the middle of concatenated ones
_GAP = re.compile(r"\s*(?=\S)")
_MAX_DEPTH = 200  # of nested values, which copies and comparisons follow by recursion
_MAX_EXPANSION = 10  # values that aliases may add for each character of a text
_EXPONENT = "[eE][-+]?(?:[0-9]{1,2}|[12][0-9]{2})"  # of numbers that are not infinite
_FRACTION = r"\.[0-9][0-9_]*|[0-9][0-9_]*\.[0-9_]*"
_FLOAT = re.compile(rf"(?:[-+]?(?:(?:{_FRACTION})(?:{_EXPONENT})?|[0-9][0-9_]*{_EXPONENT}|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN))$")
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$")


@functools.cache
def _loader() -> Any:
    yaml = load("yaml")

    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # PyYAML may have been built without libyaml
    resolvers = {first: [entry for entry in entries if entry[0] not in _TEXT_TO_KUBECTL] for first, entries in base.yaml_implicit_resolvers.items()}

    def flatten_mapping(self: Any, node: Any) -> None:
        has_merge = any(key.tag == _MERGE for key, _value in node.value)
        seen = set()
        for key in (key for key, _value in node.value if isinstance(key.value, str) and key.tag != _MERGE):
            name = (key.tag if key.tag not in _TEXTS else "", key.value)  # `yes` and 'yes' are two keys, 1 and '1' are one
            if name in seen:
                self.repeated[key.value, key.start_mark.line + 1] = None
            seen.add(name)
        base.flatten_mapping(self, node)
        if has_merge:  # merges of merges would add the same keys over and over
            node.value = list({(key.tag, key.value if isinstance(key.value, str) else id(key)): (key, value) for key, value in node.value}.values())

    def __init__(self: Any, text: str) -> None:
        base.__init__(self, text)
        self.repeated = {}  # a set that keeps the order

    loader: Any = type("ManifestLoader", (base,), {"__init__": __init__, "yaml_implicit_resolvers": resolvers, "flatten_mapping": flatten_mapping})
    loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
    loader.add_implicit_resolver("tag:yaml.org,2002:int", _INTEGER, list("-+0123456789"))
    return loader


def read_documents(text: str, origin: str) -> list[Any]:
    """The documents of a YAML or JSON text as JSON values: keys and dates are strings. They are cached, and must not be changed.

    Args:
        origin: the origin of the text, such as `src web.yml`, for errors.

    Raises: PodwrightError with the line and column of a syntax error.
    """
    return _parse(text, origin)[0]


def repeated_keys(text: str, origin: str) -> list[str]:
    """Warnings of keys that a mapping in a YAML text has more than once, of which all but the last value would be lost silently."""
    try:
        repeated = _parse(text, origin)[1]
    except PodwrightError:
        return []  # reading the documents reports it
    return [f"{origin}: the key {key!r} is repeated at line {line}; only its last value is used." for key, line in repeated]


@functools.lru_cache(maxsize=1024)  # the files of a directory are read twice
def _parse(text: str, origin: str) -> tuple[list[Any], list[tuple[str, int]]]:
    """The documents of a text, and the keys that are repeated, with their lines."""
    text = _BYTE_ORDER_MARK.sub("", text)
    yaml = load("yaml")
    budget = itertools.count(-_MAX_EXPANSION * len(text))
    try:
        loader = _loader()(text)
        try:
            documents = []
            while loader.check_data():
                documents.append(as_json(loader.get_data(), budget))
        finally:
            loader.dispose()
        return documents, list(loader.repeated)
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError, LookupError, TypeError) as error:  # the library's own on tags such as !!bool
        with contextlib.suppress(ValueError, RecursionError):  # JSON may be indented by tabs, and have documents without `---` between them
            return _json_documents(text), []
        place = getattr(error, "problem_mark", None)
        position = f" at line {place.line + 1}, column {place.column + 1}" if place else ""
        problem = f"The YAML of {origin} is invalid{position}: {getattr(error, 'problem', None) or error}."
        raise PodwrightError(problem, reason="BadManifest", hint=_syntax_hint(text, place.line if place else 0)) from error


def _json_documents(text: str) -> list[Any]:
    """The objects of JSON text, one after another, as `kubectl get -o json` appends them to a file. Raises: ValueError if it is anything else."""
    documents, end = [], 0
    while start := _GAP.match(text, end):
        if text[start.end()] != "{":
            raise ValueError("no object")
        document, end = json.JSONDecoder().raw_decode(text, start.end())
        documents.append(as_json(document))
    return documents


def _syntax_hint(text: str, line: int) -> str:
    """What to do about a text that is not YAML, with the number of the line from 0; empty if nothing is known."""
    if "{{" in text or "{%" in text:
        return "If it is a template of Jinja, set the option template."
    return "Indent it by spaces, not by tabs." if "\t" in "".join(text.splitlines()[line : line + 1]) else ""


def as_json(value: Any, budget: Iterator[int] | None = None, depth: int = 0) -> Any:
    """A value as in JSON: the keys `9000` and `on` are `"9000"` and `"true"`.

    Args:
        budget: counts the values of all documents of a text up to 0, or None.
        depth: the number of values around this one.

    Raises: PodwrightError for a value that JSON lacks, or too many.
    """
    if depth > _MAX_DEPTH or (budget and next(budget) > 0):
        reason = f"is nested more than {_MAX_DEPTH} levels deep" if depth > _MAX_DEPTH else "has aliases that expand to too many values"
        raise PodwrightError(f"A definition {reason}.", reason="BadManifest", hint="No object of the API is like that.")
    if isinstance(value, dict):
        return {_as_key(key): as_json(item, budget, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item, budget, depth + 1) for item in value]
    if value is None or _is_json_scalar(value):
        return value
    shown = str(value) if isinstance(value, float) else type(value).__name__  # another value may be a secret, such as one with the tag !!binary
    raise PodwrightError(f"A definition contains a value that is not JSON: {shown}.", reason="BadManifest", hint="Write it in quotes as a string.")


def _as_key(key: Any) -> str:
    scalar = as_json(key)
    return scalar if isinstance(scalar, str) else json.dumps(scalar)


def _is_json_scalar(value: Any) -> bool:
    """Whether a string has no lone surrogates, and a number is one of the API: at most a double."""
    if isinstance(value, str):
        return value.isascii() or not _SURROGATE.search(value)
    return isinstance(value, (int, float)) and abs(value) <= sys.float_info.max


def flatten(documents: Iterable[Any]) -> list[Any]:
    """The manifests in documents: the items of lists, and of each `List`, `RoleBindingList` … one by one, and no empty documents."""
    flat: list[Any] = []
    for document in documents:
        if isinstance(document, dict) and _is_list(document):
            flat += flatten(map(functools.partial(_as_item, document), document["items"] or []))
        elif isinstance(document, list):
            flat += flatten(document)
        elif document is not None:
            flat.append(document)
    return flat


def _is_list(document: dict[str, Any]) -> bool:
    """Whether a document is a list of objects, which has no name, and not an object whose kind is called so."""
    metadata = document.get("metadata")
    is_named = isinstance(metadata, dict) and (metadata.get("name") or metadata.get("generateName"))
    return str(document.get("kind", "")).endswith("List") and not is_named and isinstance(document.get("items", ""), (list, type(None)))


def _as_item(parent: dict[str, Any], item: Any) -> Any:
    """An item of a list such as `RoleBindingList`, with the apiVersion and kind that it may leave to the list."""
    kind = parent["kind"].removesuffix("List")
    if not isinstance(item, dict) or not kind:
        return item
    return {"apiVersion": parent.get("apiVersion"), "kind": kind} | item
