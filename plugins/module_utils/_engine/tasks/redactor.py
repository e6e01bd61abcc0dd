# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What replaces secret values in the objects of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..reconciler.manifest import Redactor, drop_last_applied

if TYPE_CHECKING:
    from ..values import Manifest, Options

_WITH_PODS = ("Pod", "PodTemplate", "Job", "CronJob", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "ReplicationController")


class TaskRedactor(Redactor):
    """Redacts the literal values of environment variables as well, which may be secrets."""

    def has_secrets(self, kind_name: str) -> bool:
        """Whether objects of a kind contain values to redact."""
        return kind_name in ("Secret", *_WITH_PODS)

    def redact(self, manifest: Manifest) -> Manifest:
        """The manifest with a digest in place of each secret value."""
        if not manifest or manifest.get("kind") not in _WITH_PODS:
            return super().redact(manifest)
        redacted: Manifest = self._redact_variables(drop_last_applied(manifest))
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


def redact_options(params: Options) -> Options:
    """The options of tasks without standard input and without literal values of environment variables and patches."""
    redactor = TaskRedactor()
    hidden: Options = {}
    for name in ("tasks", "containers", "init_containers"):
        if params.get(name):
            hidden[name] = [redact_options(item) for item in params[name]]
    if params.get("env"):
        hidden["env"] = {name: value if isinstance(value, dict) else redactor.digest(value) for name, value in params["env"].items()}
    if params.get("secret_env"):
        hidden["secret_env"] = {name: redactor.digest(value) for name, value in params["secret_env"].items()}
    if params.get("stdin") is not None:
        hidden["stdin"] = redactor.summarize(params["stdin"])
    if params.get("inputs"):
        contents = [{} if entry.get("content") is None else {"content": redactor.summarize(entry["content"])} for entry in params["inputs"]]
        hidden["inputs"] = [entry | content for entry, content in zip(params["inputs"], contents)]
    if (params.get("trace") or {}).get("endpoint") and "@" in params["trace"]["endpoint"]:  # it must not contain credentials
        hidden["trace"] = params["trace"] | {"endpoint": redactor.digest(params["trace"]["endpoint"])}
    if params.get("patches"):
        hidden["patches"] = [patch | {"value": redactor.digest(patch["value"])} if "value" in patch else patch for patch in params["patches"]]
    if params.get("definition"):
        hidden["definition"] = redactor.redact(params["definition"] | {"kind": "Pod"})
    return params | hidden if hidden else params
