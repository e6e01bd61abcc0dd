# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What to do about a pod that the API server refuses, to whichever client."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.api_errors import admission_hint, status_error
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.request import Request

# As the API server 1.36 words them, directly or in an event or condition of the controller that creates the pod.
REFUSALS = {
    'Pod "a" is invalid: spec.containers[0].resources.requests: Invalid value: "128Mi": must be less than or equal to memory limit of 64Mi': "LimitRange",
    'pods "a" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1': "Raise the ResourceQuota",
    'pods "a" is forbidden: failed quota: q: must specify limits.memory for: main': "that the ResourceQuota",
    'pods "a" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true': "security_profile",
    'pods "a" is forbidden: unable to validate against any security context constraint: [runAsUser: Invalid value: 65532]': "run_as_user to auto",
    'pods "a" is forbidden: unable to create new content in namespace shop because it is being terminated': "Wait until it is deleted",
    'pods "a" is forbidden: maximum memory usage per Container is 64Mi, but limit is 128Mi': "LimitRange",
    'pods "a" is forbidden: cpu max limit to request ratio per Container is 4, but provided ratio is 8.000000': "LimitRange",
    'jobs.batch "a" is forbidden: exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=0': "or delete objects that it counts",
    'pods "a" is forbidden: minimum cpu usage per Container is 100m, but request is 10m': "LimitRange",
}


CONFIGURATION = SimpleNamespace(identity="me", renewal="renew", mask=str)


@pytest.mark.parametrize("code", [401, 403, 405, 409, 410, 413, 429, 500, 502, 503, 504])
def test_a_status_without_an_explanation_has_a_hint(code):
    request = Request("GET", POD.path("shop"), kind=POD, namespace="shop")
    for body in ({"kind": "Status", "message": "no", "reason": "Odd"}, "no"):
        assert status_error(code, body, request, CONFIGURATION).hint


@pytest.mark.parametrize("text", ["etcdserver: request is too large", "rpc error: code = ResourceExhausted desc = trying to send message larger than max"])
def test_an_object_that_is_too_large_is_refused(text):
    error = status_error(500, {"kind": "Status", "message": text}, Request("POST", POD.path("shop"), kind=POD, namespace="shop"), CONFIGURATION)
    assert error.is_refusal and "up to about 1 MiB" in error.hint
    assert not status_error(500, {"kind": "Status", "message": "no"}, Request("POST", POD.path("shop"), kind=POD), CONFIGURATION).is_refusal


def test_an_object_that_exists_already_has_not_changed():
    status = {"kind": "Status", "message": 'pods "a" already exists', "reason": "AlreadyExists"}
    hint = status_error(409, status, Request("POST", POD.path("shop"), kind=POD, namespace="shop"), CONFIGURATION).hint
    assert hint.startswith("Use another name") and "changed" not in hint


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_names_what_limits_the_pod(text):
    request = Request("POST", POD.path("shop"), kind=POD, namespace="shop")
    status = {"kind": "Status", "message": text, "reason": "Forbidden"}
    for hint in (status_error(403 if "forbidden" in text else 422, status, request, CONFIGURATION).hint, admission_hint(f"FailedCreate: {text}", "shop")):
        assert REFUSALS[text] in hint and "namespace 'shop'" in hint


@pytest.mark.parametrize("text", ['pod rejected: RuntimeClass "nope" not found', "no PriorityClass with name nope was found"])
def test_a_class_that_does_not_exist_is_named_as_what_to_create(text):
    assert admission_hint(f'pods "a" is forbidden: {text}', "n") == "Create what is not found first, or correct its name."


@pytest.mark.parametrize("text", ['Apply failed with 1 conflict: conflict with "a": .data.b', 'Apply failed with 2 conflicts: conflicts with "a":\n- .data.b'])
def test_a_conflict_of_field_managers_names_the_option(text):
    causes = [{"reason": "FieldManagerConflict", "message": 'conflict with "a"', "field": ".data.b"}]
    status = {"kind": "Status", "message": text, "reason": "Conflict", "details": {"causes": causes}}
    assert "set conflicts to take" in status_error(409, status, Request("PATCH", POD.path("shop"), kind=POD, namespace="shop"), CONFIGURATION).hint


def test_a_namespace_that_is_being_deleted_comes_with_the_command_that_shows_why():
    text = "configmaps is forbidden: unable to create new content in namespace shop because it is being terminated"
    status = {"kind": "Status", "message": text, "reason": "Forbidden", "details": {"causes": [{"reason": "NamespaceTerminating", "message": "no"}]}}
    hint = status_error(403, status, Request("POST", POD.path("shop"), kind=POD, namespace="shop"), CONFIGURATION).hint
    assert hint.startswith("Run the task again when the namespace is deleted: kubectl get namespace shop")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('spec.a: Invalid value: "null": spec.a in body must be of type object: "null"', "Remove the fields that are null"),
        ('status.storedVersions[0]: Invalid value: "v1": missing from spec.versions', "served: false"),
        ('spec.a: Invalid value: "null": must be another name', ""),
    ],
)
def test_a_refused_custom_resource_or_definition_has_a_hint(text, hint):
    status = {"kind": "Status", "message": text, "reason": "Invalid"}
    found = status_error(422, status, Request("PATCH", POD.path("shop"), kind=POD, namespace="shop"), CONFIGURATION).hint
    assert hint in found and bool(found) == bool(hint)


@pytest.mark.parametrize(
    ("code", "text", "is_hinted"),
    [
        (400, 'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.restart_policy"', True),
        (400, 'strict decoding error: unknown field "spec.containers[0].imagePull_policy_x", unknown field "spec.host_ip"', True),
        (500, "failed to create typed patch object (n/a; /v1, Kind=Pod): .spec.restart_policy: field not declared in schema", True),
        (400, 'strict decoding error: unknown field "spec.restartPolcy"', False),
        (400, 'strict decoding error: duplicate field "spec.restart_policy"', False),
    ],
)
def test_a_field_in_snake_case_has_a_hint(code, text, is_hinted):
    error = status_error(code, {"kind": "Status", "message": text, "reason": "BadRequest"}, Request("POST", POD.path("n"), kind=POD), CONFIGURATION)
    assert ("camelCase, such as restartPolicy" in error.hint) == is_hinted


def test_other_refusals_have_no_such_hint():
    assert admission_hint('Pod "a" is invalid: spec.containers[0].image: Required value') == ""
