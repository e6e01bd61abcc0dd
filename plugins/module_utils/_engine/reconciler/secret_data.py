# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The values in manifests of Secrets."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from ..errors import PodwrightError
from ..text import json_text

if TYPE_CHECKING:
    from ..values import Manifest

_DIGEST = re.compile("secret:[0-9a-f]{12}")  # of a Redactor, never base64


def encode_texts(manifest: Manifest) -> Manifest:
    """A Secret with its `stringData` in `data`, values other than strings as JSON; any other manifest as it is. Raises: PodwrightError."""
    if (manifest["apiVersion"], manifest["kind"]) != ("v1", "Secret"):
        return manifest
    parts = {field: manifest.get(field) or {} for field in ("data", "stringData")}
    for field, part in parts.items():
        if not isinstance(part, dict):
            message = f"Secret {manifest['metadata']['name']}: {field} must be a mapping, got {type(part).__name__}."
            raise PodwrightError(message, reason="BadManifest", hint="Each of its keys names one value.")
    for name, value in parts["data"].items():
        if not isinstance(value, (str, type(None))):  # which the API server would quote in its error
            message = f"Secret {manifest['metadata']['name']}: data.{name} must be a string in base64, got {type(value).__name__}."
            raise PodwrightError(message, reason="BadManifest", hint="Write it in stringData, which encodes it, or in quotes if it is base64.")
    if "stringData" not in manifest:
        return manifest
    encoded = {
        name: base64.b64encode(json_text(value).encode(errors="surrogatepass")).decode() for name, value in parts["stringData"].items() if value is not None
    }
    return {key: value for key, value in manifest.items() if key != "stringData"} | {"data": parts["data"] | encoded}


def check_digests(manifest: Manifest) -> None:
    """Raises: PodwrightError for a Secret with a digest of a Redactor in place of a value."""
    data = manifest.get("data") if manifest["kind"] == "Secret" else None
    found = [name for name, value in data.items() if _DIGEST.fullmatch(str(value))] if isinstance(data, dict) else []
    if found:
        message = f"Secret {manifest['metadata']['name']}: data.{found[0]} is a digest, which results have in place of the value."
        raise PodwrightError(message, reason="BadManifest", hint="Read the Secret by podwright.core.pod_info with secret_values: true and no_log: true.")
