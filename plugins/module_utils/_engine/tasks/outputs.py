# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a task leaves when it completes: results, which are small and typed, and artifacts. Pure functions."""

from __future__ import annotations

import json
import math
import os
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import PodwrightError, option_error
from ..objects.containers import TASK_CONTAINER, container_status
from ..text import LARGEST, SURROGATE, encode, scalar_text
from .copies import RecordedCopy, fault_of_copy
from .manifest_shape import check_shape
from .options import check_keys

if TYPE_CHECKING:
    from ..values import Manifest, Options
    from .record import Record

RESULT_BYTES, TOTAL_RESULT_BYTES = 64 << 10, 256 << 10  # of one result, and of all results of a task: they are kept in a ConfigMap
# The kubelet keeps the last of a termination message, and of those of a pod together the first, of each container as much
# (API reference, Container, terminationMessagePath).
TERMINATION_MESSAGE_BYTES, ALL_MESSAGES_BYTES = 4096, 12 << 10
MAX_DEPTH = 100  # of a JSON result
JSON, TEXT = "json", "text"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
# An empty volume there would hide what every program needs.
SYSTEM = frozenset(("bin", "boot", "dev", "etc", "lib", "lib64", "proc", "sbin", "sys", "usr"))


@dataclass(frozen=True)
class ResultSource:
    """The source of a result.

    Attributes:
        path: the file, or None for the termination message of the task's container.
        type: TEXT or JSON.
        is_optional: whether a task that succeeds may leave it out.
    """

    name: str
    path: str | None
    type: str
    is_optional: bool


@dataclass(frozen=True)
class Artifact:
    """A file or directory to fetch from a task that has terminated.

    Attributes:
        path: the path in the container; that of a directory may end with a slash.
        dest: the path of the copy, on the host that runs the module.
        is_optional: whether a task that succeeds may leave it out.
    """

    path: str
    dest: str
    is_optional: bool

    @property
    def paths(self) -> tuple[str, str]:
        """The normalized paths of its copy at `dest`, and in it if that is a directory and the artifact a file."""
        return os.path.realpath(self.dest), os.path.realpath(os.path.join(self.dest, posixpath.basename(self.path)))

    @property
    def places(self) -> set[str]:
        """Those of its `paths` that its copy may have, by what is known before it is fetched."""
        itself, inside = self.paths
        if self.path.endswith("/"):
            return {itself}
        return {inside} if self.dest.endswith("/") else {itself, inside} if os.path.isdir(self.dest) else {itself}


def read_sources(options: Options) -> list[ResultSource]:
    """The sources of a task's results. Raises: PodwrightError that names the invalid option."""
    return [_read_source(scalar_text(name), value) for name, value in (options.get("results") or {}).items()]


def _read_source(name: str, value: Any) -> ResultSource:
    option = f"results.{name}"
    if not _NAME.fullmatch(name):
        raise option_error("results", f"must have names of at most 63 letters, digits and underscores that start with a letter, got {name!r}.")
    if isinstance(value, str):
        value = {"path": value}
    if not isinstance(value, dict):
        raise option_error(option, "must be a path or a mapping with path or termination_message.")
    check_keys(option, value, ("path", "termination_message", "type", "optional"))
    for key in ("termination_message", "optional"):
        if not isinstance(value.get(key, False), bool):
            raise option_error(f"{option}.{key}", f"must be true or false, got {value[key]!r}.")
    if value.get("type", TEXT) not in (TEXT, JSON):
        raise option_error(f"{option}.type", f"must be {TEXT} or {JSON}, got {value['type']!r}.")
    if bool(value.get("path")) == value.get("termination_message", False):
        raise option_error(option, "must have one of path and termination_message.")
    path = value.get("path")
    if path is not None:
        check_path(f"{option}.path", path)
        if path.endswith("/"):
            raise option_error(f"{option}.path", f"must be a file, got the directory {path!r}.", "Fetch directories with artifacts.")
    return ResultSource(name, path, value.get("type", TEXT), value.get("optional", False))


def read_artifacts(options: Options) -> list[Artifact]:
    """The artifacts of a task. Raises: PodwrightError that names the invalid option."""
    artifacts = []
    for index, entry in enumerate(options.get("artifacts") or []):
        check_path(f"artifacts[{index}].path", entry["path"])
        if not entry["dest"] or not _can_be_path(entry["dest"]):
            got = repr(entry["dest"]) if entry["dest"] else "an empty string"
            raise option_error(f"artifacts[{index}].dest", f"must be a path, got {got}.")
        artifacts.append(Artifact(entry["path"], entry["dest"], bool(entry.get("optional"))))
    return artifacts


def check_path(option: str, path: object) -> None:
    """Check a path in a container. Raises: PodwrightError."""
    if not isinstance(path, str) or not path.startswith("/") or not _can_be_path(path) or posixpath.normpath(path) != path.rstrip("/") or path.startswith("//"):
        raise option_error(option, f"must be an absolute path without '.', '..' and empty parts, got {path!r}.")


def _can_be_path(text: str) -> bool:
    """Whether a text has bytes, none of which is 0."""
    try:
        return b"\0" not in encode(text)
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def check_destinations(tasks: Iterable[tuple[str, Options]]) -> None:
    """Check that no two artifacts would replace each other.

    Args:
        tasks: (prefix of the options in errors, options) of all tasks.

    Raises: PodwrightError.
    """
    known: dict[str, str] = {}
    for prefix, options in tasks:
        for index, artifact in enumerate(read_artifacts(options)):
            option = f"{prefix}artifacts[{index}]"
            for place in sorted(artifact.places):
                other = known.setdefault(place, option)
                if other != option:
                    hint = "Use the name of the task in it, and end the path of a directory with a slash."
                    raise option_error(f"{option}.dest", f"must not be that of {other}, got {place!r} for both.", hint)


def output_paths(options: Options) -> list[tuple[str, str]]:
    """(path of the option, path in the container) of each result and artifact that is a file or directory of the task."""
    if not options.get("results") and not options.get("artifacts"):
        return []
    results = [(f"results.{source.name}", source.path) for source in read_sources(options) if source.path]
    return results + [(f"artifacts[{index}].path", artifact.path) for index, artifact in enumerate(read_artifacts(options))]


def mounted_paths(options: Options) -> list[str]:
    """The paths at which a task mounts volumes."""
    mounted = [entry["mount_path"] for entry in options.get("volumes") or [] if entry.get("mount_path")]
    return mounted + ([options["shared_workspace"]] if options.get("shared_workspace") else [])


def definition_mounts(options: Options) -> list[Manifest]:
    """The volume mounts that `definition` alone gives the task's container. Raises: PodwrightError if they are invalid."""
    definition = options.get("definition") or {}
    check_shape(definition, "definition")
    containers = (definition.get("spec") or {}).get("containers") or []
    mounts = [mount for container in containers if container["name"] == TASK_CONTAINER for mount in container.get("volumeMounts") or []]
    return [mount for mount in mounts if mount["mountPath"] not in mounted_paths(options)]


def output_directories(options: Options) -> list[str]:
    """The directories in which a task leaves files and that none of its own volumes contains.

    Raises: PodwrightError for a directory of the image that must not be hidden.
    """
    mounts, directories = definition_mounts(options) if output_paths(options) else [], []
    mounted = [*mounted_paths(options), *(mount["mountPath"] for mount in mounts)]
    for option, path in output_paths(options):
        if any(mount.get("subPathExpr") and contains(mount["mountPath"], path) for mount in mounts):
            raise option_error(option, f"must not be in a mount of definition with subPathExpr, got {path!r}.", "Set subPath, or mount it by volumes.")
        directory = path.rstrip("/") if path.endswith("/") else posixpath.dirname(path)
        if any(contains(place, path) for place in mounted):
            continue
        if directory in ("", "/") or directory.split("/")[1] in SYSTEM:
            problem = f"must be in a directory that an empty volume can take the place of, got {path!r}."
            raise option_error(option, problem, "Write it to a directory such as /output, or to a volume of the task.")
        directories.append(directory)
    return [place for place in sorted(set(directories)) if not any(place != other and contains(other, place) for other in directories)]


def contains(directory: str, path: str) -> bool:
    """Whether a path is a directory or below it."""
    return (path.rstrip("/") + "/").startswith(directory.rstrip("/") + "/")


# -- values ---------------------------------------------------------------------------------------------------


def termination_message(pod: Manifest, container: str = TASK_CONTAINER) -> str:
    """The termination message of a container, or an empty text."""
    state = container_status(pod, container).get("state") or {}
    message: str = (state.get("terminated") or {}).get("message") or ""
    return message


def message_limit(pod: Manifest | None) -> int:
    """The size from which on a termination message was perhaps cut, in a pod with as many containers; without a pod the largest one."""
    number = sum(len(((pod or {}).get("spec") or {}).get(field) or []) for field in ("containers", "initContainers", "ephemeralContainers"))
    return min(TERMINATION_MESSAGE_BYTES, ALL_MESSAGES_BYTES // max(number, 1))


def parse_result(source: ResultSource, text: str) -> Any:
    """The value of a result. Raises: PodwrightError that names it."""
    if source.type == TEXT:
        return text
    try:
        value = json.loads(text.removeprefix("\ufeff"), parse_constant=_refuse_constant)
        is_plain = _is_plain(value, MAX_DEPTH)
    except (ValueError, RecursionError):
        is_plain = False
    if not text.strip():
        raise PodwrightError(f"its result '{source.name}' is not valid JSON: it is empty", reason="BadResult", hint="Write null for no value.")
    if not is_plain:
        message = f"its result '{source.name}' is not valid JSON, at most {MAX_DEPTH} levels deep and with numbers of at most 64 bits"
        raise PodwrightError(message, reason="BadResult", hint="Set its type to text to see it.")
    # Programs that cut a text may write half of a surrogate pair, which nothing can encode.
    return json.loads(SURROGATE.sub("\ufffd", json.dumps(value, ensure_ascii=False)))


def _refuse_constant(name: str) -> float:
    raise ValueError(name)


def _is_plain(value: Any, depth: int) -> bool:
    if not depth:
        return False
    if isinstance(value, dict):
        return all(_is_plain(item, depth - 1) for item in value.values())
    if isinstance(value, list):
        return all(_is_plain(item, depth - 1) for item in value)
    return math.isfinite(value) if isinstance(value, float) else not isinstance(value, int) or -LARGEST - 1 <= value <= LARGEST


def parse_results(sources: Iterable[ResultSource], texts: Mapping[str, str]) -> tuple[dict[str, Any], list[PodwrightError]]:
    """(results by name, what is wrong with the others)."""
    values, problems = {}, []
    for source in sources:
        if source.name in texts:
            try:
                values[source.name] = parse_result(source, texts[source.name])
            except PodwrightError as error:
                problems.append(error)
    return values, problems


def check_total(texts: Mapping[str, str]) -> None:
    """Check the size of all results together, as JSON, in which they are recorded. Raises: PodwrightError."""
    total = len(json.dumps(dict(texts), ensure_ascii=False).encode("utf-8", "surrogatepass"))
    if total > TOTAL_RESULT_BYTES:
        message = f"its results have {total} bytes together, but at most {TOTAL_RESULT_BYTES} are returned"
        raise PodwrightError(message, reason="ResultTooLarge", hint="Fetch large files with artifacts.")


def result_variables(results: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Environment variables with the results of other tasks: the result `size` of the task `my-task` as MY_TASK_SIZE; what is not text as JSON.

    Args:
        results: results by name, by the name of the task.
    """
    return {
        re.sub(r"[^A-Z0-9]", "_", f"{task}_{name}".upper()): value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        for task, values in results.items()
        for name, value in values.items()
    }


# -- what is known from earlier runs --------------------------------------------------------------------------


def why_incomplete(options: Options, record: Record | None, can_be_fetched: bool, find_fault: Callable[[RecordedCopy], str] = fault_of_copy) -> str:
    """Why a task that succeeded in an earlier run must run again: something that it left was lost. An empty text if nothing was.

    Args:
        record: the Record of that run, or None.
        can_be_fetched: whether its pod still has the files.
        find_fault: what became of a copy.
    """
    if not output_paths(options):
        return ""
    if record is None or record.results is None:
        return "" if can_be_fetched else "the files that it left were lost before they were fetched"
    for source in read_sources(options):
        if record.sources is not None and source.path not in (None, *record.sources.values()):
            return f"its result '{source.name}' was not fetched from {source.path}"
    fetched = {(entry.get("path"), entry.get("dest")): entry for entry in record.artifacts}
    for artifact in read_artifacts(options):
        entry = fetched.get((artifact.path, artifact.dest))
        # A relative dest may mean another directory now.
        if entry is None or entry.get("target") not in (None, *artifact.paths):
            return f"its artifact was not copied to {artifact.dest}"
        fault = find_fault(entry)
        if fault:
            return f"its artifact {artifact.dest} {fault}"
    return ""
