# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of the playbook reconcile as JUnit XML."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from .test_roles import fill

TEMPLATE = (Path(__file__).parents[2] / "playbooks/templates/reconcile.xml.j2").read_text().partition("\n")[2]


def test_live_values_are_shown_unless_the_items_of_their_list_have_moved():
    live = {"spec": {"args": ["one", "two", "three", "four"], "env": [{"name": "A", "value": "1"}], "replicas": 2}}
    patch = [
        {"op": "replace", "path": "/spec/env/0/value", "value": "2"},
        {"op": "remove", "path": "/spec/args/0"},
        {"op": "remove", "path": "/spec/args/0"},
        {"op": "replace", "path": "/spec/args/1", "value": "x"},
        {"op": "replace", "path": "/spec/replicas", "value": 3},
    ]
    entry = {"namespace": "n", "api_version": "apps/v1", "kind": "Deployment", "name": "web", "action": "patch", "patch": patch}
    variables = {
        "podwright_mode": "report",
        "reconcile_plan": [entry],
        "reconcile_drift": [entry],
        "reconcile_errors": [],
        "reconcile_report": {"failed": False, "msg": ""},
        "reconcile_applied": {"diff": [{"before": json.dumps(live)}]},
    }
    text = fill(TEMPLATE, variables)
    (failure,) = ElementTree.fromstring(text.strip()).iter("failure")  # noqa: S314 - our own
    assert failure.text.splitlines() == [
        "patch",
        'replace /spec/env/0/value "2" (live: "1")',
        'remove /spec/args/0 (live: "one")',
        "remove /spec/args/0",
        'replace /spec/args/1 "x"',
        "replace /spec/replicas 3 (live: 2)",
    ]
