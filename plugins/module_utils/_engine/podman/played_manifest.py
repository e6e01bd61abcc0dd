# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `podman kube play` gets for the manifest of a pod. Pure functions."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import PodwrightError
from ..text import decode, json_as_yaml
from .expansion import expand
from .images import full_name

if TYPE_CHECKING:
    from ..values import Manifest

# Labels of a pod on Podman, beside those of its manifest: its uid, and the manifest itself, which says what of it Podman does not keep.
UID, MANIFEST = "podwright.io/uid", "podwright.io/manifest"
INTERNAL = (UID, MANIFEST)
_KEYED = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


def pod_name(manifest: Manifest) -> str:
    """The name of a pod on Podman, which has no namespaces."""
    metadata = manifest["metadata"]
    return f"{metadata['name']}.{metadata['namespace']}"


# Names of Kubernetes contain no `_`, with which names that are joined remain different: `a-b` with `c` and `a` with `b-c` are not the same.
_JOINT = "_"


def container_name(manifest: Manifest, container: str) -> str:
    """The name of a container on Podman, which puts `-` between that of the pod and that in the manifest."""
    return f"{pod_name(manifest)}-{_JOINT}{container}"


def input_name(manifest: Manifest) -> str:
    """The name of the volume with the files of the pod's Secret, which no volume in the manifest has."""
    return _volume_name(manifest, "_private")


def _volume_name(manifest: Manifest, volume: str) -> str:
    return f"{pod_name(manifest)}{_JOINT}{volume}"


def containers_of(manifest: Manifest) -> list[Manifest]:
    """The init containers and containers."""
    return [*(manifest["spec"].get("initContainers") or []), *manifest["spec"]["containers"]]


def is_sidecar(container: Manifest) -> bool:
    """Whether an init container is a sidecar (KEP-753)."""
    return container.get("restartPolicy") == "Always"


def secret_of(manifest: Manifest) -> str | None:
    """The name of the Secret to which a pod refers, or None."""
    for volume in manifest["spec"].get("volumes") or []:
        if "secret" in volume:
            return str(volume["secret"]["secretName"])
    for container in containers_of(manifest):
        for entry in container.get("env") or []:
            reference = (entry.get("valueFrom") or {}).get("secretKeyRef")
            if reference:
                return str(reference["name"])
    return None


def is_carried(text: str) -> bool:
    """Whether Podman carries a text unchanged: it writes the documents again, as literal blocks of which go-yaml reads some differently."""
    return "\n" not in text or not text.startswith(("\n", " ", "\t", "\u2028", "\u2029"))


def field_value(manifest: Manifest, path: str, host: str) -> str | None:
    """The value of a field that an environment variable refers to, or None if Podman has none."""
    metadata = manifest["metadata"]
    keyed = _KEYED.fullmatch(path)
    if keyed:
        return str((metadata.get(keyed[1]) or {}).get(keyed[2], ""))
    values = {"metadata.name": metadata.get("name"), "metadata.namespace": metadata.get("namespace"), "metadata.uid": metadata.get("uid", "")}
    return host if path == "spec.nodeName" else values.get(path)


def played_documents(pod: Manifest, data: Mapping[str, str], host: str) -> str:
    """The documents for `podman kube play`: that of the pod, and a ConfigMap for the files of its Secret.

    Args:
        pod: its manifest with a uid.
        data: those of its Secret, in base64.
        host: the name of the machine.

    Raises: PodwrightError if a file is not text.
    """
    files = {volume["name"]: volume["secret"] for volume in pod["spec"].get("volumes") or [] if "secret" in volume}
    documents = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": input_name(pod)}, "data": _texts(data)}] if files else []
    documents.append({"apiVersion": "v1", "kind": "Pod", "metadata": _metadata(pod), "spec": _spec(pod, data, host)})
    return "\n---\n".join(map(json_as_yaml, documents)) + "\n"


def _texts(data: Mapping[str, str]) -> dict[str, str]:
    try:
        return {key: base64.b64decode(value).decode() for key, value in data.items() if not key.startswith("env.")}
    except UnicodeDecodeError:
        message = "The standard input of a task on Podman must be text in UTF-8."
        raise PodwrightError(message, reason="BadInput", hint="Encode it, or run the task on Kubernetes.") from None


def _metadata(pod: Manifest) -> Manifest:
    metadata = pod["metadata"]
    kept = {key: value for key, value in metadata.items() if key in ("name", "namespace", "labels", "annotations")}
    manifest = json.dumps({"metadata": kept, "spec": pod["spec"]}, sort_keys=True)
    return {"name": pod_name(pod), "labels": metadata["labels"] | {UID: metadata["uid"], MANIFEST: manifest}}


def _spec(pod: Manifest, data: Mapping[str, str], host: str) -> Manifest:
    spec = pod["spec"]
    init = [entry for entry in spec.get("initContainers") or [] if not is_sidecar(entry)]
    sidecars = [entry for entry in spec.get("initContainers") or [] if is_sidecar(entry)]
    played = {
        "hostname": pod["metadata"]["name"],
        **spec,
        "initContainers": [played_container(entry, pod, data, host) for entry in init],
        "containers": [played_container(entry, pod, data, host) for entry in (*sidecars, *spec["containers"])],
        # Podman's volumes have no pod: those of two pods must not have the same name.
        "volumes": [_volume(entry, pod) for entry in spec.get("volumes") or []],
    }
    return {key: value for key, value in played.items() if value != [] and key != "activeDeadlineSeconds"}


def _volume(volume: Manifest, pod: Manifest) -> Manifest:
    source = {"configMap": {"name": input_name(pod)}} if "secret" in volume else {key: value for key, value in volume.items() if key != "name"}
    return {"name": _volume_name(pod, volume["name"]), **source}


def played_container(container: Manifest, pod: Manifest, data: Mapping[str, str], host: str) -> Manifest:
    """A container as Podman gets it: with the values of its variables instead of references to them."""
    variables: dict[str, str] = {}
    for entry in container.get("env") or []:
        variables[entry["name"]] = _value(entry, variables, pod, data, host)
    # Every image is there by now, under its full name.
    played = {**container, "name": _JOINT + container["name"], "image": full_name(container["image"]), "imagePullPolicy": "Never"}
    played |= {"env": [{"name": name, "value": value} for name, value in variables.items()]}
    # Podman opens the others on all addresses of the host, too.
    played["ports"] = [port for port in container.get("ports") or [] if port.get("hostPort")]
    for field in ("command", "args"):
        played[field] = [expand(word, variables) for word in container.get(field) or []]
    mounts = [{**mount, "name": _volume_name(pod, mount["name"])} for mount in container.get("volumeMounts") or []]
    return {key: value for key, value in (played | {"volumeMounts": mounts}).items() if value != [] and key != "restartPolicy"}


def _value(entry: Manifest, variables: Mapping[str, str], pod: Manifest, data: Mapping[str, str], host: str) -> str:
    source = entry.get("valueFrom") or {}
    if "secretKeyRef" in source:
        return decode(base64.b64decode(data.get(source["secretKeyRef"]["key"], "")))
    if "fieldRef" in source:
        return field_value(pod, source["fieldRef"]["fieldPath"], host) or ""
    return expand(entry.get("value") or "", variables)
