# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What results show of changes: plans, diffs, predictions and redacted secrets."""

from __future__ import annotations

import base64
import json

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.masking import MASK, Masker
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.diff import yaml_diff
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import (
    LAST_APPLIED,
    SERVER_METADATA,
    Redactor,
    bare,
    clean,
    difference,
    key_of,
    merge,
    predict,
    secret_values,
)
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.members import Member
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.plan import Change, plan, plan_deletions, plan_removal
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.sets import ApplySet
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.waves import split_into_waves

from ..support.documents import read_yaml

BEFORE = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n", "uid": "1", "resourceVersion": "4"}, "data": {"k": "old"}}
WANTED = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"namespace": "n", "name": "a"}, "data": {"k": "new"}}
SERVER_STATE = {"uid": "1", "resourceVersion": "5", "generation": 2, "managedFields": [], "creationTimestamp": "2026-01-01T00:00:00Z"}
AFTER = WANTED | {"metadata": {"name": "a", "namespace": "n"} | SERVER_STATE}


def change(action="patch", *objects, **rest):
    """A Change with the objects desired, before and after, which are those above by default."""
    names = ("desired", "before", "after")
    fields = dict(zip(names, (WANTED, BEFORE, AFTER))) | dict(zip(names, objects)) | rest
    manifest = fields["desired"] or fields["before"]
    kind = BUILT_IN[manifest["apiVersion"], manifest["kind"]]
    return Change(action, key_of(manifest, kind), kind, **fields)


def secret(item, value):
    """The object as a Secret."""
    return item and item | {"kind": "Secret", "data": {"k": value}}


# -- what was done ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["patch", "resize"])
@pytest.mark.parametrize("how", ["predicted", "applied"])
def test_patch_is_the_difference_that_the_server_made(how, action):
    done = getattr(change(action), how)(AFTER | {"data": {"k": "new", "default": "x"}})
    assert done.action == action and sorted(entry["path"] for entry in done.patch) == ["/data/default", "/data/k"]


def test_patch_that_changes_nothing_is_none_but_a_resize_is_one():
    """The API server answers to a resize before the kubelet has carried it out."""
    for action, expected in (("patch", "none"), ("resize", "resize")):
        done = change(action, patch=[{"op": "add"}]).applied(BEFORE)
        assert (done.action, done.patch) == (expected, [])


def test_other_actions_keep_their_patch():
    patch = [{"op": "add", "path": "", "value": WANTED}]
    assert (change("create", before=None, patch=patch).applied(AFTER).action, change("create", before=None, patch=patch).applied(AFTER).patch) == (
        "create",
        patch,
    )
    assert change("create", patch=patch).applied(BEFORE).action == "create"
    assert change("patch", patch=patch).applied(AFTER, action="replace").action == "replace"
    assert change("patch", patch=patch).applied(None).patch == patch
    assert change("patch", before=None, patch=patch).applied(AFTER).patch == patch


def test_note_of_what_happened_replaces_the_planned_one():
    planned = change(note="planned")
    for act in (planned.not_applied, planned.deleted_only, lambda **rest: planned.applied(AFTER, **rest)):
        assert act().note == "planned" and act(note="happened").note == "happened"
    assert planned.not_applied().action == "none" and planned.not_applied().after == BEFORE and planned.not_applied().patch == []
    assert planned.deleted_only().action == "delete" and planned.deleted_only().after is None
    assert planned.predicted(AFTER).note == "planned"


def test_entry_of_a_plan_names_the_object_and_has_a_note_only_if_there_is_one():
    entry = change(patch=[{"op": "replace"}]).describe(Redactor())
    assert entry == {"action": "patch", "api_version": "v1", "kind": "ConfigMap", "namespace": "n", "name": "a", "patch": [{"op": "replace"}]}
    assert change(note="why").describe(Redactor())["note"] == "why"


@pytest.mark.parametrize(
    ("case", "paths"),
    [
        (change("patch"), ["/data/k"]),
        (change("resize"), ["/data/k"]),
        (change("replace"), ["/data/k"]),
        (change("create", before=None), [""]),
        (change("create"), [""]),  # in place of one that is being deleted
        (change("replace", after=None), [""]),
        (change("replace", desired=None, after=None), []),
    ],
)
def test_patch_of_a_secret_is_shown_with_digests(case, paths):
    values = [base64.b64encode(value).decode() for value in (b"old-secret", b"new-secret")]
    hidden = change(case.action, secret(case.desired, values[1]), secret(case.before, values[0]), secret(case.after, values[1]), patch=[{"op": "add"}])
    shown = hidden.shown_patch(Redactor())
    assert [entry["path"] for entry in shown] == paths and not any(value in json.dumps(shown) for value in values)
    assert ("secret:" in json.dumps(shown)) == bool(paths)


@pytest.mark.parametrize("action", ["none", "delete"])
def test_patch_of_a_secret_that_is_not_written_is_as_planned(action):
    assert change(action, secret(WANTED, "a"), secret(BEFORE, "b"), secret(AFTER, "a")).shown_patch(Redactor()) == []


# -- diffs ------------------------------------------------------------------------------------------------------


def test_diff_shows_each_changed_object_as_sorted_yaml_without_the_servers_metadata():
    cluster_scoped = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}
    changes = [change(), change("none"), change("create", cluster_scoped, None, cluster_scoped)]
    patched, created = yaml_diff(changes, Redactor(), dict)
    assert (patched["before_header"], patched["after_header"]) == ("ConfigMap n/a", "ConfigMap n/a (patch)")
    assert patched["before"] == "apiVersion: v1\ndata:\n  k: old\nkind: ConfigMap\nmetadata:\n  name: a\n  namespace: n\n"
    assert patched["after"] == patched["before"].replace("old", "new")
    assert created["after_header"] == "Namespace x (create)" and created["before"] == "" and read_yaml(created["after"]) == cluster_scoped


@pytest.mark.parametrize(
    ("shown", "before", "after"),
    [
        (change("patch"), BEFORE, AFTER),
        (change("replace"), BEFORE, AFTER),
        (change("create", after=AFTER), None, WANTED),  # without the defaults of the server; the previous object of that name is not part of it
        (change("delete"), BEFORE, None),
        (change("delete", desired=None, after=None), BEFORE, None),
    ],
)
def test_diff_has_the_states_on_both_sides(shown, before, after):
    (entry,) = yaml_diff([shown], Redactor(), dict)
    assert [read_yaml(entry[side]) if entry[side] else None for side in ("before", "after")] == [state and bare(state) for state in (before, after)]


def test_diff_shows_that_a_secret_changed_and_not_its_values():
    (entry,) = yaml_diff([change("patch", secret(WANTED, "bmV3"), secret(BEFORE, "b2xk"), secret(AFTER, "bmV3"))], Redactor(), dict)
    assert entry["before"] != entry["after"] and "bmV3" not in entry["after"] and "b2xk" not in entry["before"]


@pytest.mark.parametrize(
    "value", ["Pa'ss-w0rd!", "p\xe4ss-w\xf6rd", "pass\tword\x01", "correct horse battery staple", "'Pa''ss\"\\w0rd", "pass: word #1", "pass\n\nword"]
)
def test_diff_masks_a_value_however_yaml_spells_it(value):
    manifest = BEFORE | {"data": {"text": f"{'filler ' * 10}pw={value} end", "value": value, "lines": f"a\n{value}\nb"}}
    (entry,) = yaml_diff([change("create", manifest, None, manifest)], Redactor(), Masker([value]).clean)
    assert read_yaml(entry["after"])["data"] == {"text": f"{'filler ' * 10}pw={MASK} end", "value": MASK, "lines": f"a\n{MASK}\nb"}


def test_diff_has_each_line_of_a_value_as_it_is_and_escapes_what_cannot_be_seen():
    lines = {"plain": f"{'filler ' * 20}\xfcber", "hidden": "a\u202eb\x1b[8m"}
    entries = [yaml_diff([change("create", BEFORE | {"data": {"k": text}}, None)], Redactor(), dict)[0]["after"] for text in lines.values()]
    assert f"k: {lines['plain']}\n" in entries[0] and 'k: "a\\u202Eb\\e[8m"\n' in entries[1]


# -- plans ------------------------------------------------------------------------------------------------------


def keyed(*manifests):
    kinds = [BUILT_IN[manifest["apiVersion"], manifest["kind"]] for manifest in manifests]
    return {key_of(manifest, kind): (kind, manifest) for manifest, kind in zip(manifests, kinds, strict=True)}


def members(*manifests):
    return [Member(kind, key, item) for key, (kind, item) in keyed(*manifests).items()]


@pytest.mark.parametrize("takes_over", [True, False])
def test_current_object_is_applied_to_take_fields_that_another_manager_owns_too(takes_over):
    entries = [
        {"manager": name, "operation": operation, "fieldsV1": {"f:data": {"f:k": {}}}} for name, operation in (("podwright", "Apply"), ("kubectl", "Update"))
    ]
    live = WANTED | {"metadata": {"name": "a", "namespace": "n", "managedFields": entries}}
    (planned,) = plan(keyed(WANTED), dict.fromkeys(keyed(WANTED), live), "podwright", takes_over=takes_over)
    assert planned.action == ("patch" if takes_over else "none") and planned.patch == []


def test_field_that_another_applier_applies_too_is_shared():
    tree = {"f:data": {"f:k": {}}}
    entries = [{"manager": name, "operation": "Apply", "fieldsV1": tree} for name in ("podwright", "argocd")]
    live = WANTED | {"metadata": {"name": "a", "namespace": "n", "managedFields": entries}}
    (planned,) = plan(keyed(WANTED), dict.fromkeys(keyed(WANTED), live), "podwright")
    assert planned.action == "none"


def test_replicas_are_applied_unless_the_object_is_autoscaled():
    workload = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "n"}, "spec": {"replicas": 2, "paused": True}}
    bare_account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a", "namespace": "n"}}
    desired = keyed(workload, bare_account)
    assert [c.desired for c in plan(desired, {}, "podwright")] == [bare_account, workload]
    live = {key: item | {"metadata": item["metadata"] | {"uid": "u"}} for key, (_kind, item) in desired.items()}
    assert [c.desired for c in plan(desired, live, "podwright", autoscaled=desired)] == [bare_account, workload | {"spec": {"paused": True}}]
    assert [c.desired for c in plan(desired, {}, "podwright", autoscaled=desired)] == [bare_account, workload]


def test_objects_that_kubernetes_creates_lose_only_our_fields():
    ours = [
        {"manager": "podwright", "operation": "Apply", "fieldsV1": {"f:metadata": {"f:labels": {"f:ours": {}}}}},
        {"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:metadata": {"f:labels": {"f:theirs": {}}}}},
    ]
    metadata = {"labels": {"ours": "1", "theirs": "2"}, "managedFields": ours}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "n"} | metadata}
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"} | metadata}
    other = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "other", "namespace": "n", "uid": "1"}}
    first, second, third = plan_removal(members(account, other, space), "podwright")
    assert [(c.action, c.key.name) for c in (first, second, third)] == [("patch", "default"), ("patch", "kube-system"), ("delete", "other")]
    assert first.desired["metadata"] == {"name": "default", "namespace": "n"} and second.desired["metadata"] == {"name": "kube-system"}
    assert first.after["metadata"]["labels"] == second.after["metadata"]["labels"] == {"theirs": "2"}


def test_deletions_are_in_the_reverse_order_and_what_is_being_deleted_is_not_deleted_again():
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    planned = plan_deletions(members(space, WANTED, pod))
    assert [(c.action, c.key.name, c.note) for c in planned] == [("none", "p", "it is being deleted already"), ("delete", "a", ""), ("delete", "n", "")]


def test_whatever_is_applied_precedes_every_deletion():
    """A namespace is created before its objects, and deleted after them; an object that stays is applied before anything is deleted."""
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    workload = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "n"}}
    wanted = [change("create", manifest, None, manifest) for manifest in (workload, space, WANTED)]
    unwanted = [change("delete", None, manifest, None) for manifest in (space, workload, BEFORE)]
    order = [[(c.action, c.key.kind) for c in wave] for wave in split_into_waves([*unwanted, *wanted], None)]
    kinds = ["Namespace", "ConfigMap", "Deployment"]
    assert order == [[("create", kind)] for kind in kinds] + [[("delete", kind)] for kind in reversed(kinds)]


def test_parent_of_a_set_exists_before_and_after_its_members_and_within_its_namespace():
    applyset = ApplySet("web", "n")
    manifests = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in ("n", "m")] + [applyset.parent([]), WANTED]
    for action, desired, expected in (
        ("create", True, [["n"], ["podwright-set-web"], ["m"], ["a"]]), ("delete", False, [["a"], ["m"], ["podwright-set-web"], ["n"]])
    ):  # fmt: skip
        changes = [change(action, item if desired else None, item, item) for item in reversed(manifests)]
        assert [[c.key.name for c in wave] for wave in split_into_waves(changes, applyset)] == expected


# -- manifests --------------------------------------------------------------------------------------------------


def test_state_of_the_server_is_no_part_of_a_desired_state():
    metadata = dict.fromkeys(SERVER_METADATA, "x") | {"name": "a", "labels": {"l": "1"}}
    assert clean(WANTED | {"metadata": metadata, "status": {"phase": "x"}})["metadata"] == {"name": "a", "labels": {"l": "1"}}


def test_annotations_of_the_server_are_no_difference():
    deployment = WANTED | {"apiVersion": "apps/v1", "kind": "Deployment"}
    annotated = {"metadata": {"name": "a", "annotations": {"deployment.kubernetes.io/revision": "3", "mine": "kept"}}}
    assert bare(deployment | annotated)["metadata"] == {"name": "a", "annotations": {"mine": "kept"}}
    assert bare(deployment | {"metadata": {"name": "a", "annotations": {"deployment.kubernetes.io/revision": "3"}}})["metadata"] == {"name": "a"}
    assert bare(WANTED | annotated)["metadata"] == annotated["metadata"], "it is a controller's only of a Deployment"


@pytest.mark.parametrize(
    ("api_version", "metadata", "is_shown"),
    [
        ("apps/v1", {"uid": "u", "managedFields": [{"fieldsV1": {"f:status": {}}}]}, False),
        ("example.com/v1", {"uid": "u", "managedFields": [{"fieldsV1": {"f:status": {}}, "subresource": "status"}]}, False),
        ("example.com/v1", {"uid": "u", "managedFields": [{"fieldsV1": {"f:spec": {}}}, {"fieldsV1": None}]}, False),
        ("example.com/v1", {"uid": "u", "managedFields": [{"fieldsV1": {"f:status": {}}}]}, True),
        ("example.com/v1", {}, True),
    ],
)
def test_a_status_is_a_difference_if_the_object_is_written_with_it(api_version, metadata, is_shown):
    item = {"apiVersion": api_version, "kind": "Gadget", "metadata": {"name": "a"} | metadata, "status": {"phase": "Old"}}
    assert ("status" in bare(item)) is is_shown
    assert bool(difference(item, item | {"status": {"phase": "New"}})) is is_shown


@pytest.mark.parametrize(
    ("broken", "shown"),
    [
        ({"kind": "Pod", "metadata": {"name": "web"}}, "The Pod web lacks apiVersion"),
        ({"apiVersion": "v1", "metadata": {"name": "web"}}, "The definition web lacks kind"),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {}}, "The Pod lacks metadata.name"),
        ({"apiVersion": 1, "kind": "Pod", "metadata": {"name": "web"}}, "The Pod web lacks apiVersion, or it is not a string"),
        ({}, "The definition lacks apiVersion"),
        ({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}, "definition: A Kustomization is not a manifest"),
    ],
)
def test_incomplete_manifest_is_named_by_what_it_has(broken, shown):
    with pytest.raises(PodwrightError) as caught:
        clean(broken)
    assert caught.value.message.startswith(shown)


@pytest.mark.parametrize(
    ("field", "value", "rule"), [("labels", ["a"], "must be a mapping"), ("annotations", "a", "must be a mapping"), ("namespace", 5, "must be a string")]
)
def test_metadata_of_another_type_is_named_with_its_rule(field, value, rule):
    with pytest.raises(PodwrightError, match=f"metadata.{field} {rule}"):
        clean(WANTED | {"metadata": {"name": "a", field: value}})


def test_manifest_must_be_a_mapping():
    with pytest.raises(PodwrightError, match="each manifest must be a mapping, got list"):
        clean([])


def test_string_data_of_a_secret_is_encoded_and_of_another_kind_is_not():
    text = {"stringData": {"a": "x", "b": None, "c": 1}, "data": {"a": "b2xk", "d": "b2xk"}}
    expected = {"a": "eA==", "c": "MQ==", "d": "b2xk"}
    cleaned = clean({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}} | text)
    assert cleaned["data"] == expected and "stringData" not in cleaned
    for kind in ("Gadget", "Secret"):
        other = {"apiVersion": "example.com/v1", "kind": kind, "metadata": {"name": "g"}} | text
        assert clean(other) == other


def test_predicted_list_keeps_the_items_of_others_before_the_items_that_follow_them():
    def names(items):
        return [item["name"] for item in items]

    def containers(*items):
        return [{"name": item} for item in items]

    for live, desired, expected in (
        ("abc", "abc", "abc"), ("xabyc", "abc", "xabyc"), ("xaybz", "ba", "xaybza"), ("abz", "bc", "abcz"), ("", "ab", "ab"), ("ab", "c", "cab")
    ):  # fmt: skip
        merged = names(merge({"containers": containers(*live)}, {"containers": containers(*desired)})["containers"])
        assert sorted(merged) == sorted({*live, *desired}), (live, desired, merged)
        assert [name for name in merged if name in desired] == list(desired)
        if (live, desired) != ("xaybz", "ba"):
            assert "".join(merged) == expected, (live, desired)


def test_predicted_items_are_merged_by_their_keys():
    live = {"containers": [{"name": "a", "image": "old", "tty": True}], "args": ["1", "2"]}
    assert merge(live, {"containers": [{"name": "a", "image": "new"}], "args": ["3"]}) == {
        "containers": [{"name": "a", "image": "new", "tty": True}], "args": ["3"]
    }  # fmt: skip


def test_prediction_removes_what_the_manager_no_longer_applies_and_nothing_else():
    tree = {"f:spec": {"f:containers": {'k:{"name":"b"}': {".": {}, "f:name": {}}, 'k:{"name":"d"}': {".": {}, "f:name": {}}}}, "f:data": {"f:mine": {}}}
    live = WANTED | {"data": {"mine": "1", "theirs": "2"}, "spec": {"containers": [{"name": name, "tty": True} for name in "abcd"]}}
    after = predict(live, WANTED | {"data": {}, "spec": {"containers": []}}, [tree])
    assert after["data"] == {"theirs": "2"} and live["data"] == {"mine": "1", "theirs": "2"}
    assert [item["name"] for item in after["spec"]["containers"]] == ["a", "c"]


# -- secrets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", ["\n", "\r\n"])
def test_values_to_mask_are_decoded_as_the_api_server_does(separator):
    """Of a block scalar in YAML, and wrapped."""
    encoded, binary = base64.b64encode(b"canary-of-a-block-scalar").decode(), base64.b64encode(bytes(range(240, 256))).decode()
    wrapped = [separator.join((text[:20], text[20:], "")) for text in (encoded, binary)]
    found = secret_values([{"kind": "Secret", "data": {"a": wrapped[0], "b": wrapped[1]}}])
    assert found == {"canary-of-a-block-scalar", encoded, binary, *wrapped}


def test_the_token_of_a_review_is_masked():
    reviews = [{"kind": "TokenReview", "spec": spec} for spec in ({"token": "canary-token"}, {"token": 12345}, {}, None)]
    assert secret_values(reviews) == {"canary-token"}


def test_values_to_mask_are_those_of_secrets_encoded_and_decoded():
    encoded = base64.b64encode(b"hunter2").decode()
    found = secret_values(
        [
            {
                "kind": "Secret",
                "data": {"a": encoded, "binary": "//79/A==", "none": None, "number": 12345},
                "stringData": {"b": "plain", "c": "abc", "d": "abcd"},
            },
            {"kind": "ConfigMap", "data": {"a": "not secret"}},
            "no manifest",
        ]
    )
    # Three characters would make any output unreadable; what encodes them would not.
    assert found == {"hunter2", encoded, "//79/A==", "12345", "plain", "cGxhaW4=", "YWJj", "abcd", "YWJjZA=="}


def test_secret_is_redacted_with_its_last_applied_annotation():
    annotations = {LAST_APPLIED: '{"data":{"a":"eA=="}}', "kept": "yes"}
    item = {"kind": "Secret", "metadata": {"name": "s", "annotations": annotations}, "data": {"a": "eA=="}, "stringData": {"b": "y"}, "type": "Opaque"}
    redacted = Redactor().redact(item)
    assert redacted["metadata"] == {"name": "s", "annotations": {"kept": "yes"}} and redacted["type"] == "Opaque"
    assert set(redacted["data"]) == {"a"} and redacted["data"]["a"].startswith("secret:") and redacted["stringData"]["b"].startswith("secret:")
    assert item["metadata"]["annotations"] == annotations and item["data"] == {"a": "eA=="}
    config_map = {"kind": "ConfigMap", "data": {"a": "b"}}
    assert Redactor().redact(config_map) is config_map and Redactor().redact({}) == {}


@pytest.mark.parametrize("data", [{"data": {"key": base64.b64encode(b"canary-1").decode()}}, {}], ids=["read", "metadata only"])
@pytest.mark.parametrize(
    "annotation",
    [
        '{"stringData":{"key":"canary-1"}}',
        {"stringData": {"key": "canary-1"}},
        "kind: Secret\nstringData:\n  key: canary-1\n",
        "H4sI" + base64.b64encode(b"packed").decode(),
        base64.b64encode(b'{"stringData":{"key":"canary-1"}}').decode(),
    ],
)
def test_annotation_that_may_hold_the_manifest_of_a_secret_is_redacted(annotation, data):
    item = {"kind": "Secret", "metadata": {"name": "s", "annotations": {"tool/applied": annotation, "owner": "team-a", "count": 3}}} | data
    annotations = Redactor().redact(item)["metadata"]["annotations"]
    assert annotations.pop("tool/applied").startswith("secret:") and annotations == {"owner": "team-a", "count": 3}


def test_annotation_that_contains_a_value_of_a_secret_is_redacted_also_after_the_value_changed():
    metadata, redactor = {"name": "s", "annotations": {"login": "admin:canary-1"}}, Redactor()
    states = [{"kind": "Secret", "metadata": metadata, "stringData": {"key": value}} for value in ("canary-1", "canary-2")]
    first, second = (redactor.redact(state)["metadata"]["annotations"]["login"] for state in states)
    assert first == second and first.startswith("secret:")


def test_digests_of_many_values_differ():
    """As long as that of an abbreviated commit: 12 digits."""
    redactor = Redactor()
    digests = {redactor.digest(f"value {number}") for number in range(2000)}
    assert len(digests) == 2000 and all(len(digest) == len("secret:") + 12 for digest in digests)
