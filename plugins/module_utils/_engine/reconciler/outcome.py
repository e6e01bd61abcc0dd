# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a reconciliation did, complete or not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..errors import PodwrightError
    from ..values import Manifest
    from .plan import Change


@dataclass
class Outcome:
    """What was done, up to an error if there was one.

    Attributes:
        changes: an Applied for each object; in check mode, a Change.
        error: why the reconciliation stopped, or None.
    """

    changes: list[Change] = field(default_factory=list)
    error: PodwrightError | None = None

    def raise_error(self) -> None:
        """Raises: PodwrightError, the error if there was one."""
        if self.error:
            raise self.error

    @property
    def is_changed(self) -> bool:
        """Whether any object was changed, or would be in check mode."""
        return any(change.is_change for change in self.changes)

    @property
    def objects(self) -> list[Manifest]:
        """The objects after the changes, without deleted ones."""
        return [change.after for change in self.changes if change.after is not None]

    def summary(self) -> dict[str, int]:
        """The number of changes by action."""
        return dict(Counter(change.action for change in self.changes))
