# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The strategy rolling: one Deployment, whose controller replaces a few pods at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..cluster.client import MANAGER
from ..cluster.kinds import REPLICA_SET, SERVICE
from ..errors import PodwrightError
from ..objects.controllers import TEMPLATE_HASH
from ..objects.labels import DEPLOYMENT, GENERATION, KUBERNETES_REVISION, PORTS, ROLLED_BACK, annotation_of, number_of
from ..objects.readiness import assess_observation, condition, whole_number
from ..reconciler.fields import owned_values
from ..reconciler.manifest import key_of
from ..reconciler.wait import WAIT_FAILED, wait_until_ready
from ..text import parse_integer
from .deployer import DEPLOYMENT_KIND, SUPERSEDED, Deployer
from .manifests import build_service, service_name
from .options import ROLLING
from .services import UNKNOWN, build_noted, leads_elsewhere, moved_target, noted_service, ports_of, selector_in
from .traffic import delete_other_services, remove_route_split

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..values import Manifest, Result

OBSERVATION_TIMEOUT = 30  # seconds, whatever `wait_timeout` is: a controller observes a change within one, unless it is down
# Fields of the Deployment that a rollback keeps or, after a failed rollout, restores: the number of replicas stays, and the others are of the pods.
_KEPT_FIELDS = ("selector", "strategy", "progressDeadlineSeconds", "minReadySeconds")


class Rolling(Deployer):
    """One Deployment, whose controller replaces a few pods at a time."""

    def roll_out(self) -> None:
        """Roll out the options, and roll back if that fails and `rollback_on_failure` is set. Raises: PodwrightError."""
        before = self._revision_of(self.deployments.get(ROLLING))
        try:
            self._apply(paused=False)
        except PodwrightError as error:
            if self.params["rollback_on_failure"] and error.reason != SUPERSEDED:
                self._roll_back_after(error, before)
            raise
        remove_route_split(self)
        for generation in self._generations():
            self.delete(self.deployments[generation], "another strategy created it")
        if any(item["metadata"]["name"] != service_name(self.params) for item in self.services):
            self.observe_changes()  # the new Service, to which routes will lead
        delete_other_services(self, service_name(self.params))

    def _roll_back_after(self, error: PodwrightError, before: int | None) -> None:
        """Restore what was in service before a failed rollout of this run.

        Args:
            before: the revision of the Deployment, or None if there was none.
        """
        written = self._written()
        if written is None:
            return

        def observe() -> None:
            self.observe()
            self._check_rollout(written, self.deployments.get(ROLLING))

        def restore() -> str:
            observe()
            revision = self._previous()
            self._return_to(revision, next((change.before for change in self.changes if change.kind == DEPLOYMENT_KIND), None))
            return f"The Deployment was rolled back to revision {revision}."

        def delete() -> str:
            observe()
            self.delete(self.deployments[ROLLING], "it is not in service")
            return "The new Deployment was deleted; that of the previous strategy stays in service."

        if before and self._revision_of(self._read()) != before:
            self.return_after(error, restore)
        elif not before and self._generations():
            self.return_after(error, delete)

    def wait(self, items: Iterable[Manifest], is_optional: bool = True) -> list[Manifest]:
        """Wait as for any strategy. Raises: PodwrightError, whatever became of the pods if another run has replaced their template meanwhile."""
        written = {item["kind"]: item for item in items}
        try:
            latest = super().wait(written.values(), is_optional)
        except PodwrightError as error:
            if error.reason == WAIT_FAILED and DEPLOYMENT_KIND.name in written:
                self._check_rollout(written[DEPLOYMENT_KIND.name], self._read_after(error))
            raise
        for item in latest:
            self._check_rollout(written[item["kind"]], item)
        return latest

    def _check_rollout(self, written: Manifest, live: Manifest | None) -> Manifest:
        """The live Deployment, if its pods are those that were written, apart from what others have added. Raises: PodwrightError."""
        if not live:
            raise self.superseded(ROLLING, "was deleted")
        if _own_template_of(live) != _own_template_of(written):
            raise self.superseded(ROLLING, "was changed")
        return live

    def _generations(self) -> list[str]:
        """The Deployments that another strategy created."""
        return [generation for generation in self.deployments if generation != ROLLING]

    def pause(self) -> None:
        """Apply the Deployment with its rollout paused, so that no pod is replaced. Raises: PodwrightError."""
        if self._generations():
            message = f"Deployment '{self.name}' in namespace '{self.namespace}' has another strategy, which a paused rollout cannot change."
            raise PodwrightError(message, reason="OtherStrategy", hint="Set strategy to the one before, or state to present.")
        self._apply(paused=True)

    def _apply(self, paused: bool) -> None:
        selected = selector_in(self.service).get(GENERATION) if self.service else None
        active = ROLLING if ROLLING in self.deployments else selected
        deployment = self.build(self.task_spec(), ROLLING, self.choose_replicas(active))
        service = build_service(self.params, deployment["spec"]["selector"]["matchLabels"])
        live = self.deployments.get(ROLLING)
        if not live:
            self.check_owner(DEPLOYMENT_KIND, deployment)
        self.check_owner(SERVICE, service)
        if paused or (live and live["spec"].get("paused")):
            deployment["spec"]["paused"] = paused
        moved = self.service if service and self.service and self.service["metadata"]["name"] == service["metadata"]["name"] else None
        if moved and service and (target := moved_target(moved, service, self.params)):
            self.console.warn(f"Requests can be lost during the rollout: {target}. Name the port of the container, and set target_port to that name.")
        if self._generations() or (moved and service and leads_elsewhere(moved, service)):
            # What is in service stays there until the new pods are ready, whatever `wait` says; after a pause, `promote` changes the Service.
            self.apply(deployment, wait=False)
            if not paused:
                self.wait(filter(None, [self._written()]), is_optional=False)
                self.apply(service)
        else:
            self.apply(deployment, service, wait=not paused)

    def _written(self) -> Manifest | None:
        """The Deployment as this run has written it last, or None."""
        return next((change.after for change in reversed(self.changes) if change.kind == DEPLOYMENT_KIND), None)

    def _bring_into_service(self, live: Manifest) -> None:
        """Wait for the pods of a Deployment, then restore the Service that belongs to them. Raises: PodwrightError."""
        name, restored = (noted_service(live) or UNKNOWN).name, self._restored_services(live)
        others = [item for item in self.services if name not in (None, item["metadata"]["name"])]
        self.wait([live], is_optional=not (restored or others))
        if restored:
            self.apply(*restored, wait=False)
        if restored or others:
            self.observe_changes()
        if others:
            delete_other_services(self, name)
            self.observe_changes()
        if restored:
            remove_route_split(self)

    def _restored_services(self, item: Manifest) -> list[Manifest]:
        """The Services as they belong to a version, by its Deployment or ReplicaSet, without those that are so. Raises: PodwrightError."""
        name, ports = noted_service(item) or UNKNOWN
        selectors = {service["metadata"]["name"]: selector_in(service) for service in self.services if name in (None, service["metadata"]["name"])}
        right = [service["metadata"]["name"] for service in self.services if not ports or ports_of(service) == ports]
        if name and not selectors:
            selectors[name] = self.deployments[ROLLING]["spec"]["selector"]["matchLabels"]
        restored = [build_noted(found, self.name, selector, ports) for found, selector in selectors.items() if found not in right]
        for manifest in restored:
            self.check_owner(SERVICE, manifest)
        return restored

    def promote(self) -> None:
        """Resume a paused rollout. Raises: PodwrightError."""
        self._bring_into_service(self._resume(self._require()))

    def _resume(self, live: Manifest) -> Manifest:
        return self.patch(live, {"spec": {"paused": False}}, "the rollout is resumed") if live["spec"].get("paused") else live

    def abort(self) -> None:
        """Return to the previous revision if the rollout is incomplete. Raises: PodwrightError."""
        live = self._await_observation(self._require())
        is_paused, known = live["spec"].get("paused"), self._replica_sets()
        if self._is_complete(live, known):
            self.wait([self._resume(live)])  # it was paused without a change, or a pod is not ready for another reason
        elif is_paused or self._rolled_back_to(live, known) is None:
            self._return_to(self._previous())
        else:
            self._bring_into_service(live)  # an incomplete rollback: its previous revision is the one that was aborted

    def _await_observation(self, live: Manifest) -> Manifest:
        """The Deployment when its status is that of its spec: until then a rollout that has just begun looks complete. Raises: PodwrightError."""
        key = key_of(live, DEPLOYMENT_KIND)
        return wait_until_ready(self.client, {key: (DEPLOYMENT_KIND, live)}, OBSERVATION_TIMEOUT, self.console, assess_observation)[key]

    @staticmethod
    def _is_complete(live: Manifest, known: dict[int, Manifest]) -> bool:
        """Whether all pods are of the newest template, be they ready or not."""
        if not known or _template_of(known[max(known)]) != live["spec"]["template"]:
            return False
        status = live.get("status") or {}
        is_done = live["spec"].get("paused") or condition(live, "Progressing").get("reason") == "NewReplicaSetAvailable"
        return bool(is_done) and whole_number(status.get("updatedReplicas")) == whole_number(status.get("replicas"))

    def roll_back(self) -> None:
        """Return to the previous revision, or to that of the options; a rollback is not repeated. Raises: PodwrightError."""
        live = self._await_observation(self._require())
        wanted, known = self.params["revision"], self._replica_sets()
        current = known.get(wanted)
        is_current = current is not None and _template_of(current) == live["spec"]["template"]
        rolled_back_to = self._rolled_back_to(live, known)
        if not is_current and (rolled_back_to is None or wanted not in (None, rolled_back_to)):
            self._return_to(wanted or self._previous())
        else:
            self._bring_into_service(live)

    @staticmethod
    def _rolled_back_to(live: Manifest, known: dict[int, Manifest]) -> int | None:
        """The revision that a rollback has restored; None without one, or if somebody has changed the pods since."""
        restored, _at, latest = (annotation_of(live, ROLLED_BACK) or "").partition("@")
        last = max(known, default=0)
        is_unchanged = last in known and _template_of(known[last]) == live["spec"]["template"] and last <= (parse_integer(latest) or last)
        return parse_integer(restored) if is_unchanged else None

    def _require(self) -> Manifest:
        if ROLLING not in self.deployments:
            raise self.missing("does not exist")
        return self.deployments[ROLLING]

    def _read(self) -> Manifest | None:
        return self.client.get(DEPLOYMENT_KIND, self.namespace, self.name)

    def _read_after(self, error: PodwrightError) -> Manifest | None:
        """The Deployment after an error. Raises: that error if it cannot be read."""
        try:
            return self._read()
        except PodwrightError:
            raise error from None

    @staticmethod
    def _revision_of(item: Manifest | None) -> int | None:
        return number_of(item, KUBERNETES_REVISION) if item else None

    def _replica_sets(self) -> dict[int, Manifest]:
        """The ReplicaSets of the Deployment by revision."""
        uid = self.deployments[ROLLING]["metadata"]["uid"]
        items = self.client.list(REPLICA_SET, self.namespace, label_selector=f"{DEPLOYMENT}={self.name}")[0]
        owned = [item for item in items if any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences") or [])]
        return {self._revision_of(item) or 0: item for item in owned}

    def _previous(self) -> int | None:
        """The latest revision whose pod template is not that of the Deployment; first of all that in service, since the latest may have failed, too."""
        template = self.deployments[ROLLING]["spec"]["template"]
        others = {revision: item for revision, item in self._replica_sets().items() if _template_of(item) != template}
        return max(others, key=lambda revision: (whole_number((others[revision].get("status") or {}).get("readyReplicas")), revision), default=None)

    def _return_to(self, revision: int | None, earlier: Manifest | None = None) -> None:
        """Restore the pods of a revision. Raises: PodwrightError.

        Args:
            earlier: the Deployment whose other settings are restored, too; None if they stay as they are.
        """
        known = self._replica_sets()
        if revision not in known:
            raise self.unknown_revision(revision, known)
        live = self._check_rollout(self.deployments[ROLLING], self._read())
        latest = revision if revision == max(known) else max(known) + 1  # the number that Kubernetes gives to the pods that return
        # Applied and not patched: a field that only the other template has is ours to remove.
        settings = earlier or live
        spec = {name: settings["spec"][name] for name in _KEPT_FIELDS if name in settings["spec"]} | {"replicas": live["spec"]["replicas"]}
        spec |= {"template": _template_of(known[revision]), "paused": False}
        note = annotation_of(known[revision], PORTS)
        if not note and annotation_of(live, PORTS):
            self.console.warn(f"The Service is left as it is: that of revision {revision}, which an earlier Podwright created, is unknown.")
        self._restored_services(known[revision])  # refused before the first write, if one is
        annotations = {ROLLED_BACK: f"{revision}@{latest}"} | ({PORTS: note} if note else {})
        metadata = {"name": self.name, "labels": settings["metadata"]["labels"], "annotations": annotations}
        self.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}, wait=False)
        self._bring_into_service(self._written() or live)

    def read_status(self) -> Result:
        """Revision and name of the Deployment."""
        live = self.deployments.get(ROLLING)
        return {"revision": self._revision_of(live), "active": live and live["metadata"]["name"], "preview": None, "weights": {}}


def _own_template_of(deployment: Manifest) -> Any:
    """What this collection has applied to the pod template: others may add to it, such as a restart."""
    return ((owned_values(deployment, MANAGER) or {}).get("f:spec") or {}).get("f:template")


def _template_of(replica_set: Manifest) -> Manifest:
    """The pod template without the label that identifies its ReplicaSet."""
    template: Manifest = replica_set["spec"]["template"]
    labels = {key: value for key, value in template["metadata"]["labels"].items() if key != TEMPLATE_HASH}
    return template | {"metadata": template["metadata"] | {"labels": labels}}
