# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Manifests as values: identity, cleaning, merging, difference and what of them may be shown."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import PodwrightError
from ..libraries import load
from ..objects.key import Key
from .fields import dropped_fields
from .schema import MERGE_KEYS, keeps_null

if TYPE_CHECKING:
    from ..cluster.kinds import Kind
    from ..values import Manifest, Patch

SERVER_METADATA = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds")
SERVER_ANNOTATIONS = ("deployment.kubernetes.io/revision",)
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def key_of(manifest: Manifest, kind: Kind) -> Key:
    """The Key of a manifest of that Kind."""
    namespace = manifest["metadata"].get("namespace", "") if kind.namespaced else ""
    return Key(kind.group, kind.name, namespace, manifest["metadata"]["name"])


def clean(manifest: Manifest) -> Manifest:
    """A manifest as a desired state: without status and server bookkeeping, `stringData` folded into `data`, without nulls if the kind is built in.

    Raises: PodwrightError that names the manifest's fault.
    """
    _check(manifest)
    cleaned: Manifest = copy.deepcopy(manifest)
    if not keeps_null(manifest["apiVersion"], manifest["kind"]):
        cleaned = drop_nulls(cleaned)
    cleaned.pop("status", None)
    for name in SERVER_METADATA:
        cleaned["metadata"].pop(name, None)
    if cleaned["kind"] == "Secret" and "stringData" in cleaned:
        texts = cleaned.pop("stringData") or {}
        encoded = {name: base64.b64encode(str(text).encode()).decode() for name, text in texts.items()}
        cleaned["data"] = (cleaned.get("data") or {}) | encoded
    return cleaned


def _check(manifest: object) -> None:
    if not isinstance(manifest, dict):
        raise PodwrightError(f"A definition is a mapping, not {type(manifest).__name__}.", reason="BadManifest")
    metadata = manifest.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    for field, value in (("apiVersion", manifest.get("apiVersion")), ("kind", manifest.get("kind")), ("metadata.name", name)):
        if not value or not isinstance(value, str):
            shown = f"{manifest.get('kind') or 'definition'} {name or ''}".strip()
            raise PodwrightError(
                f"The {shown} lacks {field}, or it is no string.", reason="BadManifest", hint="Every definition needs apiVersion, kind and metadata.name."
            )


def drop_nulls(value: Any) -> Any:
    """Without the map entries that are null: to the API they are the same as absent."""
    if isinstance(value, dict):
        return {key: drop_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [drop_nulls(item) for item in value]
    return value


def drop_managed_fields(item: Manifest) -> Manifest:
    """An object without its managedFields, which nobody reads in a result."""
    return item | {"metadata": {key: value for key, value in item["metadata"].items() if key != "managedFields"}}


def merge(live: Any, desired: Any, field: str = "") -> Any:
    """What applying `desired` over `live` gives, predicted locally."""
    if isinstance(live, dict) and isinstance(desired, dict):
        merged = dict(live)
        for key, value in desired.items():
            merged[key] = merge(live[key], value, key) if key in live else value
        return merged
    keys = MERGE_KEYS.get(field)
    if keys and isinstance(live, list) and isinstance(desired, list):
        return _merge_items(live, desired, keys)
    return desired


def _merge_items(live: list[Any], desired: list[Any], keys: Sequence[str]) -> list[Any]:
    """The items in the desired order; those that only live has keep their place before the item that follows them."""
    there = {tuple(item.get(k) for k in keys): item for item in live}
    wanted = {tuple(item.get(k) for k in keys): item for item in desired}
    merged: list[Any] = []
    rest = list(there)
    for identity, item in wanted.items():
        if identity in rest:
            before, rest = rest[: rest.index(identity)], rest[rest.index(identity) + 1 :]
            merged += [there[other] for other in before if other not in wanted]
        merged.append(merge(there.get(identity, {}), item))
    return merged + [there[other] for other in rest if other not in wanted]


def predict(live: Manifest, desired: Manifest, trees: list[Manifest]) -> Manifest:
    """What the server would answer to an apply: desired merged in, and what the ownership `trees` held beyond it removed."""
    after = copy.deepcopy(live)
    # The last positions of a list first, so that the others stay what they are.
    for path in sorted(set(map(tuple, dropped_fields(desired, live, trees))), reverse=True):
        parent: Any = after
        for step in path[:-1]:
            parent = parent[step]
        del parent[path[-1]]
    predicted: Manifest = merge(after, desired)
    return predicted


def bare(manifest: Manifest) -> Manifest:
    """Without what the server keeps for itself: the part that a difference is about."""
    kept = {key: value for key, value in manifest.items() if key != "status"}
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in SERVER_METADATA}
    annotations = {key: value for key, value in (metadata.pop("annotations", None) or {}).items() if key not in SERVER_ANNOTATIONS}
    if annotations:
        metadata["annotations"] = annotations
    return kept | {"metadata": metadata}


def difference(before: Manifest, after: Manifest) -> Patch:
    """The RFC 6902 patch between two states of an object, without status and server bookkeeping; empty where nothing differs."""
    one, other = bare(before), bare(after)
    patch: Patch = [] if one == other else load("jsonpatch").make_patch(one, other).patch
    return patch


class Redactor:
    """Hides secret values: a digest, keyed anew in each run, stands for each, so that equal ones can still be told."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    @staticmethod
    def has_secrets(kind_name: str) -> bool:
        """Whether objects of that kind hold anything to hide."""
        return kind_name == "Secret"

    def digest(self, value: object) -> str:
        """What stands for a value."""
        return "secret:" + hmac.new(self._key, str(value).encode(), hashlib.sha256).hexdigest()[:12]

    def redact(self, manifest: Manifest) -> Manifest:
        """The manifest as it may be shown."""
        if not manifest or manifest.get("kind") != "Secret":
            return manifest
        redacted = dict(manifest)
        for field in ("data", "stringData"):
            if isinstance(redacted.get(field), dict):
                redacted[field] = {name: self.digest(value) for name, value in redacted[field].items()}
        metadata = redacted.get("metadata")
        if isinstance(metadata, dict) and isinstance(annotations := metadata.get("annotations"), dict) and LAST_APPLIED in annotations:
            rest = {name: value for name, value in annotations.items() if name != LAST_APPLIED}
            redacted["metadata"] = metadata | {"annotations": rest}
        return redacted


def secret_values(manifests: Iterable[object]) -> set[str]:
    """Every secret value in the manifests, encoded and plain, for the edges to mask."""
    found: set[str] = set()
    for manifest in manifests:
        if isinstance(manifest, dict) and manifest.get("kind") == "Secret":
            for text in _text_values(manifest.get("stringData")):
                found |= {text, base64.b64encode(text.encode()).decode()}
            for encoded in _text_values(manifest.get("data")):
                found.add(encoded)
                try:
                    found.add(base64.b64decode(encoded, validate=True).decode())
                except ValueError:
                    pass  # not base64 of text: the server will say so
    # Very short values would blank out half of any output; they are only hidden where they stand in a Secret.
    return {value for value in found if len(value) >= 4}


def _text_values(mapping: object) -> list[str]:
    return [str(value) for value in mapping.values() if value is not None] if isinstance(mapping, dict) else []
