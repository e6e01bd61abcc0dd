# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The label selectors with which workloads, Services and other objects select their pods."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import option_error
from .labels import selector_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..values import Manifest

_OPERATORS = {"In": "{key} in ({values})", "NotIn": "{key} notin ({values})", "Exists": "{key}", "DoesNotExist": "!{key}"}


def pod_selector(item: Manifest) -> str:
    """The label selector, as a request has it, for the pods that an object selects; empty if it selects none.

    A LabelSelector has `matchLabels`, `matchExpressions` or both; a Service and a ReplicationController have the labels themselves. What a scale
    subresource reports is a selector as text.
    """
    parts = (item.get("spec") or {}, item.get("status") or {})
    selector = parts[0].get("selector") or parts[1].get("selector") or {}
    if isinstance(selector, str):
        return selector
    if not isinstance(selector, dict):
        return ""
    labels, expressions = selector.get("matchLabels"), selector.get("matchExpressions")
    if not isinstance(labels, dict) and not isinstance(expressions, list):
        return selector_of(selector)
    terms = [selector_of(labels)] if labels else []
    for entry in expressions or []:
        if entry["operator"] not in _OPERATORS:
            return ""  # of a custom resource: what it means is unknown
        terms.append(_OPERATORS[entry["operator"]].format(key=entry["key"], values=",".join(entry.get("values") or [])))
    return ",".join(terms)


_TERMS = re.compile(r",(?![^(]*\))")  # a comma that is not in parentheses
_IN = re.compile(r"(\S+)\s+(in|notin)\s*\(([^()]*)\)")
_EQUALS = re.compile(r"([^\s=!]+)\s*(==|=|!=)\s*(\S*)")


def matches(selector: str, labels: Mapping[str, object]) -> bool:
    """Whether labels match a selector as text, such as `app=web,tier in (a, b),!old`. Raises: PodwrightError for an invalid selector."""
    return all(_matches_term(term.strip(), labels) for term in _TERMS.split(selector))


def _matches_term(term: str, labels: Mapping[str, object]) -> bool:
    if found := _IN.fullmatch(term):
        is_one = str(labels.get(found[1])) in [value.strip() for value in found[3].split(",")] and found[1] in labels
        return is_one == (found[2] == "in")
    if found := _EQUALS.fullmatch(term):
        is_equal = found[1] in labels and str(labels[found[1]]) == found[3]
        return is_equal != (found[2] == "!=")
    name = term.removeprefix("!").strip()
    if not name or re.search(r"[\s=!(),]", name):
        raise option_error("label_selectors", f"must be label selectors such as app=web, got {term!r}.")
    return (name in labels) != term.startswith("!")
