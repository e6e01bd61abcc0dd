# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filters server_certificate and htpasswd: what they create is accepted, remains until it must change, and never appears in an error."""

from __future__ import annotations

import socket
import ssl
import threading

import pytest
from ansible.errors import AnsibleFilterError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from ansible_collections.podwright.core.plugins.filter import htpasswd as passwords
from ansible_collections.podwright.core.plugins.filter.htpasswd import htpasswd
from ansible_collections.podwright.core.plugins.filter.server_certificate import server_certificate
from ansible_collections.podwright.core.plugins.plugin_utils import _certificates

NAMES = ["registry.builds", "10.96.7.8", "fd00::8"]


def connect(data, name, tmp_path):
    """Whether a strict client that trusts the authority accepts the certificate for that name."""
    for part in ("tls.crt", "tls.key"):
        (tmp_path / part).write_text(data[part])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    client = ssl.create_default_context(cadata=data["ca.crt"])
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()

    def serve():
        try:
            server.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client.wrap_socket(ours, server_hostname=name).close()
        return True
    except ssl.SSLCertVerificationError:
        return False
    finally:
        ours.close()
        thread.join()


def test_clients_accept_the_certificate_for_its_names_only(tmp_path):
    data = server_certificate({}, NAMES)
    assert [connect(data, name, tmp_path) for name in (*NAMES, "registry.other", "10.96.7.9")] == [True, True, True, False, False]


def test_stored_data_remain_until_they_must_change():
    data = server_certificate({}, NAMES)
    assert server_certificate(data, list(reversed(NAMES))) == data  # the order does not matter
    renamed = server_certificate(data, ["registry.builds"])
    assert renamed["tls.crt"] != data["tls.crt"] and renamed["ca.crt"] == data["ca.crt"] and renamed["ca.key"] == data["ca.key"]
    expiring = server_certificate({}, NAMES, days=20, renew_days=10)
    assert server_certificate(expiring, NAMES, days=20, renew_days=10) == expiring
    assert server_certificate(expiring, NAMES)["tls.crt"] != expiring["tls.crt"]
    for broken in ({"tls.crt": "nonsense"}, {"tls.key": ""}, {"ca.crt": "nonsense"}, {"ca.key": ""}):
        assert server_certificate(data | broken, NAMES)["tls.crt"] != data["tls.crt"]


def test_stored_data_that_do_not_fit_together_are_replaced(tmp_path):
    data, other = server_certificate({}, NAMES), server_certificate({}, NAMES)
    damaged = [
        {"tls.key": "text"},
        {"tls.key": None},
        {"tls.key": other["tls.key"]},
        {"tls.crt": "text"},
        {part: other[part] for part in ("tls.crt", "tls.key")},
    ]
    for change in damaged:
        found = server_certificate(data | change, NAMES)
        assert found["ca.crt"] == data["ca.crt"] and found["tls.crt"] not in (data["tls.crt"], other["tls.crt"]) and connect(found, NAMES[0], tmp_path)


def test_authority_is_renewed_before_it_expires(monkeypatch):
    monkeypatch.setattr(_certificates, "AUTHORITY_DAYS", 20)
    data = server_certificate({}, NAMES, days=365)
    assert not _certificates.is_valid(data["tls.crt"], NAMES, 21)  # a certificate does not outlive its authority
    monkeypatch.undo()
    renewed = server_certificate(data, NAMES)
    assert renewed["ca.crt"] != data["ca.crt"] and _certificates.is_valid(renewed["tls.crt"], NAMES, 300)


def test_given_authority_issues_the_certificate_and_its_key_is_not_returned(tmp_path):
    authority = _certificates.create_authority("ours")
    data = server_certificate(server_certificate({}, NAMES), NAMES, ca_certificate=authority.certificate, ca_key=authority.key)
    assert data["ca.crt"] == authority.certificate and "ca.key" not in data and connect(data, NAMES[0], tmp_path)
    assert server_certificate(data, NAMES, ca_certificate=authority.certificate, ca_key=authority.key) == data


def test_certificate_of_an_authority_that_expires_soon_remains(monkeypatch):
    monkeypatch.setattr(_certificates, "AUTHORITY_DAYS", 20)
    authority = _certificates.create_authority("ours")
    monkeypatch.undo()
    data = server_certificate({}, NAMES, ca_certificate=authority.certificate, ca_key=authority.key)
    assert server_certificate(data, NAMES, ca_certificate=authority.certificate, ca_key=authority.key) == data
    names = ["*.example.com", "a_b", "x" * 63]
    assert server_certificate(data, names, ca_certificate=authority.certificate, ca_key=authority.key)["tls.crt"] != data["tls.crt"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"ca_certificate": "x"}, "ca_certificate and ca_key must be set together"),
        ({"ca_certificate": "x", "ca_key": "canary"}, "ca_certificate: must be a certificate in PEM"),
        ({"ca_key": "canary"}, "ca_certificate and ca_key must be set together"),
        ({"names": []}, "a list of DNS names"),
        ({"names": "registry"}, "a list of DNS names"),
        ({"names": ["a", ""]}, "a list of DNS names and IP addresses, got '' in it"),
        ({"names": ["a", None]}, "a list of DNS names and IP addresses, got None in it"),
        ({"names": ["bad name"]}, "got 'bad name' in it"),
        ({"names": ["größe.example.com"]}, "got 'größe.example.com' in it"),
        ({"names": ["a.*.b"]}, "got 'a.*.b' in it"),
        ({"names": [f"{'a' * 64}.example.com"]}, "in it"),
        ({"days": 10**9}, "days must be an integer from 1 to 36500, got 1000000000"),
        ({"days": "a year"}, "days must be an integer from 1 to 36500, got 'a year'"),
        ({"days": 10}, "renew_days must be an integer, 0 or greater and less than days, got 30 and 10"),
        ({"renew_days": None}, "renew_days must be an integer, 0 or greater and less than days, got None and 365"),
        ({"ca_certificate": 5, "ca_key": 5}, "ca_certificate: must be a certificate in PEM"),
    ],
)
def test_invalid_options_are_named(options, problem):
    with pytest.raises(AnsibleFilterError, match=problem) as failure:
        server_certificate({}, **{"names": NAMES} | options)
    assert "canary" not in str(failure.value)


def test_days_may_be_text():
    data = server_certificate({}, NAMES, days="20", renew_days="10")
    assert server_certificate(data, NAMES, days=20, renew_days=10) == data


@pytest.mark.parametrize("part", ["tls.crt", "tls.key", "ca.crt", "ca.key"])
def test_stored_value_that_is_no_text_is_replaced(part):
    data = server_certificate(server_certificate({}, NAMES) | {part: 5}, NAMES)
    assert server_certificate(data, NAMES) == data and isinstance(data[part], str)


def test_identifier_of_the_authority_is_that_of_its_certificate(tmp_path):
    """RFC 7093 has other identifiers than the SHA-1 of the key; a certificate issued with that is replaced."""
    authority = _certificates.create_authority("other identifier")
    certificate = x509.load_pem_x509_certificate(authority.certificate.encode())
    key = serialization.load_pem_private_key(authority.key.encode(), None)
    builder = x509.CertificateBuilder(certificate.issuer, certificate.subject, key.public_key(), 1)
    builder = builder.not_valid_before(certificate.not_valid_before_utc).not_valid_after(certificate.not_valid_after_utc)
    for extension in certificate.extensions:
        if isinstance(extension.value, (x509.BasicConstraints, x509.KeyUsage)):
            builder = builder.add_extension(extension.value, extension.critical)
    builder = builder.add_extension(x509.SubjectKeyIdentifier(b"another"), critical=False)
    given = {"ca_certificate": builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode(), "ca_key": authority.key}
    wrong = server_certificate({}, NAMES, ca_certificate=authority.certificate, ca_key=authority.key) | {"ca.crt": given["ca_certificate"]}
    data = server_certificate(wrong, NAMES, **given)
    assert not connect(wrong, NAMES[0], tmp_path) and connect(data, NAMES[0], tmp_path)
    assert server_certificate(data, NAMES, **given) == data


def test_key_of_another_authority_is_refused():
    first, second = _certificates.create_authority("first"), _certificates.create_authority("second")
    for key, problem in ((second.key, "must be the private key of ca_certificate"), ("nonsense", "must be a private key in PEM")):
        with pytest.raises(AnsibleFilterError, match=f"ca_key: {problem}"):
            server_certificate({}, NAMES, ca_certificate=first.certificate, ca_key=key)


USERS = [{"name": "builder", "password": "canary"}, {"name": "reader", "password": 5}]


def test_lines_remain_until_the_password_changes():
    content = htpasswd(USERS)
    first, second = content.splitlines()
    assert first.startswith("builder:$2b$10$") and second.startswith("reader:$2b$10$") and content.endswith("\n")
    assert htpasswd(USERS, content) == content and htpasswd(USERS[1:], content) == f"{second}\n"
    changed = htpasswd([USERS[0] | {"password": "other"}, USERS[1]], content).splitlines()
    assert changed[0] != first and changed[1] == second
    assert htpasswd(USERS[:1], "builder:plain\n").startswith("builder:$2b$10$")


def test_hashes_are_those_of_bcrypt():
    # A test vector of the original implementation.
    assert passwords._hash("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.").endswith("CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")
    settings = {passwords._new_salt() for _number in range(50)}
    assert len(settings) == 50 and all(passwords._hash("x", setting).startswith(setting) for setting in list(settings)[:2])


@pytest.mark.parametrize(
    ("users", "problem"),
    [
        ([{"name": "a"}], r"\[0\]: must have a name and a password"),
        ([{"name": "", "password": "canary"}], r"\[0\]: must have a name and a password"),
        (["canary"], r"\[0\]: must have a name and a password"),
        ([USERS[0], {"name": "a:b", "password": "canary"}], r"\[1\].name: must not contain a colon"),
        ([{"name": "a\nb", "password": "canary"}], r"\[0\].name: must not contain a colon or control characters"),
        ([{"name": "a", "password": "canary" * 13}], r"\[0\].password: must have at most 72 bytes"),
        ([{"name": "a", "password": "canary\0"}], r"\[0\].password: must have at most 72 bytes and no null byte"),
        ([USERS[0], USERS[0]], r"\[1\].name: must be unique, got 'builder' twice"),
    ],
)
def test_invalid_users_are_named_without_their_passwords(users, problem):
    with pytest.raises(AnsibleFilterError, match=problem) as failure:
        htpasswd(users)
    assert "canary" not in str(failure.value)


def test_controller_without_bcrypt_is_explained(monkeypatch):
    for method in ("_by_package", "_by_library", "_by_passlib"):
        monkeypatch.setattr(passwords, method, lambda password, setting: None)
    with pytest.raises(AnsibleFilterError, match="Install the Python package bcrypt"):
        htpasswd(USERS)
