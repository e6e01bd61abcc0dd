# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a random test did before it failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def shown_on_failure(trace: list[str]) -> Iterator[None]:
    """Print the lines of a trace if what runs meanwhile fails."""
    try:
        yield
    except BaseException:
        print("\n".join(trace))
        raise
