# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a cancelled run leaves behind, and its deletion."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from ..cluster.client import Client
from ..cluster.kinds import Kind
from ..errors import PodwrightError
from ..objects.labels import HASH, label_of
from ..threads import call_in_threads
from ..values import Manifest
from .executor import THREADS, Executor
from .observation import TaskName, owner_job, task_of
from .task_plan import BatchPlan, Listed
from .task_run import TaskRun, status_of
from .task_spec import TaskSpec

DELETION_SECONDS = 10
LISTED_NAMES = 5  # of each namespace in the message


class Leftovers:
    """The pods and Jobs of a cancelled run.

    Args:
        runs: the TaskRuns, as far as they got.
        executor: what sent their requests.
    """

    def __init__(self, client: Client, plan: BatchPlan, runs: Iterable[TaskRun], executor: Executor) -> None:
        self._client, self._plan, self._executor = client, plan, executor
        self._runs = {(run.spec.namespace, run.spec.name): (run, run.spec) for run in runs if run.spec and not run.plan.is_deletion}

    def describe(self) -> str:
        """One line about what keeps running."""
        running = [(spec.kind, run.live) for run, spec in self._runs.values() if run.live and not (run.status and run.status.is_finished)]
        if not running:
            return "Nothing that it started is running."
        return f"It leaves running {_names(running)}. The next run resumes them; on_cancel: delete deletes them."

    def delete(self) -> str:
        """Delete what this run started and what has not finished, within DELETION_SECONDS. Returns: one line about it."""
        deleted: list[Listed] = []
        failed: dict[str, str] = {}  # what could not be deleted -> why
        worker = threading.Thread(target=self._delete, args=(deleted, failed), daemon=True)
        worker.start()
        worker.join(DELETION_SECONDS)
        parts = [f"It deleted {_names(deleted)}."] if deleted else []
        parts += [f"{name} could not be deleted: {why}" for name, why in list(failed.items())[:LISTED_NAMES]]
        if worker.is_alive():
            parts.append(f"The API server did not answer within {DELETION_SECONDS} s: pods that this run started may still exist.")
        return " ".join(parts) or "Nothing that it started is running."

    def _delete(self, deleted: list[Listed], failed: dict[str, str]) -> None:
        try:
            started = self._started()
        except PodwrightError as error:
            failed["What it started"] = str(error)
            return

        def delete(entry: tuple[TaskSpec, Listed]) -> None:
            spec, target = entry
            answer = self._executor.delete(spec, [target])
            if answer.error:
                failed[f"{target[0].name} '{spec.name}' in namespace '{spec.namespace}'"] = str(answer.error)
            elif answer.deleted:
                deleted.append(target)

        call_in_threads(delete, started, THREADS)

    def _started(self) -> list[tuple[TaskSpec, Listed]]:
        """What was created in this run, and exists: it is listed, since the answers to creations may have been lost. Raises: PodwrightError."""
        found = []
        for kind, namespace in self._plan.lists:
            items, _version = self._client.list(kind, namespace, label_selector=self._plan.selectors[namespace])
            for item in items:
                spec = self._spec_of(kind, item)
                if spec and not _is_finished(spec, item):
                    found.append((spec, (kind, item)))
        return found

    def _spec_of(self, kind: Kind, item: Manifest) -> TaskSpec | None:
        """The task of a pod or Job that was created in this run, else None."""
        name: TaskName = (item["metadata"]["namespace"], task_of(item) or "")
        if name not in self._runs or owner_job(item):
            return None
        spec = self._runs[name][1]
        is_own = item["metadata"]["uid"] in self._executor.created or (name in self._executor.unanswered and label_of(item, HASH) == spec.hash)
        return spec if is_own and kind == spec.kind else None


def _is_finished(spec: TaskSpec, item: Manifest) -> bool:
    status = status_of(spec, item, [], None)
    return status is not None and status.is_finished


def _names(targets: Sequence[Listed]) -> str:
    """Kinds and names by namespace, such as `2 in namespace 'n': Job 'a', Pod 'b'`."""
    groups: dict[str, list[str]] = {}
    for kind, item in targets:
        groups.setdefault(item["metadata"]["namespace"], []).append(f"{kind.name} '{item['metadata']['name']}'")
    return "; ".join(_group(namespace, sorted(names)) for namespace, names in sorted(groups.items()))


def _group(namespace: str, names: list[str]) -> str:
    more = ", …" if len(names) > LISTED_NAMES else ""
    return f"{len(names)} in namespace '{namespace}': {', '.join(names[:LISTED_NAMES])}{more}"
