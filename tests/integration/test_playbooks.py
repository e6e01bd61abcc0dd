# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documented command of each playbook, with the oldest and the newest ansible-core."""

from __future__ import annotations

import json
import random
import re
import shlex
import uuid

import pytest
import yaml

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, NAMESPACE, POD, Kind
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import task_pod

from ..support.environment import KUBECONFIG, ROOT, SCALE, scaled
from ..support.operations import call
from ..support.relay import SEED

pytestmark = pytest.mark.versions

POLICY = Kind("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies")
PLAYBOOKS = {path.stem: path for path in (ROOT / "playbooks").glob("*.yml")}
LIMITS = {"limits": {"cpu": "100m", "memory": "16Mi"}}
TASK = {"name": "greet", "image": "busybox", "image_pull_policy": "IfNotPresent", "command": ["echo", "hello"], "resources": LIMITS}

INVALID = [
    {"podwright_quota": "[5]"},
    {"podwright_quota": '{"max_pods": "five"}'},
    {"podwright_quota": '{"max_memory": "1 gigabyte"}'},
    {"podwright_default_limits": '{"cpu": "half"}'},
    {"podwright_service_accounts": '["reader"]'},
    {"podwright_service_accounts": '[{"name": "reader", "purposes": ["reed"]}]'},
]
# Variables of each role, and what is said about them before the first request.
REFUSED = [
    ({"podwright_state": "gone"}, 'podwright_state: must be present or absent, got "gone".'),
    ({"podwright_namespace": "Builds"}, "podwright_namespace: must be at most 63 lower-case letters, digits and hyphens"),
    ({"podwright_registry": "true"}, "podwright_registry: must be a mapping."),
    ({"podwright_services": {"name": "web"}}, "podwright_services: must be a list of mappings."),
    ({"podwright_quota": {"max_pod": 1}}, "podwright_quota: unknown option max_pod; options: default_limits, "),
    ({"podwright_quota": {"namespace": "other"}}, "podwright_quota: unknown option namespace"),
    ({"podwright_services": [{"selector": {"a": "b"}}]}, "podwright_services: missing option name."),
    ({"podwright_queue": {"quotas": {"cpu": 1}}}, "podwright_queue: missing option name."),
    ({"podwright_queue": {"name": "q"}}, "queue_quotas: exactly one of queue_quotas and queue_flavors must be set, got neither."),
    ({"podwright_pod_security": "strict"}, "value of namespace_pod_security must be one of: privileged, baseline, restricted"),
    ({"podwright_storage": {"claims": [{"name": "a"}]}}, "missing required arguments: size found in storage_claims"),
    ({"podwright_network_policy": {"allow_egress": "all"}}, "network_policy_allow_egress"),
    ({"podwright_image_policy": {"registries": ["https://a"]}}, "image_policy_registries: must be HOST[:PORT][/PATH]"),
    ({"podwright_image_prepull": {"keep": True}}, "image_prepull_images: must name at least one image"),
    ({"podwright_workload_identity": {"registrations": [{"name": "a", "namespace": "b", "path": "/c"}]}}, "workload_identity_trust_domain: must be"),
    ({"podwright_registry": {"users": [{"name": "a:b", "password": "c"}]}}, "must not contain a colon"),
    ({"podwright_services": [{"name": "web", "selector": {"a": "b"}}]}, "service_ports: must not be empty"),
    ({"podwright_services": [{"name": "web"}, {"name": "web"}]}, "podwright_services: each must have a name of its own."),
    ({"podwright_storage": {"claims": [{"name": "a", "size": ""}]}}, "storage_claims[0].size: must not be empty."),
]
# Of other playbooks: variables, and what is said about them.
MISTAKES = [
    ("migrate", {"podwright_paths": ["nowhere"]}, "podwright_paths: nowhere: does not exist"),
    ("migrate", {"podwright_paths": ["--write", "play.yml"]}, "podwright_paths: --write: does not exist"),
    ("report", {"podwright_sets": "web"}, "podwright_sets: must be a list of mappings with the options set, name, namespace, definition, src, prune"),
    ("report", {"podwright_sets": [{"sett": "web", "src": "x"}]}, "prune of resource_set, got sett."),
    ("reconcile", {"podwright_prune": "maybe"}, "podwright_prune and podwright_fail_on_drift: must be true or false, got 'maybe' and 'True'."),
]


def documented(playbook):
    """The command in the header of a playbook, without optional arguments."""
    command = re.search(r"^#   (ansible-playbook .*)$", PLAYBOOKS[playbook].read_text(), re.MULTILINE)
    return shlex.split(re.sub(r" \[.*?\]$", "", command[1]))


@pytest.fixture
def shell(core, client, playbooks_of, tmp_path):
    """A function that runs a documented command, with a namespace of the test instead of `builds`. It returns the output."""
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    (tmp_path / "tasks.yml").write_text(yaml.safe_dump({"podwright_tasks": [TASK]}))

    def run(arguments, expect=0):
        program, *words = [word.replace("builds", namespace) for word in arguments]
        assert program == "ansible-playbook"
        return playbooks_of(core).start(words, tmp_path, {"KUBECONFIG": KUBECONFIG, "HOME": str(tmp_path)}).finish(300).check(expect).output

    run.namespace = namespace
    yield run
    if client.get(NAMESPACE, None, namespace):
        client.delete(NAMESPACE, None, namespace)


def test_the_documented_commands_provision_run_collect_and_delete(client, core, shell, tmp_path):
    """What the engine refuses does not depend on Ansible: that is tried with one version. test_demo provisions twice."""
    namespace, is_newest = shell.namespace, core == "this"
    assert documented("provision")[-1] == "podwright_namespace=builds"
    reviewed = ["-e", f"podwright_expect={shown_digest(shell([*documented('provision'), '--check']))}"] if is_newest else []
    shell([*documented("provision"), *reviewed])
    assert client.get(BUILT_IN["v1", "LimitRange"], namespace, "podwright")["spec"]["limits"][0]["default"] == {"cpu": "500m", "memory": "256Mi"}
    assert client.get(BUILT_IN["v1", "ResourceQuota"], namespace, "podwright") is None, "no quota without limits"
    shell([*documented("run"), "--check", "-e", "podwright_plan_file=plan.json"])
    if is_newest:
        other = json.dumps({"podwright_tasks": [TASK | {"name": "other"}]})
        assert "not reviewed: create Pod 'other'" in shell([*documented("run"), "-e", "podwright_expect=plan.json", "-e", other], expect=2)
    output = shell([*documented("run"), "-e", "podwright_expect=plan.json"])
    assert "greet                          succeeded  exit code 0" in output
    failing = json.dumps([TASK | {"name": "fail", "command": ["false"]}, TASK | {"name": "work"}])
    failed = shell(["ansible-playbook", "podwright.core.run", "-e", "podwright_namespace=builds", "-e", json.dumps({"podwright_tasks": failing})], expect=2)
    assert "fail                           failed     exit code 1" in failed and "work                           succeeded  exit code 0" in failed
    if is_newest:
        output = shell(documented("gc"))
        assert "0 objects deleted, 3 kept" in output and "not found" not in output
    everything = ["-e", json.dumps({"podwright_completed": '{"max_age": 0}'})]
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"level": "info"}}
    (tmp_path / "settings.yml").write_text(json.dumps(settings))
    sets = ["-e", json.dumps({"podwright_sets": json.dumps([{"set": "web", "namespace": namespace, "src": "settings.yml"}])})]
    assert f"3 tasks: {tmp_path}/{namespace}.html" in shell([*documented("report"), *everything, *sets])
    page = (tmp_path / f"{namespace}.html").read_text()
    for part in ("<h1>1 of 3 tasks failed</h1>", "pod_gc would delete 2 objects", "ConfigMap", "settings"):
        assert part in page, part
    assert "2 objects would be deleted" in shell([*documented("gc"), *everything, "--check", "-e", "podwright_plan_file=gc.json"])
    output = shell([*documented("gc"), *everything, "-e", "podwright_expect=gc.json"])
    assert f"Pod {namespace}/greet: " in output
    assert [pod["metadata"]["name"] for pod in client.list(POD, namespace)[0]] == ["fail"]
    shell(documented("teardown"))
    assert client.get(NAMESPACE, None, namespace) is None


def shown_digest(output):
    """The digest of the plan that a playbook shows in check mode."""
    return re.search(r"plan_digest: (sha256:[0-9a-f]{64})", output)[1]


@pytest.mark.long
def test_the_digest_covers_labels_of_nodes_and_images_that_are_pulled_once(client, shell):
    node = client.list(BUILT_IN["v1", "Node"], None)[0][0]["metadata"]["name"]
    plans = [{"podwright_storage": {"node_labels": {node: {"example.com/a": value}}}} for value in "ab"]
    plans += [{"podwright_image_prepull": {"images": [value], "keep": False}} for value in "ab"]
    provision = documented("provision")
    digests = [shown_digest(shell([*provision, "--check", "-e", json.dumps(plan)])) for plan in plans]
    assert len(set(digests)) == 4
    shell(provision)
    reviewed = shown_digest(shell([*provision, "--check", "-e", json.dumps(plans[2])]))
    refused = shell([*provision, "-e", f"podwright_expect={reviewed}", "-e", json.dumps(plans[3])], expect=2)
    assert "Nothing was changed, because the plan is not the reviewed one" in refused


@pytest.mark.long
def test_provision_and_teardown_change_nothing_but_what_was_reviewed(client, shell):
    provision, teardown = documented("provision"), documented("teardown")
    digest = shown_digest(shell([*provision, "--check"]))
    assert digest == shown_digest(shell([*provision, "--check"])) and client.get(NAMESPACE, None, shell.namespace) is None
    plans = ({"podwright_pod_security": "baseline"}, {"podwright_default_limits": {"cpu": "1"}}, {"podwright_quota": {"pod_ttl_seconds": 60}})
    for change in (*plans, {"podwright_expect": ""}, {"podwright_expect": "x"}):
        refused = shell([*provision, "-e", json.dumps({"podwright_expect": digest} | change)], expect=2)
        assert ("podwright_expect: must be" if change.get("podwright_expect") in ("", "x") else "the plan is not the reviewed one") in refused
        assert client.get(NAMESPACE, None, shell.namespace) is None, change
    shell([*provision, "-e", f"podwright_expect={digest}"])
    uid = client.get(NAMESPACE, None, shell.namespace)["metadata"]["uid"]
    assert "changed=0 " in shell([*provision, "-e", f"podwright_expect={digest}"]), "a run with nothing to do is accepted"
    assert "the plan is not the reviewed one" in shell([*teardown, "-e", f"podwright_expect={digest}"], expect=2)
    assert client.get(NAMESPACE, None, shell.namespace)["metadata"]["uid"] == uid
    digest = shown_digest(shell([*teardown, "--check"]))
    shell([*teardown, "-e", f"podwright_expect={digest}"])
    assert client.get(NAMESPACE, None, shell.namespace) is None
    assert "changed=0 " in shell([*teardown, "-e", f"podwright_expect={digest}"])


def test_surveys_pass_values_as_text_and_invalid_ones_create_nothing(client, core, shell):
    survey = {"podwright_quota": '{"max_pods": 5, "max_cpu": ""}', "podwright_default_limits": '{"memory": "64Mi"}'}
    survey |= {"podwright_service_accounts": '[{"name": "reader", "purposes": ["reading"]}]'}
    print(f"PODWRIGHT_SEED={SEED}")
    for invalid in random.Random(f"{SEED} {core}").sample(INVALID, min(scaled(2), len(INVALID))):
        shell([*documented("provision"), "-e", json.dumps(survey | invalid)], expect=2)
        assert client.get(NAMESPACE, None, shell.namespace) is None, invalid
    shell([*documented("provision"), "-e", json.dumps(survey)])
    assert client.get(BUILT_IN["v1", "ResourceQuota"], shell.namespace, "podwright")["spec"]["hard"] == {"pods": "5"}
    assert client.get(BUILT_IN["v1", "ServiceAccount"], shell.namespace, "reader")
    if core == "this" or SCALE > 1:
        shell([*documented("provision"), "-e", json.dumps(dict.fromkeys(survey, ""))])
        assert client.get(BUILT_IN["v1", "ResourceQuota"], shell.namespace, "podwright") is None
        assert client.get(BUILT_IN["v1", "LimitRange"], shell.namespace, "podwright") is None
    empty = dict.fromkeys(("podwright_completed", "podwright_failed", "podwright_records", "podwright_stuck"), "")
    assert "0 objects deleted" in shell([*documented("gc"), "-e", json.dumps(empty)])
    assert "must not be empty" in shell([*documented("gc"), "-e", "podwright_namespaces="], expect=2)
    assert "must be a list of at least one task" in shell([*documented("run"), "-e", "podwright_tasks="], expect=2)
    assert re.search(r"The context '+nowhere'+ of", shell([*documented("run"), "-e", "podwright_clusters=['nowhere']"], expect=2))  # YAML doubles quotes


@pytest.mark.long
@pytest.mark.timeout(1200)  # eight runs of all roles
def test_the_variables_of_the_guide_provision_everything_and_delete_it(client, shell, load_component, tmp_path):
    """Each part by use; nothing of it is left afterwards, not even what is cluster-scoped."""
    load_component("registry")  # or its image would be pulled
    namespace = shell.namespace
    (text,) = re.findall(r"^```\n(# builds\.yml\n.*?)^```", (ROOT / "docs/guides/namespaces.md").read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "given.yml").write_text(text.replace("lookup('env', 'HUB_TOKEN')", "'canary'").replace("lookup('env', 'REGISTRY_PASSWORD')", "'canary'"))
    provision, teardown = ([*documented(name)[:2], "-e", f"@{tmp_path}/given.yml", "-e", "podwright_namespace=builds"] for name in ("provision", "teardown"))
    checked = shell([*provision, "--check"])
    assert client.get(NAMESPACE, None, namespace) is None and int(re.search(r"changed=(\d+)", checked)[1]) > 8
    assert "canary" not in checked + shell(provision)
    for again in (provision, [*provision, "--check"]):
        assert "changed=0 " in shell(again)
    greedy = {"resources": {"limits": {"cpu": "100m", "memory": "5Gi"}}}
    for changed, words in ((greedy, "maximum memory usage per Container is 4Gi"), ({"image": "registry.example.com/a"}, "The image policy refuses")):
        refused = shell([*documented("run"), "-e", json.dumps({"podwright_tasks": [TASK | changed]})], expect=2)
        assert words in " ".join(refused.split())
    server = TASK | {"name": "web", "state": "running", "labels": {"app": "web"}, "command": ["httpd", "-f", "-p", "8080", "-h", "/etc"]}
    asking = TASK | {"name": "ask", "command": ["sh", "-c", "until wget -qO- http://web/hostname; do sleep 1; done"], "timeout": 60}
    for item in (server, asking):
        call(task_pod, item | {"state": item.get("state", "completed")}, namespace)
    assert call(task_pod, asking | {"state": "completed", "rerun": "always"}, namespace)["state"] == "succeeded"
    assert client.get(BUILT_IN["v1", "Secret"], namespace, "hub") and client.get(BUILT_IN["v1", "PersistentVolumeClaim"], namespace, "cache")
    ready = client.get(BUILT_IN["apps/v1", "Deployment"], namespace, "registry")
    assert ready["status"]["readyReplicas"] == 1
    shell([*teardown, "--check"])
    assert client.get(NAMESPACE, None, namespace)
    shell(teardown)
    assert client.get(NAMESPACE, None, namespace) is None and client.get(POLICY, None, f"podwright-{namespace}") is None
    assert "changed=0 " in shell(teardown)


@pytest.mark.long
def test_each_variable_of_provision_is_checked_before_the_first_request(client, shell):
    for variables, words in REFUSED:
        refused = " ".join(shell([*documented("provision"), "-e", json.dumps(variables)], expect=2).split())
        assert words in refused or words.replace('"', '\\"') in refused, (words, refused[-3000:])
        assert client.get(NAMESPACE, None, shell.namespace) is None


def test_the_quota_role_rejects_invalid_numbers_before_any_change(play, client, namespace):
    names = ["quota_max_pods", "quota_max_gpus", "quota_max_storage_gb"]
    roles = [{"ansible.builtin.include_role": {"name": "podwright.core.quota"}, "vars": {"quota_namespace": namespace, name: "five"}} for name in names]
    played = play([{"block": [role], "rescue": [{"ansible.builtin.meta": "noop"}]} for role in roles], namespace=namespace)
    output = played.output.replace("''", "'")  # as YAML writes it
    for name in names:
        assert f"{name}: must be a whole number, got 'five'." in output
    assert client.list(BUILT_IN["v1", "ResourceQuota"], namespace)[0] == []


def test_variables_with_mistakes_are_named(shell, tmp_path):
    (tmp_path / "play.yml").write_text("- hosts: localhost\n  tasks:\n    - kubernetes.core.k8s_info: {kind: Pod}\n")
    (tmp_path / "manifests").mkdir()
    for playbook, variables, words in MISTAKES:
        output = shell([*documented(playbook)[:2], "--check", "-e", json.dumps({"podwright_src": "manifests"} | variables)], expect=2)
        assert words in " ".join(output.replace("''", "'").split()), words
    assert "kubernetes.core" in (tmp_path / "play.yml").read_text()
    text = shell(["ansible-playbook", "podwright.core.gc", "-e", json.dumps({"podwright_completed": "{max_age: "})], expect=2)
    assert "Check that variables given as text are YAML or JSON" in text
    assert "0 objects deleted" in shell([*documented("gc"), "-e", "podwright_limit="])


def test_every_playbook_documents_its_command():
    assert set(PLAYBOOKS) == {"awx", "demo", "gc", "migrate", "provision", "reconcile", "report", "run", "teardown"}
    assert all(documented(name)[:2] == ["ansible-playbook", f"podwright.core.{name}"] for name in PLAYBOOKS)
