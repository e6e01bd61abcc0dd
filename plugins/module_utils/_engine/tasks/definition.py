# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The `definition` of a task: it overrides the defaults of the options, and the options that are set override it. Pure functions.

An option is set if it has a value other than its default.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from ..cluster.kinds import JOB
from ..errors import option_error
from ..objects.containers import TASK_CONTAINER, pod_spec
from ..text import parse_integer
from .manifest_shape import check_shape
from .options import TASK_OPTIONS
from .task_spec import containers_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ..values import Manifest, Options
    from .task_spec import TaskSpec

_LARGEST = 2**31 - 1
_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_Adopted: TypeAlias = tuple[str, str, int | tuple[str, ...]]
# Fields that are options by which Podwright runs the task, too: (option, field of the pod or the Job, least value or possible values).
_OF_POD: tuple[_Adopted, ...] = (("restart_policy", "restartPolicy", _RESTART_POLICIES), ("timeout", "activeDeadlineSeconds", 1))
_OF_JOB: tuple[_Adopted, ...] = (
    ("timeout", "activeDeadlineSeconds", 1),  # unless the pod has its own
    ("retries", "backoffLimit", 0),
    ("ttl", "ttlSecondsAfterFinished", 0),
    ("completions", "completions", 0),
    ("parallelism", "parallelism", 0),
    ("completion_mode", "completionMode", ("NonIndexed", "Indexed")),
    ("backoff_limit_per_index", "backoffLimitPerIndex", 0),
    ("max_failed_indexes", "maxFailedIndexes", 0),
)
# Other fields that have a value by default -> the option that sets it, if there is one.
_DEFAULTS: dict[tuple[str, ...], str | None] = {
    ("enableServiceLinks",): None,
    ("automountServiceAccountToken",): "automount_service_account_token",
    ("securityContext", "seccompProfile"): "seccomp",
    ("securityContext", "runAsNonRoot"): "run_as_non_root",
    ("securityContext", "runAsUser"): "run_as_user",
}
_CONTAINER_DEFAULTS: dict[tuple[str, ...], str | None] = {
    ("terminationMessagePolicy",): None,
    ("securityContext", "allowPrivilegeEscalation"): "allow_privilege_escalation",
}


def adopt_definition(spec: TaskSpec) -> TaskSpec:
    """The task with those options by which Podwright runs it that only its `definition` sets. Raises: PodwrightError that names an invalid field."""
    if not spec.options.get("definition"):
        return spec
    check_shape(spec.options["definition"], "definition")
    fields = spec.options["definition"].get("spec") or {}
    pod, path = defined_template(spec.options).get("spec") or {}, "template.spec." if spec.is_job else ""
    places = [(f"definition.spec.{path}", pod, _OF_POD), *([("definition.spec.", fields, _OF_JOB)] if spec.is_job else [])]
    adopted: Options = {}
    for prefix, place, known in places:
        for option, field, possible in known:
            if place.get(field) is not None and option not in adopted and not _is_set(spec.options, option):
                adopted[option] = _read(f"{prefix}{field}", place[field], possible)
    if spec.completes and adopted.get("restart_policy") == "Always":  # the default of the API, which manifests of live pods contain
        del adopted["restart_policy"]
    return replace(spec, options=spec.options | adopted, adopted=frozenset(adopted))


def _read(path: str, value: Any, possible: int | tuple[str, ...]) -> int | str:
    if isinstance(possible, tuple):
        if value in possible:
            return str(value)
        raise option_error(path, f"must be {', '.join(possible[:-1])} or {possible[-1]}, got {value!r}.")
    number = parse_integer(value, _LARGEST, possible)
    if number is None:
        raise option_error(path, f"must be an integer from {possible} to {_LARGEST}, got {value!r}.")
    return number


def defined_template(options: Options) -> Manifest:
    """The pod in a `definition` of the right shape: the definition itself, or the template of a Job."""
    definition: Manifest = options.get("definition") or {}
    return (definition.get("spec") or {}).get("template") or {} if options["kind"] == JOB.name else definition


def yield_defaults(manifest: Manifest, options: Options, adopted: Collection[str]) -> None:
    """Remove from a manifest the defaults of options that `definition` sets, before the manifest is merged onto it.

    Args:
        manifest: a Pod or Job as built from the options.
        adopted: the names of the options that are from `definition` themselves.
    """
    pod, defined = pod_spec(manifest), defined_template(options).get("spec") or {}
    _remove(pod, defined, _DEFAULTS, options)
    if pod is not manifest["spec"] and ("timeout" in adopted or options.get("timeout") is None):
        _remove(manifest["spec"], options["definition"].get("spec") or {}, {("activeDeadlineSeconds",): None}, options)
    for part in ("containers", "initContainers"):
        containers = {container["name"]: container for container in defined.get(part) or []}
        for container in pod.get(part) or []:
            given = next((entry for path, entry in containers_of(options) if container["name"] == (entry["name"] if path else TASK_CONTAINER)), {})
            _remove(container, containers.get(container["name"], {}), _CONTAINER_DEFAULTS, given)


def _remove(own: Manifest, defined: Manifest, fields: Mapping[tuple[str, ...], str | None], options: Options) -> None:
    for (*steps, field), option in fields.items():
        if option and _is_set(options, option):
            continue
        place, other = own, defined
        for step in steps:
            place, other = place.get(step) or {}, other.get(step) or {}
        if isinstance(other, dict) and other.get(field) is not None:
            place.pop(field, None)


def _is_set(options: Options, option: str) -> bool:
    return options.get(option) not in (None, TASK_OPTIONS[option].get("default"))
