# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Containers of a pod: the task's own, additional ones and init containers have the same options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import option_error
from ..text import MAX_PORT, parse_integer
from ..values import Manifest, Options
from .environment import build_sources, build_variables
from .field_names import camelize
from .images import full_image
from .options import text_of
from .probes import build_probe
from .resources import build_resources
from .scheduling import container_claims
from .security_context import container_context
from .spiffe import endpoint_variable, read_spiffe
from .task_secret import secret_variables

if TYPE_CHECKING:
    from .task_spec import TaskSpec


def build_container(name: str, container: Options, spec: TaskSpec, profile: str, mounts: list[Manifest], path: str = "") -> Manifest:
    """The manifest of a container.

    Args:
        container: its options.
        spec: the task, whose image is the default.
        profile: the Pod Security profile.
        mounts: the volume mounts that all containers have.
        path: prefix of the container's options in errors, such as `containers[0].`.

    Raises: PodwrightError that names the invalid option.
    """
    pod = spec.options
    claims = container_claims(container, pod, path)
    variables = endpoint_variable(read_spiffe(pod.get("spiffe"))) | (container.get("env") or {})
    built = {
        "name": name,
        "image": full_image(container.get("image") or pod.get("image"), pod.get("registry")),
        "command": _build_command(container.get("command"), f"{path}command"),
        "args": _build_words(container.get("args") or [], f"{path}args"),
        "env": secret_variables(container, name, path) + build_variables(variables, f"{path}env"),
        "envFrom": build_sources(container.get("env_from") or [], f"{path}env_from"),
        "workingDir": container.get("working_dir"),
        "ports": [_build_port(port, f"{path}ports[{index}]") for index, port in enumerate(container.get("ports") or [])],
        "resources": build_resources(container, path) | ({"claims": claims} if claims else {}),
        "volumeMounts": mounts,
        "securityContext": container_context(profile, container, spec.name, path),
        "imagePullPolicy": container.get("image_pull_policy") or pod.get("image_pull_policy"),
        "lifecycle": camelize(container.get("lifecycle")),
        # The last lines of a failed task are in its status even if its log is lost; more users may read pods than logs.
        "terminationMessagePolicy": "File" if spec.hides_log or pod["log_tail"] == 0 else "FallbackToLogsOnError",
    }
    for probe in ("readiness", "liveness", "startup"):
        if container.get(f"{probe}_probe"):
            built[f"{probe}Probe"] = build_probe(container[f"{probe}_probe"], f"{path}{probe}_probe")
    return {key: value for key, value in built.items() if value not in ([], {}, None)}


def _build_command(command: object, option: str) -> list[str] | None:
    if not command and (command is None or isinstance(command, list)):
        return None
    if not isinstance(command, list):
        found = "a string" if isinstance(command, str) else repr(command)
        raise option_error(option, f"must be a list of strings, got {found}.", 'No shell splits it; write for instance [sh, -c, "echo hello"].')
    return _build_words(command, option)


def _build_words(words: list[object], option: str) -> list[str]:
    return [text_of(f"{option}[{index}]", word) for index, word in enumerate(words)]


def _build_port(port: object, option: str) -> Manifest:
    number = parse_integer(port, MAX_PORT, 1)
    if number is not None:
        return {"containerPort": number}
    if not isinstance(port, dict) or not {"container_port", "containerPort"} & set(port):
        raise option_error(option, f"must be a number from 1 to {MAX_PORT} or a mapping with container_port, got {port!r}.")
    built: Manifest = camelize(port)
    numbers = {name: parse_integer(built[name], MAX_PORT, 1) for name in ("containerPort", "hostPort") if isinstance(built.get(name), str)}
    return built | {name: number for name, number in numbers.items() if number is not None}  # the text of a variable
