# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Signatures of Cosign by a key: lines of `cosign download signature`, which verify without a network.

Each has a payload in the simple signing format (github.com/containers/image/blob/main/docs/containers-signature.5.md), which names the digest of the image,
and the signature of its bytes (github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import option_error
from ..libraries import load

_TYPE = "cosign container image signature"
_MAX_BYTES = 16 << 20
_Key = Any  # of the library cryptography


def read_keys(paths: Iterable[str]) -> list[_Key]:
    """The public keys in PEM files. Raises: PodwrightError."""
    serialization, keys = load("cryptography.hazmat.primitives.serialization"), []
    for index, path in enumerate(paths):
        option = f"image_policy.public_keys[{index}]"
        try:
            key = serialization.load_pem_public_key(_read(option, path))
            _verifiers(key)
        except (ValueError, TypeError, LookupError):
            raise option_error(option, f"must be a public key in PEM (ECDSA, RSA or Ed25519), but {path} is not.", "cosign.pub is one.") from None
        keys.append(key)
    return keys


def signed_digests(paths: Iterable[str], keys: Sequence[_Key]) -> set[str]:
    """The digests of images that one of the keys signed. Raises: PodwrightError for a file that has no signatures."""
    found = set()
    for index, path in enumerate(paths):
        option = f"image_policy.signatures[{index}]"
        try:
            lines = [json.loads(line) for line in _read(option, path).splitlines() if line.strip()]
            pairs = [(base64.b64decode(line["Base64Signature"], validate=True), base64.b64decode(line["Payload"], validate=True)) for line in lines]
        except (ValueError, TypeError, LookupError, RecursionError):
            hint = "Create it with: cosign download signature IMAGE > FILE"
            raise option_error(option, f"must be lines of JSON with Base64Signature and Payload, but {path} is not.", hint) from None
        found |= {_digest_of(payload) for signature, payload in pairs if any(_is_signed(key, signature, payload) for key in keys)}
    return found - {""}


def _read(option: str, path: str) -> bytes:
    try:
        with open(path, "rb") as source:
            data = source.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "its name is invalid"
        raise option_error(option, f"must be a file that can be read, but {path} cannot: {why}.") from None
    if len(data) > _MAX_BYTES:
        raise option_error(option, f"must be a file of at most {_MAX_BYTES >> 20} MiB, but {path} is larger.")
    return data


def _digest_of(payload: bytes) -> str:
    """The digest that a payload names, or an empty text if it is not one of Cosign."""
    try:
        critical = json.loads(payload)["critical"]
        return str(critical["image"]["docker-manifest-digest"]) if critical["type"] == _TYPE else ""
    except (ValueError, TypeError, LookupError, RecursionError):
        return ""


def _is_signed(key: _Key, signature: bytes, payload: bytes) -> bool:
    invalid = load("cryptography.exceptions").InvalidSignature
    for arguments in _verifiers(key):
        try:
            key.verify(signature, payload, *arguments)
            return True
        except invalid:
            continue
    return False


def _verifiers(key: _Key) -> list[tuple[Any, ...]]:
    """The arguments of `verify` after the payload, by the type of the key. Raises: LookupError for another type."""
    asymmetric = "cryptography.hazmat.primitives.asymmetric"
    hashes = load("cryptography.hazmat.primitives.hashes")
    digests = [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()]
    curves, rsa = load(f"{asymmetric}.ec"), load(f"{asymmetric}.rsa")
    if isinstance(key, curves.EllipticCurvePublicKey):
        return [(curves.ECDSA(digest),) for digest in digests]
    if isinstance(key, rsa.RSAPublicKey):
        padding = load(f"{asymmetric}.padding").PKCS1v15()
        return [(padding, digest) for digest in digests]
    if isinstance(key, load(f"{asymmetric}.ed25519").Ed25519PublicKey):
        return [()]
    raise LookupError(key.__class__.__name__)
