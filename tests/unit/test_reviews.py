# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Objects that the API server answers and does not store."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import Kind
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.reconciler.reviews import check_review, is_review, send_review

GROUP = "authorization.k8s.io/v1"
REVIEW = {"apiVersion": GROUP, "kind": "LocalSubjectAccessReview", "metadata": {"name": "mine"}, "spec": {"user": "ann"}}


def test_reviews_are_known_by_their_group():
    assert is_review(REVIEW) and is_review({"apiVersion": "authentication.k8s.io/v1"})
    assert not any(map(is_review, [{"apiVersion": "v1"}, {"apiVersion": 1}, {}, None, "authorization.k8s.io/v1"]))


@pytest.mark.parametrize("change", [{"kind": None}, {"kind": 3}, {"metadata": "mine"}, {"metadata": ["mine"]}])
def test_review_without_kind_or_metadata_is_refused(change):
    with pytest.raises(PodwrightError, match=r"^A review of authorization.k8s.io/v1 lacks kind, or its metadata is not a mapping\.$"):
        check_review(REVIEW | change, "present")


def test_review_is_only_sent():
    check_review(REVIEW, "present")
    check_review({name: value for name, value in REVIEW.items() if name != "metadata"}, "present")
    with pytest.raises(PodwrightError, match=r"^LocalSubjectAccessReview is answered and not stored, so that it cannot be absent"):
        check_review(REVIEW, "absent")


@pytest.mark.parametrize(
    ("is_namespaced", "metadata", "path", "sent"),
    [
        (True, {"name": "mine"}, f"/apis/{GROUP}/namespaces/given/reviews", {"namespace": "given"}),
        (True, {"name": "mine", "namespace": "own"}, f"/apis/{GROUP}/namespaces/own/reviews", {"namespace": "own"}),
        (True, None, f"/apis/{GROUP}/namespaces/given/reviews", {"namespace": "given"}),
        (False, {"name": "mine", "namespace": "own"}, f"/apis/{GROUP}/reviews", {}),
    ],
)
def test_review_is_sent_without_a_name_and_answered_without_a_token(is_namespaced, metadata, path, sent):
    requests = []

    def send(request):
        requests.append(request)
        return {"status": {"allowed": True}, "spec": {"user": "ann", "token": "t0ken"}}

    kind = Kind(GROUP, REVIEW["kind"], "reviews", namespaced=is_namespaced)
    client = SimpleNamespace(kinds=SimpleNamespace(find=lambda *_name: kind), send=send)
    change = send_review(client, REVIEW | {"metadata": metadata}, "given")
    (request,) = requests
    assert (request.method, request.path, request.body["metadata"]) == ("POST", path, sent)
    assert change.after == {"apiVersion": GROUP, "kind": REVIEW["kind"], "status": {"allowed": True}, "spec": {"user": "ann"}}
    assert not change.is_change and change.key.name == ((metadata or {}).get("name") or "") and change.key.namespace == sent.get("namespace", "")


def test_an_answer_without_spec_is_taken_as_it_is():
    kind = Kind(GROUP, REVIEW["kind"], "reviews", namespaced=False)
    client = SimpleNamespace(kinds=SimpleNamespace(find=lambda *_name: kind), send=lambda _request: {"spec": None, "status": {}})
    assert send_review(client, REVIEW, "n").after == {"apiVersion": GROUP, "kind": REVIEW["kind"], "spec": None, "status": {}}
