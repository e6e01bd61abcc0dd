# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`python -m tests.molecule [SCENARIO ...]`: run molecule's scenarios, each with what its roles need: converge, idempotence, verify, cleanup."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.client import Client
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.configuration import Configuration

from ..cluster import published
from ..cluster.cluster import Cluster
from ..support.cluster_lock import hold_cluster
from ..support.component_cluster import component_cluster
from ..support.environment import BIN, CLUSTER, CLUSTER_NUMBER, KUBECONFIG, ROOT
from ..support.namespaces import namespaces
from ..support.podman import podman_host
from ..support.registry_images import push_new_image

OUTPUT = ROOT / "tests/output"
Environment = dict[str, str]  # variables of the environment


@contextlib.contextmanager
def local_cluster(*components: str) -> Iterator[Environment]:
    """The local cluster, with the images of components on its node."""
    for name in components:
        Cluster(CLUSTER, CLUSTER_NUMBER).load_component(name)
    yield {}


@contextlib.contextmanager
def new_image() -> Iterator[Environment]:
    """The local cluster, with an image in its registry that the node lacks."""
    yield {"PODWRIGHT_IMAGE": push_new_image()}


@contextlib.contextmanager
def spire() -> Iterator[Environment]:
    """The local cluster, with the images of SPIRE on its node."""
    Cluster(CLUSTER, CLUSTER_NUMBER).load_registrar()
    with local_cluster("spire", "spiffe-csi", "spire-controller-manager") as environment:
        yield environment


@contextlib.contextmanager
def kueue() -> Iterator[Environment]:
    """A cluster of its own with Kueue, which admits all pods of a cluster."""
    with tempfile.TemporaryDirectory(prefix="podwright-") as directory:
        with component_cluster(Path(directory), "kueue", published.kueue, addons=False) as cluster:
            yield {"KUBECONFIG": str(cluster.kubeconfig)}


SCENARIOS: dict[str, Callable[[], contextlib.AbstractContextManager[Environment]]] = {
    "default": local_cluster,
    "image_prepull": new_image,
    "registry": partial(local_cluster, "registry", "crane"),
    "task_runner": podman_host,
    "monitoring": partial(local_cluster, "prometheus"),
    "workload_identity": spire,
    "queue": kueue,
}
USUAL = ("default",)  # the roles that need no component
ALONE = ("workload_identity",)  # SPIRE registers a CSI driver and a definition, which operations in other tests would find


def run(name: str) -> bool:
    """Run a scenario. Returns whether it passed; if not, the end of its log is printed."""
    started, log = time.monotonic(), OUTPUT / f"molecule-{name}.log"
    with SCENARIOS[name]() as variables, hold_cluster(KUBECONFIG, name in ALONE):
        environment = os.environ | {"PODWRIGHT_ROOT": str(ROOT), "PODWRIGHT_CLUSTER": str(CLUSTER.resolve()), "NO_COLOR": "1"} | variables
        with Client(Configuration({"kubeconfig": environment["KUBECONFIG"]})) as client, contextlib.contextmanager(namespaces)(client) as make_namespace:
            command = [BIN / "molecule", "--base-config", "molecule/config.yml", "test", "--scenario-name", name]
            environment["PODWRIGHT_NAMESPACE"] = make_namespace()
            with log.open("wb") as sink:
                passed = subprocess.run(command, cwd=ROOT / "tests", env=environment, stdout=sink, stderr=sink, check=False).returncode == 0
    lines = log.read_text(errors="replace").splitlines()
    print(*([line for line in lines if line.startswith("PLAY [") or "failed=" in line] if passed else lines[-80:]), sep="\n")
    print(f"{name}: {'passed' if passed else f'failed, the whole log: {log}'} after {time.monotonic() - started:.0f} s", flush=True)
    return passed


def main() -> None:
    """Run scenarios one after the other. If one fails, the others still run."""
    parser = argparse.ArgumentParser(prog="make molecule", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"all, or some of {', '.join(SCENARIOS)}; by default {', '.join(USUAL)}")
    chosen = parser.parse_args().scenarios or USUAL
    if unknown := set(chosen) - {*SCENARIOS, "all"}:
        parser.error(f"unknown scenarios {', '.join(sorted(unknown))}; scenarios: {', '.join(SCENARIOS)}, all")
    OUTPUT.mkdir(exist_ok=True)
    passed = [run(name) for name in (SCENARIOS if "all" in chosen else chosen)]
    line = f"molecule: {sum(passed)} passed, {len(passed) - sum(passed)} failed"
    print(line)
    with (OUTPUT / "results").open("a", encoding="utf-8") as sink:
        sink.write(f"{line}\n")
    raise SystemExit(not all(passed))


if __name__ == "__main__":
    main()
