# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A Deployment for each generation: blue-green changes and canaries."""

from __future__ import annotations

from ..cluster.client import JSON_PATCH, MANAGER, MERGE_PATCH
from ..cluster.kinds import POD
from ..errors import PodwrightError
from ..objects.labels import ACTIVE, DEPLOYMENT, GENERATION, REVISION, ROLLED_BACK, STEP, STEP_SINCE, STRATEGY, annotation_of, number_of
from ..objects.pod_status import is_serving
from .deployer import DEPLOYMENT_KIND, ROUTE, Deployer
from .manifests import (
    BLUE_GREEN,
    CANARY,
    FAILURE,
    INCONCLUSIVE,
    ROLLING,
    build_deployment,
    build_route,
    build_service,
    canary_replicas,
    generation_of,
    share_of,
)


class Generations(Deployer):
    """A Deployment for each generation; the Service says which of them counts.

    Args:
        analyse: takes one measurement of a canary: called with the task, an entry of `canary.analysis` and a function that names a ready
            pod of the canary; returns {what, value, outcome}.
    """

    def __init__(self, task, analyse):
        super().__init__(task)
        self._analyse = analyse

    @property
    def active(self):
        """The generation that counts, or None."""
        name = annotation_of(self.service, ACTIVE) if self.service else None
        return name if name in self.deployments else None

    @property
    def preview(self):
        """The newest generation after the active one, or None."""
        newer = [name for name in self._newer() if not annotation_of(self.deployments[name], ROLLED_BACK)]
        return max(newer, key=lambda name: _revision_of(self.deployments[name]), default=None)

    def _newer(self, than=None):
        """The generations after one, by default the active one, those among them that were rolled back."""
        item = self.deployments.get(than or self.active)
        return [name for name, other in self.deployments.items() if item and _revision_of(other) > _revision_of(item)]

    def present(self):
        """Bring the generation that is asked for into service, by the strategy."""
        self._prepare(stop=False)

    def paused(self):
        """Make the generation that is asked for ready, or go to the canary's first step; no further."""
        self._prepare(stop=True)

    def _prepare(self, stop):
        spec = self.spec()
        generation = generation_of(spec)
        is_first = self.active is None
        if generation == self.active or is_first or self.params["strategy"] == BLUE_GREEN:
            self._make(spec, generation, self.params["replicas"])
            if generation == self.active or is_first or not stop:
                self._switch(generation)
            return
        steps = (self.params["canary"] or {}).get("steps") or []
        steps = steps if stop or not self.task.check_mode else []  # a plan shows where it leads
        done = (generation in self.deployments and number_of(self.deployments[generation], STEP)) or 0
        if self.preview not in (None, generation):
            self._discard([self.preview])
        for number, step in enumerate(steps, 1):
            if number <= done:
                continue
            self._make(spec, generation, canary_replicas(self.params["replicas"], step["weight"]))
            self._spread(generation, step["weight"])
            if stop or not self._pass_step(generation, number, step):
                return
        self._make(spec, generation, self.params["replicas"])
        self._switch(generation)

    def _make(self, spec, generation, replicas):
        """Apply a generation and wait for it."""
        live = self.deployments.get(generation)
        revision = _revision_of(live) if live else 0
        if not live or (self.active and revision < _revision_of(self.deployments[self.active])):
            revision = max(map(_revision_of, self.deployments.values()), default=0) + 1  # also where an old one comes again: it is the newest now
        manifest = build_deployment(spec, self.params, self.profile(), generation, replicas, revision)
        try:
            self.apply(manifest)
        except PodwrightError as error:
            if self.params["rollback_on_failure"] and self.active not in (None, generation):
                self.observe()
                self.aborted()
                error.message += f"\nThe active generation {self.active} was left as it is, and the new one taken away."
            raise
        if not self.task.check_mode:
            self.observe()
            if generation != self.active and annotation_of(self.deployments[generation], ROLLED_BACK):
                self._note(generation, {ROLLED_BACK: None})  # it is tried again, and counts as the preview

    def _spread(self, generation, weight):
        """Send a share of the traffic to a generation beside the active one: by the number of its pods, or by a route."""
        name = self.params["name"]
        if not (self.params["canary"] or {}).get("route"):
            self._empty([other for other in self.deployments if other not in (generation, self.active)])
            self.apply(build_service(self.params, {DEPLOYMENT: name}, self.active), wait=False)
        else:
            canary = build_service(self.params, {DEPLOYMENT: name, GENERATION: generation}, canary=generation)
            kind = self.client.kinds.find_served(*ROUTE)
            self.apply(canary, build_route(kind, self.params, self.service, canary, weight), wait=False)
        if not self.task.check_mode:
            self.observe()

    def _gather(self):
        """Where a route divided the traffic, give all of it to the Service again."""
        if not self.canary_service:
            return
        left = self.canary_service["metadata"]["name"]
        for route in self.routes():
            rules = [rule | {"backendRefs": [ref for ref in rule["backendRefs"] if ref["name"] != left]} for rule in route["spec"]["rules"]]
            self.patch(route, {"spec": {"rules": rules}}, "all traffic turns to the Service")
        self.remove(self.canary_service, "no traffic goes to it any more")

    def _switch(self, generation):
        """Turn all traffic to a generation in one write, and see to those before."""
        before = self.active
        selector = {DEPLOYMENT: self.params["name"], GENERATION: generation}
        self.apply(build_service(self.params, selector, generation), wait=False)
        if self.task.check_mode:
            return
        self.observe()
        self._settle(generation, before)

    def _settle(self, generation, before):
        """See to the others once a generation is in service: one stays for a return, after a canary without pods."""
        self._gather()
        newer = self._newer(generation)
        others = sorted((name for name in self.deployments if name not in (generation, ROLLING, *newer)), key=lambda name: _revision_of(self.deployments[name]))
        kept = before if before in others else others[-1] if others else None
        is_return = self.params["state"] in ("rolled_back", "promoted")  # it is known by what it left
        left = [name for name in newer if is_return and annotation_of(self.deployments[name], ROLLED_BACK)]
        self._discard([name for name in self.deployments if name not in (generation, kept, *left)])
        live = self.deployments[generation]
        if annotation_of(live, STRATEGY) == CANARY:
            self._empty([name for name in (kept, *left) if name])
        marks = [mark for mark in (STEP, STEP_SINCE, ROLLED_BACK) if annotation_of(live, mark)]
        if marks:
            self.patch(live, {"metadata": {"annotations": dict.fromkeys(marks)}}, "it is in service")

    def _discard(self, names):
        for name in names:
            if name in self.deployments and name != self.active:
                self.remove(self.deployments[name], "it is not in service")

    def _empty(self, names):
        """Take the pods of generations away; a Service that a canary shares would count them."""
        for name in names:
            self.scale(self.deployments[name], 0, "it is not in service")

    # -- a canary's steps -------------------------------------------------------------------------------------

    def _pass_step(self, generation, number, step):
        """Wait out a step and judge it. Returns whether to go on; raises PodwrightError where its analysis says no, or nothing clear."""
        if step["pause"] is True:
            return False  # until it is promoted or aborted
        self._pause(generation, number, step)
        for entry in (self.params["canary"] or {}).get("analysis") or []:
            outcome = self._analyse(self.task, entry, lambda: self._choose_pod(generation))
            self.analysis.append({"step": number, "weight": step["weight"]} | outcome)
            if outcome["outcome"] == FAILURE:
                self.aborted()
                hint = f"Generation {self.active} serves as before. Mend the new one, and run it again."
                raise self._analysis_error(outcome, number, "failed, and the canary was taken away", hint)
            if outcome["outcome"] == INCONCLUSIVE:
                hint = "Run it again to measure again, or set state to promoted or aborted."
                raise self._analysis_error(outcome, number, "is inconclusive; the canary stays at its share", hint)
        self._note(generation, {STEP: str(number), STEP_SINCE: None})
        return True

    def _pause(self, generation, number, step):
        """Wait, from when the step began, also where another run began it."""
        where = f"{self.params['name']}: step {number} of {len(self.params['canary']['steps'])}, {step['weight']} % of the traffic"
        since = annotation_of(self.deployments[generation], STEP_SINCE) or ""
        began, _at, moment = since.partition("@")
        if began != str(number):
            moment = f"{self.client.now():.3f}"
            self._note(generation, {STEP_SINCE: f"{number}@{moment}"})
        while True:
            left = float(moment) + float(step["pause"] or 0) - self.client.now()
            if left <= 0:
                return
            self.task.console.progress(f"{where}, {left:.0f} s more")
            self.client.clock.sleep(min(left, 1))

    def _note(self, generation, annotations):
        item = self.deployments[generation]
        body = {"metadata": {"annotations": annotations}}
        self.deployments[generation] = self.client.patch(DEPLOYMENT_KIND, self.namespace, item["metadata"]["name"], body, MANAGER, MERGE_PATCH)

    def _analysis_error(self, outcome, number, what, hint):
        shown = f"{outcome['what']} gave {outcome['value']}"
        return PodwrightError(f"The analysis of step {number} of '{self.params['name']}' {what}: {shown}.", reason="Analysis", hint=hint)

    def _choose_pod(self, generation):
        pods = self.client.list(POD, self.namespace, label_selector=f"{DEPLOYMENT}={self.params['name']},{GENERATION}={generation}")[0]
        return self.require([pod for pod in pods if is_serving(pod)], "ready pod to ask")[0]["metadata"]["name"]

    # -- the other verbs --------------------------------------------------------------------------------------

    def promoted(self):
        """Bring the newest generation into service at once."""
        self.require(self.active, "generation in service")
        self._bring(self.preview or self.active)

    def aborted(self):
        """Take away what is not in service yet; what is in service keeps all its pods."""
        self.require(self.active, "generation in service")
        if self.preview:
            self._point(self.active)
            self._gather()
            self._discard(self._newer())

    def rolled_back(self):
        """Return to a generation before the active one, the latest where no revision is named."""
        current = self.deployments[self.require(self.active, "generation in service")]
        wanted = self.params["revision"]
        was_done = any(annotation_of(self.deployments[name], ROLLED_BACK) for name in self._newer())
        if was_done and wanted in (None, _revision_of(current)):
            self._bring(self.active)  # whatever a run that was killed left to do
        elif wanted != _revision_of(current):
            older = {_revision_of(item): name for name, item in self.deployments.items() if _revision_of(item) < _revision_of(current)}
            generation = older.get(wanted if wanted is not None else max(older, default=None))
            if not generation:
                raise self.no_revision(wanted, older)
            # Before the traffic turns: the next run must see that this was done, and not return further still.
            self.patch(current, {"metadata": {"annotations": {ROLLED_BACK: "true"}}}, "it goes out of service")
            self._bring(generation)

    def _bring(self, generation):
        """Give a generation as many pods as the active one has, wait for them and turn the traffic."""
        before = self.active
        replicas = max(self.deployments[before]["spec"].get("replicas", 1), self.deployments[generation]["spec"].get("replicas", 1))
        self.wait([self.scale(self.deployments[generation], replicas, "it is to be in service")])
        self._point(generation)
        if not self.task.check_mode:
            self.observe()
        self._settle(generation, before)

    def _point(self, generation):
        """Turn the Service to a generation alone, in one write."""
        selector = {DEPLOYMENT: self.params["name"], GENERATION: generation}
        if self.service["spec"]["selector"] != selector or annotation_of(self.service, ACTIVE) != generation:
            body = [{"op": "replace", "path": "/spec/selector", "value": selector}]
            body.append({"op": "add", "path": f"/metadata/annotations/{ACTIVE.replace('/', '~1')}", "value": generation})
            self.service = self.patch(self.service, body, "all traffic turns to it", JSON_PATCH)

    def situation(self):
        """Revision, active, preview and their shares of the traffic."""
        active, preview = self.active, self.preview
        weights = {}
        if active:
            share = self._preview_share(active, preview) if preview else 0
            weights = {active: round(100 - share, 1)} | ({preview: share} if preview else {})
        revision = _revision_of(self.deployments[active]) if active else None
        return {"revision": revision, "active": active, "preview": preview, "weights": weights}

    def _preview_share(self, active, preview):
        """The share (%) of the traffic that the preview takes."""
        if self.canary_service:
            refs = [ref for route in self.routes() for rule in route["spec"]["rules"] for ref in rule["backendRefs"]]
            name = self.canary_service["metadata"]["name"]
            return share_of(*(sum(ref.get("weight", 1) for ref in refs if (ref["name"] == name) == is_canary) for is_canary in (True, False)))
        if GENERATION in self.service["spec"]["selector"]:
            return 0
        ready = [(self.deployments[name].get("status") or {}).get("readyReplicas", 0) for name in (preview, active)]
        return share_of(*ready)


def _revision_of(item):
    return number_of(item, REVISION) or 0
