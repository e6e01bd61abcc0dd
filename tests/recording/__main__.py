# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Record commands that run on the local cluster, as the animated SVG of the README: `make recording`."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ..support.environment import BIN, ROOT
from .picture import Event, picture

TARGET = ROOT / "docs/images/recording.svg"
COLUMNS, ROWS = 114, 30
NAMESPACE = "podwright-recording"
PLAYBOOK = """\
- name: Build in a pod
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Run the build
      podwright.core.task_pod:
        name: build
        image: busybox
        image_pull_policy: IfNotPresent
        command: [sh, -c, "for step in compile test package; do echo $step; sleep 1; done"]
        state: completed
        logs: stream
"""
COMMANDS = (
    "cat build.yml",
    "ansible-playbook build.yml",
    "ansible-playbook build.yml  # again",
    "sed -i 's/compile/lint compile/' build.yml && ansible-playbook build.yml --check --diff",
)


def run(command: str, directory: str) -> list[Event]:
    """Run a command in a terminal. Returns what it wrote and when, in seconds since its start."""
    environment = os.environ | {"TERM": "xterm-256color", "ANSIBLE_FORCE_COLOR": "1", "PODWRIGHT_NAMESPACE": NAMESPACE, "PATH": f"{BIN}:{os.environ['PATH']}"}
    environment |= {"COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
    terminal, other = pty.openpty()
    events, started = [], time.monotonic()
    with subprocess.Popen(["bash", "-c", command], cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=other, stderr=other) as process:
        os.close(other)
        while process.poll() is None or select.select([terminal], [], [], 0)[0]:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    events.append(Event(time.monotonic() - started, os.read(terminal, 65536).decode(errors="replace")))
                except OSError:  # the last process has closed it
                    break
    os.close(terminal)
    if process.returncode:
        sys.exit("".join(event.text for event in events))
    return events


def record() -> list[tuple[str, list[Event]]]:
    """Run the commands. Returns each with what it wrote."""
    reset = {"podwright.core.resource_set": {"definition": {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}}}
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "build.yml").write_text(PLAYBOOK)
        for state in ("absent", "present"):
            options = reset["podwright.core.resource_set"] | {"state": state, "wait": True}
            run(f"ansible localhost -m podwright.core.resource_set -a '{json.dumps(options)}'", directory)
        recorded = [(command, run(command, directory)) for command in COMMANDS]
        run(f"ansible localhost -m podwright.core.resource_set -a '{json.dumps(reset['podwright.core.resource_set'] | {'state': 'absent'})}'", directory)
    return recorded


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(picture(record(), COLUMNS, ROWS))
    print(f"The recording is {TARGET.relative_to(ROOT)}.")
