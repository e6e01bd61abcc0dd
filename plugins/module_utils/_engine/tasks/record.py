# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Records: the result of a task in a small ConfigMap, so that the task is not run again after its pod is deleted."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from ..cluster.diagnosis import Tail
from ..cluster.kinds import CONFIG_MAP
from ..errors import PodwrightError
from ..objects.labels import HASH, MANAGED, RECORD, SET, TASK, TTL, label_of
from ..objects.pod_status import SKIPPED, Status, exit_codes, times
from ..text import SURROGATE, encode, parse_integer
from .outputs import TOTAL_RESULT_BYTES, read_sources

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..cluster.client import Client
    from ..values import Manifest, Result
    from .collected import Collected
    from .task_spec import TaskSpec

PREFIX = "podwright-record-"
LOG_CHARACTERS = 16 << 10
_Kind = TypeVar("_Kind", dict[str, Any], list[Any])
MAX_EXIT_CODE, MAX_ATTEMPT = 2**31 - 1, 10**6


@dataclass(frozen=True)
class Record:
    """The recorded result of a task.

    Attributes:
        hash, resources: digests of the options with which it ran.
        status: its final Status.
        attempt: number of the last attempt.
        started_at, finished_at: times in the API's format, or None.
        tail: the last lines of the log that says why it finished.
        uid: the uid of its last pod, or None.
        job: the uid of its Job, or None.
        created_at: when the API server created its pod, in the API's format, or None.
        exit_codes: the exit codes of the containers of its last pod, by name.
        results: the texts of its results by name, or None if what it left was not fetched.
        sources: the path of each of its results by name, None for a termination message; None if an earlier version of Podwright recorded it.
        artifacts: a mapping with `path`, `dest` and `target` for each artifact that was fetched; `target` is None if the task left none. That of a file has
            its `checksum` and its `stamp`.
        problems: what was wrong with what it left.
        indexes: what is known of each index of an Indexed Job.
    """

    hash: str
    resources: str
    status: Status
    attempt: int
    started_at: str | None
    finished_at: str | None
    tail: Tail
    uid: str | None = None
    job: str | None = None
    created_at: str | None = None
    exit_codes: dict[str, int] = field(default_factory=dict)
    results: dict[str, str] | None = None
    sources: dict[str, str | None] | None = None
    artifacts: list[dict[str, str | None]] = field(default_factory=list)
    problems: list[PodwrightError] = field(default_factory=list)
    indexes: list[Result] = field(default_factory=list)


def build_record(
    spec: TaskSpec, status: Status, pod: Manifest | None, attempt: int, tail: Tail, collected: Collected | None = None, job: Manifest | None = None
) -> Manifest:
    """The manifest of the record of a finished task.

    Args:
        pod: its last pod, or None if that is deleted.
        tail: of its log; only the end is recorded.
        collected: what it left and was fetched, or None.
        job: its Job, or None.
    """
    started, finished = times(pod) if pod else (None, None)
    data = {
        "resources": spec.resources_hash,
        "state": status.state,
        "reason": status.reason,
        "message": status.message,
        "rc": "" if status.rc is None else str(status.rc),
        "attempt": str(attempt),
        "started_at": started or "",
        "finished_at": finished or "",
        "log": tail.text[-LOG_CHARACTERS:],
        "uid": pod["metadata"]["uid"] if pod else "",
        "created_at": (pod["metadata"].get("creationTimestamp") or "") if pod else "",
        "exit_codes": json.dumps(exit_codes(pod) if pod else {}, sort_keys=True),
    }
    data |= {"interrupted": "true"} if status.is_interrupted else {}
    if job:
        data["job_uid"] = job["metadata"]["uid"]
    if tail.text and tail.container:
        data["log_container"] = tail.container
    data |= _describe_collected(spec, collected) if collected else {}
    labels = MANAGED | {TASK: spec.name, HASH: spec.hash, RECORD: "true"} | ({SET: spec.set_name} if spec.set_name else {})
    metadata: Manifest = {"name": PREFIX + spec.name, "namespace": spec.namespace, "labels": labels}
    if spec.options.get("ttl") is not None:
        metadata["annotations"] = {TTL: str(spec.options["ttl"])}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def with_indexes(item: Manifest, indexes: Sequence[Result]) -> Manifest:
    """A record with what is known of each index of an Indexed Job, unless that is too large."""
    known = {} if are_too_large(indexes) else {"indexes": json.dumps(indexes, ensure_ascii=False)}
    return item | {"data": item["data"] | known}


def are_too_large(indexes: Sequence[Result]) -> bool:
    """Whether a record, which is a ConfigMap, has no room for what is known of each index."""
    return len(encode(json.dumps(indexes, ensure_ascii=False))) > TOTAL_RESULT_BYTES


def _describe_collected(spec: TaskSpec, collected: Collected) -> dict[str, str]:
    problems = [{"message": problem.message, "reason": problem.reason, "hint": problem.hint} for problem in collected.problems]
    fields = {
        "results": json.dumps(collected.texts, sort_keys=True, ensure_ascii=False),
        "sources": json.dumps({source.name: source.path for source in read_sources(spec.options)}, sort_keys=True),
        "artifacts": json.dumps([entry.recorded for entry in collected.artifacts]),
    }
    return fields | ({"problems": json.dumps(problems)} if problems else {})


def move_record(item: Manifest, set_name: str | None) -> Manifest:
    """A record with another set, or none."""
    labels = {name: value for name, value in item["metadata"]["labels"].items() if name != SET} | ({SET: set_name} if set_name else {})
    return item | {"apiVersion": "v1", "kind": "ConfigMap", "metadata": item["metadata"] | {"labels": labels}}


def read_record(item: Manifest) -> Record:
    """Read a record from its ConfigMap; what is missing or was edited beyond recognition has a default."""
    data = item.get("data") or {}
    rc = parse_integer(data.get("rc"), MAX_EXIT_CODE, -MAX_EXIT_CODE)
    state = data.get("state", "")
    state = state if state in ("succeeded", "failed", SKIPPED) else "failed"
    status = Status(state, data.get("reason", ""), data.get("message", ""), rc, is_interrupted=data.get("interrupted") == "true")
    return Record(
        hash=label_of(item, HASH) or "",
        resources=data.get("resources", ""),
        status=status,
        attempt=parse_integer(data.get("attempt"), MAX_ATTEMPT, 1) or 1,
        started_at=data.get("started_at") or None,
        finished_at=data.get("finished_at") or None,
        tail=Tail(data.get("log", ""), data.get("log_container", "")),
        uid=data.get("uid") or None,
        job=data.get("job_uid") or None,
        created_at=data.get("created_at") or None,
        exit_codes={name: code for name, code in _read_json(data.get("exit_codes"), dict).items() if isinstance(code, int)},
        results=_read_texts(data["results"]) if "results" in data else None,
        sources=_only_texts(_read_json(data["sources"], dict)) if "sources" in data else None,
        artifacts=[_only_texts(entry) for entry in _read_json(data.get("artifacts"), list) if isinstance(entry, dict)],
        problems=[_read_problem(entry) for entry in _read_json(data.get("problems"), list) if isinstance(entry, dict)],
        indexes=[entry for entry in _read_json(data.get("indexes"), list) if isinstance(entry, dict) and isinstance(entry.get("index"), int)],
    )


def _read_texts(text: str) -> dict[str, str]:
    return {name: SURROGATE.sub("\ufffd", value) for name, value in _read_json(text, dict).items() if isinstance(value, str)}


def _only_texts(entry: dict[str, Any]) -> dict[str, str | None]:
    return {name: value for name, value in entry.items() if value is None or isinstance(value, str)}


def _read_problem(entry: Mapping[str, Any]) -> PodwrightError:
    message, reason, hint = (str(entry.get(name) or "") for name in ("message", "reason", "hint"))
    return PodwrightError(message or "what it left was incomplete", reason=reason or "NoOutput", hint=hint)


def _read_json(text: str | None, kind: type[_Kind]) -> _Kind:
    """The value of that type, empty unless the text contains one."""
    try:
        value = json.loads(text or "null")
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, kind) else kind()


def find_fetched(client: Client, spec: TaskSpec, uid: str) -> Record | None:
    """The record of a task whose pod has that uid, if a run has fetched what it left. Raises: PodwrightError."""
    record = find_record(client, spec.namespace, spec.name)
    return record if record and record.uid == uid and record.results is not None else None


def is_outdated(client: Client, task: str, pod: Manifest) -> bool:
    """Whether another run has recorded a later pod of a task. Raises: PodwrightError."""
    record = find_record(client, pod["metadata"]["namespace"], task)
    if record is None or record.uid in (None, pod["metadata"]["uid"]):
        return False
    return (record.created_at or "") > (pod["metadata"].get("creationTimestamp") or "")


def find_record(client: Client, namespace: str, task: str) -> Record | None:
    """The record of a task. Who may run tasks may list ConfigMaps, and need not get them. Raises: PodwrightError."""
    items, _version = client.list(CONFIG_MAP, namespace, field_selector=f"metadata.name={PREFIX}{task}")
    return read_record(items[0]) if items else None
