# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What all ways of deploying share: observing, applying with a plan, waiting, describing."""

from __future__ import annotations

from functools import partial

from ..cluster.client import MANAGER, MERGE_PATCH
from ..cluster.diagnosis import explain_workload
from ..cluster.kinds import BUILT_IN
from ..errors import PodwrightError, as_podwright_error
from ..objects.labels import DEPLOYMENT, GENERATION, label_of
from ..reconciler.diff import yaml_diff
from ..reconciler.manifest import difference, key_of
from ..reconciler.plan import Change
from ..reconciler.reconciler import Options, Reconciler
from ..reconciler.wait import wait_until_ready
from ..tasks import options as opts
from ..tasks.result import TaskRedactor
from ..tasks.security_context import choose_profile
from ..tasks.task_spec import TaskSpec
from ..tasks.validation import validate

DEPLOYMENT_KIND, SERVICE = BUILT_IN["apps/v1", "Deployment"], BUILT_IN["v1", "Service"]
ROUTE = ("gateway.networking.k8s.io", "HTTPRoute")
_NOT_OF_PODS_THAT_STAY = ("stdin", "parent", "max_depth", "max_children", "network", "queue", "restart_policy")
POD_OPTIONS = {name: spec for name, spec in {**opts.CONTAINER, **opts.POD}.items() if name not in _NOT_OF_PODS_THAT_STAY}


class Deployer:
    """What the strategies share: observing, applying with a plan, waiting, describing."""

    def __init__(self, task):
        self.task, self.params, self.client, self.namespace = task, task.params, task.client, task.namespace
        self.changes, self.analysis, self.seen = [], [], {}
        self.explain = partial(explain_workload, self.client)
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
        validate(spec)
        return spec

    def profile(self):
        """The Pod Security profile of the pods."""
        return choose_profile(self.client, self.namespace, self.params["security_profile"])

    def apply(self, *manifests, wait=True):
        """Make objects as the manifests say, and wait until they are ready. Raises: PodwrightError with the reason of a pod that is not."""
        options = Options(check_mode=self.task.check_mode, wait=False, wait_timeout=self.wait_timeout)
        reconciler = Reconciler(self.client, options, self.task.console, self.explain)
        outcome = reconciler.apply([m for m in manifests if m], self.namespace)
        self.changes += outcome.changes
        outcome.check()
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
        wait_until_ready(self.client, waited, self.wait_timeout, self.task.console, explain=self.explain)

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
        for item in filter(None, [*self.routes(), self.canary_service, self.service, *self.deployments.values()]):
            self.remove(item, "")

    def routes(self):
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

    def no_revision(self, wanted, known):
        """The error where a revision is asked for that is not kept; none named means the one before."""
        return PodwrightError(
            f"The deployment '{self.params['name']}' in namespace '{self.namespace}' has no revision {wanted or 'before this one'}.",
            reason="NoRevision",
            hint=f"There is {', '.join(str(number) for number in sorted(known)) or 'none'}.",
        )

    def look_again(self):
        """Observe what came of it. A failure here must not hide the one before."""
        try:
            if not self.task.check_mode:
                self.observe()
            self.seen = self.situation()
        except Exception as error:
            self.task.console.warn(f"The state of deployment '{self.params['name']}' could not be read afterwards: {as_podwright_error(error)}")

    def describe(self):
        """The result's fields."""
        redactor = TaskRedactor()
        steps = [change for change in self.changes if change.is_change]
        fields = {"changed": bool(steps), "plan": [change.describe(redactor) for change in steps or self.changes], "analysis": self.analysis}
        return fields | self.seen | ({"diff": yaml_diff(steps, redactor)} if self.task.diff_mode else {})
