# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The local cluster: a whole Kubernetes of one node inside one set of Linux namespaces."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import yaml

from . import build, host, images, manifests
from .certificates import Authority, write_signing_pair

NODE = "node-1"


class Cluster:
    """A cluster whose whole state is one folder. `number` keeps two clusters on one machine apart (addresses, veth)."""

    def __init__(self, state: Path, number: int = 0):
        self.state = state.resolve()
        self.number = number
        self.host_address = f"10.231.{number}.1"
        self.node_address = f"10.231.{number}.2"
        self.server = f"https://{self.node_address}:6443"
        self.kubeconfig = self.state / "kubeconfig"
        self._certificates = self.state / "certificates"
        self._link = f"podwright{number}"
        self._cgroup = f"podwright-{number}"
        self._path = ":".join([*(str(build.directory(group)) for group in build.CORE + build.ADDONS), os.environ["PATH"]])

    # -- the commands ---------------------------------------------------------------------------------------

    def up(self, addons: bool = True) -> None:
        """Bring the cluster up, or complete a running one. Returns when everything asked for answers.

        Raises: SystemExit with what failed and the log's end.
        """
        host.prepare()
        self.state.mkdir(parents=True, exist_ok=True)
        with (self.state / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            build.ensure(build.CORE + (build.ADDONS if addons else ()))
            started = time.monotonic()
            if not self._answers():
                self._clear()
                self._boot()
                self._start_core()
            if addons and not (self.state / "processes" / "metrics-server.json").exists():
                self._start_addons()
            self._wait_core()
            if addons:
                self._wait_addons()
            print(f"Cluster ready in {time.monotonic() - started:.1f} s: export KUBECONFIG={self.kubeconfig}", flush=True)

    def down(self) -> None:
        """Stop the cluster and remove its state; nothing happens where there is none."""
        self._clear()
        shutil.rmtree(self.state, ignore_errors=True)

    def load_image(self, archive: Path) -> None:
        """Import an OCI or docker archive into the node."""
        command = [*self._inside(), "ctr", "--namespace", "k8s.io", "images", "import", str(archive.resolve())]
        done = subprocess.run(command, env=self._environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"Importing {archive} failed: {done.stdout}")

    def load_python_image(self) -> None:
        """Import the image with Python into the node, once for each start of the cluster and each version of the image."""
        loaded, version = self.state / "image-python.version", images.python_image_version()
        with (self.state / "image-python.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not loaded.exists() or loaded.read_text() != version:
                self.load_image(images.python_image().save(self.state / "image-python.tar"))
                loaded.write_text(version)

    def get(self, path: str) -> dict:
        """GET a path of the API server as cluster administrator. Raises: OSError."""
        return self._request("GET", path)

    def is_running(self) -> bool:
        """Whether the API server of this state folder answers."""
        return self._answers()

    # -- the namespaces and their processes -----------------------------------------------------------------

    def _boot(self) -> None:
        for name in ("log", "processes", "certificates", "configuration", "cni"):
            (self.state / name).mkdir(parents=True, exist_ok=True)
        self._refuse_second()
        host.make_cgroups(self._cgroup)
        command = ["unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--mount-proc", "--kill-child", "--propagation", "private"]
        log = (self.state / "log" / "supervisor.log").open("ab")
        process = subprocess.Popen(
            [*command, sys.executable, str(Path(__file__).with_name("supervisor.py")), str(self.state)],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._pid_file.write_text(f"{process.pid} {_start_time(process.pid)}")
        inside = _wait_for(lambda: self._child(process.pid), 10, "the namespaces", self.state / "log" / "supervisor.log")
        for arguments in (
            f"link add {self._link} type veth peer name eth0 netns {inside}",
            f"addr add {self.host_address}/30 dev {self._link}",
            f"link set {self._link} up",
        ):
            subprocess.run(["ip", *arguments.split()], check=True)
        for arguments in (f"addr add {self.node_address}/30 dev eth0", "link set eth0 up", f"route add default via {self.host_address}"):
            subprocess.run(["nsenter", "--target", str(inside), "--net", "ip", *arguments.split()], check=True)

    def _refuse_second(self) -> None:
        """Two clusters of one number would share an address: say so before anything starts."""
        if self._has_link():
            raise SystemExit(
                f"Another local cluster runs at {self.node_address}. Stop it where it was started (make cluster-down), "
                "or give this one another number: PODWRIGHT_CLUSTER_NUMBER=1"
            )

    def _has_link(self) -> bool:
        return Path(f"/sys/class/net/{self._link}").exists()

    def _inside(self) -> list[str]:
        pid = self._child(int(self._pid_file.read_text().split()[0]))
        return ["nsenter", "--target", str(pid), "--net", "--mount", "--pid"]

    def _child(self, pid: int) -> int | None:
        """The supervisor's process id seen from outside, once it is in its own network namespace."""
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if children and os.readlink(f"/proc/{children[0]}/ns/net") != os.readlink("/proc/self/ns/net"):
                return int(children[0])
        except OSError:
            pass
        return None

    def _clear(self) -> None:
        """Kill what this state folder's last cluster left, by process id and start time, and forget its state."""
        try:
            pid, start = self._pid_file.read_text().split()
        except (OSError, ValueError):
            pid, start = "0", ""
        if start and _start_time(int(pid)) == start:
            inside = self._child(int(pid))
            os.kill(inside or int(pid), signal.SIGKILL)
            log = self.state / "log" / "supervisor.log"
            _wait_for(lambda: _start_time(int(pid)) != start, 10, "the old cluster's end", log)
            _wait_for(lambda: not self._has_link(), 10, "the end of its network", log)  # which the kernel takes down a little later
        host.remove_cgroups(self._cgroup)
        if self.state.exists():
            for path in self.state.iterdir():
                if path.name != "lock":
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    @property
    def _pid_file(self) -> Path:
        return self.state / "pid"

    def _environment(self) -> dict[str, str]:
        return os.environ | {"PATH": self._path}

    def _start(self, name: str, *command: str, **environment: str) -> None:
        spec = {"command": list(command), "environment": environment | {"PATH": self._path}}
        partial = self.state / "processes" / f"{name}.partial"
        partial.write_text(json.dumps(spec))
        partial.rename(partial.with_suffix(".json"))

    def _write(self, name: str, content: dict | str) -> str:
        path = self.state / "configuration" / name
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
        return str(path)

    # -- the parts ------------------------------------------------------------------------------------------

    def _start_core(self) -> None:
        certificates = self._certificates
        authority = Authority(certificates)
        authority.issue("apiserver", "kube-apiserver", addresses=(self.node_address, "10.96.0.1", "127.0.0.1", "kubernetes.default.svc", "localhost"))
        authority.issue("kubelet-client", "kube-apiserver-kubelet-client", "system:masters")
        authority.issue("kubelet", NODE, addresses=(self.node_address, NODE))
        front_proxy = Authority(certificates, "front-proxy-ca")
        front_proxy.issue("front-proxy", "front-proxy-client")
        write_signing_pair(certificates)
        configs = {
            name: str(authority.kubeconfig(self.server, name, user, group))
            for name, user, group in (
                ("admin", "podwright-admin", "system:masters"),
                ("controller-manager", "system:kube-controller-manager", None),
                ("scheduler", "system:kube-scheduler", None),
                ("node", f"system:node:{NODE}", "system:nodes"),
                ("proxy", "system:kube-proxy", None),
                ("addons", "podwright-addons", "system:masters"),
            )
        }
        authority.kubeconfig(self.server, "expired", "podwright-expired", "system:masters", days=-1)
        shutil.copy(configs["admin"], self.kubeconfig)
        self.kubeconfig.chmod(0o600)
        self._start("etcd", "server", "--unsafe-no-fsync", f"--data-dir={self.state}/etcd", "--log-level=warn")
        self._start("containerd", "containerd", "--config", self._write("containerd.toml", self._containerd()))
        self._start("apiserver", *self._apiserver(certificates))
        self._start(
            "controller-manager",
            "kube-controller-manager",
            f"--kubeconfig={configs['controller-manager']}",
            f"--service-account-private-key-file={certificates}/service-accounts.key",
            f"--root-ca-file={certificates}/ca.crt",
            f"--cluster-signing-cert-file={certificates}/ca.crt",
            f"--cluster-signing-key-file={certificates}/ca.key",
            "--use-service-account-credentials",
            "--leader-elect=false",
            "--allocate-node-cidrs=false",
            "--horizontal-pod-autoscaler-sync-period=5s",
            "--terminated-pod-gc-threshold=20000",
        )
        self._start("scheduler", "kube-scheduler", f"--kubeconfig={configs['scheduler']}", "--leader-elect=false")
        self._await_api()
        for manifest in manifests.bootstrap(self.node_address):
            self._apply(manifest)
        self._write_cni()
        self._await_containerd()
        for number, image in enumerate(images.all_images()):
            self.load_image(image.save(self.state / f"image-{number}.tar"))
        self._start(
            "kubelet",
            "kubelet",
            f"--config={self._write('kubelet.yml', self._kubelet())}",
            f"--kubeconfig={configs['node']}",
            f"--node-ip={self.node_address}",
            f"--hostname-override={NODE}",
            f"--root-dir={self.state}/kubelet",
            f"--cert-dir={self.state}/kubelet/pki",
        )
        proxy = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clientConnection": {"kubeconfig": configs["proxy"]},
            "clusterCIDR": "10.244.0.0/16",
            "conntrack": {"maxPerCore": 0, "min": 0},
            "hostnameOverride": NODE,
        }
        self._start("kube-proxy", "kube-proxy", f"--config={self._write('proxy.yml', proxy)}")

    def _apiserver(self, certificates: Path) -> list[str]:
        policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]}
        return [
            "kube-apiserver",
            "--etcd-servers=http://127.0.0.1:2379",
            f"--advertise-address={self.node_address}",
            "--service-cluster-ip-range=10.96.0.0/16",
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
            f"--audit-policy-file={self._write('audit-policy.yml', policy)}",
            f"--audit-log-path={self.state}/audit.log",
            "--audit-log-maxsize=500",
            # Tests count what they did right after they did it.
            "--audit-log-mode=blocking",
            "--max-requests-inflight=2000",
            "--max-mutating-requests-inflight=1000",
        ]

    def _containerd(self) -> str:
        mirror = self.state / "registries" / "docker.io"
        mirror.mkdir(parents=True, exist_ok=True)
        # The registry beside containerd is docker.io: there is nothing behind it.
        (mirror / "hosts.toml").write_text('server = "http://127.0.0.1:5000"\n', encoding="utf-8")
        return f"""
version = 3
root = "{self.state}/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["{build.directory(build.CORE[3])}"]
    conf_dir = "{self.state}/cni"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      SystemdCgroup = false
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "{images.SANDBOX}"
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = "{self.state}/registries"
"""

    def _write_cni(self) -> None:
        network = {
            "cniVersion": "1.0.0",
            "name": "podwright",
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": "cni0",
                    "isGateway": True,
                    "ipMasq": True,
                    "hairpinMode": True,
                    "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/16"}]], "dataDir": "/run/cni", "routes": [{"dst": "0.0.0.0/0"}]},
                },
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        }
        (self.state / "cni" / "10-podwright.conflist").write_text(json.dumps(network), encoding="utf-8")

    def _kubelet(self) -> dict:
        certificates = self._certificates
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {"x509": {"clientCAFile": f"{certificates}/ca.crt"}, "webhook": {"enabled": True}, "anonymous": {"enabled": False}},
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": f"{certificates}/kubelet.crt",
            "tlsPrivateKeyFile": f"{certificates}/kubelet.key",
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self._cgroup}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "clusterDNS": ["10.96.0.10"],
            "clusterDomain": "cluster.local",
            "resolvConf": self._write("resolv.conf", f"nameserver {self.node_address}\n"),
            "maxPods": 250,
            "registryPullQPS": 0,
            "eventRecordQPS": 0,
            "serializeImagePulls": False,
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "0.1%", "imagefs.available": "0.1%", "nodefs.inodesFree": "0.1%"},
            "nodeStatusUpdateFrequency": "5s",
            "volumeStatsAggPeriod": "5s",  # a volume beyond its limit is found this soon
        }

    def _start_addons(self) -> None:
        config = str(self._certificates / "addons.kubeconfig")
        corefile = f""".:53 {{
    bind {self.node_address}
    errors
    ready {self.node_address}:8181
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {config}
        ttl 5
    }}
    cache 5
}}
"""
        self._start("coredns", "coredns", "-conf", self._write("Corefile", corefile))
        registry = {
            "version": "0.1",
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": f"{self.state}/registry"}},
            "http": {"addr": ":5000"},
        }
        self._start("registry", "registry", "serve", self._write("registry.yml", registry), OTEL_TRACES_EXPORTER="none")
        self._start(
            "kwok",
            "kwok",
            f"--kubeconfig={config}",
            f"--config={build.directory(build.ADDONS[2]) / 'data.yml'}",
            "--manage-all-nodes=false",
            "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
            "--node-lease-duration-seconds=40",
        )
        self._start(
            "metrics-server",
            "metrics-server",
            "--secure-port=4443",
            "--metric-resolution=10s",
            "--kubelet-request-timeout=5s",
            "--kubelet-insecure-tls",
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            f"--cert-dir={self.state}/metrics-server",
        )
        for manifest in manifests.addons(self.node_address):
            self._apply(manifest)

    # -- readiness ------------------------------------------------------------------------------------------

    def _await_api(self) -> None:
        _wait_for(self._answers, 60, "the API server", self.state / "log" / "apiserver.log")

    def _await_containerd(self) -> None:
        def answers() -> bool:
            probe = [*self._inside(), "ctr", "--connect-timeout", "1s", "version"]
            return subprocess.run(probe, env=self._environment(), capture_output=True, check=False).returncode == 0

        _wait_for(answers, 30, "containerd", self.state / "log" / "containerd.log")

    def _wait_core(self) -> None:
        self._await_api()
        _wait_for(self._node_ready, 60, "the node", self.state / "log" / "kubelet.log")
        _wait_for(lambda: self._exists("/api/v1/namespaces/default/serviceaccounts/default"), 60, "the default service account")

    def _wait_addons(self) -> None:
        def pushed() -> bool:
            for image in images.all_images():
                image.push(f"http://{self.node_address}:5000")
            return True

        def dns_answers() -> bool:
            with urllib.request.urlopen(f"http://{self.node_address}:8181/ready", timeout=2):
                return True

        _wait_for(pushed, 30, "the registry", self.state / "log" / "registry.log")
        _wait_for(dns_answers, 30, "coredns", self.state / "log" / "coredns.log")
        _wait_for(self._metrics_served, 90, "the metrics API", self.state / "log" / "metrics-server.log")
        _wait_for(lambda: not (self.state / "processes" / "kwok.exit").exists(), 1, "kwok", self.state / "log" / "kwok.log")

    def _metrics_served(self) -> bool:
        status = self.get("/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io").get("status", {})
        return any(c["type"] == "Available" and c["status"] == "True" for c in status.get("conditions", []))

    def _node_ready(self) -> bool:
        conditions = self.get(f"/api/v1/nodes/{NODE}")["status"].get("conditions", [])
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    def _answers(self) -> bool:
        try:
            self._request("GET", "/readyz", timeout=2)
            return True
        except (OSError, ValueError):
            return False

    def _exists(self, path: str) -> bool:
        self.get(path)
        return True

    def _apply(self, manifest: dict) -> None:
        body = manifest["body"]
        self._request("PATCH", f"{manifest['path']}/{body['metadata']['name']}?fieldManager=cluster&force=true", body)

    def _request(self, method: str, path: str, body: dict | None = None, timeout: float = 10) -> dict:
        certificates = self._certificates
        context = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
        context.load_cert_chain(certificates / "admin.crt", certificates / "admin.key")
        data = json.dumps(body).encode() if body else None
        headers = {"Content-Type": "application/apply-patch+yaml", "User-Agent": "podwright-cluster"}
        request = urllib.request.Request(self.server + path, method=method, data=data, headers=headers)
        with urllib.request.urlopen(request, context=context, timeout=timeout) as response:
            content = response.read()
        return json.loads(content) if content.startswith(b"{") else {}


def _start_time(pid: int) -> str:
    """The kernel's start time of a process (proc(5), field 22): tells a process from a later one with its number."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rsplit(")", 1)[1].split()
    return "" if fields[0] == "Z" else fields[19]


def _wait_for(condition: Callable[[], object], seconds: float, what: str, log: Path | None = None):
    """Poll until the condition holds and return its value. Raises: SystemExit with the log's end."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            value = condition()
            reason = ""
        except (OSError, KeyError, ValueError) as error:
            value, reason = None, f" ({error})"
        if value:
            return value
        if time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log and log.exists() else ""
            raise SystemExit(f"{what} did not come up within {seconds:.0f} s{reason}. The log is {log}; its end:\n{tail}")
        time.sleep(0.1)
