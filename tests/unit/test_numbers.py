# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Numbers from outside are read by one strict parser with a range: other text has a default and never raises."""

from __future__ import annotations

import ast
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.arguments import check_ranges
from ansible_collections.podwright.core.plugins.module_utils._engine.clients import prometheus
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.garbage.candidate import read_candidate
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.labels import ATTEMPT, MAX_DEPTH, TTL, number_of
from ansible_collections.podwright.core.plugins.module_utils._engine.objects.readiness import assess
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_autoscale, pod_deployment
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.decision import attempt_of
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.owner import Parent
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.record import read_record
from ansible_collections.podwright.core.plugins.module_utils._engine.text import LARGEST, parse_integer, parse_number

from .test_structure import FILES, name_of, tree

ODD = st.one_of(
    st.sampled_from(["", " 1", "1 ", "+1", "1_0", "\u00b2", "\u0661", "1" * 5000, "-", "--1", "1e3", "1.0", "0x10", "nan", "inf", "1\n", str(LARGEST + 1)]),
    st.text(alphabet="0123456789-+._eExX\u00b2\u0661 \n", max_size=25),
    st.text(max_size=5),
)
STAMP = "2001-01-01T00:00:00Z"


@given(st.one_of(ODD, st.integers(), st.floats(), st.booleans(), st.none()))
def test_integers_are_ascii_digits_within_the_range(value):
    number = parse_integer(value, 1000, -5)
    exact = re.fullmatch("-?[0-9]{1,19}", value) if isinstance(value, str) else isinstance(value, int) and not isinstance(value, bool)
    assert number == (int(value) if exact and -5 <= int(value) <= 1000 else None)
    assert parse_number(value) is None or abs(parse_number(value)) <= 1e18


def item(text, **fields):
    metadata = {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "1", "creationTimestamp": STAMP}
    metadata |= {"labels": {ATTEMPT: text}, "annotations": {TTL: text, MAX_DEPTH: text}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "task"}]}} | fields


@given(ODD)
def test_text_in_annotations_labels_and_records_never_raises(text):
    assert number_of(item(text), TTL) == parse_integer(text) == read_candidate(POD, item(text)).ttl
    assert attempt_of(item(text)) >= 1
    record = read_record(item(text, data={"rc": text, "attempt": text}))
    assert record.attempt >= 1 and record.status.rc == parse_integer(text, 2**31 - 1, -(2**31) + 1)
    child = Parent(item("3"), False).as_child(item(text, metadata={"name": "b", "labels": {}, "annotations": {MAX_DEPTH: text}}))
    assert 0 <= int(child["metadata"]["annotations"][MAX_DEPTH]) <= 2
    assert assess(item(text, kind="Any", status={"observedGeneration": text})).state


@pytest.mark.parametrize(
    "data",
    [{}, {"resultType": "vector"}, {"resultType": "vector", "result": [{}]}, {"resultType": "vector", "result": [{"value": [1, "x"]}]}, [], None]
    + [{"resultType": "scalar", "result": value} for value in ([1], 5, "ab", [1, None])],
)
def test_malformed_result_of_prometheus_is_an_error(data, monkeypatch):
    monkeypatch.setattr(prometheus, "_query_url", lambda *_: {"status": "success", "data": data})
    with pytest.raises(PodwrightError) as caught:
        prometheus.query_prometheus(None, "n", "http://p", "up")
    assert caught.value.reason == "NoPrometheus"


def test_a_revision_is_at_least_1():
    check_ranges(pod_deployment.ARGUMENTS, {"revision": 1})
    with pytest.raises(PodwrightError, match="revision: must be 1 or greater, got 0"):
        check_ranges(pod_deployment.ARGUMENTS, {"revision": 0})


@pytest.mark.parametrize("name", ["replicas", "current_replicas", "min_replicas", "max_replicas", "target_cpu", "target_memory"])
def test_replicas_fit_into_the_fields_of_kubernetes(name):
    for arguments in (pod_autoscale.ARGUMENTS, pod_deployment.ARGUMENTS) if name == "replicas" else (pod_autoscale.ARGUMENTS,):
        check_ranges(arguments, {name: 2**31 - 1})
        with pytest.raises(PodwrightError, match=f"{name}: must be 2147483647 or less, got 3000000000"):
            check_ranges(arguments, {name: 3_000_000_000})


def test_no_other_parser_of_digits():
    methods = [(name_of(path), node.attr) for path in FILES for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)]
    found = {name for name, method in methods if method in {"isdigit", "isnumeric", "isdecimal"}}
    assert {name for name in found if not name.startswith("transfer/")} <= {"objects/quantity", "cluster/transport"}
