# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A task beside an ordinary proxy container: the pod and the Job complete, since the proxy is asked to terminate."""

from __future__ import annotations

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import JOB, POD

from ..support.operations import IMAGE
from ..support.waiting import wait_for

# Like a proxy it terminates at the first request to its port, and else only with the pod.
LISTEN = "printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n' | nc -l -p {port}"


def proxied(name, container, port, kind, command):
    proxy = {"name": container, "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", LISTEN.format(port=port)]}
    path = "/spec/template/spec/containers/-" if kind == "Job" else "/spec/containers/-"
    return {"name": name, "kind": kind, "command": command, "patches": [{"op": "add", "path": path, "value": proxy}]}


@pytest.mark.parametrize("mode", ["action", "module"])
def test_proxies_terminate_with_their_tasks(mode, play, client, namespace):
    tasks = [
        proxied("pod", "istio-proxy", 15020, "Pod", ["sleep", "1"]),
        proxied("job", "linkerd-proxy", 4191, "Job", ["sleep", "1"]),
        # The Job retries only once the proxy of the first pod has terminated; each pod has its own.
        proxied("retried", "istio-proxy", 15020, "Job", ["sh", "-c", "sleep 1; exit 3"]) | {"retries": 1},
    ]
    options = {"tasks": tasks, "state": "completed", "security_profile": "baseline", "wait_timeout": 120, **IMAGE}
    result = play([{"name": "Run", "podwright.core.task_pod": options}], namespace=namespace, mode=mode, expect=2).of("Run")
    assert [(task["state"], task["rc"]) for task in result["tasks"]] == [("succeeded", 0), ("succeeded", 0), ("failed", 3)], result
    assert wait_for(lambda: client.get(POD, namespace, "pod")["status"]["phase"] == "Succeeded")
    assert wait_for(lambda: client.get(JOB, namespace, "job")["status"].get("succeeded") == 1)
    assert wait_for(lambda: client.get(JOB, namespace, "retried")["status"].get("failed") == 2)
