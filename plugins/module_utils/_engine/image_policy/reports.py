# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reports of scanners: JSON of Trivy (https://trivy.dev/latest/docs/configuration/reporting/#json), and SARIF 2.1.0 (`sarif.py`)."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import PodwrightError, option_error
from ..files import is_special
from ..objects.image_reference import parse_image
from ..objects.timestamps import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..objects.image_reference import ImageReference

SEVERITIES = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")
_MAX_BYTES = 256 << 20
_SUFFIXES = (".json", ".sarif")
_LISTS = {"Vulnerabilities": "VulnerabilityID", "Misconfigurations": "ID", "Secrets": "RuleID", "Licenses": "Name"}  # field -> that of the ID


@dataclass(frozen=True)
class Finding:
    """What a scanner found; `is_fixable` is false for a vulnerability without a fixed version."""

    id: str
    severity: str
    package: str = ""
    is_fixable: bool = True


@dataclass(frozen=True)
class Report:
    """What a scanner reported about one image.

    Attributes:
        path: the file.
        tags: the references of the image with its tag, such as `docker.io/library/busybox:1.36`.
        digests: the digests of the image.
        created: seconds since the epoch, or None if the report does not say.
    """

    path: str
    tags: frozenset[str]
    digests: frozenset[str]
    created: float | None
    findings: tuple[Finding, ...]

    def describes(self, image: ImageReference) -> bool:
        """Whether it is about an image: about its digest if it has one, else about its tag."""
        return image.digest in self.digests if image.digest else image.tagged in self.tags


def read_reports(paths: Iterable[str]) -> list[Report]:
    """The reports in files, and in the files of directories. Raises: PodwrightError for a file that is not a report."""
    from .sarif import read_runs

    reports: list[Report] = []
    for index, path in enumerate(paths):
        option = f"image_policy.reports[{index}]"
        for file in _files(option, path):
            content = _load(option, file)
            try:
                reports += read_runs(file, content) if "runs" in content else [_read_trivy(file, content)]
            except (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
                detail = str(error) if error.__class__ is ValueError else f"its content is not as that format says ({error.__class__.__name__})"
                bad_report(option, file, detail)
    return reports


def identify(names: Iterable[object], digests: Iterable[object]) -> tuple[frozenset[str], frozenset[str]]:
    """(references with tags, digests) of an image from what a report calls it."""
    found = [image for name in (*names, *digests) if (image := parse_image(str(name)))]
    return frozenset(image.tagged for image in found if not image.digest), frozenset(image.digest for image in found if image.digest)


def check_severity(severity: object) -> str:
    """The severity. Raises: ValueError for a word that Trivy does not have."""
    if severity not in SEVERITIES:
        raise ValueError(f"its severity {severity!r} is unknown")
    return str(severity)


def bad_report(option: str, file: str, why: str) -> NoReturn:
    """Raise the error for a file that cannot be used as a report."""
    hint = "Create it with: trivy image --format json --output FILE IMAGE"
    raise option_error(option, f"must be a JSON report of Trivy or a SARIF 2.1.0 report, but {file} is not: {why}.", hint)


def _files(option: str, path: str) -> list[str]:
    if not os.path.isdir(path):
        return [path]
    try:
        files = sorted(os.path.join(path, name) for name in os.listdir(path) if name.endswith(_SUFFIXES))
    except OSError as error:
        raise _unreadable(option, path, error) from None
    if not files:
        raise option_error(option, f"must contain reports, but the directory {path} has no file {' or '.join(f'*{suffix}' for suffix in _SUFFIXES)}.")
    if special := next(filter(is_special, files), None):  # reading a pipe may wait forever
        raise option_error(option, f"must be a directory of reports, but {special} is not a regular file.")
    return files


def _unreadable(option: str, path: str, error: Exception) -> PodwrightError:
    """The error for a path that cannot be read, or that is invalid."""
    why = getattr(error, "strerror", None) or "its name is invalid"
    return option_error(option, f"must be a report that can be read, but {path} cannot: {why}.")


def _load(option: str, file: str) -> dict[str, Any]:
    try:
        with open(file, "rb") as source:
            data = source.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise _unreadable(option, file, error) from None
    if len(data) > _MAX_BYTES:
        bad_report(option, file, f"it is larger than {_MAX_BYTES >> 20} MiB")
    try:
        content = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        bad_report(option, file, "it is not JSON")
    if not isinstance(content, dict):
        bad_report(option, file, "it is not a mapping")
    return content


def _read_trivy(file: str, content: dict[str, Any]) -> Report:
    if content.get("SchemaVersion") != 2:
        raise ValueError(f"its SchemaVersion must be 2, got {content.get('SchemaVersion')!r}")
    if content.get("ArtifactType") != "container_image":
        raise ValueError(f"its ArtifactType must be container_image, got {content.get('ArtifactType')!r}")
    metadata = content.get("Metadata") or {}
    tags, digests = identify((content.get("ArtifactName"), *(metadata.get("RepoTags") or ())), metadata.get("RepoDigests") or ())
    created = parse_timestamp(content["CreatedAt"]) if content.get("CreatedAt") else None
    return Report(file, tags, digests, created, tuple(finding for result in content.get("Results") or () for finding in _findings(result)))


def _findings(result: dict[str, Any]) -> Iterable[Finding]:
    for name, identifier in _LISTS.items():
        for entry in result.get(name) or ():
            if name == "Misconfigurations" and entry.get("Status") in ("PASS", "EXCEPTION"):
                continue
            is_fixable = name != "Vulnerabilities" or bool(entry.get("FixedVersion"))
            package = entry.get("PkgName") or result.get("Target") or ""
            yield Finding(str(entry[identifier]), check_severity(entry.get("Severity") or "UNKNOWN"), str(package), is_fixable)
