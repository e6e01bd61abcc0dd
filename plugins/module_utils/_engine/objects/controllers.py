# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller of an object."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..values import Manifest


def controller_reference(item: Manifest) -> Manifest | None:
    """The owner reference of the controller that created an object, or None (API reference, OwnerReference)."""
    return next((reference for reference in item["metadata"].get("ownerReferences") or [] if reference.get("controller")), None)
