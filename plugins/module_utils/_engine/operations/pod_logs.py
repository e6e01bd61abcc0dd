# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read or follow the logs of containers of one pod or of many pods."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..arguments import CONNECTION, read_selector
from ..cluster.container_log import ContainerLog, note_unstarted
from ..cluster.kinds import POD
from ..cluster.log_gaps import describe_gaps
from ..cluster.log_lines import exact_moment, lines_since, missing_log
from ..cluster.logs import LogFollower, LogOptions, log_request
from ..cluster.transport import pieces_of
from ..cluster.workload_pods import START_SECONDS, find_pods_of
from ..errors import CONNECTION_LOST, PodwrightError, as_podwright_error, not_found_error, option_error
from ..files import AtomicFile
from ..libraries import load
from ..objects.containers import container_names, container_status, default_container, ephemeral_names
from ..operation import Invocation, Operation
from ..text import decode, split_lines
from ..threads import call_in_threads

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..values import Manifest, Options, Result

THREADS = 64
LEAST_SECONDS = 1  # to read what a pod has written that appeared at the end of the timeout
# What the API server parses (RFC 3339); its own message about another text shows a layout of Go.
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[-+]\d\d:\d\d)")
_WAITING_HINT = "Set follow to wait for it, or find the cause with pod_info: events: true."

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


@dataclass
class Reading:
    """The logs read so far.

    Attributes:
        has_written: whether a file has changed, or would change without check mode.
        obstacle: why there is no log in check mode, or an empty string.
    """

    logs: list[ContainerLog] = field(default_factory=list)
    has_written: bool = False
    obstacle: str = ""


def run(invocation: Invocation, outcome: Reading) -> None:
    """Read the logs. Raises: PodwrightError."""
    params = invocation.params
    if params["name"] and params["label_selectors"]:  # an empty list, which a template may return, excludes nothing
        raise option_error("name", "must not be set with label_selectors.")
    if params["since_seconds"] is not None and params["since_time"]:
        raise option_error("since_time", "must not be set with since_seconds.")
    if params["since_time"] and not TIMESTAMP.fullmatch(params["since_time"]):
        raise option_error("since_time", f"must be a time with its zone, such as 2026-01-31T12:00:00Z, got {params['since_time']!r}.")
    if params["container"] and params["all_containers"]:
        raise option_error("all_containers", "must not be true with container.")
    if params["follow"] and params["previous"]:
        raise option_error("previous", "must not be set with follow: the container has terminated.")
    begun = invocation.client.clock.monotonic()
    deadline = None if params["timeout"] is None else begun + params["timeout"]
    first_pod = begun + START_SECONDS if deadline is None else min(begun + START_SECONDS, deadline)
    try:
        logs = outcome.logs = _select_logs(invocation, first_pod if params["follow"] else 0)
    except PodwrightError as error:
        outcome.obstacle = invocation.missing_in_check_mode(error)
        if not outcome.obstacle:
            raise
        outcome.has_written = bool(params["dest"])
        return
    with ExitStack() as files:
        if params["dest"]:
            for log in logs:
                log.file = files.enter_context(_open_file(params["dest"], log, len(logs) > 1))
        # A pod may have been found at the last moment.
        _read_all(invocation, logs, None if deadline is None else max(deadline, invocation.client.clock.monotonic() + LEAST_SECONDS))
        for log in logs:
            if log.file and not log.error:
                with _keep_error(log):
                    outcome.has_written |= _finish(log.file, invocation.check_mode)
    for log in logs:
        if log.gaps:
            invocation.console.warn(describe_gaps(log.gaps, f"pod '{log.pod_name}'"))
    _raise_errors(logs)


@contextmanager
def _keep_error(log: ContainerLog) -> Iterator[None]:
    """An exception becomes the error of a log, so that the others are read and written."""
    try:
        yield
    except Exception as error:
        log.error = as_podwright_error(error)


def _raise_errors(logs: list[ContainerLog]) -> None:
    """Raises: PodwrightError if a log has an error; of many it names the first ones."""
    errors = [(log, log.error) for log in logs if log.error]
    if errors and len(logs) > 1:
        first = errors[0][1]
        lines = [f"{len(errors)} of {len(logs)} logs could not be read or written; the result contains the others."]
        lines += [f"{log.pod_name}/{log.container}: {error}" for log, error in errors[:3]]
        raise PodwrightError("\n".join(lines), status=first.status, reason=first.reason)
    if errors:
        raise errors[0][1]


# -- selecting ------------------------------------------------------------------------------------------------


def _select_logs(invocation: Invocation, deadline: float = 0) -> list[ContainerLog]:
    """A ContainerLog for each selected container; the first pod is awaited until the deadline. Raises: PodwrightError if there is none."""
    params = invocation.params
    pods = sorted(_find_pods(invocation, deadline), key=lambda pod: pod["metadata"]["name"])
    logs = []
    for pod in pods:
        names = container_names(pod)
        if params["container"]:
            selected = [params["container"]] if params["container"] in [*names, *ephemeral_names(pod)] else []
        else:
            selected = names if params["all_containers"] else [default_container(pod)]
        logs += [ContainerLog(pod, name, params["max_bytes"]) for name in selected]
    if not logs:
        names = sorted({name for pod in pods for name in (*container_names(pod), *ephemeral_names(pod))})
        raise option_error("container", f"'{params['container']}' not found in the selected pods; containers: {', '.join(names)}.")
    return logs


def _find_pods(invocation: Invocation, deadline: float) -> list[Manifest]:
    """The pods of the options. Raises: PodwrightError if there is none."""
    client, namespace, name = invocation.client, invocation.namespace, invocation.params["name"]
    kind = client.kinds.find_optional(invocation.params["api_version"], invocation.params["kind"])
    if kind is POD and name:
        pod = client.get(POD, namespace, name)
        if pod is None:
            raise not_found_error("Pod", name, namespace, "Check name and namespace.")
        return [pod]
    if name:
        return find_pods_of(client, kind, namespace, name, deadline)
    selector = read_selector(invocation.params)
    if not selector:
        raise option_error("name", "must be set unless label_selectors is.")
    pods, _version = client.list(POD, namespace, label_selector=selector)
    if not pods:
        problem = f"No pod in namespace '{namespace}' matches {selector}."
        raise PodwrightError(problem, status=404, reason="NotFound", hint="Check namespace, name and label_selectors.")
    return pods


# -- reading --------------------------------------------------------------------------------------------------


def _read_all(invocation: Invocation, logs: list[ContainerLog], deadline: float | None) -> None:
    """Read or follow the logs, side by side; follow them until the deadline. Raises: PodwrightError if none of them exists."""
    params, client, is_one_of_many = invocation.params, invocation.client.branch(), len(logs) > 1

    def read(log: ContainerLog) -> None:
        with _keep_error(log):
            _read(invocation, client, log, is_one_of_many)

    if not params["follow"]:
        call_in_threads(read, logs, THREADS, client.streams.cancel)
        _warn_of_missing(invocation, logs)
        return
    if len(logs) > THREADS:
        text = f"{len(logs)} logs are selected, and {THREADS} are followed at a time: another one follows once one of them has been read."
        invocation.console.warn(text)
        invocation.console.line("", text)  # a log may be endless
    left = None if deadline is None else max(deadline - client.clock.monotonic(), 0)
    try:
        call_in_threads(lambda log: _follow(invocation, client, log, deadline, is_one_of_many), logs, THREADS, client.streams.cancel, left)
    except TimeoutError:
        pass  # the server did not respond until the deadline
    for log in logs:
        problem = log.follower.problem if log.follower else PodwrightError(f"only {THREADS} logs are followed at a time", reason="Timeout")
        if problem and not log.error:
            message = f"The log of container '{log.container}' of pod '{log.pod_name}' could not be read within {params['timeout']:g} s: {problem.message}"
            log.error = PodwrightError(message, status=problem.status, reason=problem.reason, hint=problem.hint)
        elif log.follower and not log.follower.has_run and not log.error and (warning := note_unstarted(invocation.client, log)):
            invocation.console.warn(warning)
    _warn_of_missing(invocation, logs)


def _warn_of_missing(invocation: Invocation, logs: list[ContainerLog]) -> None:
    """Warn of the containers that have no log. Raises: PodwrightError if none of them has one."""
    missing = [log for log in logs if log.missing]
    if missing and len(missing) == len(logs) and missing[0].missing:
        missing[0].missing.hint = missing[0].missing.hint or "It has not restarted, or its node has deleted that log: leave out previous."
        raise missing[0].missing
    for log in missing:
        invocation.console.warn(f"The log of container '{log.container}' of pod '{log.pod_name}' is missing: {log.missing}")


def _read(invocation: Invocation, client: Client, log: ContainerLog, is_one_of_many: bool) -> None:
    params = invocation.params
    namespace = log.pod["metadata"]["namespace"]
    if not container_status(log.pod, log.container).get("containerID") and (is_one_of_many or not log.pod["spec"].get("nodeName")):
        text = f"Container '{log.container}' of pod '{log.pod_name}' has not started and has no log."
        # Without a node there is nothing that could refuse the request; without an earlier run of the container it is as missing as others.
        if not is_one_of_many or params["previous"]:
            log.missing = PodwrightError(text, reason="NotStarted", hint=_WAITING_HINT)
        else:
            invocation.console.warn(text)
        return
    since = exact_moment(params["since_time"])
    options: Options = {**_first_options(params), "timestamps": params["timestamps"] or since is not None, "previous": params["previous"] or None}
    try:
        response = client.stream(log_request(namespace, log.pod_name, log.container, **options))
    except PodwrightError as error:
        if error.status == 400 and "waiting to start" in error.message:
            error.hint = _WAITING_HINT
        if error.status == 400 and "previous terminated container" in error.message:
            log.missing = error
            return
        raise
    try:
        for chunk in pieces_of(response, 1 << 16) if since is None else lines_since(response, since, params["timestamps"]):
            log.add(chunk)
    except (load("urllib3").exceptions.HTTPError, OSError) as error:
        raise PodwrightError(
            f"The log of container '{log.container}' of pod '{log.pod_name}' was cut off after {len(log.content)} bytes: {error}",
            reason=CONNECTION_LOST,
            hint="Run it again, or set follow, which resumes after a connection loss.",
        ) from error
    finally:
        response.close()
    log.missing = missing_log(log.content, log.pod_name, log.container)
    if log.missing:
        log.content.clear()


def _follow(invocation: Invocation, client: Client, log: ContainerLog, deadline: float | None, is_one_of_many: bool) -> None:
    metadata = log.pod["metadata"]
    prefix = f"{log.pod_name}/{log.container}" if invocation.params["all_containers"] else log.pod_name

    def add_line(line: bytes, timestamp: str) -> None:
        piece = follower.piece
        log.add_line((timestamp.encode() + b" " if shows_timestamps and piece.begins_line else b"") + line, piece)
        invocation.console.line(prefix if is_one_of_many else "", decode(line))

    options, shows_timestamps = _first_options(invocation.params), invocation.params["timestamps"]
    follower = log.follower = LogFollower(client, metadata["namespace"], log.pod_name, metadata["uid"], log.container, add_line, options, deadline)
    with _keep_error(log):
        follower.follow()
    if log.error and is_one_of_many:  # the others may take long
        invocation.console.line(prefix, str(log.error))


def _first_options(params: Options) -> LogOptions:
    """The options of the API for the first line to read."""
    return {"sinceSeconds": params["since_seconds"], "sinceTime": params["since_time"], "tailLines": params["tail_lines"]}


# -- writing and describing -----------------------------------------------------------------------------------


def _open_file(dest: str, log: ContainerLog, is_one_of_many: bool) -> AtomicFile:
    """The file for the log of one container."""
    if is_one_of_many or dest.endswith("/"):
        return AtomicFile(os.path.join(dest, log.pod_name, f"{log.container}.log"), creates_parents=True)
    return AtomicFile(dest)


def _finish(file: AtomicFile, check_mode: bool) -> bool:
    """Move the file to its destination if that changes it. Returns: whether it does."""
    if not file.differs():
        return False
    if not check_mode:
        file.finish()
    return True


def describe(_invocation: Invocation, outcome: Reading) -> Result:
    """The fields of the result, complete or not."""
    logs = outcome.logs
    if outcome.obstacle:
        note = f"Check mode: no log was read: {outcome.obstacle}"
        empty: Result = {"log": "", "log_lines": [], "logs": {}, "gaps": [], "truncated": False}
        return {"changed": outcome.has_written, "skipped": True, "msg": note} | empty
    if not logs:
        return {}
    texts: dict[str, dict[str, str]] = {}
    for log in logs:
        log.truncate()
        texts.setdefault(log.pod_name, {})[log.container] = decode(log.content)
    lines = [line for log in logs for line in _prefixed_lines(log, len(logs) > 1)]
    result: Result = {
        "changed": outcome.has_written,
        "log": decode(logs[0].content) if len(logs) == 1 else "\n".join(lines),
        "log_lines": lines,
        "logs": texts,
        "gaps": [vars(gap) for log in logs for gap in log.gaps],
        "truncated": any(log.is_truncated for log in logs),
    }
    if len(logs) == 1 and result["log"].encode() != logs[0].content:
        result["log_b64"] = base64.b64encode(logs[0].content).decode()
    return result


def _prefixed_lines(log: ContainerLog, is_one_of_many: bool) -> list[str]:
    lines = split_lines(decode(log.content))
    return [f"{log.pod_name}/{log.container}: {line}" for line in lines] if is_one_of_many else lines


RULES = {"required_one_of": [("name", "label_selectors")]}
OPERATION: Operation[Reading] = Operation("pod_logs", ARGUMENTS, Reading, run, describe, rules=RULES)
