# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run a task or a batch of tasks in Pods or Jobs and return their results."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..arguments import CONNECTION, REVIEW, WAIT, check_name, check_namespace, given_options, item_arguments, with_defaults
from ..errors import PodwrightError, option_error
from ..image_policy.policy import IMAGE_POLICY
from ..operation import Invocation, Operation
from ..reconciler.diff import yaml_diff
from ..tasks.batch import Batch
from ..tasks.definition import adopt_definition
from ..tasks.failures import failure_message
from ..tasks.image_check import check_images
from ..tasks.job import attempts_in_a_row
from ..tasks.needs import depth, resolve_needs
from ..tasks.options import TASK_OPTIONS, check_label_value, generate_name, read_kind
from ..tasks.outputs import check_destinations
from ..tasks.redactor import TaskRedactor, redact_options
from ..tasks.result import describe_pod, describe_task, warn_of_masked
from ..tasks.retries import total_delay
from ..tasks.runner_options import RunnerOptions
from ..tasks.runtimes import CLUSTER, KUBERNETES, RUNTIMES, Runtime, choose_runtime
from ..tasks.task_run import TaskRun
from ..tasks.task_spec import TaskSpec
from ..tasks.tracing import TRACE_OPTIONS, Trace, open_trace
from ..tasks.validation import validate, warn_of_containers, warn_of_dollars, warn_of_retries

if TYPE_CHECKING:
    from ..dispatch.dispatcher import Dispatcher
    from ..dispatch.members import Member
    from ..reconciler.plan import Change
    from ..reports.batch import BatchReport
    from ..reports.traces import BatchTrace
    from ..values import Options, Result

# Of a single task: those that describe the invocation at the top, and what Ansible renames in the result of a module unless it is a list.
NOT_AT_TOP = frozenset(("duration", "msg", "results"))
_FILES = ("inputs", "results", "artifacts")  # they do not matter of a task that is deleted, and need not be valid
STARTING_SECONDS = 300  # for scheduling and image pulls, beyond the tasks' own timeouts

NEEDS: dict[str, Options] = {"needs": {"type": "list", "elements": "str"}}  # of an item of `tasks`
ARGUMENTS: dict[str, Options] = {
    **CONNECTION,
    **with_defaults(WAIT),
    **REVIEW,
    **TASK_OPTIONS,
    **IMAGE_POLICY,
    "tasks": {"type": "list", "elements": "dict", "options": item_arguments(TASK_OPTIONS | NEEDS)},
    "state": {"type": "str", "choices": ["present", "running", "completed", "absent"], "default": "running"},
    "set": {"type": "str"},
    "prune": {"type": "bool", "default": False},
    "concurrency": {"type": "int", "default": 100},
    "on_error": {"type": "str", "choices": ["continue", "stop"], "default": "continue"},
    "stop_grace": {"type": "int"},
    "on_cancel": {"type": "str", "choices": ["keep", "delete"], "default": "keep"},
    "full": {"type": "bool", "default": False},
    "report": {"type": "path"},
    "trace": {"type": "dict", "options": TRACE_OPTIONS},
    "runtime": {"type": "str", "choices": list(RUNTIMES), "default": KUBERNETES},
    "clusters": {"type": "list", "elements": "str"},
    "min_clusters": {"type": "int", "default": 1},
}


@dataclass
class Tasks:
    """What was done so far.

    Attributes:
        batch: the Batch, once it is planned; a Dispatcher if there are several clusters.
        report: the path of its report, or None if it has none.
        runtime: what runs the tasks; None until it is chosen.
        trace: the trace that the run belongs to, or None.
        has_begun: whether the plan was complete, and began to be carried out.
    """

    batch: Batch | Dispatcher | None = None
    report: str | None = None
    runtime: Runtime | None = None
    trace: Trace | None = None
    has_begun: bool = False

    @property
    def runs(self) -> list[tuple[str | None, TaskRun]]:
        """(cluster, TaskRun) of each task; in check mode none of them has begun."""
        return self.batch.runs if self.batch else []

    @property
    def changes(self) -> list[tuple[str | None, Change]]:
        """(cluster, step of the plan); after a run those that were carried out."""
        return self.batch.changes if self.batch else []


def run(invocation: Invocation, outcome: Tasks) -> None:
    """Reconcile the tasks, and write their report and trace. Raises: PodwrightError, also if a task failed."""
    outcome.trace = open_trace(invocation.params["trace"]) if invocation.params["trace"] else None
    members = _open_members(invocation)
    outcome.runtime = choose_runtime(invocation.params, lambda: invocation.client, invocation.use, invocation.console)
    trace, report = _open_writers(invocation, outcome)
    failure = None
    try:
        _reconcile(invocation, outcome, members)
    except PodwrightError as error:
        failure = error
    # Invalid options change nothing, not even a file.
    if not invocation.check_mode and not (failure and failure.reason == "BadOption"):
        runs = [run for _cluster, run in outcome.runs]
        if trace:
            trace.write(runs, failure)
        # A run that started nothing does not replace the report of one that did.
        if report and (outcome.has_begun or not os.path.exists(invocation.params["report"])) and report.write(runs, failure):
            outcome.report = os.path.abspath(invocation.params["report"])
    if failure:
        raise failure


def _open_writers(invocation: Invocation, outcome: Tasks) -> tuple[BatchTrace | None, BatchReport | None]:
    """What sends the spans of the run and what writes its report when it has finished; few runs have any."""
    params, trace, report = invocation.params, None, None
    if params["report"]:
        from ..reports.batch import BatchReport

        report = BatchReport(params["report"], invocation.client, invocation.console, invocation.clean, invocation.no_log)
    if outcome.trace:
        from ..reports.traces import BatchTrace

        trace = BatchTrace(outcome.trace, params["trace"], invocation.console)
    return trace, report


def _open_members(invocation: Invocation) -> list[Member]:
    """The clusters if there are several; the first one gives the default of the namespace. Raises: PodwrightError that names the invalid option."""
    if invocation.params["clusters"] is None:
        if invocation.params["min_clusters"] != 1:
            raise option_error("min_clusters", "requires clusters, which is not set.")
        return []
    from ..dispatch.members import open_members  # few runs have several

    members = open_members(invocation.params, invocation.connect)
    invocation.use(members[0].client)
    return members


def _reconcile(invocation: Invocation, outcome: Tasks, members: list[Member]) -> None:
    params = invocation.params
    specs = _read_specs(invocation, outcome.runtime or CLUSTER)
    specs = [replace(spec, context=outcome.trace.context_of(spec)) for spec in specs] if outcome.trace else specs
    if params["state"] != "absent":
        for warn in (warn_of_dollars, warn_of_containers, warn_of_retries):
            warn(specs, invocation.console)
        check_images(params["image_policy"], specs)
    options = RunnerOptions(
        state=params["state"],
        wait=params["wait"] if params["wait"] is not None else params["state"] in ("running", "completed"),
        awaits_deletion=params["wait"] is not False,
        wait_timeout=_wait_timeout(params, specs),
        concurrency=params["concurrency"],
        on_error=params["on_error"],
        stop_grace=params["stop_grace"],
        prune=params["prune"] or params["state"] == "absent",
        check_mode=invocation.check_mode,
    )
    _check_run(specs, options)
    batch = _open_batch(invocation, options, members)
    # Tasks to delete are those that are listed, or without any the whole set.
    whole_set = params["set"] and options.prune and not (params["state"] == "absent" and _names_tasks(params))
    batch.prepare(specs, [(invocation.namespace, params["set"])] if whole_set else [])
    outcome.batch = batch
    if invocation.review:
        predicted = batch.predict()
        invocation.review([change for _cluster, change in predicted], clusters=[cluster for cluster, _change in predicted])
    if invocation.check_mode:
        return
    outcome.has_begun = True
    batch.run(params["on_cancel"])
    runs = [run for _cluster, run in outcome.runs]
    errors = [run.error for run in runs if run.error and run.has_failed]
    if errors:
        hint = errors[0].hint if len(runs) == 1 else ""  # else the message has it
        raise PodwrightError(failure_message(errors, runs), reason=errors[0].reason, hint=hint)


def _open_batch(invocation: Invocation, options: RunnerOptions, members: list[Member]) -> Batch | Dispatcher:
    if not members:
        return Batch(invocation.client, options, invocation.console)
    from ..dispatch.dispatcher import Dispatcher  # few runs have several clusters

    return Dispatcher(members, options, invocation.console, invocation.params["min_clusters"])


def _names_tasks(params: Options) -> bool:
    # An empty value, as templates make of nothing, does not mean the whole set.
    return any(params[option] is not None for option in ("name", "generate_name", "tasks"))


# -- reading the options --------------------------------------------------------------------------------------


def _read_specs(invocation: Invocation, runtime: Runtime = CLUSTER) -> list[TaskSpec]:
    """The validated tasks, all of which the runtime can run. Raises: PodwrightError that names the invalid option."""
    params = invocation.params
    check_label_value("set", params["set"] or "", "Replace other characters, such as the slash in the name of a branch, with regex_replace.")
    if params["prune"] and not params["set"]:
        raise option_error("prune", "requires set, which is not set.", "Only a named set has tasks that are not listed any more.")
    if params["state"] == "absent" and not _names_tasks(params):
        if not params["set"]:
            raise option_error("name", "must be set if state is absent, unless tasks or set is.")
        return []
    defaults = {name: params[name] for name in TASK_OPTIONS}
    if params["tasks"] is None:
        spec = _read_spec(invocation, runtime, defaults)
        check_destinations([("", spec.options)])
        return [spec]
    specs: list[TaskSpec] = []
    known = set()
    for index, item in enumerate(params["tasks"]):
        own = given_options(item)
        try:
            spec = _read_spec(invocation, runtime, _merge_item(defaults, own))
        except PodwrightError as error:
            raise _name_item(error, index, own, defaults) from None
        if (spec.namespace, spec.name) in known:
            raise option_error(f"tasks[{index}].name", f"must be unique in namespace '{spec.namespace}', got '{spec.name}' again.")
        known.add((spec.namespace, spec.name))
        specs.append(spec)
    check_destinations((f"tasks[{index}].", spec.options) for index, spec in enumerate(specs))
    return resolve_needs(specs) if params["state"] != "absent" else specs


def _check_run(specs: list[TaskSpec], options: RunnerOptions) -> None:
    """Check the options of the run. Raises: PodwrightError."""
    if options.stop_grace is not None and options.on_error != "stop":
        raise option_error("stop_grace", "requires on_error to be stop.")
    # Nobody would start a task when its needs have finished.
    if not options.wait and any(spec.needs for spec in specs) and options.state != "absent":
        raise option_error("wait", "must be true if tasks have needs.", "It is false by default if state is present.")


def _merge_item(defaults: Options, own: Options) -> Options:
    """The options of an item: its own, then those beside `tasks`, both together for mappings of names to values."""
    merged = defaults | {"name": None, "generate_name": None} | own
    for name in ("env", "secret_env", "labels", "annotations"):
        if defaults[name] and own.get(name):
            merged[name] = defaults[name] | own[name]
    for name, other in (("env", "secret_env"), ("secret_env", "env")):
        if merged[name] and own.get(other):  # the same variable, secret or not
            merged[name] = {key: value for key, value in merged[name].items() if key in (own.get(name) or {}) or key not in own[other]}
    return merged


def _name_item(error: PodwrightError, index: int, own: Options, defaults: Options) -> PodwrightError:
    """The error with the item in the path of the invalid option, unless that is set beside `tasks`."""
    option = re.match(r"\w*", error.message)
    is_default = option and option[0] not in own and defaults.get(option[0]) is not None
    if error.reason != "BadOption":
        return error
    if is_default and option:
        hint = f"tasks[{index}] ('{own.get('name') or own.get('generate_name')}') has no {option[0]} of its own. {error.hint}".rstrip()
        return PodwrightError(error.message, reason=error.reason, hint=hint)
    return PodwrightError(f"tasks[{index}].{error.message}", reason=error.reason, hint=error.hint)


def _read_spec(invocation: Invocation, runtime: Runtime, options: Options) -> TaskSpec:
    params = invocation.params
    options = options | {"kind": read_kind(options["kind"])} | (dict.fromkeys(_FILES) if params["state"] == "absent" else {})
    name = options["name"] or generate_name(options["generate_name"])
    if not name:
        raise option_error("name", "must be set unless generate_name is.")
    if options["namespace"]:
        check_namespace("namespace", options["namespace"])
    spec = TaskSpec(name, options["namespace"] or invocation.namespace, options, params["state"], params["set"], hides_log=invocation.no_log)
    if params["state"] == "absent":
        if options["generate_name"]:
            raise option_error("generate_name", "must not be set if state is absent.", "Delete the tasks of a set, or by their names, which results contain.")
        check_name("name", spec.name)
    else:
        spec = adopt_definition(spec)
        validate(spec)
        runtime.admit(spec)
    return spec


def _wait_timeout(params: Options, specs: list[TaskSpec]) -> int:
    """The option, or the sum of what the tasks may take: all attempts, one after the other as far as the concurrency requires, and time to start."""
    given: int | None = params["wait_timeout"]
    if given is not None:
        return given
    if params["state"] != "completed":
        return STARTING_SECONDS
    turns: int = -(-len(specs) // max(params["concurrency"], 1))
    longest = max(((spec.timeout or 0) * attempts_in_a_row(spec.options) + total_delay(spec.options) for spec in specs), default=0)
    return int(longest) * (turns + depth(specs) - 1) + STARTING_SECONDS


# -- the result -----------------------------------------------------------------------------------------------


def describe(invocation: Invocation, outcome: Tasks) -> Result:
    """The fields of the result, as far as the operation proceeded."""
    if outcome.batch is None:
        return {}
    described = outcome.batch.describe() | (outcome.runtime.describe() if outcome.runtime else {})
    params, redactor, changes, every_run = invocation.params, TaskRedactor(), outcome.changes, outcome.runs
    runs = [(cluster, run.spec, run) for cluster, run in every_run if run.spec]
    is_single = params["tasks"] is None and len(runs) == 1
    tasks = [describe_task(spec, run) | _name_cluster(cluster) for cluster, spec, run in runs]
    warn_of_masked(tasks, invocation.clean, invocation.console)
    is_change = any(change.is_change for _cluster, change in changes) or any(run.collected.is_change for _cluster, run in every_run if run.collected)
    plan = [change.describe(redactor) | _name_cluster(cluster) for cluster, change in changes]
    result = {"changed": is_change, "tasks": tasks, "plan": plan}
    result |= ({"report": outcome.report} if outcome.report else {}) | ({"trace_id": outcome.trace.trace_id} if outcome.trace else {})
    result["summary"] = {**Counter(task["state"] for task in tasks), "total": len(tasks)}
    if is_single:
        result |= {name: value for name, value in tasks[0].items() if name not in NOT_AT_TOP} | describe_pod(runs[0][2], redactor)
    elif params["full"]:
        result["tasks"] = [task | describe_pod(run, redactor) for task, (_cluster, _spec, run) in zip(tasks, runs)]
    return result | described | ({"diff": yaml_diff([change for _cluster, change in changes], redactor, invocation.clean)} if invocation.diff_mode else {})


def _name_cluster(cluster: str | None) -> Result:
    return {} if cluster is None else {"cluster": cluster}


OPERATION = Operation(
    "task_pod",
    ARGUMENTS,
    Tasks,
    run,
    describe,
    rules={"mutually_exclusive": [("name", "generate_name", "tasks")], "required_one_of": [("name", "generate_name", "tasks", "set")]},
    redact=redact_options,
    redactor=TaskRedactor,
)
