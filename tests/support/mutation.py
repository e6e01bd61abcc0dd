# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Manifests changed at random: in any field, order, spelling, null, absence; and fields that their schema allows."""

from __future__ import annotations

import copy
import random
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.podwright.core.plugins.module_utils._engine.objects.quantity import parse_quantity

from .openapi import ObjectSchema

Path = tuple[str | int, ...]
_IDENTITY = (("apiVersion",), ("kind",), ("metadata",), ("metadata", "name"), ("metadata", "namespace"), ("spec",))
_SERVER = ("status", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink", "deletionTimestamp")
_SERVER_NAMES = (*_SERVER, "deletionGracePeriodSeconds", "ownerReferences", "generateName", "name", "namespace", "apiVersion", "kind")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?([mkMG]|[KMG]i)?")
_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9:]{8})(\.[0-9]+)?Z")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})+|(?:[A-Za-z0-9+/]{4})*[A-Za-z0-9+/]{2,3}={1,2}")
_DURATION = re.compile(r"([0-9]+)m")


def places(value: object, path: Path = ()) -> Iterator[Path]:
    """The paths of everything in a manifest that may be changed."""
    if path and path not in _IDENTITY:
        yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


def value_at(manifest: Any, path: Path) -> Any:
    """The value at a path."""
    for step in path:
        manifest = manifest[step]
    return manifest


def is_kept(applied: Any, live: Any) -> bool:
    """Whether the API server kept all of an applied value."""
    if isinstance(applied, dict) and isinstance(live, dict):
        return all(key in live and is_kept(value, live[key]) for key, value in applied.items())
    if isinstance(applied, list) and isinstance(live, list):
        return len(applied) == len(live) and all(map(is_kept, applied, live))
    return type(applied) is type(live)


class Mutator:
    """Changes manifests of one kind in place, by a random generator. Each method returns what it did, as text, or an empty string for nothing.

    Attributes:
        added: the path of the field that was added last.
    """

    def __init__(self, schema: ObjectSchema, chance: random.Random) -> None:
        self._schema = schema
        self._chance = chance
        self.added: Path = ()

    def mutate(self, manifest: dict[str, Any]) -> str:
        """Change one value, or add one."""
        if self._chance.random() < 0.2:
            return self.grow(manifest)
        return self._change(manifest, _changes)

    def respell(self, manifest: dict[str, Any]) -> str:
        """Write one value in another spelling, or in another order, or add an empty one: changes of the text that may be none of the object."""
        if self._chance.random() < 0.2:
            return self.grow(manifest, [None, {}, []])
        return self._change(manifest, _spellings)

    def empty(self, manifest: dict[str, Any]) -> str:
        """Remove or empty one value, or a part of it."""
        return self._change(manifest, _emptyings)

    def grow(self, manifest: dict[str, Any], values: list[Any] | None = None) -> str:
        """Add one field that the schema allows, with a value of its type or one of `values`."""
        spots: list[tuple[Path, str, ObjectSchema]] = []
        for path in [(), *places(manifest), ("metadata",), ("spec",)]:
            try:
                there = value_at(manifest, path)
            except KeyError:
                continue
            if isinstance(there, dict):
                schema = self._schema_at(path)
                hidden = _SERVER_NAMES if path in ((), ("metadata",)) else ("status",)
                spots += [(path, name, schema.below(name)) for name in schema.properties() if name not in there and name not in hidden]
        if not spots:
            return ""
        path, name, schema = self._chance.choice(spots)
        self.added = (*path, name)
        value_at(manifest, path)[name] = self._chance.choice(values) if values else self._generate(schema, name)
        return f"add {'empty ' if values else ''}{'.'.join(map(str, (*path, name)))}"

    def _change(self, manifest: dict[str, Any], choices: Callable[[Any, random.Random], dict[str, Any]]) -> str:
        spots = [(path, found) for path in places(manifest) if (found := choices(value_at(manifest, path), self._chance))]
        if not spots:
            return ""
        path, found = self._chance.choice(spots)
        name = self._chance.choice(list(found))
        parent = value_at(manifest, path[:-1])
        if name == "remove":
            del parent[path[-1]]
        else:
            parent[path[-1]] = found[name]
        return f"{name} {'.'.join(map(str, path))}"

    def _schema_at(self, path: Path) -> ObjectSchema:
        schema = self._schema
        for step in path:
            schema = schema.below(step)
        return schema

    def _generate(self, schema: ObjectSchema, name: str, depth: int = 0) -> Any:
        own, chance = schema.own, self._chance
        if own.get("enum"):
            return chance.choice(own["enum"])
        if own.get("default") not in (None, {}, "") and chance.random() < 0.5:
            return own["default"]
        kind = own.get("type")
        if kind == "object":
            required = own.get("required", [])
            extra = [key for key in schema.properties() if key not in required]
            chosen = [*required, *chance.sample(extra, min(len(extra), 1 if depth < 4 else 0))]
            if isinstance(own.get("additionalProperties"), dict) and depth < 5:
                return {"a": self._generate(schema.below("a"), name, depth + 1)}
            return {key: self._generate(schema.below(key), key, depth + 1) for key in chosen}
        if kind == "array":
            return [self._generate(schema.below(0), name, depth + 1)]
        if kind in ("integer", "number", "boolean"):
            return {"integer": chance.choice([0, 1, 30]), "number": chance.choice([0.5, 1, 2.0]), "boolean": chance.random() < 0.5}[kind]
        if own.get("format") in ("date-time", "byte"):
            return {"date-time": "2024-05-01T10:00:00Z", "byte": "YQ=="}[own["format"]]
        return "1000m" if "uantity" in own.get("description", "")[:200] else chance.choice(["", "a", "1", "30s", "10.0.0.1", "10.0.0.0/8", "*"])


def _changes(value: Any, chance: random.Random) -> dict[str, Any]:
    """Other values in place of a value, by description."""
    found = {"remove": None, "null": None} | ({"empty map": {}, "empty list": []} if value else {})
    if isinstance(value, list) and value:
        found |= {"shorten": value[1:], "repeat": [*value, copy.deepcopy(value[0])], "lengthen": [*value, copy.deepcopy(value[-1])]}
        if isinstance(value[-1], dict) and value[-1]:
            found["repeat with another value"] = [*value, dict.fromkeys(value[-1], "other") | dict(list(value[-1].items())[:1])]
    elif isinstance(value, dict):
        found |= {"add": value | {"added": "1"}}
    elif isinstance(value, bool):
        found |= {"flip": not value}
    elif isinstance(value, (int, float)):
        found |= {"more": value + 1, "negative": -value}
    elif isinstance(value, str):
        found |= {"other": value + "x", "shorter": value[:-1]}
    return found | _spellings(value, chance)


def _emptyings(value: Any, chance: random.Random) -> dict[str, Any]:
    """Less in place of a value, by description."""
    found: dict[str, Any] = {"remove": None, "null": None}
    if isinstance(value, dict) and value:
        kept = chance.choice(list(value))
        found |= {"empty": {}, "clear": {}, "keep one": {kept: value[kept]}}
    if isinstance(value, list) and value:
        found |= {"empty": [], "clear": [], "shorten": value[1:], "keep one": [chance.choice(value)], "reverse": value[::-1]}
    return found


def _spellings(value: Any, chance: random.Random) -> dict[str, Any]:
    """The value in other spellings, by description."""
    if isinstance(value, dict):
        return {"other order of keys": dict(chance.sample(list(value.items()), len(value)))}
    if isinstance(value, list):
        return {"reverse": value[::-1], "shuffle": chance.sample(value, len(value))} if len(value) > 1 else {}
    if isinstance(value, bool):
        return {"as number": int(value), "as text": str(value).lower()}
    if isinstance(value, int):
        return {"as text": str(value), "as float": float(value), "as quantity": f"{value}000m"}
    if isinstance(value, float):
        return {"as text": str(value)}
    return _spellings_of_text(value) if isinstance(value, str) else {}


def _spellings_of_text(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {"upper": text.upper()} if text.upper() != text else {}
    if _QUANTITY.fullmatch(text) and len(text) < 12:
        value = parse_quantity(text)
        found |= {"in thousandths": f"{value * 1000 // 1}m", "as float": float(value)}
        found |= {"in Ki": f"{float(value / 1024):.10f}Ki", "longer": f"{float(value):.4f}"}
        found |= {"as number": int(value), "with exponent": f"{int(value)}e0", "with sign": f"+{text}"} if value.denominator == 1 else {}
    if text in ("true", "false"):
        found["as boolean"] = text == "true"
    if time := _TIME.fullmatch(text):
        found |= {"with offset": f"{text[:-1]}+00:00", "with fraction": f"{time[1]}T{time[2]}.000Z", "without fraction": f"{time[1]}T{time[2]}Z"}
    if minutes := _DURATION.fullmatch(text):
        found["in seconds"] = f"{int(minutes[1]) * 60}s"
    if _BASE64.fullmatch(text):
        found |= {"in lines": f"{text[:4]}\n{text[4:]}", "without padding": text.rstrip("=")}
    if not text.isascii():
        found |= {form: unicodedata.normalize(form, text) for form in ("NFC", "NFD") if unicodedata.normalize(form, text) != text}
    return found
