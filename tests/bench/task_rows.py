# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rows about tasks in a playbook: what one costs beside a task that does nothing."""

from __future__ import annotations

import tempfile
import threading
from functools import partial
from pathlib import Path
from typing import Any

from ..support.audit import AuditLog
from ..support.environment import CLUSTER
from .measuring import MODULE, Bench
from .model import LIMIT, OURS, PEER, Contender, Goal, Plan, Row, Sample

TASKS, LOOP, HOSTS, FORKS = 20, 200, 50, 100
DEBUG = {"ansible.builtin.debug": {"msg": "nothing"}}
BESIDE_INVENTORY = ", with an inventory podwright.core.pods"
PING: dict[str, Any] = {"ansible.builtin.ping": {}}


def _reading(bench: Bench) -> Plan:
    pod, count = bench.pod(), bench.size(TASKS)
    where = {"name": pod.pod, "namespace": pod.namespace}
    program = f"import kr8s\nfor _ in range({count}): list(kr8s.get('pods', {pod.pod!r}, namespace={pod.namespace!r}))"
    peer, info = {"kubernetes.core.k8s_info": {"kind": "Pod", **where}}, {"podwright.core.pod_info": where}
    contenders = [
        Contender("debug", LIMIT, partial(bench.play, DEBUG, times=count)),
        Contender("pod_info", OURS, partial(bench.play, info, times=count)),
        Contender("k8s_info", PEER, partial(bench.play, peer, times=count, peer=True), absent=bench.peers.why_not("kubernetes.core")),
        Contender("kr8s, without Ansible", PEER, partial(bench.kr8s, program), absent=bench.peers.why_not("kr8s")),
    ]
    return Plan(contenders, [Goal("× debug", lambda found: found["pod_info"].seconds / found["debug"].seconds, 1.3)])


def _over_execs(name: str) -> Any:
    return lambda found: found[name].seconds / (found["debug"].seconds + found["websockets alone"].seconds)


def _commands(bench: Bench) -> Plan:
    pod, count = bench.pod(), bench.size(TASKS)
    where = {"pod": pod.pod, "namespace": pod.namespace, "command": "true"}
    calls = f"for i in $(seq {count}); do $K exec -n {pod.namespace} {pod.pod} -- true; done"
    contenders = [
        Contender("debug", LIMIT, partial(bench.play, DEBUG, times=count)),
        Contender("websockets alone", LIMIT, partial(bench.limit, "execs", namespace=pod.namespace, pod=pod.pod, count=count)),
        Contender("pod_exec", OURS, partial(bench.play, {"podwright.core.pod_exec": where}, times=count)),
        Contender(
            "k8s_exec",
            PEER,
            partial(bench.play, {"kubernetes.core.k8s_exec": where}, times=count, peer=True),
            absent=bench.peers.why_not("kubernetes.core"),
        ),
        Contender("kubectl exec, without Ansible", PEER, partial(bench.shell, calls), absent=bench.peers.why_not("kubectl")),
    ]
    return Plan(contenders, [Goal("× debug and the websockets", _over_execs("pod_exec"), 1.3)])


def _loop(bench: Bench) -> Plan:
    pod, count = bench.pod(), bench.size(LOOP)
    loop = {"loop": list(range(count))}
    command = {"podwright.core.pod_exec": {"pod": pod.pod, "namespace": pod.namespace, "command": "true"}} | loop
    calls = f"for i in $(seq {count}); do $K exec -n {pod.namespace} {pod.pod} -- true; done"
    contenders = [
        Contender("debug", LIMIT, partial(bench.play, DEBUG | loop)),
        Contender("websockets alone", LIMIT, partial(bench.limit, "execs", namespace=pod.namespace, pod=pod.pod, count=count)),
        Contender("pod_exec", OURS, partial(bench.play, command)),
        Contender("kubectl exec, without Ansible", PEER, partial(bench.shell, calls), absent=bench.peers.why_not("kubectl")),
    ]
    return Plan(contenders, [Goal("× debug and the websockets", _over_execs("pod_exec"), 1.3)], repeats=1)


def _hosts(bench: Bench) -> Plan:
    pod, hosts = bench.pod(), [f"host-{number}" for number in range(bench.size(HOSTS))]
    command = {"ansible.builtin.raw": "true"}
    ours = {"ansible_connection": "podwright.core.pod", "ansible_podwright_pod": pod.pod, "ansible_podwright_namespace": pod.namespace}
    theirs = {"ansible_connection": "kubernetes.core.kubectl", "ansible_kubectl_pod": pod.pod, "ansible_kubectl_namespace": pod.namespace}
    absent = bench.peers.why_not("kubernetes.core") or bench.peers.why_not("kubectl")
    contenders = [
        Contender("debug", LIMIT, partial(bench.play, DEBUG, hosts=hosts)),
        Contender("websockets alone", LIMIT, partial(bench.limit, "execs", namespace=pod.namespace, pod=pod.pod, count=len(hosts), threads=5)),
        Contender("podwright.core.pod", OURS, partial(bench.play, command, hosts=hosts, **ours)),
        Contender(f"podwright.core.pod{BESIDE_INVENTORY}", OURS, partial(bench.play, command, hosts=hosts, pods=True, **ours)),
        Contender("kubernetes.core.kubectl", PEER, partial(bench.play, command, hosts=hosts, peer=True, **theirs), absent=absent),
    ]
    goals = [Goal(f"× debug and the websockets{more}", _over_execs(f"podwright.core.pod{more}"), 1.3) for more in ("", BESIDE_INVENTORY)]
    return Plan(contenders, goals)


def _start(bench: Bench) -> Plan:
    info = {"podwright.core.pod_info": {"name": "none", "namespace": "default"}}
    unchanged = {"podwright.core.resource_set": {"definition": {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}}}
    peer = {"kubernetes.core.k8s_info": {"kind": "Pod", "name": "none", "namespace": "default"}}
    contenders = [
        Contender("ping", LIMIT, partial(bench.play, PING)),
        Contender("pod_info", OURS, partial(bench.play, info)),
        Contender("resource_set", OURS, partial(bench.play, unchanged)),
        Contender("k8s_info", PEER, partial(bench.play, peer, peer=True), absent=bench.peers.why_not("kubernetes.core")),
    ]
    return Plan(contenders, [Goal("more than ping", lambda found: found["pod_info"].seconds - found["ping"].seconds, 0.15, "s")], repeats=5)


def _module(bench: Bench) -> Plan:
    count = bench.size(TASKS) // 2
    info = {"podwright.core.pod_info": {"name": "none", "namespace": "default"}} | MODULE
    peer = {"kubernetes.core.k8s_info": {"kind": "Pod", "name": "none", "namespace": "default"}} | MODULE
    contenders = [
        Contender("ping", LIMIT, partial(bench.play, PING | MODULE, times=count)),
        Contender("pod_info", OURS, partial(bench.play, info, times=count)),
        Contender("k8s_info", PEER, partial(bench.play, peer, times=count, peer=True), absent=bench.peers.why_not("kubernetes.core")),
    ]
    goal = Goal("a task more than ping", lambda found: (found["pod_info"].seconds - found["ping"].seconds) / count, 0.25, "s")
    return Plan(contenders, [goal])


def _forks(bench: Bench) -> Plan:
    hosts, facts = [f"host-{number}" for number in range(bench.size(FORKS))], {}
    namespace = bench.namespace()

    def play() -> Sample:
        log = AuditLog(CLUSTER / "audit.log", bench.kubeconfig, Path(directory)) if (CLUSTER / "audit.log").exists() else None
        options = {"name": "none", "namespace": namespace} | ({"kubeconfig": str(log.kubeconfig)} if log else {})
        with _Watching() as watching:
            sample = bench.play({"podwright.core.pod_info": options}, hosts=hosts, forks=len(hosts))
        requests = {"API requests": len(log.entries())} if log else {}
        facts.update(requests | {"memory of all processes (PSS)": f"{watching.memory >> 20} MiB"})
        return sample

    directory = bench.cleanup.enter_context(tempfile.TemporaryDirectory())
    return Plan([Contender("pod_info", OURS, play)], repeats=0, facts=lambda: facts)


class _Watching:
    """Samples the memory of the processes that this one has started."""

    def __init__(self) -> None:
        self.memory = 0
        self._done = threading.Event()

    def __enter__(self) -> _Watching:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.2):
            self.memory = max(self.memory, sum(map(_memory, _descendants(int(Path("/proc/self").readlink().name)))))


def _descendants(pid: int) -> list[int]:
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(word) for word in path.read_text().split()]
        except OSError:
            continue
    return found + [below for child in found for below in _descendants(child)]


def _memory(pid: int) -> int:
    """Bytes of memory of a process, with its part of what it shares; 0 if it has exited."""
    try:
        return int(Path(f"/proc/{pid}/smaps_rollup").read_text().split("Pss:")[1].split()[0]) << 10
    except (OSError, IndexError):
        return 0


ROWS = [
    Row("start", "a playbook with one task", _start),
    Row("reading", f"{TASKS} tasks that read one pod", _reading),
    Row("commands", f"{TASKS} tasks with a command in a pod", _commands),
    Row("loop", f"a command in a loop over {LOOP} items", _loop),
    Row("hosts", f"a command on {HOSTS} hosts by the connection plugin", _hosts),
    Row("module", f"{TASKS // 2} tasks as modules", _module),
    Row("forks", f"{FORKS} hosts in as many forks", _forks),
]
