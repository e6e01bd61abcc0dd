# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the results of both edges must not contain: secret values, keys that Ansible interprets, text that cannot be encoded or controls a terminal."""

from __future__ import annotations

import base64
import json
import operator
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

from .text import SURROGATE, printable

MASK = "********"
WHOLE = 8  # a shorter value is masked only as a word of its own
_LEAST = 4  # a shorter value is masked only if it is the whole text: replacing each 4 in a result would falsify it
_MOST_LINES = 200  # of all secret values
_IDENTITY = frozenset(("name", "namespace", "kind", "apiVersion", "api_version", "uid", "action"))
_PATHS = frozenset(("dest", "path", "report"))
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9./_-]{0,252}")
# Fields with text for people, at the top and in these lists of entries; the other fields are data, which playbooks read as it is.
_TEXTS = frozenset(("msg", "reason", "hint", "note", "message"))
_ENTRIES = frozenset(("tasks", "attempts", "results", "plan", "events", "pods", "kept", "deleted", "errors", "analysis"))
# Ansible removes keys of the one kind from results, and decodes mappings with the other as values of its own types.
_INTERNAL_KEY = re.compile(r"_?_ansible_")


class Masker:
    """Replaces secret values by asterisks.

    A value is recognized as it is, encoded in base64, in JSON and in a URL, and each line of it by itself. Values of fewer than 8 characters are
    masked as words only, those of fewer than 4 and those in paths only if they are the whole text, and the names of objects never: `postgres` may be
    both a password and the name of a Deployment.

    Args:
        values: the secret values.
    """

    def __init__(self, values: Iterable[str]) -> None:
        values = [value for value in values if value.strip()]
        forms = {form for value in values if len(value.strip()) >= _LEAST for form in _forms(value) if len(form) >= _LEAST}
        self._shortest = {value.strip() for value in values if len(value.strip()) < _LEAST}
        self._all = forms | self._shortest
        self._long = sorted((form for form in forms if len(form) >= WHOLE), key=len, reverse=True)
        self._short = sorted((form for form in forms if len(form) < WHOLE), key=len, reverse=True)
        words = "|".join(map(re.escape, self._short))
        self._words = re.compile(rf"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-F]{{2}}))(?:{words})(?![A-Za-z0-9])") if words else None

    def mask(self, text: str) -> str:
        """The text without the values."""
        text = self._mask_long(text)
        if self._words and any(form in text for form in self._short):
            text = self._words.sub(MASK, text)
        return text.replace(text.strip(), MASK) if self._shortest and text.strip() in self._shortest else text

    def _mask_long(self, text: str) -> str:
        for form in self._long:
            if form in text:
                text = text.replace(form, MASK)
        return text

    def clean(self, value: Any, key: str = "") -> Any:
        """Plain data without the values, without internal keys of Ansible, and with text that can be encoded. Raises: TypeError for any other data."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            text = value if value.isascii() else SURROGATE.sub("\ufffd", value)
            if not self._all or (key in _IDENTITY and _IDENTIFIER.fullmatch(text)):
                return text
            return self._mask_long(text) if key in _PATHS and text.strip() not in self._all else self.mask(text)
        if isinstance(value, (int, float)):
            return MASK if str(value) in self._all and len(str(value)) >= _LEAST else value
        if value.__class__ is dict or isinstance(value, Mapping):
            return self._clean_mapping(value)
        if isinstance(value, (list, tuple)):
            items = [self.clean(item, key) for item in value]
            return value if value.__class__ is list and _are_same(items, value) else items
        raise TypeError(type(value).__name__)

    def _clean_mapping(self, value: Mapping[Any, Any]) -> Any:
        cleaned = {name: None if item is None else self.clean(item, name) for name, item in value.items()}
        names = "".join(cleaned)
        if not names.isascii() or "_ansible_" in names:
            return {_clean_key(name): item for name, item in cleaned.items()}
        return value if value.__class__ is dict and _are_same(cleaned.values(), value.values()) else cleaned


def _are_same(cleaned: Iterable[Any], values: Iterable[Any]) -> bool:
    """Whether nothing was replaced. Then no copy is kept: most of a result stays as it is, and it may be large."""
    return all(map(operator.is_, cleaned, values))


def _forms(value: str) -> set[str]:
    """The forms in which a value is recognized."""
    stripped = value.strip()
    forms = {value, stripped, printable(stripped), json.dumps(stripped)[1:-1], json.dumps(stripped, ensure_ascii=False)[1:-1], repr(stripped)[1:-1]}
    forms |= {urllib.parse.quote(stripped, safe="", errors="replace"), urllib.parse.quote_plus(stripped, errors="replace")}
    if len(value) >= _LEAST:
        forms |= {base64.b64encode(text.encode("utf-8", "surrogatepass")).decode() for text in (value, stripped)}
    lines = [line.strip() for line in stripped.splitlines()[:_MOST_LINES]]
    return forms | ({line for line in lines if len(line) >= WHOLE} if len(lines) > 1 else set())


def _clean_key(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(type(name).__name__)
    text = name if name.isascii() else SURROGATE.sub("\ufffd", name)
    return text.lstrip("_") if _INTERNAL_KEY.match(text) else text


def clean_texts(result: Mapping[str, Any], masker: Masker) -> dict[str, Any]:
    """A result, or an entry of one of its lists, whose text for people contains no values of a Masker and cannot manipulate a terminal."""
    return {name: _clean_field(name, value, masker) for name, value in result.items()}


def _clean_field(name: str, value: Any, masker: Masker) -> Any:
    if name in ("diff", "warnings") or (name in _TEXTS and isinstance(value, str)):
        return _clean_text(value, masker)
    if name in _ENTRIES and isinstance(value, list):
        return [clean_texts(item, masker) if isinstance(item, Mapping) else item for item in value]
    if name == "events" and isinstance(value, Mapping):  # lists by the name of an object
        return {key: _clean_field(name, item, masker) for key, item in value.items()}
    return value


def _clean_text(value: Any, masker: Masker) -> Any:
    if isinstance(value, Mapping):
        return {key: _clean_text(item, masker) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean_text(item, masker) for item in value]
    return printable(masker.mask(value)) if isinstance(value, str) else value
