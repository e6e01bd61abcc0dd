# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Certificates of servers inside a cluster, and of the authority that issues them. `cryptography` is a requirement of ansible-core."""

from __future__ import annotations

import datetime
import ipaddress
import re
from typing import NamedTuple

try:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError:  # only ansible-test reads this file without the requirements of ansible-core
    x509 = None

AUTHORITY_DAYS = 3650
_LABEL = "[A-Za-z0-9_]([-A-Za-z0-9_]{0,61}[A-Za-z0-9_])?"
_DNS_NAME = re.compile(rf"(?=.{{1,253}}\Z)([*][.])?{_LABEL}([.]{_LABEL})*")
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


class Pair(NamedTuple):
    """A certificate and its private key, in PEM."""

    certificate: str
    key: str


def is_name(text):
    """Whether a certificate can name a server so: a DNS name, whose first label may be an asterisk, or an IP address."""
    return bool(_DNS_NAME.fullmatch(text)) or _is_address(text)


def is_valid(certificate, names, days, authority=None):
    """Whether a certificate in PEM names the server exactly so, and is valid for that many days more, or as long as its authority."""
    try:
        found = x509.load_pem_x509_certificate(certificate.encode())
        alternatives = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value if names else []
    except (ValueError, x509.ExtensionNotFound):
        return False
    if set(alternatives) != set(map(_general_name, names)):
        return False
    is_as_long = authority and _expiry(found) >= _expiry(x509.load_pem_x509_certificate(authority.certificate.encode()))
    return bool(is_as_long and _expiry(found) > _now()) or _expiry(found) > _now() + datetime.timedelta(days=days)


def is_issued(pair, authority):
    """Whether a Pair is a certificate that the authority has issued, with its private key."""
    try:
        found, issuer = (x509.load_pem_x509_certificate(each.certificate.encode()) for each in (pair, authority))
        key = serialization.load_pem_private_key(pair.key.encode(), None)
        identifier = found.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.ExtensionNotFound):
        return False
    return identifier == _authority_identifier(issuer) and _public_bytes(key.public_key()) == _public_bytes(found.public_key())


def create_authority(name):
    """The Pair of a new certificate authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    builder = _builder(subject, subject, key.public_key(), identifier, AUTHORITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage("digital_signature", "key_cert_sign", "crl_sign"), critical=True)
    return _pair(builder.sign(key, hashes.SHA256()), key)


def issue_certificate(authority, names, days):
    """The Pair of a server with these DNS names and IP addresses, issued by the authority. Raises: ValueError, which names the unusable part."""
    issuer, issuer_key = _read_authority(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    # A certificate that outlives its authority is of no use.
    builder = _builder(subject, issuer.subject, key.public_key(), _authority_identifier(issuer), days, _expiry(issuer))
    builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_general_name, names))), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage("digital_signature"), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return _pair(builder.sign(issuer_key, hashes.SHA256()), key)


def _read_authority(authority):
    try:
        certificate = x509.load_pem_x509_certificate(authority.certificate.encode())
    except ValueError:
        raise ValueError("ca_certificate: must be a certificate in PEM.") from None
    try:
        key = serialization.load_pem_private_key(authority.key.encode(), None)
    except (ValueError, TypeError):
        raise ValueError("ca_key: must be a private key in PEM without a passphrase.") from None
    if _public_bytes(key.public_key()) != _public_bytes(certificate.public_key()):
        raise ValueError("ca_key: must be the private key of ca_certificate.")
    if _expiry(certificate) < _now():
        raise ValueError(f"ca_certificate: must be valid, but it expired on {_expiry(certificate):%Y-%m-%d}.")
    return certificate, key


def _authority_identifier(issuer):
    """What certificates of an issuer name as its key: the identifier in its certificate, which need not be the SHA-1 of the key (RFC 7093), else that SHA-1."""
    try:
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _builder(subject, issuer, key, authority_identifier, days, latest=None):
    start, end = _now() - datetime.timedelta(hours=1), _now() + datetime.timedelta(days=days)  # clocks differ
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(start).not_valid_after(min(end, latest or end))
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    return builder.add_extension(authority_identifier, critical=False)


def _usage(*names):
    return x509.KeyUsage(**{name: name in names for name in _USAGES})


def _pair(certificate, key):
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Pair(certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode())


def _public_bytes(key):
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _general_name(text):
    return x509.IPAddress(ipaddress.ip_address(text)) if _is_address(text) else x509.DNSName(text)


def _is_address(text):
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def _expiry(certificate):
    """The end of its validity in UTC; cryptography before version 42 has it without a time zone only."""
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_after_utc
    return certificate.not_valid_after.replace(tzinfo=datetime.timezone.utc)


def _now():
    return datetime.datetime.now(datetime.timezone.utc)
