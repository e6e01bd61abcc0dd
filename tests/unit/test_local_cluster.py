# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The local cluster of tests is not replaced while it runs."""

from __future__ import annotations

import ssl

import pytest

from tests.cluster import build, cluster, host
from tests.cluster.certificates import Authority

from .stub_server import Response, StubServer


@pytest.fixture
def started(tmp_path, monkeypatch):
    """A Cluster whose processes run; it must not be replaced."""

    def fail(_sandbox):
        pytest.fail("The cluster was replaced.")

    monkeypatch.setattr(host, "prepare", lambda: None)
    monkeypatch.setattr(build, "ensure", lambda groups: None)
    for name in ("remove", "create"):
        monkeypatch.setattr(cluster.Sandbox, name, fail)
    monkeypatch.setattr(cluster.Sandbox, "is_alive", lambda sandbox: True)
    monkeypatch.setattr(cluster.Sandbox, "has_started", lambda sandbox, name: True)
    return cluster.Cluster(tmp_path)


@pytest.mark.parametrize("error", [TimeoutError("busy"), ConnectionRefusedError(), ssl.SSLCertVerificationError("strict")])
def test_a_cluster_that_does_not_answer_is_kept(error, started, monkeypatch):
    def respond(*_arguments, **_options):
        raise error

    def wait_for(condition, _seconds, subject, _log):
        if not condition():
            raise SystemExit(f"Timeout while waiting for {subject}")

    monkeypatch.setattr(started, "_request", respond)
    monkeypatch.setattr(cluster, "wait_for", wait_for)
    with pytest.raises(SystemExit, match="the API server"):
        started.up(addons=False)


def test_certificates_of_the_cluster_are_accepted_by_this_python(tmp_path, monkeypatch):
    state = cluster.Cluster(tmp_path)
    (tmp_path / "certificates").mkdir()
    authority = Authority(tmp_path / "certificates")
    authority.issue("apiserver", "kube-apiserver", addresses=("127.0.0.1",))
    authority.issue("admin", "podwright-admin", "system:masters")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificates/apiserver.crt", tmp_path / "certificates/apiserver.key")
    with StubServer(lambda handler: Response(), context) as server:
        monkeypatch.setattr(cluster.Cluster, "server", server.url)
        assert state.is_running()
