# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The images that tasks may run: from which registries, with a digest, scanned and signed."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING

from ..errors import option_error
from ..objects.image_reference import ImageReference, is_prefix, parse_image
from .command import judge
from .reports import SEVERITIES, Report, read_reports
from .signatures import read_keys, signed_digests

if TYPE_CHECKING:
    from ..values import Options

IMAGE_POLICY: dict[str, Options] = {
    "image_policy": {
        "type": "dict",
        "options": {
            "registries": {"type": "list", "elements": "str"},
            "require_digest": {"type": "bool", "default": False},
            "reports": {"type": "list", "elements": "path"},
            "severities": {"type": "list", "elements": "str", "choices": list(SEVERITIES)},
            "ignore": {"type": "list", "elements": "str"},
            "ignore_unfixed": {"type": "bool"},
            "max_age": {"type": "int"},
            "public_keys": {"type": "list", "elements": "path", "no_log": False},
            "signatures": {"type": "list", "elements": "path"},
            "command": {"type": "list", "elements": "str"},
            "command_timeout": {"type": "int"},
        },
    },
}
_RULES = ("registries", "require_digest", "reports", "public_keys", "command")
_REQUIRED = {
    **dict.fromkeys(("severities", "ignore", "ignore_unfixed", "max_age"), "reports"),
    "signatures": "public_keys",
    "public_keys": "signatures",
    "command_timeout": "command",
}
_SKEW = 300  # seconds by which the clock of a scanner may be ahead
_LISTED = 5  # findings in a message


class ImagePolicy:
    """The option `image_policy`.

    Raises: PodwrightError that names what is invalid, also in the files that it names.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        for name, value in options.items():
            if value == []:
                raise option_error(f"image_policy.{name}", "must not be empty.", "Leave it out to allow all." if name in _RULES else "")
            if value is not None and name in _REQUIRED and not options.get(_REQUIRED[name]):
                raise option_error(f"image_policy.{name}", f"requires image_policy.{_REQUIRED[name]}, which is not set.")
        if not any(options.get(name) for name in _RULES):
            raise option_error("image_policy", f"must set at least one of {', '.join(_RULES)}.")
        for index, prefix in enumerate(options.get("registries") or ()):
            if not is_prefix(prefix):
                rule = "must be HOST[:PORT][/PATH] without a scheme, a tag and a trailing slash"
                raise option_error(f"image_policy.registries[{index}]", f"{rule}, got {prefix!r}.", "The official images of Docker Hub are docker.io/library.")
        self._reports: list[Report] = read_reports(options.get("reports") or ())
        self._signed = signed_digests(options["signatures"], read_keys(options["public_keys"])) if options.get("public_keys") else set()

    def refusal(self, text: str) -> str:
        """Why an image is refused; empty if it is allowed."""
        image = parse_image(text)
        if not image:
            return "it is not a valid reference" if not text.startswith("sha256:") else "the ID of an image does not name its registry"
        return self._check_name(image) or self._check_reports(image) or self._check_signature(image) or self._run_command(text)

    def _check_name(self, image: ImageReference) -> str:
        prefixes = self._options.get("registries")
        if prefixes and not any(map(image.is_below, prefixes)):
            return f"its repository {image.repository} is not in registries ({', '.join(prefixes)})"
        return "it has no digest, which require_digest demands" if self._options.get("require_digest") and not image.is_fixed else ""

    def _check_reports(self, image: ImageReference) -> str:
        if not self._options.get("reports"):
            return ""
        found = [report for report in self._reports if report.describes(image)]
        if not found:
            known = sorted({name for report in self._reports for name in report.digests | report.tags})
            return f"none of the reports is about {image.digest or image.tagged}; they are about {', '.join(known[:_LISTED]) or 'no image'}"
        outdated = {report.path: why for report in found if (why := self._why_outdated(report))}
        if len(outdated) == len({report.path for report in found}):
            return "; ".join(f"its report {path} {why}" for path, why in outdated.items())
        return next((why for report in found if report.path not in outdated and (why := self._check_findings(report))), "")

    def _why_outdated(self, report: Report) -> str:
        limit = self._options.get("max_age")
        if limit is None:
            return ""
        if report.created is None:
            return "has no date, which max_age demands"
        age = time.time() - report.created
        return f"is {age:.0f} s old, more than max_age ({limit})" if age > limit else "has a date in the future" if age < -_SKEW else ""

    def _check_findings(self, report: Report) -> str:
        found = [finding for finding in report.findings if finding.severity in self._severities and finding.id not in self._ignored]
        if self._options.get("ignore_unfixed"):
            found = [finding for finding in found if finding.is_fixable]
        if not found:
            return ""
        listed = dict.fromkeys(f"{finding.id} ({', '.join(filter(None, (finding.severity, finding.package)))})" for finding in found)
        more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
        return f"its report {report.path} contains {', '.join([*listed][:_LISTED])}{more}"

    @cached_property
    def _severities(self) -> frozenset[str]:
        return frozenset(self._options.get("severities") or ("HIGH", "CRITICAL"))

    @cached_property
    def _ignored(self) -> frozenset[str]:
        return frozenset(self._options.get("ignore") or ())

    def _check_signature(self, image: ImageReference) -> str:
        if not self._options.get("public_keys"):
            return ""
        if not image.is_fixed:
            return "it has no digest, which a signature is for"
        return "" if image.digest in self._signed else f"none of the signatures is one of {image.digest} by one of the public_keys"

    def _run_command(self, text: str) -> str:
        command = self._options.get("command")
        return judge(command, text, self._options.get("command_timeout") or 60) if command else ""
