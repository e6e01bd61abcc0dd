# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The autoscalers of the cluster, and which object each of them scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..cluster.kinds import AUTOSCALER, Kind
from ..errors import PodwrightError
from ..objects.containers import long_running_containers
from ..objects.controllers import controller_reference
from ..objects.labels import MANAGED, label_of
from ..objects.readiness import PROGRESSING, READY, Readiness, condition
from ..reconciler.manifest import key_of
from ..reconciler.observation import target_of
from ..reconciler.outcome import Outcome
from ..reconciler.plan import Change, creation_patch
from ..reconciler.sets import PART_OF

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..console import Console
    from ..objects.key import Key
    from ..values import Manifest, Options
    from .targets import Target

ENGINES = {"hpa": AUTOSCALER.name, "keda": "ScaledObject"}
SCALED_OBJECT = ("keda.sh", "ScaledObject")
_DEFAULT_TARGET = {"apiVersion": "apps/v1", "kind": "Deployment"}  # of a ScaledObject


@dataclass(frozen=True)
class Scaler:
    """A live HorizontalPodAutoscaler, or a ScaledObject of KEDA."""

    kind: Kind
    item: Manifest

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.item["metadata"]["name"])

    @property
    def uid(self) -> str:
        """Its UID."""
        return str(self.item["metadata"]["uid"])

    @property
    def title(self) -> str:
        """Kind and name, for messages."""
        return f"{self.kind.name} '{self.name}'"

    @property
    def reference(self) -> Manifest:
        """The manifest that names it."""
        return {"apiVersion": self.kind.api_version, "kind": self.kind.name, "metadata": {"name": self.name}}

    @property
    def target(self) -> Key:
        """The Key of the object that it scales."""
        spec = self.item.get("spec") or {}
        if self.kind.group != SCALED_OBJECT[0] or not isinstance(spec.get("scaleTargetRef"), dict):
            return target_of(self.item)
        given = {name: value for name, value in spec["scaleTargetRef"].items() if value}
        return target_of(self.item | {"spec": {"scaleTargetRef": _DEFAULT_TARGET | given}})

    @property
    def is_ours(self) -> bool:
        """Whether pod_autoscale has applied it, and no set contains it."""
        return MANAGED.items() <= (self.item["metadata"].get("labels") or {}).items() and not self.is_member

    @property
    def is_member(self) -> bool:
        """Whether it is a member of a set, whose manifests describe it."""
        return label_of(self.item, PART_OF) is not None

    @property
    def removal(self) -> str:
        """How to delete it, for messages."""
        if self.is_member:
            return "remove it from the manifests of its set"
        return "delete it with state absent" if self.is_ours else "delete it with resource_set and state absent"

    @property
    def controller(self) -> str:
        """The uid of the ScaledObject for which KEDA has created it; empty if there is none."""
        return str((controller_reference(self.item) or {}).get("uid") or "")


def scaler_kinds(client: Client) -> list[Kind]:
    """The kinds of autoscalers that the cluster serves."""
    keda = client.kinds.find_if_served(*SCALED_OBJECT)
    return [AUTOSCALER, *([keda] if keda else [])]


def list_scalers(client: Client, target: Target, console: Console) -> list[Scaler]:
    """The autoscalers of the object's namespace, without those that KEDA has created for its own.

    With a warning, only the one with the object's name of a kind that must not be listed.
    """
    found: list[Scaler] = []
    for kind in scaler_kinds(client):
        try:
            items = client.list(kind, target.key.namespace)[0]
        except PodwrightError as error:
            if not error.is_forbidden:
                raise
            console.warn(f"Whether an autoscaler scales {target.title} is unknown: {error}")
            items = list(filter(None, [_get(client, kind, target)]))
        found += [Scaler(kind, item) for item in items]
    uids = {scaler.item["metadata"]["uid"] for scaler in found}
    return [scaler for scaler in found if scaler.controller not in uids]


def _get(client: Client, kind: Kind, target: Target) -> Manifest | None:
    try:
        return client.get(kind, target.key.namespace, target.name)
    except PodwrightError as error:
        if not error.is_forbidden:
            raise
        return None


def find_others(client: Client, target: Target, engine: str, console: Console) -> list[Scaler]:
    """The autoscalers of an object that earlier runs have created for other engines: two of them would scale the object against each other.

    Raises: PodwrightError if an autoscaler of somebody else scales the object, or the one of its name scales another object or is a member of a set.
    """
    others = []
    for scaler in list_scalers(client, target, console):
        is_namesake, is_rival = (scaler.kind.name, scaler.name) == (ENGINES.get(engine), target.name), scaler.target == target.key
        if is_namesake == is_rival and not (is_namesake and scaler.is_member):
            continue  # the one of this engine, which is taken over if somebody else created it, or of another object
        if is_namesake and is_rival:
            message = f"{scaler.title} must not be changed by pod_autoscale: it is a member of a set of resource_set, which would change it back."
            raise PodwrightError(message, reason="ForeignMember", hint=f"Remove it from the manifests of the set and its label {PART_OF}, or scale it there.")
        if is_rival and scaler.is_ours and scaler.name == target.name:
            others.append(scaler)
            continue
        message = f"{target.title} cannot be scaled with engine {engine}: {scaler.title} scales {'it' if is_rival else scaler.target.title}."
        hint = "Delete that autoscaler first: two of them would scale the object against each other."
        raise PodwrightError(message, reason="Autoscaled", hint=hint if is_rival else "Rename one of the objects: an autoscaler has the name of its object.")
    return others


def find_own(client: Client, scaled: Key, console: Console) -> tuple[list[Scaler], list[Change]]:
    """The autoscalers of an object, and a Change that does nothing for each kind of which it has none, also if one of its name does not belong to the object.

    With a warning for one of somebody else that scales the object, and without those of KEDA if they must not be read.
    """
    own, kept = [], []
    for kind in scaler_kinds(client):
        try:
            item = client.get(kind, scaled.namespace, scaled.name)
        except PodwrightError as error:
            if not error.is_forbidden or kind == AUTOSCALER:
                raise
            console.warn(f"Whether {scaled.title} has a {kind.name}, which would be left, is unknown: {error}")
            continue
        if not item:
            kept.append(Change("none", key_of({"metadata": {"name": scaled.name, "namespace": scaled.namespace}}, kind), kind))
            continue
        scaler = Scaler(kind, item)
        if scaler.target == scaled and scaler.is_ours:
            own.append(scaler)
        else:
            why = "a set contains it" if scaler.is_member else "pod_autoscale has not applied it"
            note = f"kept: {why}" if scaler.target == scaled else f"kept: it scales {scaler.target.title}"
            if scaler.target == scaled and not scaler.controller:
                console.warn(f"{scaler.title} is kept and scales {scaled.title}, since {why}. To stop that, {scaler.removal}.")
            kept.append(Change("none", key_of(item, kind), kind, before=item, after=item, note=note))
    return own, kept


def predict_successor(reconciled: Outcome, manifest: Manifest) -> Outcome:
    """What an autoscaler becomes once those of other engines are deleted, until which the webhook of KEDA denies it, in a dry run, too."""
    if reconciled.error is None or not reconciled.error.is_denied_by_admission or reconciled.changes[-1].before:
        return reconciled
    change, note = reconciled.changes[-1], "predicted locally: the autoscaler of another engine is deleted first"
    return Outcome([Change("create", change.key, change.kind, manifest, None, manifest, creation_patch(manifest), note)])


def assess_hpa(item: Manifest) -> Readiness:
    """Ready if the autoscaler reads its metrics and is able to scale."""
    for name in ("AbleToScale", "ScalingActive"):
        found = condition(item, name)
        if found.get("status") != "True" and found.get("reason") != "ScalingDisabled":
            return Readiness(PROGRESSING, f"{name}: {found.get('reason', 'no condition yet')}: {found.get('message', '')}")
    return Readiness(READY)


def warn_of_obstacles(console: Console, target: Target, params: Options) -> None:
    """Warn if a HorizontalPodAutoscaler will not scale an object: it has 0 replicas, or a container without the request to which its target refers."""
    if (minimum := params["min_replicas"]) and not target.replicas:
        hint = f"Scale it to {minimum} first, with the option replicas."
        console.warn(f"{target.title} has 0 replicas, at which a HorizontalPodAutoscaler does not scale it. {hint}")
    for name in ("cpu", "memory"):
        container = _without_request(target.before, name) if target.kind.group == "apps" and params[f"target_{name}"] else None
        if container is not None:
            why = f"without which a HorizontalPodAutoscaler does not know its utilization, unless a LimitRange sets the {name} request of its pods"
            console.warn(f"Container '{container}' of {target.title} has no {name} request, {why}.")


def _without_request(item: Manifest, name: str) -> str | None:
    """A container in the template of a workload without a request of a resource, which a limit sets, too; None if the pods request it."""
    spec = {"containers": []} | (((item.get("spec") or {}).get("template") or {}).get("spec") or {})
    if _asks_for(spec, name):  # KEP-2837
        return None
    return next((one["name"] for one in long_running_containers({"spec": spec}) if not _asks_for(one, name)), None)


def _asks_for(part: Manifest, name: str) -> bool:
    resources = part.get("resources") or {}
    return any(name in (resources.get(kind) or {}) for kind in ("requests", "limits"))
