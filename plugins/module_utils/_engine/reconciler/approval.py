# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The gate between a plan and its first write: what was reviewed is done, or nothing."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import PodwrightError, option_error
from ..files import AtomicFile, check_file, searched_in
from .diff import yaml_diff
from .manifest import Redactor
from .review import DIGEST_PREFIX, FORMAT, compare_plans, digest_of, outline, review_entries

if TYPE_CHECKING:
    from ..values import Options, Result
    from .plan import Change

PLAN_CHANGED = "PlanChanged"  # the reason of a refusal
_DIGEST = re.compile(rf"(?:{DIGEST_PREFIX})?([0-9a-f]{{64}})(?:@([0-9]{{1,12}}))?")
_MAX_BYTES = 64 << 20
_PRIVATE = 0o600


class Reviewed(NamedTuple):
    """The plan that was reviewed: its digest, the time for which it was made if it depends on ages, and its entries if they are known."""

    digest: str
    as_of: int | None = None
    entries: list[Result] | None = None


class Approval:
    """Takes the plan of an invocation before anything is written: computes its digest, writes its file, and compares it with the reviewed plan.

    Args:
        params: the options of the invocation, of which `expect`, `plan_file` and `hidden_fields` are read.
        redactor: what replaces secret values in the objects of the plan.
        clean: removes secret values from a mapping.

    Attributes:
        digest: the digest of the plan, or an empty string before there is one; `@` and a time follow if the plan depends on ages.
    """

    def __init__(self, params: Options, redactor: type[Redactor] = Redactor, clean: Callable[[Any], Any] = lambda value: value) -> None:
        self._expect: str | None = params.get("expect")
        self._path: str | None = params.get("plan_file")
        hidden = params.get("hidden_fields")
        self._redactor: Callable[..., Redactor] = partial(redactor, hidden_fields=hidden) if hidden else redactor
        self._clean = clean
        self._reviewed: Reviewed | None = None
        self._refused: list[Change] | None = None
        self.digest = ""

    @property
    def is_requested(self) -> bool:
        """Whether the options ask for a review, so that a run has to predict its plan as check mode does."""
        return self._expect is not None or self._path is not None

    @property
    def as_of(self) -> int | None:
        """The time for which the reviewed plan was made, in seconds since the epoch, or None: ages are calculated for it again."""
        return self._reviewed.as_of if self._reviewed else None

    def prepare(self) -> None:
        """Check both options and read the reviewed plan, before the first request. Raises: PodwrightError."""
        if self._expect is not None:
            self._reviewed = _read_reviewed(self._expect)
        if self._path is None:
            return
        if self._reviewed and self._reviewed.entries is not None and _is_same_file(self._path, os.path.expanduser(self._expect or "")):
            # The plan that is refused in this run would be the reviewed one of the next.
            raise option_error("plan_file", "must not be the file of expect.")
        check_file("plan_file", self._path)

    def submit(self, changes: Iterable[Change], as_of: int | None = None, clusters: Sequence[str | None] = ()) -> None:
        """Take the plan.

        Args:
            as_of: the time for which it was made, if it depends on ages.
            clusters: the cluster of each change, if there are several.

        Raises: PodwrightError if it is another one than the reviewed one, or its file cannot be written.
        """
        changes = list(changes)
        entries: list[Result] = [self._clean(entry) for entry in review_entries(changes, self._redactor, clusters)]
        digest = digest_of(entries)
        self.digest = digest if as_of is None else f"{digest}@{as_of}"
        if self._path is not None:
            self._write(self._path, entries)
        # Nothing to do is what a run that was approved and repeated plans.
        if self._reviewed and entries and self._reviewed.digest != digest:
            self._refused = changes
            raise self._refusal(self._reviewed, entries)

    def describe(self, diff_mode: bool) -> Result:
        """The fields of the result: the digest, and after a refusal the plan, nothing of which was done."""
        if self._refused is None:
            return {"plan_digest": self.digest} if self.digest else {}
        redactor = self._redactor()
        fields = {"changed": False, "plan_digest": self.digest, "plan": [change.describe(redactor) for change in self._refused]}
        return fields | ({"diff": yaml_diff(self._refused, redactor, self._clean)} if diff_mode else {})

    def _write(self, path: str, entries: list[Result]) -> None:
        content = {"format": FORMAT, "plan_digest": self.digest, "changes": entries}
        with AtomicFile(path, mode=_PRIVATE) as file:
            file.write(json.dumps(content, indent=2, sort_keys=True).encode() + b"\n")
            file.finish()

    def _refusal(self, reviewed: Reviewed, entries: list[Result]) -> PodwrightError:
        shown = f"It is now:\n{outline(entries)}" if reviewed.entries is None else f"The difference:\n{compare_plans(reviewed.entries, entries)}"
        message = f"Nothing was changed, because the plan is not the reviewed one: its digest is {self.digest}, expected {reviewed.digest}.\n{shown}"
        return PodwrightError(message, reason=PLAN_CHANGED, hint="Review this plan, and set expect to its digest or its plan_file.")


def _read_reviewed(expect: str) -> Reviewed:
    """The plan that `expect` names: a digest, or the path of a plan_file. Raises: PodwrightError."""
    text = expect.strip()
    match = _DIGEST.fullmatch(text)
    if match:
        return Reviewed(DIGEST_PREFIX + match[1], int(match[2]) if match[2] else None)
    path = os.path.expanduser(text)
    if not os.path.isfile(path):
        missing = not os.path.exists(path) and not text.startswith(DIGEST_PREFIX)
        found = f"got {text!r}{', which does not exist' + searched_in(path) if missing else ''}"
        raise option_error("expect", f"must be a plan_digest ({DIGEST_PREFIX} and 64 hexadecimal digits) or the path of a plan_file, {found}.")
    try:
        with open(path, "rb") as file:
            content = json.loads(file.read(_MAX_BYTES))
        entries, recorded = content["changes"], _DIGEST.fullmatch(content["plan_digest"])
        digest = digest_of(entries)
        is_plan = content["format"] == FORMAT and all(isinstance(entry, dict) for entry in entries)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise option_error("expect", f"must be a file that plan_file wrote, got {path} ({type(error).__name__}).") from None
    if not is_plan or not recorded or digest != DIGEST_PREFIX + recorded[1]:
        raise option_error("expect", f"must be an unchanged file that plan_file of this version wrote, got {path}.", "Write the plan and review it again.")
    return Reviewed(digest, int(recorded[2]) if recorded[2] else None, entries)


def _is_same_file(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other.strip())
