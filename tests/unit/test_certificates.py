# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Verification of certificates on this Python and the oldest: authorities with and without key identifiers."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.request import Request
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.websocket import open_websocket
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.runtimes import why_unusable
from tests.cluster.certificates import Authority

from ..support.environment import CORES
from .stub_server import Response, StubServer

# Over HTTP and over a websocket, which the stub server does not support.
SCRIPT = """
import json, sys
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.request import Request
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.websocket import open_websocket

request = Request("GET", POD.path("n", "a", "exec"), kind=POD, subresource="exec", namespace="n", name="a", retryable=False)
for use in (lambda client: client.get(POD, "n", "a"), lambda client: open_websocket(client, request, ["v5.channel.k8s.io"])):
    try:
        with Client(Configuration(json.loads(sys.argv[1]))) as client:
            print(use(client)["kind"])
    except PodwrightError as error:
        print(str(error).replace(chr(10), " "))
"""


@pytest.fixture(scope="module")
def authorities(tmp_path_factory):
    """{whether it has key identifiers: Authority}, each with certificates for servers and a client."""
    issued = {}
    for identified in (True, False):
        issued[identified] = Authority(tmp_path_factory.mktemp("authority"), with_identifiers=identified)
        issued[identified].issue("server", "server", addresses=("127.0.0.1",))
        issued[identified].issue("client", "jane")
        issued[identified].issue("elsewhere", "server", addresses=("192.0.2.1",))
    return issued


def serve(authority, name="server"):
    """A server with a certificate of the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.directory / f"{name}.crt", authority.directory / f"{name}.key")
    return StubServer(lambda handler: Response(), context)


def run(python, **options):
    """The results of both requests with a Python version."""
    done = subprocess.run([CORES[python] / "python", "-c", SCRIPT, json.dumps(options)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("python", CORES)
@pytest.mark.parametrize("identified", [True, False])
def test_authorities_with_and_without_key_identifiers_are_verified(python, identified, authorities):
    authority = authorities[identified]
    with serve(authority) as server:
        by_http, by_websocket = run(python, host=server.url, ca_cert=str(authority.path))
        assert by_http == "Pod" and "responded with 200" in by_websocket
        strict = run(python, host=server.url, ca_cert=str(authority.path), verify_x509_strict=True)
        assert strict[0] == "Pod" if identified else all("ertificate" in text or "CERTIFICATE" in text for text in strict), strict


@pytest.mark.parametrize("python", CORES)
def test_chain_and_host_name_are_verified(python, authorities):
    authority = authorities[False]
    with serve(authority) as server, serve(authority, "elsewhere") as elsewhere:
        for text in run(python, host=server.url, ca_cert=str(authorities[True].path)) + run(python, host=elsewhere.url, ca_cert=str(authority.path)):
            assert "certificate" in text.lower() and "Pod" not in text.split(), text
        assert server.heads == elsewhere.heads == []


def test_a_certificate_that_is_not_accepted_has_a_reason_of_its_own(authorities):
    """A server is there, so that nothing runs elsewhere."""
    with serve(authorities[True]) as server, Client(Configuration({"host": server.url, "ca_cert": str(authorities[False].path)})) as client:
        for use in (lambda: why_unusable(lambda: client), lambda: open_websocket(client, Request("GET", "/"), ["v5.channel.k8s.io"])):
            with pytest.raises(PodwrightError) as caught:
                use()
            assert caught.value.reason == "BadCertificate"


def test_server_certificate_can_be_its_own_authority(authorities):
    """As for kubectl, every certificate of the file is trusted, without its issuer."""
    authority = authorities[False]
    with serve(authority) as server:
        assert run("this", host=server.url, ca_cert=str(authority.directory / "server.crt"))[0] == "Pod"


@pytest.mark.parametrize("content", ["", "\n", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_invalid_authority_is_rejected(content, tmp_path):
    """Python would use the authorities of this machine if the file is empty."""
    (tmp_path / "ca.crt").write_text(content)
    with pytest.raises(PodwrightError, match="ertificate"):
        Configuration({"host": "https://127.0.0.1:9", "ca_cert": str(tmp_path / "ca.crt")})


def test_encrypted_key_is_rejected_without_a_prompt(authorities, tmp_path):
    directory = authorities[True].directory
    key = serialization.load_pem_private_key((directory / "client.key").read_bytes(), None)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret"))
    (tmp_path / "key").write_bytes(pem)
    with pytest.raises(PodwrightError, match="client_key: must not be encrypted"):
        Configuration({"host": "https://127.0.0.1:9", "client_cert": str(directory / "client.crt"), "client_key": str(tmp_path / "key")})


def test_temporary_file_with_the_key_is_removed(authorities, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    directory = authorities[True].directory
    Configuration({"host": "https://127.0.0.1:9", "client_cert": str(directory / "client.crt"), "client_key": str(directory / "client.key")})
    with pytest.raises(PodwrightError):
        Configuration({"host": "https://127.0.0.1:9", "client_cert": str(directory / "client.crt"), "client_key": str(directory / "server.key")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["validate_certs", "verify_x509_strict"])
def test_a_misspelt_truth_value_is_refused_instead_of_being_false(option):
    """Ansible makes false of a text that it cannot read as a truth value, if an option of a plugin has the type bool."""
    with pytest.raises(PodwrightError, match=f"{option}: must be true or false, got 'ture'"):
        Configuration({"host": "https://127.0.0.1:9", option: "ture"})


@pytest.mark.parametrize(("value", "is_verified"), [("no", False), ("0", False), (False, False), ("", True), (None, True), ("True", True), ("yes", True)])
def test_certificates_are_verified_unless_a_truth_value_says_otherwise(value, is_verified):
    tls = Configuration({"host": "https://127.0.0.1:9", "validate_certs": value}).tls
    assert (tls.verify_mode == ssl.CERT_REQUIRED) == is_verified


@pytest.mark.parametrize("plugin", ["connection/pod.py", "doc_fragments/lookup.py"])
def test_plugins_leave_truth_values_of_the_connection_as_they_were_written(plugin):
    text = (Path(__file__).parents[2] / "plugins" / plugin).read_text()
    for option in ("validate_certs", "verify_x509_strict"):
        assert re.search(rf"  {option}:\n.*\n    type: raw\n", text), option
