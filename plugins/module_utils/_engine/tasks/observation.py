# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What exists of tasks before they are planned: one LIST request for each kind and namespace, and no change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..cluster.client import Client
from ..cluster.kinds import CONFIG_MAP, JOB, NETWORK_POLICY, POD, Kind
from ..console import Console
from ..errors import PodwrightError
from ..objects.controllers import controller_reference
from ..objects.labels import HASH, MANAGED, PLACEMENT, RECORD, TASK, label_of, selector_of
from ..text import parse_integer
from ..values import Manifest
from .network_policy import DEFAULT, policy_name
from .record import is_outdated
from .task_plan import Listed
from .task_spec import TaskSpec

LONGEST_SELECTOR = 2000  # characters; proxies limit the line of a request to 8 KiB
_UNRECORDED = "Records of earlier results cannot be read, so that tasks that have no pod or Job any more run again"
TaskName = tuple[str, str]
"""(namespace, name of a task)."""


@dataclass(frozen=True)
class Observation:
    """What exists of tasks.

    Attributes:
        lists: (Kind, namespace) -> (objects, resource version to watch from).
        selectors: namespace -> the label selector of its lists.
        records: TaskName -> ConfigMap.
        placements: TaskName -> ConfigMap that says in which of several clusters the task was started.
        policies: namespace -> {name: NetworkPolicy}; a namespace is missing if its policies cannot be listed or do not matter.
    """

    lists: dict[tuple[Kind, str], tuple[list[Manifest], str]]
    selectors: dict[str, str]
    records: dict[TaskName, Manifest] = field(default_factory=dict)
    placements: dict[TaskName, Manifest] = field(default_factory=dict)
    policies: dict[str, dict[str, Manifest]] = field(default_factory=dict)

    def by_task(self) -> dict[TaskName, list[Listed]]:
        """TaskName -> [(Kind, object)] of its pods and Jobs."""
        found: dict[TaskName, list[Listed]] = {}
        for (kind, namespace), (items, _version) in self.lists.items():
            for item in items:
                if name := task_of(item):
                    found.setdefault((namespace, name), []).append((kind, item))
        return found


class Observer:
    """Lists what exists of tasks.

    Args:
        specs: the TaskSpecs.
        sets: (namespace, set name) of sets all of whose tasks are listed.
        is_deletion: whether the tasks are to be deleted.
    """

    def __init__(self, client: Client, console: Console, specs: Sequence[TaskSpec], sets: Iterable[tuple[str, str]], is_deletion: bool) -> None:
        self._client, self._console = client, console
        self._specs, self._sets, self._is_deletion = specs, tuple(sets), is_deletion

    def observe(self, prunes: bool, with_placements: bool = False) -> Observation:
        """List pods, Jobs, records and policies.

        Args:
            prunes: whether records of tasks that are not requested matter, too.
            with_placements: whether there are several clusters.

        Raises: PodwrightError.
        """
        lists, selectors = self._list_tasks()
        for namespace in selectors:
            self._add_unlisted_jobs(lists, namespace)
        matter = prunes or with_placements or any(spec.keeps_record for spec in self._specs)
        records, placements = self._list_records(selectors) if matter else ({}, {})
        return Observation(lists, selectors, records, placements if with_placements else {}, self._list_policies())

    def _list_tasks(self) -> tuple[dict[tuple[Kind, str], tuple[list[Manifest], str]], dict[str, str]]:
        """(lists, selectors) of an Observation; Jobs are listed only if one may exist: it is requested, or a task has no pod or that of a Job."""
        wanted: dict[str, list[TaskSpec]] = {namespace: [] for namespace, _name in self._sets}
        for spec in self._specs:
            wanted.setdefault(spec.namespace, []).append(spec)
        lists: dict[tuple[Kind, str], tuple[list[Manifest], str]] = {}
        selectors = {}
        for namespace, specs in wanted.items():
            selectors[namespace] = selector = self._selector(namespace, specs)
            lists[POD, namespace] = pods, _version = self._client.list(POD, namespace, label_selector=selector)
            found = {task_of(pod) for pod in pods}
            is_needed = self._is_deletion or not specs or any(spec.is_job for spec in specs) or any(map(owner_job, pods))
            # A Job can be without pods: before it creates them, while it is suspended, and after they were deleted.
            if is_needed:
                lists[JOB, namespace] = self._client.list(JOB, namespace, label_selector=selector)
            elif any(spec.name not in found for spec in specs):
                lists |= self._list_possible_jobs(namespace, selector)
        return lists, selectors

    def _add_unlisted_jobs(self, lists: dict[tuple[Kind, str], tuple[list[Manifest], str]], namespace: str) -> None:
        """Add the Jobs of listed pods whose labels others removed: a Job that is not listed would be taken for deleted, and its pods with it."""
        jobs = lists.get((JOB, namespace), ([], ""))[0]
        listed = {job["metadata"]["uid"] for job in jobs}
        pods = lists[POD, namespace][0]
        owners = {owner["uid"]: owner["name"] for owner in filter(None, map(_owner_job, pods))}
        for uid, name in owners.items():
            job = self._client.get(JOB, namespace, name) if uid not in listed and (JOB, namespace) in lists else None
            if job and job["metadata"]["uid"] == uid and label_of(job, HASH):
                jobs.append(job)

    def _list_possible_jobs(self, namespace: str, selector: str) -> dict[tuple[Kind, str], tuple[list[Manifest], str]]:
        """The list of Jobs if there are any, to be watched; without the permission there are none."""
        try:
            items, version = self._client.list(JOB, namespace, label_selector=selector)
        except PodwrightError as error:
            if not error.is_forbidden:
                raise
            return {}
        return {(JOB, namespace): (items, version)} if items else {}

    def _selector(self, namespace: str, specs: Sequence[TaskSpec]) -> str:
        """The label selector of the requested tasks; that of all tasks for whole sets, and for more names than fit into a request."""
        names = sorted({spec.name for spec in specs})
        named = f"{TASK}={names[0]}" if len(names) == 1 else f"{TASK} in ({','.join(names)})"
        is_whole = namespace in {place for place, _name in self._sets} or len(named) > LONGEST_SELECTOR
        return selector_of(MANAGED) if is_whole else f"{selector_of(MANAGED)},{named}"

    def _list_records(self, selectors: dict[str, str]) -> tuple[dict[TaskName, Manifest], dict[TaskName, Manifest]]:
        """(records, placements) of an Observation."""
        records: dict[TaskName, Manifest] = {}
        placements: dict[TaskName, Manifest] = {}
        for namespace, selector in selectors.items():
            items = self._list_if_allowed(CONFIG_MAP, namespace, _UNRECORDED, label_selector=f"{selector},{RECORD}")
            for item in items or []:
                (placements if label_of(item, RECORD) == PLACEMENT else records)[namespace, label_of(item, TASK) or ""] = item
        return records, placements

    def _list_policies(self) -> dict[str, dict[str, Manifest]]:
        """The policies of an Observation, listed without a label selector: the labels of an edited policy may be missing."""
        wanted: dict[str, list[str]] = {}
        for spec in self._specs:
            if not self._is_deletion and spec.options["network"] not in (None, DEFAULT):
                wanted.setdefault(spec.namespace, []).append(policy_name(spec.name))
        policies = {}
        for namespace, names in wanted.items():
            selector = f"metadata.name={names[0]}" if len(names) == 1 else None
            lost = "Deleted or edited NetworkPolicies of running tasks are not restored"
            items = self._list_if_allowed(NETWORK_POLICY, namespace, lost, field_selector=selector)
            if items is not None:
                policies[namespace] = {item["metadata"]["name"]: item for item in items}
        return policies

    def _list_if_allowed(
        self, kind: Kind, namespace: str, consequence: str, label_selector: str | None = None, field_selector: str | None = None
    ) -> list[Manifest] | None:
        """The objects, or None and a warning if the permission is missing."""
        try:
            items, _version = self._client.list(kind, namespace, label_selector, field_selector)
        except PodwrightError as error:
            if not error.is_forbidden:
                raise
            self._console.warn(f"{consequence}: {error}")
            return None
        return items


def task_of(item: Manifest) -> str | None:
    """The name of the task that a pod or Job belongs to, or None.

    A task's pod or Job, and the Job of its pods, are named after it: copies have its labels only, and Deployments those of managed objects.
    """
    controller = controller_reference(item)
    job = _owner_job(item)
    name: str = (job or item["metadata"])["name"]
    # The name is enough should others have removed the label, unless it is one that a controller has given.
    label = label_of(item, TASK) or (name if label_of(item, HASH) and controller == job else None)
    return name if label == name else None


def owner_job(item: Manifest) -> str | None:
    """The uid of the Job that created a pod, or None; a Job can also be the parent of a task."""
    job = _owner_job(item)
    return job["uid"] if job else None


def _owner_job(item: Manifest) -> Manifest | None:
    owner = controller_reference(item)
    return owner if owner and owner["kind"] == JOB.name else None


def is_current(client: Client, pod: Manifest) -> bool:
    """Whether no other pod has taken the name of this one, so that its log, which only has a name, was of this one; those of a Job have names of their own."""
    name = pod["metadata"]["name"]
    if owner_job(pod):
        return True
    try:
        live = client.get(POD, pod["metadata"]["namespace"], name)
        # Another one that has been deleted as well has left its record.
        return live["metadata"]["uid"] == pod["metadata"]["uid"] if live else not is_outdated(client, name, pod)
    except PodwrightError:
        return True


def latest(*versions: Manifest | None) -> Manifest:
    """The latest version of an object: the watch may be ahead of an answer, or behind it."""
    return max(filter(None, versions), key=lambda item: parse_integer(item["metadata"].get("resourceVersion")) or 0)
