# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Manifests as values: identity, cleaning, merging, difference and redaction."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import PodwrightError
from ..libraries import load
from ..objects.field_paths import read_paths, without_fields
from ..objects.key import Key
from ..objects.labels import KUBERNETES_REVISION
from ..text import encode, json_text, with_integers
from .fields import dropped_fields, tree_of
from .schema import MERGE_KEYS, identity_of, keeps_null
from .secret_data import encode_texts

if TYPE_CHECKING:
    from ..cluster.kinds import Kind
    from ..values import Manifest, Patch

SERVER_METADATA = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds")
SERVER_ANNOTATIONS = (KUBERNETES_REVISION,)
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
ASSIGNED = ("clusterIP", "clusterIPs", "healthCheckNodePort", "loadBalancerIP")  # to a Service: a new one cannot have them while the old one exists
KUSTOMIZATION_REFUSED = "A Kustomization is not a manifest."
KUSTOMIZATION_HINT = "Render it with kubectl kustomize, and set definition to the output."
# How a text begins that may be a manifest: JSON, JSON in base64, gzip in base64, zip in base64.
_WITHOUT_LINES = str.maketrans("", "", "\r\n")  # which base64 may contain
_MANIFEST_STARTS = ("{", "[", "eyJ", "W3si", "H4sI", "UEsD")


def key_of(manifest: Manifest, kind: Kind) -> Key:
    """The Key of a manifest of that Kind."""
    namespace = manifest["metadata"].get("namespace", "") if kind.namespaced else ""
    return Key(kind.group, kind.name, namespace, manifest["metadata"]["name"])


def clean(manifest: Manifest) -> Manifest:
    """A manifest as a desired state: without the server's metadata, with `stringData` in `data`, without nulls if the kind is built in.

    Raises: PodwrightError if it is not a manifest.
    """
    check_manifest(manifest)
    cleaned: Manifest = with_integers(encode_texts(manifest))
    if not cleaned["metadata"].get("namespace"):
        cleaned["metadata"].pop("namespace", None)
    if not keeps_null(manifest["apiVersion"]):
        cleaned = drop_nulls(cleaned)
    if cleaned["kind"] == "ClusterRole" and cleaned.get("aggregationRule"):
        cleaned.pop("rules", None)  # a controller sets them (API reference, ClusterRole), and would do so again after each apply
    for name in SERVER_METADATA:
        cleaned["metadata"].pop(name, None)
    return cleaned


def is_kustomization(document: object) -> bool:
    """Whether a document is input of kustomize."""
    return isinstance(document, dict) and str(document.get("apiVersion")).startswith("kustomize.config.k8s.io/")


def check_manifest(manifest: object) -> None:
    """Raises: PodwrightError if a value is not a manifest with apiVersion, kind and name."""
    if not isinstance(manifest, dict):
        raise PodwrightError(f"definition: each manifest must be a mapping, got {type(manifest).__name__}.", reason="BadManifest")
    if is_kustomization(manifest):
        raise PodwrightError(f"definition: {KUSTOMIZATION_REFUSED}", reason="BadManifest", hint=KUSTOMIZATION_HINT)
    metadata = manifest.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    for field, value in (("apiVersion", manifest.get("apiVersion")), ("kind", manifest.get("kind")), ("metadata.name", name)):
        if not value or not isinstance(value, str):
            shown = f"{manifest.get('kind') or 'definition'} {name or ''}".strip()
            raise PodwrightError(
                f"The {shown} lacks {field}, or it is not a string.", reason="BadManifest", hint="Every manifest needs apiVersion, kind and metadata.name."
            )
    for field, expected in (("namespace", str), ("labels", dict), ("annotations", dict)):
        value = (metadata or {}).get(field)
        if value is not None and not isinstance(value, expected):
            shown = f"{manifest['kind']} '{name}': metadata.{field} must be a {'string' if expected is str else 'mapping'}"
            raise PodwrightError(f"{shown}, got {type(value).__name__}.", reason="BadManifest", hint="Write it in quotes." if expected is str else "")


def replicas_of(manifest: Manifest) -> Any:
    """The `spec.replicas` of a manifest, or None."""
    spec = manifest.get("spec")
    return spec.get("replicas") if isinstance(spec, dict) else None


def drop_nulls(value: Any) -> Any:
    """The value without map entries that are null, which the API treats as absent."""
    if isinstance(value, dict):
        return {key: item if item.__class__ is str else drop_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [drop_nulls(item) for item in value]
    return value


def drop_managed_fields(item: Manifest) -> Manifest:
    """An object without its managedFields, which are of no use in a result."""
    return item | {"metadata": {key: value for key, value in item["metadata"].items() if key != "managedFields"}}


def drop_last_applied(item: Manifest) -> Manifest:
    """An object without the annotation of kubectl that repeats its manifest, with the values that are redacted elsewhere."""
    metadata = item.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(annotations := metadata.get("annotations"), dict) or LAST_APPLIED not in annotations:
        return item
    return item | {"metadata": metadata | {"annotations": {name: text for name, text in annotations.items() if name != LAST_APPLIED}}}


def merge(live: Any, desired: Any, field: str = "") -> Any:
    """The result of applying `desired` to `live`, predicted locally."""
    if isinstance(live, dict) and isinstance(desired, dict):
        merged = dict(live)
        for key, value in desired.items():
            merged[key] = merge(live[key], value, key) if key in live else value
        return merged
    keys = _port_keys(live) if field == "ports" else MERGE_KEYS.get(field)
    if keys and isinstance(live, list) and isinstance(desired, list) and all(has_scalars(item, keys) for item in (*live, *desired)):
        return _merge_items(live, desired, keys)
    return desired


def _port_keys(live: Any) -> tuple[str, ...]:
    """The merge keys of the ports of a container or Service; none for the ports of other objects, which are replaced as a whole."""
    for mark, key in (("containerPort", "containerPort"), ("targetPort", "port")):
        if isinstance(live, list) and live and all(isinstance(item, dict) and mark in item for item in live):
            return (key, "protocol")
    return ()


def has_scalars(item: Any, keys: Sequence[str]) -> bool:
    """Whether an item of a list can be identified by these keys; the API server refuses another one."""
    return isinstance(item, dict) and all(isinstance(item.get(key), (str, int, type(None))) for key in keys)


def _merge_items(live: list[Any], desired: list[Any], keys: Sequence[str]) -> list[Any]:
    """The items in the desired order; live items that are not desired stay before the item that follows them."""
    there = {identity_of(item, keys): item for item in live}
    wanted = {identity_of(item, keys): item for item in desired}
    merged: list[Any] = []
    rest = list(there)
    for identity, item in wanted.items():
        if identity in rest:
            before, rest = rest[: rest.index(identity)], rest[rest.index(identity) + 1 :]
            merged += [there[other] for other in before if other not in wanted]
        merged.append(merge(there.get(identity, {}), item))
    return merged + [there[other] for other in rest if other not in wanted]


def predict(live: Manifest, desired: Manifest, trees: list[Manifest]) -> Manifest:
    """The answer of the API server to an apply: `desired` merged into `live`, without the fields of the ownership `trees` that `desired` lacks."""
    after = copy.deepcopy(live)
    # From the last position of a list to the first, so that a removal does not move the others.
    for path in sorted(set(map(tuple, dropped_fields(desired, live, trees))), reverse=True):
        parent: Any = after
        for step in path[:-1]:
            parent = parent[step]
        del parent[path[-1]]
    predicted: Manifest = merge(after, desired)
    return predicted


def predict_successor(live: Manifest, desired: Manifest) -> Manifest:
    """The object that replaces `live`: `desired` with the defaults of the live object, which nobody has set, but not the addresses of a Service."""
    entries = [entry for entry in live["metadata"].get("managedFields") or [] if entry.get("subresource") != "status"]
    rest = live
    if live["kind"] == "Service" and isinstance(spec := live.get("spec"), dict):
        kept = {key: value for key, value in spec.items() if key not in ASSIGNED}
        ports = [{key: value for key, value in port.items() if key != "nodePort"} for port in spec.get("ports") or []]
        rest = live | {"spec": kept | ({"ports": ports} if ports else {})}
    return predict(rest, desired, [tree for entry in entries if (tree := tree_of(entry))])


def bare(manifest: Manifest, shown: Collection[str] = ()) -> Manifest:
    """A manifest without the status and the metadata that servers set, which differences ignore.

    Args:
        shown: names of such metadata and annotations that are kept.
    """
    kept = {key: value for key, value in manifest.items() if key != "status" or _has_own_status(manifest)}
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in SERVER_METADATA or key in shown}
    hidden = SERVER_ANNOTATIONS if manifest.get("kind") in ("Deployment", "ReplicaSet") else ()
    annotations = {key: value for key, value in (metadata.pop("annotations", None) or {}).items() if key not in hidden or key in shown}
    if annotations:
        metadata["annotations"] = annotations
    return kept | {"metadata": metadata}


def _has_own_status(manifest: Manifest) -> bool:
    """Whether the status is a field like any other, which is not set by the subresource status: that of a manifest, or of an object that shows it."""
    metadata = manifest["metadata"]
    owners = (entry for entry in metadata.get("managedFields") or () if not entry.get("subresource"))
    return keeps_null(str(manifest.get("apiVersion"))) and (not metadata.get("uid") or any("f:status" in (entry.get("fieldsV1") or ()) for entry in owners))


def difference(before: Manifest, after: Manifest, shown: Collection[str] = ()) -> Patch:
    """The patch (RFC 6902) from one state of an object to the other, without what `bare` leaves out."""
    one, other = bare(before, shown), bare(after, shown)
    # To Python true is 1.
    is_same = one == other and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    patch: Patch = [] if is_same else load("jsonpatch").make_patch(one, other).patch
    return patch


class Redactor:
    """Replaces each secret value by a digest with a key of its own: equal values have equal digests, which cannot be looked up.

    Args:
        is_numbered: replace the values by numbers instead, in the order of their first appearance: the same in each run, and nothing to guess them by.
        hidden_fields: paths of fields to remove as well; with numbers, which show whether a value changes, these take their place.
    """

    def __init__(self, is_numbered: bool = False, hidden_fields: Iterable[str] = ()) -> None:
        self._key = b"" if is_numbered else secrets.token_bytes(32)
        self._numbers: dict[str, int] | None = {} if is_numbered else None
        self._hidden_annotations: set[str] = set()
        self._hidden_paths = read_paths("hidden_fields", hidden_fields)
        self._substitute = self.digest if is_numbered else None

    def has_secrets(self, kind_name: str) -> bool:
        """Whether objects of that kind contain what must not be shown."""
        return bool(self._hidden_paths) or kind_name == "Secret"

    def digest(self, value: object) -> str:
        """The digest that replaces a value."""
        if self._numbers is not None:
            return f"secret:{self._numbers.setdefault(str(value), len(self._numbers) + 1)}"
        return "secret:" + hmac.new(self._key, str(value).encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:12]

    def summarize(self, text: str) -> str:
        """The length and the digest that replace a text."""
        return f"{len(encode(text))} bytes, {self.digest(text)}"

    def redact(self, manifest: Manifest) -> Manifest:
        """The manifest with digests in place of secret values, and without hidden fields."""
        shown = self._without_secrets(manifest)
        return without_fields(shown, self._hidden_paths, self._substitute) if self._hidden_paths and shown else shown

    def _without_secrets(self, manifest: Manifest) -> Manifest:
        if not manifest or manifest.get("kind") != "Secret":
            return manifest
        redacted = drop_last_applied(manifest)
        for field in ("data", "stringData"):
            if isinstance(redacted.get(field), dict):
                redacted = redacted | {field: {name: self.digest(value) for name, value in redacted[field].items()}}
        metadata = redacted.get("metadata")
        if isinstance(metadata, dict) and isinstance(annotations := metadata.get("annotations"), dict):
            values = secret_values([manifest])
            redacted = redacted | {"metadata": metadata | {"annotations": {name: self._annotation(value, values) for name, value in annotations.items()}}}
        return redacted

    def _annotation(self, annotation: object, values: set[str]) -> object:
        """An annotation of a Secret, or its digest: some tools keep the whole manifest in one, also if only the metadata was read."""
        text = json_text(annotation).strip()
        if any(value in text for value in values):
            self._hidden_annotations.add(text)  # also in a state of the Secret with other values
        is_hidden = text.startswith(_MANIFEST_STARTS) or "\n" in text or text in self._hidden_annotations
        return self.digest(annotation) if is_hidden else annotation


def secret_values(manifests: Iterable[object]) -> set[str]:
    """The secret values in manifests, both encoded and decoded, which results must not contain."""
    found: set[str] = set()
    for manifest in manifests:
        if isinstance(manifest, dict) and str(manifest.get("kind")).lower() in ("secret", "secrets", "secretlist"):
            found |= _values_of_secret(manifest)
        if isinstance(manifest, dict) and isinstance(spec := manifest.get("spec"), dict) and manifest.get("kind") == "TokenReview":
            found |= {spec["token"]} if isinstance(spec.get("token"), str) else set()
    # Masking a very short value would make any output unreadable; such a value is only redacted in its Secret.
    return {value for value in found if len(value) >= 4}


def _values_of_secret(manifest: dict[str, Any]) -> set[str]:
    """The values of a Secret, which may be malformed: an API server quotes a value of the wrong type in its error."""
    found: set[str] = set()
    for text in _text_values(manifest.get("stringData")):
        found |= {text, base64.b64encode(text.encode(errors="surrogatepass")).decode()}
    for encoded in _text_values(manifest.get("data")):
        joined = encoded.translate(_WITHOUT_LINES)
        found |= {encoded, joined}
        try:
            found.add(base64.b64decode(joined, validate=True).decode())
        except ValueError:
            pass  # not text in base64, which the server refuses if it is invalid
    metadata = manifest.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    for value in annotations.values() if isinstance(annotations, dict) else ():
        found.update(_scalars(value) if isinstance(value, (dict, list)) else ())
    items = manifest.get("items")
    for item in items.values() if isinstance(items, dict) else items if isinstance(items, list) else ():
        found |= _values_of_secret(item) if isinstance(item, dict) else set(_scalars(item))
    return found


def _text_values(field: object) -> list[str]:
    """The values of a field as text: each as it is stored, and what is in it."""
    whole = [json_text(value) for value in field.values() if value is not None] if isinstance(field, dict) else []
    return [*whole, *_scalars(field)]


def _scalars(value: object) -> Iterator[str]:
    """The texts and numbers in a value, as text."""
    if isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _scalars(item)
    elif value is not None and not isinstance(value, bool):
        yield json_text(value)
