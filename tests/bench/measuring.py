# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs programs and measures them: what all rows of the benchmark share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec import execute
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_command import Command, Container
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN, NAMESPACE, POD

from ..cluster import images
from ..cluster.cluster import Cluster
from ..support.environment import BIN, CLUSTER, CLUSTER_NUMBER, ROOT
from ..support.pods import start_pod
from ..support.scale import PROGRAM, THREADS
from ..support.waiting import wait_for
from .model import Sample
from .peers import Peers

MODULE = {"become": True, "become_method": "su"}  # runs a task as a module
START_SECONDS, DELETION_SECONDS = 120, 600
LAUNCHER = Path(__file__).with_name("launcher.py")


def run(command: Sequence[str], stdin: str = "", environment: dict[str, str] | None = None) -> tuple[Sample, str]:
    """Run a program with the programs that it starts. Returns: (what they took, standard output). Raises: RuntimeError if it fails."""
    with tempfile.NamedTemporaryFile("r") as usage:
        launcher = [sys.executable, "-I", "-S", str(LAUNCHER), usage.name]
        done = subprocess.run([*launcher, *command], input=stdin, capture_output=True, text=True, cwd=ROOT, env=os.environ | (environment or {}), check=False)
        if done.returncode:
            raise RuntimeError(f"{Path(command[0]).name} failed: {done.stderr[-300:]} {done.stdout[-600:]}")
        seconds, cpu, peak = map(float, usage.read().split())
    return Sample(seconds, cpu, int(peak)), done.stdout


def read_operation(text: str, sample: Sample) -> Sample:
    """What an operation took, by what it printed and the sample of its process. Raises: RuntimeError if it failed: only then it has a message."""
    done = json.loads(text)
    if done["result"]["msg"]:
        raise RuntimeError(done["result"]["msg"])
    return Sample(done["seconds"], sample.cpu, done["peak"])


class Bench:
    """What rows measure with. `cleanup` is emptied after each row.

    Attributes:
        quick: whether sizes are a tenth, and nothing is repeated.
    """

    def __init__(self, peers: Peers, quick: bool, directory: Path) -> None:
        self.peers, self.quick, self.directory = peers, quick, directory
        self.kubeconfig = os.environ["KUBECONFIG"]
        self.client = Client(Configuration({"kubeconfig": self.kubeconfig}))
        self.cleanup = ExitStack()

    def size(self, full: int) -> int:
        """A size of the full run, or a tenth of it."""
        return max(2, full // 10) if self.quick else full

    # -- contenders -----------------------------------------------------------------------------------------

    def play(
        self, *tasks: dict[str, Any], times: int = 1, hosts: Sequence[str] = ("localhost",), peer: bool = False, pods: bool = False, **options: Any
    ) -> Sample:
        """Run a play with that many copies of the tasks on hosts of this machine.

        Args:
            peer: with kubernetes.core instead of Podwright.
            pods: with an inventory `podwright.core.pods`, too, which has no pod.
            options: variables of the hosts and, as `forks`, how many of them Ansible works on at a time.
        """
        playbook, inventory = self.directory / "play.yml", self.directory / "inventory.yml"
        playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": list(tasks) * times}]))
        python = sys.executable if not peer else str(self.peers.python)
        variables = {"ansible_connection": "local", "ansible_python_interpreter": python} | {k: v for k, v in options.items() if k != "forks"}
        inventory.write_text(json.dumps({"all": {"hosts": dict.fromkeys(hosts, variables)}}))
        program = (self.peers.python.parent if peer and self.peers.python else BIN) / "ansible-playbook"
        command = [str(program), "-i", str(inventory), "-f", str(options.get("forks", 5)), str(playbook)]
        if pods:
            source = self.directory / "bench.pods.yml"
            source.write_text(json.dumps({"plugin": "podwright.core.pods", "namespaces": ["default"], "label_selectors": ["podwright.io/bench=none"]}))
            command += ["-i", str(source)]
        # Python verifies certificates more strictly than Kubernetes requires, for which only Podwright allows. kubectl refuses the variable.
        verification = {"K8S_AUTH_VERIFY_SSL": "false"} if peer and "ansible_connection" not in options else {}
        return run(command, environment={"ANSIBLE_CONFIG": str(ROOT / "tests/ansible.cfg")} | verification)[0]

    def operation(self, name: str, check_mode: bool = False, **options: Any) -> Sample:
        """Run an operation as its action does, in a process of its own. The seconds are those of the operation; CPU time and memory those of the process."""
        given = json.dumps([name, {"kubeconfig": self.kubeconfig} | options, check_mode])
        sample, text = run([sys.executable, "-c", PROGRAM], given)
        return read_operation(text, sample)

    def kubectl(self, *arguments: str, stdin: str = "") -> Sample:
        """Run kubectl."""
        return run([self.peers.kubectl, *arguments], stdin)[0]

    def shell(self, script: str, *arguments: str) -> Sample:
        """Run a script, in which $K is kubectl."""
        return run(["bash", "-c", f"set -eo pipefail; {script}", "bash", *arguments], environment={"K": self.peers.kubectl})[0]

    def limit(self, name: str, **arguments: Any) -> Sample:
        """Run a function of `limits.py`, in a process of its own, which measures itself."""
        done = json.loads(run([sys.executable, "-m", "tests.bench.limits", name], json.dumps(arguments))[1])
        return Sample(done["seconds"], done["cpu"], done["peak"])

    def kr8s(self, program: str) -> Sample:
        """Run a program with kr8s."""
        return run([str(self.peers.python), "-c", program])[0]

    # -- what they work on ----------------------------------------------------------------------------------

    def namespace(self) -> str:
        """Create a namespace that is deleted after the row."""
        name = f"bench-{uuid.uuid4().hex[:8]}"
        self.client.create(NAMESPACE, None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, "bench")
        self.cleanup.callback(wait_for, lambda: not self.client.get(NAMESPACE, None, name), DELETION_SECONDS)  # the next row would run beside it
        self.cleanup.callback(self.client.delete, NAMESPACE, None, name)
        wait_for(lambda: self.client.get(BUILT_IN["v1", "ServiceAccount"], name, "default"), START_SECONDS)
        return name

    def pod(self, image: str = "busybox") -> Container:
        """Start a pod that sleeps, in a namespace of its own."""
        if image == images.PYTHON and "PODWRIGHT_TEST_KUBECONFIG" not in os.environ:
            Cluster(CLUSTER, CLUSTER_NUMBER).load_python_image()
        namespace = self.namespace()
        container = {"name": "task", "image": image, "imagePullPolicy": "IfNotPresent", "command": ["sleep", "86400"]}
        start_pod(self.client, namespace, "bench", containers=[container])
        return Container(namespace, "bench")

    def execute(self, container: Container, *command: str) -> None:
        """Run a command in a pod."""
        execute(self.client, container, Command([*command]))

    def remove_all(self, kind: str, namespace: str) -> None:
        """Delete all objects of a kind in a namespace at once, and wait until none is left."""
        found = POD if kind == "Pod" else BUILT_IN["v1", kind]
        names = {item["metadata"]["name"] for item in self.client.list(found, namespace, metadata_only=True)[0]} - {"kube-root-ca.crt"}
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(lambda name: self.client.delete(found, namespace, name, grace_period=0), names))
        wait_for(lambda: len(self.client.list(found, namespace, metadata_only=True)[0]) <= (kind == "ConfigMap"), START_SECONDS)

    def write(self, name: str, objects: Sequence[dict[str, Any]]) -> str:
        """Write a manifest in YAML. Returns: its path."""
        path = self.directory / name
        with path.open("w") as sink:
            yaml.dump_all(objects, sink, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))
        return str(path)
