# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""JSON Patches of tasks as nobody should write them: a manifest of the shape of a Pod or Job, or an error that names the operation."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.pod_template import build_manifest
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.validation import validate

from ..support.environment import scaled
from .task_specs import spec

EXAMPLES = scaled(60)
STEPS = [
    "",
    "metadata",
    "labels",
    "annotations",
    "name",
    "spec",
    "containers",
    "0",
    "1",
    "-",
    "-1",
    "00",
    "01",
    "1e0",
    "²",
    "9" * 30,
    "env",
    "image",
    "template",
]
STEPS += ["~", "~0", "~1", "~2", "podwright.io~1hash", "kind", "é", "\ud83d\ude00", "a b"]
POINTERS = st.lists(st.sampled_from(STEPS), max_size=6).map(lambda steps: "".join(f"/{step}" for step in steps)) | st.sampled_from(
    ["", "/", "spec", "#/spec", "//"]
)
VALUES = st.one_of(st.none(), st.booleans(), st.integers(-1, 2), st.text(max_size=3), st.sampled_from([[], {}, [[]], {"a": None}, [{"name": "task"}], 2**70]))
WORDS = st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "Add", "", None, 1, []])
OPERATIONS = st.fixed_dictionaries({}, optional={"op": WORDS, "path": POINTERS | VALUES, "from": POINTERS | VALUES, "value": VALUES, "other": VALUES})
CONTAINERS = ["/spec/containers", "/spec/containers/0", "/spec/template/spec/containers/0", "/spec", "/metadata", "/metadata/labels"]
USUAL = st.fixed_dictionaries({"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]), "path": st.sampled_from(CONTAINERS) | POINTERS},
                              optional={"from": st.sampled_from(CONTAINERS), "value": VALUES})  # fmt: skip


@given(st.lists(OPERATIONS | USUAL, min_size=1, max_size=4), st.sampled_from(["Pod", "Job"]))
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
def test_odd_patches_have_a_clear_result(patches, kind):
    task = spec(kind=kind, patches=patches, env={"A": "b"}, labels={"a": "b"})
    before = json.dumps(patches)
    try:
        validate(task)
    except PodwrightError as error:
        assert error.message.startswith("patches"), error
        return
    finally:
        assert json.dumps(patches) == before
    manifest = build_manifest(task, "baseline")
    json.dumps(manifest)
    assert build_manifest(task, "baseline") == manifest
    assert manifest["kind"] == kind and isinstance(manifest["metadata"]["labels"], dict) and manifest["metadata"]["name"] == "t"
