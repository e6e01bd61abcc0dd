# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`python -m tests.cluster up|down|status|kubeconfig|load-image|load-component`: a real Kubernetes for development and tests."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from . import build
from .cluster import Cluster


def main() -> None:
    """Run a command. The exit code of `status` is 1 if no cluster is running."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--state", type=Path, default=Path(os.environ.get("PODWRIGHT_CLUSTER_STATE", ".cluster")), help="state directory (default: .cluster)")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start the cluster, or what is missing in a running one; builds missing programs first")
    up.add_argument("--core", action="store_true", help="without DNS, registry, metrics API and simulated nodes; sufficient for the demo")
    commands.add_parser("down", help="stop the cluster and delete its state")
    commands.add_parser("status", help="show whether the cluster is running")
    commands.add_parser("kubeconfig", help="print the path of the kubeconfig")
    commands.add_parser("load-image", help="import an image archive into the node").add_argument("archive", type=Path)
    component = commands.add_parser("load-component", help="build a component, and import the images of its programs into the node")
    component.add_argument("name", choices=[group.name for group in build.COMPONENTS])
    arguments = parser.parse_args()
    cluster = Cluster(arguments.state, int(os.environ.get("PODWRIGHT_CLUSTER_NUMBER", "0")))
    if arguments.command == "up":
        cluster.up(addons=not arguments.core)
    elif arguments.command == "down":
        cluster.down()
    elif arguments.command == "load-image":
        cluster.load_image(arguments.archive)
    elif arguments.command == "load-component":
        print(cluster.load_component(arguments.name))
    elif arguments.command == "kubeconfig":
        print(cluster.kubeconfig)
    else:
        running = cluster.is_running()
        print(f"running: {cluster.server}, KUBECONFIG={cluster.kubeconfig}" if running else "not running")
        raise SystemExit(0 if running else 1)


if __name__ == "__main__":
    main()
