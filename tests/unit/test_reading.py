# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pod_info reads: kinds by any name, namespaces, pages, metadata, Secrets; and the fields it hides."""

from __future__ import annotations

import base64
import urllib.parse

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, Kinds, find_built_in
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import UNKNOWN_KIND, PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.field_paths import read_paths, without_fields
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import perform
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.pod_info import OPERATION

from .stub_server import LIVE_METADATA, Response, StubServer


def resource(kind, plural, *short_names):
    return {"kind": kind, "name": plural, "singularName": kind.lower(), "namespaced": True, "shortNames": list(short_names)}


DISCOVERY = {
    "/api/v1": [resource("Pod", "pods", "po")],
    "/apis/a.example.com/v1": [resource("Widget", "widgets", "wdg"), resource("Gateway", "gateways")],
    "/apis/b.example.com/v2": [resource("Gateway", "gateways")],
}
GROUPS = [{"preferredVersion": {"groupVersion": path.removeprefix("/apis/")}} for path in DISCOVERY if path.startswith("/apis/")]


def discover(path):
    if path == "/apis":
        return {"kind": "APIGroupList", "groups": GROUPS}
    if path in DISCOVERY:
        return {"kind": "APIResourceList", "resources": DISCOVERY[path]}
    raise PodwrightError("the server could not find the requested resource", status=404, reason=UNKNOWN_KIND)


@pytest.mark.parametrize(("name", "kind"), [("deployment", "Deployment"), ("Deployments", "Deployment"), ("po", "Pod"), ("pods", "Pod"), ("HPA", "")])
def test_built_in_kinds_are_found_by_any_name_without_a_request(name, kind):
    found = Kinds(None).find(None, name)
    assert found.name == (kind or "HorizontalPodAutoscaler") and (found.api_version, found.name) in BUILT_IN


@pytest.mark.parametrize("api_version", [None, "a.example.com/v1"])
@pytest.mark.parametrize("name", ["Widget", "widget", "WIDGETS", "wdg"])
def test_other_kinds_are_found_by_any_name(name, api_version):
    assert Kinds(discover).find(api_version, name).name == "Widget"


def test_a_built_in_kind_is_not_found_in_another_api_version():
    assert find_built_in("apps/v1beta1", "deployment") is None and find_built_in("v1", "deployment") is None


def test_a_kind_of_several_groups_needs_its_api_version():
    with pytest.raises(PodwrightError, match=r"a\.example\.com/v1, b\.example\.com/v2\. Set api_version"):
        Kinds(discover).find(None, "gateway")
    assert Kinds(discover).find("b.example.com/v2", "gateway").api_version == "b.example.com/v2"


def test_the_error_about_an_unknown_kind_lists_similar_ones():
    with pytest.raises(PodwrightError, match=r"Kind 'Wigdet' not found in any API group; similar kinds: Widget \(a\.example\.com/v1\)") as caught:
        Kinds(discover).find(None, "Wigdet")
    assert caught.value.reason == UNKNOWN_KIND


# -- requests -------------------------------------------------------------------------------------------------


class Cluster:
    """Responds with these objects, in pages as an API server does, and records the requests."""

    def __init__(self, *items):
        self.items, self.requests = list(items), []

    def respond(self, handler):
        path, _mark, query = handler.path.partition("?")
        parameters = dict(urllib.parse.parse_qsl(query))
        self.requests.append((path, parameters, handler.headers["Accept"]))
        first = int(parameters.get("continue", 0))
        last = min(first + int(parameters.get("limit", 0) or len(self.items)), len(self.items))
        rest = len(self.items) - last
        metadata = {"resourceVersion": "1"} | ({"continue": str(last), "remainingItemCount": rest} if rest else {})
        return Response(body={"apiVersion": "v1", "kind": "List", "metadata": metadata, "items": self.items[first:last]})


def read(cluster, no_log=False, **options):
    with StubServer(cluster.respond) as server:
        params = {name: spec.get("default") for name, spec in OPERATION.arguments.items()}
        params |= {"host": server.url, "api_key": "a-token", "validate_certs": False} | options
        return perform(OPERATION, params, False, False, Console(), no_log)


def pod(name, namespace="n"):
    return {"metadata": LIVE_METADATA | {"name": name, "namespace": namespace}, "spec": {"containers": [{"name": "task"}]}, "status": {"phase": "Running"}}


def test_pods_of_all_namespaces_are_read():
    cluster = Cluster(pod("a", "one"), pod("a", "two"))
    result = read(cluster, all_namespaces=True, namespace="one")
    assert [entry["namespace"] for entry in result["pods"]] == ["one", "two"]
    assert [path for path, _query, _accept in cluster.requests] == ["/api/v1/pods"]


def test_a_limit_says_what_is_missing_and_the_token_reads_on():
    cluster = Cluster(*(pod(f"p{number}") for number in range(7)))
    first = read(cluster, limit=3)
    assert [item["metadata"]["name"] for item in first["resources"]] == ["p0", "p1", "p2"]
    assert (first["truncated"], first["remaining"], first["continue_token"]) == (True, 4, "3")
    last = read(cluster, limit=10, continue_token=first["continue_token"])
    assert [item["metadata"]["name"] for item in last["resources"]] == ["p3", "p4", "p5", "p6"]
    assert (last["truncated"], last["remaining"], last["continue_token"]) == (False, 0, "")


def test_a_large_limit_is_read_in_pages():
    cluster = Cluster(*(pod(f"p{number}") for number in range(1100)))
    result = read(cluster, limit=1050)
    assert len(result["resources"]) == 1050 and result["remaining"] == 50
    assert [query["limit"] for _path, query, _accept in cluster.requests] == ["500", "500", "50"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 3, "wait_for": "ready"}, "limit: must not be set with wait_for."),
        ({"limit": 3, "metrics": True}, "limit: must not be set with metrics."),
        ({"metadata_only": True, "wait": True}, "metadata_only: must not be set with wait."),
        ({"all_namespaces": True, "parent": "a"}, "all_namespaces: must not be set with parent."),
        ({"continue_token": "x"}, "continue_token: must not be set without limit."),
        ({"limit": -1}, "limit: must be 0 or greater, got -1."),
        ({"limit": 0}, "limit: must be 1 or greater, got 0."),
        ({"hidden_fields": ["a..b"]}, "hidden_fields[0]: must be the path of a field"),
        ({"hidden_fields": ["spec.containers[-1]"]}, "hidden_fields[0]: must be the path of a field"),
        ({"hidden_fields": ["/spec/replicas"]}, "hidden_fields[0]: must be the path of a field"),
        ({"secret_values": True, "kind": "Secret"}, "secret_values: must not be true unless the task has no_log: true"),
    ],
)
def test_options_that_exclude_each_other_are_refused_before_any_request(options, message):
    cluster = Cluster()
    result = read(cluster, **options)
    assert result["msg"].startswith(message) and result["failed"] and not cluster.requests


def test_values_of_secrets_are_returned_only_if_requested():
    value = base64.b64encode(b"hunter22").decode()
    secret = {"metadata": LIVE_METADATA | {"name": "login", "namespace": "n"}, "data": {"password": value}}
    shown = read(Cluster(secret), no_log=True, kind="Secret", namespace="n", secret_values=True)
    assert shown["resources"][0]["data"] == {"password": value}
    hidden = read(Cluster(secret), no_log=True, kind="secrets", namespace="n")
    assert hidden["resources"][0]["data"]["password"].startswith("secret:")


def test_secret_values_of_another_kind_are_refused():
    # With no_log the message is hidden, and the reason is not.
    assert read(Cluster(), no_log=True, secret_values=True, kind="ConfigMap")["reason"] == "BadOption"


def test_metadata_only_requests_metadata_and_returns_the_kind():
    cluster = Cluster({"metadata": LIVE_METADATA | {"name": "a", "namespace": "n"}, "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"})
    result = read(cluster, name="a", namespace="n", metadata_only=True)
    assert (result["resources"][0]["kind"], result["resources"][0]["apiVersion"], "pods" in result) == ("Pod", "v1", False)
    ((path, query, accept),) = cluster.requests
    assert path == "/api/v1/namespaces/n/pods" and query["fieldSelector"] == "metadata.name=a" and "PartialObjectMetadataList" in accept


def test_an_unserved_kind_fails_with_api_found_false():
    def respond(handler):
        body = {"/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []}}.get(handler.path)
        return Response(body=body) if body else Response(404, b"404 page not found\n", {"Content-Type": "text/plain"})

    cluster = Cluster()
    cluster.respond = respond
    result = read(cluster, kind="Gadget", api_version="example.com/v1")
    assert (result["failed"], result.get("api_found"), result.get("resources")) == (True, False, []), result


def test_hidden_fields_are_removed_wherever_they_are():
    item = {
        "metadata": {"name": "a", "annotations": {"x/y": "x", "b": "y"}},
        "spec": {"containers": [{"name": "c", "env": [1, 2]}, {"name": "d"}]},
    }
    paths = read_paths("hidden_fields", ["metadata.annotations[x/y]", "spec.containers[0].env", "spec.containers[1]", "status", "metadata.name.x"])
    assert without_fields(item, paths) == {"metadata": {"name": "a", "annotations": {"b": "y"}}, "spec": {"containers": [{"name": "c"}]}}
    assert item["spec"]["containers"][0]["env"] == [1, 2], "the object itself is not changed"


def test_a_hidden_field_of_each_item_of_a_list():
    item = {"webhooks": [{"name": "a", "caBundle": "x"}, {"name": "b", "caBundle": "y"}, "odd"], "*": 1}
    paths = read_paths("ignored_fields", ["webhooks[*].caBundle", "name[*].x"])
    assert without_fields(item, paths) == {"webhooks": [{"name": "a"}, {"name": "b"}, "odd"], "*": 1}
    assert without_fields(item, read_paths("ignored_fields", ["webhooks[*]", "[*]"])) == {"webhooks": []}


def test_hidden_items_of_a_list_are_those_of_the_original_positions():
    paths = read_paths("hidden_fields", ["l[0]", "l[2]"])
    assert without_fields({"l": ["a", "b", "c"]}, paths) == {"l": ["b"]}
    many = {"l": list(range(12))}
    assert without_fields(many, read_paths("hidden_fields", ["l[9]", "l[10]"])) == {"l": [*range(9), 11]}
