# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kubeconfigs in which any value is replaced by any other value of YAML: a connection, or an error that names the fault and shows no secret."""

from __future__ import annotations

import base64
import copy
import json

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.arguments import connection_secrets, redact_connection
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError

pytestmark = pytest.mark.search

CANARY = "c4n4ry-of-the-kubeconfig"
EXEC = {
    "apiVersion": "client.authentication.k8s.io/v1",
    "command": "/no/such/plugin",
    "args": ["login"],
    "env": [{"name": "A", "value": "b"}],
    "interactiveMode": "Never",
    "provideClusterInfo": True,
    "installHint": "Install it.",
}
USERS = {
    "token": {"token": CANARY, "as": "jane", "as-uid": "7", "as-groups": ["a"], "as-user-extra": {"scope": ["x"]}},
    "basic": {"username": "jane", "password": CANARY},
    "certificate": {
        "client-certificate-data": base64.b64encode(b"no certificate").decode(),
        "client-key-data": base64.b64encode(CANARY.encode()).decode(),
    },
    "files": {"tokenFile": "/no/such/token", "client-certificate": "/no/such/certificate", "client-key": "/no/such/key"},
    "exec": {"exec": EXEC},
    "provider": {"auth-provider": {"name": "oidc", "config": {"id-token": CANARY, "idp-issuer-url": "http://127.0.0.1:9"}}},
}
CLUSTER = {
    "server": "https://127.0.0.1:9",
    "tls-server-name": "kubernetes",
    "insecure-skip-tls-verify": True,
    "proxy-url": "http://127.0.0.1:9",
    "disable-compression": True,
    "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}}],
}


def kubeconfig_of(user):
    """A kubeconfig with all fields that are read."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "clusters": [{"name": "c", "cluster": CLUSTER}],
        "users": [{"name": "u", "user": USERS[user]}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "n"}}],
        "current-context": "x",
    }


def paths_in(value, path=()):
    """The path of each node."""
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from paths_in(item, (*path, key))


def replaced(value, path, new):
    """A copy with another value at a path."""
    if not path:
        return new
    value = copy.deepcopy(value)
    parent = value
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = new
    return value


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates(), st.datetimes(), st.binary(max_size=8), st.sampled_from(["²", "\0"])
)
KEYS = st.one_of(st.text(max_size=8), st.integers(), st.none(), st.booleans(), st.sampled_from(["name", "user", "cluster", "context", "command", "value"]))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=5)
CASES = [(user, path) for user in USERS for path in paths_in(kubeconfig_of(user))]


def check(kubeconfig):
    """Use a kubeconfig as an operation does."""
    params = {"kubeconfig": kubeconfig}
    secrets = connection_secrets(params)
    assert all(isinstance(secret, str) for secret in secrets)
    assert CANARY not in json.dumps(redact_connection(params), default=str)
    try:
        with Client(Configuration(params)) as client:
            configuration = client.configuration
            shown = [configuration.server, configuration.source, configuration.identity, configuration.renewal, configuration.place, configuration.namespace]
            assert all(isinstance(text, str) and CANARY not in text for text in shown)
    except PodwrightError as error:
        assert CANARY not in f"{error} {error.__cause__ or ''}" and error.reason in ("BadConfiguration", "ExecPlugin", "NoConfiguration"), error


@pytest.fixture(autouse=True)
def _no_files(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "K8S_AUTH_KUBECONFIG", "KUBERNETES_SERVICE_HOST", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("user", USERS)
def test_kubeconfig_with_all_fields_is_read(user):
    check(kubeconfig_of(user))


def test_text_is_not_a_boolean():
    """Else `insecure-skip-tls-verify: "false"` would disable the verification."""
    content = replaced(kubeconfig_of("token"), ("clusters", 0, "cluster", "insecure-skip-tls-verify"), "false")
    with pytest.raises(PodwrightError, match=r"clusters\[0\].cluster.insecure-skip-tls-verify must be true or false"):
        Configuration({"kubeconfig": content})


@pytest.mark.parametrize("value", ["text", 5, True, ["list"], {"a": {"b": []}}, None, [None], [[]], [{}], 1e999], ids=repr)
def test_any_value_may_be_of_another_type(value):
    for user, path in CASES:
        check(replaced(kubeconfig_of(user), path, value))


@settings(max_examples=300)
@given(case=st.sampled_from(CASES), value=VALUES, as_text=st.booleans())
@example(case=("exec", ("users", 0, "user", "exec")), value="text", as_text=True)
def test_any_value_may_be_replaced_by_any_other(case, value, as_text):
    user, path = case
    content = replaced(kubeconfig_of(user), path, value)
    check(yaml.safe_dump(content) if as_text else content)
