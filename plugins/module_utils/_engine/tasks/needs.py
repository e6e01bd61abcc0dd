# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tasks of a batch that need others: their order, when they start or are skipped, and what they get from those that they need."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import option_error
from ..objects.job_status import SUSPENDED
from ..objects.pod_status import SKIPPED
from ..text import encode, scalar_text
from .decision import CREATE, NONE, PATCH, REPLACE
from .file_containers import HOLDER
from .inputs import INPUTS
from .outputs import result_variables
from .stages import Stage, StageEvent
from .task_plan import created_at
from .task_run import STOPPED, TaskRun

if TYPE_CHECKING:
    from ..values import Manifest
    from .observation import TaskName
    from .task_plan import TaskPlan
    from .task_spec import TaskSpec

VARIABLE_PREFIX = "PODWRIGHT_NEED_"
OWN_VARIABLES = ("STATE", "RC", "POD", "IP")  # besides those of results
VARIABLE_BYTES = 32 << 10  # of the largest result that is handed over
TOTAL_BYTES = 1 << 20  # in all containers of a pod; etcd stores objects of up to 1.5 MiB
_CONTAINERS = ("containers", "initContainers")


def resolve_needs(specs: Sequence[TaskSpec]) -> list[TaskSpec]:
    """The items of `tasks` with their needs as TaskNames. Raises: PodwrightError for an unknown task, and for a cycle."""
    by_name = {spec.task_name: spec for spec in specs}
    resolved = [replace(spec, needs=_resolve(spec, index, by_name)) if spec.options.get("needs") else spec for index, spec in enumerate(specs)]
    in_order(resolved)
    return resolved


def _resolve(spec: TaskSpec, index: int, specs: Mapping[TaskName, TaskSpec]) -> tuple[TaskName, ...]:
    needs: list[TaskName] = []
    variables: dict[str, str] = {}  # -> what gives it
    for position, text in enumerate(spec.options["needs"]):
        option = f"tasks[{index}].needs[{position}]"
        namespace, slash, name = text.partition("/")
        need = (namespace, name) if slash else (spec.namespace, text)
        if need == spec.task_name:
            raise option_error(option, f"must not be the task itself, got {text!r}.")
        if need not in specs:
            known = sorted(_text_of(other, spec.namespace) for other in specs.keys() - {spec.task_name})
            others = f"other tasks: {', '.join(known)}" if known else "there is no other task"
            raise option_error(option, f"unknown task {text!r}; {others}.")
        if need not in needs:
            needs.append(need)
            _check_variables(spec, specs[need], option, variables)
    return tuple(needs)


def _check_variables(spec: TaskSpec, need: TaskSpec, option: str, variables: dict[str, str]) -> None:
    """Note the variables that a task gets from one that it needs. Raises: PodwrightError if it would get one of them twice."""
    text = _text_of(need.task_name, spec.namespace)
    sources = {f"RESULT_{name}": f"result {name!r} of {text!r}" for name in map(scalar_text, need.options.get("results") or {})}
    for suffix, source in [*((suffix, f"{text!r}") for suffix in OWN_VARIABLES), *sources.items()]:
        variable = f"{_prefix(spec, need.task_name)}_{suffix.upper()}"
        if variable in variables:
            problem = f"must not give a variable that exists already: {variable} would be that of {variables[variable]} and of {source}."
            raise option_error(option, problem, "Rename one of them.")
        variables[variable] = source


def _prefix(spec: TaskSpec, need: TaskName) -> str:
    """What the names of the variables of a need begin with."""
    return VARIABLE_PREFIX + re.sub(r"[^A-Z0-9]", "_", _text_of(need, spec.namespace).upper())


def _text_of(task: TaskName, namespace: str) -> str:
    """A task as `needs` names it in a namespace."""
    return task[1] if task[0] == namespace else "/".join(task)


def in_order(specs: Sequence[TaskSpec]) -> list[TaskSpec]:
    """The tasks, each after those that it needs, else in their order. Raises: PodwrightError for a cycle."""
    if not any(spec.needs for spec in specs):
        return list(specs)
    by_name = {spec.task_name: spec for spec in specs}
    ordered: dict[TaskName, TaskSpec] = {}
    for spec in specs:
        path = [spec.task_name]  # each needs the one after it
        while path:
            open_needs = [need for need in by_name[path[-1]].needs if need not in ordered]
            if not open_needs:
                name = path.pop()
                ordered[name] = by_name[name]
            elif open_needs[0] in path:
                cycle = [*path[path.index(open_needs[0]) :], open_needs[0]]
                option = f"tasks[{specs.index(by_name[cycle[0]])}].needs"
                raise option_error(option, f"must not form a cycle, got {' -> '.join(_text_of(name, spec.namespace) for name in cycle)}.")
            else:
                path.append(open_needs[0])
    return list(ordered.values())


def depth(specs: Sequence[TaskSpec]) -> int:
    """The number of tasks that run one after the other, at least."""
    depths: dict[TaskName, int] = {}
    for spec in in_order(specs):
        depths[spec.task_name] = 1 + max((depths[need] for need in spec.needs), default=0)
    return max(depths.values(), default=1)


# -- planning -------------------------------------------------------------------------------------------------


def why_again(created_at: str | None, needs: Iterable[TaskPlan]) -> str:
    """Why an existing task, created at that time, runs again after what it needs: that runs again, or ran after it. Empty if it does not."""
    for need in needs:
        name = need.change.key.name
        if need.change.action in (CREATE, REPLACE):
            return f"its need '{name}' runs again"
        if created_at and need.created_at and created_at < need.created_at:
            return f"its need '{name}' ran after it"
    return ""


def predict_skips(plans: Sequence[TaskPlan]) -> list[TaskPlan]:
    """The plans; a task whose need has failed and does not run again is not going to start."""
    if not any(plan.spec and plan.spec.needs for plan in plans):
        return list(plans)
    known: dict[TaskName, str] = {}  # -> why it fails its followers
    by_name = {plan.spec.task_name: plan for plan in plans if plan.spec}
    for spec in in_order([plan.spec for plan in plans if plan.spec]):
        plan = by_name[spec.task_name]
        failed = [need for need in spec.needs if need in known]
        if failed and plan.change.action in (CREATE, REPLACE):
            note = _why_skipped(_text_of(failed[0], spec.namespace), known[failed[0]])
            known[spec.task_name] = f"was {SKIPPED}"
            by_name[spec.task_name] = replace(plan, change=replace(plan.change, action=NONE, after=plan.live, patch=[], note=note), policy=None, to_delete=())
        elif plan.change.action in (NONE, PATCH):
            status = TaskRun(plan).status
            if status and status.state in ("failed", SKIPPED):
                known[spec.task_name] = f"was {SKIPPED}" if status.state == SKIPPED else f"failed ({status.reason})"
    return [by_name[plan.spec.task_name] if plan.spec else plan for plan in plans]


def _why_skipped(need: str, why: str) -> str:
    return f"was skipped, because its need '{need}' {why}"


# -- running --------------------------------------------------------------------------------------------------


class Needs:
    """Starts or skips the tasks of a batch that need others."""

    def __init__(self, runs: Sequence[TaskRun]) -> None:
        self._runs = {run.spec.task_name: run for run in runs if run.spec}
        specs = [run.spec for run in runs if run.spec]
        self._waiting = [self._runs[spec.task_name] for spec in in_order(specs)] if any(spec.needs for spec in specs) else []

    def release(self) -> None:
        """Start each task whose needs have all reached their state; skip it as soon as one cannot any more."""
        self._waiting = [run for run in self._waiting if run.stage is not Stage.DONE]
        for run in self._waiting:
            if run.stage is not Stage.NEEDS or not run.spec:
                continue
            needs = [(need, self._runs[need]) for need in run.spec.needs]
            lost = next(((need, other) for need, other in needs if other.stage is Stage.DONE and _fate_of(other)), None)
            if lost:
                fate = _fate_of(lost[1])
                text = _why_skipped(_text_of(lost[0], run.spec.namespace), fate)
                has_failed = lost[1].error and lost[1].error.reason != "NeedSkipped"
                run.fail_because("NeedFailed" if has_failed else "NeedSkipped", text, outcome=SKIPPED)
            elif all(other.stage is Stage.DONE for _need, other in needs):
                size = self._size(run)
                if size > TOTAL_BYTES:
                    why = f"was not started, because the results of what it needs would add {size} bytes to its pod, more than {TOTAL_BYTES}"
                    run.fail_because("ResultTooLarge", why, "Write large values to a volume that both mount, or return fewer results.")
                    continue
                run.advance(StageEvent.OUTDATED if run.to_delete else StageEvent.RELEASED)

    def created_at(self, run: TaskRun) -> str:
        """When the last of what a task needs was created, by the clock of the API server; empty if it needs nothing or that is unknown."""
        needs = [self._runs[need] for need in run.spec.needs] if run.spec else []
        return max((created_at(need.live, need.record) or "" for need in needs), default="")

    def hand_over(self, run: TaskRun, manifest: Manifest) -> Manifest:
        """The manifest of a task's Pod or Job with variables for what became of its needs, in all containers and before their own variables."""
        return with_variables(manifest, self._all_variables(run.spec)) if run.spec and run.spec.needs else manifest

    def _all_variables(self, spec: TaskSpec) -> dict[str, str]:
        return {name: value for need in spec.needs for name, value in self._variables(spec, need).items()}

    def _size(self, run: TaskRun) -> int:
        """The bytes that the variables add to a pod."""
        pod = ((run.manifest or {}).get("spec") or {}).get("template") or run.manifest or {}
        containers = sum(_gets_variables(container) for field in _CONTAINERS for container in (pod.get("spec") or {}).get(field) or [])
        return containers * sum(len(encode(value)) for value in self._all_variables(run.spec).values()) if run.spec else 0

    def _variables(self, spec: TaskSpec, need: TaskName) -> dict[str, str]:
        return {f"{_prefix(spec, need)}_{name}": value for name, value in variables_of(self._runs[need]).items()}


def _fate_of(run: TaskRun) -> str:
    """What keeps a finished task's followers from starting, or an empty text."""
    if not run.error:
        is_suspended = run.status and run.status.reason == SUSPENDED
        return f"was {SKIPPED}" if run.status and run.status.state == SKIPPED else "is suspended" if is_suspended else ""
    if run.outcome in (STOPPED, SKIPPED):
        return f"was {run.outcome}"
    return f"failed ({run.error.reason})"


def variables_of(run: TaskRun) -> dict[str, str]:
    """What a task that reached its state hands over to those that need it: suffix of the variable -> value."""
    status, pod = run.status, run.pod
    ip = ((pod or {}).get("status") or {}).get("podIP")
    left = run.left.results(run.spec) if run.spec and run.spec.options.get("results") else {}
    results = result_variables({"RESULT": left})
    return {
        "STATE": status.state if status else "",
        **({"RC": str(status.rc)} if status and status.rc is not None else {}),
        **({"POD": pod["metadata"]["name"]} if pod else {}),
        **({"IP": ip} if ip else {}),
        # Others would keep every program of the container from starting.
        **{name: value for name, value in results.items() if "\0" not in value and len(encode(value)) <= VARIABLE_BYTES},
    }


def with_variables(manifest: Manifest, variables: Mapping[str, str]) -> Manifest:
    """A manifest whose containers have further environment variables; their own come later, so that they can refer to these, and have precedence."""
    if manifest["kind"] == "Job":
        template = manifest["spec"]["template"]
        return manifest | {"spec": manifest["spec"] | {"template": template | {"spec": _with_variables(template["spec"], variables)}}}
    return manifest | {"spec": _with_variables(manifest["spec"], variables)}


def _with_variables(spec: Manifest, variables: Mapping[str, str]) -> Manifest:
    fields = [field for field in _CONTAINERS if spec.get(field)]
    return spec | {field: [_add_variables(container, variables) if _gets_variables(container) else container for container in spec[field]] for field in fields}


def _gets_variables(container: Manifest) -> bool:
    """Whether a container is one of the task, and none that only holds or awaits its files."""
    return container.get("name") not in (HOLDER, INPUTS)


def _add_variables(container: Manifest, variables: Mapping[str, str]) -> Manifest:
    own = container.get("env") or []
    names = {entry["name"] for entry in own}
    # The kubelet expands $(NAME) in values, and $$ means $ (API reference, EnvVar): these are texts of other tasks.
    given = [{"name": name, "value": value.replace("$", "$$")} for name, value in variables.items() if name not in names]
    return container | {"env": [*given, *own]}
