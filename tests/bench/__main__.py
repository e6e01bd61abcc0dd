# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Benchmarks of Podwright beside Ansible alone, kubectl and, if installed, kubernetes.core."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import yaml

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec import execute
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Command, Container
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, NAMESPACE, POD

from ..cluster import images
from ..cluster.cluster import Cluster
from ..support import scale

ROOT = Path(__file__).parents[2]
REPEATS = 5
TASKS = 20
COPIED = 200 << 20
GARBAGE, BATCH = 5000, 1000
SINK = ("sh", "-c", "cat > /tmp/copied; exit $?")


def play(*tasks, loop=TASKS):
    """Run a play with that many copies of the tasks."""
    plays = [{"hosts": "localhost", "gather_facts": False, "tasks": list(tasks) * loop}]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as playbook:
        yaml.safe_dump(plays, playbook)
        playbook.flush()
        command = [str(ROOT / ".venv/bin/ansible-playbook"), playbook.name]
        environment = os.environ | {"ANSIBLE_CONFIG": str(ROOT / "tests/ansible.cfg")}
        subprocess.run(command, check=True, capture_output=True, env=environment)


def measure(actions, before=lambda: None):
    """{name: median duration in seconds} of actions. They run in turn, so that other load affects all of them alike.

    Args:
        before: called before each run, outside of the measurement.
    """
    seconds = {name: [] for name in actions}
    for _round in range(REPEATS):
        for name, action in actions.items():
            before()
            seconds[name].append(_time(action))
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def time_copies(pod, hasher):
    """Copy 200 MiB of random bytes in both directions with pod_copy, which verifies them, and with pod_exec and kubectl cp, which do not.

    Args:
        pod: name of the pod.
        hasher: the program that computes checksums in its image, for the output.
    """
    with tempfile.TemporaryDirectory() as directory, _bench_client() as client:
        source, back = Path(directory) / "source", Path(directory) / "back"
        source.write_bytes(os.urandom(COPIED))
        copy = {"pod": pod, "namespace": "default", "remote_path": "/tmp/copied"}
        up, down = ({"podwright.core.pod_copy": copy | options} for options in ({"local_path": str(source)}, {"state": "from_pod", "local_path": str(back)}))
        upload = {"podwright.core.pod_exec": {"pod": pod, "namespace": "default", "command": [*SINK], "stdin_file": str(source)}}
        first = {"podwright.core.pod_exec": {"pod": pod, "namespace": "default", "command": "true"}}  # without the start of the playbook

        rows = {"": partial(play, first, loop=1), "pod_copy up": partial(play, first, up, loop=1), "pod_exec stdin_file": partial(play, first, upload, loop=1)}
        rows |= {"kubectl cp up": lambda: _kubectl("cp", str(source), f"default/{pod}:/tmp/copied")} if shutil.which("kubectl") else {}
        seconds = measure(rows, before=lambda: execute(client, Container("default", pod), Command(["rm", "-f", "/tmp/copied"])))
        play(up, loop=1)
        rows = {"pod_copy down": partial(play, first, down, loop=1)}
        rows |= {"kubectl cp down": lambda: _kubectl("cp", f"default/{pod}:/tmp/copied", str(back))} if shutil.which("kubectl") else {}
        seconds |= measure(rows, before=lambda: back.unlink(missing_ok=True))
        start = seconds.pop("")
    print(f"{COPIED >> 20} MiB, hashed by {hasher} in the container, median of {REPEATS} runs in turn (without the start of the playbook):")
    for name, taken in seconds.items():
        taken -= 0 if "kubectl" in name else start
        print(f"  {name:28} {taken:6.2f} s   {COPIED / taken / 1e6:7.0f} MB/s")


def time_garbage():
    """Delete 5,000 finished pods with pod_gc, with DELETE requests alone and with kubectl."""
    with _bench_client() as client:
        scale.add_nodes(client, ["bench-idle"], simulated=False)
        namespaces = [f"bench-gc-{os.getpid()}-{number}" for number in range(3 if shutil.which("kubectl") else 2)]
        for namespace in namespaces:
            _create_namespace(client, namespace)
            scale.add_finished_pods(client, namespace, GARBAGE, "bench-idle")
        options = {"kubeconfig": os.environ["KUBECONFIG"], "namespace": namespaces[0], "completed": {"max_age": 0, "keep_last": 0}}
        plan, deletion = (scale.measure_operation("pod_gc", options, check_mode) for check_mode in (True, False))
        rows = {"pod_gc, plan": plan["seconds"], "pod_gc, deletions": deletion["seconds"] - plan["seconds"]}
        names = [f"done-{number}" for number in range(GARBAGE)]
        rows["DELETE requests alone"] = _time(lambda: scale.delete_pods(client, namespaces[1], names))
        if len(namespaces) > 2:
            rows["kubectl delete --wait=false"] = _time(lambda: _kubectl("delete", "pods", "--all", "--wait=false", "--namespace", namespaces[2]))
        for namespace in namespaces:
            client.delete(NAMESPACE, None, namespace)
        scale.remove_nodes(client, ["bench-idle"])
    print(f"{GARBAGE} finished pods (peak memory of pod_gc {deletion['peak'] >> 20} MiB):")
    for name, taken in rows.items():
        print(f"  {name:28} {taken:6.2f} s   {GARBAGE / taken:7.0f} a second")


def time_batch():
    """Create 1,000 tasks in one batch, run the unchanged batch again, and send as many POST requests alone."""
    with _bench_client() as client:
        scale.add_nodes(client, ["bench-simulated"])
        namespace, bare = (f"bench-batch-{os.getpid()}-{number}" for number in range(2))
        _create_namespace(client, namespace)
        _create_namespace(client, bare)
        options = {"kubeconfig": os.environ["KUBECONFIG"], "namespace": namespace, "state": "present"} | scale.simulated_tasks(BATCH)
        created = scale.measure_operation("task_pod", options)
        unchanged = statistics.median(scale.measure_operation("task_pod", options)["seconds"] for _repeat in range(REPEATS))
        pod = client.list(POD, namespace)[0][0]
        rows = {"task_pod, created": created["seconds"], "task_pod, unchanged": unchanged}
        rows["POST requests alone"] = _time(lambda: scale.create_pods(client, bare, pod, BATCH))
        for used in (namespace, bare):
            names = [item["metadata"]["name"] for item in client.list(POD, used)[0]]
            scale.in_parallel(lambda name, used=used: client.delete(POD, used, name, grace_period=0), names)
            client.delete(NAMESPACE, None, used)
        scale.remove_nodes(client, ["bench-simulated"])
    print(f"{BATCH} tasks in one batch (peak memory {created['peak'] >> 20} MiB):")
    for name, taken in rows.items():
        print(f"  {name:28} {taken:6.2f} s   {BATCH / taken:7.0f} a second")


def _bench_client():
    return Client(Configuration({"kubeconfig": os.environ["KUBECONFIG"]}))


def _create_namespace(client, name):
    client.create(NAMESPACE, None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, "bench")
    while not client.get(BUILT_IN["v1", "ServiceAccount"], name, "default"):
        time.sleep(0.05)


def _time(action):
    started = time.monotonic()
    action()
    return time.monotonic() - started


def _kubectl(*arguments):
    subprocess.run(["kubectl", *arguments], check=True, capture_output=True)


def _pod(name, image):
    options = {"name": name, "namespace": "default", "image": image, "image_pull_policy": "IfNotPresent", "command": ["sleep", "3600"]}
    return {"podwright.core.task_pod": options | {"termination_grace_period": 0}}


def main():
    """Print a line for each benchmark: its duration, and for tasks the difference to `debug` in milliseconds."""
    pod = _pod("bench", "busybox")
    play(pod, loop=1)
    subjects = {
        "debug": {"ansible.builtin.debug": {"msg": "nothing"}},
        "pod_info": {"podwright.core.pod_info": {"namespace": "default"}},
        "pod_exec": {"podwright.core.pod_exec": {"pod": "bench", "command": "true"}},
        "task_pod, unchanged": pod,
        "resource_set, unchanged": {
            "podwright.core.resource_set": {"definition": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bench", "namespace": "default"}}}
        },
        "pod_info as a module": {"podwright.core.pod_info": {"namespace": "default"}, "become": True, "become_method": "su"},
    }
    if subprocess.run([sys.executable, "-c", "import ansible_collections.kubernetes.core"], check=False, capture_output=True).returncode == 0:
        subjects["kubernetes.core.k8s_info"] = {"kubernetes.core.k8s_info": {"kind": "Pod", "namespace": "default"}}
    seconds = measure({name: partial(play, task) for name, task in subjects.items()})
    print(f"{TASKS} tasks in a playbook, median of {REPEATS} runs in turn:")
    for name, taken in seconds.items():
        print(f"  {name:28} {taken:6.2f} s   {(taken - seconds['debug']) / TASKS * 1000:7.0f} ms a task more than debug")
    if shutil.which("kubectl"):
        taken = measure({"": partial(_kubectl, "exec", "bench", "--", "true")})[""]
        print(f"  kubectl exec                 {taken * 1000:6.0f} ms a call")
    time_copies("bench", "busybox")
    if "PODWRIGHT_TEST_KUBECONFIG" not in os.environ:
        Cluster(ROOT / ".cluster", 0).load_python_image()
    play(_pod("bench-python", images.PYTHON), loop=1)
    time_copies("bench-python", "Python")
    time_garbage()
    time_batch()
    play({"podwright.core.task_pod": {"tasks": [{"name": "bench"}, {"name": "bench-python"}], "namespace": "default", "state": "absent"}}, loop=1)


if __name__ == "__main__":
    main()
