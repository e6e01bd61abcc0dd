# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The desired objects that manifests describe."""

from __future__ import annotations

import json
from collections.abc import Iterable
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from ..cluster.kinds import DEFINITION, Kind, find_built_in
from ..errors import UNKNOWN_KIND, PodwrightError
from .manifest import clean, key_of
from .plan import Change
from .secret_data import check_digests

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..objects.key import Key
    from ..values import Manifest
    from .sets import ApplySet


def read_desired(
    client: Client, manifests: Iterable[Manifest], namespace: str, applyset: ApplySet | None
) -> tuple[dict[Key, tuple[Kind, Manifest]], list[Change]]:
    """The objects to apply, by Key, each with its Kind and clean manifest, and a Change with an error for each whose kind neither server nor manifest defines.

    Args:
        namespace: the namespace of manifests that name none.
        applyset: the set of which the objects are members, or None.

    Raises: PodwrightError for an invalid manifest or two different ones of the same Key.
    """
    cleaned = [clean(complete(client, manifest)) for manifest in manifests]
    for manifest in cleaned:
        check_digests(manifest)
        if manifest["kind"] == DEFINITION.name:
            client.kinds.define(manifest)
    desired, unserved = _resolve(client, cleaned, namespace)
    marked = {key: (kind, applyset.mark(manifest)) for key, (kind, manifest) in desired.items()} if applyset else desired
    return marked, unserved


def read_undesired(client: Client, manifests: Iterable[Manifest], namespace: str) -> tuple[dict[Key, tuple[Kind, Manifest]], list[Change]]:
    """The objects to delete, as from `read_desired`, and a Change that does nothing for each object whose kind the server does not serve in any version.

    It has an error if another group has a kind of that name, and no manifest defines this one: the object may exist, and its apiVersion be wrong.

    Raises: PodwrightError for an invalid manifest or two different ones of the same Key.
    """
    cleaned = [clean(complete(client, manifest)) for manifest in manifests]
    undesired, unserved = _resolve(client, cleaned, namespace, in_any_version=True)
    defined = {_defined_by(manifest) for manifest in cleaned if manifest["kind"] == DEFINITION.name}
    namesakes = {name: client.kinds.namesakes(name) for name in {change.key.kind for change in unserved}}
    changes = []
    for change in unserved:
        error = change.error if (change.key.group, change.key.kind) not in defined and namesakes[change.key.kind] else None
        if error and error.hint.startswith("Install"):
            error.hint = f"Set api_version to {namesakes[change.key.kind][0].api_version}, which has a kind of that name, if that is meant."
        changes.append(replace(change, desired=None, error=error, note="" if error else "the server does not serve its kind"))
    return undesired, changes


def _defined_by(definition: Manifest) -> tuple[str, str]:
    """The group and name of the kind of a CustomResourceDefinition."""
    spec = definition.get("spec")
    names = spec.get("names") if isinstance(spec, dict) else None
    return (str(spec.get("group")), str(names.get("kind"))) if isinstance(spec, dict) and isinstance(names, dict) else ("", "")


def _resolve(client: Client, manifests: list[Manifest], namespace: str, in_any_version: bool = False) -> tuple[dict[Key, tuple[Kind, Manifest]], list[Change]]:
    """Clean manifests with their Kinds, by Key, and a Change with the error for each whose kind is not served, in its version or in any."""
    objects: dict[Key, tuple[Kind, Manifest]] = {}
    unserved, outdated = [], []
    found: dict[tuple[str, str], tuple[Kind | None, PodwrightError | None]] = {}  # what is not served is not cached elsewhere
    for manifest in manifests:
        names = api_version, name = manifest["apiVersion"], manifest["kind"]
        if names not in found:
            found[names] = _find_kind(client, api_version, name, in_any_version)
        kind, error = found[names]
        if kind is None:
            kind = Kind(api_version, name, "", "namespace" in manifest["metadata"])
            # Each its own: text is appended to the error of a run.
            unserved.append(Change("none", key_of(manifest, kind), kind, desired=manifest, error=copy(error)))
        elif error:
            outdated.append((kind, manifest))
        else:
            _add(objects, kind, manifest, namespace)
    for kind, manifest in outdated:  # perhaps of objects that are there in the version that is served, too
        _add(objects, kind, manifest, namespace, may_repeat=True)
    return objects, unserved


def _find_kind(client: Client, api_version: str, name: str, in_any_version: bool) -> tuple[Kind | None, PodwrightError | None]:
    """The Kind, in another version if there is an error, too; None if it is not served. Raises: PodwrightError for other errors."""
    try:
        return client.kinds.find(api_version, name), None
    except PodwrightError as error:
        if error.reason != UNKNOWN_KIND:
            raise
        return client.kinds.find_if_served(api_version.rpartition("/")[0], name) if in_any_version else None, error


def complete(client: Client, manifest: Manifest) -> Manifest:
    """The manifest with the apiVersion that it may lack, and with a built-in kind as the API spells it. Raises: PodwrightError for an unknown kind."""
    api_version, name = (manifest.get("apiVersion"), manifest.get("kind")) if isinstance(manifest, dict) else (None, None)
    if not isinstance(api_version, (str, type(None))) or not isinstance(name, str) or not name:
        return manifest  # `clean` reports it
    kind = find_built_in(api_version, name) if api_version else client.kinds.find(None, name)
    return manifest | {"apiVersion": kind.api_version, "kind": kind.name} if kind else manifest


def _add(objects: dict[Key, tuple[Kind, Manifest]], kind: Kind, manifest: Manifest, namespace: str, may_repeat: bool = False) -> None:
    manifest |= {"apiVersion": kind.api_version, "kind": kind.name}
    if kind.has_status:
        manifest.pop("status", None)
    if kind.namespaced:
        manifest["metadata"].setdefault("namespace", namespace)
    else:
        manifest["metadata"].pop("namespace", None)
    key = key_of(manifest, kind)
    # To Python true is 1.
    if key in objects and not may_repeat and json.dumps(objects[key][1], sort_keys=True) != json.dumps(manifest, sort_keys=True):
        raise PodwrightError(f"Two different definitions describe {key.title}.", reason="BadManifest", hint="Remove one, or give each its own name.")
    objects.setdefault(key, (kind, manifest))
