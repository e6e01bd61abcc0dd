# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Certificates and kubeconfigs of the local cluster."""

from __future__ import annotations

import base64
import datetime
import ipaddress
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class Authority:
    """A certificate authority in a directory, as `NAME.crt` and `NAME.key`.

    Args:
        with_identifiers: whether its certificates have key identifiers, as RFC 5280 requires. Those of the local cluster have none, as in many
            older clusters.
    """

    def __init__(self, directory: Path, name: str = "ca", with_identifiers: bool = False):
        self.directory = directory
        self._with_identifiers = with_identifiers
        self.path = directory / f"{name}.crt"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"podwright-{name}")])
        builder = _builder(self._name, self._name, self._key.public_key(), days=3650)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        if with_identifiers:
            usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False)
            usage |= dict.fromkeys(("digital_signature", "key_cert_sign", "crl_sign"), True)
            builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
        _write(directory / name, self._key, self._identify(builder, self._key).sign(self._key, hashes.SHA256()))

    def _identify(self, builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        if not self._with_identifiers:
            return builder
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        return builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)

    def issue(self, name: str, user: str, group: str | None = None, addresses: tuple[str, ...] = (), days: int = 365) -> Path:
        """Issue `NAME.crt` and `NAME.key` for client and server use; a negative `days` issues an expired one. Returns: the path of the certificate."""
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
        if group:
            attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(x509.Name(attributes), self._name, key.public_key(), days)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        if addresses:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(a) for a in addresses]), critical=False)
        _write(self.directory / name, key, self._identify(builder, key).sign(self._key, hashes.SHA256()))
        return self.directory / f"{name}.crt"

    def kubeconfig(self, server: str, name: str, user: str, group: str | None = None, days: int = 365) -> Path:
        """Write `NAME.kubeconfig` with embedded credentials and mode 0600. Returns: its path."""
        certificate = self.issue(name, user, group, days=days)
        entry = {
            "client-certificate-data": _base64(certificate.read_bytes()),
            "client-key-data": _base64(certificate.with_suffix(".key").read_bytes()),
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "podwright",
            "clusters": [{"name": "podwright", "cluster": {"server": server, "certificate-authority-data": _base64(self.path.read_bytes())}}],
            "users": [{"name": name, "user": entry}],
            "contexts": [{"name": "podwright", "context": {"cluster": "podwright", "user": name}}],
        }
        path = self.directory / f"{name}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return path


def write_signing_pair(directory: Path) -> None:
    """Write the key pair that signs service account tokens, `service-accounts.key` and `.pub`."""
    key = ec.generate_private_key(ec.SECP256R1())
    (directory / "service-accounts.key").write_bytes(_private_bytes(key))
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (directory / "service-accounts.pub").write_bytes(public)


def _builder(subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    start = min(end, datetime.datetime.now(datetime.UTC)) - datetime.timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public_key)
    return builder.serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _private_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _write(stem: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    key_path = stem.with_suffix(".key")
    key_path.touch(mode=0o600)
    key_path.write_bytes(_private_bytes(key))
    stem.with_suffix(".crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
