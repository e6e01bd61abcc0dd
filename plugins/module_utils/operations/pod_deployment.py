# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Deploy pods that keep running, in one of three ways, each of which a later run can resume: all that it needs to know is on the objects."""

from __future__ import annotations

from ..arguments import CONNECTION, WAIT, piece
from ..cluster.client import JSON_PATCH, MERGE_PATCH
from ..cluster.errors import PodwrightError
from ..cluster.kinds import BUILT_IN, POD
from ..cluster.prometheus import ask_prometheus
from ..operation import Operation, Task, yaml_diff
from ..pods import options as opts
from ..pods import rollout
from ..pods.diagnosis import diagnose_workload
from ..pods.labels import ACTIVE, DEPLOYMENT, GENERATION, REVISION, ROLLED_BACK, STEP, STEP_SINCE, annotation_of, label_of, number_of
from ..pods.manifest import TaskSpec
from ..pods.manifest import check as check_pod
from ..pods.outcome import TaskVeil
from ..pods.rollout import BLUE_GREEN, CANARY, FAILURE, INCONCLUSIVE, ROLLING
from ..pods.security import choose_profile
from ..pods.status import is_serving
from ..reconciler.manifest import difference, key_of
from ..reconciler.plan import Change
from ..reconciler.reconciler import Options, Reconciler
from ..reconciler.wait import wait_until_ready
from . import pod_exec, pod_request, task_pod

MANAGER = "podwright"
DEPLOYMENT_KIND, REPLICA_SET, SERVICE = BUILT_IN["apps/v1", "Deployment"], BUILT_IN["apps/v1", "ReplicaSet"], BUILT_IN["v1", "Service"]
ROUTE = ("gateway.networking.k8s.io", "HTTPRoute")
KUBERNETES_REVISION = "deployment.kubernetes.io/revision"
_NOT_OF_PODS_THAT_STAY = ("stdin", "parent", "max_depth", "max_children", "network", "queue", "restart_policy")
POD_OPTIONS = {name: spec for name, spec in {**opts.CONTAINER, **opts.POD}.items() if name not in _NOT_OF_PODS_THAT_STAY}

ARGUMENTS = {
    **CONNECTION,
    **piece(WAIT, wait=True),
    **POD_OPTIONS,
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent", "promoted", "paused", "aborted", "rolled_back"], "default": "present"},
    "replicas": {"type": "int", "default": 1},
    "service": {"type": "raw"},
    "strategy": {"type": "str", "choices": [ROLLING, BLUE_GREEN, CANARY], "default": ROLLING},
    "max_surge": {"type": "raw", "default": 1},
    "max_unavailable": {"type": "raw", "default": 0},
    "progress_deadline": {"type": "int", "default": 600},
    "drain_seconds": {"type": "int", "default": 5},
    "rollback_on_failure": {"type": "bool", "default": False},
    "revision": {"type": "int"},
    "canary": {
        "type": "dict",
        "options": {
            "steps": {
                "type": "list",
                "elements": "dict",
                "options": {"weight": {"type": "int", "required": True}, "pause": {"type": "raw", "default": 0}},
            },
            "route": {
                "type": "dict",
                "options": {
                    "parents": {"type": "list", "elements": "raw", "required": True},
                    "hostnames": {"type": "list", "elements": "str", "default": []},
                },
            },
            "analysis": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "prometheus": {"type": "dict", "options": {"server": {"type": "str", "required": True}, "query": {"type": "str", "required": True}}},
                    "request": {"type": "dict"},
                    "command": {"type": "raw"},
                    "success": {"type": "str"},
                    "failure": {"type": "str"},
                },
            },
        },
    },
}


def run(task):
    """Deploy, or move a deployment on or back. Returns the result's fields; raises PodwrightError."""
    params = task.params
    opts.check_name("name", params["name"])
    if params["state"] in ("present", "paused"):
        rollout.check(params)
    deployer = (_Rolling if _strategy(task) == ROLLING else _Generations)(task)
    try:
        getattr(deployer, params["state"])()
    except PodwrightError as error:
        error.results |= deployer.describe()
        raise
    return deployer.describe()


def _strategy(task):
    """The strategy: as asked for where something is made; else that of what is there."""
    params = task.params
    if params["state"] in ("present", "paused"):
        return params["strategy"]
    return ROLLING if task.client.get(DEPLOYMENT_KIND, task.namespace, params["name"]) else BLUE_GREEN


class _Deployer:
    """What the strategies share: observing, applying with a plan, waiting, describing."""

    def __init__(self, task):
        self.task, self.params, self.client, self.namespace = task, task.params, task.client, task.namespace
        self.changes, self.analysis = [], []
        self.observe()

    def observe(self):
        """Read the Deployments of this name and the Service."""
        name = self.params["name"]
        items = self.client.list(DEPLOYMENT_KIND, self.namespace, label_selector=f"{DEPLOYMENT}={name}")[0]
        self.deployments = {label_of(item, GENERATION): item for item in items if not item["metadata"].get("deletionTimestamp")}
        services = self.client.list(SERVICE, self.namespace, label_selector=f"{DEPLOYMENT}={name}")[0]
        self.service = next((item for item in services if not label_of(item, GENERATION)), None)
        self.canary_service = next((item for item in services if label_of(item, GENERATION)), None)

    def spec(self):
        """The TaskSpec of the pods, checked."""
        options = {name: spec.get("default") for name, spec in opts.TASK.items()} | {name: self.params[name] for name in POD_OPTIONS} | {"kind": "Pod"}
        spec = TaskSpec(self.params["name"], self.namespace, options, "running")
        check_pod(spec)
        return spec

    def profile(self):
        """The Pod Security profile of the pods."""
        return choose_profile(self.client, self.namespace, self.params["security_profile"])

    def apply(self, *manifests, wait=True):
        """Make objects as the manifests say, and wait until they are ready. Raises: PodwrightError with the reason of a pod that is not."""
        options = Options(check_mode=self.task.check_mode, wait=False, wait_timeout=self.wait_timeout)
        outcome = Reconciler(self.client, options, self.task.console).apply([m for m in manifests if m], self.namespace)
        self.changes += outcome.changes
        if wait:
            self.wait([change.after for change in outcome.changes if change.after])

    @property
    def wait_timeout(self):
        """Seconds to wait; the deadline of the rollout decides where nothing else is said."""
        given = self.params["wait_timeout"]
        return given if given is not None else self.params["progress_deadline"] + 60

    def wait(self, items):
        """Wait until Deployments are as they should be."""
        if self.task.check_mode or not self.params["wait"]:
            return
        kinds = {kind.name: kind for kind in (DEPLOYMENT_KIND, SERVICE)}
        waited = {key_of(item, kinds[item["kind"]]): (kinds[item["kind"]], item) for item in items}
        try:
            wait_until_ready(self.client, waited, self.wait_timeout, self.task.console)
        except PodwrightError as error:
            late = error.results.pop("waited_for", None)
            if late:
                error.message += diagnose_workload(self.client, late)
            raise

    def patch(self, item, body, note, content_type=MERGE_PATCH):
        """Change a live object, as a step of the plan. Returns it as it then is."""
        kind = self.client.kinds.resolve(item["apiVersion"], item["kind"])
        after = self.client.patch(kind, self.namespace, item["metadata"]["name"], body, MANAGER, content_type, dry_run=self.task.check_mode)
        patch = difference(item, after)
        if patch:
            self.changes.append(Change("patch", key_of(item, kind), kind, before=item, after=after, patch=patch, note=note))
        return after

    def scale(self, item, replicas, note):
        """Give a Deployment that many pods."""
        return item if item["spec"].get("replicas") == replicas else self.patch(item, {"spec": {"replicas": replicas}}, note)

    def remove(self, item, note):
        """Delete a live object."""
        kind = self.client.kinds.resolve(item["apiVersion"], item["kind"])
        if self.client.delete(kind, self.namespace, item["metadata"]["name"], item["metadata"]["uid"], dry_run=self.task.check_mode):
            self.changes.append(Change("delete", key_of(item, kind), kind, before=item, note=note))

    def absent(self):
        """Delete all of it."""
        for item in filter(None, [*self._routes(), self.canary_service, self.service, *self.deployments.values()]):
            self.remove(item, "")

    def _routes(self):
        """The HTTPRoutes of this name; none where the Gateway API is not installed."""
        kind = self.client.kinds.find_if_served(*ROUTE)
        return self.client.list(kind, self.namespace, label_selector=f"{DEPLOYMENT}={self.params['name']}")[0] if kind else []

    def require(self, item, what):
        """Raise: PodwrightError where there is nothing to act on."""
        if not item:
            raise PodwrightError(
                f"The deployment '{self.params['name']}' in namespace '{self.namespace}' has no {what}.", reason="NothingToDo", hint="Check name and namespace."
            )
        return item

    def describe(self):
        """The result's fields."""
        veil = TaskVeil()
        steps = [change for change in self.changes if change.is_change]
        fields = {"changed": bool(steps), "plan": [change.describe(veil) for change in steps or self.changes], "analysis": self.analysis}
        if not self.task.check_mode:
            self.observe()
        return fields | self.situation() | ({"diff": yaml_diff(steps, veil)} if self.task.diff_mode else {})


class _Rolling(_Deployer):
    """One Deployment, whose controller replaces its pods a few at a time."""

    def present(self):
        """Roll to what is asked for, and back where that fails and is wanted."""
        before = self._revision()
        deployment = rollout.build_deployment(self.spec(), self.params, self.profile(), ROLLING, self.params["replicas"])
        deployment["spec"]["paused"] = False
        service = rollout.build_service(self.params, deployment["spec"]["selector"]["matchLabels"])
        try:
            self.apply(deployment, service)
        except PodwrightError as error:
            if self.params["rollback_on_failure"] and before and self._revision(fresh=True) != before:
                self._roll_back(before)
                error.message += f"\nIt was rolled back to revision {before}."
            raise
        for generation, item in self.deployments.items():
            if generation != ROLLING:
                self.remove(item, "another strategy made it")

    def paused(self):
        """Take the new pods' description, and change no pod yet."""
        deployment = rollout.build_deployment(self.spec(), self.params, self.profile(), ROLLING, self.params["replicas"])
        deployment["spec"]["paused"] = True
        self.apply(deployment, rollout.build_service(self.params, deployment["spec"]["selector"]["matchLabels"]), wait=False)

    def promoted(self):
        """Go on with what was paused."""
        live = self.require(self.deployments.get(ROLLING), "Deployment")
        self.wait([self.patch(live, {"spec": {"paused": False}}, "it goes on") if live["spec"].get("paused") else live])

    def aborted(self):
        """Return to the revision before, where the latest is not complete."""
        live = self.require(self.deployments.get(ROLLING), "Deployment")
        status, wanted = live.get("status") or {}, live["spec"].get("replicas", 1)
        complete = status.get("updatedReplicas", 0) == status.get("availableReplicas", 0) == wanted == status.get("replicas", 0)
        if not complete or live["spec"].get("paused"):
            self._roll_back(self._previous())

    def rolled_back(self):
        """Return to a revision, the one before where none is named; not once more where that was done."""
        live = self.require(self.deployments.get(ROLLING), "Deployment")
        asked = self.params["revision"]
        done = annotation_of(live, ROLLED_BACK)
        if done is None or asked not in (None, int(done)):
            self._roll_back(asked or self._previous())
        else:
            self.wait([live])

    def _revision(self, fresh=False):
        live = self.client.get(DEPLOYMENT_KIND, self.namespace, self.params["name"]) if fresh else self.deployments.get(ROLLING)
        return int(annotation_of(live, KUBERNETES_REVISION) or 0) if live else 0

    def _replica_sets(self):
        uid = self.deployments[ROLLING]["metadata"]["uid"]
        items = self.client.list(REPLICA_SET, self.namespace, label_selector=f"{DEPLOYMENT}={self.params['name']}")[0]
        owned = [item for item in items if any(o["uid"] == uid for o in item["metadata"].get("ownerReferences") or [])]
        return {int(annotation_of(item, KUBERNETES_REVISION) or 0): item for item in owned}

    def _previous(self):
        """The latest revision but the one that the Deployment asks for now."""
        live = self.deployments[ROLLING]["spec"]["template"]
        return max((number for number, item in self._replica_sets().items() if _bare_template(item) != live), default=None)

    def _roll_back(self, revision):
        found = self._replica_sets().get(revision)
        if not found:
            raise PodwrightError(
                f"The deployment '{self.params['name']}' in namespace '{self.namespace}' has no revision {revision or 'before this one'}.",
                reason="NoRevision",
                hint="kubectl rollout history shows those that are kept.",
            )
        live = self.client.get(DEPLOYMENT_KIND, self.namespace, self.params["name"])
        # Applied, not patched: what the old description has beyond the new one is ours to take away again.
        kept = ("replicas", "selector", "strategy", "progressDeadlineSeconds", "minReadySeconds")
        spec = {name: live["spec"][name] for name in kept if name in live["spec"]}
        metadata = {"name": self.params["name"], "labels": live["metadata"]["labels"], "annotations": {ROLLED_BACK: str(revision)}}
        spec |= {"template": _bare_template(found), "paused": False}
        self.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})

    def situation(self):
        """Revision, active and preview."""
        live = self.deployments.get(ROLLING)
        revision = self._revision()
        return {"revision": revision or None, "active": live and live["metadata"]["name"], "preview": None, "weights": {}}


def _bare_template(replica_set):
    template = replica_set["spec"]["template"]
    labels = {key: value for key, value in template["metadata"]["labels"].items() if key != "pod-template-hash"}
    return template | {"metadata": template["metadata"] | {"labels": labels}}


class _Generations(_Deployer):
    """A Deployment for each generation; the Service says which of them counts."""

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

    def _newer(self):
        """The generations after the active one, those among them that were rolled back."""
        return [name for name, item in self.deployments.items() if self.active and _revision_of(item) > _revision_of(self.deployments[self.active])]

    def present(self):
        """Bring the generation that is asked for into service, by the strategy."""
        self._prepare(stop=False)

    def paused(self):
        """Make the generation that is asked for ready, or go to the canary's first step; no further."""
        self._prepare(stop=True)

    def _prepare(self, stop):
        spec = self.spec()
        generation = rollout.generation_of(spec)
        is_first = self.active is None
        if generation == self.active or is_first or self.params["strategy"] == BLUE_GREEN:
            self._make(spec, generation, self.params["replicas"])
            if generation == self.active or is_first or not stop:
                self._switch(generation)
            return
        steps = (self.params["canary"] or {}).get("steps") or []
        steps = steps if stop or not self.task.check_mode else []  # a plan shows where it leads
        done = int(annotation_of(self.deployments[generation], STEP) or 0) if generation in self.deployments else 0
        self._discard([name for name in self.deployments if name not in (generation, self.active) and name == self.preview])
        for number, step in enumerate(steps, 1):
            if number <= done:
                continue
            self._make(spec, generation, rollout.canary_replicas(self.params["replicas"], step["weight"]))
            self._spread(generation, step["weight"])
            if stop or not self._pass_step(generation, number, step):
                return
        self._make(spec, generation, self.params["replicas"])
        self._switch(generation)

    def _make(self, spec, generation, replicas):
        """Apply a generation and wait for it."""
        live = self.deployments.get(generation)
        revision = _revision_of(live) if live else max(map(_revision_of, self.deployments.values()), default=0) + 1
        if live and self.active not in (None, generation) and revision < _revision_of(self.deployments[self.active]):
            revision = max(map(_revision_of, self.deployments.values())) + 1  # an old one comes again: it is the newest now
        manifest = rollout.build_deployment(spec, self.params, self.profile(), generation, replicas, revision)
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
            if annotation_of(self.deployments[generation], ROLLED_BACK):
                self._note(generation, {ROLLED_BACK: None})

    def _spread(self, generation, weight):
        """Send a share of the traffic to a generation beside the active one: by the number of its pods, or by a route."""
        name = self.params["name"]
        if not (self.params["canary"] or {}).get("route"):
            self.apply(rollout.build_service(self.params, {DEPLOYMENT: name}, self.active), wait=False)
        else:
            canary = rollout.build_service(self.params, {DEPLOYMENT: name, GENERATION: generation}, canary=generation)
            kind = self.client.kinds.find_served(*ROUTE)
            self.apply(canary, rollout.build_route(kind, self.params, self.service, canary, weight), wait=False)
        if not self.task.check_mode:
            self.observe()

    def _gather(self):
        """Where a route divided the traffic, give all of it to the Service again."""
        if not self.canary_service:
            return
        left = self.canary_service["metadata"]["name"]
        for route in self._routes():
            rules = [rule | {"backendRefs": [ref for ref in rule["backendRefs"] if ref["name"] != left]} for rule in route["spec"]["rules"]]
            self.patch(route, {"spec": {"rules": rules}}, "all traffic turns to the Service")
        self.remove(self.canary_service, "no traffic goes to it any more")

    def _switch(self, generation):
        """Turn all traffic to a generation in one write, and see to those before."""
        before = self.active
        selector = {DEPLOYMENT: self.params["name"], GENERATION: generation}
        self.apply(rollout.build_service(self.params, selector, generation), wait=False)
        if self.task.check_mode:
            return
        self.observe()
        self._settle(generation, before)

    def _settle(self, generation, before):
        """Of the generations that do not count the latest stays for a return; a canary's without pods, since its pods would count again."""
        self._gather()
        others = sorted((name for name in self.deployments if name not in (generation, *self._newer())), key=lambda name: _revision_of(self.deployments[name]))
        kept = before if before in others else others[-1] if others else None
        self._discard([name for name in self.deployments if name not in (generation, kept)])
        if kept and self.params["strategy"] == CANARY and self.params["state"] in ("present", "promoted"):
            self.scale(self.deployments[kept], 0, "its successor is in service")
        if annotation_of(self.deployments[generation], STEP):
            marks = {"metadata": {"annotations": {STEP: None, STEP_SINCE: None}}}
            self.patch(self.deployments[generation], marks, "it is in service")

    def _discard(self, names):
        for name in names:
            if name in self.deployments and name != self.active:
                self.remove(self.deployments[name], "it is not in service")

    # -- a canary's steps -------------------------------------------------------------------------------------

    def _pass_step(self, generation, number, step):
        """Wait out a step and judge it. Returns whether to go on; raises PodwrightError where its analysis says no, or nothing clear."""
        if step["pause"] is True:
            return False  # until it is promoted or aborted
        self._pause(generation, number, float(step["pause"] or 0))
        for entry in (self.params["canary"] or {}).get("analysis") or []:
            outcome = self._analyse(generation, entry)
            self.analysis.append({"step": number, "weight": step["weight"]} | outcome)
            if outcome["outcome"] == FAILURE:
                self.aborted()
                raise self._analysis_error(outcome, number, "failed, and the canary was taken away", "Look at analysis in the result.")
            if outcome["outcome"] == INCONCLUSIVE:
                hint = "Run it again to measure again, or set state to promoted or aborted."
                raise self._analysis_error(outcome, number, "is inconclusive; the canary stays at its share", hint)
        self._note(generation, {STEP: str(number), STEP_SINCE: None})
        return True

    def _pause(self, generation, number, seconds):
        """Wait, from when the step began, also where another run began it."""
        since = annotation_of(self.deployments[generation], STEP_SINCE) or ""
        began, _at, moment = since.partition("@")
        if began != str(number):
            moment = f"{self.client.now():.3f}"
            self._note(generation, {STEP_SINCE: f"{number}@{moment}"})
        while True:
            left = float(moment) + seconds - self.client.now()
            if left <= 0:
                return
            self.task.console.progress(f"step {number} lasts {left:.0f} s more")
            self.client.clock.sleep(min(left, 1))

    def _note(self, generation, annotations):
        item = self.deployments[generation]
        body = {"metadata": {"annotations": annotations}}
        self.deployments[generation] = self.client.patch(DEPLOYMENT_KIND, self.namespace, item["metadata"]["name"], body, MANAGER, MERGE_PATCH)

    def _analysis_error(self, outcome, number, what, hint):
        shown = f"{outcome['what']} gave {outcome['value']}"
        return PodwrightError(f"The analysis of step {number} of '{self.params['name']}' {what}: {shown}.", reason="Analysis", hint=hint)

    def _analyse(self, generation, entry):
        """{what, value, outcome} of one measurement."""
        success, failure = entry["success"], entry["failure"]
        if entry["prometheus"]:
            asked = entry["prometheus"]
            what, value = asked["query"], ask_prometheus(self.client, self.namespace, asked["server"], asked["query"])
        elif entry["request"] is not None:
            what, value = "the request", self._measure(pod_request, entry["request"] | {"pod": self._a_pod(generation)}, "status")
            success = success or "< 400"
        else:
            command = {"command": entry["command"], "pod": self._a_pod(generation), "check_rc": False}
            what, value = "the command", self._measure(pod_exec, command, "rc")
            success = success or "== 0"
        return {"what": what, "value": value, "outcome": rollout.judge_value(value, success, failure)}

    def _measure(self, module, options, field):
        """A number that another operation returns; None where it could not be had."""
        arguments = module.ARGUMENTS
        unknown = sorted(set(options) - set(arguments))
        if unknown:
            raise opts.bad("canary.analysis", f"unknown key '{unknown[0]}'.")
        params = {name: spec.get("default") for name, spec in arguments.items()} | {"namespace": self.namespace} | options
        if field == "status":
            params |= {"status_code": list(range(100, 600)), "port": str(options.get("port") or "")}
        part = Task(params, False, False, self.task.console)
        part._client = self.client
        try:
            return module.run(part).get(field)
        except PodwrightError as error:
            return error.results.get(field)

    def _a_pod(self, generation):
        selector = f"{DEPLOYMENT}={self.params['name']},{GENERATION}={generation}"
        pods = self.client.list(POD, self.namespace, label_selector=selector)[0]
        ready = [pod for pod in pods if is_serving(pod)]
        return self.require(ready, "ready pod to ask")[0]["metadata"]["name"]

    # -- the other verbs --------------------------------------------------------------------------------------

    def promoted(self):
        """Bring the newest generation into service at once."""
        self.require(self.active, "generation in service")
        generation = self.preview
        if generation:
            self._bring(generation)

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
        if wanted == _revision_of(current) or (wanted is None and was_done):
            return
        older = {_revision_of(item): name for name, item in self.deployments.items() if _revision_of(item) < _revision_of(current)}
        generation = older.get(wanted if wanted is not None else max(older, default=None))
        if not generation:
            raise PodwrightError(
                f"The deployment '{self.params['name']}' in namespace '{self.namespace}' has no revision {wanted or 'before this one'}.",
                reason="NoRevision",
                hint=f"There is {', '.join(str(number) for number in sorted(older)) or 'none'}.",
            )
        left = self.active
        self._bring(generation)
        if not self.task.check_mode:
            self._note(left, {ROLLED_BACK: "true"})

    def _bring(self, generation):
        """Give a generation as many pods as the active one has, wait for them and turn the traffic."""
        before = self.active
        replicas = max(self.deployments[before]["spec"].get("replicas", 1), self.deployments[generation]["spec"].get("replicas", 1))
        self.wait([self.scale(self.deployments[generation], replicas, "it is to be in service")])
        self._point(generation)
        self._gather()
        if not self.task.check_mode:
            self.observe()
            if annotation_of(self.deployments[generation], STEP) or annotation_of(self.deployments[generation], STEP_SINCE):
                self._note(generation, {STEP: None, STEP_SINCE: None})

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
            refs = [ref for route in self._routes() for rule in route["spec"]["rules"] for ref in rule["backendRefs"]]
            name = self.canary_service["metadata"]["name"]
            return rollout.share_of(*(sum(ref.get("weight", 1) for ref in refs if (ref["name"] == name) == is_canary) for is_canary in (True, False)))
        if GENERATION in self.service["spec"]["selector"]:
            return 0
        ready = [(self.deployments[name].get("status") or {}).get("readyReplicas", 0) for name in (preview, active)]
        return rollout.share_of(*ready)


def _revision_of(item):
    return number_of(item, REVISION) or 0


OPERATION = Operation("pod_deployment", ARGUMENTS, run, redact=task_pod.redact)
