# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pods and the ports that an object selects, in whichever form it has its selector."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.selectors import pod_selector
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_request

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


def test_port_names_of_sidecars_are_found():
    sidecar = {"name": "proxy", "restartPolicy": "Always", "ports": [{"name": "http", "containerPort": 8080}]}
    setup = {"name": "setup", "ports": [{"name": "gone", "containerPort": 1}]}
    pod = {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "main"}], "initContainers": [setup, sidecar]}}
    assert pod_request._port_of(pod, "http") == 8080
    with pytest.raises(PodwrightError, match=r"'gone' not found in pod 'web'; ports: 8080 \(http\)"):
        pod_request._port_of(pod, "gone")
