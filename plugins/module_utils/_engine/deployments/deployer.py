# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The base of all strategies: read the live objects, apply manifests, wait, and record the changes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ..cluster.client import MANAGER, MERGE_PATCH
from ..cluster.diagnosis import explain_workload
from ..cluster.kinds import BUILT_IN, SECRET, SERVICE
from ..errors import UNKNOWN_KIND, PodwrightError, as_podwright_error
from ..objects.labels import DEPLOYMENT, GENERATION, label_of
from ..reconciler.manifest import difference, key_of
from ..reconciler.plan import Change
from ..reconciler.reconciler import Reconciler, ReconcilerOptions
from ..reconciler.wait import wait_until_ready
from ..tasks.options import TASK_OPTIONS
from ..tasks.pod_security import AUTO, check_level, profile_of, read_level
from ..tasks.server_support import ServerSupport
from ..tasks.task_plan import secret_creation
from ..tasks.task_secret import build_secret
from ..tasks.task_spec import TaskSpec
from ..tasks.validation import validate
from .manifests import build_deployment
from .options import TEMPLATE_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..cluster.client import Client
    from ..console import Console
    from ..values import Manifest, Options, Patch, Result

DEPLOYMENT_KIND = BUILT_IN["apps/v1", "Deployment"]
ROUTE = ("gateway.networking.k8s.io", "HTTPRoute")


class Deployer(ABC):
    """A deployment of one strategy.

    Attributes:
        changes: what was changed so far.
        analysis: measurements so far, each with `step` and `weight`.
        status: revision, active, preview and weights after the task.
        spec: the pods of the options, once these are validated.
        deployments: the live Deployments by generation, without those that are being deleted.
        service: the live Service, or None.
        canary_service: the live Service of a canary, or None.
    """

    def __init__(self, client: Client, namespace: str, params: Options, console: Console, check_mode: bool) -> None:
        self.client, self.namespace, self.params, self.console, self.check_mode = client, namespace, params, console, check_mode
        self.name: str = params["name"]
        self.changes: list[Change] = []
        self.analysis: list[Result] = []
        self.status: Result = {}
        self.deployments: dict[str, Manifest] = {}
        self.spec: TaskSpec | None = None
        self.service: Manifest | None = None
        self.canary_service: Manifest | None = None
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
        for item in filter(None, [*self.routes(), self.canary_service, self.service, *self.deployments.values()]):
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
        self.service = next((item for item in services if not label_of(item, GENERATION)), None)
        self.canary_service = next((item for item in services if label_of(item, GENERATION)), None)

    def refresh_status(self) -> None:
        """Read the status after the task. A failure is a warning only, since it must not hide an earlier one."""
        try:
            if not self.check_mode:
                self.observe()
            self.status = self.read_status()
        except Exception as error:
            self.console.warn(f"The status of deployment '{self.name}' could not be read after the task: {as_podwright_error(error)}")

    def routes(self) -> list[Manifest]:
        """The live HTTPRoutes; none if the Gateway API is not installed."""
        kind = self.client.kinds.find_if_served(*ROUTE)
        try:
            return self.client.list(kind, self.namespace, label_selector=f"{DEPLOYMENT}={self.name}")[0] if kind else []
        except PodwrightError as error:
            if error.reason != UNKNOWN_KIND:
                raise
            return []  # discovery is cached: the definition was deleted meanwhile

    def task_spec(self) -> TaskSpec:
        """The pods of the options. Raises: PodwrightError if an option is invalid."""
        options = {name: spec.get("default") for name, spec in TASK_OPTIONS.items()} | {name: self.params[name] for name in TEMPLATE_OPTIONS} | {"kind": "Pod"}
        spec = TaskSpec(self.name, self.namespace, options, "running", peers={DEPLOYMENT: self.name})
        validate(spec)
        self.spec = spec
        return spec

    def build(self, spec: TaskSpec, generation: str, replicas: int, revision: int | None = None) -> Manifest:
        """The Deployment of a generation; see `build_deployment`. Raises: PodwrightError if the namespace does not allow its pods."""
        asked = self.params["security_profile"]
        level = read_level(self.client, self.namespace) if asked == AUTO else ""
        deployment = build_deployment(spec, self.params, profile_of(asked, level), generation, replicas, revision)
        check_level(spec, deployment, level)
        ServerSupport(self.client).check(spec.options, DEPLOYMENT_KIND, self.namespace, deployment)
        return deployment

    # -- changing ---------------------------------------------------------------------------------------------

    def apply(self, *manifests: Manifest | None, wait: bool = True) -> None:
        """Apply manifests and wait until the objects are ready. Raises: PodwrightError with the reason why a pod is not ready."""
        options = ReconcilerOptions(check_mode=self.check_mode, wait=False, wait_timeout=self.wait_timeout)
        reconciler = Reconciler(self.client, options, self.console, partial(explain_workload, self.client))
        outcome = reconciler.apply([manifest for manifest in manifests if manifest], self.namespace)
        self.changes += outcome.changes
        outcome.raise_error()
        for change in outcome.changes:
            if change.kind == DEPLOYMENT_KIND and change.after:
                self._create_secret(change.after)
        if wait:
            self.wait(change.after for change in outcome.changes if change.after)

    def _create_secret(self, deployment: Manifest) -> None:
        """Create the Secret that the pods of a Deployment refer to, unless it exists. Raises: PodwrightError."""
        secret = build_secret(self.spec, deployment, {DEPLOYMENT: self.name}) if self.spec else None
        if not secret:
            return
        try:
            live = self.client.create(SECRET, self.namespace, secret, MANAGER, dry_run=self.check_mode)
        except PodwrightError as error:
            if error.reason == "AlreadyExists" or (self.check_mode and error.is_not_found):
                return
            raise
        self.changes.append(replace(secret_creation(secret), after=live))

    @property
    def wait_timeout(self) -> int:
        """Timeout of a wait in seconds; by default longer than the deadline by which the controller fails the rollout."""
        given: int | None = self.params["wait_timeout"]
        return self.params["progress_deadline"] + 60 if given is None else given

    def wait(self, items: Iterable[Manifest]) -> None:
        """Wait until Deployments and Services are ready. Raises: PodwrightError."""
        if self.check_mode or not self.params["wait"]:
            return
        kinds = {kind.name: kind for kind in (DEPLOYMENT_KIND, SERVICE)}
        waited = {key_of(item, kinds[item["kind"]]): (kinds[item["kind"]], item) for item in items}
        wait_until_ready(self.client, waited, self.wait_timeout, self.console, explain=partial(explain_workload, self.client))

    def patch(self, item: Manifest, body: Manifest | Patch, note: str, content_type: str = MERGE_PATCH) -> Manifest:
        """Patch a live object. Returns: the object after that. Raises: PodwrightError."""
        kind = self.client.kinds.resolve(item["apiVersion"], item["kind"])
        after = self.client.patch(kind, self.namespace, item["metadata"]["name"], body, MANAGER, content_type, dry_run=self.check_mode)
        patch = difference(item, after)
        if patch:
            self.changes.append(Change("patch", key_of(item, kind), kind, before=item, after=after, patch=patch, note=note))
        return after

    def scale(self, item: Manifest, replicas: int, note: str) -> Manifest:
        """Set the replicas of a live Deployment. Returns: the Deployment after that. Raises: PodwrightError."""
        return item if item["spec"].get("replicas") == replicas else self.patch(item, {"spec": {"replicas": replicas}}, note)

    def delete(self, item: Manifest, note: str = "") -> None:
        """Delete a live object. Raises: PodwrightError."""
        kind = self.client.kinds.resolve(item["apiVersion"], item["kind"])
        if self.client.delete(kind, self.namespace, item["metadata"]["name"], item["metadata"]["uid"], dry_run=self.check_mode):
            self.changes.append(Change("delete", key_of(item, kind), kind, before=item, note=note))

    # -- errors -----------------------------------------------------------------------------------------------

    def missing(self, fault: str) -> PodwrightError:
        """The error for a deployment that lacks what the state requires."""
        hint = "Check name and namespace, or create the deployment with state present."
        return PodwrightError(f"Deployment '{self.name}' in namespace '{self.namespace}' {fault}.", reason="NothingToDo", hint=hint)

    def unknown_revision(self, revision: int | None, known: Iterable[int]) -> PodwrightError:
        """The error for a revision that does not exist; None is the previous one."""
        what = "previous revision" if revision is None else f"revision {revision}"
        revisions = ", ".join(map(str, sorted(known))) or "none"
        return PodwrightError(f"Deployment '{self.name}' in namespace '{self.namespace}' has no {what}; revisions: {revisions}.", reason="NoRevision")
