# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a manifest must be like for the engine to work with it, whatever `definition` and `patches` contain; the API server checks the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import option_error
from ..objects.labels import ATTEMPT, HASH, MANAGED_BY, SET, TASK
from ..reconciler.manifest import has_scalars
from ..reconciler.schema import MERGE_KEYS
from .field_names import VERBATIM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..values import Manifest

_MAPPINGS = frozenset(("metadata", "spec", "template", "labels", "annotations"))
_OWN_LABELS = (MANAGED_BY, TASK, ATTEMPT, HASH, SET)


def check_shape(value: Any, option: str) -> None:
    """Check that lists that are merged by a key contain mappings with that key.

    Args:
        value: a manifest of a Pod or Job, or a part of it.
        option: path of the value in errors.

    Raises: PodwrightError.
    """
    if isinstance(value, list):
        for index, item in enumerate(value):
            check_shape(item, f"{option}[{index}]")
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_field(name, item, f"{option}.{name}")


def _check_field(name: str, value: Any, option: str) -> None:
    if value is None:
        return
    if name in _MAPPINGS and not isinstance(value, dict):
        raise option_error(option, "must be a mapping.")
    if name in VERBATIM:
        return
    if MERGE_KEYS.get(name):
        _check_items(value, MERGE_KEYS[name], option)
    if name == "volumes":
        _check_volumes(value, option)
    check_shape(value, option)


def _check_items(value: Any, keys: Sequence[str], option: str) -> None:
    if not isinstance(value, list):
        raise option_error(option, "must be a list.")
    for index, item in enumerate(value):
        if not has_scalars(item, keys):
            raise option_error(f"{option}[{index}]", f"must be a mapping with {' and '.join(keys)}.")


def _check_volumes(volumes: list[Manifest], option: str) -> None:
    """Check the sources of volumes. Raises: PodwrightError."""
    for index, volume in enumerate(volumes):
        for name, source in volume.items():
            if name != "name" and source is not None and not isinstance(source, dict):
                raise option_error(f"{option}[{index}].{name}", "must be a mapping.")


def check_place(definition: Manifest, kind: str, namespace: str, is_chosen: bool) -> None:
    """Raises: PodwrightError if a definition has another kind than its task, or another namespace that no option overrides (`is_chosen`)."""
    if definition.get("kind") not in (None, kind):
        raise option_error("definition.kind", f"must be that of the task, '{kind}', got {definition['kind']!r}.", "Set the option kind.")
    given = (definition.get("metadata") or {}).get("namespace")
    if given not in (None, "", namespace) and not is_chosen:
        raise option_error("definition.metadata.namespace", f"must be that of the task, '{namespace}', got {given!r}.", "Set the option namespace.")


def check_patched(patched: Any, built: Manifest) -> None:
    """Check that patches left a manifest by which its task can be found. Raises: PodwrightError."""
    if _identity(patched) != _identity(built):
        fields = "apiVersion, kind, metadata.name, metadata.namespace and the labels of Podwright"
        raise option_error("patches", f"must not change {fields}, by which the task is found.", "Set name, namespace, kind and labels instead.")
    check_shape(patched, "patches")


def _identity(manifest: Any) -> list[Any]:
    metadata = manifest.get("metadata") if isinstance(manifest, dict) and isinstance(manifest.get("spec"), dict) else None
    if not isinstance(metadata, dict) or not isinstance(labels := metadata.get("labels"), dict):
        return []
    return [manifest.get("apiVersion"), manifest.get("kind"), metadata.get("name"), metadata.get("namespace"), *map(labels.get, _OWN_LABELS)]
