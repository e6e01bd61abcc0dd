# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The manifests that options describe: documents completed by options, filtered by labels, with generated names."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..errors import PodwrightError, option_error
from ..objects.selectors import matches
from .documents import as_json, flatten, read_documents
from .manifest import clean, key_of
from .plan import is_inherent
from .sets import ID, is_record

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..values import Manifest, Options

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # as Kubernetes generates names: no vowels, so that no words
_SUFFIX = 5  # characters
_HASHED = ("ConfigMap", "Secret")
_ESCAPED = "<>&\u2028\u2029"  # as the JSON library of Go does
_SET_NAME = re.compile(r"(?=.{1,239}\Z)[-a-z0-9]*[a-z0-9](\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")  # with the prefix of its record an RFC 1123 subdomain
_HASH_LETTERS = str.maketrans("013ae", "ghkmt")  # as kubectl's hashes


def set_name_of(params: Options) -> str | None:
    """The name of the set, or None. Without `kind`, `name` is that name."""
    name: str | None = params["set"] or (None if params["kind"] else params["name"])
    return name


def check_sources(params: Options) -> None:
    """Check the options that describe objects. Raises: PodwrightError."""
    if params["set"] and params["name"] and not params["kind"]:
        raise option_error("name", "must not be set with set unless kind is, since it is the name of the set, too.")
    if params["prune"] and not set_name_of(params):
        raise option_error("prune", "must not be true without set, the name of the set.", "With kind, name is the name of the object.")
    if set_name := set_name_of(params):
        _check_set_name("set" if params["set"] else "name", set_name)
        for name in ("label_selectors", "generate_name", "patch", "delete_all"):
            if params[name]:
                raise option_error(name, "must not be set with the name of a set, whose members are all of its objects.")
        if params["state"] == "patched":
            raise option_error("state", "must not be patched with the name of a set: a patch leaves what the set contains as it is.")
    if params["state"] == "patched" and not params["adopt"]:
        raise option_error("adopt", "must not be false with state patched, which changes objects that exist.")
    if not params["kind"]:
        for name in ("api_version", "delete_all", "patch"):
            if params[name]:
                raise option_error(name, "must not be set without kind.")
    if params["name"] and params["generate_name"]:
        raise option_error("generate_name", "must not be set with name.")
    if params["delete_all"] and params["state"] != "absent":
        raise option_error("delete_all", "must not be true unless state is absent.")
    if params["delete_all"] and params["name"]:
        raise option_error("delete_all", "must not be true with name, which names one object.")
    if params["kind"] and params["definition"] is None and not params["src"]:
        _check_selection(params)
    if params["generate_name"] and params["state"] != "present":
        raise option_error("generate_name", "must not be set unless state is present.")


def _check_selection(params: Options) -> None:
    """Raises: PodwrightError for a name that must not be set when live objects are selected."""
    if params["name"] and params["label_selectors"]:
        raise option_error("label_selectors", "must not be set with name without a definition, whose labels they would select.")
    if params["name"] == "" and params["state"] != "present" and (params["label_selectors"] or params["delete_all"]):
        raise option_error("name", "must not be empty: without a name, all selected objects are affected.", "Correct the variable, or omit name.")


def _check_set_name(option: str, name: str) -> None:
    """Raises: PodwrightError for a name that the record of a set cannot have."""
    if not _SET_NAME.fullmatch(name):
        hint = "" if option == "set" else "With kind, name is the name of the object."
        rule = "must be the name of a set: at most 239 lower-case letters, digits, hyphens and dots that end with a letter or digit"
        raise option_error(option, f"{rule}, got '{name}'.", hint)


def selects_live(params: Options) -> bool:
    """Whether the options select live objects to delete, rather than to describe them."""
    is_unnamed = params["kind"] and not params["name"] and params["definition"] is None and not params["src"]
    return bool(is_unnamed and params["state"] == "absent" and (params["delete_all"] or params["label_selectors"]))


def only_names(params: Options) -> bool:
    """Whether the options name an object without a manifest, so that one that exists stays as it is; what a set contains is described by manifests."""
    return bool(params["kind"] and params["definition"] in (None, {}) and not params["src"] and not set_name_of(params))


def read_manifests(params: Options) -> list[Any]:
    """The manifests of the options, without the objects that `selects_live` is about. Raises: PodwrightError that names the option and the file."""
    documents: list[Any] = []
    if params["definition"] is not None:
        given = params["definition"]
        for document in given if isinstance(given, list) else [given]:
            documents += read_documents(document, "definition") if isinstance(document, str) else [as_json(document)]
    elif params["src"]:
        documents = read_documents(_read_file(params["src"]), f"src {params['src']}")
    elif params["kind"] and (params["name"] or params["generate_name"] or (params["state"] == "patched" and params["label_selectors"])):
        documents = [{}]
    elif not selects_live(params) and not (set_name_of(params) and params["state"] == "absent"):
        hint = "Set definition, src or template, or kind with name. To delete several objects, set kind with label_selectors or delete_all."
        raise PodwrightError("No objects are defined.", reason="BadManifest", hint=hint)
    # A text from which everything is missing by mistake must not delete the whole set.
    is_empty = params["definition"] == [] or [] in documents
    if params["prune"] and params["state"] == "present" and not is_empty and not flatten(documents):
        hint = "To delete all members, set definition to an empty list (in a text or template, write []), or set state to absent."
        raise PodwrightError(f"No objects are defined, and prune would delete all members of set '{set_name_of(params)}'.", reason="BadManifest", hint=hint)
    manifests = [_complete(document, params) for document in flatten(documents)]
    if params["label_selectors"] and not selects_live(params):
        selector = ",".join(params["label_selectors"])
        manifests = [manifest for manifest in manifests if not _is_named(manifest) or matches(selector, _labels_of(manifest))]
    return manifests


def _is_named(manifest: Any) -> bool:
    metadata = manifest.get("metadata") if isinstance(manifest, dict) else None
    return isinstance(metadata, dict) and bool(metadata.get("name") or metadata.get("generateName"))


def _has_types(manifest: dict[str, Any]) -> bool:
    return isinstance(manifest.get("metadata"), dict) and all(isinstance(manifest.get(name, ""), str) for name in ("apiVersion", "kind"))


def list_manifests(client: Client, namespace: str, params: Options) -> list[Manifest]:
    """The manifests, without content, of the live objects that `kind` and `label_selectors` select in a namespace.

    If objects are to be deleted, those that Kubernetes itself keeps are not among them, nor the records of sets unless selected by their label, without
    which the members of the sets could not be found. Raises: PodwrightError.
    """
    kind = client.kinds.find_optional(params["api_version"], params["kind"])
    items = client.list(kind, namespace if kind.namespaced else None, label_selector=",".join(params["label_selectors"] or ()) or None, metadata_only=True)[0]
    if params["state"] == "absent":
        items = [item for item in items if not is_inherent(kind, item["metadata"]["name"], item["metadata"].get("namespace", ""))]
        if ID not in ",".join(params["label_selectors"] or ()):
            items = [item for item in items if not is_record(key_of(item, kind), item)]
    named = [{name: item["metadata"][name] for name in ("name", "namespace") if name in item["metadata"]} for item in items]
    return [{"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata} for metadata in named]


def spread(client: Client, namespace: str, params: Options, manifests: Iterable[Any]) -> list[Any]:
    """The manifests; one without a name once for each live object that `kind` and `label_selectors` select. Raises: PodwrightError."""
    found: list[Any] = []
    for manifest in manifests:
        if _is_named(manifest) or not isinstance(manifest, dict) or not _has_types(manifest):
            found.append(manifest)  # `clean` reports an invalid one
        else:
            selected = client.kinds.find_optional(params["api_version"], params["kind"])
            own = client.kinds.find_optional(manifest.get("apiVersion"), manifest.get("kind") or params["kind"])
            if own != selected:
                message = f"A manifest without a name is a {own.name} ({own.api_version}), but kind selects {selected.name} ({selected.api_version}) objects."
                raise PodwrightError(message, reason="BadManifest", hint="Correct kind, or give the manifest a name.")
            live = list_manifests(client, str(manifest["metadata"].get("namespace") or namespace), params)
            found += [manifest | item | {"metadata": manifest["metadata"] | item["metadata"]} for item in live]
    return found


def _complete(manifest: Any, params: Options) -> Any:
    """A manifest with the apiVersion, kind and name of the options if it lacks them."""
    kind, prefix = params["kind"], params["generate_name"]
    if not (kind or prefix) or not isinstance(manifest, dict) or not isinstance(manifest.get("metadata") or {}, dict):
        return manifest
    metadata = dict(manifest.get("metadata") or {})
    if not metadata.get("name") and not metadata.get("generateName"):
        metadata |= {"name": params["name"]} if kind and params["name"] else {"generateName": prefix} if prefix else {}
    if not manifest.get("kind") and params["api_version"]:
        manifest = {"apiVersion": params["api_version"]} | manifest
    return ({"kind": kind} if kind else {}) | manifest | {"metadata": metadata}


def _labels_of(manifest: Any) -> dict[str, Any]:
    metadata = manifest.get("metadata") if isinstance(manifest, dict) else None
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    return labels if isinstance(labels, dict) else {}


def _read_file(path: str) -> str:
    if not os.path.isfile(path):
        message = f"src: must be a file on the host that runs this task, got {path}."
        raise PodwrightError(message, reason="BadManifest", hint="Correct the path, or set definition.")
    try:
        with open(path, encoding="utf-8") as source:
            return source.read()
    except (OSError, UnicodeDecodeError) as error:
        hint = "It must be text in UTF-8 that this user can read."
        raise PodwrightError(f"src: file {path} cannot be read: {error}.", reason="BadManifest", hint=hint) from error


# -- names ----------------------------------------------------------------------------------------------------


def with_names(manifests: Iterable[Any], params: Options, check_mode: bool) -> list[Any]:
    """The manifests with generated names and hashes in names.

    A name is generated here rather than by the API server, so that a retried request cannot create two objects; in check mode its last characters are `xxxxx`.

    Raises: PodwrightError for a name that must not be generated.
    """
    named = []
    for manifest in manifests:
        generated = _generate_name(manifest, params, check_mode)
        named.append(append_hash(generated) if params["append_hash"] and is_hashed(generated) else generated)
    return named


def _generate_name(manifest: Any, params: Options, check_mode: bool) -> Any:
    metadata = manifest.get("metadata") if isinstance(manifest, dict) else None
    prefix = metadata.get("generateName") if isinstance(metadata, dict) and not metadata.get("name") else None
    if not isinstance(prefix, str) or not prefix or not isinstance(metadata, dict):
        return manifest
    if params["state"] != "present" or set_name_of(params):
        raise PodwrightError(
            f"The {manifest.get('kind')} with generateName '{prefix}' has no name, by which it could be found again.",
            reason="BadManifest",
            hint="Set metadata.name.",
        )
    if params["expect"]:
        raise option_error("expect", "must not be set with generated names, which differ in each run.", "Set metadata.name.")
    suffix = "x" * _SUFFIX if check_mode else "".join(secrets.choice(_ALPHABET) for _position in range(_SUFFIX))
    rest = {name: value for name, value in metadata.items() if name != "generateName"}
    return manifest | {"metadata": rest | {"name": prefix[:58] + suffix}}


def is_hashed(manifest: Any) -> bool:
    """Whether an object is of a kind whose name can have the hash of its content."""
    return isinstance(manifest, dict) and manifest.get("kind") in _HASHED


def append_hash(manifest: Manifest) -> Manifest:
    """A ConfigMap or Secret with the hash of its content at the end of its name, by kubectl's algorithm."""
    cleaned = clean({"apiVersion": "v1"} | manifest)
    content = {"kind": cleaned["kind"], "name": cleaned["metadata"]["name"], "data": cleaned.get("data") or {}}
    content |= {"type": cleaned.get("type") or ""} if cleaned["kind"] == "Secret" else {}
    content |= {"binaryData": cleaned["binaryData"]} if cleaned.get("binaryData") else {}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for character in _ESCAPED:
        text = text.replace(character, f"\\u{ord(character):04x}")
    digest = hashlib.sha256(text.encode()).hexdigest()
    return manifest | {"metadata": manifest["metadata"] | {"name": f"{content['name']}-{digest[:10].translate(_HASH_LETTERS)}"}}
