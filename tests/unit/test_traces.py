# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Traces: which one a run belongs to, how tasks get to know it, and the spans that a collector gets."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.reports import file, traces
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.tracing import VARIABLE, Trace, add_context, open_trace

from ..support.collector import Collector
from .test_reports import model
from .test_task_order import batch, pods

TRACE, SPAN = "1" * 32, "2" * 16
CONTEXT = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """No trace of whoever runs the tests."""
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def warnings(monkeypatch):
    """The warnings of all runs."""
    texts = []
    monkeypatch.setattr(Console, "warn", lambda console, text: texts.append(text))
    return texts


def options(endpoint="http://c:4318", parent=None, headers=None):
    return {"endpoint": endpoint, "parent": parent, "headers": headers}


def test_a_run_belongs_to_the_given_trace_else_to_that_of_the_environment_else_to_a_new_one(monkeypatch):
    new = open_trace(options())
    assert (len(new.trace_id), len(new.span_id), new.parent_id, new.flags) == (32, 16, "", "01") and open_trace(options()).trace_id != new.trace_id
    given = open_trace(options(parent=CONTEXT))
    assert (given.trace_id, given.parent_id, given.is_sampled) == (TRACE, SPAN, True) and given.span_id != SPAN
    monkeypatch.setenv(VARIABLE, f"00-{TRACE}-{SPAN}-00")
    assert open_trace(options()).trace_id == TRACE and not open_trace(options()).is_sampled
    assert open_trace(options(parent=CONTEXT)).is_sampled


INVALID = ["", "x", f"00-{TRACE}-{SPAN}", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", CONTEXT.upper().replace("1", "A")]


@pytest.mark.parametrize("context", INVALID)
def test_an_invalid_context_is_refused_and_one_of_the_environment_is_ignored(monkeypatch, context):
    with pytest.raises(PodwrightError, match=r"trace\.parent: must be a trace context such as"):
        open_trace(options(parent=context))
    monkeypatch.setenv(VARIABLE, context)
    assert open_trace(options()).parent_id == ""


@pytest.mark.parametrize("endpoint", ["", "collector:4318", "ftp://c", "http://", "http:// c", "http://?a", "http://c#a", "http://c/v1/traces?a#b"])
def test_an_endpoint_must_be_a_url(endpoint):
    with pytest.raises(PodwrightError, match=r"trace\.endpoint: must be a URL"):
        open_trace(options(endpoint))


def test_an_endpoint_must_not_contain_credentials_which_the_error_does_not_show():
    with pytest.raises(PodwrightError, match=r"trace\.endpoint: must not contain credentials\.") as caught:
        open_trace(options("https://robot:canary@collector:4318/v1/traces"))
    assert "canary" not in str(caught.value) and "trace.headers" in str(caught.value)


def test_each_container_gets_the_context_unless_it_has_that_variable():
    own = {"name": "b", "env": [{"name": VARIABLE, "value": "own"}]}
    pod = {"spec": {"initContainers": [{"name": "i"}], "containers": [{"name": "a", "env": [{"name": "X", "value": "1"}]}, own]}}
    added = {"name": VARIABLE, "value": CONTEXT}
    expected = {"initContainers": [{"name": "i", "env": [added]}], "containers": [{"name": "a", "env": [{"name": "X", "value": "1"}, added]}, own]}
    assert add_context(pod, CONTEXT) == {"spec": expected} and pod["spec"]["initContainers"] == [{"name": "i"}]
    assert add_context({"spec": {"template": pod}}, CONTEXT) == {"spec": {"template": {"spec": expected}}}
    assert add_context(pod, None) is pod


def run(made, collector, *names, check_mode=False, parent=CONTEXT, headers=None, endpoint=None, **given):
    return made.perform(batch(*names, trace=options(endpoint or collector.url, parent, headers), **given), check_mode=check_mode)


@pytest.mark.parametrize("kind", ["Pod", "Job"])
def test_a_run_sends_a_span_for_each_task_attempt_and_phase(kind):
    made = model({"flaky": [3, 0], "bad": 4})
    with Collector() as collector:
        fields, error = run(made, collector, "flaky", {"name": "bad", "retries": 0}, kind=kind, retries=1, set="s", headers={"X-Key": 7})
    assert error and fields["trace_id"] == TRACE
    [(path, headers, spans)] = collector.requests
    assert path == "/v1/traces" and headers["X-Key"] == "7" and headers["Content-Type"] == "application/json"
    known = {span["spanId"]: span for span in spans}
    assert len(known) == len(spans) and {span["traceId"] for span in spans} == {TRACE}
    [root] = [span for span in spans if span["parentSpanId"] == SPAN]
    tasks = {span["name"]: span for span in spans if span["parentSpanId"] == root["spanId"]}
    assert root["name"] == "task_pod" and root["status"]["code"] == traces.FAILED and set(tasks) == {"flaky", "bad"}
    assert tasks["bad"]["status"] == {"code": traces.FAILED, "message": "Error"}
    assert {"key": "podwright.set", "value": {"stringValue": "s"}} in tasks["bad"]["attributes"]
    for span in spans:
        parent = known.get(span["parentSpanId"])
        assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
        assert span is root or int(parent["startTimeUnixNano"]) <= int(span["startTimeUnixNano"])
    attempts = [span for span in spans if span["parentSpanId"] == tasks["bad"]["spanId"]]
    assert {"key": "process.exit.code", "value": {"intValue": "4"}} in attempts[0]["attributes"]
    assert "running" in {span["name"] for span in spans if span["parentSpanId"] == attempts[0]["spanId"]}
    if kind == "Pod":
        assert tasks["flaky"]["status"] == {"code": traces.OK}
        assert [span["name"] for span in spans if span["parentSpanId"] == tasks["flaky"]["spanId"]] == ["attempt 1", "attempt 2"]


@pytest.mark.parametrize("kind", ["Pod", "Job"])
def test_a_task_is_not_run_again_because_of_another_trace_and_has_no_span_then(kind):
    made = model({})
    with Collector() as collector:
        fields, _error = run(made, collector, "a", kind=kind)
        assert fields["changed"] and [span["name"] for span in collector.spans][:2] == ["task_pod", "a"]
        context = Trace(TRACE, collector.spans[0]["spanId"]).id_of("n", "a")
        created = next(item for (name, *_rest), item in made.cluster.objects.items() if name == "Pod")
        assert {"name": VARIABLE, "value": f"00-{TRACE}-{context}-01"} in created["spec"]["containers"][0]["env"]
        assert collector.spans[1]["spanId"] == context, "what the task records is a part of its span"
        collector.requests.clear()
        fields, _error = run(made, collector, "a", kind=kind, parent=CONTEXT.replace("1", "3"))
        assert not fields["changed"] and [span["name"] for span in collector.spans] == ["task_pod"]


def test_nothing_is_sent_in_check_mode_of_invalid_options_or_without_sampling():
    made = model({})
    with Collector() as collector:
        assert run(made, collector, "a", check_mode=True)[0]["trace_id"] == TRACE
        assert run(made, collector, "a", stop_grace=3)[1].reason == "BadOption"
        assert run(made, collector, "a", parent=CONTEXT[:-1] + "0")[1] is None and pods(made) == {"a"}
    assert not collector.requests


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (503, b"busy", "it responded with status 503: busy"),
        (307, b"", "it responded with status 307"),
        (200, b"<html>Log in</html>", "its response is not that of a collector: <html>Log in"),
        (200, b"[]", "its response is not that of a collector"),
        (200, b"[" * 200_000, "its response is not that of a collector"),
        (200, b'{"partialSuccess": {"rejectedSpans": 1e999}}', "its response is not that of a collector"),
        (200, b'{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "old"}}', "it rejected 2 of 4"),
    ],
)
def test_a_collector_that_does_not_take_the_spans_is_a_warning(warnings, status, body, message):
    made = model({})
    with Collector(status, body) as collector:
        fields, error = run(made, collector, "a")
    assert error is None and fields["changed"]
    [warning] = warnings
    assert message in warning and "trace.endpoint" in warning


@pytest.mark.parametrize("body", [b"", b"\n", b"{}", b'{"partialSuccess": {}}', b'{"partialSuccess": {"rejectedSpans": 0, "errorMessage": "old"}}'])
def test_a_response_without_rejected_spans_is_no_warning(warnings, body):
    with Collector(202, body) as collector:
        assert run(model({}), collector, "a")[1] is None and collector.spans
    assert not warnings


@pytest.mark.parametrize(
    ("suffix", "path"),
    [
        ("", "/v1/traces"),
        ("/otlp/", "/otlp/v1/traces"),
        ("/v1/traces/", "/v1/traces"),
        ("?key=abc", "/v1/traces?key=abc"),
        ("/v1/traces?key=a/b?c/", "/v1/traces?key=a/b?c/"),
    ],
)
def test_spans_are_sent_to_the_path_for_traces_and_warnings_do_not_show_the_query(warnings, suffix, path):
    for status in (200, 503):
        with Collector(status) as collector:
            run(model({}), collector, "a", endpoint=collector.url + suffix)
        assert [request[0] for request in collector.requests] == [path]
    assert "status 503" in warnings[0] and "?" not in warnings[0]
    run(model({}), collector, "a", endpoint=collector.url + suffix)
    assert "it does not respond" in warnings[1] and "?" not in warnings[1]


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_the_span_of_a_run_contains_those_of_its_tasks_whatever_the_clocks_say(monkeypatch, seconds):
    time = traces.time.time
    monkeypatch.setattr(traces.time, "time", lambda: time() + seconds)
    with Collector() as collector:
        run(model({}), collector, "a")
    root, *others = collector.spans
    assert others
    assert int(root["startTimeUnixNano"]) <= min(int(span["startTimeUnixNano"]) for span in others)
    assert int(root["endTimeUnixNano"]) >= max(int(span["endTimeUnixNano"]) for span in others)


def test_spans_are_sent_even_if_the_report_cannot_be_written(monkeypatch, tmp_path):
    def refuse(*_arguments):
        raise PodwrightError("Could not write it.", reason="WriteFailed")

    monkeypatch.setattr(file, "write", refuse)
    with Collector() as collector:
        _fields, error = run(model({}), collector, "a", report=str(tmp_path / "report.html"))
    assert error.reason == "WriteFailed" and {"task_pod", "a"} < {span["name"] for span in collector.spans}


def test_an_unreachable_collector_is_a_warning(warnings):
    made = model({})
    with Collector() as collector:
        pass
    fields, error = run(made, collector, "a")
    assert error is None and fields["changed"] and "it does not respond" in warnings[0]
