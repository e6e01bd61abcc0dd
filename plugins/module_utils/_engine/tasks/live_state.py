# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What others changed of a live Pod or Job, and what restores it. Pure functions.

Fields of the spec are compared by ownership (`metadata.managedFields`): Podwright owns what it created, also if a webhook changed the value on the way.
Whoever changes the value later, by hand for instance, becomes its owner. Fields that a task does not set are not compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..cluster.client import MANAGER
from ..objects.labels import ATTEMPT, HASH, MAX_CHILDREN, MAX_DEPTH, PARENT, SET, TTL, annotation_of, label_of
from ..objects.quantity import parse_quantity
from ..reconciler.fields import tree_of
from .job import INDEXED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..values import Manifest
    from .task_spec import TaskSpec

_OWN_LABELS = (ATTEMPT, HASH, PARENT)  # a pod with others is that of another attempt, task or parent
_OWN_ANNOTATIONS = (TTL, MAX_DEPTH, MAX_CHILDREN)
_JOB_FIELDS = ("backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished", "maxFailedIndexes")  # that can be changed in place
_ELASTIC = ("parallelism", "completions")  # completions, of an Indexed Job, only together with parallelism and to the same number (KEP-3715)
_CONTAINERS = ("containers", "initContainers")


def find_correction(spec: TaskSpec, live: Manifest, desired: Manifest) -> Manifest:
    """What restores a live Pod or Job in place, as the strategic merge patch of a manifest; empty if nothing differs."""
    correct = _correct_job if spec.is_job else _correct_images
    fields = correct(spec, live, desired) if desired.get("spec") else {}
    correction = {"metadata": _correct_metadata(spec, live, desired), "spec": fields}
    return {part: values for part, values in correction.items() if values}


def restorable(spec: TaskSpec, live: Manifest, desired: Manifest, is_finished: bool) -> Manifest:
    """What of a desired manifest is to be restored in place: of a task that has finished, or has other options, its set alone."""
    if not is_finished and label_of(live, HASH) == spec.hash:
        return desired
    return {"metadata": {"labels": {SET: spec.set_name} if spec.set_name else {}}}


def without_set(item: Manifest) -> Manifest:
    """An object without the label of its set."""
    labels = {name: value for name, value in (item["metadata"].get("labels") or {}).items() if name != SET}
    return item | {"metadata": item["metadata"] | {"labels": labels}}


def has_edited_resources(spec: TaskSpec, live: Manifest) -> bool:
    """Whether resources that the task sets were changed by others, in a container whose resources can be changed in place."""
    for name, container in _by_name(live, "containers"):
        for part, quantities in (spec.resources.get(name) or {}).items():
            there = (container.get("resources") or {}).get(part) or {}
            steps = ("f:containers", _item(name), "f:resources", f"f:{part}")
            if any(not _is_same_amount(there.get(resource), text) and _is_edited(live, *steps, f"f:{resource}") for resource, text in quantities.items()):
                return True
    return False


def has_shortened_deadline(spec: TaskSpec, live: Manifest) -> bool:
    """Whether others shortened the deadline of a live pod, which cannot be extended again."""
    given = live["spec"].get("activeDeadlineSeconds")
    return spec.timeout is not None and given is not None and given < spec.timeout and _is_edited(live, "f:activeDeadlineSeconds")


def _correct_metadata(spec: TaskSpec, live: Manifest, desired: Manifest) -> Manifest:
    metadata = desired["metadata"]
    restored = {*(spec.options["annotations"] or {}), *_OWN_ANNOTATIONS}
    owners = {owner["uid"] for owner in live["metadata"].get("ownerReferences") or []}
    labels = {SET: None} | metadata["labels"]  # None removes it
    fields = {
        "labels": {name: value for name, value in labels.items() if name not in _OWN_LABELS and label_of(live, name) != value},
        "annotations": {name: value for name, value in (metadata.get("annotations") or {}).items() if name in restored and annotation_of(live, name) != value},
        "ownerReferences": [owner for owner in metadata.get("ownerReferences") or [] if owner["uid"] not in owners],
    }
    return {name: values for name, values in fields.items() if values}


def _correct_images(_spec: TaskSpec, live: Manifest, desired: Manifest) -> Manifest:
    corrected = {}
    for part in _CONTAINERS:
        there = dict(_by_name(live, part))
        corrected[part] = [
            {"name": name, "image": container["image"]}
            for name, container in _by_name(desired, part)
            if name in there and container.get("image", there[name].get("image")) != there[name].get("image")
            if _is_edited(live, f"f:{part}", _item(name), "f:image")
        ]
    return {part: containers for part, containers in corrected.items() if containers}


def _correct_job(spec: TaskSpec, live: Manifest, desired: Manifest) -> Manifest:
    own = desired["spec"]
    is_elastic = own.get("completionMode") == INDEXED and own.get("completions") == own.get("parallelism")
    # Kueue may admit a Job with less parallelism than it asks for.
    scale = () if spec.options.get("queue") else _ELASTIC if is_elastic else _ELASTIC[:1]
    wanted = {name: own[name] for name in (*_JOB_FIELDS, *scale) if name in own}
    edited = {name: value for name, value in wanted.items() if live["spec"].get(name) != value and _is_edited(live, f"f:{name}")}
    suspend = spec.options.get("suspend")
    return edited if suspend is None or suspend == bool(live["spec"].get("suspend")) else edited | {"suspend": suspend}


def _is_same_amount(live: object, wanted: object) -> bool:
    try:
        return parse_quantity(live) == parse_quantity(wanted)
    except ValueError:
        return False


def _by_name(item: Manifest, part: str) -> Iterator[tuple[str, Manifest]]:
    return ((container["name"], container) for container in item["spec"].get(part) or [])


def _item(name: str) -> str:
    return f'k:{{"name":"{name}"}}'


def _is_edited(live: Manifest, *steps: str) -> bool:
    """Whether Podwright owned a field of the spec and does not own it any more; not if nothing is known of its owners."""
    entries = [entry for entry in live["metadata"].get("managedFields") or [] if entry.get("manager") == MANAGER]
    return bool(entries) and not any(_contains(tree_of(entry) or {}, ("f:spec", *steps)) for entry in entries)


def _contains(tree: dict[str, Any], steps: tuple[str, ...]) -> bool:
    for step in steps:
        if step not in tree:
            return False
        tree = tree[step]
    return True
