# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Manifests as the world writes them: YAML and JSON text as kubectl reads it, and lists of objects."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Iterable
from typing import Any

from ..errors import PodwrightError
from ..libraries import load

# What YAML 1.1 takes for dates, base 60 numbers and `=` is text to kubectl.
_TEXT_TO_KUBECTL = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value", "tag:yaml.org,2002:int")
_BYTE_ORDER_MARK = re.compile("^\ufeff", re.MULTILINE)  # files that were written on Windows, and such that were concatenated
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$")


@functools.cache
def _loader() -> type:
    yaml = load("yaml")

    class ManifestLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        pass

    resolvers = yaml.SafeLoader.yaml_implicit_resolvers
    ManifestLoader.yaml_implicit_resolvers = {first: [entry for entry in entries if entry[0] not in _TEXT_TO_KUBECTL] for first, entries in resolvers.items()}
    ManifestLoader.add_implicit_resolver("tag:yaml.org,2002:int", _INTEGER, list("-+0123456789"))
    return ManifestLoader


def read_documents(text: str, origin: str) -> list:
    """The documents of a YAML or JSON text as JSON values: keys are text, and so are dates.

    Args:
        origin: where the text is from, for an error.

    Raises: PodwrightError that names the place of what cannot be read.
    """
    text = _BYTE_ORDER_MARK.sub("", text)
    if text.lstrip()[:1] == "{" and "\t" in text:  # which YAML does not allow where JSON does
        try:
            return [json.loads(text)]
        except ValueError:
            pass
    yaml = load("yaml")
    try:
        return [as_json(document) for document in yaml.load_all(text, Loader=_loader())]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        place = getattr(error, "problem_mark", None)
        where = f" at line {place.line + 1}, column {place.column + 1}" if place else ""
        raise PodwrightError(f"The YAML of {origin} cannot be read{where}: {getattr(error, 'problem', None) or error}.", reason="BadManifest") from error


def as_json(value: Any) -> Any:
    """A value as JSON has it: `9000` and `on` as keys are `"9000"` and `"true"`. Raises: PodwrightError for what JSON cannot hold."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else json.dumps(as_json(key)): as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if value is None or isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise PodwrightError(f"A definition holds a value that JSON cannot: {value!r:.60}.", reason="BadManifest", hint="Quote it to make it text.")


def flatten(documents: Iterable) -> list:
    """The objects of documents: those of a list (`List`, `RoleBindingList` …) one by one, without empty documents."""
    flat: list = []
    for document in documents:
        if isinstance(document, dict) and str(document.get("kind", "")).endswith("List") and isinstance(document.get("items", ""), (list, type(None))):
            flat += flatten(map(functools.partial(_as_item, document), document["items"] or []))
        elif document is not None:
            flat.append(document)
    return flat


def _as_item(parent: dict, item: Any) -> Any:
    """An item of a typed list, which may leave out what its list says."""
    kind = parent["kind"].removesuffix("List")
    if not isinstance(item, dict) or not kind:
        return item
    return {"apiVersion": parent.get("apiVersion"), "kind": kind} | item
