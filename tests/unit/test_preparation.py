# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is prepared before Ansible forks: the TLS context of the default kubeconfig, and nothing that has an effect."""

from __future__ import annotations

import base64
import json
import os
import threading

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.preparation import prepare_forks
from tests.cluster.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """An authority with a certificate of a client."""
    issued = Authority(tmp_path_factory.mktemp("authority"))
    issued.issue("client", "jane")
    return issued


@pytest.fixture
def write(authority, tmp_path, monkeypatch):
    """A function that writes the kubeconfig of KUBECONFIG for a user, and returns its path."""
    for name in ("K8S_AUTH_KUBECONFIG", "K8S_AUTH_CONTEXT", "KUBERNETES_SERVICE_HOST", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)

    def write(user, server="https://127.0.0.1:9"):
        names = {"cluster": "a", "user": "a"}
        clusters = [{"name": "a", "cluster": {"server": server, "certificate-authority": str(authority.path)}}]
        content = {"clusters": clusters, "users": [{"name": "a", "user": user}], "contexts": [{"name": "a", "context": names}], "current-context": "a"}
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(content))
        monkeypatch.setenv("KUBECONFIG", str(path))
        return path

    return write


def credentials(authority, name):
    """The fields of a user with a certificate, in files or not."""
    files = {"client-certificate": authority.directory / "client.crt", "client-key": authority.directory / "client.key"}
    if name == "files":
        return {field: str(path) for field, path in files.items()}
    return {f"{field}-data": base64.b64encode(path.read_bytes()).decode() for field, path in files.items()} if name == "data" else {"token": "t0ken"}


@pytest.mark.parametrize("name", ["files", "data", "token"])
def test_tasks_get_the_prepared_context(name, authority, write):
    path = write(credentials(authority, name))
    prepare_forks()
    first = Configuration({"kubeconfig": str(path)}).tls
    prepare_forks()
    assert Configuration({}).tls is first is not None
    assert Configuration({"validate_certs": False}).tls is not first


def test_certificate_that_was_replaced_is_read_again(authority, write):
    write(credentials(authority, "data"))
    prepare_forks()
    before = Configuration({}).tls
    authority.issue("client", "joe")
    write(credentials(authority, "data"))
    assert Configuration({}).tls is not before


@pytest.mark.parametrize("user", [{"exec": {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}}, {"auth-provider": {"name": "oidc"}}])
def test_no_program_runs(user, tmp_path, write):
    ran = tmp_path / "ran"
    for entry in user.values():
        entry |= {"command": "/usr/bin/touch", "args": [str(ran)]}
    write(user)
    prepare_forks()
    assert not ran.exists()
    if "exec" in user:
        with pytest.raises(Exception, match="touch"):
            Configuration({})
        assert ran.exists(), "the plugin of this test has an effect when it runs"


def test_pipe_is_left_to_the_task(tmp_path, write, monkeypatch):
    content = write({"token": "t0ken"}).read_text()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    monkeypatch.setenv("KUBECONFIG", str(pipe))
    writer = threading.Thread(target=pipe.write_text, args=(content,), daemon=True)
    writer.start()
    prepare_forks()
    assert Configuration({}).server == "https://127.0.0.1:9"
    writer.join(10)


@pytest.mark.parametrize("content", ["", "clusters: 3", "{", "$ANSIBLE_VAULT;1.1;AES256\n3031"])
def test_invalid_kubeconfig_is_left_to_the_task(content, write):
    write({}).write_text(content)
    prepare_forks()
