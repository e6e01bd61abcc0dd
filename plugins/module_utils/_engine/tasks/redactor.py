# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What replaces secret values in the objects of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..reconciler.manifest import Redactor

if TYPE_CHECKING:
    from ..values import Manifest

_WITH_PODS = ("Pod", "Job", "Deployment")


class TaskRedactor(Redactor):
    """Redacts the literal values of environment variables as well, which may be secrets."""

    @staticmethod
    def has_secrets(kind_name: str) -> bool:
        """Whether objects of a kind contain values to redact."""
        return kind_name in ("Secret", *_WITH_PODS)

    def redact(self, manifest: Manifest) -> Manifest:
        """The manifest with a digest in place of each secret value."""
        if not manifest or manifest.get("kind") not in _WITH_PODS:
            return super().redact(manifest)
        redacted: Manifest = self._redact_variables(manifest)
        return redacted

    def _redact_variables(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._redact_variables(item) for item in value]
        if not isinstance(value, dict):
            return value
        redacted = {key: self._redact_variables(item) for key, item in value.items() if key != "managedFields"}
        if isinstance(value.get("env"), list):
            redacted["env"] = [entry | {"value": self.digest(entry["value"])} if "value" in entry else entry for entry in value["env"]]
        return redacted
