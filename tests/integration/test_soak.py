# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hours of reconciling, batches, copies, commands and garbage collection over connections that are cut and delayed: nothing grows."""

from __future__ import annotations

import gc
import hashlib
import itertools
import logging
import os
import random
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, POD
from ansible_collections.podwright.core.plugins.module_utils._engine.operations import pod_copy, pod_exec, pod_gc, pod_info, pod_logs, resource_set, task_pod

from ..support.environment import SCALE
from ..support.operations import IMAGE, call
from ..support.relay import DOWN, SEED, UP, Disruption

MINUTES = 90 * min(SCALE, 1)  # a smaller scale for a short look
LOST = {"ConnectionLost", "Refused", "Timeout"}
GROWTH = 12 << 20  # bytes of memory that may be more in the last quarter than in the second
KINDS = [BUILT_IN[kind] for kind in (("v1", "Pod"), ("v1", "ConfigMap"), ("v1", "Secret"), ("networking.k8s.io/v1", "NetworkPolicy"))]


def held() -> dict[str, int]:
    """What this process holds: bytes of memory, and numbers of descriptors, threads, temporary files and files of the discovery cache."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    temporary = [path for path in Path(tempfile.gettempdir()).glob("*") if "podwright" in path.name]
    cache = list((Path.home() / ".cache/podwright").glob("*.json")) + list((Path.home() / ".kube/cache").glob("**/podwright*"))
    descriptors = len(os.listdir("/proc/self/fd"))
    return {"memory": resident, "descriptors": descriptors, "threads": threading.active_count(), "files": len(temporary), "cache": len(cache)}


def disrupted(chance: random.Random) -> Disruption:
    """Mostly no disruption; else a cut at a byte, or small or merged pieces."""
    kind = chance.random()
    if kind < 0.1:
        return Disruption((chance.choice([UP, DOWN]), int(10 ** chance.uniform(1, 6))))
    return Disruption(pieces=chance.choice([0, 0, 5000]), merges=kind > 0.95)


def payload_of(turn: int) -> bytes:
    """What a turn copies."""
    return hashlib.shake_256(str(turn).encode()).digest(200_000)


def operations(directory: Path, number: int):
    """Operations of one turn, each (module, options, whether a lost connection may fail it)."""
    (directory / "source").write_bytes(payload_of(number))
    tasks = [{"name": f"task-{item}", "command": ["sh", "-c", "cat; exit 0"], "stdin": f"{number}"} for item in range(3)]
    maps = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"map-{item}"}, "data": {"turn": str(number % 7)}} for item in range(5)]
    yield resource_set, {"name": "soak", "definition": maps[: 2 + number % 4], "prune": True, "wait_timeout": 30}
    yield task_pod, {"tasks": tasks, "state": "completed", "network": "isolated", "rerun": "always", "cleanup": "never", "wait_timeout": 90, **IMAGE}
    yield pod_copy, {"pod": "box", "local_path": str(directory / "source"), "remote_path": "/srv/copy"}
    yield pod_copy, {"pod": "box", "state": "from_pod", "remote_path": "/srv/copy", "local_path": str(directory / "back")}
    yield pod_exec, {"pod": "box", "command": ["cat"], "stdin": "x" * 50_000, "timeout": 60}
    yield pod_logs, {"label_selectors": ["podwright.io/task"], "tail_lines": 5}
    yield pod_info, {"kind": "Pod", "label_selectors": ["podwright.io/task"]}
    yield pod_gc, {"completed": {"max_age": 0, "keep_last": 1}, "orphaned": True, "wait_timeout": 60}


@pytest.mark.long
@pytest.mark.timeout(MINUTES * 60 + 900)
def test_nothing_grows_while_operations_run_over_connections_that_are_cut(client, box, namespace, relay, tmp_path, tried, monkeypatch):
    # pytest keeps the records of urllib3 about cut headers, with the frames of their exceptions and all that these refer to.
    monkeypatch.setattr(logging.getLogger("urllib3"), "propagate", False)
    _container, token = box
    chance = random.Random(SEED)
    calls, failures, samples = Counter(), Counter(), []
    connection = {"kubeconfig": None, "host": relay.url, "api_key": token, "validate_certs": False}
    assert not call(task_pod, {"name": "box", "command": ["sleep", "86400"], "state": "running", **IMAGE}, namespace)["failed"]
    end = time.monotonic() + MINUTES * 60
    for number in itertools.count():
        relay.disruption = lambda _number: disrupted(chance)
        for module, options in operations(tmp_path, number):
            result = call(module, connection | options, namespace)
            calls[module.__name__.rpartition(".")[2]] += 1
            if result["failed"]:
                assert result["reason"] in LOST or "onnection" in result["msg"], f"{module.__name__} {result['reason']} {result['msg']}"
                failures[result["reason"]] += 1
            elif options.get("state") == "from_pod":
                assert (tmp_path / "back").read_bytes() in [
                    hashlib.shake_256(str(turn).encode()).digest(200_000) for turn in range(max(0, number - 5), number + 1)
                ]
        relay.counts.clear() if len(relay.counts) > 5000 else None
        relay._threads[:] = [thread for thread in relay._threads if thread.is_alive()]
        samples.append(held() | {"objects": sum(len(client.list(kind, namespace)[0]) for kind in KINDS)})
        if time.monotonic() > end:
            break
    # A turn without disruption converges whatever was lost before.
    relay.disruption = lambda _number: Disruption()
    for module, options in operations(tmp_path, number):
        result = call(module, connection | options, namespace)
        assert not result["failed"], (module.__name__, result["msg"])
    assert sum(calls.values()) > 10 * sum(failures.values()), failures
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    for name in samples[0]:
        before, after = max(sample[name] for sample in early), max(sample[name] for sample in late)
        assert after <= before + (GROWTH if name == "memory" else 6), (name, before, after)
    assert len(client.list(POD, namespace)[0]) < 30
    figures = {"calls": sum(calls.values()), "lost connections": sum(failures.values()), "minutes": MINUTES}
    figures |= {"MiB": f"{max(s['memory'] for s in early) >> 20} then {max(s['memory'] for s in late) >> 20}"}
    tried("operations in one process for a long time, a tenth of their connections cut", len(samples), "lost", "wrong", "hung", seed=SEED, **figures)
