# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The strategy blue_green, and what it shares with canary: a Deployment for each generation, and a Service that selects the active one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..cluster.client import MANAGER, MERGE_PATCH
from ..cluster.kinds import SERVICE
from ..errors import PodwrightError, option_error
from ..objects.labels import ACTIVE, DEPLOYMENT, GENERATION, REVISION, ROLLED_BACK, SERVED, STEP, STEP_SINCE, STRATEGY, annotation_of, number_of
from ..reconciler.wait import WAIT_FAILED
from .autoscalers import is_autoscaled
from .deployer import DEPLOYMENT_KIND, Deployer, replicas_of
from .foresight import patched
from .history import kept_for_rollback, revision_of, was_in_service
from .manifests import build_service, generation_of, service_name, share_of
from .options import CANARY, ROLLING
from .services import UNKNOWN, backends_of, note_of, noted_service, selector_in
from .traffic import delete_other_services, remove_route_split, select_generation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..cluster.client import Client
    from ..console import Console
    from ..tasks.task_spec import TaskSpec
    from ..values import Manifest, Options, Result


class Generations(Deployer):
    """A Deployment for each generation. All progress is stored on the objects, so that the next run resumes a rollout that was interrupted."""

    def __init__(self, client: Client, namespace: str, params: Options, console: Console, check_mode: bool) -> None:
        super().__init__(client, namespace, params, console, check_mode)
        self._known = dict(self.deployments)
        self._own: str | None = None  # the generation that this run rolls out

    @property
    def active(self) -> str | None:
        """The generation in service, or None."""
        if not self.service:
            return None
        # The selector first: the annotation of a Service that the strategy rolling took over can be outdated.
        candidates = (selector_in(self.service).get(GENERATION), annotation_of(self.service, ACTIVE), ROLLING)
        return next((generation for generation in candidates if generation in self.deployments), None)

    @property
    def preview(self) -> str | None:
        """The newest generation after the active one, or None. A generation that was rolled back does not count."""
        newer = [generation for generation in self._newer_than(self.active) if not annotation_of(self.deployments[generation], ROLLED_BACK)]
        return max(newer, key=self._revision_of, default=None)

    def _newer_than(self, generation: str | None) -> list[str]:
        """The generations after another, including those that were rolled back; none if there is no other."""
        if generation not in self.deployments:
            return []
        revision = self._revision_of(generation)
        return [other for other in self.deployments if self._revision_of(other) > revision]

    def _revision_of(self, generation: str) -> int:
        return revision_of(self.deployments, generation)

    def _require_active(self) -> str:
        if self.deployments and not self.service:
            raise self.missing("has no Service any more", "Run its task with state present, which creates the Service.")
        if self.active is None:
            raise self.missing("has no generation in service")
        return self.active

    def _require_wait(self) -> None:
        if not self.params["wait"]:
            raise option_error("wait", f"must be true for the state {self.params['state']}, since traffic is switched only to pods that are ready.")

    # -- rollout ----------------------------------------------------------------------------------------------

    def roll_out(self) -> None:
        """Bring the generation of the options into service. Raises: PodwrightError."""
        self._prepare(pauses=False)

    def pause(self) -> None:
        """Create the generation of the options beside the active one, but switch no traffic. Raises: PodwrightError."""
        self._prepare(pauses=True)

    def _prepare(self, pauses: bool) -> None:
        spec = self.task_spec()
        generation = generation_of(spec)
        self.check_owner(SERVICE, build_service(self.params, self._selector_of(generation)))
        if self.active in (None, generation):
            self.apply_generation(spec, generation, self.choose_replicas(self.active))
            self.switch(generation)
        else:
            self.introduce(spec, generation, pauses)

    def introduce(self, spec: TaskSpec, generation: str, pauses: bool) -> None:
        """Roll out a new generation beside the active one. Raises: PodwrightError."""
        self.apply_generation(spec, generation, self.choose_replicas(self.active))
        if not pauses:
            self.switch(generation)

    def apply_generation(self, spec: TaskSpec, generation: str, replicas: int) -> None:
        """Apply the Deployment of a generation and wait until it is ready. Raises: PodwrightError."""
        self._own = generation
        manifest = self.build(spec, generation, replicas, self._choose_revision(generation))
        if generation in self.deployments and self.deployments[generation]["spec"].get("paused"):
            manifest["spec"]["paused"] = False  # somebody has paused it, so that it would keep its earlier pods
        if generation in self.deployments and generation != self.active and annotation_of(self.deployments[generation], ROLLED_BACK):
            # Before anything else: as the preview it can be aborted.
            self.deployments[generation] = self.patch(
                self.deployments[generation], {"metadata": {"annotations": {ROLLED_BACK: None}}}, "it is rolled out again"
            )
        self._wake(generation, replicas)
        try:
            self.apply(manifest)
        except PodwrightError as error:
            if error.reason == WAIT_FAILED and self._is_gone(generation):
                raise self.superseded(generation, "was deleted") from error
            if self.params["rollback_on_failure"] and self.active not in (None, generation):
                self.return_after(error, partial(self._give_up, generation))
            raise
        self.observe_changes()
        self.check_rollout(generation, replicas)

    def _wake(self, generation: str, replicas: int) -> None:
        """Scale a generation without pods if an autoscaler scales it: an apply leaves it the replicas, and it does not scale from 0. Raises: PodwrightError."""
        live = self.deployments.get(generation)
        is_asleep = live and replicas and generation != self.active and not replicas_of(live)
        if live and is_asleep and is_autoscaled(self.client, self.namespace, self.name, self.deployments.values(), self.console):
            self.deployments[generation] = self.scale(live, replicas, "it is rolled out again")

    def _is_gone(self, generation: str) -> bool:
        """Whether the Deployment of a generation does not exist any more; False if that cannot be read."""
        try:
            self.observe_changes()
        except PodwrightError:
            return False
        return generation not in self.deployments

    def check_rollout(self, generation: str, replicas: int) -> None:
        """Check that another run has not taken the pods of a generation that is rolled out. Raises: PodwrightError."""
        if generation not in self.deployments:
            raise self.superseded(generation, "was deleted")
        if replicas and not replicas_of(self.deployments[generation]):
            raise self.superseded(generation, "was scaled to 0")

    def _give_up(self, generation: str) -> str:
        """Abort the rollout of a generation that failed. Returns: what that did, as a sentence. Raises: PodwrightError."""
        self.observe()
        is_new = generation in self._newer_than(self.active)
        self.abort()
        return f"{'The new generation was deleted; generation' if is_new else 'Generation'} {self.active} stays in service."

    def _choose_revision(self, generation: str) -> int:
        """The revision of a generation: its own, or a new one if it does not exist or is older than the active one."""
        if generation in self.deployments:
            revision = self._revision_of(generation)
            if self.active is None or revision >= self._revision_of(self.active):
                return revision
        return max(map(self._revision_of, self.deployments), default=0) + 1

    def switch(self, generation: str) -> None:
        """Apply the Service with a selector of that generation alone, and clean up the others. Raises: PodwrightError."""
        before, service = self.active, build_service(self.params, self._selector_of(generation), generation)
        self._mark(before, generation)
        left = next((item for item in self.services if item["metadata"]["name"] != service_name(self.params)), self.service)
        is_unknown = before is not None and (noted_service(self.deployments[before]) or UNKNOWN).name is None
        if before and is_unknown and left and note_of(left) != note_of(service):
            self.patch(self.deployments[before], {"metadata": {"annotations": note_of(left)}}, "its Service is noted")
        self.apply(service, wait=False)
        self._check_switch(generation)
        delete_other_services(self, service_name(self.params))
        self._clean_up(generation, before)

    def _mark(self, *generations: str | None) -> None:
        """Mark generations as in service, before the traffic is switched: only to these a rollback returns. Raises: PodwrightError."""
        for generation in generations if len(set(generations)) > 1 else ():
            if generation in self.deployments and generation != ROLLING and not annotation_of(self.deployments[generation], SERVED):
                self.annotate(generation, {SERVED: "true"})

    def _check_switch(self, generation: str) -> None:
        """Check that a generation is in service. Raises: PodwrightError if another run has undone that; the Service selects pods that exist all the same."""
        self.observe_changes()
        if generation not in self.deployments:
            self._restore_traffic(generation)
            raise self.superseded(generation, "was deleted")
        if self.active not in (None, generation):
            raise self.superseded(generation, f"was replaced by generation {self.active}")

    def _restore_traffic(self, generation: str) -> None:
        """Switch the traffic to pods: two runs at once can each delete what the other one has just brought into service. Raises: PodwrightError.

        Args:
            generation: the one that this run has brought into service.
        """
        selected = selector_in(self.service).get(GENERATION) if self.service else None
        running = [other for other in self.deployments if replicas_of(self.deployments[other])]
        if selected and running and selected not in running and (selected != generation or generation not in self.deployments):
            select_generation(self, generation if generation in running else max(running, key=self._revision_of))

    def _selector_of(self, generation: str) -> dict[str, str]:
        return {DEPLOYMENT: self.name, GENERATION: generation}

    def _clean_up(self, generation: str, before: str | None) -> None:
        """Delete all generations but that in service and one that was before, to which a rollback can return; after a canary the latter has no pods.

        Args:
            before: the generation that was in service before.
        """
        remove_route_split(self)
        done, newer = len(self.changes), self._newer_than(generation)
        kept = kept_for_rollback(self.deployments, generation, before)
        if self.params["state"] in ("rolled_back", "promoted"):
            kept += [other for other in newer if annotation_of(self.deployments[other], ROLLED_BACK)]  # by these the next run knows of the rollback
        self.delete_generations(other for other in self.deployments if other not in (generation, *kept))
        live = self.deployments[generation]
        if annotation_of(live, STRATEGY) == CANARY:
            self.scale_to_zero(kept)
        obsolete = [name for name in (STEP, STEP_SINCE, ROLLED_BACK) if annotation_of(live, name)]
        if obsolete:
            self.patch(live, {"metadata": {"annotations": dict.fromkeys(obsolete)}}, "it is in service")
        if len(self.changes) > done:
            self.observe_changes()
            self._restore_traffic(generation)

    def delete_generations(self, generations: Iterable[str]) -> None:
        """Delete the Deployments of generations that are not in service. Raises: PodwrightError."""
        for generation in list(generations):
            if generation != self.active and self._is_disposable(generation):
                self.delete(self.deployments[generation], "it is not in service")

    def scale_to_zero(self, generations: Iterable[str]) -> list[Manifest]:
        """Scale generations to 0. Returns: their Deployments after that. Raises: PodwrightError."""
        disposable = [generation for generation in generations if self._is_disposable(generation)]
        return [self.scale(self.deployments[generation], 0, "it is not in service") for generation in disposable]

    def _is_disposable(self, generation: str) -> bool:
        """Whether this run may take the pods of a generation: another run is about to bring one into service that appeared or was scaled up meanwhile."""
        known, live = self._known.get(generation), self.deployments.get(generation)
        if not live or generation == self._own:
            return live is not None
        if not known or known["metadata"]["uid"] != live["metadata"]["uid"] or number_of(known, REVISION) != number_of(live, REVISION):
            return False
        return replicas_of(known) > 0 or replicas_of(live) == 0

    def annotate(self, generation: str, annotations: dict[str, str | None]) -> None:
        """Store progress on the Deployment of a generation; not a change of the plan. Raises: PodwrightError."""
        live, body = self.deployments[generation], {"metadata": {"annotations": annotations}}
        try:
            if self.check_mode:
                self.deployments[generation] = patched(live, body)
            else:
                self.deployments[generation] = self.client.patch(DEPLOYMENT_KIND, self.namespace, live["metadata"]["name"], body, MANAGER, MERGE_PATCH)
        except PodwrightError as error:
            if error.is_not_found:
                raise self.superseded(generation, "was deleted") from error
            raise

    # -- other states -----------------------------------------------------------------------------------------

    def promote(self) -> None:
        """Bring the newest generation into service. Raises: PodwrightError."""
        active = self._require_active()
        self._require_wait()
        self._bring_into_service(self.preview or active)

    def abort(self) -> None:
        """Delete the generations that are not in service yet; the active one keeps all its pods. Raises: PodwrightError."""
        active = self._require_active()
        if self.preview:
            select_generation(self, active)
            remove_route_split(self)
            self.delete_generations(self._newer_than(active))

    def roll_back(self) -> None:
        """Return to the previous generation, or to that of the revision in the options; a rollback is not repeated. Raises: PodwrightError."""
        active = self._require_active()
        self._require_wait()
        revision, wanted = self._revision_of(active), self.params["revision"]
        is_rolled_back = any(annotation_of(self.deployments[generation], ROLLED_BACK) for generation in self._newer_than(active))
        if is_rolled_back and wanted in (None, revision):
            self._bring_into_service(active)  # complete a rollback that was interrupted
        elif wanted != revision:
            older = {self._revision_of(generation): generation for generation in self.deployments if self._revision_of(generation) < revision}
            served = (number for number, generation in older.items() if was_in_service(self.deployments, generation))
            target = max(served, default=None) if wanted is None else wanted
            if target not in older:
                raise self.unknown_revision(wanted, [*older, revision])
            # Annotated before the traffic is switched: if this run is interrupted, the next one must not return to a still older generation.
            self.patch(self.deployments[active], {"metadata": {"annotations": {ROLLED_BACK: "true"}}}, "it is rolled back")
            self._bring_into_service(older[target])

    def _bring_into_service(self, generation: str) -> None:
        """Scale a generation to the replicas of the active one, wait until it is ready and switch the traffic to it. Raises: PodwrightError."""
        active = self._require_active()
        replicas = max(replicas_of(self.deployments[other]) for other in (active, generation))
        target = self.deployments[generation]
        if target["spec"].get("paused"):
            target = self.patch(target, {"spec": {"paused": False}}, "it is resumed")
        self.wait([self.scale(target, replicas, "it is brought into service")])
        self.observe_changes()
        self.check_rollout(generation, replicas)
        self._mark(active, generation)
        select_generation(self, generation)
        self._check_switch(generation)
        self._clean_up(generation, active)

    # -- status -----------------------------------------------------------------------------------------------

    def read_status(self) -> Result:
        """Revision, active and preview, and the shares of the traffic in percent."""
        active, preview = self.active, self.preview
        if active is None:
            return {"revision": None, "active": None, "preview": preview, "weights": {}}
        share = self._share_of_preview(active, preview) if preview else 0
        weights = {active: round(100 - share, 1)} | ({preview: share} if preview else {})
        return {"revision": number_of(self.deployments[active], REVISION), "active": active, "preview": preview, "weights": weights}

    def _share_of_preview(self, active: str, preview: str) -> float:
        if self.canary_services:
            names = [item["metadata"]["name"] for item in self.canary_services]
            refs = [ref for route in self.routes() for ref in backends_of(route)]
            canary, stable = (sum(ref.get("weight", 1) for ref in refs if (ref["name"] in names) == is_canary) for is_canary in (True, False))
            return share_of(canary, stable)
        if self.service and GENERATION in selector_in(self.service):
            return 0
        live = (self.deployments[generation] for generation in (preview, active))
        new, old = (replicas_of(item) if self.check_mode else (item.get("status") or {}).get("readyReplicas", 0) for item in live)
        return share_of(new, old)
