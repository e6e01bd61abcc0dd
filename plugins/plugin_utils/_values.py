# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values on their way between Ansible and the engine."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from functools import lru_cache

try:
    from ansible.template import trust_as_template  # ansible-core 2.19 and later, where other text is not a template

    _protect, _expose = str.__str__, trust_as_template  # ansible-inventory shows text without trust as a mapping
except ImportError:
    from ansible.utils.unsafe_proxy import wrap_var

    _protect, _expose = wrap_var, str.__str__


def _may_be_template(text):
    return "{" in text or text.startswith("#jinja2")


def inert(value):
    """A value from a cluster, whose text Ansible must never use as a template: whoever may write a label could run a program on the controller."""
    if isinstance(value, Mapping):
        # Until ansible-core 2.19, text that is composed of a mapping is unsafe if one of the values is, whatever the keys are.
        return {_mark(key): _protect(item) if isinstance(item, str) and _may_be_template(key) else inert(item) for key, item in value.items()}
    if isinstance(value, list):
        return [inert(item) for item in value]
    return _mark(value) if isinstance(value, str) else value


def unmark_harmless(value):
    """A composed value in which text is unsafe, or not trusted, only if it could be a template."""
    if isinstance(value, Mapping):
        return {key: unmark_harmless(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unmark_harmless(item) for item in value]
    return _expose(value) if isinstance(value, str) and not _may_be_template(value) else value


@lru_cache(maxsize=4096)  # thousands of pods have the same labels
def _mark(text):
    return _protect(text) if _may_be_template(text) else _expose(text)


def plain(value):
    """The value in built-in types: Ansible passes tagged strings, lazy containers and encrypted values."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    for number_type in (int, float):
        if isinstance(value, number_type):
            return number_type(value)
    if isinstance(value, str):
        return str.__str__(value)  # str() of unsafe text is unsafe text until ansible-core 2.19, and libyaml refuses that
    return value.isoformat() if isinstance(value, datetime.date) else str(value)


def _key(key):
    """A key of a mapping as in JSON, which modules read: the key `on` is `true`."""
    return str.__str__(key) if isinstance(key, str) else json.dumps(plain(key))
