# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run tasks in pods or Jobs, one or a batch of them, and bring their results back."""

from __future__ import annotations

import secrets as random_words
from dataclasses import dataclass

from ..arguments import CONNECTION, WAIT, given_options, item_arguments, with_defaults
from ..cluster.kinds import JOB, POD
from ..errors import PodwrightError, option_error
from ..operation import Invocation, Operation
from ..reconciler.diff import yaml_diff
from ..tasks import options as opts
from ..tasks.completion import Completion
from ..tasks.planner import Planner
from ..tasks.result import TaskRedactor, outcome_of
from ..tasks.runner import Runner
from ..tasks.task_run import RunnerOptions
from ..tasks.task_spec import TaskSpec
from ..tasks.validation import validate

SHOWN_WHOLE, SHOWN_SHORT = 3, 20  # failures told in full, and in one line, in a batch's message
STARTING_SECONDS = 300  # what scheduling and pulling may take beyond a task's own timeout

ARGUMENTS = {
    **CONNECTION,
    **with_defaults(WAIT),
    **opts.TASK,
    "tasks": {"type": "list", "elements": "dict", "options": item_arguments(opts.TASK)},
    "state": {"type": "str", "choices": ["present", "running", "completed", "absent"], "default": "running"},
    "set": {"type": "str"},
    "prune": {"type": "bool", "default": False},
    "concurrency": {"type": "int", "default": 100},
    "on_error": {"type": "str", "choices": ["continue", "stop"], "default": "continue"},
    "full": {"type": "bool", "default": False},
}


@dataclass
class Tasks:
    """What was done so far.

    Attributes:
        batch: the Batch, once all is planned.
    """

    batch: Runner | None = None


def run(invocation: Invocation, outcome: Tasks) -> None:
    """Reconcile the tasks. Raises: PodwrightError, also if a task failed."""
    params = invocation.params
    specs = _read_specs(invocation)
    options = RunnerOptions(
        state=params["state"],
        wait=params["wait"] if params["wait"] is not None else params["state"] in ("running", "completed"),
        wait_timeout=_wait_timeout(params, specs),
        concurrency=params["concurrency"],
        on_error=params["on_error"],
        prune=params["prune"] or params["state"] == "absent",
        check_mode=invocation.check_mode,
    )
    planner = Planner(invocation.client, specs, options, invocation.console)
    # Naming tasks to delete means those alone; naming only the set means all of it.
    whole_set = params["set"] and options.prune and not (params["state"] == "absent" and _names_tasks(params))
    sets = [(invocation.namespace, params["set"])] if whole_set else []
    planner.plan(sets)
    if params["state"] == "absent":
        planner.plan_deletion()
    batch = outcome.batch = Runner(invocation.client, planner, options, invocation.console)
    if invocation.check_mode:
        batch.predict()
    else:
        batch.run()
        Completion(invocation.client, batch.runs, invocation.console).conclude()
    failed = [run for run in batch.runs if run.error]
    if failed:
        hint = failed[0].error.hint if len(failed) == 1 else ""
        raise PodwrightError(_failure_message(failed, len(batch.runs)), reason=failed[0].error.reason, hint=hint)


def _names_tasks(params):
    return bool(params["name"] or params["tasks"])


# -- reading the options --------------------------------------------------------------------------------------


def _read_specs(invocation):
    """The tasks as TaskSpecs, checked. Raises: PodwrightError that names the option at fault."""
    params = invocation.params
    if params["prune"] and not params["set"]:
        raise option_error("prune", "it needs set.", "Only a named set knows which of its tasks are no longer asked for.")
    given = {name: params[name] for name in opts.TASK}
    items = [given] if params["tasks"] is None else [_merge_item(given, item) for item in params["tasks"]]
    if params["state"] == "absent" and not _names_tasks(params):
        return []
    specs = []
    for item in items:
        item["kind"] = _read_kind(item["kind"])
        name = item["name"] or _generate(item["generate_name"])
        if not name:
            raise option_error("name", "there is none.", "Give name, generate_name or tasks.")
        specs.append(TaskSpec(name, item["namespace"] or invocation.namespace, item, params["state"], params["set"]))
    _refuse_twins(specs)
    for spec in specs:
        if params["state"] == "absent":
            opts.check_name("name", spec.name)
        else:
            validate(spec)
    return specs


def _merge_item(given, item):
    """An item's own options over what stands beside `tasks`."""
    own = given_options(item)
    merged = given | {"name": None, "generate_name": None} | own
    for name in ("env", "labels", "annotations"):
        if given[name] and own.get(name):
            merged[name] = given[name] | own[name]
    return merged


def _read_kind(text):
    for kind in (POD, JOB):
        if text.lower() == kind.name.lower():
            return kind.name
    raise option_error("kind", f"'{text}' is neither Pod nor Job.")


def _generate(prefix):
    """A name of our own making, so that a repeated create cannot make two."""
    return f"{prefix.rstrip('-')}-{random_words.token_hex(3)}" if prefix else None


def _refuse_twins(specs):
    seen = set()
    for spec in specs:
        if (spec.namespace, spec.name) in seen:
            raise option_error("tasks", f"two are named '{spec.name}' in namespace '{spec.namespace}'.", "Each task needs its own name.")
        seen.add((spec.namespace, spec.name))


def _wait_timeout(params, specs):
    """The option, else what the tasks may take: all their attempts, in as many turns as the concurrency makes, and time to start."""
    if params["wait_timeout"] is not None:
        return params["wait_timeout"]
    if params["state"] != "completed":
        return STARTING_SECONDS
    turns = -(-len(specs) // max(params["concurrency"], 1))
    longest = max((spec.timeout * (spec.options["retries"] + 1) for spec in specs), default=0)
    return longest * turns + STARTING_SECONDS


# -- describing what happened ---------------------------------------------------------------------------------


def describe(invocation: Invocation, outcome: Tasks) -> dict:
    """The result's fields, as far as it got."""
    params, batch = invocation.params, outcome.batch
    if batch is None:
        return {}
    redactor = TaskRedactor()
    changes = [change for run in batch.runs for change in run.changes]
    single = params["tasks"] is None
    tasks = [outcome_of(run, redactor, single or params["full"]) for run in batch.runs if run.spec]
    result = {"changed": any(change.is_change for change in changes), "tasks": tasks, "plan": [change.describe(redactor) for change in changes]}
    counts = {}
    for entry in tasks:
        counts[entry["state"]] = counts.get(entry["state"], 0) + 1
    result["summary"] = counts | {"total": len(tasks)}
    if single and len(tasks) == 1:
        result |= {name: value for name, value in tasks[0].items() if name not in ("duration", "msg")}
    return result | ({"diff": yaml_diff(changes, redactor)} if invocation.diff_mode else {})


def _failure_message(failed, total):
    if total == 1:
        return failed[0].error.message
    parts = [f"{len(failed)} of {total} tasks failed."]
    parts += [str(run.error) for run in failed[:SHOWN_WHOLE]]
    parts += [str(run.error).splitlines()[0] for run in failed[SHOWN_WHOLE:SHOWN_SHORT]]
    if len(failed) > SHOWN_SHORT:
        parts.append(f"… and {len(failed) - SHOWN_SHORT} more.")
    return "\n".join(parts)


# -- secrets --------------------------------------------------------------------------------------------------


def redact(params):
    """The parameters as they may be shown: no standard input, no literal value of an environment variable or a patch."""
    redactor = TaskRedactor()
    shown = dict(params)
    for name in ("tasks", "containers", "init_containers"):
        if shown.get(name):
            shown[name] = [redact(item) for item in shown[name]]
    if shown.get("env"):
        shown["env"] = {name: value if isinstance(value, dict) else redactor.digest(value) for name, value in shown["env"].items()}
    if shown.get("stdin") is not None:
        shown["stdin"] = f"{len(shown['stdin'].encode())} bytes, {redactor.digest(shown['stdin'])}"
    if shown.get("patches"):
        shown["patches"] = [patch | {"value": redactor.digest(patch["value"])} if "value" in patch else patch for patch in shown["patches"]]
    if shown.get("definition"):
        shown["definition"] = redactor.redact({"kind": "Pod"} | shown["definition"])
    return shown


OPERATION = Operation(
    "task_pod",
    ARGUMENTS,
    Tasks,
    run,
    describe,
    rules={"mutually_exclusive": [("name", "generate_name", "tasks")], "required_one_of": [("name", "generate_name", "tasks", "set")]},
    redact=redact,
)
