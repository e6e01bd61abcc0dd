# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The proxies that service meshes inject into pods. Pure functions."""

from __future__ import annotations

from ..values import Manifest
from .containers import container_status, default_container, has_finished

# Annotations of a pod that ask Istio (1.24) and Linkerd (2.15; beta since 2.19) for a native sidecar (KEP-753), which terminates with the pod's containers.
NATIVE_SIDECARS = {
    "sidecar.istio.io/nativeSidecar": "true",
    "config.alpha.linkerd.io/proxy-enable-native-sidecar": "true",
    "config.beta.linkerd.io/proxy-enable-native-sidecar": "true",
}
# Ordinary containers of older versions -> (port, path) of the endpoint that terminates them, on the loopback interface of the pod.
QUIT_ENDPOINTS = {"istio-proxy": (15020, "/quitquitquit"), "linkerd-proxy": (4191, "/shutdown")}


def idle_proxy(pod: Manifest) -> str | None:
    """The name of a proxy that keeps a pod running whose task has terminated, or None."""
    terminated = (container_status(pod, default_container(pod)).get("state") or {}).get("terminated")
    restarts = pod["spec"].get("restartPolicy", "Always")
    if not terminated or restarts == "Always" or (restarts == "OnFailure" and terminated["exitCode"]):
        return None
    if has_finished(pod) or pod["metadata"].get("deletionTimestamp"):
        return None
    # One that has not started yet keeps it running as well: that of a short task is started after it.
    names = [entry["name"] for entry in (pod.get("status") or {}).get("containerStatuses") or [] if "terminated" not in (entry.get("state") or {})]
    return next((name for name in names if name in QUIT_ENDPOINTS), None)
