# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the results of both edges must not contain: secret values, keys that Ansible interprets, text that cannot be encoded or controls a terminal."""

from __future__ import annotations

import base64
import json
import operator
import re
import sys
import urllib.parse
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .text import SURROGATE, printable

MASK = "********"
_WHOLE = 8  # a shorter value is masked only as a word of its own
_LEAST = 4  # a shorter value is masked only if it is the whole text: replacing each 4 in a result would falsify it
_MOST_LINES = 200  # of all secret values
_PEM_LIMIT = re.compile("-----(?:BEGIN|END) [A-Z0-9 ]{1,64}-----")  # of certificates, too
_PIECE = 8  # characters in base64 that are recognized as a part of a value: fewer may be the dashes of PEM
_MOST_PIECES = 40_000  # of all secret values
_FEW_LOOKUPS = 500
_LONGEST_PIECE = 4096
_EXACT = 64  # characters in base64 that a regular expression compares one by one: that of a large value would take long
_BASE64 = "[A-Za-z0-9+/_-]"
_STANDARD = bytes.maketrans(b"-_", b"+/")
_WRAPPED = 60  # a line of so many characters in base64 may continue; programs wrap it after 64 or 76
_WRAPPED_LINE = re.compile(f"{_BASE64}{{{_WRAPPED}}}")
_PATHS = frozenset(("dest", "path", "report"))
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9./_-]{0,252}")
_WORD, _IMAGE = re.compile("[A-Za-z]?[a-z_]{0,15}"), re.compile(r"[A-Za-z0-9][A-Za-z0-9.:/@_-]{0,511}")
# What fields that are never secret look like; playbooks compare them.
_PUBLIC = dict.fromkeys(("name", "namespace", "kind", "apiVersion", "api_version", "uid", "action", "node", "nodeName"), _IDENTIFIER)
_PUBLIC |= dict.fromkeys(("podwright.io/task", "podwright.io/set"), _IDENTIFIER)
_PUBLIC |= dict.fromkeys(("image", "imageID"), _IMAGE) | dict.fromkeys(("state", "phase"), _WORD)
_TIMES = ("_at", "_seen", "At", "Time", "Timestamp")  # at the end of their names
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)")
# Fields with text for people, at the top and in these lists of entries; the other fields are data, which playbooks read as it is.
_TEXTS = frozenset(("msg", "reason", "hint", "note", "message"))
_ENTRIES = frozenset(("tasks", "attempts", "results", "plan", "events", "pods", "kept", "deleted", "errors", "analysis"))
# Ansible removes keys of the one kind from results, and decodes mappings with the other as values of its own types.
_INTERNAL_KEY = re.compile(r"_?_ansible_")


class Masker:
    """Replaces secret values by asterisks.

    A value is recognized as it is, in JSON and in a URL, within anything that is encoded in base64, also wrapped, and each line of it by itself. Values of
    fewer than 8 characters are masked as words only, those of fewer than 4 and those in paths only if they are the whole text, and the names of objects,
    states and times never: `postgres` may be both a password and the name of a Deployment.

    Args:
        values: the secret values.
    """

    def __init__(self, values: Iterable[str]) -> None:
        self._values: set[str] = set()
        self.add(values)

    def add(self, values: Iterable[str]) -> None:
        """Mask these values, too, from now on."""
        self._values |= {value for value in values if value.strip()}
        masked = [value for value in self._values if len(value.strip()) >= _LEAST]
        forms = {form for value in masked for form in _forms(value) if len(form) >= _LEAST}
        self._shortest = {value.strip() for value in self._values if len(value.strip()) < _LEAST}
        self._all = forms | self._shortest
        self._long = _Forms(form for form in forms if len(form) >= _WHOLE)
        self._short = sorted((form for form in forms if len(form) < _WHOLE), key=len, reverse=True)
        words = "|".join(map(re.escape, self._short))
        self._words = re.compile(rf"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-F]{{2}}))(?:{words})(?![A-Za-z0-9])") if words else None
        self._encoded = _Base64({text for value in masked for text in (value, value.strip())})

    def mask(self, text: str) -> str:
        """The text without the values."""
        text = self._mask_long(text)
        if self._words and any(form in text for form in self._short):
            text = self._words.sub(MASK, text)
        return text.replace(text.strip(), MASK) if self._shortest and text.strip() in self._shortest else text

    def _mask_long(self, text: str) -> str:
        for form in self._long.find(text):
            text = text.replace(form, MASK)
        return self._encoded.mask(text)

    def clean(self, value: Any, key: str = "") -> Any:
        """Plain data without the values, without internal keys of Ansible, and with text that can be encoded. Raises: TypeError for any other data."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            text = value if value.isascii() else SURROGATE.sub("\ufffd", value)
            if not self._all or _is_public(key, text):
                return text
            if str(key).endswith("_b64"):
                return self._mask_content(text)
            return self._mask_long(text) if key in _PATHS and text.strip() not in self._all else self.mask(text)
        if isinstance(value, (int, float)):
            return MASK if str(value) in self._all and len(str(value)) >= _LEAST else value
        if value.__class__ is dict or isinstance(value, Mapping):
            return self._clean_mapping(value)
        if isinstance(value, (list, tuple)):
            items = [self.clean(item, key) for item in value]
            return value if value.__class__ is list and _are_same(items, value) else items
        raise TypeError(type(value).__name__)

    def _mask_content(self, encoded: str) -> str:
        """Base64 of what a program has written, without the values in it."""
        try:
            content = base64.b64decode(encoded, validate=True).decode("utf-8", "surrogateescape")
        except ValueError:
            return self.mask(encoded)
        masked = self.mask(content)
        return self.mask(encoded) if masked == content else base64.b64encode(masked.encode("utf-8", "surrogateescape")).decode()

    def _clean_mapping(self, value: Mapping[Any, Any]) -> Any:
        cleaned = {name: None if item is None else self.clean(item, name) for name, item in value.items()}
        names = "".join(cleaned)
        if not names.isascii() or "_ansible_" in names:
            return {_clean_key(name): item for name, item in cleaned.items()}
        return value if value.__class__ is dict and _are_same(cleaned.values(), value.values()) else cleaned


class _Forms:
    """Texts that are searched for in others.

    Attributes:
        all: the texts, from the shortest to the longest.
        shortest: the length of the shortest.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.all = sorted(texts, key=len)
        self._lengths = list(map(len, self.all))
        self.shortest = self._lengths[0] if self.all else sys.maxsize

    def find(self, text: str) -> list[str]:
        """Those that occur in the text, from the longest to the shortest; most are longer than most texts of a result."""
        if len(text) < self.shortest:
            return []
        return [form for form in reversed(self.all[: bisect_right(self._lengths, len(text))]) if form in text]


class _Base64:
    """Replaces what base64 makes of secret values, whatever is encoded before and after them, in both alphabets, and wrapped.

    The base64 of a value depends on its position: there are three forms, each without the characters that the neighbours of the value change. Since lines
    are masked one by one, a text may also start with the end of a form, or, if it is a wrapped line, end with the start of one or be in the middle.

    Args:
        values: the secret values.
    """

    def __init__(self, values: Iterable[str]) -> None:
        self._forms = _Forms({form for value in values for form in _base64_forms(value) if len(form) >= _WHOLE})
        spelled = "\n".join(self._forms.all)[: _MOST_PIECES + _PIECE - 1]
        self._spellings = (spelled, _url_safe(spelled))
        self._pieces: set[str] = set()
        self._lookups = 0

    def mask(self, text: str) -> str:
        """The text without the values."""
        shown = text.strip()
        if len(shown) < _PIECE:
            return text
        is_wrapped = len(shown) >= _WRAPPED and bool(_WRAPPED_LINE.fullmatch(shown[-_WRAPPED:]))
        has_edges = is_wrapped or self._is_piece(shown[:_PIECE])
        if not has_edges and len(text) < self._forms.shortest:
            return text
        compact = _compact(text)
        for form in self._forms.find(compact):
            text = re.sub(_base64_pattern(form), MASK, text)
        return self._mask_edges(text, compact, is_wrapped) if has_edges else text

    def _is_piece(self, text: str) -> bool:
        """Whether a text of _PIECE characters is a part of a form. To collect all parts pays for many texts only."""
        self._lookups += 1
        if self._lookups < _FEW_LOOKUPS:
            return any(text in spelled for spelled in self._spellings)
        if not self._pieces:
            self._pieces = {spelled[at : at + _PIECE] for spelled in self._spellings for at in range(len(spelled) - _PIECE + 1)}
        return text in self._pieces

    def _mask_edges(self, text: str, compact: str, is_wrapped: bool) -> str:
        """The text, of which `compact` are the characters in base64, without the parts of forms."""
        for form in self._forms.all:
            if is_wrapped and compact in form:
                return text.replace(text.strip(), MASK)
            longest = min(len(form), _LONGEST_PIECE)
            start, end = compact[:longest], compact[-longest:]
            length = next((at + _PIECE for at in _positions(form[-_PIECE:], start) if form.endswith(start[: at + _PIECE])), 0)
            if length:
                text = re.sub(rf"(\A\s*){_base64_pattern(start[:length])}", rf"\1{MASK}", text)
            at = next((at for at in _positions(form[:_PIECE], end) if form.startswith(end[at:])), None)
            if is_wrapped and at is not None:
                text = re.sub(rf"{_base64_pattern(end[at:])}(\s*\Z)", rf"{MASK}\1", text)
        return text


def _compact(text: str) -> str:
    """A text without whitespace, and with the characters of the standard alphabet in place of those that are safe in URLs."""
    return text.encode("utf-8", "surrogatepass").translate(_STANDARD, b" \t\n\r\v\f").decode("latin-1")


def _url_safe(text: str) -> str:
    return text.replace("+", "-").replace("/", "_")


def _base64_forms(value: str) -> Iterator[str]:
    content = value.encode("utf-8", "surrogatepass")
    for shift in range(3):
        yield base64.b64encode(bytes(shift) + content).decode()[-(-shift * 8 // 6) : (shift + len(content)) * 8 // 6]


def _base64_pattern(form: str) -> str:
    """A regular expression for a form or a part of one, and for what follows it at the end of a value."""
    exact = r"\s*".join({"+": "[+-]", "/": "[/_]"}.get(character, character) for character in form[:_EXACT])
    return rf"{exact}(?:\s*{_BASE64}){{{len(form[_EXACT:])}}}(?:{_BASE64}?={{1,2}})?"


def _positions(part: str, text: str) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)


def _are_same(cleaned: Iterable[Any], values: Iterable[Any]) -> bool:
    """Whether nothing was replaced. Then no copy is kept: most of a result stays as it is, and it may be large."""
    return all(map(operator.is_, cleaned, values))


def _forms(value: str) -> set[str]:
    """The forms in which a value is recognized."""
    stripped = value.strip()
    forms = {value, stripped, printable(stripped), json.dumps(stripped)[1:-1], json.dumps(stripped, ensure_ascii=False)[1:-1], repr(stripped)[1:-1]}
    forms |= {urllib.parse.quote(stripped, safe="", errors="replace"), urllib.parse.quote_plus(stripped, errors="replace")}
    forms |= {base64.b64encode(text.encode("utf-8", "surrogatepass")).decode() for text in (value, stripped) if len(text) < _WHOLE}
    lines = [line.strip() for line in stripped.splitlines()[:_MOST_LINES]]
    return forms | ({line for line in lines if len(line) >= _WHOLE and not _PEM_LIMIT.fullmatch(line)} if len(lines) > 1 else set())


def _is_public(key: object, text: str) -> bool:
    pattern = _PUBLIC.get(str(key)) or (_TIME if str(key).endswith(_TIMES) else None)
    return bool(pattern and pattern.fullmatch(text))


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
