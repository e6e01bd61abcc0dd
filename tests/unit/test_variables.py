# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Defaults of options by PODWRIGHT_* variables, and the registry of images without a host."""

from __future__ import annotations

import os

import pytest
from ansible import constants
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.playbook.play_context import PlayContext

from ansible_collections.podwright.core.plugins.connection import pod
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_deployment, task_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.images import full_image

from ..support.documents import read_yaml

VARIABLES = {
    "PODWRIGHT_SERVICE_ACCOUNT": "builder",
    "PODWRIGHT_NODE_SELECTOR": "pool=builds,arch=arm64",
    "PODWRIGHT_REGISTRY": "registry.example.com/mirror",
    "PODWRIGHT_IMAGE_PULL_SECRETS": "one,two",
}
VALUES = {
    "service_account": "builder",
    "node_selector": {"pool": "builds", "arch": "arm64"},
    "registry": "registry.example.com/mirror",
    "image_pull_secrets": ["one", "two"],
}


def read(module, options):
    checked = ArgumentSpecValidator(module.OPERATION.arguments, **module.OPERATION.rules).validate(options)
    assert not checked.error_messages
    return {name: checked.validated_parameters.get(name) for name in VALUES}


@pytest.fixture
def variables(monkeypatch):
    for name, text in VARIABLES.items():
        monkeypatch.setenv(name, text)


def test_an_empty_variable_for_a_boolean_of_the_connection_is_not_set(monkeypatch):
    monkeypatch.setenv("K8S_AUTH_VERIFY_SSL", "")
    monkeypatch.setenv("K8S_AUTH_VERIFY_X509_STRICT", "")
    checked = ArgumentSpecValidator(task_pod.OPERATION.arguments).validate({})
    parameters = checked.validated_parameters
    assert not checked.error_messages and (parameters["validate_certs"], parameters["verify_x509_strict"]) == (None, False)


@pytest.mark.usefixtures("variables")
@pytest.mark.parametrize("module", [task_pod, pod_deployment], ids=["task_pod", "pod_deployment"])
def test_variables_are_defaults_of_options(module, monkeypatch):
    assert read(module, {"name": "a"}) == VALUES
    given = {"service_account": "own", "node_selector": {}, "registry": "localhost:5000", "image_pull_secrets": []}
    assert read(module, {"name": "a"} | given) == given
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
    assert read(module, {"name": "a"}) == dict.fromkeys(VALUES)


@pytest.mark.usefixtures("variables")
def test_options_beside_tasks_take_precedence_over_variables_and_items_over_these():
    validator = ArgumentSpecValidator(task_pod.OPERATION.arguments, **task_pod.OPERATION.rules)
    checked = validator.validate({"service_account": "beside", "tasks": [{"name": "a"}, {"name": "b", "service_account": "own"}]})
    params = checked.validated_parameters
    merged = [task_pod._merge_item({name: params[name] for name in task_pod.TASK_OPTIONS}, task_pod.given_options(item)) for item in params["tasks"]]
    assert [(item["service_account"], item["registry"]) for item in merged] == [("beside", VALUES["registry"]), ("own", VALUES["registry"])]


@pytest.mark.parametrize(("variable", "namespace"), [("builds", "builds"), ("", "of-context"), (None, "of-context")])
def test_the_namespace_is_that_of_the_variable_then_that_of_the_context(variable, namespace, monkeypatch):
    kubeconfig = {
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "namespace": "of-context"}}],
        "current-context": "x",
    }
    monkeypatch.delenv("PODWRIGHT_NAMESPACE", raising=False)
    if variable is not None:
        monkeypatch.setenv("PODWRIGHT_NAMESPACE", variable)
    assert Configuration({"kubeconfig": kubeconfig}).namespace == namespace


@pytest.mark.parametrize(
    ("variables", "container"),
    [
        ({}, ("of-context", "web", None)),
        ({"K8S_AUTH_NAMESPACE": "n", "K8S_AUTH_POD": "p", "K8S_AUTH_CONTAINER": "c"}, ("n", "p", "c")),
        ({"K8S_AUTH_NAMESPACE": "", "K8S_AUTH_POD": "", "K8S_AUTH_CONTAINER": ""}, ("of-context", "web", None)),
        ({"K8S_AUTH_POD": "p", "ansible_host": "h"}, ("of-context", "h", None)),
        ({"K8S_AUTH_NAMESPACE": "n", "K8S_AUTH_POD": "p", "ansible_podwright_pod": "own", "ansible_podwright_namespace": "m"}, ("m", "own", None)),
    ],
)
def test_the_connection_has_the_variables_of_that_of_kubernetes_core(variables, container, monkeypatch):
    for name in ("K8S_AUTH_NAMESPACE", "K8S_AUTH_POD", "K8S_AUTH_CONTAINER", "PODWRIGHT_NAMESPACE", "K8S_AUTH_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    kubeconfig = {"clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}], "current-context": "x"}
    kubeconfig["contexts"] = [{"name": "x", "context": {"cluster": "c", "namespace": "of-context"}}]
    constants.config.initialize_plugin_configuration_definitions("connection", pod.Connection.transport, read_yaml(pod.DOCUMENTATION)["options"])
    connection = pod.Connection(PlayContext(), os.devnull)
    connection._load_name = connection.ansible_name = pod.Connection.transport
    given = {name: value for name, value in variables.items() if name.startswith("ansible_")}
    connection.set_options(var_options={"inventory_hostname": "web", "ansible_podwright_kubeconfig": kubeconfig} | given)
    found = connection._connect()._container
    assert (found.namespace, found.pod, found.name) == container
    connection.close()


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("busybox", "r.example:5000/m/busybox"),
        ("busybox:1.36", "r.example:5000/m/busybox:1.36"),
        ("busybox@sha256:abc", "r.example:5000/m/busybox@sha256:abc"),
        ("team/app:v1.2", "r.example:5000/m/team/app:v1.2"),
        ("library/localhost/x", "r.example:5000/m/library/localhost/x"),
        ("quay.io/team/app", "quay.io/team/app"),
        ("registry:5000/app", "registry:5000/app"),
        ("localhost/app", "localhost/app"),
        ("[::1]:5000/app", "[::1]:5000/app"),
        ("Registry/app", "Registry/app"),
        ("", ""),
        (None, None),
    ],
)
def test_the_registry_is_the_prefix_of_images_that_name_none(image, full):
    assert full_image(image, "r.example:5000/m") == full_image(image, "r.example:5000/m/") == full
    assert full_image(image, None) == full_image(image, "") == image


@pytest.mark.parametrize("registry", ["https://r.example", "team", "r.example:x", "r.example/Team", "r.example/a b", "/r.example", "r.example//a"])
def test_an_invalid_registry_is_refused(registry):
    with pytest.raises(PodwrightError, match=r"^registry: must be HOST\[:PORT\]\[/PATH\] without a scheme"):
        full_image("a", registry)
