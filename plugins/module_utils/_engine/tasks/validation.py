# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Validation of a task before any request is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..arguments import check_name
from ..errors import option_error
from ..objects.containers import TASK_CONTAINER, pod_spec
from ..values import Manifest
from .definition import defined_template
from .environment import find_lost_dollars
from .file_containers import HOLDER
from .inputs import INPUTS, check_inputs
from .job import check_job
from .manifest_shape import check_shape
from .network_policy import DEFAULT, build_policy
from .options import check_variable
from .outputs import output_paths
from .owner import read_parent
from .pod_security import check_profile
from .pod_template import preview_manifest
from .retries import check_retries
from .task_secret import secret_data
from .task_spec import containers_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..console import Console
    from .task_spec import TaskSpec


def validate(spec: TaskSpec) -> None:
    """Validate all that does not depend on the server. Raises: PodwrightError that names the invalid option."""
    options = spec.options
    check_name("name", spec.name)
    _validate_containers(spec)
    if options.get("restart_policy") == "Always" and spec.completes:
        raise option_error("restart_policy", "must be OnFailure or Never for a task that completes, got 'Always'.", "Or set state to running.")
    if options.get("parent"):
        read_parent(options["parent"], spec.namespace)
    check_job(spec)
    check_retries(spec)
    _validate_outputs(spec)
    build_policy(spec.name, spec.namespace, options.get("network"))
    secret_data(options)
    manifest = preview_manifest(spec)
    check_profile(spec, manifest)
    # Also from definition or patches.
    if pod_spec(manifest).get("hostNetwork") and options.get("network") not in (None, DEFAULT):
        raise option_error("network", "must be default if host_network is true.", "A NetworkPolicy does not apply to a pod in the network of its node.")


def _validate_outputs(spec: TaskSpec) -> None:
    options, given = spec.options, [name for name in ("results", "artifacts") if spec.options.get(name)]
    if spec.inputs and spec.is_job:
        hint = "Set kind to Pod, which has retries, too; or use stdin, or a volume with a ConfigMap or a Secret."
        raise option_error("inputs", "requires kind to be Pod: each pod of a Job would wait for them.", hint)
    check_inputs(spec.inputs)
    if given and not spec.completes:
        raise option_error(given[0], "requires state to be completed, since a task that keeps running leaves nothing.", "Copy from it with pod_copy.")
    paths = output_paths(options)
    if not paths:
        return
    if spec.is_job:
        hint = "Set kind to Pod, which has retries, too; or return results of up to 4 KiB by termination_message."
        raise option_error(paths[0][0], "requires kind to be Pod: a Job would not complete before its files are fetched.", hint)
    if options.get("record") is False:
        raise option_error("record", f"must not be false with {given[0]}, which are kept in it.")


def _validate_containers(spec: TaskSpec) -> None:
    image = spec.options.get("image")
    if not image and not _defines_image(spec):
        raise option_error("image", f"must be set for task '{spec.name}'.")
    own = [TASK_CONTAINER, *([HOLDER] if spec.leaves_files else []), *([INPUTS] if spec.inputs else [])]
    names = set(own)
    for path, container in containers_of(spec.options):
        for variable in container.get("env") or {}:
            check_variable(f"{path}env", variable)
        if not path:
            continue
        name = container["name"]
        check_name(f"{path}name", name)
        if name in names:
            raise option_error(f"{path}name", f"must be unique in the pod, got {name!r} again (the task has {', '.join(own)} already).")
        if not container.get("image") and not image:
            raise option_error(f"{path}image", f"must be set for container '{name}', since the task has no image.")
        names.add(name)


def warn_of_dollars(specs: Iterable[TaskSpec], console: Console) -> None:
    """Warn of a script with the process ID of its shell, or a password: Kubernetes makes one dollar sign of two."""
    for spec in specs:
        for path, container in containers_of(spec.options):
            option = find_lost_dollars(container)
            if option:
                fix = "Write $$$$ for two, or set the variable in secret_env." if option.startswith("env.") else "Write $$$$ for two."
                console.warn(f"{path}{option} of task '{spec.name}': in command, args and env, Kubernetes makes one dollar sign of $$. {fix}")


def warn_of_retries(specs: Sequence[TaskSpec], console: Console) -> None:
    """Warn of `retry_on` if nothing is retried. In a batch it may be the default of tasks of which only some are."""
    retries = any(spec.options["retries"] or spec.options.get("backoff_limit_per_index") for spec in specs)
    if not retries and any(spec.options.get("retry_on") for spec in specs):
        console.warn("retry_on has no effect, since retries is 0. Set retries to the number of retries.")


def warn_of_containers(specs: Iterable[TaskSpec], console: Console) -> None:
    """Warn of a `definition` whose only container has a command and is not the task's, if no option says what the task runs."""
    for spec in specs:
        if any(spec.options.get(option) for option in ("command", "args", "patches")):
            continue
        for container in defined if len(defined := _defined_containers(spec)) == 1 else ():
            if container.get("name") != TASK_CONTAINER and (container.get("command") or container.get("args")):
                console.warn(
                    f"definition of task '{spec.name}': the container '{container.get('name')}' runs beside that of the task, which runs the command of its "
                    f"image. Name it {TASK_CONTAINER} if it is the task's."
                )


def _defines_image(spec: TaskSpec) -> bool:
    """Whether `definition` sets the image of the task's container, or `patches` may."""
    check_shape(spec.options.get("definition") or {}, "definition")
    return bool(spec.options.get("patches")) or any(c.get("name") == TASK_CONTAINER and c.get("image") for c in _defined_containers(spec))


def _defined_containers(spec: TaskSpec) -> list[Manifest]:
    """The containers in `definition`, of a Pod or in the template of a Job."""
    pod: Manifest = defined_template(spec.options).get("spec") or {}
    return pod.get("containers") or []
