# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""TLS contexts that verify a server as kubectl does."""

from __future__ import annotations

import ssl
import tempfile
from functools import lru_cache
from typing import TYPE_CHECKING

from .kubeconfig import bad_configuration

if TYPE_CHECKING:
    from .credentials import Credentials


def tls_context(authority: str | None, credentials: Credentials, verifies: bool, strict: bool, source: str) -> ssl.SSLContext:
    """A context with everything loaded, so that no file is needed later.

    Args:
        authority: the certificates of the authorities in PEM; None for those of this machine.
        credentials: whose client certificate is presented, if there is one.
        strict: reject certificates that do not conform to RFC 5280.
        source: of the configuration, as errors name it.

    Raises: PodwrightError if the certificates or the key are invalid.
    """
    # The authorities of this machine are in files that may change.
    create = _create_context.__wrapped__ if authority is None else _create_context
    try:
        return create(authority, credentials.certificate, credentials.key, verifies, strict)
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "they must be certificates and keys in PEM"
        raise bad_configuration(f"The certificates from {source} cannot be used: {reason}.") from error


def verify_as_go(context: ssl.SSLContext) -> None:
    """Let every certificate of the authority file be an anchor, and authorities have no key identifiers, whatever the version of Python."""
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT


@lru_cache(maxsize=4)  # each item of a loop would otherwise create one, which takes longer than its request
def _create_context(authority: str | None, certificate: bytes, key: bytes, verifies: bool, strict: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority)
    verify_as_go(context)
    if strict:
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    if not verifies:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    _load_certificate(context, certificate, key)
    return context


def _load_certificate(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Load the client certificate, from a temporary file that only this user can read: Python loads it from files only."""
    if not certificate:
        return
    with tempfile.NamedTemporaryFile(prefix="podwright-") as pem:  # mode 0600
        pem.write(certificate.rstrip() + b"\n" + key)
        pem.flush()
        context.load_cert_chain(pem.name, password=_refuse_passphrase)


def _refuse_passphrase() -> str:
    """Without a password callback, OpenSSL prompts for the passphrase on the terminal and waits."""
    raise bad_configuration("client_key: must not be encrypted with a passphrase.", hint="Decrypt it, for example with openssl pkey.")
