# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which requests read the live state, and what is concluded if some of them are refused."""

from __future__ import annotations

import threading
import time

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import AUTOSCALER, BUILT_IN
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import UNKNOWN_KIND, PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.key import Key
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import AUTOSCALED
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.manifest import key_of
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.members import SHOWN, Member, reject_foreign
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.observation import autoscaled_keys, observe, observe_set, target_of
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.sets import ID, PART_OF, TOOLING, ApplySet

from .fake_cluster import FakeCluster

WEB = ApplySet("web", "n")


def manifest(name, kind="ConfigMap", api_version="v1", namespace="n", **rest):
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name} | ({"namespace": namespace} if namespace else {})} | rest


def keyed(*manifests):
    kinds = [BUILT_IN[item["apiVersion"], item["kind"]] for item in manifests]
    return {key_of(item, kind): (kind, item) for item, kind in zip(manifests, kinds, strict=True)}


class Cluster(FakeCluster):
    """A cluster that records its reads: `reads` has ("get", name), or ("list", kind name, namespace, label selector, metadata only)."""

    def __init__(self, tmp_path):
        super().__init__(tmp_path)
        self.reads, self.errors = [], {}

    def add(self, *items, **metadata):
        for item in items:
            item = item | {"metadata": item["metadata"] | {"uid": item["metadata"]["name"]} | metadata}
            self.objects[item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]] = item

    def get(self, kind, namespace, name):
        self.reads.append(("get", name))
        return super().get(kind, namespace, name)

    def list(self, kind, namespace=None, label_selector=None, field_selector=None, metadata_only=False):
        self.reads.append(("list", kind.name, namespace, label_selector, metadata_only))
        if error := self.errors.get((kind.name, namespace)):
            raise error
        return super().list(kind, namespace, label_selector, field_selector, metadata_only)


@pytest.fixture
def cluster(tmp_path):
    return Cluster(tmp_path)


@pytest.fixture
def console():
    return Console()


DENIED = PodwrightError('configmaps is forbidden: User "u" cannot list resource', status=403, reason="Forbidden")
UNSERVED = PodwrightError("the server could not find the requested resource", status=404, reason=UNKNOWN_KIND)


# -- reading ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "lists", "gets"), [(1, 0, 1), (2, 0, 2), (3, 1, 0), (20, 1, 0)])
def test_more_than_two_objects_of_a_kind_and_namespace_are_read_with_one_list(count, lists, gets, cluster):
    wanted = [manifest(f"c{number}") for number in range(count)]
    cluster.add(*wanted[1:], manifest("other"), manifest("c0", namespace="m"))
    live = observe(cluster, keyed(*wanted), 4).live
    assert sorted(key.name for key in live) == sorted(item["metadata"]["name"] for item in wanted[1:])
    assert [entry[0] for entry in cluster.reads].count("list") == lists and [entry[0] for entry in cluster.reads].count("get") == gets


def test_each_kind_and_namespace_is_read_by_itself(cluster):
    wanted = [manifest(f"c{number}", namespace=namespace) for namespace in ("n", "m") for number in range(3)] + [manifest("s", "Secret")]
    cluster.add(*wanted)
    assert observe(cluster, keyed(*wanted), 1).live.keys() == keyed(*wanted).keys()
    assert sorted(cluster.reads, key=str) == [("get", "s"), ("list", "ConfigMap", "m", None, False), ("list", "ConfigMap", "n", None, False)]


@pytest.mark.parametrize("concurrency", [0, 1, 3])
def test_no_more_lists_at_once_than_the_option_says(concurrency, cluster):
    busy, busiest, turn = [], [], threading.Condition()

    def get(kind, namespace, name):
        with turn:
            busy.append(name)
            busiest.append(len(busy))
            turn.notify_all()
            turn.wait_for(lambda: max(busiest) >= concurrency, 5)
        time.sleep(0.002)  # for more requests to come, should there be any
        busy.remove(name)

    cluster.get = get
    observe(cluster, keyed(*(manifest(f"c{number}", namespace=f"n{number}") for number in range(8))), concurrency)
    assert max(busiest) == max(concurrency, 1) and len(busiest) == 8


def test_recorded_kinds_after_one_that_cannot_be_found_are_listed(cluster, console):
    recorded = WEB.parent([Key("example.com", "Gadget", "n", "x"), Key("", "Secret", "n", "x"), Key("", "ConfigMap", "n", "x")])
    cluster.add(recorded, member("secret", kind="Secret"))
    cluster.refusals["discover", "/apis/example.com"] = 503
    found = observe_set(cluster, keyed(manifest("kept")), WEB, 1, console)
    assert [place.group_kind for place in found.unlisted] == ["Gadget.example.com"] and [m.key.name for m in found.members] == ["secret"]


def test_nothing_desired_reads_nothing(cluster):
    assert observe(cluster, {}, 10).live == {} and cluster.reads == []


@pytest.mark.parametrize("error", [DENIED, UNSERVED])
def test_objects_are_read_one_by_one_if_they_cannot_be_listed(error, cluster):
    wanted = [manifest(f"c{number}") for number in range(4)]
    cluster.add(*wanted[:3])
    cluster.errors["ConfigMap", "n"] = error
    assert len(observe(cluster, keyed(*wanted), 1).live) == 3
    assert [entry[0] for entry in cluster.reads] == ["list", *["get"] * 4]


def test_other_errors_of_a_list_are_reported(cluster):
    cluster.errors["ConfigMap", "n"] = PodwrightError("no route to host")
    with pytest.raises(PodwrightError, match="no route"):
        observe(cluster, keyed(*(manifest(f"c{number}") for number in range(3))), 1)


# -- sets -------------------------------------------------------------------------------------------------------


def member(name, applyset=WEB, **rest):
    item = manifest(name, **rest)
    return item | {"metadata": item["metadata"] | {"labels": {PART_OF: applyset.id}}}


def parent(*kinds, namespaces=(), applyset=WEB):
    return applyset.parent([Key("", kind, namespace, "x") for kind in kinds for namespace in (applyset.namespace, *namespaces)])


def test_members_are_listed_by_their_label_and_the_others_are_read_by_name(cluster, console):
    desired = keyed(manifest("kept"), manifest("new"), manifest("unlabeled"))
    cluster.add(member("kept"), member("left"), manifest("unlabeled"), manifest("foreign"), parent("ConfigMap"))
    found = observe_set(cluster, desired, WEB, 1, console)
    assert {key.name for key in found.live} == {"kept", "unlabeled", WEB.parent_name} and [m.key.name for m in found.members] == ["kept", "left"]
    assert found.parent["metadata"]["name"] == WEB.parent_name and found.unlisted == [] and console.warnings == []
    assert cluster.reads == [
        ("list", "ConfigMap", "n", WEB.selector, False), ("get", "new"), ("get", "unlabeled"), ("get", WEB.parent_name)
    ]  # fmt: skip


def test_recorded_kinds_are_listed_in_each_recorded_namespace_once(cluster, console):
    cluster.add(parent("ConfigMap", "Secret", "Namespace", namespaces=["m"]), member("far", namespace="m"), member("secret", kind="Secret", namespace="m"))
    cluster.add(member("space", kind="Namespace", namespace=None))
    found = observe_set(cluster, keyed(manifest("kept")), WEB, 1, console)
    assert sorted(m.key.name for m in found.members) == ["far", "secret", "space"]
    lists = [entry[1:3] for entry in cluster.reads if entry[0] == "list"]
    assert sorted(lists, key=str) == [("ConfigMap", "m"), ("ConfigMap", "n"), ("Namespace", None), ("Secret", "m"), ("Secret", "n")]


def test_set_without_a_parent_has_the_labeled_objects_of_the_desired_kinds(cluster, console):
    left = member("left")
    left["metadata"]["managedFields"] = [{"manager": "podwright", "operation": "Apply", "fieldsV1": {"f:metadata": {"f:labels": {f"f:{PART_OF}": {}}}}}]
    cluster.add(left, member("copy"))
    found = observe_set(cluster, keyed(manifest("kept")), WEB, 1, console)
    assert [m.key.name for m in found.members] == ["left"] and found.parent is None and found.live == {}
    assert [m.key.name for m in found.copies] == ["copy"]


@pytest.mark.parametrize(
    ("error", "recorded", "is_kept"),
    [(DENIED, True, True), (DENIED, False, True), (UNSERVED, True, True), (UNSERVED, False, False)],
)
def test_kind_of_desired_objects_that_cannot_be_listed_stays_recorded(error, recorded, is_kept, cluster, console):
    """A kind that is not served, and was not recorded, cannot have members: its definition is about to be created."""
    desired = keyed(manifest("s", "Secret"))
    if recorded:
        cluster.add(parent("Secret"))
    cluster.errors["Secret", "n"] = error
    found = observe_set(cluster, desired, WEB, 1, console)
    assert [(place.group_kind, place.namespaces) for place in found.unlisted] == ([("Secret", ("n",))] if is_kept else [])
    assert all(entry[4] for entry in cluster.reads if entry[:2] == ("list", "CustomResourceDefinition")), "of definitions the metadata is enough"
    assert [("of kind Secret cannot be listed; they are not deleted" in warning, error.message in warning) for warning in console.warnings] == (
        [(True, True)] if is_kept else []
    )


def test_server_that_cannot_be_reached_stops_the_run(cluster, console):
    cluster.add(parent("Secret", "ConfigMap"))
    cluster.errors["Secret", "n"] = PodwrightError("no route to host")
    with pytest.raises(PodwrightError, match="no route"):
        observe_set(cluster, keyed(manifest("kept")), WEB, 1, console)


@pytest.mark.parametrize("status", [403, 500, 503])
def test_recorded_kind_that_the_server_refuses_to_list_is_unlisted(status, cluster, console):
    cluster.add(parent("Secret", "ConfigMap"))
    cluster.errors["Secret", "n"] = PodwrightError("no.", status=status, reason="Refused")
    found = observe_set(cluster, keyed(manifest("kept")), WEB, 1, console)
    assert [(place.group_kind, place.namespaces, place.reason) for place in found.unlisted] == [("Secret", ("n",), "no.")] and len(console.warnings) == 1


def definition(kind, served):
    names = {"kind": kind, "plural": f"{kind.lower()}s"}
    spec = {"group": "example.com", "names": names, "scope": "Namespaced", "versions": [{"name": "v1", "served": served}]}
    return manifest(f"{names['plural']}.example.com", "CustomResourceDefinition", "apiextensions.k8s.io/v1", None, spec=spec)


@pytest.mark.parametrize(
    ("definitions", "error", "is_kept"),
    [
        ([], None, False),  # its definition was deleted, and with it all objects
        ([("Widget", True)], None, False),
        ([("Gadget", False), ("Widget", True)], None, True),  # it is defined and not served: its objects exist
        ([("Widget", True)], DENIED, True),
        ([], DENIED, True),
    ],
)
def test_recorded_kind_is_forgotten_only_if_its_definition_was_deleted(definitions, error, is_kept, cluster, console):
    cluster.add(WEB.parent([Key("example.com", "Gadget", "n", "x")]), *(definition(*each) for each in definitions))
    cluster.errors["CustomResourceDefinition", None] = error
    found = observe_set(cluster, keyed(manifest("kept")), WEB, 1, console)
    assert [place.group_kind for place in found.unlisted] == (["Gadget.example.com"] if is_kept else []) and len(console.warnings) == is_kept


def test_error_names_a_few_foreign_objects_and_counts_the_others(cluster, console):
    other = ApplySet("other", "n")
    for count in (1, SHOWN, SHOWN + 2):
        names = [f"c{number}" for number in range(count)]
        cluster.add(*(member(name, other) for name in names), parent("ConfigMap", applyset=other))
        with pytest.raises(PodwrightError) as caught:
            reject_foreign(cluster, WEB, observe_set(cluster, keyed(*map(manifest, names)), WEB, 1, console).live)
        message = caught.value.message
        assert [f"'{name}'" in message for name in names] == [True] * min(count, SHOWN) + [False] * (count - min(count, SHOWN))
        assert ("(2 more)" in message) == (count > SHOWN) and "more)" not in message.replace("(2 more)", "")
        assert "to the set 'other' (ConfigMap 'podwright-set-other' in namespace 'n', podwright/v1)" in message


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
def test_foreign_set_is_named_by_the_parent_that_can_be_listed(kind, cluster, console):
    foreign = manifest("settings", kind) | {}
    foreign["metadata"] |= {"labels": {ID: "applyset-x-v1"}} | ({"annotations": {TOOLING: "kubectl/v1"}} if kind == "Secret" else {})
    stray = manifest("a", "ServiceAccount")
    stray["metadata"]["labels"] = {PART_OF: "applyset-x-v1"}
    cluster.add(foreign, stray)
    if kind == "Secret":
        cluster.errors["ConfigMap", "n"] = DENIED
    expected = f"the set 'settings' ({kind} 'settings' in namespace 'n', {'kubectl/v1' if kind == 'Secret' else 'an unknown tool'})"
    with pytest.raises(PodwrightError) as caught:
        reject_foreign(cluster, WEB, observe_set(cluster, keyed(manifest("a", "ServiceAccount")), WEB, 1, console).live)
    assert expected in caught.value.message and all(entry[4] for entry in cluster.reads if entry[0] == "list" and ID in (entry[3] or ""))
    cluster.errors |= {(name, place): DENIED for name in ("ConfigMap", "Secret") for place in ("n", None)}
    with pytest.raises(PodwrightError, match="the set with the ID applyset-x-v1"):
        reject_foreign(cluster, WEB, observe_set(cluster, keyed(manifest("a", "ServiceAccount")), WEB, 1, console).live)


# -- autoscalers ------------------------------------------------------------------------------------------------


def scaler(name="a", target="a", kind="Deployment", api_version="apps/v1", namespace="n"):
    spec = {"scaleTargetRef": {"kind": kind, "name": target} | ({"apiVersion": api_version} if api_version else {})}
    return manifest(name, "HorizontalPodAutoscaler", "autoscaling/v2", namespace, spec=spec)


def workload(name="a", namespace="n", **spec):
    return manifest(name, "Deployment", "apps/v1", namespace, spec=spec)


@pytest.mark.parametrize(("api_version", "group"), [("apps/v1", "apps"), ("v1", ""), ("", ""), ("example.com/v1beta1", "example.com")])
def test_target_of_an_autoscaler_is_in_its_namespace(api_version, group):
    assert target_of(scaler("x", "y", "Kind", api_version, "m")) == Key(group, "Kind", "m", "y")


def test_manifests_without_replicas_ask_for_no_autoscaler(cluster, console):
    desired = keyed(workload(paused=True), manifest("a"), manifest("a", "ServiceAccount"))
    assert autoscaled_keys(cluster, desired, {}, console) == frozenset() and cluster.reads == []


def test_objects_that_something_scales_are_found_with_one_list_for_each_namespace(cluster, console):
    cluster.add(scaler("live", "a"), scaler("far", "c", namespace="m"), scaler("of-another-kind", "b", "StatefulSet"))
    objects = [workload(name, replicas=1) for name in "abd"] + [workload("c", "m", replicas=1), workload("e", paused=True)]
    desired = keyed(*objects, scaler("desired", "d"))
    live = {key: item for key, (_kind, item) in keyed(*objects).items()}
    scaled = next(key for key in live if key.name == "b")
    live[scaled] = live[scaled] | {"metadata": {"name": "b", "annotations": {AUTOSCALED: "true"}}}
    assert {key.name for key in autoscaled_keys(cluster, desired, live, console)} == {"a", "b", "c", "d"}
    assert sorted(entry[1:3] for entry in cluster.reads) == [(AUTOSCALER.name, "m"), (AUTOSCALER.name, "n")] and console.warnings == []


@pytest.mark.parametrize("leaves", ["it", "its owner", "another", "its target"])
def test_an_autoscaler_that_leaves_or_gets_another_target_scales_nothing_any_more(leaves, cluster, console):
    """Its former target would get the replicas of its manifest by the next run only."""
    live = scaler()
    live["metadata"]["ownerReferences"] = [{"uid": "of-the-owner", "controller": True}]
    cluster.add(live)
    uid = {"it": "a", "its owner": "of-the-owner"}.get(leaves, "of-another")
    leaving = [Member(AUTOSCALER, key_of(live, AUTOSCALER), live | {"metadata": live["metadata"] | {"uid": uid}})]
    desired = keyed(workload(replicas=2), *([scaler(target="b")] if leaves == "its target" else []))
    found = {key.name for key in autoscaled_keys(cluster, desired, {}, console, leaving)}
    assert found == ({"a"} if leaves == "another" else set())


@pytest.mark.parametrize(
    ("error", "live", "warnings"),
    [
        (DENIED, workload(replicas=5), 1),
        (DENIED, workload(), 1),
        (DENIED, workload(replicas=2), 0),  # nothing changes
        (DENIED, None, 0),  # nothing scales what does not exist
        (UNSERVED, workload(replicas=5), 0),  # no autoscaler exists
    ],
)
def test_replicas_that_may_be_an_autoscalers_are_set_with_a_warning(error, live, warnings, cluster, console):
    desired = keyed(workload(replicas=2), workload("b", "m", replicas=2))
    cluster.errors[AUTOSCALER.name, "n"] = error
    states = {key: live for key in desired if key.name == "a" and live} | {key: workload(replicas=9) for key in desired if key.name == "b"}
    assert autoscaled_keys(cluster, desired, states, console) == frozenset()
    assert len(console.warnings) == warnings and all("Deployment 'a'" in warning for warning in console.warnings)
