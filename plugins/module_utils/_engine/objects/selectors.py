# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The label selectors with which workloads, Services and other objects select their pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .labels import selector_of

if TYPE_CHECKING:
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
