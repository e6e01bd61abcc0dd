# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What follows once tasks have ended: their logs and events are collected, their results recorded, their pods cleaned up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from ..cluster.client import MANAGER
from ..cluster.diagnosis import format_diagnosis, log_tail
from ..cluster.events import list_events
from ..cluster.exec_stream import decode
from ..cluster.kinds import CONFIG_MAP
from ..errors import PodwrightError
from ..objects.containers import TASK_CONTAINER
from ..objects.pod_status import has_started
from ..reconciler.wait import wait_until_gone
from .decision import NONE
from .record import build_record

THREADS = 16
LOG_BYTES = 1 << 20


class Completion:
    """Sees to Runs that are done.

    Args:
        client: a Client.
        runs: Runs.
        console: a Console.
    """

    def __init__(self, client, runs, console):
        self._client = client
        self._runs = [run for run in runs if run.spec]
        self._console = console

    def conclude(self):
        """Collect, record, clean up: no pod is deleted before the record that stands for it is written."""
        self._in_parallel(self._collect, self._runs)
        self._in_parallel(self._record, [run for run in self._runs if run.spec.keeps_record and run.live and run.status and run.status.is_finished])
        self._clean_up()

    @staticmethod
    def _in_parallel(function, items):
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(function, items))

    def _collect(self, run):
        options, pod = run.spec.options, run.pod
        if options["logs"] != "none" and pod and has_started(pod, TASK_CONTAINER):
            try:
                content = self._client.log(run.spec.namespace, pod["metadata"]["name"], TASK_CONTAINER, limit_bytes=LOG_BYTES)
                run.logs = decode(content)
            except PodwrightError as error:
                self._console.warn(f"The log of task '{run.spec.name}' could not be read: {error}")
        if run.error is None:
            return
        subjects = [pod, run.live if run.spec.is_job else None]
        run.events = [event for subject in subjects if subject for event in list_events(self._client, subject)]
        tail = log_tail(self._client, pod, options["log_tail"]) if pod else run.record.log if run.record else ""
        if run.logs is None and tail:
            run.logs = tail
        if run.change.action == NONE and run.status and run.status.is_finished and options["rerun"] in ("on_change", "never") and not run.error.hint:
            run.error.hint = "It failed in an earlier run; set rerun to on_failure to run it again."
        run.error.message += format_diagnosis(run.events, tail)

    def _record(self, run):
        """Keep what became of it where its pod may not stay."""
        pod, lines = run.pod, run.spec.options["log_tail"]
        log = run.logs if run.logs is not None else log_tail(self._client, pod, lines) if pod else ""
        manifest = build_record(run.spec, run.status, pod, run.attempt, "\n".join(log.splitlines()[-lines:]) if lines else "")
        try:
            self._client.apply(CONFIG_MAP, run.spec.namespace, manifest["metadata"]["name"], manifest, MANAGER)
        except PodwrightError as error:
            run.is_unrecorded = True
            self._console.warn(
                f"The result of task '{run.spec.name}' in namespace '{run.spec.namespace}' could not be recorded: {error} "
                f"Its {run.spec.kind.name} is kept, since the task would run again without it; the next run records it. "
                "If the task may run again, set record to false."
            )

    def _clean_up(self):
        """Delete what the cleanup policy says."""
        to_delete = {}
        for run in self._runs:
            if not run.live or not run.status or not run.status.is_finished or run.is_unrecorded:
                continue
            policy = run.spec.options["cleanup"]
            if policy == "always" or policy == ("on_failure" if run.error else "on_success"):
                to_delete[run.change.key] = (run.spec.kind, run.live)
        self._in_parallel(self._delete, to_delete.values())
        wait_until_gone(self._client, to_delete, 60, self._console)

    def _delete(self, entry):
        kind, item = entry
        metadata = item["metadata"]
        self._client.delete(kind, metadata["namespace"], metadata["name"], metadata["uid"])
