# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Image policies: of the role, by which the API server refuses images in every form, container and workload, and of the option of task_pod."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD, Kind
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.request import Request
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.image_reference import parse_image

from ..support.image_references import INVALID, REFERENCES, SHA256
from ..support.pods import start_pod
from ..support.scans import CRITICAL, public_pem, signature, trivy
from ..support.waiting import wait_for

REGISTRIES = ["docker.io/library", "registry.example.com/team", "registry.example.com:5000", "[::1]:5000", "localhost"]
POLICY = Kind("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", False)
ALLOWED, FOREIGN = "busybox", "evil.example/app"


def role(namespace, **variables):
    """A task that includes the role for one namespace."""
    variables = {"name": namespace, "namespace_selector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}} | variables
    names = {f"image_policy_{name}": value for name, value in variables.items()}
    return {"ansible.builtin.include_role": {"name": "podwright.core.image_policy"}, "vars": names}


@pytest.fixture
def policy(play, namespace):
    """A function that applies a policy to the namespace of the test; all are deleted afterwards. Returns the Played."""
    applied = []

    def apply(*arguments, name="", **variables):
        applied.append(f"{namespace}{name}")
        return play([role(namespace, name=applied[-1], **variables)], *arguments)

    yield apply
    play([role(namespace, name=name, state="absent") for name in dict.fromkeys(applied)])


def pod_spec(image=ALLOWED, **fields):
    return {"containers": [{"name": "task", "image": image}]} | fields


def refusal(client, namespace, manifest):
    """What the API server says to a dry run, or an empty text if it accepts it."""
    group, _slash, _version = manifest["apiVersion"].rpartition("/")
    plural = f"{manifest['kind'].lower()}s"
    path = f"/{'apis' if group else 'api'}/{manifest['apiVersion']}/namespaces/{namespace}/{plural}"
    try:
        client.send(Request("POST", path, [("dryRun", "All")], manifest | {"metadata": {"name": "test"}}))
    except PodwrightError as error:
        return error.message
    return ""


def pod(**fields):
    return {"apiVersion": "v1", "kind": "Pod", "spec": pod_spec(**fields)}


def test_the_api_server_reads_references_as_nodes_do(policy, client, namespace):
    policy(registries=REGISTRIES)
    refused = {text: refusal(client, namespace, pod(image=text)) for text in (*REFERENCES, *INVALID)}
    for text in REFERENCES:
        is_allowed = any(parse_image(text).is_below(prefix) for prefix in REGISTRIES)
        assert is_allowed == (not refused[text]), (text, refused[text])
    assert [text for text in INVALID if "must be a valid reference" not in refused[text] and "must not have" not in refused[text]] == []
    policy(name="-digest", require_digest=True)
    digests = {text: refusal(client, namespace, pod(image=text)) for text in REFERENCES if not refused[text]}
    assert {text: bool(answer) for text, answer in digests.items()} == {text: not REFERENCES[text][1] for text in digests}
    assert "refuses busybox: an image must have a digest." in digests["busybox"]
    policy(name="-digest", digests=[SHA256])
    other = f"busybox@sha256:{'b' * 64}"
    assert "that the policy lists" in refusal(client, namespace, pod(image=other)) and not refusal(client, namespace, pod(image=f"busybox:1@{SHA256}"))


def workloads(spec):
    """A manifest of each kind that creates pods with a spec."""
    labels, template = {"app": "test"}, {"metadata": {"labels": {"app": "test"}}, "spec": spec}
    job = {"template": {"spec": spec | {"restartPolicy": "Never"}}}
    yield {"apiVersion": "v1", "kind": "Pod", "spec": spec}
    yield {"apiVersion": "v1", "kind": "PodTemplate", "template": template}
    yield {"apiVersion": "v1", "kind": "ReplicationController", "spec": {"selector": labels, "template": template}}
    for kind in ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"):
        yield {"apiVersion": "apps/v1", "kind": kind, "spec": {"selector": {"matchLabels": labels}, "template": template}}
    yield {"apiVersion": "batch/v1", "kind": "Job", "spec": job}
    yield {"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": job}}}


def test_every_container_of_every_workload_is_checked(policy, client, namespace, make_namespace):
    policy(registries=REGISTRIES)
    good, bad = {"name": "other", "image": ALLOWED}, {"name": "other", "image": FOREIGN}
    volume = {"name": "data", "image": {"reference": FOREIGN}}
    specs = [pod_spec(image=FOREIGN), pod_spec(initContainers=[good | {"name": "first"}, bad]), pod_spec(volumes=[volume])]
    for spec in specs:
        for manifest in workloads(spec):
            assert f"refuses {FOREIGN}: an image must be from docker.io/library" in refusal(client, namespace, manifest), manifest
    for manifest in workloads(pod_spec(initContainers=[good], volumes=[volume | {"image": {"reference": "busybox:1"}}])):
        assert not refusal(client, namespace, manifest), manifest
    both = refusal(client, namespace, pod(image=FOREIGN, initContainers=[bad | {"image": "other.example/x:1"}]))
    assert f"refuses {FOREIGN}, other.example/x:1: an image must" in both
    assert not refusal(client, make_namespace(), pod(image=FOREIGN))  # another namespace


def patch(client, namespace, body, subresource=""):
    path = f"/api/v1/namespaces/{namespace}/pods/old{subresource}"
    try:
        client.send(Request("PATCH", path, [], body, "application/strategic-merge-patch+json"))
    except PodwrightError as error:
        return error.message
    return ""


@pytest.mark.long
def test_an_update_may_keep_what_was_there_and_adds_nothing_else(policy, client, namespace):
    start_pod(client, namespace, "old")
    policy(registries=["registry.example.com"])
    assert refusal(client, namespace, pod()) and not patch(client, namespace, {"metadata": {"labels": {"a": "b"}, "finalizers": []}})
    assert f"refuses {FOREIGN}" in patch(client, namespace, {"spec": {"containers": [{"name": "task", "image": FOREIGN}]}})
    debugger = {"spec": {"ephemeralContainers": [{"name": "debug", "image": FOREIGN, "command": ["true"]}]}}
    assert f"refuses {FOREIGN}" in patch(client, namespace, debugger, "/ephemeralcontainers")
    debugger["spec"]["ephemeralContainers"][0]["image"] = "busybox"  # that of the pod
    assert not patch(client, namespace, debugger, "/ephemeralcontainers")
    assert "ephemeralContainers" in client.get(POD, namespace, "old")["spec"]


@pytest.mark.long
def test_the_role_is_idempotent_predicts_and_deletes(policy, play, client, namespace):
    predicted = policy("--check", registries=REGISTRIES)
    assert predicted.is_changed and not refusal(client, namespace, pod(image=FOREIGN))
    assert policy(registries=REGISTRIES).is_changed and refusal(client, namespace, pod(image=FOREIGN))  # at once: the role waits
    assert not policy(registries=REGISTRIES).is_changed
    task = {"podwright.core.task_pod": {"name": "t", "image": FOREIGN, "state": "completed"}, "register": "done", "ignore_errors": True}
    shown = {"ansible.builtin.debug": {"var": "done.msg"}}
    assert f"The image policy refuses {FOREIGN}" in play([task, shown], namespace=namespace).stdout
    assert play([role(namespace, state="absent")]).is_changed
    wait_for(lambda: not refusal(client, namespace, pod(image=FOREIGN)))
    assert not play([role(namespace, state="absent")]).is_changed


@pytest.mark.long
def test_a_policy_of_others_is_neither_changed_nor_deleted(play, client, namespace):
    theirs = {"apiVersion": POLICY.api_version, "kind": POLICY.name, "metadata": {"name": namespace}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    theirs["spec"] = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "true"}]}
    created = client.create(POLICY, None, theirs, "test")
    try:
        refused = play([role(namespace, registries=REGISTRIES)], expect=2)
        assert f"must not be taken over: ValidatingAdmissionPolicy '{namespace}'" in refused.output
        assert not play([role(namespace, state="absent")]).is_changed
        left = client.get(POLICY, None, namespace)  # its resourceVersion changes also when the API server writes its status
        assert left["metadata"]["uid"] == created["metadata"]["uid"] and left["spec"] == created["spec"] and "labels" not in left["metadata"]
    finally:
        client.delete(POLICY, None, namespace)


@pytest.mark.long
def test_a_policy_that_warns_refuses_nothing(policy, client, namespace):
    played = policy(registries=REGISTRIES, wait_timeout=0)
    assert "attempts" not in played.of("podwright.core.image_policy : Wait until the policy refuses a dry run")
    wait_for(lambda: refusal(client, namespace, pod(image=FOREIGN)))
    policy(registries=REGISTRIES, actions=["Warn", "Audit"])
    wait_for(lambda: not refusal(client, namespace, pod(image=FOREIGN)))


INVALID_VARIABLES = [
    ({}, "image_policy_registries: must be set unless"),
    (
        {"registries": ["https://a.b", "c.d"]},
        "image_policy_registries: must be HOST[:PORT][/PATH] without a scheme, a wildcard, a tag and a trailing slash, got https://a.b.",
    ),
    ({"registries": ["busybox"]}, "got busybox."),
    ({"registries": ["a.b\"] + ['"]}, "image_policy_registries: must be HOST"),
    ({"digests": ["sha256:1"]}, "image_policy_digests: must be sha256:"),
    ({"registries": ["a.b"], "namespace_selector": {"matchLabels": {}}}, "image_policy_namespace_selector: must have matchLabels or matchExpressions."),
    ({"registries": ["a.b"], "actions": []}, "image_policy_actions: must not be empty."),
    ({"registries": ["a.b"], "actions": ["Warn", "Deny"]}, "image_policy_actions: must not contain both Deny and Warn."),
    ({"registries": ["a.b"], "namespace_selector": {"app": "web"}}, "image_policy_namespace_selector: must have only matchLabels, a mapping, and"),
    ({"registries": ["a.b"], "namespace_selector": {"matchLabels": "app=web"}}, "image_policy_namespace_selector: must have only matchLabels, a mapping, and"),
    ({"registries": ["a.b"], "actions": ["Refuse"]}, "value of image_policy_actions must be one or more of: Deny, Warn, Audit"),
]


SAID = "{{ ansible_failed_result.msg | default('') ~ ansible_failed_result.results | default([]) | map(attribute='msg') | join }}"


@pytest.mark.long
def test_invalid_variables_are_refused_before_any_request(play, tmp_path):
    rescue = {"ansible.builtin.debug": {"msg": SAID}}
    cases = enumerate(variables for variables, _message in INVALID_VARIABLES)
    tasks = [{"block": [role("nothing", **variables)], "rescue": [rescue | {"name": f"case {index}"}]} for index, variables in cases]
    played = play(tasks, kubeconfig=tmp_path / "missing")
    for index, (_variables, message) in enumerate(INVALID_VARIABLES):
        assert message in played.of(f"case {index}")["msg"]


@pytest.mark.parametrize("mode", ["action", "module"])
def test_a_task_runs_only_with_images_that_its_policy_allows(play, client, namespace, tmp_path, mode):
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "cosign.pub").write_bytes(public_pem(key))
    (tmp_path / "signatures").write_text(signature(key))
    (tmp_path / "clean.json").write_text(json.dumps(trivy(name="busybox", digests=[])))
    (tmp_path / "bad.json").write_text(json.dumps(trivy(CRITICAL, name="busybox", digests=[])))
    policies = {
        "allowed": {"registries": ["docker.io/library"], "reports": ["clean.json"], "command": ["test", "busybox", "="]},
        "foreign": {"registries": ["registry.example.com"]},
        "scanned": {"reports": ["bad.json"]},
        "movable": {"require_digest": True},
        "signed": {"public_keys": ["cosign.pub"], "signatures": ["signatures"]},
        "judged": {"command": ["test", "x", "="]},
    }
    whys = {
        "foreign": "its repository docker.io/library/busybox is not in registries (registry.example.com)",
        "scanned": "contains CVE-2024-0001 (CRITICAL, openssl)",
        "movable": "it has no digest",
        "signed": "it has no digest, which a signature is for",
        "judged": "test exited with code 1",
    }
    if mode == "module":  # each takes a process
        policies = {name: policies[name] for name in ("allowed", "scanned")}
    task = {"image": "busybox", "image_pull_policy": "IfNotPresent", "command": ["true"], "state": "completed"}
    tasks = [
        {"name": name, "podwright.core.task_pod": task | {"name": name, "image_policy": policy}, "ignore_errors": True} for name, policy in policies.items()
    ]
    played = play(tasks, mode=mode, namespace=namespace, directory=tmp_path)
    assert played.of("allowed")["rc"] == 0
    for name in policies.keys() - {"allowed"}:
        result = played.of(name)
        assert result["failed"] and not result["changed"] and result["reason"] == "ImageRefused" and whys[name] in result["msg"], result
    assert [pod["metadata"]["name"] for pod in client.list(POD, namespace)[0]] == ["allowed"]


def test_a_refused_image_sends_no_request(play, namespace, tmp_path):
    task = {"name": "t", "image": "evil.example/x", "image_policy": {"registries": ["docker.io"]}, "host": "https://127.0.0.1:1", "namespace": "n"}
    played = play([{"podwright.core.task_pod": task, "name": "refused", "ignore_errors": True}])
    assert played.of("refused")["reason"] == "ImageRefused"
