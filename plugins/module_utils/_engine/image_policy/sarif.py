# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reports in SARIF 2.1.0 (https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html), whose runs name their image as Trivy does."""

from __future__ import annotations

import math
from typing import Any

from ..objects.timestamps import parse_timestamp
from .reports import SEVERITIES, Finding, Report, identify

_VERSION = "2.1.0"
_HARMLESS_KINDS = ("pass", "notApplicable", "informational")
# The worst that a level can mean.
_OF_LEVEL = {"error": "CRITICAL", "warning": "MEDIUM", "note": "LOW", "none": "UNKNOWN"}
_OF_SCORE = ((9.0, "CRITICAL"), (7.0, "HIGH"), (4.0, "MEDIUM"), (0.1, "LOW"))


def read_runs(path: str, content: dict[str, Any]) -> list[Report]:
    """The report of each run. Raises: ValueError that says what is wrong, or another error of a value that is not as the format says."""
    if content.get("version") != _VERSION:
        raise ValueError(f"its version must be {_VERSION}, got {content.get('version')!r}")
    return [_read_run(path, run) for run in content["runs"]]


def _read_run(path: str, run: dict[str, Any]) -> Report:
    invocations = run.get("invocations") or []
    if any(invocation.get("executionSuccessful") is not True for invocation in invocations):
        raise ValueError("its scan failed (executionSuccessful)")
    if run.get("results") is None:
        raise ValueError("it has a run without results, which is one that was not completed")
    if {"results", "driver", "extensions"} & set(run.get("externalPropertyFileReferences") or ()):
        raise ValueError("it has a run whose results or rules are in other files")
    properties = run.get("properties") or {}
    tags, digests = identify((properties.get("imageName"), *(properties.get("repoTags") or ())), properties.get("repoDigests") or ())
    times = [parse_timestamp(invocation["endTimeUtc"]) for invocation in invocations if invocation.get("endTimeUtc")]
    findings = [_read_result(result, run["tool"]) for result in run["results"] if _counts(result)]
    return Report(path, tags, digests, max(times, default=None), tuple(findings))


def _counts(result: dict[str, Any]) -> bool:
    """Whether a result is a finding: not one that passed, that exists no longer, or that was suppressed."""
    suppressions = result.get("suppressions") or []
    is_suppressed = bool(suppressions) and all(entry.get("status", "accepted") == "accepted" for entry in suppressions)
    return result.get("kind", "fail") not in _HARMLESS_KINDS and result.get("baselineState") != "absent" and not is_suppressed


def _read_result(result: dict[str, Any], tool: dict[str, Any]) -> Finding:
    reference = result.get("rule") or {}
    name = result.get("ruleId") or reference.get("id")
    rule = _find_rule(tool, reference, reference.get("index", result.get("ruleIndex", -1)), str(name))
    return Finding(str(name or rule.get("id") or "unnamed"), _severity(result, rule))


def _find_rule(tool: dict[str, Any], reference: dict[str, Any], index: int, name: str) -> dict[str, Any]:
    """The rule of a result, of the driver or of an extension; empty if its id is all that the result says and no rule has it."""
    components = [tool["driver"], *(tool.get("extensions") or ())]
    if where := reference.get("toolComponent"):
        components = _find_component(components, where)
    if index >= 0:
        return dict(components[0]["rules"][index])
    rules = [rule for component in components for rule in component.get("rules") or ()]
    guid, parts = reference.get("guid"), name.split("/")
    # An id may be more special than that of its rule: CA1000/1 is of CA1000.
    ids = ["/".join(parts[:length]) for length in range(len(parts), 0, -1)]
    found = [rule for rule in rules if guid and rule.get("guid") == guid] + [rule for each in ids for rule in rules if rule.get("id") == each]
    if not found and (where or guid):
        raise ValueError(f"it has a result of the rule {name!r}, which it does not contain")
    return found[0] if found else {}


def _find_component(components: list[dict[str, Any]], where: dict[str, Any]) -> list[dict[str, Any]]:
    """That to which a reference refers. Raises: ValueError if there is none."""
    index = where.get("index", -1)
    found = (
        components[1:][index : index + 1] if index >= 0 else [each for each in components for key in ("guid", "name") if where.get(key, "") == each.get(key)]
    )
    if not found:
        raise ValueError("it has a result of a tool component that it does not contain")
    return found


def _severity(result: dict[str, Any], rule: dict[str, Any]) -> str:
    """By the tags of Trivy, else by the score that GitHub defined for security, else by the level."""
    properties = rule.get("properties") or {}
    tagged = [tag for tag in properties.get("tags") or () if tag in SEVERITIES]
    if len(tagged) == 1:
        return str(tagged[0])
    score = float(properties.get("security-severity", "nan"))
    if not math.isnan(score):
        return next((severity for least, severity in _OF_SCORE if score >= least), "UNKNOWN")
    level = result.get("level") or (rule.get("defaultConfiguration") or {}).get("level") or "warning"
    return _OF_LEVEL[level]
