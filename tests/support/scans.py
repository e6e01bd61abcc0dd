# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reports of scanners in the documented formats, and signatures as `cosign download signature` writes them."""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .image_references import SHA256

IMAGE = f"registry.example.com/team/app@{SHA256}"
CRITICAL = {"VulnerabilityID": "CVE-2024-0001", "PkgName": "openssl", "InstalledVersion": "3.0", "FixedVersion": "3.1", "Severity": "CRITICAL"}


def trivy(*vulnerabilities: dict[str, Any], name: str = IMAGE, digests: Any = (IMAGE,), tags: Any = (), **fields: Any) -> dict[str, Any]:
    """A report of `trivy image --format json`; `fields` override those at the top."""
    return {
        "SchemaVersion": 2,
        "CreatedAt": "2026-11-01T10:00:00.123456789Z",
        "ArtifactName": name,
        "ArtifactType": "container_image",
        "Metadata": {"OS": {"Family": "debian", "Name": "12"}, "ImageID": f"sha256:{'e' * 64}", "RepoTags": list(tags), "RepoDigests": list(digests)},
        "Results": [{"Target": "app (debian 12)", "Class": "os-pkgs", "Type": "debian", "Vulnerabilities": list(vulnerabilities)}],
    } | fields


def sarif(*results: dict[str, Any], rules: Any = (), name: str = IMAGE, digests: Any = (IMAGE,), **run: Any) -> dict[str, Any]:
    """A report of `trivy image --format sarif`; `run` overrides fields of its run."""
    properties = {"imageName": name, "repoTags": [], "repoDigests": list(digests), "imageID": f"sha256:{'e' * 64}"}
    fields = {"tool": {"driver": {"name": "Trivy", "rules": list(rules)}}, "results": list(results), "properties": properties} | run
    return {"version": "2.1.0", "$schema": "https://json.schemastore.org/sarif-2.1.0.json", "runs": [fields]}


def public_pem(key: Any) -> bytes:
    """The public key of a private key, as in cosign.pub."""
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def signature(key: Any, digest: str = SHA256, sign: Any = None, kind: str = "cosign container image signature") -> str:
    """A line of `cosign download signature`."""
    critical = {"identity": {"docker-reference": "registry.example.com/team/app"}, "image": {"docker-manifest-digest": digest}, "type": kind}
    payload = json.dumps({"critical": critical, "optional": None}).encode()
    signed = sign(payload) if sign else key.sign(payload, ec.ECDSA(hashes.SHA256()))
    return json.dumps({"Base64Signature": base64.b64encode(signed).decode(), "Payload": base64.b64encode(payload).decode(), "Cert": None, "Bundle": None})
