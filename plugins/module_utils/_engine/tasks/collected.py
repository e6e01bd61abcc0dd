# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a task has left: as it was fetched in this run, or as an earlier run recorded it. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import PodwrightError
from .output_errors import lost_error, missing_error, too_large
from .outputs import Artifact, ResultSource, check_total, message_limit, parse_results, read_artifacts, read_sources, termination_message

if TYPE_CHECKING:
    from typing import Any

    from ..transfer.plan import Plan
    from ..values import Manifest, Result
    from .record import Record
    from .task_spec import TaskSpec


@dataclass
class Fetched:
    """An artifact.

    Attributes:
        target: the path of the copy, or None if the task did not leave it.
        plan: what the copy changed, or None if it was not copied in this run.
        size: the bytes that were copied.
        checksum: the sha256 of a file, or None.
        stamp: that of the copy of a file, or None.
    """

    artifact: Artifact
    target: str | None = None
    plan: Plan | None = None
    size: int = 0
    checksum: str | None = None
    stamp: str | None = None

    @property
    def recorded(self) -> dict[str, str | None]:
        """The artifact in a record."""
        copied = {"checksum": self.checksum, "stamp": self.stamp} if self.checksum else {}
        return {"path": self.artifact.path, "dest": self.artifact.dest, "target": self.target, **copied}

    def describe(self) -> Result:
        """The artifact in the result."""
        fields: Result = {
            "path": self.artifact.path,
            "dest": self.artifact.dest,
            "exists": self.target is not None,
            "changed": bool(self.plan and self.plan.is_change),
        }
        if self.plan:
            fields |= {"bytes": self.size, "files": {"copied": len(self.plan.files), "unchanged": self.plan.unchanged}}
        return fields | {name: value for name, value in (("target", self.target), ("checksum", self.checksum)) if value}


@dataclass
class Collected:
    """What was fetched from a task that has terminated.

    Attributes:
        texts: its results as it left them, by name.
        artifacts: its artifacts.
        problems: what is wrong with what the task left.
        failures: why something that it left could not be fetched; another run can try.
    """

    texts: dict[str, str] = field(default_factory=dict)
    artifacts: list[Fetched] = field(default_factory=list)
    problems: list[PodwrightError] = field(default_factory=list)
    failures: list[PodwrightError] = field(default_factory=list)

    @property
    def is_change(self) -> bool:
        """Whether files changed on the host that runs the module."""
        return any(entry.plan and entry.plan.is_change for entry in self.artifacts)

    def results(self, spec: TaskSpec) -> dict[str, Any]:
        """The values of its results, by name."""
        return parse_results(read_sources(spec.options), self.texts)[0]


def decode_results(sources: list[ResultSource], contents: Mapping[str, bytes | int | None], pod: Manifest | None, collected: Collected) -> None:
    """Add the texts of results, and what is wrong with the others."""
    message, limit = termination_message(pod).encode("utf-8", "surrogatepass") if pod else b"", message_limit(pod)
    for source in sources:
        try:
            text = _decode_result(source, contents.get(source.name) if source.path else message or None, limit)
        except PodwrightError as error:
            collected.problems.append(error)
            continue
        if text is not None:
            collected.texts[source.name] = text
    try:
        check_total(collected.texts)
    except PodwrightError as error:
        collected.problems.append(error)
        collected.texts.clear()


def _decode_result(source: ResultSource, content: bytes | int | None, limit: int) -> str | None:
    """The text of a result, or None if the task left none; `limit` is that of its pod's messages. Raises: PodwrightError if it is too large or not UTF-8."""
    if isinstance(content, int):
        raise too_large(source, content)
    if content is None:
        return None
    if source.path is None and len(content) >= limit:
        raise too_large(source, len(content), limit - 1)
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise PodwrightError(
            f"its result '{source.name}' is not text in UTF-8", reason="BadResult", hint="Fetch it with artifacts, or encode it in base64."
        ) from None


def recorded_texts(sources: Iterable[ResultSource], record: Record | None) -> dict[str, str]:
    """The recorded texts of results by name: a path may have another name now, and a name another path, with which the task need not run again."""
    if record is None or not record.results or record.sources is None:
        return (record.results if record else None) or {}
    texts = {record.sources[name]: text for name, text in record.results.items() if name in record.sources}
    return {source.name: texts[source.path] for source in sources if source.path in texts}


def find_omissions(spec: TaskSpec, collected: Collected) -> list[PodwrightError]:
    """What a task that succeeded should have left and did not; not what could not be fetched or is a problem already."""
    sources = read_sources(spec.options)
    problems = parse_results(sources, collected.texts)[1]
    if not collected.problems and not collected.failures:
        missing = [source for source in sources if source.name not in collected.texts and not source.is_optional]
        problems += [missing_error(f"result '{source.name}'", source.path) for source in missing]
    lost = [entry.artifact for entry in collected.artifacts if entry.target is None and not entry.artifact.is_optional]
    return problems + [missing_error("artifact", artifact.path) for artifact in lost]


def restore(spec: TaskSpec, pod: Manifest | None, record: Record | None, is_success: bool) -> Collected:
    """What an earlier run has fetched, from the record and the pod of a task."""
    sources, artifacts = read_sources(spec.options), read_artifacts(spec.options)
    recorded = recorded_texts(sources, record)
    collected = Collected()
    if pod is None:  # also those that were termination messages
        collected.texts = {source.name: recorded[source.name] for source in sources if source.name in recorded}
    else:
        decode_results(sources, {name: text.encode() for name, text in recorded.items()}, pod, collected)
    known = {(entry.get("path"), entry.get("dest")): entry for entry in record.artifacts} if record else {}
    for artifact in artifacts:
        entry = known.get((artifact.path, artifact.dest))
        collected.artifacts += [Fetched(artifact, entry.get("target"), checksum=entry.get("checksum"), stamp=entry.get("stamp"))] if entry else []
    if is_success and spec.leaves_files and (record is None or record.results is None):
        lost = lost_error(spec.options, pod)
        collected.problems += [lost] if lost else find_omissions(spec, collected)
    elif is_success:
        collected.problems = (record.problems if record else []) or collected.problems + find_omissions(spec, collected)
    return collected


def describe_lack(spec: TaskSpec, left: Collected) -> PodwrightError | None:
    """The error for a task that succeeded, but not with all that it should leave, or None."""
    problems = left.problems + left.failures
    if not problems:
        return None
    text = "; ".join(problem.message.rstrip(".") for problem in problems)
    message = f"The task '{spec.name}' in namespace '{spec.namespace}' succeeded, but not with all that it should leave: {text}."
    return PodwrightError(message, reason=problems[0].reason, hint=problems[0].hint)
