# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors of a task's options state the rule, the value and the full path of the option."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import task_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.validation import validate, warn_of_containers, warn_of_dollars, warn_of_retries

from .task_specs import spec
from .test_task_order import session


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": None}, "image: must be set for task 't'."),
        ({"containers": [{"name": "task"}]}, "containers[0].name: must be unique in the pod, got 'task'"),
        ({"init_containers": [{"name": "A"}]}, "init_containers[0].name: must consist of"),
        ({"resources": {"limits": {"cpu": "one"}}}, "resources.limits.cpu: must be a quantity such as 500m, 2 or 128Mi, got 'one'."),
        ({"resources": {"limits": {"memory": "512m"}}}, "resources.limits.memory: must be at least 4096 bytes, got '512m'."),
        ({"resources": {"limits": {"memory": 64}}}, "resources.limits.memory: must be at least 4096 bytes, got '64'."),
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
        ({"env": {"A": "x\0y"}}, "env.A: must not contain a NUL character."),
        ({"command": ["sh", "\0"]}, "command[1]: must not contain a NUL character."),
        ({"labels": {"image": "registry:5000/team/tool"}}, "labels.image: must consist of at most 63 letters"),
        ({"labels": {"x": "y" * 64}}, "labels.x: must consist of at most 63 letters"),
        ({"labels": {"x": "y\n"}}, "labels.x: must consist of at most 63 letters"),
        ({"labels": {"a b": "x"}}, "labels: must have keys of at most 63 letters"),
        ({"labels": {"a/b/c": "x"}}, "labels: must have keys of"),
        ({"labels": {"": "x"}}, "labels: must have keys of"),
        ({"labels": {"example.com/": "x"}}, "labels: must have keys of"),
        ({"labels": {"k" * 64: "x"}}, "labels: must have keys of"),
        ({"node_selector": {"disk": "s s d"}}, "node_selector.disk: must consist of at most 63 letters"),
        ({"definition": {"kind": "Job"}}, "definition.kind: must be that of the task, 'Pod', got 'Job'."),
        ({"volumes": [{"name": "v", "empty_dir": False}]}, "volumes[0]: must give volume 'v' a source"),
        ({"volumes": [{"name": "v", "config_map": {"name": "c", "default_mode": "0999"}}]}, "volumes[0].config_map.default_mode: must be a quoted octal"),
        ({"env_from": [{"secrets": "s"}]}, "env_from[0]: must be {secret: NAME} or {config_map: NAME}"),
        ({"volumes": [{"name": "v"}]}, "volumes[0]: must give volume 'v' a source, one of empty_dir, host_path,"),
        ({"volumes": [{"name": "v", "claim": "c", "mount_path": "/."}]}, "volumes[0].mount_path: must be a directory below /, got '/.'."),
        ({"shared_workspace": "//"}, "shared_workspace: must be a directory below /, got '//'."),
        ({"volumes": [{"name": "workspace", "claim": "c"}], "shared_workspace": "/w"}, "volumes: must not contain a volume 'workspace'"),
        ({"dns": {"polcy": "None"}}, "dns: unknown key 'polcy'; use policy,"),
        ({"patches": [{"op": "remove", "path": "/none"}]}, "patches[0]: must apply to the manifest of the task, got 'remove /none'"),
        ({"patches": [{"op": "add", "path": "/kind/x", "value": 1}]}, "patches[0]: must apply to the manifest of the task, got 'add /kind/x'"),
        ({"patches": [{"op": "replace", "path": "", "value": 5}]}, "patches: must not change apiVersion, kind, metadata.name"),
        ({"patches": [{"op": "remove", "path": "/metadata/labels"}]}, "patches: must not change apiVersion, kind, metadata.name"),
        ({"patches": [{"op": "replace", "path": "/metadata/name", "value": "other"}]}, "patches: must not change apiVersion, kind, metadata.name"),
        ({"patches": [{"op": "add", "path": "/spec/containers/0/env", "value": [5]}]}, "patches.spec.containers[0].env[0]: must be a mapping with name."),
        ({"definition": {"spec": "x"}}, "definition.spec: must be a mapping."),
        ({"definition": {"spec": {"volumes": [{"name": "a", "image": "busybox"}]}}}, "definition.spec.volumes[0].image: must be a mapping."),
        (
            {"patches": [{"op": "add", "path": "/spec/volumes", "value": [{"name": "a", "emptyDir": None, "secret": "x"}]}]},
            "patches.spec.volumes[0].secret: must be a mapping.",
        ),
        ({"definition": {"spec": {"containers": ["a"]}}}, "definition.spec.containers[0]: must be a mapping with name."),
        ({"definition": {"spec": {"containers": [{"name": "task", "env": 5}]}}}, "definition.spec.containers[0].env: must be a list."),
        ({"selinux_options": ["level"]}, "selinux_options: must be auto or a mapping with level, role, type or user, got ['level']."),
        ({"run_as_user": "\u00b2"}, "run_as_user: must be a user ID from 0 to 2147483647, image or auto, got '\u00b2'."),
        ({"ports": [65536]}, "ports[0]: must be a number from 1 to 65535 or a mapping"),
        ({"run_as_user": "root"}, "run_as_user: must be a user ID from 0 to 2147483647, image or auto, got 'root'."),
        ({"containers": [{"name": "c", "run_as_user": "auto"}]}, "containers[0].run_as_user: must be a user ID from 0 to 2147483647, got 'auto'."),
        ({"supplemental_groups": [1, -1]}, "supplemental_groups[1]: must be a group ID from 0 to 2147483647, got -1."),
        ({"selinux_options": {"levle": "s0"}}, "selinux_options: unknown key 'levle'; use level, role, type, user."),
        ({"seccomp": "localhost/../a"}, "seccomp: must be RuntimeDefault, Unconfined or localhost/PROFILE with a profile of the node, got 'localhost/../a'."),
        ({"containers": [{"name": "c", "apparmor": "unconfined"}]}, "containers[0].apparmor: must be RuntimeDefault, Unconfined or localhost/PROFILE"),
        ({"capabilities": {"add": ["CHOWN", "NET_ADMN"]}}, "capabilities.add[1]: unknown capability 'NET_ADMN'; use ALL, AUDIT_CONTROL,"),
        ({"privileged": True, "allow_privilege_escalation": False}, "allow_privilege_escalation: must not be false if privileged is true."),
        ({"proc_mount": "Unmasked"}, "proc_mount: must not be Unmasked unless host_users is false."),
        ({"init_containers": [{"name": "c", "proc_mount": "Unmasked"}]}, "init_containers[0].proc_mount: must not be Unmasked"),
        ({"host_ipc": True, "host_users": False}, "host_users: must not be false if host_ipc is true"),
        ({"host_pid": True, "share_process_namespace": True}, "share_process_namespace: must not be true if host_pid is true."),
        ({"host_network": True, "network": "isolated"}, "network: must be default if host_network is true."),
        ({"definition": {"spec": {"hostNetwork": True}}, "network": "isolated"}, "network: must be default if host_network is true."),
        ({"patches": [{"op": "add", "path": "/spec/hostNetwork", "value": True}], "network": "isolated"}, "network: must be default if host_network is"),
        ({"sysctls": {"Net": 1}}, "sysctls: must have names such as net.ipv4.ip_local_port_range, got 'Net'."),
        ({"sysctls": {"net/core/somaxconn": 1}, "host_network": True}, "sysctls.net/core/somaxconn: must not be set if host_network is true"),
        ({"security_profile": "baseline", "host_pid": True}, "host_pid: requires security_profile privileged, got baseline."),
        (
            {"security_profile": "baseline", "capabilities": {"add": ["CHOWN", "NET_RAW", "BPF"]}},
            "capabilities.add: requires security_profile privileged for BPF, NET_RAW, got baseline.",
        ),
        (
            {"security_profile": "restricted", "capabilities": {"add": ["CHOWN", "NET_BIND_SERVICE"]}},
            "capabilities.add: requires security_profile baseline for CHOWN, got restricted.",
        ),
        ({"security_profile": "restricted", "run_as_user": 0}, "run_as_user: requires security_profile baseline, got restricted."),
        (
            {"topology_spread": [{"max_skew": 1}]},
            "topology_spread[0]: must be a topology key such as",
        ),
        ({"topology_spread": [{"topology_key": "a", "skew": 1}]}, "topology_spread[0]: unknown key 'skew'; use topology_key, max_skew,"),
        ({"topology_spread": ["a", "a"]}, "topology_spread[1]: must not repeat topology_key 'a' with the same when_unsatisfiable."),
        ({"topology_spread": [{"topology_key": "a", "max_skew": 0}]}, "topology_spread[0].max_skew: must be an integer greater than 0, got 0."),
        ({"topology_spread": [{"topology_key": "a", "min_domains": 2}]}, "topology_spread[0].min_domains: requires when_unsatisfiable DoNotSchedule."),
        (
            {"topology_spread": [{"topology_key": "a", "when_unsatisfiable": "Never"}]},
            "topology_spread[0].when_unsatisfiable: must be ScheduleAnyway or DoNotSchedule, got 'Never'.",
        ),
        ({"resource_claims": [{"name": "a", "claim": "b", "template": "c"}]}, "resource_claims[0]: must have a name and either claim,"),
        ({"resource_claims": [{"name": "a", "claim": "b"}, {"name": "a", "claim": "c"}]}, "resource_claims[1].name: must be unique in the pod, got 'a' again."),
        (
            {"resource_claims": [{"name": "a", "claim": "b"}], "resources": {"claims": ["c"]}},
            "resources.claims[0]: must be a name in resource_claims, got 'c'; names: a.",
        ),
        ({"spiffe": {"sockt": "a"}}, "spiffe: unknown key 'sockt'; use driver, mount_path, socket."),
        ({"spiffe": "maybe"}, "spiffe: must be true, false or a mapping"),
        ({"stdin": "x"}, "stdin: requires command, which is not set."),
        ({"definition": {"metadata": {"namespace": "other"}}}, "definition.metadata.namespace: must be that of the task, 'n', got 'other'."),
    ],
)
def test_invalid_options_are_refused_without_a_request(options, message):
    with pytest.raises(PodwrightError) as caught:
        validate(spec(**options))
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    "labels", [{"app.kubernetes.io/name": "a.B_c-9"}, {"x": ""}, {"A_b.c": "1"}, {"y" * 63: "x" * 63}, {"a.b-c.d/" + "K" * 63: "v"}, {"x": 1.5}, {"x": True}]
)
def test_labels_that_the_api_server_accepts(labels):
    validate(spec(labels=labels, node_selector=labels))


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ({"command": ["sh", "-c", "kill $$"]}, "command[2]"),
        ({"args": ["a", "$$"]}, "args[1]"),
        ({"env": {"PASSWORD": "pa$$word"}}, "env.PASSWORD"),
        ({"containers": [{"name": "c", "command": ["echo", "$$"]}]}, "containers[0].command[1]"),
        ({"command": ["echo", "$$(HOME) $(A) $A ${A} $$$$ $2a$10$x"], "env": {"A": "$$(B)", "N": 5}}, None),
    ],
)
def test_dollars_that_kubernetes_removes_are_warned_of(options, warned):
    console = Console()
    warn_of_dollars([spec(**options)], console)
    assert [text.split(" of ")[0] for text in console.warnings] == ([warned] if warned else []) and "pa$$word" not in str(console.warnings)


OWN, OTHER = {"name": "task", "image": "i"}, {"name": "main", "image": "i"}
MAIN = OTHER | {"command": ["x"]}


@pytest.mark.parametrize(("kind", "place"), [("Pod", lambda pod: pod), ("Job", lambda pod: {"template": {"spec": pod}})])
def test_the_image_of_a_task_may_be_in_its_definition(kind, place):
    validate(spec(kind=kind, state="completed", image=None, definition={"spec": place({"containers": [OWN]})}))
    wrong = {"template": {"spec": {"containers": [OWN]}}} if kind == "Pod" else {"containers": [OWN]}
    with pytest.raises(PodwrightError, match="image: must be set"):
        validate(spec(kind=kind, state="completed", image=None, definition={"spec": wrong}))
    with pytest.raises(PodwrightError, match="image: must be set"):
        validate(spec(kind=kind, state="completed", image=None, definition={"spec": place({"containers": [OTHER]})}))


@pytest.mark.parametrize(
    ("containers", "options", "is_warned"),
    [
        ([MAIN], {}, True),
        ([OTHER], {}, False),  # a sidecar that is injected
        *(([MAIN], options, False) for options in ({"command": ["a"]}, {"args": ["a"]}, {"patches": [{"op": "add"}]})),
        ([MAIN, OWN], {}, False),
        (None, {}, False),
    ],
)
def test_a_definition_whose_containers_are_not_that_of_the_task_is_warned_of(containers, options, is_warned):
    """The container of a template of another tool is seldom named `task`, and the task would run the command of its image beside it."""
    console = Console()
    warn_of_containers([spec(definition={"spec": {"containers": containers}}, **options)], console)
    assert ["'main' runs beside that of the task" in text for text in console.warnings] == [True] * is_warned


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": [{"name": "a"}, {"name": "b", "retries": 1, "request_ratio": 2}]}, "tasks[1].request_ratio: must be greater"),
        ({"tasks": [{"name": "a"}], "request_ratio": 2}, "request_ratio: must be greater"),  # set beside the list
        ({"tasks": [{"name": "a"}, {"name": "a"}]}, "tasks[1].name: must be unique in namespace 'n', got 'a' again."),
        ({"tasks": [{"image": "i"}]}, "tasks[0].name: must be set unless generate_name is."),
        ({"tasks": [{"name": "a", "kind": "Deployment"}]}, "tasks[0].kind: must be Pod or Job, got 'Deployment'."),
        ({"name": "a", "prune": True}, "prune: requires set"),
        ({"name": "a", "set": "feature/x"}, "set: must consist of at most 63 letters, digits, '-', '_' and '.', "),
        ({"name": "a", "namespace": "Foo_Bar"}, "namespace: must be the name of a namespace, got 'Foo_Bar'."),
        ({"tasks": [{"name": "a", "namespace": "b/c"}]}, "tasks[0].namespace: must be the name of a namespace, got 'b/c'."),
        ({"tasks": [{"generate_name": "g" * 57 + "-"}]}, "tasks[0].generate_name: must consist of at most 56 "),
        ({"tasks": [{"generate_name": "a-"}], "state": "absent"}, "tasks[0].generate_name: must not be set if state is absent"),
        ({"generate_name": "a-", "state": "absent", "set": "s"}, "generate_name: must not be set if state is absent"),
        ({"name": "", "state": "absent", "set": "s"}, "name: must be set unless generate_name is."),  # not the whole set
        ({"state": "absent"}, "name: must be set if state is absent, unless tasks or set is."),
    ],
)
def test_an_error_contains_the_full_path_of_the_option(options, message):
    defaults = {name: entry.get("default") for name, entry in task_pod.ARGUMENTS.items()}
    call = Invocation(defaults | {"namespace": "n", "image": "i"} | options, False, False, Console())
    with pytest.raises(PodwrightError) as caught:
        task_pod.run(call, task_pod.Tasks())
    assert caught.value.message.startswith(message) and caught.value.reason == "BadOption"


def test_a_generated_name_deletes_nothing():
    _fields, error = session({}).perform({"generate_name": "a-", "state": "absent"})
    assert error.message == "generate_name: must not be set if state is absent."


@pytest.mark.parametrize(
    ("tasks", "is_warned"),
    [
        ([{"retry_on": [3]}], True),
        ([{"retry_on": [3], "retries": 1}], False),
        ([{"retry_on": [3]}, {"retry_on": [3], "retries": 1}], False),  # the default of a batch
        ([{"retry_on": [3], "backoff_limit_per_index": 1}], False),
        ([{}], False),
    ],
)
def test_conditions_of_retries_that_there_are_not_are_a_warning(tasks, is_warned):
    console = Console()
    warn_of_retries([spec(**task) for task in tasks], console)
    assert ["retry_on has no effect" in text for text in console.warnings] == [True] * is_warned
