# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each integration target runs as actions and as modules, and both must return the same results.

Actions run as the administrator, modules with no permission but those that the role rbac grants for the purpose of each.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonpatch
import pytest
import yaml

from ..support.environment import KUBECONFIG, ROOT
from ..support.permissions import PURPOSES, RULES, documented, grant, impersonate, service_account, used_permissions

pytestmark = pytest.mark.versions

TARGETS = sorted(path.parent.parent.name for path in (Path(__file__).parent / "targets").glob("*/tasks/main.yml"))

# Values that differ between runs.
VOLATILE_KEYS = {"elapsed", "date", "uid", "resourceVersion", "creationTimestamp", "duration", "pod_ip", "started_at", "finished_at", "last_seen", "age"}
VOLATILE_KEYS |= {
    "podIP",
    "podIPs",
    "status",
    "managedFields",
    "invocation",
    "phase",
    "node",
    "nodeName",
    "events",
    "cpu",
    "memory",
    "generation",
    "clusterIP",
    "clusterIPs",
    "exit_codes",
    "report",  # files in a directory of their own
    "source",  # the kubeconfig, which differs
    "finalizers",  # the job controller removes its own from a finished pod a little later
}
VOLATILE_TEXT = [
    (re.compile(r"secret:[0-9a-f]{12}"), "secret:DIGEST"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UID"),
    (re.compile(r"applyset-[-\w]+-v1"), "APPLYSET"),
    (re.compile(r"[0-9a-f]{64}(@\d+)?"), "CONTAINER"),
    (re.compile(r"test-[0-9a-f]{8}"), "NAMESPACE"),
    (re.compile(r"\(from (KUBECONFIG=|kubeconfig )[^()]*(\([^()]*\))?[^()]*\)"), "(from SOURCE)"),
    (re.compile(r"(?s)Events:\n.*?(?=\nLog\b|\Z)"), "EVENTS"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"), "TIME"),
    (re.compile(r"within [0-9.]+ s"), "within TIME"),
    (re.compile(r"\d+ s ago"), "TIME ago"),
    (re.compile(r"started for \d+ s"), "started for TIME"),
    (re.compile(r"\bjob-[a-z0-9]{5}\b"), "JOB-POD"),
    (re.compile(r"\b(?:indexed-\d|suspended)-[a-z0-9]{5}\b"), "JOB-POD"),
    (re.compile(r"0/\d+ nodes are available:[^\n]*"), "NODES"),
    (re.compile(r"podwright-copy-\w+"), "DIRECTORY"),
    (re.compile(r"podwright-helper-\w+"), "HELPER"),
    (re.compile(r"kube-api-access-\w{5}"), "TOKEN-VOLUME"),
    (re.compile(r"-private-[0-9a-f]{8,}"), "-private-SECRET"),
]
# Keys that Ansible adds.
IGNORED_KEYS = {"exception", "failed_when_suppressed_exception", "module_stdout", "module_stderr", "ansible_facts"}
MODULES = {f"podwright.core.{path.stem}" for path in (ROOT / "plugins/action").glob("*.py")}


def normalize(value):
    """A result without the values that differ between runs."""
    if isinstance(value, dict):
        # The digest of such a task depends on the namespace.
        if any(text in str(value.get("spec")) for text in ("-private-", "hostPath")) and "labels" in value["metadata"]:
            value["metadata"]["labels"].pop("podwright.io/hash", None)
        return {normalize(key): normalize(item) for key, item in value.items() if key not in VOLATILE_KEYS and not key.startswith("_ansible")}
    if isinstance(value, list):
        return [normalize(item) for item in value]
    if isinstance(value, str):
        for pattern, word in VOLATILE_TEXT:
            value = pattern.sub(word, value)
    return value


def summarize(played):
    """(name, outcome, results or None) of each task; only the results of our modules are compared."""
    entries = []
    for entry in played.results:
        results = entry["result"].get("results", [entry["result"]])
        kept = [{key: value for key, value in normalize(result).items() if key not in IGNORED_KEYS | _varying(result)} for result in results]
        entries.append([entry["task"], entry["outcome"], kept if entry["action"] in MODULES else None])
    return entries


def _varying(result):
    """The keys of a result that depend on how busy the machine is: a time limit strikes in any step."""
    return {"msg", "hint"} if result.get("reason") == "Timeout" else set()


def as_accounts(tasks, namespace, kubeconfigs):
    """A play in which each module has the kubeconfig of its account; objects of other kinds than Pod are read as the administrator."""
    tasks = [dict(task) for task in tasks]
    for task in tasks:
        if "kind" in (task.get("podwright.core.pod_info") or ()):
            task["podwright.core.pod_info"] = task["podwright.core.pod_info"] | {"kubeconfig": KUBECONFIG}
    defaults = {"group/podwright.core.all": {"namespace": namespace, "kubeconfig": KUBECONFIG}}
    defaults |= {f"podwright.core.{module}": {"kubeconfig": str(path)} for module, path in kubeconfigs.items()}
    return [{"hosts": "localhost", "gather_facts": False, "module_defaults": defaults, "tasks": tasks}]


@pytest.mark.usefixtures("python_image")
@pytest.mark.parametrize("target", TARGETS)
def test_actions_and_modules_return_the_same_results(target, client, play, make_namespace, audit, tmp_path):
    directory = Path(__file__).parent / "targets" / target
    tasks = yaml.safe_load((directory / "tasks/main.yml").read_text())
    namespaces = {mode: make_namespace() for mode in ("action", "module")}  # each mode starts with an empty one
    users = {module: service_account(namespaces["module"], module.replace("_", "-")) for module in PURPOSES}
    for module, user in users.items():
        grant(client, user, namespaces["module"], RULES[PURPOSES[module]], user.rpartition(":")[2])
    kubeconfigs = {module: impersonate(user, tmp_path) for module, user in users.items()}

    def run(mode):
        played = as_accounts(tasks, namespaces[mode], kubeconfigs) if mode == "module" else tasks
        return summarize(play(played, mode=mode, namespace=namespaces[mode], variables={"target_folder": str(directory)}))

    with ThreadPoolExecutor() as pool:
        actions, modules = pool.map(run, namespaces)
    assert len(actions) >= len(tasks)
    for action, module in zip(actions, modules, strict=True):
        assert not jsonpatch.make_patch(action, module).patch, action[0]
    used = {module: used_permissions(audit.entries(user)) for module, user in users.items()}
    listed = documented()
    assert {module: more for module, found in used.items() if (more := found - listed[module].needed - listed[module].comfort)} == {}
