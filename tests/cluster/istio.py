# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Istio in a local cluster: what its installer renders, and the image of its sidecar with the Envoy of Envoy's authors."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from . import build, images

PROXY = "pilot-agent"
USER = 1337  # of Istio's images; those of the local cluster name no user
# The filters of Istio's own Envoy, which that of Envoy's authors lacks.
WITHOUT_FILTERS = {"PILOT_ENABLE_METADATA_EXCHANGE": "false", "PILOT_ENABLE_ALPN_FILTER": "false"}
FEW = {"requests": {"cpu": "10m", "memory": "40Mi"}}
VALUES = {
    "global": {
        "hub": "docker.io/podwright",
        "tag": "latest",
        "imagePullPolicy": "IfNotPresent",
        "proxy": {"image": "docker.io/podwright/pilot-agent:latest", "resources": FEW},
        "proxy_init": {"image": "docker.io/podwright/pilot-agent:latest"},
        "configValidation": False,
    },
    "pilot": {"image": "docker.io/podwright/pilot-discovery:latest", "autoscaleEnabled": False, "env": WITHOUT_FILTERS, "resources": FEW},
    "telemetry": {"enabled": False},
}


def manifests(source: Path) -> list[dict[str, Any]]:
    """The objects of istiod with the webhook that injects sidecars, as `istioctl` renders them.

    Args:
        source: the directory of Istio's module.
    """
    definition = {"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "spec": {"profile": "minimal", "values": VALUES}}
    command = [build.directory(build.ISTIO) / "istioctl", "manifest", "generate", f"--manifests={source / 'manifests'}", "--filename=-"]
    rendered = subprocess.run(command, input=json.dumps(definition), check=True, capture_output=True, text=True).stdout
    objects = [item for item in yaml.safe_load_all(rendered) if item]
    for item in objects:
        if item["kind"] == "Deployment":
            item["spec"]["template"]["spec"]["securityContext"] = {"runAsUser": USER, "runAsGroup": USER, "fsGroup": USER}
    return [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system"}}, *objects]


def proxy_image(program: Path, name: str, entrypoint: tuple[str, ...]) -> images.Image:
    """The image of the sidecar and of the init container that redirects traffic: Istio's agent, Envoy, and the iptables of this machine."""
    iptables = Path(shutil.which("iptables") or "/usr/sbin/iptables").resolve()
    [library] = [path for path in images.needed_by(iptables) if path.name.startswith("libxtables.so")]
    files = {
        "usr/local/bin/envoy": build.directory(build.ISTIO) / "packages/envoy/_bin/envoy",
        "var/lib/istio/envoy/envoy_bootstrap_tmpl.json": build.source(build.ISTIO) / "tools/packaging/common/envoy_bootstrap.json",
        "usr/bin/xtables": iptables,
    }
    files |= {str(path).lstrip("/"): path for path in (library.parent / "xtables").resolve().glob("*.so")}
    commands = [f"{family}tables{suffix}" for family in ("ip", "ip6") for suffix in ("", "-save", "-restore")]
    return images.program_image(program, name, entrypoint, files, {f"usr/bin/{command}": "/usr/bin/xtables" for command in commands})
