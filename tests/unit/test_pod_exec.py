# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options of pod_exec: when a command is skipped, in which directory, and in which pods it runs."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Command
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_errors import pod_not_found
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_markers import Markers
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import POD
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_exec
from ansible_collections.podwright.core.plugins.module_utils._engine.text import SHOWN_CHARACTERS

from .fake_cluster import FakeCluster


class Pods(FakeCluster):
    """Pods in which programs run."""

    def branch(self):
        """Another client of the same cluster."""
        return self

    @property
    def streams(self):
        """What a stopped operation cancels."""
        return self

    def cancel(self):
        """Nothing is open."""

    def add(self, name, phase="Running", **metadata):
        """A pod in a phase."""
        metadata = {"name": name, "namespace": "n", "uid": name, "labels": {"app": "web"}} | metadata
        self.objects["Pod", "n", name] = {"kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "task"}]}, "status": {"phase": phase}}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that runs the operation in pods of these phases; returns its result, its error, its warnings and the commands that ran."""

    def perform(existing=(), phases=(("web", "Running"),), deleting=(), rc=0, stderr=b"", check_mode=False, **given):
        cluster, ran, console = Pods(tmp_path), [], Console()
        for name, phase in phases:
            cluster.add(name, phase, **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if name in deleting else {}))

        def path_exists(client, container, path, _timeout):
            if client.get(POD, container.namespace, container.pod) is None:
                raise pod_not_found(container)
            return path in existing

        def run_process(_client, execution, command, _on_stdout, on_stderr):
            ran.append((execution.container.pod, command))
            on_stderr(stderr)
            execution.rc, execution.has_started = rc, True

        monkeypatch.setattr(pod_exec, "path_exists", path_exists)
        monkeypatch.setattr(pod_exec, "_run_process", run_process)
        params = {name: spec.get("default") for name, spec in pod_exec.ARGUMENTS.items()} | {"namespace": "n", "command": ["x"]} | given
        result, error = attempt(pod_exec.OPERATION, Invocation(params, check_mode, False, console, cluster))
        return result, error, console.warnings, ran

    return perform


@pytest.mark.parametrize(
    ("options", "skipped"),
    [
        ({"creates": "done.txt", "chdir": "/tmp"}, "creates: /tmp/done.txt exists in pod 'web' in namespace 'n'."),
        ({"removes": "done.txt", "chdir": "/tmp"}, None),
        ({"removes": "/tmp/done.txt", "chdir": "/var"}, None),
        ({"removes": "done.txt", "chdir": "/var"}, "removes: /var/done.txt does not exist in pod 'web' in namespace 'n'."),
        ({"creates": "done.txt", "chdir": "work"}, "creates: work/done.txt exists in pod 'web' in namespace 'n'."),
        ({"removes": "done.txt"}, "removes: done.txt does not exist in pod 'web' in namespace 'n'."),
        ({"removes": "", "creates": "", "chdir": "/tmp"}, None),
    ],
)
def test_paths_of_creates_and_removes_are_relative_to_chdir_and_not_set_if_empty(run, options, skipped):
    """As in ansible.builtin.command."""
    result, error, _warnings, ran = run(existing=("/tmp/done.txt", "work/done.txt"), pod="web", **options)
    assert error is None and result.get("msg") == skipped and len(ran) == (skipped is None) and result["changed"] == (skipped is None)


def test_an_empty_directory_is_not_set():
    command = Command(["pwd"], chdir="", timeout=1)
    assert "cd " not in Markers("abc").wrap(command)[2] and not Command(["pwd"], chdir="").needs_shell


def test_an_empty_list_of_selectors_does_not_exclude_a_pod(run):
    assert [pod for pod, _command in run(pod="web", label_selectors=[])[3]] == ["web"]
    assert "mutually_exclusive" in pod_exec.OPERATION.rules and not any("pod" in names for names in pod_exec.OPERATION.rules["mutually_exclusive"])
    _result, error, _warnings, ran = run(pod="web", label_selectors=["app=web"])
    assert str(error) == "pod: must not be set with label_selectors." and not ran


def test_pods_that_do_not_run_yet_or_any_more_are_skipped_with_a_warning(run):
    phases = [("late", "Pending"), ("web", "Running"), ("lost", "Unknown"), ("leaving", "Running"), ("done", "Succeeded"), ("bad", "Failed")]
    result, error, warnings, ran = run(phases=phases, deleting=("leaving",), label_selectors=["app=web"])
    assert error is None and [pod for pod, _command in ran] == ["web"] and result["changed"]
    assert warnings == ["Pods that match app=web were skipped because they are not running: late (Pending), leaving (being deleted), lost (Unknown)."]
    assert run(phases=[("web", "Running"), ("done", "Succeeded")], label_selectors=["app=web"])[2] == []


@pytest.mark.parametrize(
    ("stderr", "shown"),
    [
        (b"1\n2\n3\n4\n5\n 6\n\n", "\n  2\n  3\n  4\n  5\n   6"),
        (b"first\n" + b"x" * (6 << 20), "\n  " + "x" * SHOWN_CHARACTERS),
        (b"10 %\r" * (1 << 20) + b"disk full\n", "\n  disk full"),
    ],
)
def test_an_error_shows_the_end_of_the_output(run, stderr, shown):
    """A line can have any length; the result has the whole output in any case."""
    result, error, _warnings, _ran = run(pod="web", rc=1, stderr=stderr)
    assert error.message == f"The command in pod 'web' in namespace 'n' failed with exit code 1:{shown}"
    assert result["stderr"] == stderr.decode().rstrip("\n")


@pytest.mark.parametrize("options", [{"pod": "web", "creates": "/tmp/x"}, {"pod": "web", "removes": "/tmp/x"}, {"label_selectors": ["app=web"]}])
@pytest.mark.parametrize("phases", [[], [("other", "Pending")]])
def test_a_command_in_a_pod_that_an_earlier_task_would_create_is_skipped_in_check_mode(run, options, phases):
    result, error, warnings, ran = run(phases=phases, check_mode=True, **options)
    assert error is None and result["changed"] and result["skipped"] and result["rc"] == 0 and not ran
    obstacle = "Pod 'web' not found in namespace 'n'." if "pod" in options else "No running pod in namespace 'n' matches app=web"
    assert result["msg"].startswith(f"Check mode: the command was not run: {obstacle}") and result.get("results", []) == []
    assert len(warnings) == 1 and warnings[0].startswith("Namespace 'n' not found"), "its name may be wrong, too"
    assert run(phases=phases, **options)[1].reason == "NotFound"
