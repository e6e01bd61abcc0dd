# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One rule for the default container, and the fields of every type of container."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.objects.containers import (
    container_names,
    container_status,
    default_container,
    restart_policy,
)


def pod_of(*names, annotated=None, **spec):
    """A pod with containers of these names."""
    annotations = {"kubectl.kubernetes.io/default-container": annotated} if annotated else None
    return {"metadata": {"annotations": annotations}, "spec": {"containers": [{"name": name} for name in names], **spec}}


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (pod_of("web", "task", annotated="web"), "task"),
        (pod_of("web", "log", annotated="log"), "log"),
        (pod_of("web", "log", annotated="missing"), "web"),
        (pod_of("web", "log"), "web"),
    ],
)
def test_default_container_is_task_then_annotated_then_first(pod, expected):
    assert default_container(pod) == expected


def test_container_names_start_with_init_containers():
    assert container_names(pod_of("web", initContainers=[{"name": "init"}])) == ["init", "web"]


def test_status_of_every_type_of_container_is_found():
    groups = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    pod = {"status": {group: [{"name": group}] for group in groups}}
    assert [container_status(pod, group)["name"] for group in groups] == list(groups)
    assert container_status(pod, "missing") == container_status({}, "missing") == {}


@pytest.mark.parametrize(
    ("of_pod", "name", "expected"),
    [
        ("Always", "web", "Always"),
        ("Never", "web", "Never"),
        ("Always", "init", "OnFailure"),
        ("Never", "init", "Never"),
        ("Never", "sidecar", "Always"),
        ("Always", "debug", "Never"),
        ("OnFailure", "missing", "OnFailure"),
    ],
)
def test_restart_policy_of_a_container(of_pod, name, expected):
    init_containers = [{"name": "init"}, {"name": "sidecar", "restartPolicy": "Always"}]
    pod = pod_of("web", restartPolicy=of_pod, initContainers=init_containers, ephemeralContainers=[{"name": "debug"}])
    assert restart_policy(pod, name) == expected
