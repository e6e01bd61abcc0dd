# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Refusals because of immutable fields, and the checks before an object is replaced."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import key_of
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.plan import Change
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.replacement import check_replacement, create_again, is_immutable

IMMUTABLE = [
    'Invalid value: {"matchLabels":{"app":"b"}}: field is immutable',
    "Forbidden: field is immutable when `immutable` is set",
    "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template' are forbidden",
    "Forbidden: spec is immutable after creation except resources.requests for bound claims\n  core.PersistentVolumeClaimSpec{",
    "Forbidden: spec.persistentvolumesource is immutable after creation\n  a diff: here",
    "Forbidden: updates to parameters are forbidden.",
    'Invalid value: {"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"b"}: cannot change roleRef',
    'Invalid value: ["10.0.0.1"]: may not change once set',
    "Forbidden: may not be changed in an update.",
    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`\n  core.PodSpec{",
    "Forbidden: pod updates may not add or remove containers",
    "Forbidden: field cannot be modified once set",
    "Forbidden: field cannot be cleared once set",
    'Invalid value: "b": the storage class is immutable',
    'Invalid value: "object": failed rule: self == oldSelf',
]
OTHER = [
    "Required value",
    "Required value: must not be immutable",
    'Invalid value: "immutable": must be a number',
    'Invalid value: "{"a":"field is immutable"}": must be no more than 63 characters',
    "Invalid value: 0: must be greater than 0",
    "Forbidden: field can not be less than status.capacity",
    'Unsupported value: "updates": supported values: "a", "b"',
]
EXCLUDED = ["Forbidden: may not be specified when `value` is not empty", "Forbidden: may not specify more than 1 handler type"]


def refusal(*messages, status=422):
    return PodwrightError(
        "invalid", status=status, reason="Invalid", causes=[{"field": f"spec.f{n}", "message": m, "reason": ""} for n, m in enumerate(messages)]
    )


@pytest.mark.parametrize("message", IMMUTABLE)
def test_every_wording_for_an_immutable_field_is_recognized(message):
    assert is_immutable(refusal(message))
    assert is_immutable(PodwrightError(f"Could not patch X 'a': X \"a\" is invalid: spec: {message}", status=422))
    assert not is_immutable(refusal(message, status=403))


@pytest.mark.parametrize("message", OTHER)
def test_any_other_cause_makes_it_another_refusal(message):
    assert not is_immutable(refusal(message))
    assert not is_immutable(refusal(IMMUTABLE[0], message))


def change(desired=None, before=None, kind="Deployment"):
    api_version = {"Deployment": "apps/v1", "CustomResourceDefinition": "apiextensions.k8s.io/v1"}.get(kind, "v1")
    manifest = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "web", "namespace": "shop"}, "spec": {}}
    known = BUILT_IN[api_version, kind]
    return Change("patch", key_of(manifest, known), known, manifest | (desired or {}), manifest | {"metadata": {"uid": "u"}} | (before or {}))


class Server:
    """Answers a dry-run create."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    def create(self, kind, namespace, body, manager, dry_run):
        assert dry_run
        self.asked.append(body)
        if self.answer:
            raise self.answer


TAKEN = PodwrightError("exists", status=409, reason="AlreadyExists")
QUOTA_MESSAGE = 'Could not create: pods "a" is forbidden: exceeded quota: q, requested: {0}, used: {0}, limited: {0} (403 Forbidden)'


@pytest.mark.parametrize("answer", [None, TAKEN, PodwrightError(QUOTA_MESSAGE.format("count/jobs.batch=1"), status=403, reason="Forbidden")])
def test_object_is_replaced_if_the_new_one_can_be_created(answer):
    server = Server(answer)
    check_replacement(server, change(), refusal(IMMUTABLE[0]), "podwright", "replace")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        PodwrightError("spec: Required value", status=422, reason="Invalid"),
        PodwrightError("denied by policy", status=403, reason="Forbidden"),
        PodwrightError("admission webhook x does not support dry run", status=400, reason="BadRequest"),
        PodwrightError(QUOTA_MESSAGE.format("count/jobs.batch=1,requests.cpu=2"), status=403, reason="Forbidden"),
        PodwrightError("no answer", reason="ConnectionLost"),
        PodwrightError("being changed", status=409, reason="Conflict"),
    ],
)
def test_nothing_is_replaced_if_the_new_object_would_be_refused(answer):
    with pytest.raises(PodwrightError, match="nothing was deleted") as caught:
        check_replacement(Server(answer), change(), refusal(IMMUTABLE[0]), "podwright", "replace")
    assert answer.message in caught.value.message and caught.value.hint
    assert ("A webhook does not support dry run" in caught.value.hint) == answer.is_dry_run_refused
    assert (caught.value.status, caught.value.reason) == (answer.status, answer.reason)


def test_replacement_is_recommended_only_if_nothing_else_is_wrong():
    server = Server(None)
    with pytest.raises(PodwrightError, match="immutable: spec") as caught:
        check_replacement(server, change(), refusal(IMMUTABLE[0]), "podwright", "fail")
    assert caught.value.reason == "Immutable" and "replace" in caught.value.hint
    for on_immutable in ("fail", "replace"):
        mixed = refusal(IMMUTABLE[0], OTHER[0])
        with pytest.raises(PodwrightError) as caught:
            check_replacement(server, change(), mixed, "podwright", on_immutable)
        assert caught.value is mixed
    assert server.asked == []


def test_live_fields_that_exclude_desired_ones_do_not_keep_an_object_from_being_replaced():
    assert not is_immutable(refusal(*EXCLUDED)) and not is_immutable(refusal(IMMUTABLE[0], EXCLUDED[0], OTHER[0]))
    beside = refusal(IMMUTABLE[0], *EXCLUDED)
    check_replacement(Server(TAKEN), change(), beside, "podwright", "replace")
    with pytest.raises(PodwrightError) as kept:  # a field of others
        check_replacement(Server(TAKEN), change(), beside, "podwright", "replace", takes_over=False)
    assert kept.value is beside
    with pytest.raises(PodwrightError, match=r"immutable: spec\.f0\. Set") as caught:
        check_replacement(Server(None), change(), beside, "podwright", "fail")
    assert caught.value.reason == "Immutable"


@pytest.mark.parametrize("text", [IMMUTABLE[0], "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"])
def test_nobody_recommends_to_replace_a_claim(text):
    with pytest.raises(PodwrightError) as caught:
        check_replacement(Server(TAKEN), change(kind="PersistentVolumeClaim"), refusal(text), "podwright", "fail")
    assert "can only grow" in caught.value.hint and "on_immutable" not in caught.value.hint


def test_what_the_replacement_of_a_definition_deletes_besides_it_is_said():
    with pytest.raises(PodwrightError) as caught:
        check_replacement(Server(None), change(kind="CustomResourceDefinition"), refusal(IMMUTABLE[0]), "podwright", "fail")
    assert "deletes all objects of its kind" in caught.value.hint


def test_replaced_service_gets_its_addresses_after_the_deletion():
    held = {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80, "nodePort": 30080}]}
    wanted = {"clusterIP": "10.0.0.1", "ipFamilies": ["IPv6"], "ports": [{"port": 80, "nodePort": 30080}, {"port": 81, "nodePort": 30081}]}
    server = Server(TAKEN)
    check_replacement(server, change({"spec": wanted}, {"spec": held}, "Service"), refusal(IMMUTABLE[7]), "podwright", "replace")
    assert server.asked[0]["spec"] == {"ipFamilies": ["IPv6"], "ports": [{"port": 80}, {"port": 81, "nodePort": 30081}]}
    assert wanted["ports"][0]["nodePort"] == 30080


@pytest.mark.parametrize(("kind", "spec"), [("Deployment", {"clusterIP": "10.0.0.1", "ports": [{"nodePort": 30080}]}), ("Service", None), ("Service", [])])
def test_other_objects_are_checked_as_they_are_written(kind, spec):
    server = Server(TAKEN)
    check_replacement(server, change({"spec": spec}, {"spec": spec}, kind), refusal(IMMUTABLE[0]), "podwright", "replace")
    assert server.asked[0]["spec"] == spec


def test_service_that_was_assigned_nothing_is_checked_as_it_is_written():
    wanted = {"clusterIP": "10.0.0.2", "healthCheckNodePort": 31000, "ports": [{"port": 80, "nodePort": 30080}, "odd"]}
    for held in ({}, {"clusterIP": "10.0.0.1", "ports": None}, None):
        server = Server(TAKEN)
        check_replacement(server, change({"spec": wanted}, {"spec": held}, "Service"), refusal(IMMUTABLE[7]), "podwright", "replace")
        assert server.asked[0]["spec"] == wanted


@pytest.mark.parametrize(
    ("requested", "fits"),
    [
        ("count/jobs.batch=1", True),
        ("count/pods=1,count/jobs.batch=1", True),
        ("count/pods=2", False),
        ("pods=1", False),
        ("count/pods=1,requests.cpu=1", False),
        ("count/pods=11", False),
        ("", False),
    ],
)
def test_quota_that_counts_objects_has_room_once_the_old_object_is_deleted(requested, fits):
    answer = PodwrightError(QUOTA_MESSAGE.format(requested), status=403, reason="Forbidden")
    if fits:
        check_replacement(Server(answer), change(), refusal(IMMUTABLE[0]), "podwright", "replace")
    else:
        with pytest.raises(PodwrightError, match="nothing was deleted"):
            check_replacement(Server(answer), change(), refusal(IMMUTABLE[0]), "podwright", "replace")


def test_object_that_does_not_exist_is_not_replaced():
    new, mine = change(), refusal(IMMUTABLE[0])
    with pytest.raises(PodwrightError) as caught:
        check_replacement(Server(None), Change(new.action, new.key, new.kind, new.desired), mine, "podwright", "replace")
    assert caught.value is mine


class FakeClock:
    """Time passes only while somebody sleeps."""

    def __init__(self):
        self.seconds = 0.0

    def monotonic(self):
        return self.seconds

    def sleep(self, seconds):
        self.seconds += seconds


QUOTA = PodwrightError("forbidden: exceeded quota: one, requested: count/deployments.apps=1", status=403, reason="Forbidden")


@pytest.mark.parametrize(("refusals", "timeout", "is_created"), [(0, 0, True), (3, 60, True), (100, 60, False), (100, 2, False)])
def test_creation_is_retried_while_a_quota_still_counts_the_deleted_object(refusals, timeout, is_created):
    clock, answers = FakeClock(), iter([QUOTA] * refusals)

    def apply():
        error = next(answers, None)
        if error:
            raise error
        return {"kind": "Deployment"}

    if is_created:
        assert create_again(apply, clock, timeout) == {"kind": "Deployment"}
    else:
        with pytest.raises(PodwrightError, match="exceeded quota"):
            create_again(apply, clock, timeout)
        assert clock.seconds == min(timeout, 30)


def test_creation_is_not_retried_after_another_refusal():
    def refuse():
        raise refusal("invalid")

    clock = FakeClock()
    with pytest.raises(PodwrightError, match="invalid"):
        create_again(refuse, clock, 60)
    assert clock.seconds == 0
