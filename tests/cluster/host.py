# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Requirements of the machine that runs the cluster."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

# program -> its Debian package
PROGRAMS = {
    "runc": "runc",
    "iptables": "iptables",
    "nft": "nftables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "busybox": "busybox-static",
    "unshare": "util-linux",
    "mount": "mount",
}


def prepare() -> None:
    """Install missing Debian packages as root, and check the kernel.

    Raises: SystemExit with the missing requirement and its remedy.
    """
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    missing = sorted({package for program, package in PROGRAMS.items() if not shutil.which(program)} | _static_busybox())
    if missing:
        install(missing)
    if os.geteuid() != 0:
        raise SystemExit(
            "The local cluster runs containers and needs root for namespaces, mounts and cgroups.\n"
            "Run this as root (sudo make …), or use an existing cluster: KUBECONFIG=… make demo CLUSTER=current"
        )
    for problem, remedy in _problems():
        raise SystemExit(f"This machine cannot run containers: {problem}.\n{remedy}\nOr use an existing cluster: KUBECONFIG=… make demo CLUSTER=current")


def _static_busybox() -> set[str]:
    busybox = Path("/bin/busybox")
    if busybox.exists() and b"/lib64/ld-linux" not in busybox.read_bytes():
        return set()
    return {"busybox-static"}


def install(packages: list[str]) -> None:
    """Install Debian packages. Raises: SystemExit with the command to install them."""
    command_line = f"apt-get install {' '.join(packages)}"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SystemExit(f"These Debian packages are missing: {' '.join(packages)}. Install them with: {command_line}")
    print(f"Installing Debian packages: {' '.join(packages)}", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=600"]  # seconds; `update` does not wait for another one
    with (Path(tempfile.gettempdir()) / "podwright-packages.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in ([*apt, "update"], [*apt, "install", "-y", "--no-install-recommends", *packages]):
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"'{' '.join(command)}' failed; install them with: {command_line}\n{done.stdout[-2000:]}")


def _problems() -> list[tuple[str, str]]:
    found = []
    probe = subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--mount-proc", "true"], capture_output=True, text=True, check=False
    )
    if probe.returncode:
        found.append((f"namespaces cannot be created ({probe.stderr.strip()})", "Run it on a machine or in a container that has CAP_SYS_ADMIN."))
    if "overlay" not in Path("/proc/filesystems").read_text():
        found.append(("the kernel has no overlay file system", "Load it with: modprobe overlay"))
    if not _cgroup_writable():
        found.append(("no writable cgroup hierarchy under /sys/fs/cgroup", "Mount cgroups read-write (in a container: --privileged --cgroupns=host)."))
    return found


def has_cgroup_v2() -> bool:
    """Whether /sys/fs/cgroup is the unified hierarchy."""
    return Path("/sys/fs/cgroup/cgroup.controllers").exists()


def _cgroup_writable() -> bool:
    root = Path("/sys/fs/cgroup")
    return os.access(root if has_cgroup_v2() else root / "memory", os.W_OK)


def create_cgroups(name: str) -> None:
    """Create the root cgroup of a kubelet in each hierarchy. Kubelets with the same root kill each other's pods.

    All pods together get as much CPU time as eight processes outside; with the default weight they get as much as one.
    """
    root = Path("/sys/fs/cgroup")
    if has_cgroup_v2():
        controllers = (root / "cgroup.controllers").read_text().split()
        (root / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in controllers))
        (root / name).mkdir(exist_ok=True)
        if (root / name / "cpu.weight").exists():
            (root / name / "cpu.weight").write_text("800")
        return
    for hierarchy in (path for path in root.iterdir() if path.is_dir() and not path.is_symlink()):
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):  # a new cgroup cannot have processes while they are empty
            if (group / setting).exists():
                (group / setting).write_text((hierarchy / setting).read_text())
        if (group / "cpu.shares").exists():
            (group / "cpu.shares").write_text("8192")


def remove_cgroups(name: str) -> None:
    """Remove the root cgroup of a kubelet with the empty cgroups below it."""
    for root in Path("/sys/fs/cgroup").glob(f"**/{name}"):
        for path in sorted([root, *root.glob("**/")], key=lambda p: -len(p.parts)):
            try:
                path.rmdir()
            except OSError:
                pass  # not a cgroup, or still in use
