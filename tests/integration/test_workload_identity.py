# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role workload_identity with the real SPIRE: tasks get identities, and other tasks verify them."""

from __future__ import annotations

import base64
import json
import time
from functools import partial

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, POD

from ..cluster.cluster import Cluster
from ..cluster.configuration import NODE
from ..support.environment import CLUSTER, CLUSTER_NUMBER, ROOT
from ..support.identity_tasks import CLIENT, REVIEW, SERVER
from .test_examples import run_examples

# SPIRE registers a CSI driver and a definition, which operations in other tests would find.
pytestmark = [pytest.mark.long, pytest.mark.serial]

PROGRAM = "/opt/spire/bin/spire-agent"
SOCKET = ["-socketPath", "/spiffe-workload-api/spire-agent.sock"]
AGENT = {"image": "ghcr.io/spiffe/spire-agent:1.13.3"}
PYTHON = {"image": "docker.io/podwright/python:latest", "image_pull_policy": "IfNotPresent"}
# The kubelet of the local cluster has another directory, and simulated nodes run no agent.
LOCAL = {"kubelet_directory": f"{CLUSTER.resolve()}/kubelet", "node_selector": {"kubernetes.io/hostname": NODE}}
OBJECTS = [
    (BUILT_IN["storage.k8s.io/v1", "CSIDriver"], "csi.spiffe.io"),
    (BUILT_IN["apiextensions.k8s.io/v1", "CustomResourceDefinition"], "clusterstaticentries.spire.spiffe.io"),
    (BUILT_IN["rbac.authorization.k8s.io/v1", "ClusterRole"], "spire-server-{}"),
    (BUILT_IN["rbac.authorization.k8s.io/v1", "ClusterRoleBinding"], "spire-agent-{}"),
    (BUILT_IN["rbac.authorization.k8s.io/v1", "ClusterRoleBinding"], "podwright-token-reviewers-{}"),
    (BUILT_IN["apps/v1", "DaemonSet"], "spire-agent"),
    (BUILT_IN["v1", "ConfigMap"], "spire-bundle"),
]


@pytest.fixture(scope="module")
def images(load_component, python_image):
    """The images of SPIRE on the node."""
    for name in ("spire", "spiffe-csi", "spire-controller-manager"):
        load_component(name)
    Cluster(CLUSTER, CLUSTER_NUMBER).load_registrar()


@pytest.fixture
def spire(images, make_namespace, play):
    """A function that runs the role with registrations, and further arguments of `play`. SPIRE is deleted afterwards."""
    home = make_namespace()
    variables = {"namespace": home, "trust_domain": "example.org", **LOCAL}

    def run(*arguments, mode="action", expect=0, **given):
        return play([role("workload_identity", **variables | given)], *arguments, mode=mode, namespace=home, expect=expect)

    run.home = home
    yield run
    run(state="absent")


def role(role_name, /, **variables):
    """A task that runs a role."""
    variables = {f"{role_name}_{option}": value for option, value in variables.items()}
    return {"ansible.builtin.include_role": {"name": f"podwright.core.{role_name}"}, "vars": variables}


def fetch(name, audience, **options):
    """A task that fetches a JWT-SVID."""
    command = [PROGRAM, "api", "fetch", "jwt", *SOCKET, "-audience", audience, "-output", "json"]
    return {"podwright.core.task_pod": AGENT | {"name": name, "command": command, "spiffe": True, "state": "completed", "logs": "collect"} | options}


def validate(name, audience, token, **options):
    """A task that verifies a JWT-SVID."""
    command = [PROGRAM, "api", "validate", "jwt", *SOCKET, "-audience", audience, "-svid", "$(TOKEN)"]
    known = {"name": name, "command": command, "secret_env": {"TOKEN": token}, "spiffe": True, "state": "completed", "logs": "collect"}
    return {"podwright.core.task_pod": AGENT | known | options}


def token_of(played, task):
    """The JWT-SVID that a task has fetched."""
    return json.loads(played.of(task)["logs"])[0]["svids"][0]["svid"]


def claims_of(token):
    """The claims of a JWT, unverified."""
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


def peers(account):
    """Tasks that hold X.509-SVIDs, in the image with Python: a server, and clients with and without a certificate."""
    command = [PROGRAM, "api", "fetch", "x509", *SOCKET, "-write", "/svid"]
    base = PYTHON | {"init_containers": [AGENT | {"name": "fetch", "command": command}], "shared_workspace": "/svid", "spiffe": True}
    base |= {"service_account": account, "termination_grace_period": 0}
    client = base | {"state": "completed", "logs": "collect"}
    command = ["python3", "-c", CLIENT, "{{ server.tasks[0].pod_ip }}"]
    return [
        {"name": "server", "podwright.core.task_pod": base | {"name": "server", "command": ["python3", "-c", SERVER]}, "register": "server"},
        {"name": "known", "podwright.core.task_pod": client | {"name": "known", "command": [*command, "with"]}},
        {"name": "unknown", "podwright.core.task_pod": client | {"name": "unknown", "command": [*command, "without"]}},
    ]


@pytest.fixture
def accounts(client, namespace):
    """The service accounts of the tasks, in a namespace of their own."""
    for name in ("builder", "reader"):
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        client.create(BUILT_IN["v1", "ServiceAccount"], namespace, body, "test")
    return namespace


@pytest.mark.parametrize("mode", ["action", "module"])
def test_a_task_gets_an_identity_and_another_verifies_it(spire, play, accounts, client, mode):
    registrations = [
        {"name": f"{accounts}-builder", "namespace": accounts, "service_account": "builder", "dns_names": ["builder.example.org"]},
        {"name": f"{accounts}-web", "namespace": accounts, "pod_labels": {"app": "web"}, "path": "/web", "jwt_ttl": "3s"},
    ]
    given = {"registrations": registrations, "token_reviewers": [{"namespace": accounts, "name": "reader"}]}
    assert spire("--check", mode=mode, **given).is_changed
    assert not present(client, spire.home)
    assert spire(mode=mode, **given).is_changed
    assert not spire(mode=mode, **given).is_changed
    assert not spire("--check", mode=mode, **given).is_changed
    assert present(client, spire.home) == [name.format(spire.home) for _kind, name in OBJECTS]

    # By service account: the identity is for one audience.
    played = play([{"name": "fetch"} | fetch("fetcher", "warehouse", service_account="builder")], namespace=accounts, mode=mode)
    token = token_of(played, "fetch")
    assert claims_of(token)["sub"] == f"spiffe://example.org/ns/{accounts}/sa/builder"
    played = play(
        [
            {"name": "right"} | validate("right", "warehouse", token, service_account="builder"),
            {"name": "other", "ignore_errors": True} | validate("other", "bank", token, service_account="builder"),
            {"name": "forged", "ignore_errors": True} | validate("forged", "warehouse", token[:-8] + "AAAAAAAA", service_account="builder"),
            {"name": "stranger", "ignore_errors": True} | fetch("stranger", "warehouse", service_account="reader"),
        ],
        namespace=accounts,
        mode=mode,
    )
    assert "SVID is valid" in played.of("right")["logs"] and "sa/builder" in played.of("right")["logs"]
    assert "expected audience" in played.of("other")["msg"], played.of("other")
    assert "signature" in played.of("forged")["msg"] or "crypto" in played.of("forged")["msg"], played.of("forged")
    assert "no identity issued" in played.of("stranger")["msg"], played.of("stranger")

    # By label, with a short lifetime.
    played = play([{"name": "fetch"} | fetch("web", "warehouse", labels={"app": "web"})], namespace=accounts, mode=mode)
    expired = token_of(played, "fetch")
    assert claims_of(expired)["sub"] == "spiffe://example.org/web"

    # Certificates: both sides of a TLS connection verify each other.
    played = play(peers("builder"), namespace=accounts, mode=mode)
    known, identity = played.of("known")["logs"], f"spiffe://example.org/ns/{accounts}/sa/builder"
    assert f"('URI', '{identity}')" in known and "('DNS', 'builder.example.org')" in known and f"hello {identity}" in known
    assert "refused" in played.of("unknown")["logs"]

    # Without its registration, a workload has no identity any more.
    assert spire(mode=mode, **given | {"registrations": registrations[1:]}).is_changed
    gone = {"name": "gone", "ignore_errors": True} | fetch("gone", "warehouse", service_account="builder")
    assert "no identity issued" in play([gone], namespace=accounts, mode=mode).of("gone")["msg"]

    time.sleep(max(0.0, claims_of(expired)["exp"] + 62 - time.time()))  # SPIRE allows for clocks that differ by a minute
    late = {"name": "late", "ignore_errors": True} | validate("late", "warehouse", expired, labels={"app": "web"})
    assert "expired" in play([late], namespace=accounts, mode=mode).of("late")["msg"]

    assert spire(mode=mode, state="absent").is_changed
    assert not present(client, spire.home)
    assert not spire(mode=mode, state="absent").is_changed


def test_a_server_with_storage_keeps_its_authority(spire, client, play, tmp_path):
    """Without storage, the second server would have another one."""
    bundle = partial(client.get, BUILT_IN["v1", "ConfigMap"], spire.home, "spire-bundle")
    node = {"nodeSelectorTerms": [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}]}]}
    volume = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": spire.home, "nodeAffinity": {"required": node}}
    volume |= {"hostPath": {"path": str(tmp_path / "data"), "type": "DirectoryOrCreate"}, "persistentVolumeReclaimPolicy": "Delete"}
    client.create(
        BUILT_IN["v1", "PersistentVolume"], None, {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": spire.home}, "spec": volume}, "test"
    )
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o777)
    spire(storage_size="1Gi", storage_class=spire.home, sync_seconds=0, wait_timeout=200)
    before = bundle()["data"]["bundle.crt"]
    client.delete(POD, spire.home, "spire-server-0")
    spire(storage_size="1Gi", storage_class=spire.home)
    assert bundle()["data"]["bundle.crt"] == before
    client.delete(BUILT_IN["v1", "PersistentVolume"], None, spire.home)


@pytest.mark.parametrize("mode", ["action", "module"])
def test_a_task_presents_a_token_that_a_reviewer_verifies(spire, play, accounts, python_image, mode):
    """A projected token: for one audience, with an expiry, and for no other audience."""
    spire(install=False, token_reviewers=[{"namespace": accounts, "name": "reader"}], mode=mode)
    source = {"service_account_token": {"path": "warehouse", "audience": "warehouse", "expiration_seconds": 600}}
    volume = {"name": "tokens", "mount_path": "/run/tokens", "projected": {"sources": [source]}}
    bearer = PYTHON | {"name": "bearer", "service_account": "builder", "command": ["cat", "/run/tokens/warehouse"], "volumes": [volume]}
    bearer |= {"state": "completed", "logs": "collect"}
    token = play([{"name": "bearer", "podwright.core.task_pod": bearer}], namespace=accounts, mode=mode).of("bearer")["logs"]

    def review(audience, account="reader"):
        task = PYTHON | {
            "name": f"{account}-{audience}",
            "service_account": account,
            "automount_service_account_token": True,
            "state": "completed",
            "rerun": "always",
        }
        task |= {"command": ["python3", "-c", REVIEW, audience], "secret_env": {"TOKEN": token}, "logs": "collect"}
        return json.loads(play([{"name": "review", "podwright.core.task_pod": task}], namespace=accounts, mode=mode).of("review")["logs"])

    right = {"user": f"system:serviceaccount:{accounts}:builder", "error": None, "audience": ["warehouse"], "lifetime": 600, "signature": True}
    assert review("warehouse") == right
    other = review("bank")
    assert other["user"] is None and "audience" in other["error"]
    assert review("warehouse", "builder")["error"] == 403  # not a reviewer
    spire(install=False, state="absent", mode=mode)
    assert review("warehouse", "reader")["error"] == 403


def test_options_are_checked_before_the_first_request(spire, audit):
    failed = spire(trust_domain="Example Org", expect=2)
    assert "workload_identity_trust_domain: must be lower-case" in failed.output
    failed = spire(registrations=[{"name": "a", "namespace": "n"}], expect=2)
    assert "workload_identity_registrations[0]: must have a service_account or a path." in failed.output


def test_the_spire_of_others_is_neither_changed_nor_deleted(spire, client):
    kind = BUILT_IN["storage.k8s.io/v1", "CSIDriver"]
    driver = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "csi.spiffe.io", "labels": {"theirs": "yes"}}}
    uid = client.create(kind, None, driver | {"spec": {"attachRequired": False}}, "test")["metadata"]["uid"]
    try:
        refused = spire(expect=2)
        assert "not its members: CSIDriver 'csi.spiffe.io'" in refused.output
        assert not spire(state="absent").is_changed
        assert client.get(kind, None, "csi.spiffe.io")["metadata"]["uid"] == uid
    finally:
        client.delete(kind, None, "csi.spiffe.io")


def test_the_examples_of_the_guide_run(spire, play, namespace, tmp_path):
    """In the namespaces of the guide."""
    given = json.dumps({f"workload_identity_{name}": value for name, value in LOCAL.items()})
    page = ROOT / "docs/guides/identity.md"
    try:
        run_examples(page, play, namespace, tmp_path, "--extra-vars", given)
    finally:
        play([role("workload_identity", state="absent", namespace="spire"), role("namespace", state="absent", name="spire")], namespace=namespace)


def present(client, home):
    """The names of those of the objects of SPIRE that exist."""
    return [name.format(home) for kind, name in OBJECTS if client.get(kind, home if kind.namespaced else None, name.format(home))]
