# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Field ownership as sets of paths, and the requests that rewrite it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import CONFIG_MAP
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.ownership import disowned_entries, released_entries, subtract
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.takeover import ATTEMPTS, take_over

from .model_cluster import VirtualClock

STEPS = st.sampled_from(["f:a", "f:b", 'k:{"name":"c"}', "."])
TREES = st.recursive(st.just({}), lambda below: st.dictionaries(STEPS, below, max_size=3), max_leaves=12).map(
    lambda tree: {step: below for step, below in tree.items() if step != "."}
)


def normal(tree):
    """A tree as the API writes it: the step `.` has nothing below it and is never alone."""
    found = {step: normal(below) for step, below in tree.items() if step != "."}
    return found | ({".": {}} if "." in tree and found else {})


def paths(tree, path=()):
    """The set of paths in a tree."""
    below = {step: rest for step, rest in tree.items() if step != "."}
    own = {path} if path and (not below or "." in tree) else set()
    return own.union(*(paths(rest, (*path, step)) for step, rest in below.items()))


@given(TREES.map(normal), TREES.map(normal).filter(bool))
def test_subtraction_removes_exactly_the_taken_paths(tree, taken):
    left = paths(subtract(tree, taken) or {})
    atomic = {path for path in paths(taken) if not any(other[: len(path)] == path and other != path for other in paths(taken))}
    fields = {path for path in paths(tree) if not any(other[: len(path)] == path and other != path for other in paths(tree))}
    assert left <= paths(tree) - paths(taken)
    # A field, which has nothing below it, stays unless it was taken itself or lies in a value that was taken whole.
    assert fields - left == {path for path in fields if path in paths(taken) or any(path[: len(one)] == one for one in atomic)}


KUBECTL = {
    "manager": "kubectl-client-side-apply",
    "operation": "Update",
    "fieldsV1": {
        "f:metadata": {"f:labels": {".": {}, "f:app": {}, "f:team": {}}},
        "f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:protocol": {}, "f:targetPort": {}}}},
    },
}
OURS = {
    "manager": "podwright",
    "operation": "Apply",
    "fieldsV1": {"f:metadata": {"f:labels": {"f:app": {}}}, "f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}}}},
}


def service(*entries):
    return {"kind": "Service", "metadata": {"name": "a", "resourceVersion": "1", "managedFields": list(entries)}}


def test_what_a_manager_has_patched_is_disowned():
    """Fields that it had patched before stay its own, as do those of others."""
    former, newer = ({"manager": "podwright", "operation": "Update", "fieldsV1": {f"f:{name}": {}}} for name in "ab")
    status = newer | {"subresource": "status"}
    item = service(KUBECTL, newer, status, OURS)
    assert disowned_entries(item, service(former, OURS), "podwright") == [KUBECTL, status, OURS, former]
    assert disowned_entries(item, service(OURS), "podwright") == [KUBECTL, status, OURS]
    assert disowned_entries(service(KUBECTL, OURS), service(OURS), "podwright") is None


def test_updater_keeps_fields_that_the_manifest_lacks():
    (theirs, ours) = released_entries(service(KUBECTL, OURS), "podwright")
    assert ours == OURS
    assert theirs["fieldsV1"] == {
        "f:metadata": {"f:labels": {".": {}, "f:team": {}}},
        "f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {"f:protocol": {}, "f:targetPort": {}}}},
    }
    assert released_entries(service(theirs, ours), "podwright") is None


@pytest.mark.parametrize("rest", [{"operation": "Apply"}, {"subresource": "status"}])
def test_other_appliers_and_subresources_keep_their_fields(rest):
    assert released_entries(service(KUBECTL | rest, OURS), "podwright") is None


def test_first_apply_moves_an_object_from_one_applier_to_another():
    (theirs, _ours) = released_entries(service(KUBECTL | {"operation": "Apply"}, OURS), "podwright", is_first_apply=True)
    assert theirs["fieldsV1"]["f:metadata"] == {"f:labels": {".": {}, "f:team": {}}}
    assert released_entries(service(KUBECTL | {"subresource": "status"}, OURS), "podwright", is_first_apply=True) is None


def test_handed_over_replicas_can_be_taken_over_again():
    held = {"manager": "podwright-handover", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    ours = {"manager": "podwright", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    assert released_entries(service(held, OURS), "podwright") is None
    assert released_entries(service(held, ours), "podwright") == [ours]


def test_manager_without_fields_is_removed_from_managed_fields():
    assert released_entries(service(OURS | {"manager": "x", "operation": "Update"}, OURS), "podwright") == [OURS]


class Server:
    """Answers each PATCH with the next of `answers`, and each GET with the object afterwards."""

    def __init__(self, item, *answers):
        self.item, self.answers, self.patches, self.clock = item, list(answers), [], VirtualClock()

    def get(self, kind, namespace, name):
        return self.item

    def patch(self, kind, namespace, name, patch, manager, content_type, dry_run):
        self.patches.append(patch)
        answer = self.answers.pop(0)
        if answer == "lost":  # it was written, and its repetition finds another version
            self.item = self._patched(patch)
        if answer == "gone":
            self.item = None
        if answer != "fine":
            raise PodwrightError("no", status=404 if answer == "gone" else 403 if answer == "forbidden" else 409)
        assert patch["metadata"]["resourceVersion"] == self.item["metadata"]["resourceVersion"]
        self.item = self._patched(patch)
        return self.item

    def _patched(self, patch):
        version = str(int(self.item["metadata"]["resourceVersion"]) + 1)
        return self.item | {"metadata": self.item["metadata"] | patch["metadata"] | {"resourceVersion": version}}


@pytest.mark.parametrize(("answers", "requests"), [(["fine"], 1), (["lost"], 1), (["conflict", "conflict", "fine"], 3), (["gone"], 1)])
def test_ownership_is_changed_in_the_version_that_was_read(answers, requests):
    server = Server(service(KUBECTL, OURS), *answers)
    after = take_over(server, CONFIG_MAP, server.item, "podwright", is_first_apply=False)
    assert len(server.patches) == requests
    assert "gone" in answers or released_entries(after, "podwright") is None


def test_refused_or_repeatedly_conflicting_takeover_is_an_error():
    for answers, status in ((["forbidden"], 403), (["conflict"] * ATTEMPTS, 409)):
        server = Server(service(KUBECTL, OURS), *answers)
        with pytest.raises(PodwrightError) as caught:
            take_over(server, CONFIG_MAP, server.item, "podwright", is_first_apply=False)
        assert caught.value.status == status
