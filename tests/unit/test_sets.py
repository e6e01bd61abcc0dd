# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Named sets: no member is ever lost, and no member of another set is changed."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import CONFIG_MAP
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.reconciler import Reconciler, ReconcilerOptions
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.sets import GROUP_KINDS, ID, NAMESPACES, PART_OF, TOOLING, ApplySet

from ..support.outcomes import checked
from .fake_cluster import FakeCluster, Killed

RBAC = "rbac.authorization.k8s.io/v1"


def manifest(kind, name, api_version="v1", namespace=None, **rest):
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name} | ({"namespace": namespace} if namespace else {})} | rest


def definition(kind="Gadget", group="example.com", versions=("v1",)):
    names = {"kind": kind, "plural": f"{kind.lower()}s"}
    served = [{"name": version} for version in versions]
    spec = {"group": group, "names": names, "scope": "Namespaced", "versions": served}
    status = {"conditions": [{"type": "Established", "status": "True"}]}
    return manifest("CustomResourceDefinition", f"{names['plural']}.{group}", "apiextensions.k8s.io/v1", spec=spec, status=status)


KEPT = manifest("ConfigMap", "kept")
MEMBERS = [
    KEPT,
    manifest("Namespace", "other"),
    manifest("ConfigMap", "far", namespace="other"),
    manifest("Secret", "gone"),
    manifest("ServiceAccount", "gone"),
    manifest("RoleBinding", "gone", RBAC),
    manifest("ClusterRole", "gone", RBAC),
    manifest("Deployment", "gone", "apps/v1"),
    manifest("Gadget", "gone", "example.com/v1"),
    definition(),
]


class Set:
    """One named set in a fake cluster."""

    def __init__(self, cluster, name="web", namespace="shop"):
        self.cluster, self.name, self.namespace, self.console = cluster, name, namespace, Console()
        self.id = ApplySet(name, namespace).id

    def outcome(self, verb, manifests=(), **options):
        cluster, options = self.cluster, {"concurrency": 1, "wait": False} | options
        cluster.writes.clear()
        return getattr(Reconciler(cluster, ReconcilerOptions(**options), self.console), verb)(list(manifests), self.namespace, self.name)

    def without_set(self, verb, manifests, **options):
        """The outcome of a run without the name of the set."""
        self.cluster.writes.clear()
        return getattr(Reconciler(self.cluster, ReconcilerOptions(wait=False, **options), self.console), verb)(manifests, "shop")

    def run(self, verb, manifests=(), **options):
        return checked(self.outcome(verb, manifests, **options))

    def apply(self, manifests, **options):
        return self.run("apply", manifests, prune=True, **options)

    def remove(self, manifests=(), **options):
        return self.run("remove", manifests, **options)

    @property
    def members(self):
        return sorted(key for key, item in self.cluster.objects.items() if item["metadata"].get("labels", {}).get(PART_OF) == self.id)

    @property
    def parent(self):
        return self.cluster.get(CONFIG_MAP, self.namespace, f"podwright-set-{self.name}")

    @property
    def record(self):
        annotations = self.parent["metadata"]["annotations"]
        return annotations[GROUP_KINDS].split(","), annotations.get(NAMESPACES, "")


@pytest.fixture
def cluster(tmp_path):
    return FakeCluster(tmp_path)


@pytest.fixture
def web(cluster, monkeypatch):
    """A set whose definitions are established at once, since no controller runs."""
    module = "ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.executor.wait_until_ready"
    monkeypatch.setattr(module, lambda client, items, *rest: {key: item for key, (_kind, item) in items.items()})
    return Set(cluster)


def kill(web, verb, manifests, number, after):
    """Run until the write of that number. Returns whether the run was killed there."""
    web.cluster.die_at, web.cluster.dies_after = number, after
    try:
        getattr(web, verb)(manifests)
    except Killed:
        return True
    finally:
        web.cluster.die_at = 0
    return False


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("own_namespace", [False, True])
@pytest.mark.parametrize("number", range(1, 14))
def test_a_removal_killed_at_any_write_is_completed_by_the_next(number, own_namespace, after, web):
    web.apply([*MEMBERS, *([manifest("Namespace", "shop")] if own_namespace else [])])
    everything = len(web.members)
    was_killed = kill(web, "remove", (), number, after)
    # Members in a deleted namespace, and the parent in it, are deleted without a request of their own.
    assert was_killed == (number <= 11)
    web.remove()
    assert everything >= len(MEMBERS) and web.members == [] and web.parent is None
    assert not web.remove().is_changed


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(1, 14))
def test_a_prune_killed_at_any_write_is_completed_by_the_next(number, after, web):
    web.apply(MEMBERS)
    was_killed = kill(web, "apply", [KEPT], number, after)
    assert was_killed == (number <= 10)  # nine deletes, and the parent's record afterwards
    web.apply([KEPT])
    assert web.members == [("ConfigMap", "shop", "kept")] and web.record == (["ConfigMap"], "")
    assert not web.apply([KEPT]).is_changed


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", range(1, 13))
def test_first_apply_killed_at_any_write_loses_no_member(number, after, web):
    was_killed = kill(web, "apply", MEMBERS, number, after)
    assert was_killed == (number <= len(MEMBERS) + 1)
    web.remove()
    assert web.members == [] and web.parent is None


def test_a_member_that_cannot_be_deleted_keeps_the_parent(web):
    web.apply(MEMBERS)
    web.cluster.refusals["delete", "ClusterRole"] = 403
    with pytest.raises(PodwrightError, match="clusterroles"):
        web.remove()
    assert ("ClusterRole", None, "gone") in web.members and web.parent
    web.cluster.refusals.clear()
    web.remove()
    assert web.members == [] and web.parent is None


def test_a_set_that_adopts_nothing_refuses_strangers_before_it_writes_and_deletes_members_only(web):
    stranger = web.cluster.objects["Secret", "shop", "gone"] = manifest("Secret", "gone", namespace="shop")
    for prune in (True, False):
        with pytest.raises(PodwrightError, match=f"must not take over objects .*: Secret 'gone' in namespace 'shop'[.].*{web.id}"):
            web.run("apply", [KEPT, manifest("Secret", "gone")], adopt=False, prune=prune)
    assert not web.cluster.writes and not web.remove([manifest("Secret", "gone")], adopt=False).is_changed
    web.apply([KEPT], adopt=False)
    assert not web.apply([KEPT], adopt=False).is_changed
    web.remove([KEPT, manifest("Secret", "gone")], adopt=False)
    assert web.members == [] and web.cluster.objects["Secret", "shop", "gone"] is stranger
    web.apply([manifest("Secret", "gone")])
    assert web.members == [("Secret", "shop", "gone")]


def test_a_set_that_adopts_nothing_leaves_members_of_another_set_alone_when_it_is_deleted(web):
    other = Set(web.cluster, "other")
    other.apply([KEPT])
    with pytest.raises(PodwrightError, match="must not contain members of another set"):
        web.run("remove", [KEPT])
    assert not web.remove([KEPT], adopt=False).is_changed and other.members == [("ConfigMap", "shop", "kept")]


@pytest.mark.parametrize("status", [422, 504, None])
def test_a_new_set_whose_members_were_all_refused_leaves_no_record(status, web):
    """If a member may have been created, the record stays: a later run must find it."""
    web.cluster.refusals["patch", "Secret"] = status or 422
    web.cluster.refusal_reason = "Refused" if status else "ConnectionLost"
    secret = manifest("Secret", "gone")
    outcome = web.outcome("apply", [secret])
    assert outcome.error and bool(web.parent) == outcome.is_changed == (status != 422)
    web.cluster.refusals.clear()
    web.apply([KEPT])
    web.cluster.refusals["patch", "Secret"] = 422
    assert web.outcome("apply", [KEPT, secret]).error and web.parent and web.members == [("ConfigMap", "shop", "kept")], "a set with members"
    web.remove()
    assert web.outcome("apply", [KEPT, secret]).error and web.parent, "a member was created before another was refused"
    web.remove()
    web.cluster.refusals["delete", "ConfigMap"] = 403
    assert web.outcome("apply", [secret]).is_changed and web.parent, "the record cannot be deleted"


def unserve(cluster):
    cluster.objects["CustomResourceDefinition", None, "gadgets.example.com"]["spec"]["versions"][0]["served"] = False
    forget_discovery(cluster)


def forget_discovery(cluster):
    cluster.kinds._defined.clear()
    cluster.kinds._discovered.clear()
    cluster.kinds._former.clear()


UNLISTABLE = {
    "forbidden": lambda cluster: cluster.refusals.update({("list", "Gadget"): 403}),
    "unserved": unserve,
    "discovery down": lambda cluster: (forget_discovery(cluster), cluster.refusals.update({("discover", "/apis/example.com"): 503})),
}


@pytest.mark.parametrize("why", UNLISTABLE)
def test_a_kind_that_cannot_be_listed_stays_recorded(why, web):
    web.apply(MEMBERS)
    gadget = web.cluster.objects["Gadget", "shop", "gone"]
    UNLISTABLE[why](web.cluster)
    defined = definition() | {"spec": web.cluster.objects["CustomResourceDefinition", None, "gadgets.example.com"]["spec"]}
    without = [m for m in MEMBERS[:-1] if m["kind"] != "Gadget"] + [defined]
    for _again in range(2):
        web.apply(without)
        assert "Gadget.example.com" in web.record[0]
    web.apply([KEPT, defined])
    assert web.record == (["ConfigMap", "CustomResourceDefinition.apiextensions.k8s.io", "Gadget.example.com"], "other")
    assert any("Gadget.example.com" in warning for warning in web.console.warnings)
    assert web.cluster.objects["Gadget", "shop", "gone"] is gadget


def test_a_set_whose_members_cannot_be_listed_is_not_removed_as_a_whole(web):
    web.apply([KEPT, manifest("Secret", "gone")])
    web.cluster.refusals["list", "Secret"] = 403
    outcome = web.remove()
    assert outcome.changes[-1].note.startswith("kept") and web.members == [("Secret", "shop", "gone")] and web.parent
    assert not web.remove([manifest("ConfigMap", "kept")]).is_changed
    web.cluster.refusals.clear()
    web.remove()
    assert web.members == [] and web.parent is None


def test_a_kind_in_no_preferred_version_is_found(web):
    web.apply([definition(versions=["v1"]), manifest("Gadget", "gone", "example.com/v1")])
    web.cluster.objects["CustomResourceDefinition", None, "widgets.example.com"] = definition("Widget", versions=["v2"])
    web.cluster.kinds._defined.clear()
    for number, item in enumerate(web.cluster._definitions()):  # v2, which has no Gadget, is preferred
        assert item["spec"]["versions"][0]["name"] == ("v1", "v2")[number]
    web.cluster._versions = lambda group: ["example.com/v2", "example.com/v1"] if group == "example.com" else FakeCluster._versions(web.cluster, group)
    web.remove()
    assert web.members == []


def test_objects_that_controllers_created_are_kept(web):
    web.apply([KEPT, manifest("EndpointSlice", "mine", "discovery.k8s.io/v1")])
    owner = {"kind": "Service", "name": "web", "controller": True}
    inherited = manifest("EndpointSlice", "theirs", "discovery.k8s.io/v1", namespace="shop")
    inherited["metadata"] |= {"uid": "x", "labels": {PART_OF: web.id}, "ownerReferences": [owner]}
    # Another task has annotated it.
    inherited["metadata"]["managedFields"] = [{"manager": "podwright", "operation": "Apply", "fieldsV1": {"f:metadata": {"f:annotations": {"f:a": {}}}}}]
    web.cluster.objects["EndpointSlice", "shop", "theirs"] = inherited
    web.apply([KEPT])
    assert [name for _kind, _namespace, name in web.members] == ["kept", "theirs"]
    web.remove()
    assert [name for _kind, _namespace, name in web.members] == ["theirs"] and web.parent is None


def test_a_member_with_a_controller_as_its_owner_is_pruned_and_deleted(web):
    """Its manifest names one, or an Ansible operator adds itself as the owner to whatever its playbook creates."""
    owned = [manifest("ConfigMap", name) for name in ("pruned", "deleted")]
    for item in owned:
        item["metadata"]["ownerReferences"] = [{"kind": "Shop", "name": "web", "controller": True}]
    web.apply([KEPT, *owned])
    web.apply([KEPT, owned[1]])
    assert [name for _kind, _namespace, name in web.members] == ["deleted", "kept"]
    web.remove()
    assert web.members == []


@pytest.mark.parametrize("verb", ["apply", "remove"])
@pytest.mark.parametrize("check_mode", [False, True])
def test_an_object_of_another_set_is_refused_before_any_write(check_mode, verb, web):
    web.apply([KEPT])
    other = Set(web.cluster, "other")
    with pytest.raises(PodwrightError, match=r"ConfigMap 'kept' in namespace 'shop' belongs to the set 'web' \(ConfigMap 'podwright-set-web'.*podwright/v1\)"):
        getattr(other, verb)([KEPT, manifest("Secret", "new")], check_mode=check_mode)
    assert web.cluster.writes == [] and other.parent is None
    assert not web.apply([KEPT]).is_changed


def test_members_of_a_set_in_another_namespace_are_named_with_it_once(web):
    """The namespace is part of a set's identity: the same name in another one is another set."""
    parent = manifest("ConfigMap", "podwright-set-web", namespace="lab")
    parent["metadata"] |= {"labels": {ID: (other := ApplySet("web", "lab").id)}, "annotations": {TOOLING: "podwright/v1"}}
    theirs = [manifest("ConfigMap", name, namespace="shop") for name in ("kept", "second")]
    for item in theirs:
        item["metadata"] |= {"uid": item["metadata"]["name"], "labels": {PART_OF: other}}
    web.cluster.objects |= {("ConfigMap", "lab", "podwright-set-web"): parent} | {("ConfigMap", "shop", item["metadata"]["name"]): item for item in theirs}
    expected = r"'kept' in namespace 'shop', ConfigMap 'second' in namespace 'shop' belong to the set 'web' \(ConfigMap 'podwright-set-web' in namespace 'lab'"
    with pytest.raises(PodwrightError, match=expected):
        web.apply([KEPT, manifest("ConfigMap", "second", namespace="shop")])
    assert web.cluster.writes == []


def test_a_run_without_the_set_leaves_its_members_in_it(web):
    web.apply([KEPT, manifest("Secret", "gone")])
    changed = KEPT | {"data": {"a": "2"}}
    outcome = checked(web.without_set("apply", [changed]))
    assert [change.action for change in outcome.changes] == ["patch"] and len(web.members) == 2
    assert not checked(web.without_set("apply", [changed])).is_changed and not web.apply([changed, manifest("Secret", "gone")]).is_changed
    assert not checked(web.without_set("remove", [changed], adopt=False)).is_changed
    assert checked(web.without_set("remove", [changed])).is_changed and len(web.members) == 1


def test_a_run_without_the_set_that_adopts_nothing_refuses_its_members(web):
    web.apply([KEPT])
    for verb in ("apply", "remove"):
        outcome = web.without_set(verb, [KEPT, manifest("Secret", "new")], adopt=False)
        assert not web.cluster.writes
    refused = web.without_set("apply", [KEPT], adopt=False).error
    assert refused.reason == "ForeignObject" and "members of a set must not be taken over without it: ConfigMap 'kept'" in refused.message
    assert {change.note for change in outcome.changes} == {"kept: not ours, and adopt is false", ""}


def test_a_label_that_somebody_else_set_is_left_to_them(web):
    """It would become a member that the set may delete, such as the copy that a controller makes of a member's labels."""
    theirs = web.cluster.objects["ConfigMap", "shop", "kept"] = copied(KEPT, web, "controller")
    checked(web.without_set("apply", [KEPT | {"data": {"a": "2"}}]))
    [entry] = web.cluster.objects["ConfigMap", "shop", "kept"]["metadata"]["managedFields"]
    assert "f:labels" not in entry["fieldsV1"].get("f:metadata", {}) and theirs["metadata"]["labels"]


def test_a_manifest_with_the_label_of_a_set_needs_the_set(web):
    exported = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "copy", "labels": {PART_OF: web.id}}}
    error = web.without_set("apply", [exported]).error
    assert error.reason == "BadManifest" and "ConfigMap 'copy' in namespace 'shop' has the label" in error.message and not web.cluster.writes
    web.apply([manifest("ConfigMap", "copy")])
    assert not checked(web.without_set("apply", [exported])).is_changed and web.members


# -- namespaces and definitions ---------------------------------------------------------------------------------

SPACE = manifest("Namespace", "other")


@pytest.mark.parametrize("verb", ["apply", "remove"])
def test_a_definition_is_kept_as_long_as_there_are_objects_of_its_kind_that_are_no_members(verb, web):
    def leave(**options):
        return web.remove(**options) if verb == "remove" else web.apply([KEPT], **options)

    web.apply([KEPT, definition(), manifest("Gadget", "mine", "example.com/v1")])
    mine = web.cluster.objects["Gadget", "shop", "mine"]["metadata"]
    theirs = web.cluster.objects["Gadget", "lab", "theirs"] = manifest("Gadget", "theirs", "example.com/v1", namespace="lab")
    for name, owner in (("child", mine["uid"]), ("grandchild", "child")):  # of a controller
        web.cluster.objects["Gadget", "shop", name] = child = manifest("Gadget", name, "example.com/v1", namespace="shop")
        child["metadata"] |= {"uid": name, "ownerReferences": [{"kind": "Gadget", "name": "x", "uid": owner}]}
    note = "kept: objects of its kind are not members of the set, such as Gadget 'theirs' in namespace 'lab'"
    for check_mode in (True, False):
        assert [change.note for change in leave(check_mode=check_mode).changes if change.kind.name == "CustomResourceDefinition"] == [note]
    assert web.cluster.objects["Gadget", "lab", "theirs"] is theirs and ("Gadget", "shop", "mine") not in web.cluster.objects
    assert not leave().is_changed and "CustomResourceDefinition.apiextensions.k8s.io" in web.record[0], "it stays a member"
    for key in (("Gadget", "lab", "theirs"), ("Gadget", "shop", "child"), ("Gadget", "shop", "grandchild")):
        del web.cluster.objects[key]
    assert leave().is_changed and ("CustomResourceDefinition", None, "gadgets.example.com") not in web.cluster.objects
    assert (web.parent is None) == (verb == "remove")


def test_a_definition_and_a_namespace_are_deleted_if_a_manifest_names_them(web):
    web.apply([KEPT, definition(), SPACE])
    web.cluster.objects["Gadget", "lab", "theirs"] = manifest("Gadget", "theirs", "example.com/v1", namespace="lab")
    Set(web.cluster, "app", "other").apply([KEPT])
    web.remove([definition(), SPACE])
    assert web.members == [] and web.parent is None


@pytest.mark.parametrize("verb", ["apply", "remove"])
@pytest.mark.parametrize("place", ["other", "lab"])
def test_a_namespace_with_objects_of_another_set_is_kept(place, verb, web):
    """The set may have its record in the namespace, or record the namespace."""
    web.apply([KEPT, SPACE])
    app = Set(web.cluster, "app", place)
    app.apply([manifest("ConfigMap", "theirs", namespace="other")])
    for check_mode in (True, False):
        outcome = web.remove(check_mode=check_mode) if verb == "remove" else web.apply([KEPT], check_mode=check_mode)
        notes = [change.note for change in outcome.changes if change.kind.name == "Namespace"]
        assert notes == [f"kept: it contains objects of the set 'app' (ConfigMap 'podwright-set-app' in namespace '{place}', podwright/v1)"]
    assert app.members == [("ConfigMap", "other", "theirs")] and web.parent is not None
    app.remove()
    assert web.remove().is_changed and ("Namespace", None, "other") not in web.cluster.objects and web.parent is None


def test_a_namespace_that_kubernetes_keeps_leaves_the_set_although_others_use_it(web):
    web.apply([KEPT, manifest("Namespace", "default")])
    Set(web.cluster, "app", "default").apply([KEPT])
    web.remove()
    assert ("apply", "Namespace", "default") in web.cluster.writes and web.parent is None


@pytest.mark.parametrize("forbidden", [[None], [None, "other"]])
def test_what_others_have_in_a_namespace_is_unknown_if_nothing_may_be_listed(forbidden, web, monkeypatch):
    web.apply([KEPT, SPACE, definition()])
    Set(web.cluster, "app", "other").apply([KEPT])
    read = web.cluster.list

    def read_list(kind, namespace=None, **options):
        if namespace in forbidden and kind.name in ("ConfigMap", "Secret", "Gadget"):
            raise PodwrightError(f'{kind.plural} is forbidden: User "u" cannot list resource', status=403, reason="Forbidden")
        return read(kind, namespace, **options)

    monkeypatch.setattr(web.cluster, "list", read_list)
    web.apply([KEPT])
    assert (("Namespace", None, "other") in web.members) == (forbidden == [None])
    warned = [warning for warning in web.console.warnings if "which is to be deleted, is unknown: " in warning]
    assert len(warned) == (1 if forbidden == [None] else 3) and "CustomResourceDefinition 'gadgets.example.com'" in warned[0]


def test_a_server_that_cannot_be_reached_deletes_no_definition(web, monkeypatch):
    web.apply([KEPT, definition()])
    read = web.cluster.list

    def read_list(kind, namespace=None, **options):
        if kind.name == "Gadget":
            raise PodwrightError("no route to host")
        return read(kind, namespace, **options)

    monkeypatch.setattr(web.cluster, "list", read_list)
    assert web.outcome("apply", [KEPT], prune=True).error.message == "no route to host" and not web.cluster.writes


# -- copies -----------------------------------------------------------------------------------------------------


def copied(item, web, manager):
    """An object of somebody who has copied the labels of a member."""
    entry = {"manager": manager, "operation": "Update", "fieldsV1": {"f:metadata": {"f:labels": {f"f:{PART_OF}": {}}}}}
    metadata = item["metadata"] | {"namespace": "shop", "uid": "x", "resourceVersion": "1", "labels": {PART_OF: web.id}, "managedFields": [entry]}
    return item | {"metadata": metadata}


@pytest.mark.parametrize(("kind", "manager", "is_noted"), [("ConfigMap", "kubectl-client-side-apply", True), ("Endpoints", "kube-controller-manager", False)])
def test_an_object_that_has_the_label_by_a_copy_is_not_deleted(kind, manager, is_noted, web):
    """Kubernetes copies the labels of a Service to its Endpoints, and would create them again in each run."""
    mine = manifest(kind, "mine")
    web.apply([mine])
    web.cluster.objects[kind, "shop", "copy"] = copied(manifest(kind, "copy"), web, manager)
    outcome = web.apply([mine])
    assert not outcome.is_changed
    assert [change.note for change in outcome.changes if change.note] == ["kept: it has the label of the set, but podwright has not applied it"] * is_noted
    web.apply([KEPT])
    web.remove()
    assert web.members == [(kind, "shop", "copy")] and web.parent is None
    web.apply([manifest(kind, "copy")], adopt=False)  # handed over by its label
    web.remove()
    assert web.members == []


def test_members_that_another_field_manager_of_the_set_applied_are_deleted(web):
    web.run("apply", [KEPT, manifest("Secret", "gone")], manager="before")
    web.apply([KEPT])
    assert web.members == [("ConfigMap", "shop", "kept")]
    web.run("apply", [KEPT], manager="other")
    web.remove()
    assert web.members == [] and web.parent is None


def test_members_that_were_restored_from_a_backup_are_deleted(web):
    """It restores no field managers, neither of members nor of the record."""
    web.apply([KEPT, manifest("Secret", "gone")])
    for item in web.cluster.objects.values():
        item["metadata"]["managedFields"] = [{"manager": "backup", "operation": "Update", "fieldsV1": {"f:metadata": {"f:labels": {f"f:{PART_OF}": {}}}}}]
    web.apply([KEPT])
    assert web.members == [("ConfigMap", "shop", "kept")]
    web.remove()
    assert web.members == [] and web.parent is None


# -- records ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_manifest_does_not_overwrite_the_record_of_a_set(check_mode, web):
    web.apply([KEPT])
    record, other = manifest("ConfigMap", "podwright-set-web", data={"a": "1"}), Set(web.cluster, "other")
    outcomes = [web.without_set("apply", [record], check_mode=check_mode), other.outcome("apply", [record], check_mode=check_mode)]
    outcomes += [each.outcome(verb, [KEPT, record], check_mode=check_mode) for verb, each in (("apply", web), ("remove", web), ("remove", other))]
    expected = "ConfigMap 'podwright-set-web' in namespace 'shop' is the record of a set"
    assert all(outcome.error.reason == "ForeignSet" and outcome.error.message.startswith(expected) for outcome in outcomes)
    new = Set(web.cluster, "new").outcome("apply", [manifest("ConfigMap", "podwright-set-new")])
    assert new.error.reason == "ForeignSet" and web.cluster.writes == [] and not web.apply([KEPT]).is_changed
    assert checked(web.without_set("remove", [record])).is_changed, "without a set, it is deleted if it is named"


def test_a_set_of_another_tool_is_refused_and_named(web):
    parent = manifest("Secret", "shop-config", namespace="shop")
    parent["metadata"] |= {"labels": {ID: "applyset-x-v1"}, "annotations": {TOOLING: "kubectl/v1.36"}}
    theirs = manifest("ConfigMap", "kept", namespace="shop")
    theirs["metadata"] |= {"uid": "x", "labels": {PART_OF: "applyset-x-v1"}}
    web.cluster.objects |= {("Secret", "shop", "shop-config"): parent, ("ConfigMap", "shop", "kept"): theirs}
    with pytest.raises(PodwrightError, match=r"'shop-config' \(Secret 'shop-config' in namespace 'shop', kubectl/v1.36\)"):
        web.apply([KEPT])
    assert web.cluster.writes == []


@pytest.mark.parametrize(
    "metadata",
    [
        {"annotations": {TOOLING: "kubectl/v1.36"}},
        {"annotations": {TOOLING: "podwrights/v1"}},
        {"annotations": {TOOLING: "podwright/v1"}},
        {"annotations": {TOOLING: "podwright/v1"}, "labels": {ID: "applyset-x-v1"}},
        {"labels": {ID: ApplySet("web", "shop").id}},
        {},
    ],
)
@pytest.mark.parametrize("verb", ["apply", "remove"])
def test_a_parent_that_is_not_ours_is_refused_before_any_write(verb, metadata, web):
    parent = manifest("ConfigMap", "podwright-set-web", namespace="shop")
    parent["metadata"] |= metadata
    web.cluster.objects["ConfigMap", "shop", "podwright-set-web"] = parent
    with pytest.raises(PodwrightError, match="podwright-set-web"):
        getattr(web, verb)([KEPT])
    assert web.cluster.writes == []


def test_a_manifest_that_names_another_set_is_refused(web):
    stray = manifest("ConfigMap", "a")
    stray["metadata"]["labels"] = {PART_OF: "applyset-x-v1"}
    with pytest.raises(PodwrightError, match=PART_OF):
        web.apply([stray])


def test_a_namespace_that_the_set_is_in_is_not_pruned(web):
    namespaces = [manifest("Namespace", "shop"), manifest("Namespace", "other")]
    web.apply([*namespaces, KEPT, manifest("ConfigMap", "far", namespace="other"), manifest("Namespace", "idle")])
    outcome = web.apply([KEPT, manifest("ConfigMap", "far", namespace="other")])
    assert [change.key.name for change in outcome.changes if change.action == "delete"] == ["idle"]
    assert ("Namespace", None, "shop") in web.members and ("Namespace", None, "other") in web.members


def test_a_definition_whose_kind_the_set_needs_is_not_pruned(web):
    gadget = manifest("Gadget", "mine", "example.com/v1")
    web.apply([definition(), definition("Widget"), gadget])
    outcome = web.apply([gadget])
    assert [change.key.name for change in outcome.changes if change.action == "delete"] == ["widgets.example.com"]
    assert [change.note for change in outcome.changes if change.note] == ["kept: it defines the kind of objects of the set"]
    assert ("Gadget", "shop", "mine") in web.cluster.objects and not web.apply([gadget]).is_changed


def protected(item):
    return item | {"metadata": item["metadata"] | {"annotations": {"podwright.io/prune": "disabled"}}}


def test_a_member_whose_annotation_says_so_is_kept_with_what_it_needs(web):
    gadget, data = protected(manifest("Gadget", "mine", "example.com/v1")), protected(manifest("PersistentVolumeClaim", "data", namespace="other"))
    web.apply([KEPT, definition(), gadget, manifest("Namespace", "other"), data, manifest("ConfigMap", "far", namespace="other")])
    outcome = web.apply([KEPT])
    assert [change.key.name for change in outcome.changes if change.action == "delete"] == ["far"]
    assert {change.note for change in outcome.changes if change.key.name in ("mine", "data")} == {"kept: its annotation podwright.io/prune is disabled"}
    assert not web.apply([KEPT]).is_changed
    predicted = web.remove(check_mode=True)
    assert predicted.is_changed and web.remove().is_changed and not web.remove().is_changed and not web.remove(check_mode=True).is_changed
    assert sorted(name for _kind, _namespace, name in web.members) == ["data", "gadgets.example.com", "mine", "other"]
    assert web.parent is not None, "the kept members stay in the set"
    assert web.remove([gadget, data]).is_changed and web.members == [] and web.parent is None, "what is named is deleted"


@pytest.mark.parametrize(("value", "names"), [("enabled", ["kept"]), ("false", ["gone", "kept"]), ("Disabled", ["gone", "kept"]), ("", ["gone", "kept"])])
def test_a_misspelt_value_of_the_annotation_deletes_nothing(value, names, web):
    web.apply([KEPT, manifest("ConfigMap", "gone") | {"metadata": {"name": "gone", "annotations": {"podwright.io/prune": value}}}])
    web.apply([KEPT])
    assert [name for _kind, _namespace, name in web.members] == names


def test_a_parent_that_is_being_deleted_is_not_deleted_again(web):
    web.apply([KEPT])
    web.cluster.objects["ConfigMap", "shop", "podwright-set-web"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    del web.cluster.objects["ConfigMap", "shop", "kept"]
    assert not web.remove().is_changed and web.cluster.writes == []


def test_a_member_that_left_the_set_after_it_was_listed_is_kept(web):
    web.apply([KEPT, manifest("Secret", "left"), manifest("Secret", "changed")])
    delete = web.cluster.delete

    def interfere(kind, namespace, name, *rest, version=None, **options):
        metadata = web.cluster.objects[kind.name, namespace, name]["metadata"]
        if kind.name == "Secret" and metadata["resourceVersion"] != "x":  # another client is faster
            metadata |= {"resourceVersion": "x"} | ({"labels": {PART_OF: "applyset-x-v1"}} if name == "left" else {})
            return False
        return delete(kind, namespace, name, *rest, version=version, **options)

    web.cluster.delete = interfere
    outcome = web.apply([KEPT])
    secrets = {change.key.name: (change.action, change.note) for change in outcome.changes if change.key.kind == "Secret"}
    assert secrets == {"left": ("none", "kept: it has left the set"), "changed": ("delete", "")}
    assert ("Secret", "shop", "left") in web.cluster.objects and ("Secret", "shop", "changed") not in web.cluster.objects


def test_object_of_an_unknown_kind_is_absent(web):
    web.apply([KEPT])
    outcome = Reconciler(web.cluster, ReconcilerOptions(wait=False), Console()).remove([manifest("Sprocket", "a", "nowhere.com/v1"), KEPT], "shop")
    assert {change.key.name: change.action for change in outcome.changes} == {"a": "none", "kept": "delete"}


def test_an_object_in_a_version_that_is_not_served_any_more_is_deleted(web):
    web.apply([definition(versions=["v2"]), manifest("Gadget", "g", "example.com/v2", "shop")])
    outcome = Reconciler(web.cluster, ReconcilerOptions(wait=False), Console()).remove([manifest("Gadget", "g", "example.com/v1", "shop")], "shop")
    assert [(change.action, change.kind.api_version) for change in outcome.changes] == [("delete", "example.com/v2")]


def test_an_object_in_a_served_and_in_a_former_version_is_deleted_once(web):
    web.apply([definition(), manifest("Gadget", "g", "example.com/v1", "shop")])
    both = [manifest("Gadget", "g", f"example.com/{version}", "shop") for version in ("v1beta1", "v1", "v1beta1")]
    assert [change.key.name for change in web.remove(both).changes if change.key.kind == "Gadget"] == ["g"]


@pytest.mark.parametrize("verb", ["apply", "remove"])
def test_a_kind_that_is_not_served_is_looked_for_once(verb, web):
    paths = []
    web.cluster._discover = web.cluster.kinds._fetch = lambda path: paths.append(path) or FakeCluster._discover(web.cluster, path)
    outcome = web.outcome(verb, [manifest("Sprocket", f"s{number}", "nowhere.com/v1") for number in range(20)], continue_on_error=True)
    notes = [str(change.error) for change in outcome.changes if change.key.kind == "Sprocket"]
    assert len(paths) < 10 and len(notes) == 20 and sum("more objects failed" in note for note in notes) <= 1
    assert bool(outcome.error) == (verb == "apply") and web.parent is None, "a new set without a member has no record"


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("has_others", [False, True])
@pytest.mark.parametrize("keeps_former", [False, True])
def test_members_whose_definition_moves_to_another_version_are_pruned(keeps_former, has_others, check_mode, web):
    """The API server serves the former version until the definition is applied, and only then, unless that keeps it, the new one."""
    others = [manifest("Gadget", "kept", "example.com/v1")] * has_others
    web.apply([definition(), *others, manifest("Gadget", "gone", "example.com/v1")])
    forget_discovery(web.cluster)
    moved = definition(versions=["v2", "v1"])
    moved["spec"]["versions"][1]["served"] = keeps_former
    outcome = web.apply([moved, *(item | {"apiVersion": "example.com/v2"} for item in others)], check_mode=check_mode)
    assert [change.key.name for change in outcome.changes if change.action == "delete"] == ["gone"] and web.console.warnings == []
    assert ("Gadget", "shop", "gone") not in web.cluster.objects or check_mode


def test_a_definition_is_deleted_by_its_name_alone(web):
    web.apply([definition()])
    bare = {key: value for key, value in definition().items() if key not in ("spec", "status")}
    assert web.remove([bare]).is_changed and web.members == []


@pytest.mark.parametrize("verb", ["apply", "remove"])
def test_objects_that_kubernetes_itself_creates_lose_our_fields_and_are_kept(verb, web):
    account = manifest("ServiceAccount", "default", imagePullSecrets=[{"name": "registry"}])
    web.apply([KEPT, account, manifest("ServiceAccount", "mine")])
    getattr(web, verb)([KEPT] if verb == "apply" else [])
    assert ("delete", "ServiceAccount", "mine") in web.cluster.writes
    assert ("apply", "ServiceAccount", "default") in web.cluster.writes and ("ServiceAccount", "shop", "default") in web.cluster.objects
