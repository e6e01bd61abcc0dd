# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secret environment variables: what is kept in the Secret of a task, and that nothing else reveals it."""

from __future__ import annotations

import base64
import json

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import task_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.pod_template import build_manifest
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.task_secret import build_secret, is_needed, lasting_name, rename_secret, secret_name
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.validation import validate
from ansible_collections.podwright.core.plugins.plugin_utils._secret_variables import keep_secrets

from .task_specs import spec
from .test_task_order import batch, session

CANARY = "canary-of-a-secret"


def live(asked):
    manifest = build_manifest(asked, "baseline")
    return manifest | {"metadata": manifest["metadata"] | {"uid": "u"}}


@pytest.mark.parametrize("kind", ["Pod", "Job"])
def test_the_secret_contains_the_variables_of_all_containers_and_the_input(kind):
    asked = spec(
        kind=kind,
        command=["a"],
        stdin="input",
        secret_env={"A": CANARY, "N": 5, "B": True},
        env={"X": "$(A)"},
        containers=[{"name": "c", "secret_env": {"A": "other"}}],
        init_containers=[{"name": "i", "env": {"A": {"secret": "t-private-00000000", "key": "env.other"}}}],
    )
    pod = live(asked)
    assert CANARY not in json.dumps(pod)
    secret = build_secret(asked, pod)
    assert {key: base64.b64decode(value).decode() for key, value in secret["data"].items()} == {
        "stdin": "input", "env.task.A": CANARY, "env.task.N": "5", "env.task.B": "true", "env.c.A": "other",
    }  # fmt: skip
    assert secret["immutable"] and secret["metadata"]["ownerReferences"][0]["uid"] == "u"
    inner = pod["spec"].get("template", pod)["spec"]
    name = secret["metadata"]["name"]
    assert name == inner["volumes"][0]["secret"]["secretName"] == secret_name(pod)
    assert inner["volumes"][0]["secret"]["items"] == [{"key": "stdin", "path": "stdin"}]  # the volume contains no variable
    assert inner["containers"][0]["env"] == [
        *({"name": key, "valueFrom": {"secretKeyRef": {"name": name, "key": f"env.task.{key}"}}} for key in ("A", "N", "B")),
        {"name": "X", "value": "$(A)"},
    ]
    # A reference of the user stays as it is.
    assert "t-private-00000000" in json.dumps(rename_secret(pod, "t-private-renamed")) and secret_name(build_manifest(spec(), "baseline")) is None


def test_each_pod_has_a_secret_of_its_own_and_each_template_of_a_deployment():
    asked = spec(secret_env={"A": CANARY})
    assert len({secret_name(build_manifest(asked, "baseline")) for _build in range(5)}) == 5
    names = [lasting_name("web", spec(secret_env={"A": text}).options) for text in (CANARY, CANARY, "other")]
    assert names[0] == names[1] != names[2]


def test_a_changed_secret_is_a_changed_task_and_its_digest_is_slow(monkeypatch):
    hashes = [spec(name=name, secret_env={"A": text}).hash for name in ("a", "b") for text in ("1234", "4321")]
    assert len(set(hashes)) == 4 and spec(name="a", secret_env={"A": "1234"}).hash == hashes[0]
    assert spec(secret_env={"A": 1, "B": True}).hash == spec(secret_env={"B": "true", "A": "1"}).hash != spec().hash
    sidecars = [spec(containers=[{"name": "c", "secret_env": {"A": text}}]) for text in ("1", "2")]
    before = json.dumps(sidecars[0].options)
    assert sidecars[0].hash != sidecars[1].hash and json.dumps(sidecars[0].options) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"secret_env": {"A B": "x"}}, "secret_env: must have names of letters, digits, '-', '_' and '.', got 'A B'."),
        ({"secret_env": {"A": "x"}, "env": {"A": "y"}}, "secret_env.A: must not be set if env sets the same variable."),
        ({"containers": [{"name": "c", "secret_env": {"A": CANARY + "\0"}}]}, "containers[0].secret_env.A: must not contain a NUL character"),
        ({"secret_env": {"A": [CANARY]}}, "secret_env.A: must be a string, got a list."),
        ({"secret_env": {"A": "x" * 2**20, "B": "y"}}, "secret_env: must not exceed 1048576 bytes in all, got 1048577."),
        ({"stdin": "x" * 2**20 + "y", "command": ["a"]}, "stdin: must not exceed 1048576 bytes in all, got 1048577."),
    ],
)
def test_invalid_variables_are_refused_without_showing_them(options, message):
    with pytest.raises(PodwrightError) as caught:
        validate(spec(**options))
    assert caught.value.message.startswith(message) and CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "state", "is_finished", "needed"),
    [
        ({}, "pending", False, False),
        ({"stdin": "x"}, "pending", False, True),
        ({"stdin": "x"}, "running", False, False),
        ({"secret_env": {"A": "b"}}, "running", False, True),
        ({"containers": [{"name": "c", "secret_env": {"A": "b"}}]}, "running", False, True),
        ({"secret_env": {"A": "b"}}, "succeeded", True, False),
    ],
)
def test_a_deleted_secret_is_restored_while_it_is_needed(options, state, is_finished, needed):
    class Seen:
        """A status."""

    Seen.state, Seen.is_finished = state, is_finished
    assert is_needed(spec(**options), Seen) is needed and not is_needed(spec(**options), None)


@pytest.mark.parametrize(
    ("own", "env", "secret"),
    [
        ({}, {"A": "1"}, {"S": "2"}),
        ({"secret_env": {"A": "3"}}, {}, {"S": "2", "A": "3"}),
        ({"env": {"S": "4", "B": "5"}}, {"A": "1", "S": "4", "B": "5"}, {}),
        ({"env": {"S": "4"}, "secret_env": {"A": "3"}}, {"S": "4"}, {"A": "3"}),
    ],
)
def test_a_variable_of_an_item_takes_the_place_of_that_beside_tasks(own, env, secret):
    defaults = spec(env={"A": "1"}, secret_env={"S": "2"}).options
    merged = task_pod._merge_item(defaults, own)
    assert (merged["env"], merged["secret_env"]) == (env, secret)
    both = task_pod._merge_item(defaults, {"env": {"B": "1"}, "secret_env": {"B": "2"}})  # which the validation refuses
    assert "B" in both["env"] and "B" in both["secret_env"]


@pytest.mark.parametrize(
    ("env", "kept", "secret"),
    [
        ({"A": "x", "B": 1, "C": True, "D": None}, {}, {"A": "x", "B": "1", "C": "true", "D": ""}),
        ({"A": "x$$y", "B": "$(A)-$(", "C": "$x"}, {}, {"A": "x$y", "B": "x$y-$(", "C": "$x"}),  # as the kubelet expands them
        ({"A": "$$(B)"}, {}, {"A": "$(B)"}),
        ({"A": "$(B)", "B": "x"}, {"A": "$(B)"}, {"B": "x"}),
        ({"A": {"field": "f"}, "B": "$(A)", "C": "$(B)"}, {"A": {"field": "f"}, "B": "$(A)", "C": "$(B)"}, None),
    ],
)
def test_literals_of_a_task_with_no_log_are_secret_and_have_the_same_values(env, kept, secret):
    for wrap, unwrap in (
        (lambda item: item, lambda args: args),
        (lambda item: {"containers": [item]}, lambda args: args["containers"][0]),
        (lambda item: {"tasks": [{"init_containers": [item]}]}, lambda args: args["tasks"][0]["init_containers"][0]),
    ):
        args = unwrap(keep_secrets(wrap({"env": env}), is_secret=True))
        assert args["env"] == kept and args.get("secret_env") == secret
    assert keep_secrets({"env": env}, is_secret=False) == {"env": env}


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("kind", ["Pod", "Job"])
def test_no_pod_is_created_whose_secret_may_not_be(kind, check_mode):
    made = session({"a": 0})
    create = made.cluster.create

    def refuse(kind, *arguments, **options):
        if kind.name == "Secret":
            raise PodwrightError("no", status=403, reason="Forbidden")
        return create(kind, *arguments, **options)

    made.cluster.create = refuse
    _fields, error = made.perform(batch("a", kind=kind, secret_env={"TOKEN": CANARY}), check_mode)
    assert "no" in str(error) and not made.cluster.objects and CANARY not in str(error)


@pytest.mark.parametrize(
    ("no_log", "options", "policy"),
    [
        (True, {}, "File"),
        (False, {"log_tail": 0}, "File"),
        (False, {}, "FallbackToLogsOnError"),
        (True, {"definition": {"spec": {"containers": [{"name": "task", "terminationMessagePolicy": "FallbackToLogsOnError"}]}}}, "FallbackToLogsOnError"),
    ],
)
def test_the_log_of_a_secret_task_is_not_in_the_status_of_its_pod(no_log, options, policy):
    params = {name: entry.get("default") for name, entry in task_pod.ARGUMENTS.items()} | {"name": "t", "namespace": "n", "image": "i"} | options
    hidden, shown = (
        task_pod._read_specs(Invocation(given, False, False, None, no_log=quiet))[0] for given, quiet in ((params, no_log), (params | {"log_tail": 20}, False))
    )
    assert build_manifest(hidden, "baseline")["spec"]["containers"][0]["terminationMessagePolicy"] == policy
    assert hidden.hash == shown.hash  # live pods are not replaced


def test_odd_arguments_are_left_to_the_validation():
    for args in ({"env": "A=b"}, {"env": None}, {"tasks": "x"}, {"tasks": ["x", None]}, {"env": {"A": "b"}, "secret_env": "x"}, {"containers": 5}):
        assert keep_secrets(args, is_secret=True) == args
    both = {"env": {"A": "b"}, "secret_env": {"A": "c"}}
    assert keep_secrets(both, is_secret=True) == both
