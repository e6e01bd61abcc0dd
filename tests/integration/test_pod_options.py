# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options of pods in combination: every pair of their values, judged by the API server's own admission."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import MERGE_PATCH
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import NAMESPACE, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import options as opts
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.pod_security import ENFORCE, check_level, profile_of
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.pod_template import build_manifest
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.task_spec import TaskSpec
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.validation import validate

from ..support.covering import covering_pairs
from ..support.environment import KUBECONFIG
from ..support.operations import IMAGE

UNSET = None
# Values of each option, with one that the strictest level allows and ones that need looser levels or contradict other options.
VALUES = {
    "level": ["", "privileged", "baseline", "restricted"],
    "security_profile": ["auto", "auto", "restricted", "baseline", "privileged"],
    "privileged": [UNSET, False, True],
    "allow_privilege_escalation": [UNSET, False, True],
    "capabilities": [UNSET, {"add": ["NET_BIND_SERVICE"], "drop": ["all"]}, {"add": ["cap_chown"]}, {"add": ["SYS_ADMIN"]}, {"add": ["ALL"]}],
    "read_only_root_filesystem": [UNSET, True],
    "proc_mount": [UNSET, "Default", "Unmasked"],
    "run_as_user": [UNSET, 0, 1000, "image", "auto"],
    "run_as_group": [UNSET, 0],
    "run_as_non_root": [UNSET, True, False],
    "fs_group": [UNSET, 0],
    "fs_group_change_policy": [UNSET, "OnRootMismatch"],
    "supplemental_groups": [UNSET, [0, 5]],
    "supplemental_groups_policy": [UNSET, "Merge", "Strict"],
    "selinux_options": [UNSET, "auto", {"type": "container_engine_t"}, {"type": "spc_t"}, {"user": "system_u"}],
    "seccomp": [UNSET, "RuntimeDefault", "localhost/a.json", "Unconfined"],
    "apparmor": [UNSET, "RuntimeDefault", "localhost/a", "Unconfined"],
    "sysctls": [UNSET, {"net.ipv4.tcp_rmem": "4096 87380 16777216"}, {"kernel.msgmax": 65536}, {"net/core/somaxconn": 1}],
    "host_network": [UNSET, False, True],
    "host_pid": [UNSET, True],
    "host_ipc": [UNSET, True],
    "host_users": [UNSET, True, False],
    "share_process_namespace": [UNSET, True],
    "network": ["default", "isolated"],
    "ports": [UNSET, [80], [{"container_port": 80, "host_port": 80}]],
    "volumes": [UNSET, [{"name": "v", "empty_dir": True}], [{"name": "v", "nfs": "s:/e"}], [{"name": "v", "host_path": "/tmp"}]],
    "containers": [UNSET, [{"name": "c", "run_as_user": 0, "seccomp": "Unconfined"}], [{"name": "c", "privileged": True}]],
    "init_containers": [UNSET, [{"name": "i", "capabilities": {"add": ["NET_ADMIN"]}}], [{"name": "i", "proc_mount": "Unmasked"}]],
    "topology_spread": [UNSET, ["kubernetes.io/hostname", {"topology_key": "zone", "when_unsatisfiable": "DoNotSchedule", "min_domains": 2}]],
    "scheduler_name": [UNSET, "other"],
    "resource_claims": [UNSET, [{"name": "gpu", "template": "gpus"}, {"name": "nic", "claim": "nic"}]],
    "resources": [UNSET, {"limits": {"example.com/gpu": 1, "cpu": 1}}],
    "kind": ["Pod", "Job"],
}


def spec_of(row, namespace):
    defaults = {name: entry.get("default") for name, entry in opts.TASK_OPTIONS.items()}
    given = {name: value for name, value in row.items() if name != "level" and value is not None}
    named = {name: entry.get("default") for name, entry in opts.NAMED_CONTAINER_OPTIONS.items()}
    given |= {name: [named | item for item in given[name]] for name in ("containers", "init_containers") if name in given}
    return TaskSpec("row", namespace, defaults | IMAGE | given, "completed")


@pytest.fixture
def levels(client, make_namespace):
    names = {level: make_namespace() for level in VALUES["level"]}
    for level, name in names.items():
        client.patch(NAMESPACE, None, name, {"metadata": {"labels": {ENFORCE: level or None}}}, "test", MERGE_PATCH)
    return names


def judge(spec, level):
    """Our error for a task, or None."""
    try:
        validate(spec)
        asked = spec.options["security_profile"]
        check_level(spec, build_manifest(spec, profile_of(asked, level)), level if asked == "auto" else "")
    except PodwrightError as error:
        return error
    return None


def answer(client, spec, level):
    """The error of the API server for the pod of a task, or None; it checks the Pod Security level of pods only."""
    manifest = build_manifest(spec, profile_of(spec.options["security_profile"], level))
    pod = manifest["spec"].get("template", manifest)
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "row", "namespace": spec.namespace}, "spec": pod["spec"]}
    try:
        client.create(POD, spec.namespace, body, "test", dry_run=True)
    except PodwrightError as error:
        return error
    return None


def contradict(row):
    """Whether options contradict each other, whatever the others are."""
    users = {"host_users": False} if "Unmasked" in str(row) and "host_users" not in row else {}
    error = judge(spec_of(row | users, "n"), "")
    return error is not None and error.reason == "BadOption"


def test_every_pair_of_options_is_accepted_or_refused_as_the_server_refuses_it(client, levels):
    counts = dict.fromkeys(("accepted", "refused by us"), 0)
    for row in covering_pairs(VALUES, contradict):
        level = row["level"]
        spec = spec_of(row, levels[level])
        ours, theirs = judge(spec, level), None
        assert ours is None or ours.reason == "PodSecurity", (row, ours)
        theirs = answer(client, spec, level)
        if ours or spec.options["security_profile"] == "auto":
            assert bool(ours) == bool(theirs), (row, ours, theirs)
        else:
            assert theirs is None or "violates PodSecurity" in theirs.message, (row, theirs)
        counts["refused by us" if ours else "accepted"] += 1
    print(counts)
    assert all(counts.values()), counts


@pytest.mark.parametrize("users", [None, False])
@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_the_level_that_each_value_needs_is_that_of_the_server(level, users, client, levels):
    """With and without users of its own, which Kubernetes 1.33 and later allow more."""
    wrong = []
    for option, values in VALUES.items():
        for value in values:
            row = {"host_users": users, option: value}
            if option in ("level", "security_profile") or contradict(row):
                continue
            spec = spec_of(row, levels[level])
            ours, theirs = judge(spec, level), answer(client, spec, level)
            if bool(ours) != bool(theirs):
                wrong.append((row, str(ours), str(theirs)))
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize("mode", ["action", "module"])
def test_options_beyond_the_level_of_the_namespace_are_refused_before_anything_is_created(mode, client, play, namespace):
    client.patch(NAMESPACE, None, namespace, {"metadata": {"labels": {ENFORCE: "restricted"}}}, "test", MERGE_PATCH)
    options = IMAGE | {"command": ["true"], "containers": [{"name": "c", "privileged": True}], "host_network": True, "run_as_user": 0}
    tasks = [
        {"name": "Run", "podwright.core.task_pod": options | {"name": "t", "state": "completed", "network": "default"}, "ignore_errors": True},
        {"name": "Deploy", "podwright.core.pod_deployment": options | {"name": "d"}, "ignore_errors": True},
        {"name": "List", "podwright.core.pod_info": {"kind": "Event"}},
    ]
    played = play(tasks, mode=mode, namespace=namespace)
    for name in ("Run", "Deploy"):
        result = played.of(name)
        assert result["failed"] and not result["changed"] and result["reason"] == "PodSecurity"
        for words in (
            "host_network requires the Pod Security level privileged",
            "containers[0].privileged requires the Pod Security level privileged",
            "run_as_user requires the Pod Security level baseline",
            f"namespace '{namespace}'",
            f"enforces restricted (label {ENFORCE})",
        ):
            assert words in result["msg"], (words, result["msg"])
    assert not played.of("List")["resources"]


@pytest.mark.parametrize("mode", ["action", "module"])
def test_variables_of_the_task_are_defaults_in_both_modes(mode, play, make_namespace):
    place, other = make_namespace(), make_namespace()
    variables = {"PODWRIGHT_NAMESPACE": place, "PODWRIGHT_REGISTRY": "docker.io/library", "PODWRIGHT_NODE_SELECTOR": "kubernetes.io/os=linux"}
    options = IMAGE | {"command": ["true"], "state": "completed"}
    tasks = [
        {"name": "Default", "podwright.core.task_pod": options | {"name": "a"}, "environment": variables},
        {"name": "Given", "podwright.core.task_pod": options | {"name": "a", "namespace": other, "node_selector": {}}, "environment": variables},
        {"name": "Read", "podwright.core.pod_info": {}, "environment": variables},
    ]
    defaults = {"group/podwright.core.all": {"kubeconfig": KUBECONFIG}}
    played = play([{"hosts": "localhost", "gather_facts": False, "module_defaults": defaults, "tasks": tasks}], mode=mode)
    default, given = played.of("Default"), played.of("Given")
    assert default["namespace"] == place and default["pod"]["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert default["pod"]["spec"]["containers"][0]["image"] == "docker.io/library/busybox"
    assert given["namespace"] == other and "nodeSelector" not in given["pod"]["spec"]
    assert [pod["name"] for pod in played.of("Read")["pods"]] == ["a"]
