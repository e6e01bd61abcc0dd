# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options whose values are text, as those of variables of the command line and of AWX surveys."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_gc, task_pod
from ansible_collections.podwright.core.plugins.module_utils._engine.option_reader import normalize_options


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ('["builds", "tests"]', ["builds", "tests"]),
        (' ["builds"]\n', ["builds"]),
        ("[]", []),
        ("builds,tests", "builds,tests"),  # which the validation splits
        ("[a-z]*", "[a-z]*"),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_json_text_of_a_list_is_a_list(given, read):
    assert normalize_options(pod_gc.ARGUMENTS, {"namespaces": given}) == {"namespaces": read}


def test_json_text_of_a_list_is_checked_like_a_list():
    tasks = '[{"name": "a", "env": null, "needs": "[\\"b\\"]"}]'
    assert normalize_options(task_pod.ARGUMENTS, {"tasks": tasks}) == {"tasks": [{"name": "a", "needs": ["b"]}]}
    for text, message in (("[5]", r"tasks\[0\]: must be a mapping"), ('[{"retries": 1e999}]', "must be a finite number"), ("[NaN]", "tasks")):
        with pytest.raises(PodwrightError, match=message):
            normalize_options(task_pod.ARGUMENTS, {"tasks": text})
