# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The paths, addresses and component configurations of a local cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from . import build, images

NODE = "node-1"
CLUSTER_DNS = "10.96.0.10"
POD_CIDR, SERVICE_CIDR = "10.244.0.0/16", "10.96.0.0/16"


@dataclass(frozen=True)
class Layout:
    """Paths, names and addresses of a cluster.

    Attributes:
        state: its state directory, an absolute path.
        number: distinguishes the addresses, the veth and the cgroup of several clusters on one machine.
    """

    state: Path
    number: int

    @property
    def host_address(self) -> str:
        """The address of the machine in the network of the node."""
        return f"10.231.{self.number}.1"

    @property
    def node_address(self) -> str:
        """The address of the node."""
        return f"10.231.{self.number}.2"

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://{self.node_address}:6443"

    @property
    def link(self) -> str:
        """The veth on the machine's side."""
        return f"podwright{self.number}"

    @property
    def cgroup(self) -> str:
        """The root cgroup of the kubelet."""
        return f"podwright-{self.number}"

    @property
    def certificates(self) -> Path:
        """The directory of certificates, keys and kubeconfigs."""
        return self.state / "certificates"

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with the programs of the cluster first in PATH."""
        return os.environ | {"PATH": ":".join([*(str(build.directory(group)) for group in build.CORE + build.ADDONS), os.environ["PATH"]])}

    def log(self, process: str) -> Path:
        """The log file of a process."""
        return self.state / "log" / f"{process}.log"


AUDIT_POLICY = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]}


def apiserver(layout: Layout, audit_policy: str) -> list[str]:
    """The command of the API server."""
    certificates = layout.certificates
    return [
        "kube-apiserver",
        "--etcd-servers=http://127.0.0.1:2379",
        f"--advertise-address={layout.node_address}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        f"--client-ca-file={certificates}/ca.crt",
        f"--tls-cert-file={certificates}/apiserver.crt",
        f"--tls-private-key-file={certificates}/apiserver.key",
        f"--kubelet-client-certificate={certificates}/kubelet-client.crt",
        f"--kubelet-client-key={certificates}/kubelet-client.key",
        f"--kubelet-certificate-authority={certificates}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={certificates}/service-accounts.pub",
        f"--service-account-signing-key-file={certificates}/service-accounts.key",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--requestheader-client-ca-file={certificates}/front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={certificates}/front-proxy.crt",
        f"--proxy-client-key-file={certificates}/front-proxy.key",
        "--enable-aggregator-routing=true",
        f"--audit-policy-file={audit_policy}",
        f"--audit-log-path={layout.state}/audit.log",
        "--audit-log-maxsize=500",
        "--audit-log-mode=blocking",  # tests read the log immediately after their requests
        "--max-requests-inflight=2000",
        "--max-mutating-requests-inflight=1000",
    ]


def controller_manager(layout: Layout, kubeconfig: str) -> list[str]:
    """The command of the controller manager."""
    return [
        "kube-controller-manager",
        f"--kubeconfig={kubeconfig}",
        f"--service-account-private-key-file={layout.certificates}/service-accounts.key",
        f"--root-ca-file={layout.certificates}/ca.crt",
        f"--cluster-signing-cert-file={layout.certificates}/ca.crt",
        f"--cluster-signing-key-file={layout.certificates}/ca.key",
        "--use-service-account-credentials",
        "--leader-elect=false",
        "--allocate-node-cidrs=false",
        "--horizontal-pod-autoscaler-sync-period=5s",
        "--terminated-pod-gc-threshold=20000",
    ]


def containerd(layout: Layout) -> str:
    """The configuration of containerd."""
    return f"""
version = 3
root = "{layout.state}/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    use_internal_loopback = true
    bin_dirs = ["{build.directory(build.CNI)}"]
    conf_dir = "{layout.state}/cni"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      SystemdCgroup = false
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "{images.SANDBOX}"
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = "{layout.state}/registries"
"""


def cni() -> dict:
    """The pod network: a bridge on the node.

    Without `ipMasq` and portmap, which run iptables a dozen times for each pod: `masquerade` does it once for all.
    """
    ipam = {"type": "host-local", "ranges": [[{"subnet": POD_CIDR}]], "dataDir": "/run/cni", "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipam": ipam}
    return {"cniVersion": "1.0.0", "name": "podwright", "plugins": [bridge]}


def masquerade() -> str:
    """The rules (for nft) that give packets from pods to addresses outside of their network the address of the node."""
    rule = f"ip saddr {POD_CIDR} ip daddr != {{ {POD_CIDR}, 224.0.0.0/4 }} masquerade"
    return f"table ip podwright {{\n chain postrouting {{\n type nat hook postrouting priority srcnat\n {rule}\n }}\n}}\n"


def kubelet(layout: Layout, resolv_conf: str) -> dict:
    """The configuration of the kubelet."""
    certificates = layout.certificates
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"x509": {"clientCAFile": f"{certificates}/ca.crt"}, "webhook": {"enabled": True}, "anonymous": {"enabled": False}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{certificates}/kubelet.crt",
        "tlsPrivateKeyFile": f"{certificates}/kubelet.key",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDNS": [CLUSTER_DNS],
        "clusterDomain": "cluster.local",
        "resolvConf": resolv_conf,
        "maxPods": 250,
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
        "serializeImagePulls": False,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "0.1%", "imagefs.available": "0.1%", "nodefs.inodesFree": "0.1%"},
        "nodeStatusUpdateFrequency": "5s",
        "volumeStatsAggPeriod": "5s",  # how soon a volume over its limit is detected
    }


def kube_proxy(kubeconfig: str) -> dict:
    """The configuration of kube-proxy."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": kubeconfig},
        "clusterCIDR": POD_CIDR,
        "conntrack": {"maxPerCore": 0, "min": 0},
        "hostnameOverride": NODE,
    }


def corefile(layout: Layout, kubeconfig: str) -> str:
    """The configuration of CoreDNS."""
    return f""".:53 {{
    bind {layout.node_address}
    errors
    ready {layout.node_address}:8181
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
        ttl 5
    }}
    cache 5
}}
"""


def registry(layout: Layout) -> dict:
    """The configuration of the image registry."""
    return {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": f"{layout.state}/registry"}},
        "http": {"addr": ":5000"},
    }


def kwok(kubeconfig: str) -> list[str]:
    """The command of KWOK, which simulates nodes with an annotation."""
    return [
        "kwok",
        f"--kubeconfig={kubeconfig}",
        f"--config={build.directory(build.KWOK) / 'data.yml'}",
        "--manage-all-nodes=false",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        "--node-lease-duration-seconds=40",
    ]


def metrics_server(layout: Layout, kubeconfig: str) -> list[str]:
    """The command of metrics-server."""
    return [
        "metrics-server",
        "--secure-port=4443",
        "--metric-resolution=10s",
        "--kubelet-request-timeout=5s",
        "--kubelet-insecure-tls",
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--cert-dir={layout.state}/metrics-server",
    ]


def kube_router(program: str, kubeconfig: str) -> list[str]:
    """The command of kube-router, which enforces NetworkPolicies and does nothing else."""
    return [
        program,
        f"--kubeconfig={kubeconfig}",
        f"--hostname-override={NODE}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--run-firewall=true",
        "--run-router=false",
        "--run-service-proxy=false",
        "--run-loadbalancer=false",
    ]
