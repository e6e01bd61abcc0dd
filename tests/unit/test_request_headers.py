# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The headers of a response never decide what is in a result."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.pod_request import NAMED_HEADERS, _read_response

OWN = {"url", "headers", "status", "redirected", "msg", "content", "json", *NAMED_HEADERS}
HOSTILE = ("Add-Host", "Add-Group", "Unreachable", "Skipped", "Failed", "Changed", "Rc", "Invocation", "Exception", "Warnings", "Deprecations", "Diff")
HOSTILE += ("Ansible-Facts", "_ansible_no_log", "_ansible_verbose_always", "Status", "Msg", "Json", "Results", "Url", "Truncated", "Headers", "Reason")


def read(headers, content=b"hello", status=200):
    """The result's fields for a response."""
    response = SimpleNamespace(status=status, reason="OK", getheaders=lambda: headers)
    request = {"method": "GET", "path": "/", "return_content": True, "status_code": [200]}
    answer = SimpleNamespace(request=request, fields={"url": "http://web/"})
    _read_response(response, content, answer)
    return answer.fields


def test_every_header_is_under_one_key():
    fields = read([(name, "x") for name in HOSTILE])
    assert set(fields) <= OWN
    assert (fields["status"], fields["url"], fields["msg"]) == (200, "http://web/", "200 OK")
    assert fields["headers"] == {name.lower(): "x" for name in HOSTILE}


@given(st.lists(st.tuples(st.text(min_size=1, max_size=20), st.text(max_size=20)), max_size=8))
def test_no_name_becomes_a_key(headers):
    fields = read(headers)
    assert set(fields) <= OWN and (fields["status"], fields["content"]) == (200, "hello")


def test_each_of_several_cookies_can_be_seen():
    fields = read([("Set-Cookie", "a=1"), ("set-cookie", "b=2"), ("Content-Type", "application/json")], b"[1]")
    assert fields["set_cookie"] == fields["headers"]["set-cookie"] == "a=1, b=2"
    assert (fields["content_type"], fields["json"]) == ("application/json", [1])


def test_an_unwanted_status_is_an_error():
    with pytest.raises(PodwrightError, match="answered 503 OK instead of 200: hello"):
        read([], status=503)
