# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A task's `definition` overrides the defaults of options, and is overridden by the options that are set."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.meshes import NATIVE_SIDECARS
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import task_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.definition import adopt_definition
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.job import STARTING_SECONDS
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.pod_security import check_level
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.pod_template import build_manifest
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.validation import validate

from .task_specs import spec

CONTAINER = {"name": "task", "terminationMessagePolicy": "File", "securityContext": {"allowPrivilegeEscalation": True}}
POD = {
    "restartPolicy": "OnFailure",
    "activeDeadlineSeconds": 77,
    "automountServiceAccountToken": True,
    "enableServiceLinks": True,
    "securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "p"}, "runAsNonRoot": False, "runAsUser": 7},
    "containers": [CONTAINER],
}
JOB = {"backoffLimit": 2, "activeDeadlineSeconds": 99, "ttlSecondsAfterFinished": 500, "completions": 2, "parallelism": 1}
OF_POD, OF_JOB = {"definition": {"spec": POD}}, {"kind": "Job", "definition": {"spec": JOB | {"template": {"spec": POD}}}}


def built(profile="restricted", state="completed", **options):
    return build_manifest(adopt_definition(spec(state, **options)), profile)


def contains(value, part):
    if isinstance(part, dict):
        return all(name in value and contains(value[name], item) for name, item in part.items())
    return all(map(contains, value, part)) if isinstance(part, list) else value == part


@pytest.mark.parametrize("state", ["completed", "running"])
def test_definition_keeps_its_fields_of_a_pod(state):
    pod = built(state=state, **OF_POD)["spec"]
    assert contains(pod, POD) and pod["securityContext"]["seccompProfile"] == POD["securityContext"]["seccompProfile"]
    # What it does not set is as without it.
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]} and pod["containers"][0]["image"] == "i"


def test_definition_keeps_its_fields_of_a_job():
    job = built(**OF_JOB)["spec"]
    assert contains(job, JOB) and contains(job["template"]["spec"], POD)


def test_options_that_are_set_override_the_definition():
    given = {
        "restart_policy": "Never", "timeout": 5, "seccomp": "RuntimeDefault", "run_as_non_root": True, "run_as_user": 0, "allow_privilege_escalation": False,
    }  # fmt: skip
    pod = built(**OF_POD | given)["spec"]
    assert (pod["restartPolicy"], pod["activeDeadlineSeconds"]) == ("Never", 5)
    assert contains(pod["securityContext"], {"seccompProfile": {"type": "RuntimeDefault"}, "runAsNonRoot": True, "runAsUser": 0})
    assert pod["containers"][0]["securityContext"]["allowPrivilegeEscalation"] is False
    job = built(**OF_JOB | {"timeout": 5, "retries": 1, "ttl": 3, "completions": 4})["spec"]
    assert contains(job, {"backoffLimit": 1, "ttlSecondsAfterFinished": 3, "completions": 4, "activeDeadlineSeconds": 5 * 2 * 4 + STARTING_SECONDS})


def test_podwright_runs_a_task_by_its_definition():
    job = adopt_definition(spec(**OF_JOB))
    assert (job.timeout, job.options["retries"], job.options["ttl"]) == (77, 2, 500)
    # A pod without a deadline of its own has that of its Job.
    job = adopt_definition(spec(kind="Job", definition={"spec": {"activeDeadlineSeconds": 9000}}))
    assert job.timeout == 9000 and contains(build_manifest(job, "baseline")["spec"], {"activeDeadlineSeconds": 9000})
    # The deadline of a Job that does not set one includes all attempts.
    job = built(kind="Job", definition={"spec": {"backoffLimit": 2, "template": {"spec": {"activeDeadlineSeconds": 77}}}})
    assert job["spec"]["activeDeadlineSeconds"] == 77 * 3 + STARTING_SECONDS
    params = (
        {name: entry.get("default") for name, entry in task_pod.ARGUMENTS.items()}
        | {"name": "t", "namespace": "n", "image": "i", "state": "completed"}
        | OF_POD
    )
    (read,) = task_pod._read_specs(Invocation(params, False, False, None))
    assert read.timeout == 77 and task_pod._wait_timeout(params, [read]) == 77 + task_pod.STARTING_SECONDS


def test_a_task_that_completes_is_not_restarted_always():
    defined = {"spec": {"restartPolicy": "Always"}}
    assert built(definition=defined)["spec"]["restartPolicy"] == "Never"
    assert built(state="running", definition={"spec": {"restartPolicy": "Never"}})["spec"]["restartPolicy"] == "Never"


def test_definition_keeps_its_annotations_of_meshes():
    name = next(iter(NATIVE_SIDECARS))
    metadata = {"metadata": {"annotations": {name: "false"}}}
    assert contains(built(definition=metadata)["metadata"], {"annotations": NATIVE_SIDECARS | {name: "false"}})
    job = built(kind="Job", definition={"spec": {"template": metadata}})["spec"]["template"]
    assert contains(job, {"metadata": {"annotations": NATIVE_SIDECARS | {name: "false"}}})


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("Pod", {"activeDeadlineSeconds": 0}, "definition.spec.activeDeadlineSeconds: must be an integer from 1 to 2147483647, got 0."),
        ("Pod", {"restartPolicy": "never"}, "definition.spec.restartPolicy: must be Always, OnFailure or Never, got 'never'."),
        ("Pod", {"restartPolicy": ["Never"]}, "definition.spec.restartPolicy: must be Always, OnFailure or Never"),
        ("Job", {"backoffLimit": "two"}, "definition.spec.backoffLimit: must be an integer from 0 to 2147483647, got 'two'."),
        ("Job", {"template": {"spec": {"activeDeadlineSeconds": 1.5}}}, "definition.spec.template.spec.activeDeadlineSeconds: must be an integer"),
        ("Job", {"template": 5}, "definition.spec.template: must be a mapping."),
    ],
)
def test_an_invalid_field_is_named_by_its_path(kind, fields, message):
    with pytest.raises(PodwrightError) as caught:
        adopt_definition(spec(kind=kind, definition={"spec": fields}))
    assert message in caught.value.message


def test_a_number_may_be_the_text_of_a_variable():
    assert built(definition={"spec": {"activeDeadlineSeconds": "77"}})["spec"]["activeDeadlineSeconds"] == 77


@pytest.mark.parametrize(
    ("context", "option"),
    [({"runAsUser": 0}, "run_as_user"), ({"runAsNonRoot": False}, "run_as_non_root"), ({"seccompProfile": {"type": "Unconfined"}}, "seccomp")],
)
def test_a_definition_that_the_namespace_forbids_is_an_error(context, option):
    """It is not replaced silently."""
    asked = spec(definition={"spec": {"securityContext": context}})
    with pytest.raises(PodwrightError, match=rf"definition or patches \({option}\) requires the Pod Security level"):
        check_level(asked, build_manifest(asked, "restricted"), "restricted")


DEFINED = {"spec": {"restartPolicy": "OnFailure", "activeDeadlineSeconds": 77, "automountServiceAccountToken": True}}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "e7676a7c0e1c1fe8"),
        ({"timeout": 3600, "ttl": 5, "restart_policy": "Never", "automount_service_account_token": True}, "e1196941c319b158"),
        ({"state": "running", "command": ["a"], "env": {"A": 1}}, "63526b2d2f854c21"),
        ({"kind": "Job", "retries": 2, "completions": 2}, "b3d74f3123043d1a"),
        ({"log_tail": 0, "secret_env": {"A": "b"}}, "b96c99be3c0ca34b"),
        ({"definition": DEFINED}, "b77ee6b34a21243f"),
        ({"definition": DEFINED, "timeout": 77}, "5e8c51ff738ac2ea"),
        ({"kind": "Job", "definition": {"spec": {"backoffLimit": 2, "completions": 2, "template": DEFINED}}}, "5365b35ec8266800"),
    ],
)
def test_hashes_do_not_change(options, expected):
    """They are labels of live pods: with others, an upgrade would replace each task."""
    asked = adopt_definition(spec(**options))
    validate(asked)
    assert asked.hash == expected
