# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The local cluster: Kubernetes with one node, in Linux namespaces of its own."""

from __future__ import annotations

import fcntl
import json
import shutil
import ssl
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

import yaml

from . import build, configuration, host, images, istio, manifests
from .certificates import Authority, write_signing_pair
from .configuration import NODE, Layout
from .sandbox import Sandbox, wait_for

LAST = "kube-proxy"  # what is started last of the parts that every cluster has


class Cluster:
    """A cluster in a state directory.

    Args:
        number: distinguishes several clusters on one machine.
        durable: whether etcd writes to the disk before it answers.
    """

    def __init__(self, state: Path, number: int = 0, durable: bool = False):
        self.state = state.resolve()
        self._durable = durable
        self.kubeconfig = self.state / "kubeconfig"
        self._layout = Layout(self.state, number)
        self._sandbox = Sandbox(self._layout)

    @property
    def server(self) -> str:
        """URL of the API server."""
        return self._layout.server

    # -- commands -------------------------------------------------------------------------------------------

    def up(self, addons: bool = True) -> None:
        """Start the cluster, or what is missing in a running one, and wait until it is ready.

        Raises: SystemExit with what failed and the last lines of the log.
        """
        host.prepare()
        self.state.mkdir(parents=True, exist_ok=True)
        with (self.state / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            build.ensure(build.CORE + (build.ADDONS if addons else ()))
            started = time.monotonic()
            # A cluster that was started is not replaced only because it does not answer: others use it.
            if self._sandbox.is_alive() and self._sandbox.has_started(LAST):
                self._wait_for_api()
            else:
                self._sandbox.remove()
                self._sandbox.create()
                self._start_core()
            if addons and not self._sandbox.has_started("metrics-server"):
                self._start_addons()
            self._wait_for_core()
            if addons:
                self._wait_for_addons()
            print(f"Cluster ready in {time.monotonic() - started:.1f} s: export KUBECONFIG={self.kubeconfig}", flush=True)

    def down(self) -> None:
        """Stop the cluster if it exists, and delete its state directory."""
        self._sandbox.remove()
        shutil.rmtree(self.state, ignore_errors=True)

    def load_image(self, archive: Path) -> None:
        """Import an OCI or Docker archive into the node. Raises: SystemExit."""
        done = self._sandbox.run("ctr", "--namespace", "k8s.io", "images", "import", str(archive.resolve()))
        if done.returncode:
            raise SystemExit(f"Could not import {archive}: {done.stdout}")

    def load_python_image(self) -> None:
        """Import the image with Python into the node, once for each start of the cluster and each version of the image."""
        self._load_once("python", images.python_image_version(), images.python_image)

    def load_component(self, name: str) -> Path:
        """Build a component of `build.COMPONENTS` if it is not cached, and import an image of each of its programs into the node.

        Returns: the directory of its source with the manifests that its authors publish.
        """
        group = next(group for group in build.COMPONENTS if group.name == name)
        build.ensure((group,))
        for program in build.programs(group):
            if program.name not in group.tools:
                make = istio.proxy_image if program.name == istio.PROXY else images.program_image
                self._load_once(program.name, str(program), partial(make, program, group.image, group.entrypoint))
        return build.source(group)

    def enforce_network_policies(self) -> None:
        """Start kube-router beside the kubelet. It enforces NetworkPolicies in the whole cluster."""
        if self._sandbox.has_started("kube-router"):
            return
        group = next(group for group in build.COMPONENTS if group.name == "kube-router")
        build.ensure((group,))
        if not shutil.which("ipset"):
            host.install(["ipset"])
        spec = {"podCIDR": configuration.POD_CIDR, "podCIDRs": [configuration.POD_CIDR]}
        self._apply({"path": "/api/v1/nodes", "body": {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}, "spec": spec}})
        kubeconfig = str(self._layout.certificates / "addons.kubeconfig")
        self._sandbox.start("kube-router", configuration.kube_router(str(build.directory(group) / "kube-router"), kubeconfig))

    def load_registrar(self) -> None:
        """Import the stand-in for the image of node-driver-registrar, which registers CSI drivers with the kubelet."""
        program = Path(__file__).parents[1] / "support/csi_registrar.py"
        self._load_once("registrar", images.python_image_version() + program.read_text(), partial(images.python_image, images.REGISTRAR, program))

    def _load_once(self, name: str, version: str, make: Callable[[], images.Image]) -> None:
        loaded = self.state / f"image-{name}.version"
        with (self.state / f"image-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not loaded.exists() or loaded.read_text() != version:
                self.load_image(make().save(self.state / f"image-{name}.tar"))
                loaded.write_text(version)

    def kill(self, component: str) -> None:
        """Kill a component at once (SIGKILL), for example `apiserver` or `kubelet`. Containers keep running. Returns when it has exited."""
        self._sandbox.kill(component)

    def restart(self, component: str, *flags: str, **environment: str) -> None:
        """Start a component again that was killed, with further flags and variables. It may not be ready when this returns; `wait_until_ready` waits for it."""
        self._sandbox.restart(component, *flags, **environment)

    def processes(self) -> dict[str, int]:
        """{name: process id} of the components that run, as this machine sees them."""
        return self._sandbox.processes()

    def start_kwok(self, *documents: str) -> None:
        """Start KWOK, which simulates nodes, in a cluster without the other addons.

        Args:
            documents: further parts of its configuration in YAML.
        """
        build.ensure((build.KWOK,))
        files = [self._write(f"kwok-{number}.yml", document) for number, document in enumerate(documents)]
        kubeconfig = str(self._layout.certificates / "addons.kubeconfig")
        self._sandbox.start("kwok", [*configuration.kwok(kubeconfig), *(f"--config={file}" for file in files)])

    def wait_until_ready(self) -> None:
        """Wait until the API server, the runtime and the node are ready. Raises: SystemExit."""
        self._wait_for_containerd()
        self._wait_for_core()

    def is_running(self) -> bool:
        """Whether the API server of this state directory is ready."""
        try:
            self._request("GET", "/readyz", timeout=2)
            return True
        except (OSError, ValueError):
            return False

    # -- components -----------------------------------------------------------------------------------------

    def _start_core(self) -> None:
        kubeconfigs = self._create_credentials()
        layout, start = self._layout, self._sandbox.start
        start("etcd", ["server", f"--unsafe-no-fsync={not self._durable}", f"--data-dir={self.state}/etcd", "--log-level=warn"])
        self._use_registry_as_mirror()
        start("containerd", ["containerd", "--config", self._write("containerd.toml", configuration.containerd(layout))])
        start("apiserver", configuration.apiserver(layout, self._write("audit-policy.yml", configuration.AUDIT_POLICY)))
        start("controller-manager", configuration.controller_manager(layout, kubeconfigs["controller-manager"]))
        start("scheduler", ["kube-scheduler", f"--kubeconfig={kubeconfigs['scheduler']}", "--leader-elect=false"])
        self._wait_for_api()
        for manifest in manifests.bootstrap(layout.node_address):
            self._apply(manifest)
        (self.state / "cni" / "10-podwright.conflist").write_text(json.dumps(configuration.cni()), encoding="utf-8")
        self._wait_for_containerd()
        for number, image in enumerate(images.all_images()):
            self.load_image(image.save(self.state / f"image-{number}.tar"))
        kubelet = configuration.kubelet(layout, self._write("resolv.conf", f"nameserver {layout.node_address}\n"))
        start(
            "kubelet",
            [
                "kubelet",
                f"--config={self._write('kubelet.yml', kubelet)}",
                f"--kubeconfig={kubeconfigs['node']}",
                f"--node-ip={layout.node_address}",
                f"--hostname-override={NODE}",
                f"--root-dir={self.state}/kubelet",
                f"--cert-dir={self.state}/kubelet/pki",
            ],
        )
        start(LAST, ["kube-proxy", f"--config={self._write('proxy.yml', configuration.kube_proxy(kubeconfigs['proxy']))}"])

    def _create_credentials(self) -> dict[str, str]:
        """Create certificates and kubeconfigs. Returns: paths of the kubeconfigs by component."""
        layout = self._layout
        authority = Authority(layout.certificates)
        authority.issue("apiserver", "kube-apiserver", addresses=(layout.node_address, "10.96.0.1", "127.0.0.1", "kubernetes.default.svc", "localhost"))
        authority.issue("kubelet-client", "kube-apiserver-kubelet-client", "system:masters")
        authority.issue("kubelet", NODE, addresses=(layout.node_address, NODE))
        Authority(layout.certificates, "front-proxy-ca").issue("front-proxy", "front-proxy-client")
        write_signing_pair(layout.certificates)
        kubeconfigs = {
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
        shutil.copy(kubeconfigs["admin"], self.kubeconfig)
        self.kubeconfig.chmod(0o600)
        return kubeconfigs

    def _start_addons(self) -> None:
        kubeconfig = str(self._layout.certificates / "addons.kubeconfig")
        layout, start = self._layout, self._sandbox.start
        start("coredns", ["coredns", "-conf", self._write("Corefile", configuration.corefile(layout, kubeconfig))])
        registry = self._write("registry.yml", configuration.registry(layout))
        start("registry", ["registry", "serve", registry], OTEL_TRACES_EXPORTER="none")
        start("kwok", configuration.kwok(kubeconfig))
        start("metrics-server", configuration.metrics_server(layout, kubeconfig))
        for manifest in manifests.addons(layout.node_address):
            self._apply(manifest)

    def _use_registry_as_mirror(self) -> None:
        """Let containerd pull the images of docker.io from the local registry."""
        mirror = self.state / "registries" / "docker.io"
        mirror.mkdir(parents=True, exist_ok=True)
        (mirror / "hosts.toml").write_text('server = "http://127.0.0.1:5000"\n', encoding="utf-8")

    def _write(self, name: str, content: dict | str) -> str:
        """Write a configuration file. Returns: its path."""
        path = self.state / "configuration" / name
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
        return str(path)

    # -- readiness ------------------------------------------------------------------------------------------

    def _wait_for_api(self) -> None:
        wait_for(self.is_running, 60, "the API server", self._layout.log("apiserver"))

    def _wait_for_containerd(self) -> None:
        def is_ready() -> bool:
            return self._sandbox.run("ctr", "--connect-timeout", "1s", "version").returncode == 0

        wait_for(is_ready, 30, "containerd", self._layout.log("containerd"))

    def _wait_for_core(self) -> None:
        self._wait_for_api()
        wait_for(lambda: self._has_condition(f"/api/v1/nodes/{NODE}", "Ready"), 60, "the node", self._layout.log("kubelet"))
        wait_for(lambda: self._request("GET", "/api/v1/namespaces/default/serviceaccounts/default"), 60, "the default service account")

    def _wait_for_addons(self) -> None:
        address, log = self._layout.node_address, self._layout.log

        def push_images() -> bool:
            for image in images.all_images():
                image.push(f"http://{address}:5000")
            return True

        def is_dns_ready() -> bool:
            with urllib.request.urlopen(f"http://{address}:8181/ready", timeout=2):
                return True

        api_service = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io"
        wait_for(push_images, 30, "the registry", log("registry"))
        wait_for(is_dns_ready, 30, "CoreDNS", log("coredns"))
        wait_for(lambda: self._has_condition(api_service, "Available"), 90, "the metrics API", log("metrics-server"))
        wait_for(lambda: not self._sandbox.has_exited("kwok"), 1, "KWOK", log("kwok"))

    def _has_condition(self, path: str, name: str) -> bool:
        conditions = self._request("GET", path).get("status", {}).get("conditions", [])
        return any(c["type"] == name and c["status"] == "True" for c in conditions)

    # -- requests -------------------------------------------------------------------------------------------

    def _apply(self, manifest: dict) -> None:
        body = manifest["body"]
        self._request("PATCH", f"{manifest['path']}/{body['metadata']['name']}?fieldManager=cluster&force=true", body)

    def _request(self, method: str, path: str, body: dict | None = None, timeout: float = 10) -> dict:
        """Send a request as cluster administrator. Raises: OSError."""
        certificates = self._layout.certificates
        context = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # the default since Python 3.13; these certificates have no key identifiers
        context.load_cert_chain(certificates / "admin.crt", certificates / "admin.key")
        data = json.dumps(body).encode() if body else None
        headers = {"Content-Type": "application/apply-patch+yaml", "User-Agent": "podwright-cluster"}
        request = urllib.request.Request(self.server + path, method=method, data=data, headers=headers)
        with urllib.request.urlopen(request, context=context, timeout=timeout) as response:
            content = response.read()
        return json.loads(content) if content.startswith(b"{") else {}
