# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which responses are accepted as those of an API server, and how others are reported."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import METADATA, Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import CONFIG_MAP, POD, SECRET
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.request import Request
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.shapes import find_misfit
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.websocket import open_websocket
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError, raise_explained
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import perform
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.resource_set import OPERATION

from .stub_server import LIVE_METADATA, POD_OBJECT, Response, StubServer, html

TOKEN = "c4n4ry-of-the-responses"
EXEC = Request("POST", POD.path("n", "a", "exec"), kind=POD, subresource="exec", namespace="n", name="a", retryable=False)
REDIRECT = {"Location": f"https://login.example.com/?token={TOKEN}"}

USES = {
    "get": lambda client: client.get(POD, "n", "a"),
    "list": lambda client: client.list(POD, "n"),
    "create": lambda client: client.create(POD, "n", POD_OBJECT, "me"),
    "apply": lambda client: client.apply(POD, "n", "a", POD_OBJECT, "me"),
    "delete": lambda client: client.delete(POD, "n", "a"),
    "log": lambda client: client.log("n", "a", "c"),
    "watch": lambda client: client.stream(Request("GET", POD.path("n"), (("watch", "true"),), kind=POD, namespace="n")),
    "discovery": lambda client: client.kinds.resolve("example.com/v1", "Widget"),
    "group": lambda client: client.kinds.find_if_served("example.com", "Widget"),
    "websocket": lambda client: open_websocket(client, EXEC, ["v5.channel.k8s.io"]),
}
STATUS = {"kind": "Status", "status": "Success"}
RESPONSES = {
    "redirect": (Response(302, b"", REDIRECT), ["302", "redirect to https://login.example.com"]),
    "permanent redirect": (Response(308, b"", REDIRECT), ["308", "redirect"]),
    "not modified": (Response(304, b"", {}), ["304"]),
    "page": (html(), ["200", "html"]),
    "page that is not found": (html(404), ["404", "Sign in"]),
    "forbidden page": (html(403), ["403", "Sign in"]),
    "echo": (Response(404, f"Authorization: Bearer {TOKEN}".encode(), {"Content-Type": "text/plain"}), ["404", "********"]),
    "plain text of another server": (Response(404, b"404 page not found\n", {"Content-Type": "text/plain"}), ["404"]),
    "JSON of another server": (Response(404, {"message": "not found", "reason": "NotFound"}), ["404", "not found"]),
}
NOT_OBJECTS = {
    "empty": (Response(200, b""), ["empty body"]),
    "null": (Response(200, b"null"), ["JSON that is not an object"]),
    "list": (Response(200, []), ["JSON that is not an object"]),
    "deep": (Response(200, b"[" * 100_000), ["not JSON"]),
    "no kind": (Response(200, {"metadata": {}}), ["without a kind"]),
    "other kind": (Response(200, {"kind": "Hostile\x1b[31m", "metadata": {}}), ["kind 'Hostile"]),
    "no metadata": (Response(200, {"kind": "Pod"}), ["kind 'Pod'"]),
    "items that are not a list": (Response(200, {"kind": "PodList", "metadata": {}, "items": {"a": 1}}), ["kind 'PodList'"]),
}


def error_of(response, use):
    """The error that a response causes."""
    with StubServer(lambda handler: response) as server, Client(Configuration({"host": server.url, "api_key": TOKEN})) as client:
        with pytest.raises(PodwrightError) as caught:
            USES[use](client)
        assert caught.value.reason and not caught.value.is_not_found
        return str(caught.value)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", RESPONSES)
def test_error_shows_a_response_that_is_not_of_an_api_server(name, use):
    response, words = RESPONSES[name]
    text = error_of(response, use)
    assert all(word.lower() in text.lower() for word in words) and TOKEN not in text and "\x1b" not in text, text


@pytest.mark.parametrize("use", ["get", "list", "create", "apply", "delete"])
@pytest.mark.parametrize("name", NOT_OBJECTS)
def test_response_must_be_an_object_of_the_requested_kind(name, use):
    response, words = NOT_OBJECTS[name]
    text = error_of(response, use)
    assert all(word in text for word in words) and "\x1b" not in text and "127.0.0.1" in text, text


@pytest.mark.parametrize("use", ["http", "websocket"])
def test_redirects_are_not_followed(use):
    with StubServer() as other:
        for status in (301, 302, 303, 307, 308):
            text = error_of(Response(status, b"", {"Location": other.url + "/"}), "websocket" if use == "websocket" else "get")
            assert "redirect" in text and str(status) in text
        assert other.heads == []


def test_responses_of_an_api_server_are_accepted():
    responses = {
        "/api/v1/namespaces/n/pods/a": Response(),
        "/api/v1/namespaces/n/pods": Response(200, {"kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": None}),
        "/apis/example.com": Response(
            200,
            {
                "kind": "APIGroup",
                "preferredVersion": {"groupVersion": "example.com/v2"},
                "versions": [{"groupVersion": v} for v in ("example.com/v2", "example.com/v1")],
            },
        ),
        "/apis/example.com/v2": Response(200, {"kind": "APIResourceList", "resources": []}),
        "/apis/example.com/v1": Response(200, {"kind": "APIResourceList", "resources": [{"kind": "Widget", "name": "widgets", "namespaced": True}]}),
        "/apis": Response(200, {"kind": "APIGroupList", "groups": []}),
    }
    missing = Response(404, {"kind": "Status", "reason": "NotFound", "message": 'pods "b" not found', "details": {"name": "b"}})
    unserved = Response(404, b"404 page not found\n", {"Content-Type": "text/plain"})

    def respond(handler):
        path = handler.path.partition("?")[0]
        return responses.get(path) or (missing if path.endswith("/b") else unserved)

    with StubServer(respond) as server, Client(Configuration({"host": server.url})) as client:
        assert client.get(POD, "n", "a") == POD_OBJECT and client.list(POD, "n") == ([], "7")
        assert client.get(POD, "n", "b") is None and client.delete(POD, "n", "b") is False
        assert client.kinds.find_served("example.com", "Widget").api_version == "example.com/v1"
        assert client.kinds.find_if_served("other.example.com", "Widget") is None
        with pytest.raises(PodwrightError, match=r"Kind 'Gadget' not found in example.com/v1; kinds of example.com/v1: Widget\."):
            client.kinds.resolve("example.com/v1", "Gadget")
        with pytest.raises(PodwrightError, match=r"Kind 'Gadget' not found in other.example.com/v1; the API server does not serve other.example.com/v1\."):
            client.kinds.resolve("other.example.com/v1", "Gadget")
        with pytest.raises(PodwrightError, match=r"the API server does not serve example.com/v3, but example.com/v2, example.com/v1"):
            client.kinds.resolve("example.com/v3", "Widget")
        with pytest.raises(PodwrightError, match="Install Kueue first, or correct api_version and kind"):
            client.kinds.resolve("kueue.x-k8s.io/v1beta1", "LocalQueue")
        assert METADATA not in "".join(server.heads)


def test_discovery_is_not_cached_beyond_a_client(tmp_path, monkeypatch):
    """A definition may be replaced between two tasks."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    plurals = ["gadgets"]

    def respond(handler):
        return Response(200, {"kind": "APIResourceList", "resources": [{"kind": "Gadget", "name": plurals[0], "namespaced": plurals[0] == "gadgets"}]})

    with StubServer(respond) as server:
        for plurals[0] in ("gadgets", "gadgetry"):
            with Client(Configuration({"host": server.url})) as client:
                kind = client.kinds.resolve("example.com/v1", "Gadget")
                assert (kind.plural, kind.namespaced) == (plurals[0], plurals[0] == "gadgets")
                client.kinds.resolve("example.com/v1", "Gadget")
        assert len(server.heads) == 2 and not list(tmp_path.iterdir())


def test_error_is_never_its_own_cause():
    error = PodwrightError("failed")
    with pytest.raises(PodwrightError) as caught:
        try:
            raise error
        except PodwrightError as caught_error:
            raise_explained(caught_error, caught_error)
    assert caught.value.__cause__ is None and caught.value.__context__ is None


@pytest.mark.parametrize("name", ["list", "get"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        (("metadata", "uid"), None),
        (("metadata", "labels"), {"a": 1}),
        (("metadata", "ownerReferences"), [{"kind": "Job"}]),
        (("metadata", "name"), 5),
        (("metadata", "creationTimestamp"), "yesterday"),
        (("spec", "containers"), [{}]),
        (("spec", "containers"), []),
        (("spec", "volumes"), [None]),
        (("status",), "Running"),
        (("status",), {"containerStatuses": [{"name": "c", "state": {"terminated": {}}}]}),
    ],
)
def test_fields_of_an_object_must_have_their_types(name, field, value):
    item = copy.deepcopy(POD_OBJECT)
    parent = item
    for key in field[:-1]:
        parent = parent[key]
    parent[field[-1]] = value
    body = {"kind": "PodList", "metadata": {}, "items": [POD_OBJECT, item]} if name == "list" else item
    assert f"invalid field {'items[1].' if name == 'list' else ''}{'.'.join(field)}" in error_of(Response(200, body), name)


def test_response_to_another_request_is_an_error():
    other = POD_OBJECT | {"metadata": POD_OBJECT["metadata"] | {"name": "b"}}
    assert "responded with 200 and Pod 'b'" in error_of(Response(200, other), "get")


def test_status_that_repeats_a_token_is_masked():
    """With a token from a kubeconfig, which Ansible does not know as a secret."""
    assert TOKEN not in error_of(Response(403, {"kind": "Status", "message": f"bad token {TOKEN}", "reason": "Forbidden"}), "get")


@pytest.mark.parametrize("details", [[], "text", {"causes": {}}, {"causes": [5, None, {"field": 5}]}])
def test_details_of_a_status_may_have_any_type(details):
    assert "no (422 Invalid)" in error_of(Response(422, {"kind": "Status", "message": "no", "reason": "Invalid", "details": details}), "get")


def test_message_of_a_status_is_shortened():
    assert len(error_of(Response(500, {"kind": "Status", "message": "x" * 100_000}), "create")) < 11_000


HEADS = [b"HTTP/1.1 201 Created\r\nContent-Length: 512\r\nDate: x\r\n\r\n", b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\nDate: x\r\n\r\n"]


@pytest.mark.search
@pytest.mark.parametrize("use", ["get", "apply"])
@pytest.mark.parametrize("head", HEADS)
def test_a_response_whose_head_is_cut_is_a_lost_connection(use, head):
    sent = []

    def cut(handler):
        handler.wfile.write(head[: sent[-1]])
        raise ConnectionAbortedError

    with StubServer(cut) as server, Client(Configuration({"host": server.url})) as client:
        for size in range(len(head)):
            sent.append(size)
            with pytest.raises(PodwrightError) as caught:
                USES[use](client)
            assert caught.value.reason == "ConnectionLost", (head[:size], caught.value)


@pytest.mark.parametrize("kind", [CONFIG_MAP, SECRET])
def test_data_must_be_text(kind):
    item = {"metadata": LIVE_METADATA | {"name": "a"}, "data": {"a": "b"}}
    assert find_misfit(item, kind) is None
    assert find_misfit(item | {"data": {"a": 1}}, kind) == "data"


def test_what_the_server_warns_of_is_a_warning_of_the_task():
    """As kubectl shows it: deprecated versions, policies that only warn, fields without effect. Each text once, and not for reads."""
    texts = r'299 - "would violate PodSecurity \"restricted:latest\": privileged", 299 - "v1 Pod is deprecated"'

    def respond(handler):
        headers = {"Content-Type": "application/json", "Warning": texts}
        name = handler.path.partition("?")[0].rpartition("/")[2]
        item = POD_OBJECT | {"metadata": POD_OBJECT["metadata"] | {"name": name}}
        if handler.command == "PATCH":
            return Response(200, item, headers)
        return Response(404, {"kind": "Status", "reason": "NotFound", "message": "not found"}, headers)

    with StubServer(respond) as server:
        params = {name: spec.get("default") for name, spec in OPERATION.arguments.items()}
        pods = [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}} for name in ("a", "b")]
        params |= {"host": server.url, "namespace": "n", "definition": pods, "wait": False, "concurrency": 1}
        result = perform(OPERATION, params, False, False, Console())
        quiet = perform(OPERATION, params, False, False, Console(), no_log=True)  # a webhook may quote values
    begin = "The API server warns of Pod 'a': "
    assert "warnings" not in quiet
    assert result["warnings"] == [
        f'{begin}would violate PodSecurity "restricted:latest": privileged',
        f"{begin}v1 Pod is deprecated",
    ]
