# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Linux namespaces in which the processes of a cluster run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from . import host
from .configuration import Layout, masquerade

T = TypeVar("T")


class Sandbox:
    """The namespaces of a cluster and their processes, which supervisor.py starts."""

    def __init__(self, layout: Layout):
        self._layout = layout
        self._pid_file = layout.state / "pid"
        self._processes = layout.state / "processes"

    def create(self) -> None:
        """Create the namespaces and their network. Raises: SystemExit if another cluster has the same number."""
        layout = self._layout
        for name in ("log", "processes", "certificates", "configuration", "cni"):
            (layout.state / name).mkdir(parents=True, exist_ok=True)
        if self._has_link():
            raise SystemExit(
                f"Another local cluster runs at {layout.node_address}. Stop it from its checkout (make cluster-down), "
                "or set another number for this one: PODWRIGHT_CLUSTER_NUMBER=1"
            )
        host.create_cgroups(layout.cgroup)
        command = ["unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--mount-proc", "--kill-child", "--propagation", "private"]
        log = layout.log("supervisor").open("ab")
        process = subprocess.Popen(
            [*command, sys.executable, str(Path(__file__).with_name("supervisor.py")), str(layout.state)],
            env=layout.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._pid_file.write_text(f"{process.pid} {_start_time(process.pid)}")
        supervisor = wait_for(lambda: self._supervisor(process.pid), 10, "the namespaces", layout.log("supervisor"))
        for arguments in (
            f"link add {layout.link} type veth peer name eth0 netns {supervisor}",
            f"addr add {layout.host_address}/30 dev {layout.link}",
            f"link set {layout.link} up",
        ):
            subprocess.run(["ip", *arguments.split()], check=True)
        inside = ["nsenter", "--target", str(supervisor), "--net"]
        for arguments in (f"addr add {layout.node_address}/30 dev eth0", "link set eth0 up", f"route add default via {layout.host_address}"):
            subprocess.run([*inside, "ip", *arguments.split()], check=True)
        subprocess.run([*inside, "nft", "--file", "-"], input=masquerade(), text=True, check=True)

    def is_alive(self) -> bool:
        """Whether the processes of the last cluster in this state directory run."""
        try:
            pid, start = self._pid_file.read_text().split()
        except (OSError, ValueError):
            return False
        return _start_time(int(pid)) == start != ""

    def remove(self) -> None:
        """Kill the processes of the last cluster in this state directory and delete its files, except for the lock."""
        if self.is_alive():
            pid, start = self._pid_file.read_text().split()
            os.kill(self._supervisor(int(pid)) or int(pid), signal.SIGKILL)
            log = self._layout.log("supervisor")
            wait_for(lambda: _start_time(int(pid)) != start, 10, "the termination of the previous cluster", log)
            wait_for(lambda: not self._has_link(), 10, "the removal of its network", log)  # the kernel removes it a little later
        host.remove_cgroups(self._layout.cgroup)
        if self._layout.state.exists():
            for path in self._layout.state.iterdir():
                if path.name != "lock":
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    def start(self, name: str, command: list[str], **environment: str) -> None:
        """Start a process under a name, which its log has, too."""
        # Memory is cheaper here than the CPU time of Go's garbage collections, an eighth of that of the API server.
        self._request(name, command, {"PATH": self._layout.environment["PATH"], "GOGC": "400"} | environment)

    def _request(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        """Let the supervisor start a process."""
        partial = self._processes / f"{name}.partial"
        partial.write_text(json.dumps({"command": command, "environment": environment}))
        partial.rename(partial.with_suffix(".json"))

    def kill(self, name: str) -> None:
        """Kill a process at once (SIGKILL); what it has started stays. Returns when it has exited."""
        self.run("kill", "-KILL", (self._processes / f"{name}.pid").read_text())
        wait_for(lambda: self.has_exited(name), 10, f"the exit of {name}", self._layout.log(name))

    def restart(self, name: str, *flags: str, **environment: str) -> None:
        """Start a process again that has exited, as it was started before, with further flags and variables. Returns when it has been started."""
        spec = json.loads((self._processes / f"{name}.json").read_text())
        self._request(name, [*spec["command"], *flags], spec["environment"] | environment)
        wait_for(lambda: not self.has_exited(name), 10, f"the start of {name}", self._layout.log(name))

    def has_started(self, name: str) -> bool:
        """Whether a process was started."""
        return (self._processes / f"{name}.json").exists()

    def has_exited(self, name: str) -> bool:
        """Whether a process was started and has exited."""
        return (self._processes / f"{name}.exit").exists()

    def processes(self) -> dict[str, int]:
        """{name: process id outside of the namespaces} of the processes that run."""
        supervisor = self._supervisor(int(self._pid_file.read_text().split()[0]))
        children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
        inside = {Path(f"/proc/{pid}/status").read_text().partition("NSpid:")[2].split("\n")[0].split()[-1]: int(pid) for pid in children}
        found = {path.stem: inside.get(path.read_text()) for path in self._processes.glob("*.pid")}
        return {name: pid for name, pid in found.items() if pid}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the namespaces; stdout has its whole output."""
        pid = self._supervisor(int(self._pid_file.read_text().split()[0]))
        enter = ["nsenter", "--target", str(pid), "--net", "--mount", "--pid"]
        environment = self._layout.environment
        return subprocess.run([*enter, *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    def _has_link(self) -> bool:
        return Path(f"/sys/class/net/{self._layout.link}").exists()

    @staticmethod
    def _supervisor(pid: int) -> int | None:
        """The process id of the supervisor outside of the namespaces, once it is in its own network namespace."""
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if children and os.readlink(f"/proc/{children[0]}/ns/net") != os.readlink("/proc/self/ns/net"):
                return int(children[0])
        except OSError:
            pass
        return None


def _start_time(pid: int) -> str:
    """The start time of a process (proc(5), field 22), which distinguishes it from later processes with its id; empty if it has exited."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rsplit(")", 1)[1].split()
    return "" if fields[0] == "Z" else fields[19]


def wait_for(condition: Callable[[], T | None], seconds: float, subject: str, log: Path | None = None) -> T:
    """Poll until the condition returns a true value. Returns: the value. Raises: SystemExit with the last lines of the log after the timeout."""
    deadline = time.monotonic() + seconds
    while True:
        value, reason = None, ""
        try:
            value = condition()
        except (OSError, KeyError, ValueError) as error:
            reason = f" ({error})"
        if value:
            return value
        if time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log and log.exists() else ""
            raise SystemExit(f"Timeout of {seconds:.0f} s while waiting for {subject}{reason}. Last lines of {log}:\n{tail}")
        time.sleep(0.1)
