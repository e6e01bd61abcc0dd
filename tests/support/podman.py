# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Debian's podman on this machine, with a storage and a configuration of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..cluster.host import install
from ..cluster.images import all_images

# program -> its Debian package; catatonit is what podman runs in a pod beside its containers.
PROGRAMS = {"podman": "podman", "catatonit": "catatonit", "runc": "runc"}
BRIDGE = "cni-podman1"  # the network that podman creates for its first pod
# runc, and limits within those of this process, since podman raises them otherwise: a machine in a container may permit neither.
CONFIGURATION = """\
[containers]
default_ulimits=["nofile=1000:1000","nproc=9000:9000"]
[engine]
runtime="runc"
tmp_dir="{directory}/tmp"
[network]
network_config_dir="{directory}/networks"
"""
STORAGE = '[storage]\ndriver="overlay"\ngraphroot="{directory}/root"\nrunroot="{directory}/run"\n'


@contextlib.contextmanager
def podman_host() -> Iterator[dict[str, str]]:
    """The environment with which podman has a storage of its own, with the image busybox; all of it is deleted afterwards."""
    missing = [package for program, package in PROGRAMS.items() if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/usr/libexec/podman")]
    if os.geteuid() != 0:
        pytest.skip("podman in this configuration needs root")
    if missing:
        install(missing)
    had_bridge = Path("/sys/class/net", BRIDGE).exists()
    directory = Path(tempfile.mkdtemp(prefix="podwright-podman-", dir="/tmp"))  # short, since paths of sockets are
    environment = {"CONTAINERS_CONF": str(directory / "containers.conf"), "CONTAINERS_STORAGE_CONF": str(directory / "storage.conf")}
    (directory / "containers.conf").write_text(CONFIGURATION.format(directory=directory))
    (directory / "storage.conf").write_text(STORAGE.format(directory=directory))
    try:
        run(environment, "load", "--quiet", "--input", str(all_images()[0].save(directory / "busybox.tar")))
        yield environment
    finally:
        run(environment, "pod", "rm", "--all", "--force", "--time", "0")
        run(environment, "system", "reset", "--force")
        shutil.rmtree(directory, ignore_errors=True)
        if not had_bridge:
            subprocess.run(["ip", "link", "delete", BRIDGE], check=False, capture_output=True)


def run(environment: dict[str, str], *words: str) -> str:
    """The output of a command of podman."""
    return subprocess.run(["podman", *words], env=os.environ | environment, check=True, capture_output=True, text=True, timeout=120).stdout
