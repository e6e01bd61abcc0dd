# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The errors for results and artifacts that a task left wrong, or did not leave. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import PodwrightError
from .outputs import RESULT_BYTES, Artifact, ResultSource, read_artifacts, read_sources

if TYPE_CHECKING:
    from ..values import Manifest, Options


def too_large(source: ResultSource, size: int, limit: int = RESULT_BYTES) -> PodwrightError:
    """The error for a result above the limit."""
    hint = "Fetch it with artifacts, which have no limit." if source.path else "Write it to a file, and fetch that with results or artifacts."
    return PodwrightError(f"its result '{source.name}' has {size} bytes, but at most {limit} are returned", reason="ResultTooLarge", hint=hint)


def missing_error(what: str, path: str | None) -> PodwrightError:
    """The error for a result or an artifact that a task which succeeded did not leave."""
    message = f"its {what} is missing ({path or 'a termination message'})"
    if path and any(character in path for character in "*?["):
        hint = "A path is not a pattern: name one file, or a directory, which is fetched with all that it contains."
        return PodwrightError(message, reason="NoOutput", hint=hint)
    return PodwrightError(message, reason="NoOutput", hint="The command must write it before it exits; set optional if it need not.")


def lost_error(options: Options, pod: Manifest | None = None) -> PodwrightError | None:
    """The error for a task that succeeded, but whose files nobody can fetch any more; None if it need not have left any, and never runs again."""
    if options["rerun"] != "never":
        message = "the files that it left were lost before this run fetched them, because its pod was terminated"
        if pod and (pod.get("status") or {}).get("reason") == "DeadlineExceeded":
            hint = "Raise timeout, which includes the time in which files are fetched, or lower concurrency if tasks wait for each other's copies."
            return PodwrightError(f"{message} at its timeout", reason="FilesLost", hint=hint)
        return PodwrightError(message, reason="FilesLost", hint="Run the playbook again, which runs the task again.")
    files: list[ResultSource | Artifact] = [*read_sources(options), *read_artifacts(options)]
    if not any(entry.path and not entry.is_optional for entry in files):
        return None
    message = "neither its pod nor its record has the files that it left any more"
    return PodwrightError(message, reason="FilesLost", hint="Set rerun to on_failure to run the task again.")


def outside_error(what: str, path: str | None) -> PodwrightError:
    """The error for a result or an artifact that is a link to a path of which the container that holds the files has its own version."""
    message = f"its {what} ({path}) is a symbolic link to a path outside the volumes of the task"
    return PodwrightError(message, reason="BadResult", hint="Copy the file there instead of linking to it.")


def special_error(what: str, path: str | None) -> PodwrightError:
    """The error for a result that is a directory, a named pipe or another special file."""
    return PodwrightError(f"its {what} ({path}) is not a regular file", reason="BadResult", hint="Fetch directories with artifacts.")
