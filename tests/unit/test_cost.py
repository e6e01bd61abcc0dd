# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a batch of tasks costs in the engine: what is computed once, and what is not copied."""

from __future__ import annotations

from collections import Counter

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.masking import Masker
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import pod_template, runner, task_run
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.pod_template import build_manifest
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.redactor import redact_options
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.task_secret import secret_name
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.validation import validate

from .task_specs import spec as task_spec
from .test_interrupted_tasks import NoWatcher, TaskCluster, perform


@pytest.fixture
def calls(monkeypatch):
    """Counts the calls of the functions that build manifests and read the status of pods."""
    counts = Counter()

    def count(module, name):
        function = getattr(module, name)

        def counted(*arguments):
            counts[name] += 1
            return function(*arguments)

        monkeypatch.setattr(module, name, counted)

    count(pod_template, "_build")
    count(task_run, "read_pod")
    monkeypatch.setattr(runner, "Watcher", NoWatcher)
    monkeypatch.setattr(runner, "TICK_SECONDS", 0)
    return counts


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_manifest_is_built_once_and_a_status_is_read_once(tmp_path, calls, check_mode):
    cluster = TaskCluster(tmp_path)
    cluster.outcome = None
    options = {"name": None, "tasks": [{"name": f"t{number}"} for number in range(3)], "state": "present"}
    perform(cluster, check_mode, **options)
    assert calls["_build"] == 3
    if not check_mode:
        calls.clear()
        assert not perform(cluster, **options)[0]["changed"]
        assert calls == {"_build": 3, "read_pod": 3}


def test_secrets_have_a_name_of_their_own_in_each_manifest(tmp_path, calls):
    cluster = TaskCluster(tmp_path)
    perform(cluster, name=None, tasks=[{"name": name, "command": ["cat"], "stdin": "1"} for name in ("a", "b")], state="present")
    names = {name for kind, _namespace, name in cluster.objects if kind == "Secret"}
    assert calls["_build"] == len(names) == 2
    asked = task_spec(command=["cat"], stdin="1")
    validate(asked)
    assert len({secret_name(build_manifest(asked, "baseline")) for _each in range(3)}) == 3


def test_what_has_nothing_to_hide_is_not_copied():
    params = {"env": None, "tasks": [{"name": "a", "env": None}, {"name": "b", "env": {"X": "secret"}}]}
    shown = redact_options(params)
    assert shown["tasks"][0] is params["tasks"][0] and shown["tasks"][1]["env"]["X"].startswith("secret:")
    assert params["tasks"][1]["env"] == {"X": "secret"}
    assert redact_options(params["tasks"][0]) is params["tasks"][0]
    result = {"plain": {"a": [1, "b"], "c": None}, "hidden": {"a": ["password"]}, "internal": {"_ansible_x": 1, "other": 2}}
    cleaned = Masker({"password"}).clean(result)
    assert cleaned == {"plain": {"a": [1, "b"], "c": None}, "hidden": {"a": ["********"]}, "internal": {"ansible_x": 1, "other": 2}}
    assert cleaned["plain"] is result["plain"] and result["hidden"] == {"a": ["password"]}
