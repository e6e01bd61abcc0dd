# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options that a server would drop or refuse are found before anything is created."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.pod_template import build_manifest
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.server_support import ServerSupport

from .task_specs import spec

CLASSES = [
    {"metadata": {"name": "batch"}, "preemptionPolicy": "Never"},
    {"metadata": {"name": "usual"}, "preemptionPolicy": "PreemptLowerPriority", "globalDefault": True},
    {"metadata": {"name": "old"}},
]


class Server:
    """Drops fields of pods, and has priority classes."""

    def __init__(self, dropped=(), classes=(), refuses=False):
        self.dropped, self.classes, self.refuses, self.requests = dropped, list(classes), refuses, []

    def create(self, kind, namespace, body, manager, dry_run):
        self.requests.append(body)
        assert dry_run and "name" not in body["metadata"]
        if self.refuses:
            raise PodwrightError("exceeded quota", status=403)
        answer = copy.deepcopy(body)
        for context in (answer["spec"], *(item["securityContext"] for item in (answer["spec"], *answer["spec"]["containers"]))):
            for name in self.dropped:
                context.pop(name, None)
        return answer

    def list(self, kind):
        self.requests.append(kind)
        if self.refuses:
            raise PodwrightError('User "u" cannot list resource', status=403)
        return self.classes, "1"


def check(server, **options):
    asked = spec(**options)
    ServerSupport(server).check(asked.options, POD, "n", build_manifest(asked, "baseline"))


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"host_users": False}, "hostUsers"),
        ({"resource_claims": [{"name": "a", "claim": "b"}]}, "resourceClaims"),
        ({"supplemental_groups_policy": "Strict"}, "supplementalGroupsPolicy"),
        ({"apparmor": "RuntimeDefault"}, "appArmorProfile"),
        ({"containers": [{"name": "c", "apparmor": "RuntimeDefault"}], "kind": "Pod"}, "appArmorProfile"),
        ({"proc_mount": "Default"}, "procMount"),
    ],
)
def test_an_option_whose_field_the_server_drops_is_an_error(options, field):
    state = {"state": "running"}
    check(Server(), **options, **state)
    with pytest.raises(PodwrightError, match="does not support") as caught:
        check(Server([field]), **options, **state)
    assert caught.value.reason == "Unsupported"
    check(Server([field], refuses=True), **options, **state)  # the creation says why


def test_the_server_is_asked_once_for_each_combination_and_not_without_such_options():
    server = Server()
    support = ServerSupport(server)
    for options in ({}, {"privileged": True}, {"host_users": False}, {"host_users": False, "env": {"A": "b"}}, {"host_users": False, "proc_mount": "Default"}):
        asked = spec(**options)
        support.check(asked.options, POD, "n", build_manifest(asked, "baseline"))
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("options", "classes", "message"),
    [
        ({"priority_class": "batch"}, CLASSES, None),
        ({"priority_class": "none"}, CLASSES, None),  # the server refuses the class
        ({}, CLASSES, "must be that of priority class 'usual' (PreemptLowerPriority), got Never. Set priority_class to one of that policy: batch."),
        ({"priority_class": "old"}, CLASSES, "must be that of priority class 'old' (PreemptLowerPriority), got Never."),
        ({}, [], "must be that of pods without a priority class (PreemptLowerPriority), got Never. Set priority_class to one of that policy: none."),
    ],
)
def test_the_preemption_policy_must_be_that_of_the_priority_class(options, classes, message):
    if message is None:
        check(Server(classes=classes), preemption_policy="Never", **options)
        return
    with pytest.raises(PodwrightError) as caught:
        check(Server(classes=classes), preemption_policy="Never", **options)
    assert str(caught.value).startswith(f"preemption_policy: {message}")
    check(Server(refuses=True), preemption_policy="Never", **options)


def test_claims_go_to_the_task_or_to_the_containers_that_name_them():
    asked = spec(
        state="running",
        resource_claims=[{"name": "gpu", "template": "gpus"}, {"name": "nic", "claim": "nic-1"}],
        containers=[{"name": "c", "resources": {"limits": {"cpu": "1"}, "claims": [{"name": "gpu", "request": "one"}]}}, {"name": "d"}],
    )
    pod = build_manifest(asked, "baseline")["spec"]
    assert pod["resourceClaims"] == [{"name": "gpu", "resourceClaimTemplateName": "gpus"}, {"name": "nic", "resourceClaimName": "nic-1"}]
    assert [item.get("resources", {}).get("claims") for item in pod["containers"]] == [
        [{"name": "gpu"}, {"name": "nic"}],
        [{"name": "gpu", "request": "one"}],
        None,
    ]
    # A resize, which replaces the resources, keeps them.
    assert asked.resources_with_claims["task"] == {"claims": [{"name": "gpu"}, {"name": "nic"}]}
    others = [spec(state="running", resource_claims=asked.options["resource_claims"], resources={"claims": claims}).hash for claims in (None, [], ["gpu"])]
    assert len(set(others)) == 3


def test_options_of_containers_that_are_not_set_do_not_change_the_hash():
    """An upgrade of Podwright that adds options must not replace each task."""
    old = {"name": "c", "image": None, "resources": {"limits": {"cpu": "1"}, "requests": None}}
    new = old | {"privileged": None, "seccomp": None, "resources": old["resources"] | {"claims": None}}
    assert spec(containers=[old]).hash == spec(containers=[new]).hash != spec(containers=[new | {"privileged": False}]).hash


@pytest.mark.parametrize(
    ("options", "labels"),
    [({}, {"app.kubernetes.io/managed-by": "podwright"}), ({"set_name": "s"}, {"podwright.io/set": "s"}), ({"peers": {"a": "b"}}, {"a": "b"})],
)
def test_pods_are_spread_among_those_of_their_set(options, labels):
    asked = replace(spec(topology_spread=["zone", {"topologyKey": "host", "label_selector": {"match_labels": {"x": "y"}}, "max_skew": "2"}]), **options)
    assert build_manifest(asked, "baseline")["spec"]["topologySpreadConstraints"] == [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": labels}},
        {"maxSkew": 2, "topologyKey": "host", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"x": "y"}}},
    ]
