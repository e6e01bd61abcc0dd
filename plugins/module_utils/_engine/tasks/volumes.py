# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Volumes of a pod and their mounts in its containers."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import option_error
from ..files import read_mode
from ..reconciler.manifest import drop_nulls
from ..values import Manifest, Options
from . import file_containers, spiffe, standard_input
from .field_names import camelize

if TYPE_CHECKING:
    from .task_spec import TaskSpec

WORKSPACE = "workspace"
_WITH_MODES = frozenset(("config_map", "secret", "projected"))
_MODES = frozenset(("mode", "default_mode", "defaultMode"))
_WITH_ITEMS = frozenset(("items", "sources", "secret", "config_map", "configMap", "downward_api", "downwardAPI"))  # which contain modes


def build_volumes(spec: TaskSpec) -> tuple[list[Manifest], list[Manifest]]:
    """(volumes of the pod, mounts in every container). Raises: PodwrightError unless each volume has one source."""
    volumes: dict[str, Manifest] = {}
    mounts: list[Manifest] = []
    for index, entry in enumerate(spec.options.get("volumes") or []):
        name, option = entry["name"], f"volumes[{index}]"
        source = _build_source(entry, option)
        if source and name in volumes:
            raise option_error(option, f"must not give volume '{name}' a second source.", "Omit the source to mount the volume at another path.")
        if source:
            volumes[name] = {"name": name, **source}
        elif name not in volumes:
            raise option_error(option, f"must give volume '{name}' a source, one of {', '.join(_SOURCES)}.")
        if entry.get("mount_path"):
            _check_mount_path(f"{option}.mount_path", entry["mount_path"])
            mount = {"name": name, "mountPath": entry["mount_path"], "subPath": entry.get("sub_path"), "readOnly": entry.get("read_only") or None}
            mounts.append(drop_nulls(mount))
    for volume, shared_mount in _added_volumes(spec):
        if volume["name"] in volumes:
            raise option_error("volumes", f"must not contain a volume '{volume['name']}', which other options of the task add.")
        volumes[volume["name"]] = volume
        mounts += [shared_mount] if shared_mount else []
    return list(volumes.values()), mounts + file_containers.input_mounts(spec.options)


def _added_volumes(spec: TaskSpec) -> list[tuple[Manifest, Manifest | None]]:
    """(volume, its mount in every container or None) for options other than `volumes`."""
    options = spec.options
    added: list[tuple[Manifest, Manifest | None]] = []
    if options.get("shared_workspace"):
        _check_mount_path("shared_workspace", options["shared_workspace"])
        added.append(({"name": WORKSPACE, "emptyDir": {}}, {"name": WORKSPACE, "mountPath": options["shared_workspace"]}))
    settings = spiffe.read_spiffe(options.get("spiffe"))
    if settings:
        added.append(spiffe.build_volume(settings))
    if options.get("stdin") is not None:
        added.append((standard_input.build_volume(), None))
    added += file_containers.output_volumes(options)
    added += file_containers.holder_volumes(options)
    added += file_containers.input_volumes(options)
    return added


def _check_mount_path(option: str, path: str) -> None:
    """Check that a volume does not replace the whole image: such a container cannot be started. Raises: PodwrightError."""
    if posixpath.normpath(path).strip("/") in ("", "."):
        raise option_error(option, f"must be a directory below /, got {path!r}.")


def _build_source(entry: Options, option: str) -> Manifest | None:
    given = [source for source in _SOURCES if entry.get(source) not in (None, False)]
    if len(given) > 1:
        raise option_error(option, f"must give volume '{entry['name']}' one source, got {', '.join(given)}.")
    if not given:
        return None
    value = entry[given[0]]
    return _SOURCES[given[0]](_with_modes(value, f"{option}.{given[0]}") if given[0] in _WITH_MODES else value)


def _with_modes(value: Any, option: str) -> Any:
    """A source whose modes may be octal numbers in quotes, as elsewhere; the API wants integers. Raises: PodwrightError."""
    if isinstance(value, list):
        return [_with_modes(item, f"{option}[{index}]") for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    parts = {name: value[name] for name in value if name in _MODES | _WITH_ITEMS}  # not a selector, whose labels can have any name
    return value | {name: read_mode(f"{option}.{name}", item) if name in _MODES else _with_modes(item, f"{option}.{name}") for name, item in parts.items()}


def _empty_dir(value: Any) -> Manifest:
    return {"emptyDir": camelize(value) if isinstance(value, dict) else {}}


def _named(field: str, key: str) -> Callable[[Any], Manifest]:
    """Builds a source from the name of its object, or from the API's form."""
    return lambda value: {field: {key: value} if isinstance(value, str) else camelize(value)}


def _api_form(field: str) -> Callable[[Any], Manifest]:
    return lambda value: {field: camelize(value)}


def _nfs(value: Any) -> Manifest:
    if isinstance(value, str):
        server, _colon, path = value.partition(":")
        value = {"server": server, "path": path}
    return {"nfs": camelize(value)}


def _ephemeral(value: Any) -> Manifest:
    if "storage" not in value:
        return {"ephemeral": camelize(value)}
    claim = {
        "accessModes": value.get("access_modes") or ["ReadWriteOnce"],
        "storageClassName": value.get("storage_class"),
        "resources": {"requests": {"storage": value["storage"]}},
    }
    return {"ephemeral": {"volumeClaimTemplate": {"spec": drop_nulls(claim)}}}


_SOURCES: dict[str, Callable[[Any], Manifest]] = {
    "empty_dir": _empty_dir,
    "host_path": _named("hostPath", "path"),
    "nfs": _nfs,
    "claim": _named("persistentVolumeClaim", "claimName"),
    "ephemeral": _ephemeral,
    "config_map": _named("configMap", "name"),
    "secret": _named("secret", "secretName"),
    "projected": _api_form("projected"),
    "csi": _api_form("csi"),
}
