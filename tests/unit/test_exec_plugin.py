# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an exec plugin of a kubeconfig gets and returns, and how it fails."""

from __future__ import annotations

import base64
import json

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import exec_plugin
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_plugin import run_plugin
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError

from .test_credentials import CANARY, credential, plugin


def test_plugin_gets_the_cluster_and_its_own_configuration(tmp_path):
    extensions = [{"name": "other", "extension": {"no": 1}}, {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}}]
    cluster = {"server": "https://x", "tls-server-name": "y", "proxy-url": "", "insecure-skip-tls-verify": True, "extensions": extensions, "unknown": 1}
    asked = plugin(f"printenv KUBERNETES_EXEC_INFO >{tmp_path}/info; {credential(token='t')}", provideClusterInfo=True)
    run_plugin(asked, cluster, b"authority", "the kubeconfig")
    info = json.loads((tmp_path / "info").read_text())["spec"]["cluster"]
    expected = {"server": "https://x", "tls-server-name": "y", "insecure-skip-tls-verify": True, "config": {"audience": "a"}}
    assert info == expected | {"certificate-authority-data": base64.b64encode(b"authority").decode()}
    run_plugin(asked | {"provideClusterInfo": False}, cluster, b"", "the kubeconfig")
    assert json.loads((tmp_path / "info").read_text())["spec"] == {"interactive": False}


def test_plugin_that_does_not_exit_is_stopped(monkeypatch):
    monkeypatch.setattr(exec_plugin, "TIMEOUT", 0.2)
    with pytest.raises(PodwrightError) as caught:
        run_plugin(plugin("echo waiting for a browser >&2; exec sleep 60"), {}, b"", "the kubeconfig")
    assert "did not exit within 0.2 s: waiting for a browser." in caught.value.message and caught.value.hint


def test_end_of_a_long_complaint_of_a_plugin_is_shown():
    script = "i=0; while [ $i -lt 400 ]; do echo line $i >&2; i=$((i+1)); done; echo the cause >&2; exit 1"
    with pytest.raises(PodwrightError) as caught:
        run_plugin(plugin(script), {}, b"", "the kubeconfig")
    assert caught.value.message.endswith("line 399 the cause.") and len(caught.value.message.partition("exit code 1: ")[2]) == 1000 + len(".")


def test_credential_of_a_plugin_is_not_shown():
    status = {"token": CANARY, "clientCertificateData": "c", "clientKeyData": CANARY, "expirationTimestamp": "2030-01-02T03:04:05Z"}
    found = run_plugin(plugin(credential(**status)), {}, b"", "the kubeconfig")
    assert (found.token, found.certificate, found.key, found.expires_at) == (CANARY, b"c", CANARY.encode(), 1893553445) and CANARY not in repr(found)
    assert run_plugin(plugin(credential(clientCertificateData="c", clientKeyData="k")), {}, b"", "x").expires_at is None


def test_secret_for_a_plugin_is_not_shown_if_the_plugin_fails():
    given = plugin({}) | {"command": "sh", "args": ["-c", 'echo "no login with $PASSPHRASE" >&2; exit 1'], "env": [{"name": "PASSPHRASE", "value": CANARY}]}
    with pytest.raises(PodwrightError, match=r"no login with \*") as caught:
        run_plugin(given, {}, b"", "the kubeconfig")
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("status", [{"clientKeyData": CANARY}, {"token": " "}, {"token": "", "clientCertificateData": ""}, {"token": None}])
def test_plugin_must_print_a_usable_credential(status):
    with pytest.raises(PodwrightError) as caught:
        run_plugin(plugin(credential(**status)), {}, b"", "the kubeconfig")
    assert caught.value.reason == "ExecPlugin" and CANARY not in str(caught.value)
