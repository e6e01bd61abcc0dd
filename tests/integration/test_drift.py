# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Drift as a service: the playbook reconcile with its reports, and the rulebook of the guide that repairs drift, in the real ansible-rulebook."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import time
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import MERGE_PATCH
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import CONFIG_MAP, SECRET

from ..support.environment import CORES, KUBECONFIG, ROOT
from ..support.examples import lines_of
from ..support.permissions import grant, impersonate, service_account
from ..support.playbooks import mode_variables, play_environment
from ..support.rulebooks import running_rulebook
from ..support.waiting import wait_for

GUIDE = ROOT / "docs/guides/drift.md"
ODD = '{{ 1 + 1 }} <&"]]>\x07 \u00fc\n'  # text that means something else in a template, in XML, or nothing in XML
LABELS = {"app": "shop"}
SETTINGS = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "labels": LABELS}, "data": {"colour": "blue", "odd": ODD}}
OTHER = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other", "labels": LABELS}, "data": {"size": "large"}}
PASSWORD = "hunter2-314159"


@pytest.fixture
def manifests(tmp_path):
    """A directory with a manifest in each of two files, and a file that is none of them."""
    directory = tmp_path / "manifests"
    (directory / "below").mkdir(parents=True)
    (directory / "settings.yml").write_text(yaml.safe_dump(SETTINGS))
    (directory / "below/other.json").write_text(json.dumps(OTHER))
    (directory / "below/.other.yml").write_text("of an editor: {")
    return directory


@pytest.fixture(params=["action", *(pytest.param(way, marks=pytest.mark.long) for way in ("module", "oldest") if way == "module" or way in CORES)])
def reconcile(request, namespace, manifests, playbooks, tmp_path):
    """A function that runs the playbook with these variables, beside the directory. Returns (exit code, output, report as JSON, elements of JUnit)."""

    def run(*arguments, kubeconfig=KUBECONFIG, **variables):
        given = {"namespace": namespace, "src": "manifests", "set": "shop", "json": "drift.json", "junit": "drift.xml"} | variables
        extra = {f"podwright_{name}": value for name, value in given.items()} | mode_variables(request.param)
        extra |= {"ansible_python_interpreter": str(playbooks.interpreter)} if request.param != "oldest" else {}
        files = [tmp_path / "drift.json", tmp_path / "drift.xml"]
        for file in files:
            file.unlink(missing_ok=True)
        command = ["podwright.core.reconcile", "--extra-vars", json.dumps(extra), *arguments]
        if request.param == "oldest":
            environment = play_environment(tmp_path / "record") | {"KUBECONFIG": str(kubeconfig), "HOME": str(tmp_path)}
            command = [str(CORES["oldest"] / "ansible-playbook"), *command]
            done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
            code, output = done.returncode, done.stdout + done.stderr
        else:
            played = playbooks.start(command, tmp_path, {"KUBECONFIG": str(kubeconfig)}).finish(300)
            code, output = played.rc, played.output
        assert "[DEPRECATION WARNING]" not in output and "Traceback" not in output
        if not all(file.exists() for file in files):
            return code, output, None, None
        root = ElementTree.fromstring(files[1].read_bytes())  # noqa: S314 - it is ours
        suite = root.find("testsuite")
        assert {name: root.attrib[name] for name in COUNTS} == {name: suite.attrib[name] for name in COUNTS} == counted(suite)
        return code, output, json.loads(files[0].read_text()), suite

    return run


COUNTS = {"tests": "testcase", "failures": "testcase/failure", "errors": "testcase/error"}


def counted(suite):
    """The attributes of a test suite that say how many elements it has."""
    return {name: str(len(suite.findall(path))) for name, path in COUNTS.items()}


def actions_of(report):
    """{name: action} of the objects of a report."""
    return {item["name"]: item["action"] for item in report["objects"] if item["name"] != "podwright-set-shop"}


def case_of(suite, name) -> Any:
    """The test case of an object, by the end of its name."""
    (found,) = (case for case in suite if case.attrib["name"].endswith(f" {name}"))
    return found


@pytest.mark.versions
def test_drift_is_reported_for_pipelines_and_repaired(reconcile, client, namespace, manifests):
    code, output, report, suite = reconcile(mode="repair")
    assert code == 0 and "changed=1 " in output and report["changed"] and suite.attrib["failures"] == "0"
    assert client.get(CONFIG_MAP, namespace, "settings")["data"] == SETTINGS["data"]

    client.patch(CONFIG_MAP, namespace, "settings", {"data": {"colour": "red", "odd": None}}, "kubectl-edit", MERGE_PATCH)
    (manifests / "below/other.json").unlink()
    code, output, report, suite = reconcile(fail_on_drift="false")
    assert code == 0 and "changed=0 " in output and report["drift"] and actions_of(report) == {"settings": "patch", "other": "delete"}
    assert f"delete  ConfigMap {namespace}/other" in output and re.search(rf"patch   ConfigMap {namespace}/settings: (/data/colour|/data/odd, /data/c)", output)
    case = case_of(suite, "settings")
    assert (case.attrib["name"], case.attrib["classname"]) == ("v1 ConfigMap settings", namespace) and suite.attrib["failures"] == "2"
    action, *operations = case.find("failure").text.splitlines()
    assert action == "patch" and f"add /data/odd {json.dumps(ODD, ensure_ascii=False)}" in operations
    assert 'replace /data/colour "blue" (live: "red")' in operations and "colour: red" in json.dumps(report["diff"])

    code, output, report, suite = reconcile(mode="repair", expect=report["plan_digest"])
    assert code == 0 and actions_of(report) == {"settings": "patch", "other": "delete"} and case_of(suite, "other").find("system-out") is not None
    assert client.get(CONFIG_MAP, namespace, "settings")["data"] == SETTINGS["data"] and client.get(CONFIG_MAP, namespace, "other") is None
    code, output, report, suite = reconcile()
    assert code == 0 and "changed=0 " in output and not report["drift"] and suite.attrib["failures"] == "0"


@pytest.mark.parametrize("ignored", [["data.size"], "data.size,metadata.labels.app"])
def test_fields_that_others_set_are_no_drift(ignored, reconcile, client, namespace):
    assert reconcile(mode="repair", ignored_fields=ignored)[0] == 0
    client.patch(CONFIG_MAP, namespace, "other", {"data": {"size": "small"}}, "somebody", MERGE_PATCH)
    assert reconcile(ignored_fields=ignored)[0] == 0
    assert reconcile()[0] == 2


def test_objects_of_several_namespaces_are_compared_as_far_as_the_user_may_read_them(reconcile, client, make_namespace, namespace, manifests, tmp_path):
    elsewhere, user = make_namespace(), service_account(namespace, "reader")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "password"}, "stringData": {"password": PASSWORD}}
    twin = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "twin", "namespace": elsewhere}, "data": {"a": "b"}}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "odd\x07<"}, "rules": []}
    (manifests / "below/more.yaml").write_text(yaml.safe_dump_all([secret, twin, role]))
    client.create(CONFIG_MAP, elsewhere, twin | {"data": {"a": "c"}}, "kubectl-create")
    grant(client, user, namespace, [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "patch", "create"]}], "reader")
    grant(client, user, elsewhere, [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}], "reader")
    code, output, report, suite = reconcile("-vvv", kubeconfig=impersonate(user, tmp_path), set="")
    assert code == 2 and PASSWORD not in output + json.dumps(report)
    assert report["failed"] and report["drift"] and actions_of(report)["other"] == "create"
    for name, verb, action in (("password", "get", "none"), ("twin", "patch", "patch"), ("odd\ufffd<", "get", "none")):
        error = case_of(suite, name).find("error")
        assert f"cannot {verb} resource" in error.attrib["message"] and error.text.startswith(action), name
        assert f"{action:7} {case_of(suite, name).attrib['name'].split()[1]} " in output
    assert suite.attrib["errors"] == "3"
    assert [case_of(suite, name).attrib["classname"] for name in ("other", "twin", "odd\ufffd<")] == [namespace, elsewhere, "cluster"]
    assert client.get(CONFIG_MAP, namespace, "other") is None and client.get(SECRET, namespace, "password") is None


def block(language):
    """The block of the guide in a language."""
    return re.search(rf"^```{language}\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)[1]


@pytest.mark.long
def test_the_commands_of_the_guide_show_what_it_shows(client, namespace, playbooks, tmp_path):
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests/settings.yml").write_text(block("yaml manifest"))
    program, *words = shlex.split(block("sh report").replace("namespace=default", f"namespace={namespace}"))
    assert program == "ansible-playbook"
    environment = {"KUBECONFIG": KUBECONFIG, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    words += ["-e", f"ansible_python_interpreter={playbooks.interpreter}"]
    shown = [line.replace("default/", f"{namespace}/") for line in lines_of(block("console report"))]
    for arguments, code in (([], 2), (["-e", "podwright_mode=repair"], 0), ([], 0)):
        played = playbooks.start([*words, *arguments], tmp_path, environment).finish(300)
        assert played.rc == code, played.output
        assert code == 0 or [line for line in lines_of(played.stdout) if line in shown] == shown
    assert client.get(CONFIG_MAP, namespace, "shop-settings")["data"] == {"colour": "blue"} and (tmp_path / "drift.xml").exists()


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({"mode": "fix", "src": "missing"}, "podwright_mode: must be report or repair, got"),
        pytest.param({"src": "missing"}, "podwright_src: must be", marks=pytest.mark.long),
        pytest.param({"src": ""}, "podwright_src: must be", marks=pytest.mark.long),
        pytest.param({"json": "missing/drift.json"}, "must be different files in existing directories", marks=pytest.mark.long),
        pytest.param({"expect": ""}, "expect", marks=pytest.mark.long),
    ],
)
def test_invalid_variables_change_nothing(variables, text, reconcile, client, namespace):
    code, output, _report, _suite = reconcile(**{"mode": "repair"} | variables)
    assert code == 2 and text in output and client.get(CONFIG_MAP, namespace, "settings") is None


@pytest.mark.long
def test_what_cannot_be_compared_is_an_error_of_the_report(reconcile, client, namespace, manifests):
    reconcile(mode="repair")
    (manifests / "below/other.json").write_text('{"apiVersion": "v1", "kind": "Nonsense", "metadata": {"name": "n"}}')
    code, _output, report, suite = reconcile(mode="repair")
    assert code == 2 and report["failed"] and "Nonsense" in report["msg"]
    assert "Nonsense" in suite.find("testcase/error").text and "Nonsense" in suite.find("testcase/error").attrib["message"]
    (manifests / "below/other.json").write_text("{")
    code, _output, report, suite = reconcile()
    assert code == 2 and "below/other.json is invalid at line" in report["msg"]
    (manifests / "below/other.json").unlink()
    (manifests / "settings.yml").write_text("# nothing\n---\n")
    code, _output, report, suite = reconcile(mode="repair")
    assert code == 2 and "src: no manifests found in" in report["msg"]
    assert client.get(CONFIG_MAP, namespace, "settings"), "an empty directory must not prune the whole set"


@pytest.fixture
def rulebook(request, namespace, manifests, tmp_path):
    """The rulebook of the guide in a running ansible-rulebook: (process, a function that returns what it has printed so far). Its parameter: a heartbeat."""
    text = block("yaml rulebook").replace("namespaces: [default]", f"namespaces: [{namespace}]").replace("heartbeat: 300", f"heartbeat: {request.param}")
    text = text.replace("podwright_namespace: default", f"podwright_namespace: {namespace}")
    (tmp_path / "drift.yml").write_text(text.replace("/srv/shop/manifests", str(manifests)))
    with running_rulebook(tmp_path, "drift.yml") as (process, output):

        def wait(condition):
            started = time.monotonic()
            try:
                wait_for(lambda: condition() or process.poll() is not None, 200)
            except AssertionError:
                pytest.fail(output(), pytrace=False)
            assert process.poll() is None, output()
            print(f"after {time.monotonic() - started:.1f} s")

        wait(lambda: "Watching ConfigMaps" in output())
        yield wait
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@pytest.mark.long
@pytest.mark.parametrize("rulebook", [3600], indirect=True)
def test_the_rulebook_repairs_what_somebody_changes(rulebook, client, play, namespace, manifests):
    play([{"podwright.core.resource_set": {"set": "shop", "src": str(manifests / "settings.yml")}}], namespace=namespace)
    rulebook(lambda: client.get(CONFIG_MAP, namespace, "other"))  # the set lacked it
    for change in ({"data": {"colour": "red"}}, {"metadata": {"labels": {"app": None}}}, {"metadata": {"labels": None}}, None):
        if change:
            client.patch(CONFIG_MAP, namespace, "settings", change, "kubectl-edit", MERGE_PATCH)
        else:
            client.delete(CONFIG_MAP, namespace, "settings")
        rulebook(lambda: is_repaired(client.get(CONFIG_MAP, namespace, "settings")))


def is_repaired(item):
    return item and item.get("data") == SETTINGS["data"] and LABELS.items() <= item["metadata"].get("labels", {}).items()


@pytest.mark.long
@pytest.mark.parametrize("rulebook", [5], indirect=True)
def test_a_heartbeat_repairs_what_is_not_watched(rulebook, client, namespace, manifests):
    rulebook(lambda: client.get(CONFIG_MAP, namespace, "settings"))  # which no event is about
    (manifests / "below/other.json").write_text(json.dumps(OTHER | {"metadata": {"name": "other"}}))
    rulebook(lambda: not client.list(CONFIG_MAP, namespace, label_selector="app=shop")[0][1:])
    client.delete(CONFIG_MAP, namespace, "other")
    rulebook(lambda: client.get(CONFIG_MAP, namespace, "other"))
