# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Desired against live state without a server: what is unchanged, what is predicted, and how manifests are read."""

from __future__ import annotations

import base64
import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.quantity import parse_quantity, same_quantity
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.documents import flatten, read_documents
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.fields import is_current
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import clean, difference, predict, secret_values

KEYED = {"env": "name", "containers": "name", "volumes": "name", "volumeMounts": "mountPath"}
GADGET = ("example.com/v1", "Gadget")
DEPLOYMENT = ("apps/v1", "Deployment")


def tree_of(value, name=""):
    """The managedFields tree after an apply of the value."""
    if isinstance(value, dict) and value:
        return {f"f:{key}": tree_of(item, key) for key, item in value.items()}
    if isinstance(value, list) and value and name in KEYED:
        key = KEYED[name]
        return {f"k:{json.dumps({key: item[key]})}": {".": {}} | tree_of(item) for item in value}
    return {}


def manifest_of(kind, spec, metadata=None):
    return {"apiVersion": kind[0], "kind": kind[1], "metadata": {"name": "x"} | (metadata or {}), "spec": spec}


def applied(manifest):
    """The live object once the manifest was applied."""
    parts = {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind", "metadata")}
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "name"}
    entry = {"manager": "podwright", "operation": "Apply", "fieldsV1": tree_of(parts | ({"metadata": metadata} if metadata else {}))}
    return copy.deepcopy(manifest) | {"metadata": manifest["metadata"] | {"managedFields": [entry]}}


def pod_spec(env):
    return {"template": {"spec": {"containers": [{"name": "main", "image": "busybox", "env": env}]}}}


names = st.lists(st.integers(0, 60).map("V{}".format), min_size=1, max_size=40, unique=True)


@given(names, st.data())
def test_prediction_of_long_lists_equals_the_desired_state(before, data):
    """From any list of variables to any other: what is predicted is what is desired, however long the lists are."""
    after = data.draw(st.lists(st.sampled_from([*before, "NEW1", "NEW2"]), max_size=42, unique=True))
    live = applied(manifest_of(DEPLOYMENT, pod_spec([{"name": name, "value": "1"} for name in before])))
    desired = manifest_of(DEPLOYMENT, pod_spec([{"name": name, "value": "1"} for name in after]))
    tree = live["metadata"]["managedFields"][0]["fieldsV1"]
    predicted = predict(live, desired, [tree])
    assert predicted["spec"] == desired["spec"]
    assert (difference(live, predicted) == []) == (before == after)


@pytest.mark.parametrize("invalid", [[None], ["A=b"], [{"name": ["A"]}], [{"name": {"A": 1}}, {"name": "B"}]])
def test_lists_that_the_api_refuses_are_predicted_as_desired(invalid):
    live, desired = applied(manifest_of(DEPLOYMENT, pod_spec([{"name": "A"}]))), manifest_of(DEPLOYMENT, pod_spec(invalid))
    assert not is_current(desired, live, "podwright")
    assert predict(live, desired, [])["spec"] == desired["spec"]


@given(names, st.randoms())
def test_order_of_items_is_compared(variables, chance):
    env = [{"name": name, "value": "1"} for name in variables]
    live = applied(manifest_of(DEPLOYMENT, pod_spec(env)))
    other = chance.sample(env, len(env))
    assert is_current(manifest_of(DEPLOYMENT, pod_spec(other)), live, "podwright") == (other == env)


@pytest.mark.parametrize("left", ["", "A", "B"])
def test_items_that_the_manager_owns_and_are_not_live_are_a_change(left):
    manifest = manifest_of(DEPLOYMENT, pod_spec([{"name": name, "value": "1"} for name in "AB"]))
    live = applied(manifest)
    live["spec"] = pod_spec([{"name": name, "value": "1"} for name in left])
    assert not is_current(manifest, live, "podwright")


@pytest.mark.parametrize("wanted", ["AA", "BB", "BA", "A", "ABB", "AC"])
def test_list_with_other_items_than_the_live_one_is_a_change(wanted):
    """Also a list with an item that is there twice, which the API refuses."""
    live = applied(manifest_of(DEPLOYMENT, pod_spec([{"name": name, "value": "1"} for name in "AB"])))
    assert is_current(manifest_of(DEPLOYMENT, pod_spec([{"name": name, "value": "1"} for name in "AB"])), live, "podwright")
    assert not is_current(manifest_of(DEPLOYMENT, pod_spec([{"name": name, "value": "1"} for name in wanted])), live, "podwright")


@pytest.mark.parametrize("empty", [{}, []])
@pytest.mark.parametrize("is_live", [True, False])
def test_change_after_an_empty_value_is_found(empty, is_live):
    live = applied(manifest_of(DEPLOYMENT, {"a": empty, "replicas": 1}))
    if not is_live:
        del live["spec"]["a"]
    assert is_current(manifest_of(DEPLOYMENT, {"a": empty, "replicas": 1}), live, "podwright")
    assert not is_current(manifest_of(DEPLOYMENT, {"a": empty, "replicas": 2}), live, "podwright")


@pytest.mark.parametrize(
    ("kind", "path", "before", "after", "same"),
    [
        (DEPLOYMENT, ("resources", "limits", "cpu"), "1", "1000m", True),
        (DEPLOYMENT, ("resources", "limits", "cpu"), "1", 1, True),
        (DEPLOYMENT, ("resources", "limits", "memory"), "1Gi", "1024Mi", True),
        (DEPLOYMENT, ("resources", "limits", "memory"), "1000Ki", "1024000", False),  # which the API writes in another format
        (DEPLOYMENT, ("resources", "limits", "cpu"), "1", "+1", False),  # the API keeps the sign of a claim's request
        (DEPLOYMENT, ("resources", "limits", "cpu"), "1", "1\n", False),  # which the API refuses
        (("resource.k8s.io/v1", "ResourceSlice"), ("capacity", "memory", "value"), "1Gi", "1024Mi", True),
        (DEPLOYMENT, ("labels", "max"), "1.1", "1.10", False),
        (GADGET, ("resources", "limits", "cpu"), "1", "1000m", False),
        (GADGET, ("limits", "max"), "1.1", "1.10", False),
        (GADGET, ("on",), 1, True, False),
        (GADGET, ("on",), 1, 1.0, True),  # to the API there is one type of number
        (GADGET, ("on",), 1, "1", False),
        (("v1", "ResourceQuota"), ("hard", "requests.cpu"), "2", "2000m", True),
        (("v1", "ConfigMap"), ("hard", "requests.cpu"), "2", "2000m", False),
        (("apiextensions.k8s.io/v1", "CustomResourceDefinition"), ("resources", "limits", "cpu"), "1", "1000m", False),
    ],
)
def test_quantities_are_equal_by_value_where_the_schema_has_quantities(kind, path, before, after, same):
    def spec(value):
        for step in reversed(path):
            value = {step: value}
        return value

    assert is_current(manifest_of(kind, spec(after)), applied(manifest_of(kind, spec(before))), "podwright") == same


WEBHOOKS = ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")
POLICY = ("admissionregistration.k8s.io/v1", "MutatingAdmissionPolicy")
CLAIM = ("resource.k8s.io/v1", "ResourceClaim")
LIMITS = ("v1", "LimitRange")
RULE = {"apiGroups": ["a"], "operations": ["CREATE"]}
TOLERATION = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}


@pytest.mark.parametrize(
    ("kind", "desired", "live", "same"),
    [
        (WEBHOOKS, {"rules": [RULE]}, {"rules": [RULE | {"scope": "*"}]}, True),
        (WEBHOOKS, {"rules": [RULE]}, {"rules": [RULE | {"scope": "Namespaced"}]}, False),
        (POLICY, {"matchConstraints": {"a": 1}}, {"matchConstraints": {"a": 1, "objectSelector": {}, "matchPolicy": "Equivalent"}}, True),
        (POLICY, {"matchConstraints": {"a": 1}}, {"matchConstraints": {"a": 1, "objectSelector": {"matchLabels": {"b": "c"}}}}, False),
        (CLAIM, {"exactly": {"class": "a"}}, {"exactly": {"class": "a", "allocationMode": "ExactCount", "count": 1}}, True),
        (CLAIM, {"exactly": {"class": "a"}}, {"exactly": {"class": "a", "allocationMode": "ExactCount", "count": 2}}, False),
        (GADGET, {"rules": [RULE]}, {"rules": [RULE | {"scope": "*"}]}, False),
        (("v1", "Pod"), {"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "a"}, TOLERATION]}, True),
        (("v1", "Pod"), {"tolerations": [TOLERATION]}, {"tolerations": [TOLERATION]}, True),
        (("v1", "Pod"), {"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "a"}, TOLERATION | {"tolerationSeconds": 3}]}, False),
        (DEPLOYMENT, {"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "a"}, TOLERATION]}, False),
    ],
)
def test_defaults_within_atomic_values_are_no_change(kind, desired, live, same):
    item = manifest_of(kind, live)
    tree = {"f:spec": {f"f:{key}": {} for key in desired}}
    item["metadata"] |= {"managedFields": [{"manager": "podwright", "operation": "Apply", "fieldsV1": tree}]}
    assert is_current(manifest_of(kind, desired), item, "podwright") == same


@pytest.mark.parametrize(
    ("desired", "live"),
    [
        ({"max": {"cpu": "2000m"}}, {"max": {"cpu": "2"}, "default": {"cpu": "2"}, "defaultRequest": {"cpu": "2"}}),
        (
            {"default": {"cpu": 1}, "min": {"memory": "1Mi"}},
            {"default": {"cpu": "1"}, "defaultRequest": {"cpu": "1", "memory": "1Mi"}, "min": {"memory": "1Mi"}},
        ),
        ({"max": {"cpu": 2}, "default": {"cpu": 1}}, {"max": {"cpu": "2"}, "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1"}}),
    ],
)
def test_defaults_of_a_limit_range_are_those_of_the_api_server(desired, live):
    def limits(item, name="Container"):
        return manifest_of(LIMITS, {"limits": [{"type": name} | item]})

    assert is_current(limits(desired), applied(limits(live)), "podwright")
    assert not is_current(limits(desired | {"default": {"cpu": 3}}), applied(limits(live)), "podwright")
    assert not is_current(limits(desired, "Pod"), applied(limits(live, "Pod")), "podwright")
    assert not is_current(limits({"max": "cpu"}), applied(limits(live)), "podwright")


@pytest.mark.parametrize(
    ("field", "value", "same"),
    [
        ("paused", False, True),
        ("paused", 0, False),
        ("minReadySeconds", 0, True),
        ("minReadySeconds", False, False),
        ("suspend", False, False),
        ("paused", [], False),
    ]
    + [("text", "", True), ("list", [], True), ("map", {}, True), ("text", "x", False)],
)
def test_omitted_empty_value_has_the_type_of_its_field(field, value, same):
    """The API server omits some fields that are false, 0 or empty, and refuses 0 in place of false."""
    live = applied(manifest_of(DEPLOYMENT, {field: value, "replicas": 1}))
    del live["spec"][field]
    assert is_current(manifest_of(DEPLOYMENT, {field: value, "replicas": 1}), live, "podwright") == same


def test_empty_labels_are_no_change_of_the_labels_of_others():
    desired = manifest_of(DEPLOYMENT, {"replicas": 1}, {"labels": {}, "finalizers": []})
    live = applied(manifest_of(DEPLOYMENT, {"replicas": 1}, {"labels": {}}))
    live["metadata"] |= {"labels": {"theirs": "1"}, "finalizers": ["example.com/theirs"]}
    assert is_current(desired, live, "podwright")
    live["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"]["f:labels"] = {"f:ours": {}}
    assert not is_current(desired, live, "podwright")


def test_object_of_which_nothing_is_applied_but_its_name_is_unchanged():
    bare = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}
    live = bare | {"metadata": {"name": "x", "labels": {"theirs": "1"}}, "spec": {"finalizers": ["kubernetes"]}}
    assert is_current(bare, live, "podwright")
    assert not is_current(bare | {"metadata": {"name": "x", "labels": {"theirs": "1"}}}, live, "podwright")
    assert not is_current(bare, applied(live), "podwright")


@pytest.mark.parametrize(
    ("written", "same"),
    [("aGVsbG8=", True), ("aGVs\r\nbG8=\n", True), ("aGVsbG9=", True), ("aGVsbG8", False), ("aGVsbG8==", False), ("aGVsbG 8=", False), ("aGVsbG8h", False)]
    + [("aGVsbG8=====", False), (1, False), ("é", False)],
)
def test_bytes_of_a_secret_are_equal_in_any_notation(written, same):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}
    assert is_current(secret | {"data": {"a": written}}, applied(secret | {"data": {"a": "aGVsbG8="}}), "podwright") == same
    config_map = secret | {"kind": "ConfigMap"}
    assert is_current(config_map | {"data": {"a": written}}, applied(config_map | {"data": {"a": "aGVsbG8="}}), "podwright") == (written == "aGVsbG8=")


def test_spec_of_a_signing_request_never_changes():
    request = ("certificates.k8s.io/v1", "CertificateSigningRequest")
    live = applied(manifest_of(request, {}, {"labels": {"a": "b"}})) | {"spec": {"request": "aGVsbG8=", "usages": ["a"], "seconds": 1, "username": "me"}}
    del live["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]

    def is_same(spec):
        return is_current(manifest_of(request, spec, {"labels": {"a": "b"}}), live, "podwright")

    bare = manifest_of(request, {"usages": ["a"]})
    assert is_current(bare, bare, "podwright")  # without labels the manager owns nothing
    assert is_same({"request": "aGVs\nbG8=", "usages": ["b", "c"], "seconds": 1}) and is_same({"username": "you"})
    assert not is_same({"usages": "a"}) and not is_same({"username": ["you"]})
    assert not is_same({"request": "invalid"}) and not is_same({"usages": [1]}) and not is_same({"seconds": "1"}) and not is_same({"other": 1})


@pytest.mark.parametrize(
    ("desired", "same"),
    [
        ([{"number": 80}, {"number": 53, "protocol": "UDP"}], True),
        ([{"number": 80}, {"number": 53}], False),  # whose protocol was given and is not any more
        ([{"number": 80, "protocol": "TCP"}, {"number": 53, "protocol": "UDP"}], False),  # which owns the protocol from then on
        ([{"number": 81}, {"number": 53, "protocol": "UDP"}], False),
    ],
)
def test_default_of_a_merge_key_is_known_from_its_ownership(desired, same):
    live = manifest_of(GADGET, {"ports": [{"number": 80, "protocol": "TCP"}, {"number": 53, "protocol": "UDP"}]})
    items = {'k:{"number":80,"protocol":"TCP"}': {".": {}, "f:number": {}}}
    items |= {'k:{"number":53,"protocol":"UDP"}': {".": {}, "f:number": {}, "f:protocol": {}}}
    live["metadata"] |= {"managedFields": [{"manager": "podwright", "operation": "Apply", "fieldsV1": {"f:spec": {"f:ports": items}}}]}
    assert is_current(manifest_of(GADGET, {"ports": desired}), live, "podwright") == same


@pytest.mark.parametrize(("before", "after"), [(True, 1), (0, False), ([{"a": 1}], [{"a": True}])])
def test_a_change_of_type_is_a_difference(before, after):
    assert difference(manifest_of(GADGET, {"on": before}), manifest_of(GADGET, {"on": after}))
    assert not difference(manifest_of(GADGET, {"on": before}), manifest_of(GADGET, {"on": before}))


def test_whole_numbers_are_integers_as_in_the_responses_of_the_server():
    cleaned = clean(manifest_of(GADGET, {"ratio": 0.5, "sizes": [1e3]}))
    assert difference(manifest_of(GADGET, {"ratio": 0.5, "sizes": [1000]}), cleaned) == [] and isinstance(cleaned["spec"]["sizes"][0], int)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"version": 1.0}}
    assert clean(secret)["data"] == {"version": "MS4w"}


def test_null_differs_from_absence_in_custom_resources_only():
    assert clean(manifest_of(GADGET, {"interval": None}))["spec"] == {"interval": None}
    assert clean(manifest_of(DEPLOYMENT, {"replicas": None}))["spec"] == {}
    live = applied(manifest_of(GADGET, {"interval": None}))
    assert is_current(manifest_of(GADGET, {"interval": None}), live, "podwright")
    assert not is_current(manifest_of(GADGET, {}), live, "podwright")


@pytest.mark.parametrize("text", ["1e10000000", "²", "١", "1e", "0x1", "", "1 Gi", "1ki"])
def test_invalid_quantity_equals_no_quantity(text):
    with pytest.raises(ValueError, match="is not a quantity"):
        parse_quantity(text)
    assert not same_quantity(text, "1")


@pytest.mark.parametrize(
    ("text", "documents"),
    [
        ("a: 2020-03-25T13:37:11Z\nb: 2024-05-01\nc: 22:22\nd: =", [{"a": "2020-03-25T13:37:11Z", "b": "2024-05-01", "c": "22:22", "d": "="}]),
        ("9000: a\non: b\n1.5: c\nnull: d\nyes: e", [{"9000": "a", "true": "e", "1.5": "c", "null": "d"}]),
        ("mode: 0644\nother: 0o644\nhex: 0x1F\nnumber: 1_000\ntext: 1e3x", [{"mode": 420, "other": 420, "hex": 31, "number": 1000, "text": "1e3x"}]),
        ("\ufeff---\n---\n# only a comment\n---\na: |\n  first\n  ---\n---\n\ufeffb: 1\n---\n", [None, None, {"a": "first\n---\n"}, {"b": 1}, None]),
        ("a: 1\r\nb: |\r\n  one\r\n  two\r\n", [{"a": 1, "b": "one\ntwo\n"}]),
        ('{\t"a":\t1}', [{"a": 1}]),
        ("", []),
    ],
)
def test_text_is_parsed_as_kubectl_parses_it(text, documents):
    assert read_documents(text, "src") == documents


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "a: !!python/object:os.system {}", "\x00", "a: *unknown", "[" * 2000])
def test_invalid_text_raises_a_podwright_error(text):
    with pytest.raises(PodwrightError, match="YAML of src x"):
        read_documents(text, "src x.yml")


@pytest.mark.parametrize(
    "text",
    [
        "- " * 300 + "a",
        "{\t" + '"a": {' * 250 + "}" * 250 + "}",
        "a: &a [" + "x, " * 9 + "x]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{f'*{chr(97 + n)}, ' * 10}]\n" for n in range(9)),
        "a: &a [*a]",
        "a: 0x" + "f" * 5000,
        "a: " + "9" * 5000,
        '{"a": 1e999}{}',
        '{"a": NaN}{}',
        '{"a":\t"\\ud800"}',
        'a: "\\uD800"',
    ],
)
def test_text_that_no_object_has_is_rejected_in_time(text):
    with pytest.raises(PodwrightError, match=r"definition|YAML of src"):
        read_documents(text, "src")


def test_merges_of_merges_add_each_key_once():
    levels = "".join(f"- &l{n + 1}\n  <<: [{', '.join([f'*l{n}'] * 10)}]\n  k{n}: '{n}'\n" for n in range(30))
    (documents,) = read_documents(f"- &l0 {{k: first, k0: other}}\n{levels}", "src")
    assert documents[-1] == {"k": "first"} | {f"k{n}": str(n) for n in range(30)}
    assert read_documents("a: {<<: {x: 1, y: 1}, x: 2}\nb: {x: 2, <<: {x: 1}}\nc: {<<: [{x: 1}, {x: 2}]}", "src") == [
        {"a": {"x": 2, "y": 1}, "b": {"x": 2}, "c": {"x": 1}}
    ]


@pytest.mark.parametrize("empty", ["", None])
def test_empty_namespace_is_none(empty):
    assert clean(manifest_of(GADGET, {}, {"namespace": empty}))["metadata"] == {"name": "x"}


@pytest.mark.parametrize("metadata", [{"namespace": 1}, {"labels": ["a"]}, {"labels": "a"}, {"annotations": [1]}, {"namespace": {"a": 1}}])
def test_metadata_of_another_type_is_named(metadata):
    with pytest.raises(PodwrightError, match=rf"Gadget 'x': metadata.{next(iter(metadata))} must be"):
        clean(manifest_of(GADGET, {}, metadata))


def test_texts_of_a_secret_are_spelled_as_json():
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "odd"}}
    texts = {"yes": True, "list": [1, None], "map": {"auths": {"r": "a"}, "insecure": None}, "text": "a", "number": 1.5, "null": None}
    data = clean(secret | {"data": {"yes": "eA==", "kept": "eA=="}, "stringData": texts})["data"]
    assert {name: base64.b64decode(value).decode() for name, value in data.items()} == {
        "yes": "true", "list": "[1, null]", "map": '{"auths": {"r": "a"}, "insecure": null}', "text": "a", "number": "1.5", "kept": "x"
    }  # fmt: skip
    assert '{"auths": {"r": "a"}, "insecure": null}' in secret_values([secret | {"stringData": texts}])
    for invalid in ({"stringData": ["a"]}, {"stringData": "a"}, {"stringData": {}, "data": "a"}):
        with pytest.raises(PodwrightError, match=r"Secret odd: .* must be a mapping"):
            clean(secret | invalid)


@pytest.mark.parametrize("value", [{"password": "hunter2hunter"}, ["hunter2hunter"], 1.5, 12345, True])
def test_data_of_a_secret_other_than_strings_is_refused_without_its_value(value):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "odd"}, "data": {"config.json": value}}
    with pytest.raises(PodwrightError, match=r"Secret odd: data.config.json must be a string in base64, got \w+") as caught:
        clean(secret)
    assert "stringData" in caught.value.hint and "hunter" not in f"{caught.value.message} {caught.value.hint}"
    with pytest.raises(PodwrightError, match="Secret odd: data must be a mapping"):
        clean(secret | {"data": [value]})


@pytest.mark.parametrize("field", ["data", "stringData"])
@pytest.mark.parametrize("value", [{"a": {"b": ["hunter2hunter"]}}, ["hunter2hunter"], "hunter2hunter", {"a": ["hunter2hunter", 1.5, None, True]}])
def test_values_of_a_malformed_secret_are_masked(field, value):
    secret = {"kind": "Secret", field: value}
    assert "hunter2hunter" in secret_values([secret])
    assert "hunter2hunter" in secret_values([{"kind": "SecretList", "items": {"a": secret}}]) & secret_values([{"kind": "SecretList", "items": [secret]}])
    assert "hunter2hunter" in secret_values([{"kind": "Secret", "metadata": {"annotations": {"a": [value]}}}])


@pytest.mark.parametrize("text", ["a: .nan", "a: -.inf", "a: !!binary aGVsbG8=", "? !!set {a}\n: 1", "a: !!set {b}"])
def test_value_that_json_lacks_is_rejected(text):
    with pytest.raises(PodwrightError):
        read_documents(text, "src")


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_rejected(text):
    try:
        json.dumps(read_documents(text, "src"))
    except PodwrightError:
        pass


def test_items_of_lists_become_manifests():
    roles = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleList", "items": [{"metadata": {"name": "a"}}]}
    nested = {"apiVersion": "v1", "kind": "List", "items": [roles, {"kind": "List", "items": None}, {"apiVersion": "v1", "kind": "Pod"}]}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "a"}}
    assert flatten([None, nested]) == [role, {"apiVersion": "v1", "kind": "Pod"}]
    allow_list = {"apiVersion": "example.com/v1", "kind": "AllowList", "spec": {"items": [1]}}
    assert flatten([allow_list]) == [allow_list]
