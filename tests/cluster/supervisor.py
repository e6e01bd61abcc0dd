# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Process 1 in the namespaces of the cluster: starts the processes in `processes/NAME.json`, again if the file is replaced, and reaps exited ones.

When it exits, the kernel kills all processes and containers of the cluster, and removes its mounts and network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path


def supervise(state: Path) -> None:
    """Start each process and write its process ID to `processes/NAME.pid`, then its exit code to `processes/NAME.exit`; never returns."""
    _prepare(state)
    running: dict[int, str] = {}
    started: set[tuple[str, int]] = set()
    while True:
        for request in sorted((state / "processes").glob("*.json")):
            version = request.stem, request.stat().st_mtime_ns
            if version not in started:
                started.add(version)
                try:
                    pid = _start(state, request)
                    running[pid] = request.stem
                    request.with_suffix(".pid").write_text(str(pid))
                    request.with_suffix(".exit").unlink(missing_ok=True)
                except OSError as error:
                    request.with_suffix(".exit").write_text(str(error))
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            pid, status = 0, 0
        if pid in running:
            (state / "processes" / f"{running.pop(pid)}.exit").write_text(str(os.waitstatus_to_exitcode(status)))
        elif not pid:
            time.sleep(0.05)


def _prepare(state: Path) -> None:
    def run(*command: str) -> None:
        subprocess.run(command, check=True)

    # Containers need shared propagation. /run and /var/log are private.
    run("mount", "--make-rshared", "/")
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    run("mount", "--bind", str(state / "log"), "/var/log")
    run("ip", "link", "set", "lo", "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _start(state: Path, request: Path) -> int:
    spec = json.loads(request.read_text())
    log = (state / "log" / f"{request.stem}.log").open("ab")
    process = subprocess.Popen(
        spec["command"], env=os.environ | spec["environment"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
    )
    process.returncode = 0  # the loop in supervise reaps it, not Popen
    return process.pid


if __name__ == "__main__":
    supervise(Path(sys.argv[1]))
