# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A program in place of podman, or a function in place of one that is started.

It keeps pods in a file, notes how it was called, and answers oddly if a test says so.
A container whose command is `exit N` has terminated at once, one whose command is `missing` does not start, and any other runs until it is stopped.
"""

from __future__ import annotations

import datetime
import json
import os
import stat
import sys
import threading
import time
from pathlib import Path

HANGING = -100
INFO = {"version": {"Version": "4.3.1"}, "store": {"graphRoot": ""}, "host": {"serviceIsRemote": False}}


class FakePodman:
    """The directory with the program, its pods and its calls.

    Attributes:
        environment: with which it is the program podman.
        storage: its storage.
    """

    def __init__(self, directory: Path) -> None:
        self.directory, self.storage = directory, directory / "storage"
        self._lock = threading.Lock()
        program = directory / "bin/podman"
        program.parent.mkdir(parents=True)
        code = f"import sys\nsys.argv[0] = {str(directory)!r}\nexec(compile(open({__file__!r}).read(), 'podman', 'exec'))\n"
        program.write_text(f"#!{sys.executable} -SsE\n{code}")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.environment = {"PATH": f"{program.parent}:{os.environ['PATH']}"}
        self.answer("info", json.dumps(INFO | {"store": {"graphRoot": str(self.storage)}}))

    def answer(self, words: str, output: str = "", error: str = "", rc: int = 0) -> None:
        """Answer commands that begin with these words in this way from now on."""
        path = self.directory / "answers.json"
        answers = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(answers | {words: [output, error, rc]}))

    def hang(self, words: str) -> None:
        """Do not answer commands that begin with these words, each of which is a process."""
        self.answer(words, rc=HANGING)

    def run(self, words: list[str], text: str) -> tuple[int, str, str]:
        """(exit code, output, error) of a command, without a process: to start one takes longer than the rest of a test."""
        with self._lock:
            return respond(self.directory, words, text)

    @property
    def calls(self) -> list[tuple[list[str], str]]:
        """(words, standard input) of each call so far."""
        path = self.directory / "calls"
        return [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def pods(self) -> dict:
        """The pods by name."""
        return _read(self.directory)

    def change(self, name: str, **state) -> None:
        """Change the state of a pod's containers."""
        pods = self.pods
        for container in pods[name]["containers"].values():
            container["State"] |= state
        _write(self.directory, pods)


def _read(directory: Path) -> dict:
    path = directory / "pods.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _write(directory: Path, pods: dict) -> None:
    temporary = directory / f"pods.{os.getpid()}"
    temporary.write_text(json.dumps(pods))
    temporary.replace(directory / "pods.json")


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat()


def _play(directory: Path, text: str) -> tuple[int, str, str]:
    pods = _read(directory)
    pod = json.loads(text.rpartition("\n---\n")[2])
    name = pod["metadata"]["name"]
    if name in pods:
        return 125, "", f'Error: adding pod to state: name "{name}" is in use: pod already exists\n'
    containers = {}
    for container in pod["spec"]["containers"]:
        command = container["command"]
        state = {"Status": "running", "ExitCode": 0, "StartedAt": _now(), "FinishedAt": "0001-01-01T00:00:00Z"}
        if command[0] == "exit":
            state |= {"Status": "exited", "ExitCode": int(command[1]), "FinishedAt": _now()}
        if command[0] == "missing":
            state |= {"Status": "created", "StartedAt": "0001-01-01T00:00:00Z"}
        full = f"{name}-{container['name']}"
        containers[full] = {"Id": f"id-{full}", "Name": full, "State": state, "RestartCount": 0, "Log": container.get("log", "line 1\nline 2\n")}
    pods[name] = {"labels": pod["metadata"]["labels"], "created": _now(), "containers": containers}
    _write(directory, pods)
    if any(entry["State"]["Status"] == "created" for entry in containers.values()):
        return 125, "", 'starting container 12: exec: "missing": not found\nError: failed to start 1 containers\n'
    return 0, "", ""


def respond(directory: Path, words: list[str], text: str) -> tuple[int, str, str]:
    """Carry out a command. Returns: its exit code, output and error."""
    with (directory / "calls").open("a") as calls:
        calls.write(json.dumps([words, text]) + "\n")
    answers = json.loads((directory / "answers.json").read_text())
    for beginning, (output, error, rc) in answers.items():
        if " ".join(words).startswith(beginning):
            if rc == HANGING:
                time.sleep(60)
            return rc, output, error
    pods = _read(directory)
    verb, output = " ".join(words[:2]), ""
    if verb == "kube play":
        return _play(directory, text)
    if verb == "pod ps":
        entries = [
            {"Name": name, "Labels": pod["labels"], "Created": pod["created"], "Containers": [{"Id": c["Id"]} for c in pod["containers"].values()]}
            for name, pod in pods.items()
        ]
        output = json.dumps(entries)
    elif verb == "container inspect":
        output = json.dumps([c for pod in pods.values() for c in pod["containers"].values() if c["Id"] in words])
    elif verb == "pod exists":
        return (0 if words[-1] in pods else 1), "", ""
    elif verb == "pod stop":
        for container in pods[words[-1]]["containers"].values():
            if container["State"]["Status"] == "running":
                container["State"] |= {"Status": "exited", "ExitCode": 137, "FinishedAt": _now()}
        _write(directory, pods)
    elif verb == "pod rm":
        pods.pop(words[-1], None)
        _write(directory, pods)
    elif words[0] == "logs":
        output = next((c["Log"] for pod in pods.values() for c in pod["containers"].values() if c["Name"] == words[-1]), "")
    return 0, output, ""


def main(directory: Path, words: list[str]) -> int:
    """Respond as a program. Returns: its exit code."""
    rc, output, error = respond(directory, words, sys.stdin.read() if words[-1] == "-" else "")
    sys.stdout.write(output)
    sys.stderr.write(error)
    return rc


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[0]), sys.argv[1:]))
