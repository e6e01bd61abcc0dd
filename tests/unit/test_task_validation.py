# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors of a task's options state the rule, the value and the full path of the option."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import task_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.validation import validate

from .task_specs import spec


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": None}, "image: must be set for task 't'."),
        ({"containers": [{"name": "task"}]}, "containers[0].name: must be unique in the pod, got 'task'"),
        ({"init_containers": [{"name": "A"}]}, "init_containers[0].name: must consist of"),
        ({"resources": {"limits": {"cpu": "one"}}}, "resources.limits.cpu: must be a quantity such as 500m, 2 or 128Mi, got 'one'."),
        (
            {"containers": [{"name": "c", "ports": [1, "x"]}]},
            "containers[0].ports[1]: must be a number from 1 to 65535 or a mapping with container_port, got 'x'.",
        ),
        (
            {"containers": [{"name": "c", "liveness_probe": {"http": "80"}}]},
            "containers[0].liveness_probe.http: must be PATH:PORT such as /healthz:8080",
        ),
        ({"restart_policy": "Always"}, "restart_policy: must be OnFailure or Never for a task that completes, got 'Always'."),
        ({"request_ratio": 2}, "request_ratio: must be greater than 0 and at most 1, got 2."),
        ({"env": {"A=B": "c"}}, "env: must have names without '=' and control characters, got 'A=B'."),
        ({"env": {"A": {"secert": "s"}}}, "env.A: must be a literal"),
        ({"env_from": [{"secrets": "s"}]}, "env_from[0]: must be {secret: NAME} or {config_map: NAME}"),
        ({"volumes": [{"name": "v"}]}, "volumes[0]: must give volume 'v' a source, one of empty_dir, host_path,"),
        ({"volumes": [{"name": "workspace", "claim": "c"}], "shared_workspace": "/w"}, "volumes: must not contain a volume 'workspace'"),
        ({"dns": {"polcy": "None"}}, "dns: unknown key 'polcy'; use policy,"),
        ({"patches": [{"op": "remove", "path": "/none"}]}, "patches[0]: must apply to the manifest of the task, got 'remove /none'"),
        ({"patches": [{"op": "add", "path": "/kind/x", "value": 1}]}, "patches[0]: must apply to the manifest of the task, got 'add /kind/x'"),
        ({"patches": [{"op": "replace", "path": "", "value": 5}]}, "patches: must not change apiVersion, kind, metadata.name"),
        ({"patches": [{"op": "remove", "path": "/metadata/labels"}]}, "patches: must not change apiVersion, kind, metadata.name"),
        ({"patches": [{"op": "replace", "path": "/metadata/name", "value": "other"}]}, "patches: must not change apiVersion, kind, metadata.name"),
        ({"patches": [{"op": "add", "path": "/spec/containers/0/env", "value": [5]}]}, "patches.spec.containers[0].env[0]: must be a mapping with name."),
        ({"definition": {"spec": "x"}}, "definition.spec: must be a mapping."),
        ({"definition": {"spec": {"containers": ["a"]}}}, "definition.spec.containers[0]: must be a mapping with name."),
        ({"definition": {"spec": {"containers": [{"name": "task", "env": 5}]}}}, "definition.spec.containers[0].env: must be a list."),
        ({"selinux_options": ["level"]}, "selinux_options: must be auto or a mapping with level, role, type or user, got ['level']."),
        ({"run_as_user": "\u00b2"}, "run_as_user: must be a user ID from 0 to 2147483647 or 'image', got '\u00b2'."),
        ({"ports": [65536]}, "ports[0]: must be a number from 1 to 65535 or a mapping"),
        ({"run_as_user": "root"}, "run_as_user: must be a user ID from 0 to 2147483647 or 'image', got 'root'."),
        ({"spiffe": {"sockt": "a"}}, "spiffe: unknown key 'sockt'; use driver, mount_path, socket."),
        ({"spiffe": "maybe"}, "spiffe: must be true, false or a mapping"),
        ({"stdin": "x"}, "stdin: requires command, which is not set."),
    ],
)
def test_invalid_options_are_refused_without_a_request(options, message):
    with pytest.raises(PodwrightError) as caught:
        validate(spec(**options))
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": [{"name": "a"}, {"name": "b", "retries": 1, "request_ratio": 2}]}, "tasks[1].request_ratio: must be greater"),
        ({"tasks": [{"name": "a"}], "request_ratio": 2}, "request_ratio: must be greater"),  # set beside the list
        ({"tasks": [{"name": "a"}, {"name": "a"}]}, "tasks[1].name: must be unique in namespace 'n', got 'a' again."),
        ({"tasks": [{"image": "i"}]}, "tasks[0].name: must be set unless generate_name is."),
        ({"tasks": [{"name": "a", "kind": "Deployment"}]}, "tasks[0].kind: must be Pod or Job, got 'Deployment'."),
        ({"name": "a", "prune": True}, "prune: requires set"),
    ],
)
def test_an_error_contains_the_full_path_of_the_option(options, message):
    defaults = {name: entry.get("default") for name, entry in task_pod.ARGUMENTS.items()}
    call = Invocation(defaults | {"namespace": "n", "image": "i"} | options, False, False, Console())
    with pytest.raises(PodwrightError) as caught:
        task_pod.run(call, task_pod.Tasks())
    assert caught.value.message.startswith(message) and caught.value.reason == "BadOption"
