# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The base of all strategies: read the live objects, apply manifests, wait, and record the changes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ..cluster.client import MANAGER, MERGE_PATCH
from ..cluster.diagnosis import explain_workload
from ..cluster.kinds import BUILT_IN, SERVICE
from ..errors import UNKNOWN_KIND, PodwrightError, as_podwright_error
from ..objects.labels import DEPLOYMENT, GENERATION, label_of
from ..objects.readiness import whole_number
from ..reconciler.manifest import difference, key_of
from ..reconciler.plan import Change
from ..reconciler.reconciler import Reconciler, ReconcilerOptions
from ..reconciler.wait import wait_until_ready
from ..tasks.options import TASK_OPTIONS
from ..tasks.pod_security import AUTO, check_level, profile_of, read_level
from ..tasks.server_support import ServerSupport
from ..tasks.task_plan import secret_creation
from ..tasks.task_secret import build_secret, check_secret, choose_lasting_name, create_secret
from ..tasks.task_spec import TaskSpec
from ..tasks.validation import validate
from .autoscalers import is_autoscaled
from .foresight import Foresight
from .manifests import build_deployment, service_name
from .options import ROLLING, TEMPLATE_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..cluster.client import Client
    from ..cluster.kinds import Kind
    from ..console import Console
    from ..values import Manifest, Options, Patch, Result

DEPLOYMENT_KIND = BUILT_IN["apps/v1", "Deployment"]
SUPERSEDED = "Superseded"  # reason of the error of a rollout that another run has undone
ROUTE = ("gateway.networking.k8s.io", "HTTPRoute")


class Deployer(ABC):
    """A deployment of one strategy.

    Attributes:
        changes: what was changed so far.
        analysis: measurements so far, each with `step` and `weight`.
        status: revision, active, preview and weights after the task.
        spec: the pods of the options, once these are validated.
        deployments: the live Deployments by generation, without those that are being deleted.
        services: the live Services; more than one while the option names another one than before.
        canary_services: the live Services of canaries, more than one in the same case.

    In check mode these are the objects as the changes so far would leave them.
    """

    def __init__(self, client: Client, namespace: str, params: Options, console: Console, check_mode: bool) -> None:
        self.client, self.namespace, self.params, self.console, self.check_mode = client, namespace, params, console, check_mode
        self.name: str = params["name"]
        self.changes: list[Change] = []
        self._foresight = Foresight(check_mode)
        self.analysis: list[Result] = []
        self.status: Result = {}
        self.deployments: dict[str, Manifest] = {}
        self.spec: TaskSpec | None = None
        self.services: list[Manifest] = []
        self.canary_services: list[Manifest] = []
        self.observe()

    # -- states -----------------------------------------------------------------------------------------------

    @abstractmethod
    def roll_out(self) -> None:
        """Roll out the options. Raises: PodwrightError."""

    @abstractmethod
    def pause(self) -> None:
        """Roll out the options, and pause. Raises: PodwrightError."""

    @abstractmethod
    def promote(self) -> None:
        """Complete a paused rollout or a canary. Raises: PodwrightError."""

    @abstractmethod
    def abort(self) -> None:
        """Return to the previous revision if the rollout is incomplete. Raises: PodwrightError."""

    @abstractmethod
    def roll_back(self) -> None:
        """Return to the previous revision, or to that of the options. Raises: PodwrightError."""

    def delete_all(self) -> None:
        """Delete all objects of the deployment. Raises: PodwrightError."""
        for item in [*self.routes(is_optional=True), *self.canary_services, *self.services, *self.deployments.values()]:
            self.delete(item)

    @abstractmethod
    def read_status(self) -> Result:
        """Revision, active, preview and weights, from the objects that were observed last."""

    # -- observing --------------------------------------------------------------------------------------------

    def observe(self) -> None:
        """Read the Deployments and Services."""
        selector = f"{DEPLOYMENT}={self.name}"
        items = self.client.list(DEPLOYMENT_KIND, self.namespace, label_selector=selector)[0]
        self.deployments = {label_of(item, GENERATION) or "": item for item in items if not item["metadata"].get("deletionTimestamp")}
        services = self.client.list(SERVICE, self.namespace, label_selector=selector)[0]
        self.services = [item for item in services if not label_of(item, GENERATION)]
        self.canary_services = [item for item in services if label_of(item, GENERATION)]

    @property
    def service(self) -> Manifest | None:
        """The live Service: that of the option, if there are others."""
        name = service_name(self.params)
        return next((item for item in self.services if item["metadata"]["name"] == name), self.services[0] if self.services else None)

    def observe_changes(self) -> None:
        """Read the objects after a change. In check mode they are known: nothing was written."""
        if not self.check_mode:
            self.observe()

    def _foresee(self, item: Manifest) -> None:
        """In check mode: hold an object as a change would leave it."""
        if not self.check_mode:
            return
        generation = label_of(item, GENERATION)
        if item["kind"] == DEPLOYMENT_KIND.name:
            self.deployments[generation or ""] = item
        elif item["kind"] == SERVICE.name:
            services = self.canary_services if generation else self.services
            services[:] = [*(other for other in services if other["metadata"]["name"] != item["metadata"]["name"]), item]

    def refresh_status(self) -> None:
        """Read the status after the task. A failure is a warning only, since it must not hide an earlier one."""
        try:
            self.observe_changes()
            self.status = self.read_status()
        except Exception as error:
            self.console.warn(f"The status of deployment '{self.name}' could not be read after the task: {as_podwright_error(error)}")

    def routes(self, is_optional: bool = False) -> list[Manifest]:
        """The live HTTPRoutes; none if the Gateway API is not installed, or with a warning if they are optional and must not be listed."""
        kind = self.client.kinds.find_if_served(*ROUTE)
        try:
            return self.client.list(kind, self.namespace, label_selector=f"{DEPLOYMENT}={self.name}")[0] if kind else []
        except PodwrightError as error:
            if is_optional and error.is_forbidden:
                self.console.warn(f"Whether deployment '{self.name}' has an HTTPRoute, which would be left, is unknown: {error}")
            elif error.reason != UNKNOWN_KIND:  # discovery is cached: the definition was deleted meanwhile
                raise
            return []

    def task_spec(self) -> TaskSpec:
        """The pods of the options. Raises: PodwrightError if an option is invalid."""
        options = {name: spec.get("default") for name, spec in TASK_OPTIONS.items()} | {name: self.params[name] for name in TEMPLATE_OPTIONS} | {"kind": "Pod"}
        spec = TaskSpec(self.name, self.namespace, options, "running", peers={DEPLOYMENT: self.name})
        validate(spec)
        self.spec = spec
        return spec

    def choose_replicas(self, active: str | None) -> int:
        """The number of pods of a generation: while an autoscaler scales the deployment that of the active one, else that of the options."""
        wanted: int = self.params["replicas"]
        replicas = replicas_of(self.deployments[active]) if active in self.deployments else 0
        if replicas in (0, wanted) or not is_autoscaled(self.client, self.namespace, self.name, self.deployments.values(), self.console):
            return wanted
        return replicas

    def build(self, spec: TaskSpec, generation: str, replicas: int, revision: int | None = None) -> Manifest:
        """The Deployment of a generation; see `build_deployment`. Raises: PodwrightError if the namespace does not allow its pods."""
        asked = self.params["security_profile"]
        level = read_level(self.client, self.namespace) if asked == AUTO else ""
        deployment = build_deployment(spec, self.params, profile_of(asked, level), generation, replicas, revision)
        choose_lasting_name(self.client, spec, deployment, self.deployments.get(generation))
        check_level(spec, deployment, level)
        ServerSupport(self.client).check(spec.options, DEPLOYMENT_KIND, self.namespace, deployment)
        return deployment

    def check_owner(self, kind: Kind, manifest: Manifest | None) -> None:
        """Check before the first write that an object to apply does not belong to somebody else. Raises: PodwrightError."""
        if not manifest or (kind == SERVICE and any(item["metadata"]["name"] == manifest["metadata"]["name"] for item in self.services)):
            return
        live = self.client.get(kind, self.namespace, manifest["metadata"]["name"])
        owner = label_of(live, DEPLOYMENT) if live else self.name
        if owner == self.name:
            return
        whose = f"belongs to deployment '{owner}'" if owner else "was not created by pod_deployment"
        message = f"{kind.name} '{manifest['metadata']['name']}' in namespace '{self.namespace}' {whose}."
        hint = "Use another name, or delete it first."
        if not owner and kind == SERVICE and manifest["metadata"]["name"] == service_name(self.params):
            hint = f"Use another name, or hand it over by the label {DEPLOYMENT}={self.name}: state absent deletes it then."
        raise PodwrightError(message, reason="NotOurs", hint=hint)

    # -- changing ---------------------------------------------------------------------------------------------

    def apply(self, *manifests: Manifest | None, wait: bool = True) -> None:
        """Apply manifests and wait until the objects are ready. Raises: PodwrightError with the reason why a pod is not ready."""
        options = ReconcilerOptions(check_mode=self.check_mode, wait=False, wait_timeout=self.wait_timeout)
        reconciler = Reconciler(self.client, options, self.console, partial(explain_workload, self.client))
        given = [manifest for manifest in manifests if manifest]
        for deployment in given:
            check_secret(self.client, self._build_secret(deployment))
        outcome = reconciler.apply(given, self.namespace)
        self.changes += outcome.changes
        outcome.raise_error()
        for change in outcome.changes:
            if change.after:
                self._foresee(self._foresight.after_apply(change, change.after))
            if change.kind == DEPLOYMENT_KIND and change.after:
                self._create_secret(change.after)
        if wait:
            self.wait(change.after for change in outcome.changes if change.after)

    def _create_secret(self, deployment: Manifest) -> None:
        """Create the Secret that the pods of a Deployment refer to, unless it exists. Raises: PodwrightError."""
        secret = self._build_secret(deployment)
        if not secret:
            return
        try:
            live = create_secret(self.client, secret, self.check_mode)
        except PodwrightError as error:
            if self.check_mode and error.is_not_found:
                return
            raise
        if live:
            self.changes.append(replace(secret_creation(secret), after=live))

    def _build_secret(self, manifest: Manifest) -> Manifest | None:
        is_deployment = manifest["kind"] == DEPLOYMENT_KIND.name
        return build_secret(self.spec, manifest, {DEPLOYMENT: self.name}) if self.spec and is_deployment else None

    @property
    def wait_timeout(self) -> int:
        """Timeout of a wait in seconds; by default longer than the deadline by which the controller fails the rollout."""
        given: int | None = self.params["wait_timeout"]
        return self.params["progress_deadline"] + 60 if given is None else given

    def wait(self, items: Iterable[Manifest], is_optional: bool = True) -> list[Manifest]:
        """Wait until Deployments and Services are ready, unless that is optional and the options say not to.

        Returns: the objects as last seen; none without a wait.
        Raises: PodwrightError.
        """
        if self.check_mode or (is_optional and not self.params["wait"]):
            return []
        kinds = {kind.name: kind for kind in (DEPLOYMENT_KIND, SERVICE)}
        waited = {key_of(item, kinds[item["kind"]]): (kinds[item["kind"]], item) for item in items}
        latest = wait_until_ready(self.client, waited, self.wait_timeout, self.console, explain=partial(explain_workload, self.client))
        return list(latest.values())

    def patch(self, item: Manifest, body: Manifest | Patch, note: str, content_type: str = MERGE_PATCH) -> Manifest:
        """Patch a live object. Returns: the object after that. Raises: PodwrightError."""
        kind = self.client.kinds.resolve(item["apiVersion"], item["kind"])
        answer = self.client.patch(kind, self.namespace, item["metadata"]["name"], body, MANAGER, content_type, dry_run=self.check_mode)
        after = self._foresight.after_patch(item, body, answer)
        self._foresee(after)
        patch = difference(item, after)
        if patch:
            self.changes.append(Change("patch", key_of(item, kind), kind, before=item, after=after, patch=patch, note=note))
        return after

    def scale(self, item: Manifest, replicas: int, note: str) -> Manifest:
        """Set the replicas of a live Deployment. Returns: the Deployment after that. Raises: PodwrightError."""
        return item if item["spec"].get("replicas") == replicas else self.patch(item, {"spec": {"replicas": replicas}}, note)

    def delete(self, item: Manifest, note: str = "", propagation: str = "Background") -> None:
        """Delete a live object. Raises: PodwrightError."""
        kind = self.client.kinds.resolve(item["apiVersion"], item["kind"])
        if self.client.delete(kind, self.namespace, item["metadata"]["name"], item["metadata"]["uid"], propagation, dry_run=self.check_mode):
            self.changes.append(Change("delete", key_of(item, kind), kind, before=item, note=note))
        if self.check_mode:
            self.services = [other for other in self.services if other is not item]
            self.deployments = {generation: other for generation, other in self.deployments.items() if other is not item}
            self.canary_services = [other for other in self.canary_services if other is not item]

    def return_after(self, error: PodwrightError, give_up: Callable[[], str]) -> None:
        """Return to the previous revision after a failed rollout, and add to its error what became of that.

        Args:
            give_up: returns what it did as a sentence, or raises PodwrightError.
        """
        if self.check_mode:
            return
        try:
            error.message += f"\n{give_up()}"
        except PodwrightError as failure:
            error.message += f"\nReturning to the previous revision failed, too: {failure}"

    # -- errors -----------------------------------------------------------------------------------------------

    def missing(self, fault: str, hint: str = "Check name and namespace, or create the deployment with state present.") -> PodwrightError:
        """The error for a deployment that lacks what the state requires."""
        return PodwrightError(f"Deployment '{self.name}' in namespace '{self.namespace}' {fault}.", reason="NothingToDo", hint=hint)

    def superseded(self, generation: str, what: str) -> PodwrightError:
        """The error for a rollout that another run has undone."""
        whose = f"Deployment '{self.name}'" if generation == ROLLING else f"Generation {generation} of deployment '{self.name}'"
        message = f"{whose} in namespace '{self.namespace}' {what} during its rollout, probably by another run."
        return PodwrightError(message, reason=SUPERSEDED, hint="Look which version is wanted, and run its task again.")

    def unknown_revision(self, revision: int | None, known: Iterable[int]) -> PodwrightError:
        """The error for a revision that does not exist; None is the previous one."""
        what = "previous revision" if revision is None else f"revision {revision}"
        message = f"Deployment '{self.name}' in namespace '{self.namespace}' has no {what}; revisions: {', '.join(map(str, sorted(known))) or 'none'}."
        return PodwrightError(message, reason="NoRevision", hint="To change to another version, set its options with state present.")


def replicas_of(deployment: Manifest) -> int:
    """The desired replicas of a Deployment."""
    return whole_number(deployment["spec"].get("replicas"), 1)
