# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The headers of a response never choose the fields of a result; those of a request are the metadata of a gRPC call."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.clients.http import HttpRequest, HttpResponse, join_headers
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_request
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.pod_request import NAMED_HEADERS, Exchange, _read_response, describe

DEFAULTS = {name: spec.get("default") for name, spec in pod_request.ARGUMENTS.items()}
FIELDS = {"url", "headers", "status", "redirected", "msg", "content", "json", "truncated", *NAMED_HEADERS}
HOSTILE = ("Add-Host", "Add-Group", "Unreachable", "Skipped", "Failed", "Changed", "Rc", "Invocation", "Exception", "Warnings", "Deprecations", "Diff")
HOSTILE += ("Ansible-Facts", "_ansible_no_log", "_ansible_verbose_always", "Status", "Msg", "Json", "Results", "Url", "Truncated", "Headers", "Reason")


def read(headers, content=b"hello", status=200):
    """The fields of the result for a response."""
    request = HttpRequest("http", "GET", "/", {}, None, 30)
    exchange = Exchange({"return_content": True, "status_code": [200]}, request, True, {"url": "http://web/"})
    _read_response(HttpResponse(status, "OK", join_headers(headers), content, False), exchange)
    return exchange.fields


def test_all_headers_are_in_one_field():
    fields = read([(name, "x") for name in HOSTILE])
    assert set(fields) <= FIELDS
    assert (fields["status"], fields["url"], fields["msg"]) == (200, "http://web/", "200 OK")
    assert fields["headers"] == {name.lower(): "x" for name in HOSTILE}


@given(st.lists(st.tuples(st.text(min_size=1, max_size=20), st.text(max_size=20)), max_size=8))
def test_the_name_of_a_header_never_becomes_a_field(headers):
    fields = read(headers)
    assert set(fields) <= FIELDS and (fields["status"], fields["content"]) == (200, "hello")


def test_several_values_of_a_header_are_joined():
    fields = read([("Set-Cookie", "a=1"), ("set-cookie", "b=2"), ("Content-Type", "application/json")], b"[1]")
    assert fields["set_cookie"] == fields["headers"]["set-cookie"] == "a=1, b=2"
    assert (fields["content_type"], fields["json"]) == ("application/json", [1])


@pytest.mark.parametrize(
    ("body", "headers", "message", "metadata"),
    [
        (None, {}, {}, {}),
        ("", {"A": True, "b": None}, {}, {"a": "true", "b": ""}),
        ('{"service": "x"}', {"trace-bin": "AAH/"}, {"service": "x"}, {"trace-bin": b"\0\1\xff"}),
        ({"service": "x"}, {"Trace-Bin": "YWI"}, {"service": "x"}, {"trace-bin": b"ab"}),
    ],
)
def test_message_and_metadata_of_grpc_are_encoded(body, headers, message, metadata):
    options = pod_request.prepare(DEFAULTS | {"protocol": "grpc", "body": body, "headers": headers}, "").options
    assert options["body"] == message and options["headers"] == metadata


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"body": 5}, "requests[1].body: must be a mapping of the fields of the gRPC message, or one in JSON, got int."),
        ({"body": "c4n4ry"}, "requests[1].body: must be a mapping of the fields of the gRPC message, or one in JSON, got other text."),
        ({"body": "[1]"}, "requests[1].body: must be"),
        ({"headers": {"a!": "x"}}, "requests[1].headers: must have names of gRPC metadata"),
        ({"headers": {"a": "é"}}, "requests[1].headers.a: must be printable ASCII"),
        ({"headers": {"a-bin": "c4n4ry!"}}, "requests[1].headers.a-bin: must be in base64"),
    ],
)
def test_invalid_messages_and_metadata_of_grpc_are_refused(options, error):
    with pytest.raises(PodwrightError) as caught:
        pod_request.prepare(DEFAULTS | {"protocol": "grpc"} | options, "requests[1].")
    assert str(caught.value).startswith(error) and "c4n4ry" not in str(caught.value)


def test_an_unexpected_status_is_an_error():
    with pytest.raises(PodwrightError, match="returned 503 OK instead of 200: hello"):
        read([], status=503)


@pytest.mark.parametrize("hint", ["", "Check pod."])
def test_a_failed_request_has_a_hint_only_if_there_is_one(hint):
    request = HttpRequest("http", "GET", "/", {}, None, 30)
    failed = Exchange({"protocol": "http"}, request, True, error=PodwrightError("no response", reason="NoAnswer", hint=hint))
    fields = describe(SimpleNamespace(check_mode=False, params={"requests": None}), [failed])
    assert (fields["failed"], fields["msg"], fields["reason"], fields.get("hint")) == (True, "no response", "NoAnswer", hint or None)
