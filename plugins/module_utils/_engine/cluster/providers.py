# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What must be installed so that a cluster serves an API group, for errors."""

from __future__ import annotations

_PROVIDERS = {
    "kueue.x-k8s.io": "Kueue",
    "keda.sh": "KEDA",
    "spire.spiffe.io": "the SPIRE controller manager",
    "gateway.networking.k8s.io": "the Gateway API",
    "monitoring.coreos.com": "the Prometheus Operator",
    "cert-manager.io": "cert-manager",
    "snapshot.storage.k8s.io": "the CSI snapshot controller",
}


def provider_of(group: str) -> str:
    """What must be installed so that a cluster serves an API group."""
    return _PROVIDERS.get(group, "its definition")
