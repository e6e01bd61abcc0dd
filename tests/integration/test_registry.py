# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role registry with the real registry: images are pushed to it and run from it, by those who may, on nodes that trust it."""

from __future__ import annotations

import shutil

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, POD
from ansible_collections.podwright.core.plugins.plugin_utils._certificates import create_authority

from ..support.environment import CLUSTER, ROOT
from ..support.examples import examples
from ..support.playbooks import MODES
from .test_examples import in_namespace, missing_lines

pytestmark = pytest.mark.long
CONFIG_MAP, SECRET, CLAIM, SERVICE = (BUILT_IN["v1", kind] for kind in ("ConfigMap", "Secret", "PersistentVolumeClaim", "Service"))
DEPLOYMENT = BUILT_IN["apps/v1", "Deployment"]
PASSWORD = "canary-of-the-registry"
CRANE = "gcr.io/go-containerregistry/crane:debug"


@pytest.fixture
def registry(load_component, namespace):
    """Variables of the role for the local cluster."""
    load_component("registry")
    load_component("crane")
    return {
        "registry_namespace": namespace,
        "registry_storage_size": "",
        "registry_trust_nodes": True,
        "registry_nodes_directory": str(CLUSTER / "registries"),
        "registry_nodes_image": "busybox",
        "registry_node_selector": {"kubernetes.io/hostname": "node-1"},
        "registry_users": [{"name": "builder", "password": PASSWORD}],
        "registry_check": "pull",
        "registry_check_image": CRANE,
        "registry_image": "registry:3",
        "registry_timeout": 200,
    }


@pytest.fixture
def claim(namespace):
    """A volume of 1 GiB on the node that user 65532 can write to, and a storage class; variables of the role storage."""
    directory = CLUSTER / f"volume-{namespace}"
    directory.mkdir()
    directory.chmod(0o777)
    volume = {"name": namespace, "capacity": "1Gi", "class": namespace, "host_path": str(directory)}
    yield {"storage_namespace": namespace, "storage_classes": [{"name": namespace}], "storage_volumes": [volume]}
    shutil.rmtree(directory)


def role(name, variables, **others):
    """A task that includes a role."""
    return [{"ansible.builtin.include_role": {"name": f"podwright.core.{name}"}, "vars": variables | others}]


def crane(namespace, script, **options):
    """A task that runs crane as the user of the registry does."""
    login = {"secret_name": "registry-login", "items": [{"key": ".dockerconfigjson", "path": "config.json"}]}
    volumes = [{"name": "ca", "mount_path": "/ca", "config_map": "registry-ca"}, {"name": "login", "mount_path": "/login", "secret": login}]
    environment = {"SSL_CERT_FILE": "/ca/ca.crt", "DOCKER_CONFIG": "/login", "SERVER": f"registry.{namespace}:5000", "HOME": "/tmp"}
    task = {"name": "crane", "image": CRANE, "command": ["sh", "-ec", f"PATH=$PATH:/ko-app:/\n{script}"], "env": environment, "volumes": volumes}
    return [{"podwright.core.task_pod": task | {"state": "completed", "logs": "collect", "rerun": "always", "failure_grace": 5} | options, "name": "crane"}]


# An image of our own, whose command shows that it is the one that was pushed.
PUSH = """
mkdir /tmp/layer && cp "$(readlink -f /proc/self/exe)" /tmp/layer/busybox && echo pushed by a task > /tmp/layer/said
tar -C /tmp/layer -cf /tmp/l.tar busybox said
crane append -f /tmp/l.tar -t $SERVER/team/app:1 && crane mutate $SERVER/team/app:1 -t $SERVER/team/app:1 --set-platform linux/$(uname -m | sed s/x86_64/amd64/)
"""


@pytest.mark.parametrize("mode", MODES)
def test_task_runs_from_an_image_that_another_pushed(client, play, namespace, registry, mode):
    assert play(role("registry", registry), namespace=namespace, mode=mode).is_changed
    files = CLUSTER / f"registries/registry.{namespace}:5000"
    assert sorted(path.name for path in files.iterdir()) == ["ca.crt", "hosts.toml"]
    again = play(role("registry", registry), "-vvv", "--diff", namespace=namespace, mode=mode)
    assert not again.is_changed and PASSWORD not in again.output and "PRIVATE KEY" not in again.output
    play(crane(namespace, PUSH), namespace=namespace, mode=mode)
    run = {"name": "app", "image": f"registry.{namespace}:5000/team/app:1", "image_pull_policy": "Always", "failure_grace": 5}
    run |= {"command": ["/busybox", "cat", "/said"], "state": "completed", "logs": "collect"}
    refused = play([{"podwright.core.task_pod": run, "name": "run"}], namespace=namespace, mode=mode, expect=2)
    assert "no basic auth credentials" in refused.of("run")["msg"]
    ran = play([{"podwright.core.task_pod": run | {"image_pull_secrets": ["registry-login"]}, "name": "run"}], namespace=namespace, mode=mode)
    assert ran.of("run")["logs"] == "pushed by a task\n"
    assert play(role("registry", registry, registry_state="absent"), namespace=namespace, mode=mode).is_changed
    assert not files.exists() and not client.list(SERVICE, namespace)[0]
    assert not [secret for secret in client.list(SECRET, namespace)[0] if secret["metadata"]["name"].startswith("registry")]
    assert not play(role("registry", registry, registry_state="absent"), namespace=namespace, mode=mode).is_changed


def test_images_survive_their_registry_in_a_claim(client, play, namespace, registry, claim):
    play(role("storage", claim), namespace=namespace)
    registry |= {"registry_storage_size": "1Gi", "registry_storage_class": namespace, "registry_check": "health", "registry_trust_nodes": False}
    registry |= {"registry_run_as_user": 65532, "registry_resources": {"limits": {"memory": "256Mi"}}, "registry_names": ["registry.example.com"]}
    assert play(role("registry", registry), "--check", namespace=namespace).is_changed and not client.list(POD, namespace)[0]
    play(role("registry", registry), namespace=namespace)
    assert [item["metadata"]["name"] for item in client.list(CLAIM, namespace)[0]] == ["registry"]
    play(crane(namespace, PUSH), namespace=namespace)
    (pod,) = client.list(POD, namespace, label_selector="podwright.io/registry=registry")[0]
    client.delete(POD, namespace, pod["metadata"]["name"])
    # Another certificate, of an authority of the user's own, is used by the registry at once; a second user may push, too.
    authority = create_authority("ours")
    registry |= {"registry_ca_certificate": authority.certificate, "registry_ca_key": authority.key, "registry_certificate_days": 90}
    registry["registry_users"] = [{"name": "second", "password": "other"}, *registry["registry_users"]]
    assert play(role("registry", registry), namespace=namespace).is_changed
    assert not play(role("registry", registry), namespace=namespace).is_changed
    listed = play(crane(namespace, "crane ls $SERVER/team/app"), namespace=namespace)
    assert listed.of("crane")["logs"] == "1\n"
    play(role("registry", registry, registry_state="absent"), namespace=namespace)
    assert not client.list(CLAIM, namespace)[0]
    play(role("storage", claim, storage_state="absent"), namespace=namespace)


def test_registry_uses_a_claim_of_the_users_own_and_never_deletes_it(client, play, namespace, registry, claim):
    play(role("storage", claim, storage_claims=[{"name": "images", "size": "1Gi", "class": namespace}]), namespace=namespace)
    registry |= {"registry_storage_claim": "images", "registry_check": "health", "registry_trust_nodes": False, "registry_users": []}
    play(role("registry", registry), namespace=namespace)
    play(role("registry", registry, registry_state="absent"), namespace=namespace)
    assert [item["metadata"]["name"] for item in client.list(CLAIM, namespace)[0]] == ["images"]
    play(role("storage", claim, storage_state="absent", storage_claims=[{"name": "images", "size": "1Gi", "class": namespace}]), namespace=namespace)


@pytest.mark.parametrize("change", [{"registry_storage_claim": "registry"}, {"registry_storage_claim": "other"}, {"registry_storage_size": ""}])
def test_the_claim_with_the_images_is_deleted_only_on_request(client, play, namespace, change):
    """Nothing waits for the claim, which no volume fits."""
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "none", "resources": {"requests": {"storage": "1Gi"}}}
    own = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "registry", "namespace": namespace}, "spec": spec}
    applied = {"name": "registry", "field_manager": "podwright-role-registry", "adopt": False, "wait": False, "definition": own}
    play([{"podwright.core.resource_set": applied | {"namespace": namespace}}], namespace=namespace)
    variables, gone = {"registry_namespace": namespace, "registry_timeout": 60}, {"registry_state": "absent"}
    refused = [role("registry", variables | change), *([role("registry", variables | change | gone)] if "registry_storage_claim" in change else [])]
    for tasks in refused:
        assert "would be deleted with the images" in play(tasks, namespace=namespace, expect=2).output
        assert "deletionTimestamp" not in client.get(CLAIM, namespace, "registry")["metadata"] and client.get(SERVICE, namespace, "registry") is None
    if len(refused) > 1:
        own["metadata"]["labels"] = {"applyset.kubernetes.io/part-of": None}
        play([{"podwright.core.resource_set": {"state": "patched", "wait": False, "definition": own}}], namespace=namespace)
        play(role("registry", variables | change | gone), namespace=namespace)
        assert client.get(CLAIM, namespace, "registry"), "a claim without the label is the user's own"
    else:
        play(role("registry", variables | gone), namespace=namespace)
        assert client.get(CLAIM, namespace, "registry") is None


def test_check_names_the_node_that_does_not_trust_the_registry(play, namespace, registry):
    failed = play(role("registry", registry, registry_trust_nodes=False, registry_users=[]), namespace=namespace, expect=2)
    assert "registry-pull-0-node-1" in failed.of("podwright.core.registry : Run the image on each node")["msg"]


def test_options_are_refused_before_anything_is_written(client, play, namespace, registry):
    for wrong, problem in (
        ({"registry_users": [{"name": "a:b", "password": PASSWORD}]}, "must not contain a colon"),
        ({"registry_ca_certificate": "x"}, "ca_certificate and ca_key must be set together"),
        ({"registry_certificate_days": 1}, "registry_certificate_days: must be from 31 to 36500"),
    ):
        refused = play(role("registry", registry, **wrong), namespace=namespace, expect=2)
        assert problem in refused.output and PASSWORD not in refused.output
    assert not client.list(SERVICE, namespace)[0]


def test_objects_of_others_are_neither_changed_nor_deleted(client, play, namespace, registry):
    labels = {"app": "theirs"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    deployment = client.create(DEPLOYMENT, namespace, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "registry"}, "spec": spec}, "test")
    refused = play(role("registry", registry), namespace=namespace, expect=2)
    assert "must not take over objects that exist and are not its members: Deployment 'registry'" in refused.output
    assert not client.list(SERVICE, namespace)[0] and not client.get(CONFIG_MAP, namespace, "podwright-set-registry")
    client.delete(DEPLOYMENT, namespace, "registry", deployment["metadata"]["uid"])
    refused = play(role("registry", registry, registry_storage_size="large"), namespace=namespace, expect=2)
    assert "registry_storage_size: must be a quantity" in refused.output and not client.list(SERVICE, namespace)[0]
    theirs = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "registry"}, "spec": {"selector": {"app": "theirs"}, "ports": [{"port": 5000}]}}
    created = client.create(SERVICE, namespace, theirs, "test")
    for check in ([], ["--check"]):
        refused = play(role("registry", registry), *check, namespace=namespace, expect=2)
        assert "The set 'registry' must not take over objects that exist and are not its members: Service 'registry'" in refused.output
    assert not play(role("registry", registry, registry_state="absent"), namespace=namespace).is_changed
    (left,) = client.list(SERVICE, namespace)[0]
    assert left["metadata"]["uid"] == created["metadata"]["uid"] and left["spec"]["selector"] == {"app": "theirs"}


def test_examples_of_the_guide_run(play, namespace, registry):
    for example in examples(ROOT / "docs/guides/registry.md"):
        result = play(in_namespace(example.tasks, namespace), namespace=namespace, environment={"ANSIBLE_CALLBACK_RESULT_FORMAT": "json"})
        assert not missing_lines(example.output, result.stdout), result.output
