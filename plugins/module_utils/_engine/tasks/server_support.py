# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a server would do to a pod before it runs, other than its options say: fields that it drops, and a priority class of another policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..cluster.client import MANAGER
from ..cluster.kinds import BUILT_IN
from ..errors import PodwrightError, option_error
from ..objects.containers import pod_spec

if TYPE_CHECKING:
    from ..cluster.client import Client
    from ..cluster.kinds import Kind
    from ..values import Manifest, Options

PRIORITY_CLASS = BUILT_IN["scheduling.k8s.io/v1", "PriorityClass"]
PREEMPTS = "PreemptLowerPriority"
# Options of the pod that servers drop that are too old for them, or have their feature gate off -> field.
_POD_FIELDS = {"host_users": "hostUsers", "resource_claims": "resourceClaims"}
_CONTEXT_FIELDS = {"supplemental_groups_policy": "supplementalGroupsPolicy", "apparmor": "appArmorProfile", "proc_mount": "procMount"}


class ServerSupport:
    """Checks tasks against the server before anything is written; sends requests only for options that need them, once for each combination of these."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._checked: set[tuple[str, ...]] = set()

    def check(self, options: Options, kind: Kind, namespace: str, manifest: Manifest) -> None:
        """Check a manifest that is to be created or applied.

        Args:
            options: of the task.

        Raises: PodwrightError that names the option.
        """
        if options.get("preemption_policy"):
            self._check_preemption(options["preemption_policy"], options.get("priority_class"))
        wanted = _gated_fields(manifest)
        if not wanted or tuple(wanted) in self._checked:
            return
        self._checked.add(tuple(wanted))
        metadata = {key: value for key, value in manifest["metadata"].items() if key != "name"} | {"generateName": f"{manifest['metadata']['name']}-"}
        try:
            answer = self._client.create(kind, namespace, manifest | {"metadata": metadata}, MANAGER, dry_run=True)
        except PodwrightError:
            return  # what refuses the dry run refuses the creation, too, or has nothing to do with the fields
        dropped = [option for option in wanted if option not in _gated_fields(answer)]
        if dropped:
            message = f"The API server does not support {' and '.join(dropped)}: it drops the fields of the pod."
            raise PodwrightError(message, reason="Unsupported", hint="Remove these options, or upgrade the cluster or enable its feature gates.")

    def _check_preemption(self, policy: str, name: str | None) -> None:
        """The policy of a pod is that of its priority class: admission refuses another one. Raises: PodwrightError."""
        try:
            classes, _version = self._client.list(PRIORITY_CLASS)
        except PodwrightError as error:
            if not error.is_forbidden:
                raise
            return
        policies = {item["metadata"]["name"]: item.get("preemptionPolicy") or PREEMPTS for item in classes}
        chosen = name or next((item["metadata"]["name"] for item in classes if item.get("globalDefault")), None)
        if chosen and chosen not in policies:
            return  # the server refuses it
        actual = policies[chosen] if chosen else PREEMPTS
        if actual != policy:
            whose = f"priority class '{chosen}'" if chosen else "pods without a priority class"
            names = ", ".join(sorted(other for other, its in policies.items() if its == policy)) or "none"
            hint = f"Set priority_class to one of that policy: {names}."
            raise option_error("preemption_policy", f"must be that of {whose} ({actual}), got {policy}.", hint)


def _gated_fields(manifest: Manifest) -> list[str]:
    """The options whose fields servers may drop and that a manifest sets."""
    pod = pod_spec(manifest)
    contexts: list[Any] = [pod.get("securityContext") or {}]
    contexts += [container.get("securityContext") or {} for name in ("containers", "initContainers") for container in pod.get(name) or []]
    found = [option for option, field in _POD_FIELDS.items() if field in pod]
    return found + [option for option, field in _CONTEXT_FIELDS.items() if any(field in context for context in contexts)]
