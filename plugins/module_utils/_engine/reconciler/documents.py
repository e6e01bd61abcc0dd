# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documents with manifests: YAML and JSON text as kubectl reads it, and lists of objects."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Iterable
from typing import Any

from ..errors import PodwrightError
from ..libraries import load

# Dates, base 60 numbers and `=` in YAML 1.1 are text to kubectl.
_TEXT_TO_KUBECTL = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value", "tag:yaml.org,2002:int")
_BYTE_ORDER_MARK = re.compile("^\ufeff", re.MULTILINE)  # of files from Windows, also in the middle of concatenated ones
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$")


@functools.cache
def _loader() -> Any:
    yaml = load("yaml")

    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # PyYAML may have been built without libyaml
    resolvers = {first: [entry for entry in entries if entry[0] not in _TEXT_TO_KUBECTL] for first, entries in base.yaml_implicit_resolvers.items()}
    loader: Any = type("ManifestLoader", (base,), {"yaml_implicit_resolvers": resolvers})
    loader.add_implicit_resolver("tag:yaml.org,2002:int", _INTEGER, list("-+0123456789"))
    return loader


def read_documents(text: str, origin: str) -> list[Any]:
    """The documents of a YAML or JSON text as JSON values: keys and dates are strings.

    Args:
        origin: the origin of the text, such as `src web.yml`, for errors.

    Raises: PodwrightError with the line and column of a syntax error.
    """
    text = _BYTE_ORDER_MARK.sub("", text)
    if text.lstrip()[:1] == "{" and "\t" in text:  # which JSON allows as indentation and YAML does not
        try:
            return [json.loads(text)]
        except ValueError:
            pass
    yaml = load("yaml")
    try:
        return [as_json(document) for document in yaml.load_all(text, Loader=_loader())]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        place = getattr(error, "problem_mark", None)
        position = f" at line {place.line + 1}, column {place.column + 1}" if place else ""
        raise PodwrightError(f"The YAML of {origin} is invalid{position}: {getattr(error, 'problem', None) or error}.", reason="BadManifest") from error


def as_json(value: Any) -> Any:
    """A value as in JSON: the keys `9000` and `on` are `"9000"` and `"true"`. Raises: PodwrightError for a value that JSON lacks."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else json.dumps(as_json(key)): as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if value is None or isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise PodwrightError(f"A definition contains a value that is not JSON: {value!r:.60}.", reason="BadManifest", hint="Write it in quotes as a string.")


def flatten(documents: Iterable[Any]) -> list[Any]:
    """The manifests in documents: the items of each list (`List`, `RoleBindingList` …) one by one, and no empty documents."""
    flat: list[Any] = []
    for document in documents:
        if isinstance(document, dict) and str(document.get("kind", "")).endswith("List") and isinstance(document.get("items", ""), (list, type(None))):
            flat += flatten(map(functools.partial(_as_item, document), document["items"] or []))
        elif document is not None:
            flat.append(document)
    return flat


def _as_item(parent: dict[str, Any], item: Any) -> Any:
    """An item of a list such as `RoleBindingList`, with the apiVersion and kind that it may leave to the list."""
    kind = parent["kind"].removesuffix("List")
    if not isinstance(item, dict) or not kind:
        return item
    return {"apiVersion": parent.get("apiVersion"), "kind": kind} | item
