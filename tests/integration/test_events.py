# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The event source: the rulebook of the guide in the real ansible-rulebook, and outages of a real API server."""

from __future__ import annotations

import re
import signal
import threading

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, EVENT, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.event_source.stream import EventStream

from ..support.environment import KUBECONFIG, ROOT
from ..support.relay import Disruption
from ..support.rulebooks import running_rulebook
from ..support.waiting import wait_for
from .test_examples import examples, in_namespace

GUIDE = ROOT / "docs/guides/events.md"
CONFIG_MAP = BUILT_IN["v1", "ConfigMap"]


class Log(Console):
    """Keeps what the source does in `texts`."""

    def __init__(self):
        super().__init__()
        self.texts = []

    def progress(self, text):
        """Keep a text."""
        self.texts.append(text)


def block(language):
    """The block of the guide in a language."""
    return re.search(rf"^```yaml {language}\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)[1]


@pytest.fixture
def rulebook(namespace, tmp_path):
    """The rulebook of the guide in a running ansible-rulebook; a function that returns what it has printed so far."""
    (tmp_path / "failures.yml").write_text(block("rulebook").replace("namespaces: [default]", f"namespaces: [{namespace}]"))
    (tmp_path / "report.yml").write_text(block("playbook"))
    with running_rulebook(tmp_path, "failures.yml") as running:
        yield running


def test_rulebook_runs_a_playbook_for_each_task_that_fails(rulebook, namespace, play):
    process, output = rulebook
    wait_for(lambda: f"Watching Pods in namespace '{namespace}'" in output() or process.poll() is not None, 180)
    assert process.poll() is None, output()
    play(in_namespace(examples(GUIDE)[0].tasks, namespace), namespace=namespace)
    try:
        wait_for(lambda: "PLAY RECAP" in output() or process.poll() is not None, 180)
    except AssertionError:
        pytest.fail(output(), pytrace=False)
    shown = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", output()).split())
    assert "import failed with exit code 3 (Error): disk is full" in shown, output()
    assert shown.count("TASK [Report the failure]") == 1
    process.send_signal(signal.SIGTERM)
    process.wait(30)


def configure(client, namespace, name, value):
    """Create or change a ConfigMap."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}}
    client.apply(CONFIG_MAP, namespace, name, body, "test")


def test_changes_during_an_outage_are_events_afterwards(relay, client, box, namespace):
    is_out = threading.Event()
    relay.disruption = lambda number: Disruption(observe=lambda direction, data: not is_out.is_set())
    for name in ("same", "changed", "deleted"):
        configure(client, namespace, name, "1")
    options = {"host": relay.url, "validate_certs": False, "api_key": box[1], "namespaces": [namespace], "kinds": ["ConfigMap"]}
    console = Log()
    with EventStream(options, console) as stream:
        wait_for(lambda: console.texts)
        configure(client, namespace, "first", "1")
        assert stream.next(20)["name"] == "first"
        is_out.set()
        configure(client, namespace, "changed", "2")
        configure(client, namespace, "new", "1")
        client.delete(CONFIG_MAP, namespace, "deleted")
        assert stream.next(1) is None
        is_out.clear()
        events = [stream.next(30) for _number in range(3)]
        assert stream.next(0.5) is None
    assert sorted((event["type"], event["name"]) for event in events) == [("ADDED", "new"), ("DELETED", "deleted"), ("MODIFIED", "changed")]


def test_events_of_the_cluster_say_which_pod_they_are_about(client, namespace):
    with EventStream({"kubeconfig": KUBECONFIG, "namespaces": [namespace], "kinds": ["Event"], "reasons": ["FailedScheduling"]}, Console()) as stream:
        container = {"name": "task", "image": "busybox", "resources": {"requests": {"cpu": "1000"}}}
        client.create(POD, namespace, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "large"}, "spec": {"containers": [container]}}, "test")
        event = stream.next(20)
    assert (event["severity"], event["regarding"]["name"], event["kind"]) == ("Warning", "large", EVENT.name)
