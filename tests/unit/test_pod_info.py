# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pod_info waits for."""

from __future__ import annotations

import copy

from ansible_collections.podwright.core.plugins.module_utils._engine.console import Console
from ansible_collections.podwright.core.plugins.module_utils._engine.operation import Invocation, attempt
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_info

from .fake_cluster import FakeCluster

METADATA = {"name": "bad", "namespace": "n", "uid": "u"}
JOB = {"apiVersion": "batch/v1", "kind": "Job", "metadata": METADATA, "spec": {}, "status": {"active": 1}}
FAILED = {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"}]}


def test_an_object_that_fails_between_the_first_read_and_the_watch_is_not_waited_for(tmp_path):
    cluster = FakeCluster(tmp_path)
    cluster.objects["Job", "n", "bad"] = copy.deepcopy(JOB)
    read = cluster.get

    def get(*arguments):
        found = read(*arguments)
        cluster.objects["Job", "n", "bad"]["status"] = FAILED
        return found

    cluster.get = get
    params = {name: spec.get("default") for name, spec in pod_info.OPERATION.arguments.items()}
    params |= {"kind": "Job", "api_version": "batch/v1", "name": "bad", "namespace": "n", "wait": True, "wait_timeout": 30}
    _fields, error = attempt(pod_info.OPERATION, Invocation(params, False, False, Console(), cluster))
    assert "cannot become ready: BackoffLimitExceeded: too often" in error.message
