# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Results of failed operations: they contain what was done before the failure."""

from __future__ import annotations

import functools
import itertools
import json
from types import SimpleNamespace

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.clock import Clock
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import exec as exec_module
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.availability import Availability
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import Kinds
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import UNKNOWN_KIND, PodwrightError
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_autoscale, pod_deployment, pod_exec, pod_gc, resource_set

from .local_pod import LocalPod

UIDS = map(str, itertools.count())
CANARY = "canary-in-env"


class Refusal(PodwrightError):
    """What the stub refuses with."""

    def __init__(self):
        super().__init__("Could not patch: forbidden", status=403, reason="Forbidden", hint="Grant it.")


class StubClient:
    """Keeps objects by (kind, name) and carries out the first `writes` writes.

    Attributes:
        refuse: called for what the write after those raises.
    """

    def __init__(self, *objects, writes=0, refuse=Refusal):
        self.clock, self.writes, self.refuse = Clock(), writes, refuse
        self.availability = Availability(self.clock)
        self.kinds = Kinds(self._discover)
        self.objects = {(item["kind"], item["metadata"]["name"]): item for item in objects}

    @staticmethod
    def _discover(path):
        if path == "/apis":
            return {}
        raise PodwrightError(f"no {path}", status=404, reason=UNKNOWN_KIND)

    def now(self):
        return 1e9

    def get(self, kind, _namespace, name):
        return self.objects.get((kind.name, name))

    def list(self, kind, _namespace=None, *_selectors, transform=lambda item: item, **_selection):
        return [transform(item) for (name, _name), item in self.objects.items() if name == kind.name], "1"

    def _write(self):
        self.writes -= 1
        if self.writes < 0:
            raise self.refuse()

    def apply(self, kind, _namespace, name, body, *_options, **_more):
        self._write()
        return self.objects.setdefault((kind.name, name), body | {"metadata": body["metadata"] | {"uid": next(UIDS), "resourceVersion": "1"}})

    def patch(self, kind, _namespace, name, body, *_options, **_more):
        self._write()
        self.objects[kind.name, name] = item = self.objects[kind.name, name] | {"spec": self.objects[kind.name, name]["spec"] | body.get("spec", {})}
        return item

    def delete(self, *_arguments, **_options):
        self._write()
        return True

    def stream(self, _request):
        raise PodwrightError('User "u" cannot watch resource', status=403, reason="Forbidden")

    poll_seconds = 0.05


def live(kind, name, spec=None, api_version="v1"):
    metadata = {"name": name, "namespace": "default", "uid": next(UIDS), "resourceVersion": "1", "creationTimestamp": "2001-01-01T00:00:00Z"}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec or {}}


def perform_on(client, module, **options):
    """(fields, error) of an operation against the stub."""
    params = {name: spec.get("default") for name, spec in module.ARGUMENTS.items()} | {"namespace": "default"} | options
    fields, error = attempt(module.OPERATION, Invocation(params, False, True, Console(), client))
    assert CANARY not in json.dumps(fields)
    assert CANARY not in str(error)
    return fields, error


DEPLOYMENT = {"name": "web", "image": "registry.example/web", "env": {"TOKEN": CANARY}}
CONFIG_MAPS = [{"apiVersion": "v1", "kind": kind, "metadata": {"name": "one"}} for kind in ("ServiceAccount", "ConfigMap")]


def test_a_refused_apply_is_an_error_with_the_plan():
    for module, options in ((pod_deployment, DEPLOYMENT), (pod_autoscale, {"name": "web", "target_cpu": 50})):
        web = [live("Deployment", "web", {"replicas": 1}, "apps/v1")] if module is pod_autoscale else []
        fields, error = perform_on(StubClient(*web), module, **options)
        assert (error.reason, error.status, fields["changed"]) == ("Forbidden", 403, False)
        assert [step["action"] for step in fields["plan"]] == ["none"] * len(fields["plan"]) != []


def test_result_of_a_refusal_has_what_was_applied_before():
    fields, error = perform_on(StubClient(writes=1), resource_set, definition=CONFIG_MAPS, wait=False)
    assert error.reason == "Forbidden"
    assert fields["changed"] is True
    assert fields["summary"] == {"create": 1, "none": 1}
    assert [item["kind"] for item in fields["resources"]] == ["ServiceAccount"]


def test_result_of_an_unforeseen_exception_has_what_was_done_before():
    fields, error = perform_on(StubClient(writes=1, refuse=lambda: KeyError(CANARY)), resource_set, definition=CONFIG_MAPS, wait=False)
    assert fields["summary"] == {"create": 1, "none": 1}
    assert (error.reason, str(error).count("KeyError")) == ("Unforeseen", 1)


def test_scaling_that_is_not_ready_in_time_reports_that_it_scaled():
    web = live("Deployment", "web", {"replicas": 1}, "apps/v1")
    fields, error = perform_on(StubClient(web, writes=1), pod_autoscale, name="web", replicas=3, wait_timeout=0.2)
    assert error.reason == "WaitFailed"
    assert (fields["changed"], fields["replicas"], fields["plan"][0]["action"]) == (True, {"before": 1, "after": 3, "desired": 3}, "patch")


def test_deletion_that_is_not_complete_in_time_reports_what_it_deleted():
    pod = live("Pod", "old", {"containers": [{"name": "main"}]})
    pod["status"] = {"phase": "Succeeded"}
    fields, error = perform_on(StubClient(pod, writes=1), pod_gc, completed={"max_age": 0, "keep_last": 0}, wait=True, wait_timeout=0.2)
    assert error.reason == "WaitFailed"
    assert (fields["changed"], [entry["name"] for entry in fields["deleted"]]) == (True, ["old"])


def test_an_empty_name_of_a_namespace_is_not_all_namespaces():
    pod = live("Pod", "old", {"containers": [{"name": "main"}]}) | {"status": {"phase": "Succeeded"}}
    for names in ([""], ["default", "Default"], ["*", ""]):
        client = StubClient(pod, writes=1)
        fields, error = perform_on(client, pod_gc, namespaces=names, completed={"max_age": 0, "keep_last": 0})
        assert error.message.startswith("namespaces") and error.reason == "BadOption" and not fields and client.writes == 1
    fields, error = perform_on(StubClient(pod, writes=1), pod_gc, namespaces=["default", "default"], completed={"max_age": 0, "keep_last": 0}, wait=False)
    assert error is None and len(fields["deleted"]) == 1


def test_a_command_that_ran_in_no_pod_has_no_exit_code(monkeypatch):
    monkeypatch.setattr(StubClient, "branch", lambda client: client, raising=False)
    fields, error = perform_on(StubClient(), pod_exec, command="true", label_selectors=["app=web"])
    assert error.reason == "NotFound" and fields["rc"] == fields["return_code"] == -1  # `until: result.rc == 0` retries it


@pytest.mark.parametrize(("check_mode", "rc"), [(False, -1), (True, 0)])
def test_a_command_that_did_not_run_has_an_exit_code_for_expressions(check_mode, rc):
    """`until: result.rc == 0` retries a command whose pod does not exist yet, and is met in check mode, as with ansible.builtin.command.

    Since ansible-core 2.21, an rc that is null is not in the result.
    """
    invocation = Invocation({"pod": "web", "label_selectors": None}, check_mode, False, Console())
    fields = pod_exec.describe(invocation, pod_exec.Executions([pod_exec.Execution(pod_exec.Container("n", "web", None))]))
    assert fields["rc"] == rc == fields["return_code"] and (fields.get("stdout_lines") == []) == check_mode
    assert pod_exec.describe(invocation, pod_exec.Executions()) == {"rc": -1, "return_code": -1}


@pytest.mark.parametrize("option", ["chdir", "creates", "removes"])
def test_a_home_directory_of_no_shell_is_refused(option):
    _fields, error = perform_on(StubClient(), pod_exec, command="true", pod="web", **{option: "~/x"})
    assert error.message == f"{option}: must not begin with '~', which no shell expands, got '~/x'." and error.reason == "BadOption"


def test_a_command_whose_output_cannot_be_written_has_run(tmp_path, monkeypatch):
    def fail(*_arguments):
        raise PodwrightError("No space left on device.")

    monkeypatch.setattr(pod_exec.AtomicFile, "write", fail)
    client = LocalPod("gnu", tmp_path, monkeypatch).client
    fields, error = perform_on(client, pod_exec, command=["echo", "out"], pod="web", container="c", stdout_file=str(tmp_path / "out"))
    assert "No space left" in error.message and fields["changed"] and fields["rc"] == -1


@pytest.mark.parametrize(("timeout", "given"), [(None, [None] * 3), (5, [5, 3, 1])])
def test_the_timeout_of_a_command_includes_the_checks_before_it(timeout, given, monkeypatch):
    times, timeouts, client = itertools.count(step=2), [], StubClient()

    class Process(SimpleNamespace):
        def __init__(self, _client, _container, command):
            super().__init__(rc=int("/missing" in command.words), has_started=True)
            timeouts.append(command.timeout)
            client.clock.monotonic = functools.partial(int, next(times) + 2)

        def __enter__(self):
            return self

        def __exit__(self, *_exception):
            pass

        def __iter__(self):
            return iter(())

    for module in (exec_module, pod_exec):
        monkeypatch.setattr(module, "Process", Process)
    client.branch, client.streams, client.clock.monotonic = lambda: client, SimpleNamespace(cancel=int), int
    _fields, error = perform_on(client, pod_exec, command="true", pod="web", creates="/missing", removes="/found", timeout=timeout)
    assert error is None and timeouts == given


@pytest.mark.parametrize("writes", [0, 1])
def test_a_refused_delete_is_no_change(writes):
    objects = [live("ConfigMap", "one"), live("ServiceAccount", "one")]
    fields, error = perform_on(StubClient(*objects, writes=writes), resource_set, definition=CONFIG_MAPS, state="absent", wait=False)
    assert error.reason == "Forbidden"
    assert (fields["changed"], fields["summary"].get("delete", 0)) == (bool(writes), writes)
