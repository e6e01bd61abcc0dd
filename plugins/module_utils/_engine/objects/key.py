# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The identity of an object within a cluster."""

from __future__ import annotations

from typing import NamedTuple


class Key(NamedTuple):
    """An object's API group (empty for the core group), kind, namespace (empty for cluster-scoped kinds) and name; any version."""

    group: str
    kind: str
    namespace: str
    name: str

    @property
    def title(self) -> str:
        """The object as messages name it, such as `Pod 'web' in namespace 'shop'`."""
        suffix = f" in namespace '{self.namespace}'" if self.namespace else ""
        return f"{self.kind} '{self.name}'{suffix}"
