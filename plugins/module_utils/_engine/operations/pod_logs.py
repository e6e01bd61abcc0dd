# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read or follow the logs of containers, of one pod or of many."""

from __future__ import annotations

import base64
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

from ..arguments import CONNECTION
from ..cluster.exec_stream import decode
from ..cluster.kinds import BUILT_IN, POD
from ..cluster.logs import LogFollower, log_request
from ..errors import PodwrightError, option_error
from ..files import AtomicFile
from ..libraries import load
from ..objects.containers import container_names, container_status, default_container
from ..objects.labels import selector_of
from ..operation import Invocation, Operation
from ..text import split_lines

THREADS = 64

ARGUMENTS = {
    **CONNECTION,
    "api_version": {"type": "str", "default": "v1", "aliases": ["api", "version"]},
    "kind": {"type": "str", "default": "Pod"},
    "name": {"type": "str"},
    "label_selectors": {"type": "list", "elements": "str"},
    "container": {"type": "str"},
    "all_containers": {"type": "bool", "default": False},
    "since_seconds": {"type": "int"},
    "since_time": {"type": "str"},
    "previous": {"type": "bool", "default": False},
    "tail_lines": {"type": "int"},
    "timestamps": {"type": "bool", "default": False},
    "follow": {"type": "bool", "default": False},
    "timeout": {"type": "float"},
    "max_bytes": {"type": "int", "default": 10 << 20},
    "dest": {"type": "path"},
}


class ContainerLog:
    """One container's log: where it is, and what was read of it.

    Args:
        pod: the pod's manifest.
        limit: bytes that are kept in memory; the last ones.

    Attributes:
        file: an AtomicFile that gets all of it, or None.
    """

    def __init__(self, pod, container, limit):
        self.pod, self.container = pod, container
        self.file = None
        self._limit = limit
        self.content = bytearray()
        self.is_cut = False
        self.gaps = []

    @property
    def name(self):
        """The pod's name."""
        return self.pod["metadata"]["name"]

    def add(self, data):
        """Take a piece of the log."""
        if self.file:
            self.file.write(data)
        self.content += data
        if len(self.content) > 2 * self._limit:
            self.cut()

    def cut(self):
        """Leave out the oldest lines beyond the limit."""
        if len(self.content) > self._limit:
            start = self.content.find(b"\n", len(self.content) - self._limit - 1) + 1
            del self.content[: start or len(self.content) - self._limit]
            self.is_cut = True


@dataclass
class Reading:
    """What was read so far.

    Attributes:
        logs: a ContainerLog each.
        has_written: whether a file was, or in check mode would be, written.
    """

    logs: list[ContainerLog] = field(default_factory=list)
    has_written: bool = False


def run(invocation: Invocation, outcome: Reading) -> None:
    """Read the logs. Raises: PodwrightError."""
    params = invocation.params
    if params["since_seconds"] is not None and params["since_time"]:
        raise option_error("since_time", "it is given beside since_seconds.", "Give one of them.")
    if params["follow"] and params["previous"]:
        raise option_error("previous", "what has ended cannot be followed.")
    logs = outcome.logs = _choose(invocation)
    deadline = None if params["timeout"] is None else invocation.client.clock.monotonic() + params["timeout"]
    read = _follow if params["follow"] else _read
    with ExitStack() as files, ThreadPoolExecutor(THREADS) as pool:
        if params["dest"]:
            for log in logs:
                log.file = files.enter_context(_open_file(params["dest"], log, len(logs) > 1))
        list(pool.map(lambda log: read(invocation, log, deadline, len(logs) > 1), logs))
        for log in logs:
            if log.file and _finish(log.file, invocation.check_mode):
                outcome.has_written = True
    for gap in (gap for log in logs for gap in log.gaps):
        invocation.console.warn(f"Lines of pod '{gap.pod}' between {gap.after} and {gap.before} may be lost: the log was rotated away.")


# -- choosing -------------------------------------------------------------------------------------------------


def _choose(invocation):
    """A ContainerLog for each container asked for. Raises: PodwrightError where there is none."""
    params = invocation.params
    pods = sorted(_find_pods(invocation), key=lambda pod: pod["metadata"]["name"])
    readings = []
    for pod in pods:
        names = container_names(pod)
        if params["container"]:
            chosen = [params["container"]] if params["container"] in names else []
        else:
            chosen = names if params["all_containers"] else [default_container(pod)]
        readings += [ContainerLog(pod, name, params["max_bytes"]) for name in chosen]
    if pods and not readings:
        found = ", ".join(sorted({entry["name"] for pod in pods for entry in pod["spec"]["containers"]}))
        raise option_error("container", f"no pod has one named '{params['container']}'.", f"There are: {found}.")
    return readings


def _find_pods(invocation):
    params, client = invocation.params, invocation.client
    kind = _read_kind(client, params)
    selector = ",".join(params["label_selectors"] or [])
    if kind is not POD and params["name"]:
        owner = client.get(kind, invocation.namespace, params["name"])
        labels = (((owner or {}).get("spec") or {}).get("selector") or {}).get("matchLabels") if owner else None
        if not labels:
            problem = "selects no pods" if owner else "does not exist"
            raise PodwrightError(
                f"{kind.name} '{params['name']}' in namespace '{invocation.namespace}' {problem}.", reason="NotFound", hint="Check kind and name."
            )
        selector = selector_of(labels)
    elif params["name"]:
        pod = client.get(POD, invocation.namespace, params["name"])
        pods = [pod] if pod else []
    if kind is not POD or not params["name"]:
        pods, _version = client.list(POD, invocation.namespace, label_selector=selector)
    if not pods:
        wanted = f"matches {selector}" if selector else f"is named '{params['name']}'"
        raise PodwrightError(
            f"No pod in namespace '{invocation.namespace}' {wanted}.", status=404, reason="NotFound", hint="Check namespace, name and selectors."
        )
    return pods


def _read_kind(client, params):
    """The kind; a built-in one is found without its version."""
    wanted = params["kind"], params["api_version"]
    known = next((kind for (_version, name), kind in BUILT_IN.items() if name == wanted[0]), None)
    return known if known and wanted[1] == "v1" else client.kinds.resolve(wanted[1], wanted[0])


# -- reading --------------------------------------------------------------------------------------------------


def _read(invocation, reading, _deadline, is_one_of_many):
    params = invocation.params
    namespace = reading.pod["metadata"]["namespace"]
    if not container_status(reading.pod, reading.container).get("containerID") and is_one_of_many:
        invocation.console.warn(f"Container '{reading.container}' of pod '{reading.name}' has not started and has no log.")
        return
    request = log_request(namespace, reading.name, reading.container, timestamps=params["timestamps"], previous=params["previous"] or None, **_first(params))
    try:
        response = invocation.client.stream(request)
    except PodwrightError as error:
        if error.status == 400 and "waiting to start" in error.message:
            error.hint = "Set follow to wait for it, or look at what keeps it with pod_info: events: true."
        raise
    try:
        for chunk in response.stream(1 << 16):
            reading.add(chunk)
    except (load("urllib3").exceptions.HTTPError, OSError) as error:
        raise PodwrightError(
            f"The log of container '{reading.container}' of pod '{reading.name}' was cut off after {len(reading.content)} bytes: {error}",
            reason="ConnectionLost",
            hint="Run it again, or set follow, which goes on by itself.",
        ) from error
    finally:
        response.close()


def _follow(invocation, reading, deadline, is_one_of_many):
    metadata = reading.pod["metadata"]
    name = f"{reading.name}/{reading.container}" if invocation.params["all_containers"] else reading.name

    def take(line, moment):
        reading.add((moment.encode() + b" " if invocation.params["timestamps"] else b"") + line + b"\n")
        invocation.console.line(name if is_one_of_many else "", decode(line))

    follower = LogFollower(
        invocation.client, metadata["namespace"], reading.name, metadata["uid"], reading.container, take, _first(invocation.params), deadline
    )
    follower.follow()
    reading.gaps = follower.gaps


def _first(params):
    return {"sinceSeconds": params["since_seconds"], "sinceTime": params["since_time"], "tailLines": params["tail_lines"]}


# -- describing -----------------------------------------------------------------------------------------------


def describe(_task: Invocation, outcome: Reading) -> dict:
    """The result's fields, as far as it got."""
    readings = outcome.logs
    if not readings:
        return {}
    texts = {}
    for reading in readings:
        reading.cut()
        texts.setdefault(reading.name, {})[reading.container] = decode(reading.content)
    lines = [line for reading in readings for line in _prefixed(reading, len(readings) > 1)]
    result = {"changed": outcome.has_written, "log": decode(readings[0].content) if len(readings) == 1 else "\n".join(lines), "log_lines": lines, "logs": texts}
    result["gaps"] = [vars(gap) for reading in readings for gap in reading.gaps]
    result["truncated"] = any(reading.is_cut for reading in readings)
    if len(readings) == 1 and result["log"].encode() != readings[0].content:
        result["log_b64"] = base64.b64encode(readings[0].content).decode()
    return result


def _prefixed(reading, is_one_of_many):
    lines = split_lines(decode(reading.content))
    return [f"{reading.name}/{reading.container}: {line}" for line in lines] if is_one_of_many else lines


def _open_file(dest, reading, is_one_of_many):
    """The AtomicFile of one container's log."""
    if is_one_of_many or dest.endswith("/"):
        return AtomicFile(os.path.join(dest, reading.name, f"{reading.container}.log"), creates_parents=True)
    return AtomicFile(dest)


def _finish(file, check_mode):
    """Put the file in its place where that changes anything. Returns whether it does."""
    if not file.differs():
        return False
    if not check_mode:
        file.finish()
    return True


OPERATION = Operation(
    "pod_logs", ARGUMENTS, Reading, run, describe, rules={"required_one_of": [("name", "label_selectors")], "mutually_exclusive": [("name", "label_selectors")]}
)
