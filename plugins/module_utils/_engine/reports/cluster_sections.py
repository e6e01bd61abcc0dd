# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The sections of a report about a cluster: quotas, autoscalers, what pod_gc would delete, and drift."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .chart import meter
from .formats import count
from .html import Child, Html, join, tag, text
from .tasks_section import Budget, events

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..values import Result
    from .model import Autoscaler, Limit, Quota

MAX_ROWS, MAX_PARTS, MAX_VALUE = 500, 30, 200
NEARLY, FULL = 0.8, 1.0  # of a quota


def _section(name: str, title: str, *content: Child) -> Html:
    return tag("section", tag("h2", title, id=name), *content, aria_labelledby=name)


def _table(heads: Sequence[str], rows: Sequence[Html], caption: str, class_: str) -> Html:
    head = tag("thead", tag("tr", [tag("th", name, scope="col") for name in heads]))
    return tag(
        "div", tag("table", tag("caption", caption), head, tag("tbody", rows), class_=class_), class_="scroll", role="region", tabindex="0", aria_label=caption
    )


def _more(total: int, shown: int) -> Html:
    return tag("p", f"… and {total - shown:,} more.", class_="about") if total > shown else Html()


# -- quotas ---------------------------------------------------------------------------------------------------


def quotas(items: Sequence[Quota]) -> Html:
    """How much of each quota is used."""
    if not items:
        return _section("quotas", "Quotas", tag("p", "No quota applies.", class_="about"))
    return _section("quotas", "Quotas", [_quota(quota) for quota in items])


def _quota(quota: Quota) -> Html:
    rows = [_limit(limit) for limit in quota["limits"]]
    name = f"{quota['namespace']}/{quota['name']}"
    return tag("div", tag("h3", name), tag("dl", rows, class_="quota"), class_="card")


def _limit(limit: Limit) -> Html:
    share = limit["share"]
    if share is None:
        return tag("div", tag("dt", limit["resource"]), tag("dd", f"{limit['used']} of {limit['hard']}"))
    level = "full" if share >= FULL else "nearly" if share >= NEARLY else ""
    word = ", used up" if level == "full" else ", nearly used up" if level else ""
    used = tag("dd", f"{limit['used']} of {limit['hard']} ({share * 100:.0f} %{word})", meter(share, level), class_=level or None)
    return tag("div", tag("dt", limit["resource"]), used)


# -- autoscalers ----------------------------------------------------------------------------------------------


def autoscalers(items: Sequence[Autoscaler]) -> Html:
    """The state and the history of each autoscaler."""
    if not items:
        return _section("autoscalers", "Autoscalers", tag("p", "There are no autoscalers.", class_="about"))
    budget = Budget()
    return _section("autoscalers", "Autoscalers", [_autoscaler(item, budget) for item in items])


def _autoscaler(item: Autoscaler, budget: Budget) -> Html:
    replicas = f"{item['current']} replicas" if item["current"] == item["desired"] else f"{item['current']} replicas, {item['desired']} desired"
    said = f"{item['target']}: {replicas}, from {item['minimum']} to {item['maximum']}"
    parts = [tag("h3", f"{item['namespace']}/{item['name']}"), tag("p", said)]
    parts += [tag("p", " · ".join(item["metrics"]), class_="about")] if item["metrics"] else []
    parts += [tag("p", item["problem"], class_="message")] if item["problem"] else []
    parts.append(events(item["events"], budget) if item["events"] else tag("p", "The cluster remembers no change of its replicas.", class_="about"))
    return tag("div", parts, class_="card")


# -- what pod_gc would delete ---------------------------------------------------------------------------------


def garbage(result: Result) -> Html:
    """What pod_gc would delete, and why."""
    deleted, kept = result.get("deleted") or [], result.get("kept") or []
    said = f"pod_gc would delete {count(len(deleted), 'object')} and keep {len(kept):,}."
    rows = [
        tag("tr", [tag("td", str(entry.get(name) or "")) for name in ("kind", "namespace", "name", "reason")])
        for entry in deleted[:MAX_ROWS]
        if isinstance(entry, dict)
    ]
    table = _table(("Kind", "Namespace", "Name", "Reason"), rows, "Objects that pod_gc would delete", "list") if rows else Html()
    return _section("garbage", "Garbage collection", tag("p", said, _reclaimed(result.get("reclaimed")), class_="about"), table, _more(len(deleted), len(rows)))


def _reclaimed(amounts: object) -> str:
    if not isinstance(amounts, dict):
        return ""
    parts = [f"{amounts['cpu']:g} cores"] if _is_positive(amounts.get("cpu")) else []
    parts += [f"{amounts[name] / 2**20:,.0f} MiB of {name}" for name in ("memory", "storage") if _is_positive(amounts.get(name))]
    parts += [count(amounts["gpus"], "GPU")] if _is_positive(amounts.get("gpus")) else []
    return f" This reclaims {', '.join(parts)}." if parts else ""


def _is_positive(value: object) -> bool:
    return isinstance(value, (int, float)) and value > 0


# -- drift ----------------------------------------------------------------------------------------------------


def drift(entries: Sequence[Result]) -> Html:
    """What could not be compared, and the changes that would restore the desired state."""
    failed = [entry for entry in entries if entry.get("failed")]
    changes = [entry for entry in entries if entry.get("action") != "none" and not entry.get("failed")]
    if not changes and not failed:
        return _section("drift", "Drift", tag("p", f"{count(len(entries), 'object')} compared, none differs from its desired state.", class_="about"))
    verb = "differs from its" if len(changes) == 1 else "differ from their"
    unknown = f", and {len(failed):,} could not be compared" if failed else ""
    said = tag("p", f"{len(changes):,} of {count(len(entries), 'object')} {verb} desired state{unknown}.")
    shown = [*failed, *changes][:MAX_ROWS]
    return _section("drift", "Drift", said, [_change(entry) for entry in shown], _more(len(failed) + len(changes), len(shown)))


def _change(entry: Result) -> Html:
    patch = entry.get("patch")
    parts = [part for part in patch if isinstance(part, dict)] if isinstance(patch, list) else []
    lines = [" ".join((str(part.get("op")), str(part.get("path") or "/"), _value(part))).rstrip() for part in parts[:MAX_PARTS]]
    lines += [f"… and {len(parts) - MAX_PARTS} more"] if len(parts) > MAX_PARTS else []
    name = "/".join(filter(None, (str(entry.get("namespace") or ""), str(entry.get("name") or ""))))
    action, state = ("not compared", "failed") if entry.get("failed") else (str(entry.get("action")), "pending")
    title = tag("h3", join((text(f"{entry.get('kind')} {name} "), tag("span", action, class_=f"state {state}"))))
    note = tag("p", str(entry["note"]), class_="about") if entry.get("note") else Html()
    return tag(
        "div", title, note, tag("pre", "\n".join(lines), tabindex="0", role="region", aria_label=f"Changes of {name}") if lines else Html(), class_="card"
    )


def _value(part: Result) -> str:
    if "value" not in part:
        return ""
    written = json.dumps(part["value"], ensure_ascii=False, default=str)
    return written if len(written) <= MAX_VALUE else f"{written[:MAX_VALUE]}…"
