# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""resource_set with objects that options describe: by kind and name, patches, selections, generated names, hashes, preconditions."""

from __future__ import annotations

import copy
import json

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.selectors import matches
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, attempt, perform
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.resource_set import OPERATION
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.sets import ID
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.sources import read_manifests, with_names

from .fake_cluster import FakeCluster


class Cluster(FakeCluster):
    """A cluster that merges JSON merge patches and records the types of patches."""

    def __init__(self, tmp_path):
        super().__init__(tmp_path)
        self.patches, self.unsupported = [], ()

    def add(self, kind, name, namespace="n", **fields):
        metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": "7"} | fields.pop("metadata", {})
        self.objects[kind, namespace, name] = {"apiVersion": "v1", "kind": kind, "metadata": metadata, **fields}

    def patch(self, kind, namespace, name, patch, manager, content_type=JSON_PATCH, subresource=None, dry_run=False):
        self.patches.append((content_type, dry_run))
        if content_type in self.unsupported:
            raise PodwrightError("the body of the request was in an unknown format", status=415, reason="UnsupportedMediaType")
        before = self.objects[kind.name, namespace, name]
        after = copy.deepcopy(before)
        for part in ("data", "spec", "status"):
            if isinstance(patch, dict) and part in patch:
                after[part] = {key: value for key, value in (after.get(part, {}) | patch[part]).items() if value is not None}
        for entry in patch if isinstance(patch, list) else ():
            after["data"] = after.get("data", {}) | {entry["path"].rpartition("/")[2]: entry["value"]}
        if not dry_run:
            self._write("patch", kind, namespace, name, lambda key: self.objects.__setitem__(key, after))
        return after


@pytest.fixture
def cluster(tmp_path):
    return Cluster(tmp_path)


def options(**given):
    params = {name: spec.get("default") for name, spec in OPERATION.arguments.items()}
    return params | {"namespace": "n", "wait": False} | given


def run(cluster, check_mode=False, console=None, **given):
    invocation = Invocation(options(**given), check_mode, False, console or Console(), cluster)
    return attempt(OPERATION, invocation)


def done(cluster, **given):
    fields, error = run(cluster, **given)
    assert error is None, error
    return fields


# -- kind and name --------------------------------------------------------------------------------------------


def test_kind_and_name_describe_an_object_without_a_definition(cluster):
    fields = done(cluster, kind="namespace", name="shop")
    assert (fields["result"]["kind"], fields["result"]["metadata"]["name"]) == ("Namespace", "shop")
    fields = done(cluster, kind="ns", name="shop", state="absent")
    assert cluster.objects == {} and fields["result"] == {}


@pytest.mark.parametrize("given", [{}, {"definition": {}}, {"adopt": False, "conflicts": "fail"}])
def test_an_object_that_exists_is_left_as_it_is_if_there_is_no_manifest(given, cluster):
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"l": "kept"}}, "data": {"k": "kept"}}
    done(cluster, definition=manifest)
    writes = list(cluster.writes)
    for check_mode in (True, False):
        fields, error = run(cluster, check_mode, kind="ConfigMap", name="a", **given)
        assert error is None and not fields["changed"] and [(entry["action"], entry["patch"]) for entry in fields["plan"]] == [("none", [])]
        assert (fields["result"]["data"], fields["result"]["metadata"]["labels"]) == ({"k": "kept"}, {"l": "kept"}) and cluster.writes == writes
    done(cluster, kind="ConfigMap", name="a", definition={"metadata": {}})
    assert cluster.writes != writes  # a manifest is applied, even one without fields


def test_kind_api_version_and_name_complete_manifests_and_do_not_replace_what_is_there(cluster):
    fields = done(cluster, kind="ConfigMap", api_version="v1", name="one", definition=[{"data": {"a": "b"}}, {"metadata": {"name": "two"}}])
    assert [item["metadata"]["name"] for item in fields["resources"]] == ["one", "two"] and fields["resources"][0]["data"] == {"a": "b"}
    fields = done(cluster, kind="ConfigMap", name="one", definition={"apiVersion": "apps/v1", "kind": "Deployment", "spec": {}})
    assert (fields["result"]["kind"], fields["result"]["metadata"]["name"]) == ("Deployment", "one")


def test_definitions_of_one_object_are_one_if_they_are_equal(cluster):
    one = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
    same = one | {"metadata": {"name": "a", "namespace": "n", "uid": "u"}}
    fields = done(cluster, definition=[one, same, copy.deepcopy(one)])
    assert [entry["action"] for entry in fields["plan"]] == ["create"] and fields["result"]["data"] == {"k": "v"}
    for other in ({"data": {"k": "w"}}, {"immutable": True}):
        _fields, error = run(cluster, definition=[one | {"immutable": 1}, one | other])
        assert error.message == "Two different definitions describe ConfigMap 'a' in namespace 'n'." and error.reason == "BadManifest"


@pytest.mark.parametrize("state", ["present", "patched"])
def test_a_digest_in_place_of_the_value_of_a_secret_is_refused(cluster, state):
    """As whoever copies a Secret by pod_info meets it."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"user": "dTE=", "pass": "dTE="}}
    fields = done(cluster, definition=secret)  # with the digests of pod_info
    _fields, error = run(cluster, definition=fields["resources"][0], state=state)
    assert error.message.startswith(("Secret a: data.user is a digest", "Secret a: data.pass is a digest")) and "secret_values: true" in error.hint
    assert done(cluster, definition=fields["resources"], state="absent")["changed"]
    # Other kinds and texts may have such values.
    assert not run(cluster, definition={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "secret:0123456789ab"}})[1]
    assert not run(cluster, definition=secret | {"data": {}, "stringData": {"a": "secret:0123456789ab"}})[1]


@pytest.mark.parametrize("state", ["present", "absent", "patched"])
def test_an_unknown_kind_without_an_api_version_is_reported_as_such(cluster, state):
    _fields, error = run(cluster, kind="ConfgMap", name="a", state=state, definition={"data": {}})
    assert error.reason == "UnknownKind" and error.message.startswith("Kind 'ConfgMap' not found in any API group")


def test_name_without_kind_is_the_name_of_the_set(cluster):
    for given in ({"name": "web"}, {"set": "web"}, {"set": "web", "kind": "ConfigMap", "name": "c"}):
        cluster.objects.clear()
        done(cluster, definition={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}, **given)
        assert sorted(name for _kind, _namespace, name in cluster.objects) == ["c", "podwright-set-web"], given


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "web-", "definition": {}}, "name: must be the name of a set: at most 239 lower-case letters"),
        ({"set": "Web", "definition": {}}, "set: must be the name of a set: at most 239"),
        ({"set": "a..b", "definition": {}}, "set: must be the name of a set: at most 239"),
        ({"set": "a" * 240, "definition": {}}, "set: must be the name of a set: at most 239"),
        ({"kind": "Pod", "name": "a", "adopt": False, "state": "patched"}, "adopt: must not be false with state patched"),
        ({"set": "a", "name": "b"}, "name: must not be set with set unless kind is"),
        ({"kind": "Pod", "name": "a", "prune": True}, "prune: must not be true without set"),
        ({"set": "a", "prune": True}, "No objects are defined."),
        ({"set": "a", "src": "", "prune": True}, "No objects are defined."),
        ({"set": "a", "definition": "", "prune": True}, "No objects are defined, and prune would delete all members of set 'a'."),
        ({"set": "a", "definition": ["---\n# nothing\n", None], "prune": True}, "No objects are defined, and prune would delete all members"),
        ({"set": "a", "definition": "kind: List\nitems: []\n", "prune": True}, "No objects are defined, and prune would delete all members"),
        ({"set": "a", "definition": {"kind": "ConfigMapList", "items": None}, "prune": True}, "No objects are defined, and prune would delete all"),
        ({"kind": "Pod", "name": "a", "delete_all": True, "state": "absent"}, "delete_all: must not be true with name"),
        ({"kind": "Pod", "name": "a", "label_selectors": ["a"], "state": "absent"}, "label_selectors: must not be set with name without a definition"),
        ({"kind": "Pod", "name": "a", "label_selectors": ["a"]}, "label_selectors: must not be set with name without a definition"),
        ({"kind": "Pod", "name": "", "label_selectors": ["a"], "state": "absent"}, "name: must not be empty"),
        ({"kind": "Pod", "name": "", "delete_all": True, "state": "absent"}, "name: must not be empty"),
        ({"kind": "Pod", "name": "", "label_selectors": ["a"], "state": "patched", "definition": None}, "name: must not be empty"),
        ({"kind": "Pod", "delete_all": True}, "delete_all: must not be true unless state is absent"),
        ({"definition": {}, "delete_all": True, "state": "absent"}, "delete_all: must not be set without kind"),
        ({"kind": "Pod", "name": "a", "generate_name": "b"}, "generate_name: must not be set with name"),
        ({"kind": "Pod", "generate_name": "b", "state": "absent"}, "generate_name: must not be set unless state is present"),
        ({"set": "a", "kind": "Pod", "generate_name": "b"}, "generate_name: must not be set with the name of a set"),
        ({"set": "a", "definition": {}, "state": "patched"}, "state: must not be patched with the name of a set"),
        ({"set": "a", "definition": {}, "label_selectors": ["a"]}, "label_selectors: must not be set with the name of a set"),
        ({"kind": "Pod", "name": "a", "label_selectors": ["a"], "state": "patched"}, "label_selectors: must not be set with name"),
        ({"kind": "Pod", "name": "a", "patch": []}, "patch: must not be set unless state is patched"),
        ({"kind": "Pod", "name": "a", "merge_type": ["merge"]}, "merge_type: must not be set unless state is patched"),
        ({"kind": "Pod", "name": "a", "patch": [], "state": "patched", "ignored_fields": ["data"]}, "ignored_fields: must not be set with patch"),
        ({"kind": "Pod", "patch": [{}], "state": "patched"}, "patch: requires the name of an object"),
        ({"kind": "Pod", "name": "a", "patch": [{"op": "put"}], "state": "patched"}, "patch[0].op: must be one of add, replace, test, move, copy, remove"),
        ({"kind": "Pod", "name": "a", "patch": [{"op": "add", "path": "a"}], "state": "patched"}, "patch[0].path: must be a JSON pointer"),
        ({"kind": "Pod", "name": "a", "patch": [{"op": "add", "path": "/a"}], "state": "patched"}, "patch[0].value: must be set for add"),
        ({"kind": "Pod", "name": "a", "patch": [{"op": "move", "path": "/a"}], "state": "patched"}, "patch[0].from: must be a JSON pointer"),
        ({"kind": "Pod", "name": "a", "wait_condition": {"type": "Ready"}}, "wait_condition: must not be set with wait: false"),
        ({"kind": "Pod", "state": "absent", "delete_all": True, "delete_options": {"preconditions": {"uid": "u"}}}, "delete_options.preconditions: must not"),
        ({"kind": "Pod"}, "No objects are defined."),
        ({"kind": "Pod", "state": "absent"}, "No objects are defined."),
        ({"kind": "Pod", "name": "a", "hidden_fields": ["["]}, "hidden_fields[0]: must be the path of a field"),
    ],
)
def test_options_that_exclude_each_other_are_refused_before_any_request(given, message):
    _fields, error = run(None, **given)
    assert error is not None and error.message.startswith(message)


@pytest.mark.parametrize("empty", [[], "[]\n---\n# nothing\n", [[]]])
def test_an_empty_list_empties_a_set(empty, cluster):
    done(cluster, set="web", definition={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}})
    done(cluster, set="web", prune=True, definition=empty)
    assert [name for kind, _namespace, name in cluster.objects if kind == "ConfigMap" and name == "c"] == []


# -- patches --------------------------------------------------------------------------------------------------


def test_a_patch_keeps_the_fields_that_it_does_not_name(cluster):
    cluster.add("ConfigMap", "c", data={"a": "1", "b": "2"})
    patch = {"kind": "ConfigMap", "name": "c", "state": "patched", "definition": {"data": {"b": "3", "a": None}}}
    predicted, error = run(cluster, check_mode=True, **patch)
    assert error is None and cluster.writes == [] and predicted["changed"]
    fields = done(cluster, **patch)
    assert fields["plan"] == predicted["plan"] and fields["result"]["data"] == {"b": "3"}
    assert sorted((entry["op"], entry["path"]) for entry in fields["plan"][0]["patch"]) == [("remove", "/data/a"), ("replace", "/data/b")]
    again = done(cluster, **patch)
    assert not again["changed"] and again["plan"][0]["action"] == "none"
    assert {content_type for content_type, _dry_run in cluster.patches} == {STRATEGIC_PATCH}


@pytest.mark.parametrize("merge_type", ["strategic-merge", "merge"])
def test_patches_of_one_object_are_sent_in_the_order_of_their_documents(cluster, merge_type):
    """Each is planned on what the one before has made of the object, also in check mode."""
    cluster.add("ConfigMap", "c", data={"a": "0"})
    named = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    manifests = [named | {"data": {"a": str(number)} | ({"b": "x"} if number == 2 else {})} for number in (1, 2, 3, 0)]
    given = {"state": "patched", "definition": manifests, "merge_type": [merge_type], "concurrency": 4}
    predicted, error = run(cluster, check_mode=True, **given)
    assert error is None and cluster.writes == []
    fields = done(cluster, **given)
    assert fields["plan"] == predicted["plan"] and cluster.objects["ConfigMap", "n", "c"]["data"] == {"a": "0", "b": "x"}
    patches = [{entry["path"]: entry["value"] for entry in entry["patch"]} for entry in fields["plan"]]
    assert patches == [{"/data/a": "1"}, {"/data/a": "2", "/data/b": "x"}, {"/data/a": "3"}, {"/data/a": "0"}]


def test_a_condition_to_wait_for_has_no_effect_on_deletions(cluster):
    console = Console()
    condition = {"type": "Ready", "status": "True", "reason": None}
    run(cluster, console=console, kind="ConfigMap", name="c", state="absent", wait=True, wait_condition=condition)
    assert console.warnings == ["wait_condition has no effect with state absent, which waits until the objects are deleted."]


def test_a_patch_of_an_object_that_is_being_deleted_does_not_wait_until_it_is_ready(cluster):
    """It is what the hint of a deletion says that finalizers block; the object is deleted at once."""
    cluster.add("ConfigMap", "c", data={"a": "1"}, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x/y"]})
    patch = cluster.patch

    def patch_and_delete(kind, namespace, name, *rest, **options):
        after = patch(kind, namespace, name, *rest, **options)
        del cluster.objects[kind.name, namespace, name]
        return after

    cluster.patch = patch_and_delete
    fields = done(cluster, kind="ConfigMap", name="c", state="patched", definition={"data": {"a": "2"}}, wait=True, wait_timeout=1)
    assert fields["changed"] and cluster.objects == {}


def test_a_json_patch_is_sent_as_it_is(cluster):
    cluster.add("ConfigMap", "c", data={"a": "1"})
    fields = done(cluster, kind="cm", name="c", state="patched", patch=[{"op": "add", "path": "/data/b", "value": "2"}])
    assert fields["result"]["data"] == {"a": "1", "b": "2"} and cluster.patches == [(JSON_PATCH, False)]


def test_the_next_type_is_tried_if_the_server_does_not_support_one(cluster):
    cluster.add("ConfigMap", "c", data={})
    cluster.unsupported = (STRATEGIC_PATCH,)
    definition = {"data": {"a": "1"}}
    done(cluster, kind="ConfigMap", name="c", state="patched", definition=definition, merge_type=["strategic-merge", "merge"])
    assert [content_type for content_type, _dry_run in cluster.patches] == [STRATEGIC_PATCH, MERGE_PATCH]
    _fields, error = run(cluster, kind="ConfigMap", name="c", state="patched", definition=definition)
    assert error.status == 415


def test_an_object_that_does_not_exist_is_not_created_by_a_patch(cluster):
    console = Console()
    fields, error = run(cluster, console=console, kind="ConfigMap", name="c", state="patched", definition={"data": {"a": "1"}})
    assert error is None and not fields["changed"] and fields["plan"][0]["note"] == "it does not exist" and cluster.objects == {}
    assert console.warnings == ["ConfigMap 'c' in namespace 'n' does not exist, and a patch does not create it."]


@pytest.mark.parametrize("definition", [{"kind": 5}, {"apiVersion": [1]}, {"metadata": "a"}])
def test_a_patch_of_selected_objects_must_be_a_manifest(cluster, definition):
    cluster.add("ConfigMap", "c", labels={"app": "web"})
    _fields, error = run(cluster, kind="ConfigMap", label_selectors=["app=web"], state="patched", definition=definition)
    assert error.reason == "BadManifest" and cluster.patches == []


def test_a_patch_whose_selectors_match_nothing_says_so(cluster):
    console = Console()
    given = {"kind": "ConfigMap", "label_selectors": ["app=wbe"], "state": "patched", "definition": {"data": {"a": "1"}}}
    fields, error = run(cluster, console=console, **given)
    assert error is None and not fields["changed"] and console.warnings == ["Nothing is patched: label_selectors match no object."]


def test_values_that_a_patch_sets_in_a_secret_are_not_shown():
    canary = "canary-in-a-patch"
    patch = [{"op": "replace", "path": "/stringData", "value": {"password": canary}}, {"op": "add", "path": "/stringData/other", "value": canary + "-2"}]
    params = options(kind="Secret", name="s", state="patched", patch=patch, kubeconfig="/nonexistent-" + canary)
    result = perform(OPERATION, params, False, False, Console())
    assert result["failed"] and canary not in json.dumps(result)
    assert result["invocation"]["module_args"]["patch"] == [{"op": "replace", "path": "/stringData"}, {"op": "add", "path": "/stringData/other"}]


@pytest.mark.parametrize("exists", [True, False])
def test_a_partial_manifest_is_refused_with_what_to_do_instead(cluster, exists):
    """Of an object that exists: what is missing in that of a new one cannot be patched into it."""
    if exists:
        cluster.add("ConfigMap", "c")

    def refuse(*_arguments, **_options):
        raise PodwrightError("ConfigMap is invalid: spec.selector: Required value", status=422, reason="Invalid")

    cluster.apply = cluster.create = refuse
    _fields, error = run(cluster, kind="ConfigMap", name="c", definition={"data": {"a": "1"}})
    assert error.status == 422 and ("set state to patched" in error.hint) is exists


# -- selections -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        *[(text, True) for text in ("app=web", "app==web", "app != api", "tier in (a, b)", "app", "!old", "gone!=x", "app=web,tier in (a,b)")],
        *[(text, False) for text in ("app=api", "app!=web", "tier notin (a,b)", "tier in (x)", "old", "!app", "app=web,old", "empty", "app=")],
    ],
)
def test_selectors_match_as_the_api_server_defines_them(selector, expected):
    assert matches(selector, {"app": "web", "tier": "a"}) is expected


@pytest.mark.parametrize("selector", ["a b", "a=b=c d", "!", "a in b", "(a)"])
def test_invalid_selectors_are_refused(selector):
    with pytest.raises(PodwrightError, match="label_selectors: must be label selectors"):
        matches(selector, {"a": "b"})


def test_only_manifests_with_matching_labels_are_applied(cluster):
    manifests = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"tier": name}}} for name in ("a", "b")]
    fields = done(cluster, definition=[*manifests, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}], label_selectors=["tier!=a", "tier"])
    assert [entry["name"] for entry in fields["plan"]] == ["b"]


def test_all_or_the_selected_objects_of_a_kind_in_the_namespace_are_deleted(cluster):
    for name in ("a", "b", "c"):
        cluster.add("ConfigMap", name, metadata={"labels": {"app": name}})
    cluster.add("ConfigMap", "other", "elsewhere")
    fields = done(cluster, kind="ConfigMap", state="absent", label_selectors=["app=a"])
    assert [(entry["action"], entry["name"]) for entry in fields["plan"]] == [("delete", "a")]
    fields = done(cluster, kind="configmaps", state="absent", delete_all=True)
    assert [entry["name"] for entry in fields["plan"]] == ["b", "c"] and list(cluster.objects) == [("ConfigMap", "elsewhere", "other")]
    assert not done(cluster, kind="ConfigMap", state="absent", delete_all=True)["changed"]
    cluster.add("ConfigMap", "kube-root-ca.crt")
    assert not done(cluster, kind="ConfigMap", state="absent", delete_all=True)["changed"], "Kubernetes would create it again"
    done(cluster, set="web", definition={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "member"}})
    record = ("ConfigMap", "n", "podwright-set-web")
    assert done(cluster, kind="ConfigMap", state="absent", delete_all=True)["changed"] and record in cluster.objects
    assert not done(cluster, kind="ConfigMap", state="absent", label_selectors=["app!=web"])["changed"], "without it, no member could be found"
    assert done(cluster, kind="ConfigMap", state="absent", label_selectors=[ID])["changed"] and record not in cluster.objects
    for namespace in ("default", "n"):
        cluster.add("Service", "kubernetes", namespace)
        cluster.add("EndpointSlice", "kubernetes", namespace)
        for kind in ("Service", "EndpointSlice"):
            fields = done(cluster, kind=kind, namespace=namespace, state="absent", delete_all=True)
            assert [entry["name"] for entry in fields["plan"]] == ([] if namespace == "default" else ["kubernetes"])


def test_the_operation_of_a_patch_that_fails_is_named(cluster, monkeypatch):
    """The API server reports "the server rejected our request due to an error in our request"."""

    def refuse(*arguments, **options):
        raise PodwrightError("rejected (422 Invalid)", status=422, reason="Invalid")

    cluster.add("ConfigMap", "c", data={"a": "1"})
    monkeypatch.setattr(cluster, "patch", refuse)
    for entry in ({"op": "test", "path": "/data/a", "value": "2"}, {"op": "remove", "path": "/data/b"}, {"op": "add", "path": "/none/b", "value": "x"}):
        patch = [{"op": "replace", "path": "/data/a", "value": "1"}, entry]
        _fields, error = run(cluster, kind="cm", name="c", state="patched", patch=patch)
        assert error.message == f"rejected (422 Invalid). patch[1] ({entry['op']} {entry['path']}) fails" and error.hint.startswith("Correct the path")
    _fields, error = run(cluster, kind="cm", name="c", state="patched", patch=patch[:1])
    assert error.message == "rejected (422 Invalid)"


@pytest.mark.parametrize(
    "change",
    [
        {"definition": {"data": {"seen": "yes"}}},
        {"definition": "data: {seen: 'yes'}"},
        {"patch": [{"op": "add", "path": "/data/seen", "value": "yes"}]},
    ],
)
def test_the_selected_objects_of_a_kind_in_the_namespace_are_patched(change, cluster):
    for name in ("a", "b", "c"):
        cluster.add("ConfigMap", name, metadata={"labels": {"app": name}})
    cluster.add("ConfigMap", "a", "elsewhere", metadata={"labels": {"app": "a"}})
    fields = done(cluster, kind="ConfigMap", state="patched", label_selectors=["app in (a,b)"], wait=False, **change)
    assert [(entry["action"], entry["namespace"], entry["name"]) for entry in fields["plan"]] == [("patch", "n", "a"), ("patch", "n", "b")]
    assert done(cluster, kind="ConfigMap", state="patched", label_selectors=["app=nothing"], wait=False, **change)["plan"] == []


def test_a_manifest_of_another_kind_is_not_a_patch_of_the_selected_objects(cluster):
    cluster.add("ConfigMap", "a", metadata={"labels": {"app": "a"}})
    given = {"definition": {"apiVersion": "v1", "kind": "Secret", "data": {}}, "label_selectors": ["app=a"]}
    _fields, error = run(cluster, kind="ConfigMap", state="patched", wait=False, **given)
    assert error.message == "A manifest without a name is a Secret (v1), but kind selects ConfigMap (v1) objects."


@pytest.mark.parametrize("written", ["data", "stringData"])
@pytest.mark.parametrize("ignored", ["data.password", "stringData.password"])
def test_an_ignored_value_of_a_secret_is_not_applied_wherever_the_manifest_has_it(written, ignored, cluster):
    values = {"data": {"password": "eA==", "user": "dQ=="}, "stringData": {"password": "x", "user": "u"}}[written]
    fields = done(cluster, definition={"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, written: values}, ignored_fields=[ignored])
    assert list(fields["result"]["data"]) == ["user"] and cluster.objects["Secret", "n", "s"]["data"] == {"user": "dQ=="}


def test_ignored_fields_are_not_applied(cluster):
    """Manifests of others, such as those of a URL, contain placeholders of what a controller sets."""
    text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, annotations: {x/y: z}}\nspec: {replicas: 1, paused: true}\n"
    fields = done(cluster, definition=text, ignored_fields=["spec.replicas", "metadata.annotations[x/y]", "data"])
    applied = fields["result"]
    assert applied["spec"] == {"paused": True} and applied["metadata"]["annotations"] == {}
    _fields, error = run(cluster, definition=text, ignored_fields=["["])
    assert str(error).startswith("ignored_fields[0]: must be the path of a field")


def test_a_text_that_repeats_a_key_is_warned_of_once(cluster):
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: '1'}\ndata: {b: '2'}\n"
    for definition in (text, [text]):
        console = Console()
        _fields, error = run(cluster, console=console, definition=definition)
        assert error is None and console.warnings == ["definition: the key 'data' is repeated at line 5; only its last value is used."]


def test_a_manifest_without_a_name_is_not_taken_for_one_whose_labels_do_not_match(cluster):
    fields, error = run(cluster, kind="ConfigMap", definition={"data": {"k": "v"}}, label_selectors=["app=a"])
    assert "lacks metadata.name" in str(error) and not fields["changed"]


# -- names ----------------------------------------------------------------------------------------------------


def test_each_run_generates_another_name_and_check_mode_none(cluster):
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "run-"}}
    names = [done(cluster, definition=manifest)["result"]["metadata"]["name"] for _run in range(2)]
    names.append(done(cluster, kind="ConfigMap", generate_name="run-")["result"]["metadata"]["name"])
    names.append(done(cluster, definition={"apiVersion": "v1", "kind": "ConfigMap"}, generate_name="run-")["result"]["metadata"]["name"])
    assert len(set(names)) == 4 and all(name.startswith("run-") and len(name) == 9 for name in names)
    predicted, error = run(cluster, check_mode=True, definition=manifest)
    assert error is None and predicted["plan"][0]["name"] == "run-xxxxx"


def test_a_generated_name_cannot_be_reviewed():
    _fields, error = run(None, kind="ConfigMap", generate_name="run-", expect="sha256:" + "0" * 64)
    assert error.message.startswith("expect: must not be set with generated names")


def test_a_reviewed_patch_is_sent_and_another_one_is_not(cluster):
    cluster.add("ConfigMap", "c", data={"a": "1"})
    patch = {"kind": "ConfigMap", "name": "c", "state": "patched", "definition": {"data": {"a": "2"}}}
    predicted, error = run(cluster, check_mode=True, **patch)
    assert error is None
    cluster.objects["ConfigMap", "n", "c"]["data"]["a"] = "3"
    _fields, error = run(cluster, expect=predicted["plan_digest"], **patch)
    assert error is not None and cluster.writes == []
    cluster.objects["ConfigMap", "n", "c"]["data"]["a"] = "1"
    assert done(cluster, expect=predicted["plan_digest"], **patch)["changed"]


@pytest.mark.parametrize("given", [{"state": "absent"}, {"state": "patched"}, {"set": "web"}])
def test_an_object_without_a_name_cannot_be_found_again(given):
    _fields, error = run(None, definition={"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "a-"}}, **given)
    assert "has no name, by which it could be found again" in error.message


def hashed(**manifest):
    params = options(definition={"apiVersion": "v1", **manifest}, append_hash=True)
    return with_names(read_manifests(params), params, False)[0]["metadata"]["name"]


def test_hashes_are_those_of_kubectl():
    """As `kubectl create configmap|secret generic --append-hash --dry-run=client` names them."""
    assert hashed(kind="ConfigMap", metadata={"name": "c"}, data={"one": "a", "two": '<b>&"ü'}) == "c-f2ggd4ghk5"
    assert hashed(kind="ConfigMap", metadata={"name": "c"}) == "c-94b26g54cg"
    assert hashed(kind="ConfigMap", metadata={"name": "b"}, binaryData={"bin": "//4="}) == "b-5hc4dfhm9k"
    assert hashed(kind="Secret", metadata={"name": "s"}, stringData={"password": "hunter22"}) == "s-9m67748tch"
    assert hashed(kind="Secret", metadata={"name": "s"}, type="Opaque", data={"password": "aHVudGVyMjI="}) == "s-bm729cbghh"
    assert hashed(kind="Pod", metadata={"name": "p"}) == "p"


# -- deletion and failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("preconditions", "refused"), [({"uid": "uid-c"}, False), ({"uid": "x"}, True), ({"resource_version": "7"}, False)])
def test_preconditions_are_checked_before_anything_is_deleted(cluster, preconditions, refused):
    cluster.add("ConfigMap", "c")
    _fields, error = run(cluster, kind="ConfigMap", name="c", state="absent", delete_options={"preconditions": preconditions})
    assert (error is not None and error.reason == "Conflict") is refused and bool(cluster.objects) is refused


def test_the_other_objects_are_applied_after_a_failure_and_the_task_fails(cluster):
    manifests = [{"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}} for kind in ("Secret", "Service")]
    cluster.refusals["patch", "Secret"] = 422
    fields, error = run(cluster, definition=manifests, continue_on_error=True)
    assert error is not None and fields["summary"] == {"none": 1, "create": 1} and ("Service", "n", "a") in cluster.objects
    cluster.objects.clear()
    fields, error = run(cluster, definition=manifests)
    assert error is not None and cluster.objects == {}


@pytest.mark.parametrize("given", [{}, {"set": "web", "prune": True}])
def test_an_object_that_must_not_be_read_does_not_keep_the_others_from_being_compared(cluster, given):
    manifests = [{"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}} for kind in ("Secret", "Service")]
    cluster.refusals |= {("get", "Secret"): 403, ("list", "Secret"): 403}
    _fields, error = run(cluster, definition=manifests, **given)
    assert error is not None and error.is_forbidden and cluster.objects == {}
    for check_mode in (True, False):
        fields, error = run(cluster, check_mode, definition=manifests, continue_on_error=True, **given)
        assert error is not None and error.is_forbidden
        entries = {(entry["kind"], entry["name"]): entry for entry in fields["plan"]}
        assert (entries["Secret", "a"]["action"], entries["Secret", "a"]["failed"]) == ("none", True) and "cannot get" in entries["Secret", "a"]["note"]
        assert entries["Service", "a"]["action"] == "create" and "failed" not in entries["Service", "a"]
        assert (("Service", "n", "a") in cluster.objects) is not check_mode and ("Secret", "n", "a") not in cluster.objects
    cluster.add("Secret", "a")
    fields, error = run(cluster, definition=manifests, continue_on_error=True, state="absent", **given | {"prune": False})
    assert error is not None and error.is_forbidden and ("Secret", "n", "a") in cluster.objects and ("Service", "n", "a") not in cluster.objects
    assert [entry["action"] for entry in fields["plan"] if entry["kind"] == "Secret"] == ["none"]
    assert not given or ("ConfigMap", "n", "podwright-set-web") in cluster.objects, "the record finds what is left"


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_kind_that_is_not_served_does_not_keep_the_others_from_being_applied(cluster, check_mode):
    ghost = {"apiVersion": "example.com/v1", "kind": "Ghost", "metadata": {"name": "g"}}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}
    _fields, error = run(cluster, definition=[ghost, service])
    assert error is not None and error.reason == "UnknownKind" and cluster.objects == {}
    fields, error = run(cluster, check_mode, definition=[ghost, service], continue_on_error=True)
    assert error is not None and error.reason == "UnknownKind"
    entries = {entry["kind"]: (entry["action"], entry.get("failed", False)) for entry in fields["plan"]}
    assert entries == {"Service": ("create", False), "Ghost": ("none", True)}
    assert (("Service", "n", "a") in cluster.objects) is not check_mode


@pytest.mark.parametrize(
    ("api_version", "kind", "hint"),
    [
        ("v1", "Deployment", "Set api_version to apps/v1, which has a kind of that name, if that is meant."),
        ("extensions/v1beta1", "Ingress", "Set api_version to networking.k8s.io/v1, which has this kind; some of its fields may differ."),
        ("example.com/v1", "Service", "Set api_version to v1, which has a kind of that name, if that is meant."),
    ],
)
def test_an_absent_object_in_the_wrong_group_is_an_error_if_another_group_has_its_kind(cluster, api_version, kind, hint):
    cluster.add(kind, "a")
    cluster.add("Secret", "a")
    wrong = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}
    _fields, error = run(cluster, definition=[wrong, secret], state="absent")
    assert (error.reason, error.hint) == ("UnknownKind", hint) and f"Kind '{kind}' not found in {api_version}" in error.message and not cluster.writes
    fields, error = run(cluster, definition=[wrong, secret], state="absent", continue_on_error=True)
    assert error.hint == hint and {entry["kind"]: (entry["action"], "failed" in entry) for entry in fields["plan"]} == {
        "Secret": ("delete", False),
        kind: ("none", True),
    }


def test_an_absent_object_of_a_kind_that_nobody_serves_does_not_exist(cluster):
    ghost = {"apiVersion": "example.com/v1", "kind": "Ghost", "metadata": {"name": "a"}}
    mesh = {"apiVersion": "example.com/v1", "kind": "Service", "metadata": {"name": "a"}}
    spec = {"group": "example.com", "scope": "Namespaced", "names": {"kind": "Service", "plural": "services"}, "versions": [{"name": "v1"}]}
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "services.example.com"}, "spec": spec}
    assert [entry["note"] for entry in done(cluster, definition=ghost, state="absent")["plan"]] == ["the server does not serve its kind"]
    # Its definition is deleted with it: the second run finds neither.
    assert not done(cluster, definition=[crd, mesh], state="absent")["changed"]


def test_nothing_is_pruned_and_no_record_deleted_after_a_failure(cluster):
    old, new, other = ({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}} for kind in ("Service", "Secret", "ConfigMap"))
    done(cluster, set="web", definition=[old])
    cluster.refusals["patch", "Secret"] = 422
    for check_mode in (True, False):
        fields, error = run(cluster, check_mode, set="web", prune=True, definition=[new, other], continue_on_error=True)
        (entry,) = (entry for entry in fields["plan"] if entry["kind"] == "Service")
        assert error is not None and ("Service", "n", "a") in cluster.objects and "failed" not in entry
        assert (entry["action"], entry.get("note")) == (("delete", None) if check_mode else ("none", "kept: other objects failed"))
    assert ("ConfigMap", "n", "a") in cluster.objects
    cluster.refusals = {("delete", "Service"): 422}
    fields, error = run(cluster, set="web", state="absent", continue_on_error=True)
    assert error is not None and ("ConfigMap", "n", "a") not in cluster.objects and ("ConfigMap", "n", "podwright-set-web") in cluster.objects
    cluster.refusals = {}
    done(cluster, set="web", state="absent")
    assert cluster.objects == {}


@pytest.mark.parametrize("continues", [False, True])
def test_check_mode_shows_what_differs_from_manifests_though_the_user_must_not_change_it_if_continued(cluster, continues):
    cluster.refusals["patch", "Service"] = 403
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}
    fields, error = run(cluster, True, definition=service, continue_on_error=continues)
    assert error is not None and [entry["action"] for entry in fields["plan"]] == ["create" if continues else "none"]
    assert fields["plan"][0]["failed"] and "cannot patch" in fields["plan"][0]["note"] and cluster.objects == {}


def test_hidden_fields_are_in_no_result(cluster):
    for value in ("hidden-1", "hidden-2"):
        given = options(kind="ConfigMap", name="c", definition={"data": {"a": value, "b": value[-1]}}, hidden_fields=["data.a"])
        fields, error = attempt(OPERATION, Invocation(given, False, True, Console(), cluster))
        assert error is None and fields["result"]["data"] == {"b": value[-1]} and fields["changed"] and "hidden-" not in str(fields)
    assert fields["plan"][0]["patch"] == [{"op": "replace", "path": "/data/b", "value": "2"}]
    fields = done(cluster, kind="ConfigMap", name="c", definition={"data": {"a": "hidden-3", "b": "2"}}, hidden_fields=["data.a"])
    assert fields["changed"] and fields["plan"][0]["patch"] == [], "what changed is hidden, and not that something did"


def test_a_reviewed_plan_has_numbers_in_place_of_hidden_fields(cluster, tmp_path):
    """A plan in which hidden values change is another one."""
    plans = []
    for value in ("hidden-1", "hidden-2"):
        given = options(kind="ConfigMap", name="c", definition={"data": {"a": value}}, hidden_fields=["data.a"], plan_file=str(tmp_path / value))
        _fields, error = attempt(OPERATION, Invocation(given, False, True, Console(), cluster))
        text = (tmp_path / value).read_text()
        assert error is None and "hidden-" not in text
        plans += json.loads(text)["changes"]
    assert plans[0]["manifest"]["data"] == {"a": "secret:1"}
    assert plans[1]["fields"] == {"/data/a": {"before": "secret:1", "after": "secret:2"}}
