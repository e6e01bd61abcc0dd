# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pods that an object selects, in whichever form it has its selector."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.objects.selectors import pod_selector

EXPRESSIONS = [
    {"key": "tier", "operator": "NotIn", "values": ["cache", "db"]},
    {"key": "tier", "operator": "Exists"},
    {"key": "old", "operator": "DoesNotExist"},
    {"key": "zone", "operator": "In", "values": ["a"]},
]
TERMS = "tier notin (cache,db),tier,!old,zone in (a)"


@pytest.mark.parametrize(
    ("item", "selector"),
    [
        ({"spec": {"selector": {"matchLabels": {"app": "web", "x": ""}}}}, "app=web,x="),
        ({"spec": {"selector": {"matchLabels": {"app": "web"}, "matchExpressions": EXPRESSIONS}}}, f"app=web,{TERMS}"),
        ({"spec": {"selector": {"matchExpressions": EXPRESSIONS}}}, TERMS),
        ({"spec": {"selector": {"app": "web", "matchLabels": "x"}}}, "app=web,matchLabels=x"),  # of a Service or ReplicationController
        ({"spec": {"replicas": 1}, "status": {"replicas": 1, "selector": "app=web,tier notin (db)"}}, "app=web,tier notin (db)"),  # a Scale
        ({"spec": {"selector": {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}}}, ""),
        ({"spec": {"selector": {"matchLabels": {}}}}, ""),
        ({"spec": {"selector": {}}}, ""),
        ({"spec": {"selector": None}, "status": None}, ""),
        ({"spec": {"selector": ["a"]}}, ""),
        ({}, ""),
    ],
)
def test_selectors_of_all_forms_become_label_selectors(item, selector):
    assert pod_selector(item) == selector
