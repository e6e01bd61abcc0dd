# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The requests that carry out the plan of a task.

They run in threads: each returns what the server answered as far as it got, also if something unforeseen happens, and changes no TaskRun.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from ..cluster.client import MANAGER, MERGE_PATCH, STRATEGIC_PATCH, Client
from ..cluster.container_log import read_end
from ..cluster.kinds import CONFIG_MAP, JOB, NETWORK_POLICY, POD, Kind
from ..errors import REPLACED, PodwrightError, as_podwright_error
from ..objects.containers import TASK_CONTAINER
from ..objects.labels import HASH, MANAGED, RESOURCES, TASK, label_of, owner_reference
from ..objects.pod_status import has_started
from ..objects.readiness import deletion_obstacle
from ..reconciler.manifest import difference, merge
from ..reconciler.plan import NOT_PREDICTED, Change
from ..text import decode
from ..values import Manifest
from .collected import Collected
from .decision import PATCH, RELABELED, REPLACE
from .live_state import find_correction
from .network_policy import build_policy
from .observation import is_current
from .other_runs import find_completed
from .record import Record
from .task_plan import Listed
from .task_secret import build_secret, check_secret, create_secret
from .task_spec import TaskSpec
from .tracing import add_context

THREADS = 16  # requests at a time
LOG_BYTES = 1 << 20  # of a log that is collected


@dataclass(frozen=True)
class Answer:
    """What the server answered to the requests of one step, as far as they got.

    Attributes:
        deleted: whether something was deleted that was not being deleted already.
        missing: uids of objects that do not exist any more.
        predicted: a replacement as the server's dry run answered, or None.
        live: what was created or resized, or the pod that terminated before all was fetched from it, or None.
        adopted: what existed already without a label that identifies its task, before that was restored, or None.
        log: the end of the log of a pod that is stopped, or None.
        policy: the NetworkPolicy that was applied, or None.
        collected: what the task left, or None.
        record: the record of another run that has completed the task, so that nothing was created; or None.
        error: why the step was not completed, or None.
    """

    deleted: bool = False
    missing: tuple[str, ...] = ()
    predicted: Change | None = None
    live: Manifest | None = None
    adopted: Manifest | None = None
    log: str | None = None
    policy: Manifest | None = None
    collected: Collected | None = None
    record: Record | None = None
    error: PodwrightError | None = None


class Executor:
    """Sends the requests of tasks.

    Attributes:
        created: the uids of the pods and Jobs that it created.
        unanswered: (namespace, name) of those whose creation was requested and not answered.
        deleting: the uids of those whose deletion was requested and not answered.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self.deleting: set[str] = set()
        self.created: set[str] = set()
        self.unanswered: set[tuple[str, str]] = set()

    def delete(self, spec: TaskSpec | None, objects: Iterable[Listed], replacement: Change | None = None, grace: int | None = None) -> Answer:
        """Delete objects by their uids.

        Args:
            replacement: what takes the place of a pod, to be accepted by the server's dry run before anything is deleted; or None.
            grace: the deletion grace period in seconds, or None for that of the task.
        """
        options = spec.options if spec else {}
        if grace is None:
            grace = 0 if options.get("force") else options.get("grace_period")
        policy = options.get("propagation_policy", "Background")
        answer = Answer()
        try:
            if spec and replacement:
                # A quota that is exceeded now may be free once the pod is deleted: no reason to note.
                answer = Answer(predicted=replace(self.predict_creation(spec, replacement), note=replacement.note))
            for kind, item in objects:
                metadata = item["metadata"]
                # The pods of a Job would outlive it otherwise, under the name of the next one.
                propagation = "Foreground" if kind == JOB and policy == "Background" else policy
                existed = self._delete(kind, metadata, propagation, grace)
                # Nobody watches ConfigMaps, and they are deleted at once.
                missing = (*answer.missing, metadata["uid"]) if not existed or kind == CONFIG_MAP else answer.missing
                is_deleted = existed and not metadata.get("deletionTimestamp")
                answer = replace(answer, deleted=answer.deleted or is_deleted, missing=missing)
        except Exception as error:
            return replace(answer, error=as_podwright_error(error))
        return answer

    def _delete(self, kind: Kind, metadata: Manifest, propagation: str, grace: int | None) -> bool:
        """Delete an object. Returns: whether it existed, or was deleted by an earlier request without an answer."""
        uid = metadata["uid"]
        try:
            return self._client.delete(kind, metadata["namespace"], metadata["name"], uid, propagation, grace) or uid in self.deleting
        except PodwrightError as error:
            self.deleting |= {uid} if error.response_was_lost else set()
            raise

    def stop(self, spec: TaskSpec, live: Manifest | None, pods: Sequence[Manifest], grace: int | None) -> Answer:
        """Delete an unfinished task, a Job with its pods, after its log is read if it is collected."""
        pod = pods[-1] if pods else None if spec.is_job else live
        log = None
        if pod and spec.options["logs"] != "none" and has_started(pod, TASK_CONTAINER):
            try:
                log = decode(read_end(self._client, pod, TASK_CONTAINER, LOG_BYTES).content)
                log = log if is_current(self._client, pod) else None
            except PodwrightError:
                pass  # it is stopped all the same
        # The grace period of a Job is not that of its pods, which are deleted with their own.
        objects = [*([(spec.kind, live)] if live else []), *((POD, item) for item in pods)]
        return replace(self.delete(spec, objects, grace=grace), log=log)

    def describe_obstacles(self, objects: Iterable[Listed]) -> str:
        """Why objects whose deletion was requested still exist, or an empty text."""
        obstacles = []
        for kind, item in objects:
            try:
                live = self._client.get(kind, item["metadata"].get("namespace"), item["metadata"]["name"])
            except PodwrightError:
                continue  # what is known of it is in the message anyway
            if live and live["metadata"].get("deletionTimestamp"):
                obstacles.append(f"{kind.name} '{live['metadata']['name']}': {deletion_obstacle(live)}")
        return "; ".join(obstacles)

    def create(self, spec: TaskSpec, manifest: Manifest, reported: Collection[str] = (), since: str = "") -> Answer:
        """Create the pod or Job of a task with what belongs to it, its NetworkPolicy first, unless another run has completed the task.

        Args:
            reported: uids of pods and Jobs of the task that may be those of another run.
            since: when the one of another run must have been created at the earliest, in the API's format.
        """
        answer = Answer()
        try:
            if record := find_completed(self._client, spec, reported, since):
                return Answer(record=record)
            check_secret(self._client, build_secret(spec, manifest))
            answer = replace(answer, policy=self.apply_policy(spec))
            adopted = self._create_or_adopt(spec, manifest)
            # Labels that others removed are restored, or no list and no watch would report it.
            live = self.correct(spec, adopted, manifest) or adopted if _lacks_identity(adopted) else adopted
            answer = replace(answer, live=live, adopted=None if live is adopted else adopted)
            self.create_secret(spec, live)
            return replace(answer, policy=self.apply_policy(spec, live))
        except Exception as error:
            if isinstance(error, PodwrightError) and error.reason == REPLACED:
                return self.create(spec, manifest, reported, since)  # which adopts the other one
            return replace(answer, error=as_podwright_error(error))

    def _create_or_adopt(self, spec: TaskSpec, manifest: Manifest) -> Manifest:
        """Create the pod or Job, or adopt it if it exists already: another client may have created the same task, or an answer was lost."""
        was_lost = (spec.namespace, spec.name) in self.unanswered
        try:
            return self._create(spec, manifest)
        except PodwrightError as error:
            if error.status != 409 or error.reason != "AlreadyExists":
                raise
            was_lost |= error.response_was_lost
        live = self._client.get(spec.kind, spec.namespace, spec.name)
        if live is None:  # it has been deleted since
            return self._create(spec, manifest)
        if _is_of_task(spec, live):
            self.created |= {live["metadata"]["uid"]} if was_lost else set()
            return live
        raise PodwrightError(
            f"{spec.kind.name} '{spec.name}' in namespace '{spec.namespace}' exists already and does not belong to this task.",
            reason="AlreadyExists",
            hint="Give the task another name, or delete the existing object.",
        )

    def _create(self, spec: TaskSpec, manifest: Manifest) -> Manifest:
        was_unanswered = spec.task_name in self.unanswered
        self.unanswered.add(spec.task_name)
        try:
            live = self._client.create(spec.kind, spec.namespace, add_context(manifest, spec.context), MANAGER)
            self.created.add(live["metadata"]["uid"])
        except PodwrightError as error:
            # A quota may be used up by the pod that an earlier request created.
            is_unknown = error.response_was_lost or (error.status is None and not error.is_unreachable)
            if not was_unanswered and not is_unknown:
                self.unanswered.discard(spec.task_name)
            raise
        self.unanswered.discard(spec.task_name)
        return live

    def apply_policy(self, spec: TaskSpec, owner: Manifest | None = None) -> Manifest | None:
        """Apply the NetworkPolicy that a task's `network` asks for, owned by its pod or Job once that exists. Raises: PodwrightError."""
        manifest = build_policy(spec.name, spec.namespace, spec.options["network"], owner and owner_reference(owner))
        if manifest is None:
            return None
        return self._client.apply(NETWORK_POLICY, spec.namespace, manifest["metadata"]["name"], manifest, MANAGER)

    def create_secret(self, spec: TaskSpec, live: Manifest, dry_run: bool = False) -> Manifest | None:
        """Create the Secret of a live Pod or Job with its standard input and secret variables, if the task has any.

        Returns: the Secret, or None if it exists already. Raises: PodwrightError.
        """
        secret = build_secret(spec, live)
        return secret and create_secret(self._client, secret, dry_run)

    def resize(self, spec: TaskSpec) -> Answer:
        """Change the resources of a running pod in place (KEP-1287)."""
        answer = Answer()
        try:
            answer = Answer(live=self._send_resize(spec))
            annotations = {"metadata": {"annotations": {RESOURCES: spec.resources_hash}}}
            self._client.patch(POD, spec.namespace, spec.name, annotations, MANAGER, MERGE_PATCH)
        except Exception as error:
            return replace(answer, error=as_podwright_error(error))
        return answer

    def correct(self, spec: TaskSpec, live: Manifest, desired: Manifest) -> Manifest | None:
        """Restore what others changed of a Pod or Job and can be changed in place; None if nothing differs. Raises: PodwrightError."""
        correction = find_correction(spec, live, desired)
        if not correction:
            return None
        body = correction | {"metadata": correction.get("metadata", {}) | {"uid": live["metadata"]["uid"]}}
        return self._client.patch(spec.kind, spec.namespace, spec.name, body, MANAGER, STRATEGIC_PATCH)

    def _send_resize(self, spec: TaskSpec, dry_run: bool = False) -> Manifest:
        # Replaced as a whole, so that resources that are no longer requested are removed, or refused.
        containers = [{"name": name, "resources": {"$patch": "replace"} | resources} for name, resources in spec.resources_with_claims.items()]
        body = {"spec": {"containers": containers}}
        return self._client.patch(POD, spec.namespace, spec.name, body, MANAGER, STRATEGIC_PATCH, subresource="resize", dry_run=dry_run)

    # -- dry runs -------------------------------------------------------------------------------------------

    def predict_creation(self, spec: TaskSpec, change: Change) -> Change:
        """A creation or replacement as the server answers to a dry run. Raises: PodwrightError."""
        body = change.desired or {}
        if change.before or change.action == REPLACE:
            # Under a generated name, since its own is taken, perhaps by a pod that is being deleted.
            metadata = {key: value for key, value in body["metadata"].items() if key != "name"} | {"generateName": f"{spec.name}-"}
            body = body | {"metadata": metadata}
        try:
            check_secret(self._client, build_secret(spec, body))
            answer = self._client.create(spec.kind, spec.namespace, body, MANAGER, dry_run=True)
        except PodwrightError as error:
            if error.reason == "AlreadyExists" and change.action != REPLACE and (adoption := self._predict_adoption(spec, change)):
                return adoption
            if error.is_not_found:
                return replace(change, note="predicted locally: its namespace does not exist yet")
            if error.missing_prerequisite:
                return replace(change, note=f"predicted locally: its {error.missing_prerequisite} does not exist yet")
            if error.exceeds_quota:
                return replace(change, note=f"would have to wait: {error.message}")
            if error.is_dry_run_refused:
                return replace(change, note=NOT_PREDICTED)
            raise
        if change.action != REPLACE or not change.before or change.before["kind"] != answer["kind"]:
            return change
        after = _in_place_of(change.before, answer)
        return replace(change, after=after, patch=difference(change.before, after))

    def _predict_adoption(self, spec: TaskSpec, change: Change) -> Change | None:
        """The correction of a pod or Job that lacks a label that identifies its task; None if what exists is another one."""
        live = self._client.get(spec.kind, spec.namespace, spec.name)
        if live is None or not _is_of_task(spec, live) or not _lacks_identity(live):
            return None
        after = merge(live, find_correction(spec, live, change.desired or {}))
        return replace(change, action=PATCH, before=live, after=after, patch=difference(live, after), note=RELABELED)

    def predict_resize(self, spec: TaskSpec, change: Change) -> Change:
        """A resize as the server answers to a dry run. Raises: PodwrightError."""
        try:
            return change.predicted(self._send_resize(spec, dry_run=True))
        except PodwrightError as error:
            if error.is_dry_run_refused:
                return replace(change, note=NOT_PREDICTED)
            raise


def _is_of_task(spec: TaskSpec, live: Manifest) -> bool:
    """Whether a live object of the task's name is that of the task, also if others removed the label with that name."""
    return label_of(live, HASH) == spec.hash and label_of(live, TASK) in (None, spec.name)


def _lacks_identity(live: Manifest) -> bool:
    return label_of(live, TASK) is None or any(label_of(live, name) != value for name, value in MANAGED.items())


def refuses_resize(error: PodwrightError) -> bool:
    """Whether the server refuses to resize a pod at all, or in this way; an old one lacks the subresource."""
    return error.status in (404, 422) or (error.status == 403 and not error.exceeds_quota and not error.is_forbidden)


def _in_place_of(before: Manifest, answer: Manifest) -> Manifest:
    """What a dry run under a generated name would be under the name and on the node of what it replaces, to compare the two."""
    metadata = {key: value for key, value in answer["metadata"].items() if key not in ("generateName", "finalizers")}
    metadata["name"] = before["metadata"]["name"]
    metadata |= {"finalizers": before["metadata"]["finalizers"]} if "finalizers" in before["metadata"] else {}
    kept = {key: before["spec"][key] for key in ("nodeName", "selector") if key in before["spec"]}
    return answer | {"metadata": metadata, "spec": answer["spec"] | kept}
