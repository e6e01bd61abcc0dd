# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rows about copies: a large file in both directions, and trees of small files."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..cluster import images
from .measuring import Bench
from .model import LIMIT, OURS, PEER, Contender, Curve, Goal, Plan, Row, Sample

COPIED = 200 << 20
FILES, MANY = 5000, 30_000
TAR = ["sh", "-c", "mkdir -p /tmp/tree && tar -x -C /tmp/tree; exit $?"]
STREAM = 'tar -c -C "$1" . | $K exec -i -n "$2" "$3" -- tar -x -C /tmp/tree'


def _file(bench: Bench, size: int) -> Path:
    path = bench.directory / "source"
    with path.open("wb") as sink:
        for _part in range(size >> 20):
            sink.write(os.urandom(1 << 20))
    return path


def _up(bench: Bench, image: str) -> Plan:
    pod, source = bench.pod(image), _file(bench, bench.size(COPIED))
    where = {"pod": pod.pod, "namespace": pod.namespace}
    clear = partial(bench.execute, pod, "rm", "-f", "/tmp/copied")
    copy = partial(bench.operation, "pod_copy", local_path=str(source), remote_path="/tmp/copied", **where)
    peer = partial(bench.kubectl, "cp", str(source), f"{pod.namespace}/{pod.pod}:/tmp/copied")
    contenders = [
        Contender("websocket alone", LIMIT, partial(bench.limit, "upload", path=str(source), **where), clear),
        Contender("pod_copy, verified", OURS, copy, clear),
        Contender("kubectl cp, not verified", PEER, peer, clear, bench.peers.why_not("kubectl")),
    ]
    return Plan(contenders, [_as_fast()])


def _down(bench: Bench, image: str) -> Plan:
    pod, source, back = bench.pod(image), _file(bench, bench.size(COPIED)), bench.directory / "back"
    where = {"pod": pod.pod, "namespace": pod.namespace}
    bench.limit("upload", path=str(source), **where)
    clear = partial(back.unlink, missing_ok=True)
    copy = partial(bench.operation, "pod_copy", state="from_pod", local_path=str(back), remote_path="/tmp/copied", **where)
    peer = partial(bench.kubectl, "cp", f"{pod.namespace}/{pod.pod}:/tmp/copied", str(back))
    contenders = [
        Contender("websocket alone", LIMIT, partial(bench.limit, "download", path="/tmp/copied", **where)),
        Contender("pod_copy, verified", OURS, copy, clear),
        Contender("kubectl cp, not verified", PEER, peer, clear, bench.peers.why_not("kubectl")),
    ]
    return Plan(contenders, [_as_fast()])


def _as_fast() -> Goal:
    return Goal("× kubectl cp", lambda found: found["pod_copy, verified"].seconds / found["kubectl cp, not verified"].seconds, 1)


def make_tree(directory: Path, files: int, names: Callable[[int], str], sizes: Callable[[random.Random], int]) -> Path:
    """Write a tree of files whose content is always the same."""
    shutil.rmtree(directory, ignore_errors=True)
    chance = random.Random(7)
    for number in range(files):
        path = directory / names(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(sizes(chance)))
    return directory


def _small_files(bench: Bench, count: int) -> Path:
    """A third of the files are empty."""
    return make_tree(bench.directory / "tree", count, lambda number: f"{number // 100}/file-{number}", lambda chance: chance.choice((0, 300, 2000)))


def _node_modules(bench: Bench, count: int) -> Path:
    """Deep directories of many packages; most files have some hundred bytes, few some ten thousand."""

    def name(number: int) -> str:
        return f"node_modules/package-{number // 30}/{'dist/esm/internal/' if number % 3 else ''}module-{number}.js"

    return make_tree(bench.directory / "tree", count, name, lambda chance: int(min(chance.paretovariate(0.9) * 200, 60_000)))


def _site_packages(bench: Bench, count: int) -> Path:
    """Packages of Python with their bytecode: larger files in flatter directories."""

    def name(number: int) -> str:
        return f"package_{number // 120}/part_{number % 7}/{'__pycache__/' if number % 2 else ''}module_{number}.py"

    return make_tree(bench.directory / "tree", count, name, lambda chance: int(min(chance.paretovariate(0.8) * 500, 80_000)))


def _tree(bench: Bench, full: int, make: Callable[[Bench, int], Path], limit: float) -> Plan:
    pod, tree, archive = bench.pod(images.PYTHON), make(bench, bench.size(full)), bench.directory / "tree.tar"
    where = {"pod": pod.pod, "namespace": pod.namespace}
    with tarfile.open(archive, "w") as sink:
        sink.add(tree, ".")

    def clear() -> None:
        bench.execute(pod, "sh", "-c", "rm -rf /tmp/tree; mkdir /tmp/tree")

    copy = partial(bench.operation, "pod_copy", local_path=str(tree), remote_path="/tmp/tree", **where)
    contenders = [
        Contender("one tar stream alone", LIMIT, partial(bench.limit, "upload", path=str(archive), command=TAR, **where), clear),
        Contender("pod_copy, verified", OURS, copy, clear),
        Contender("tar | kubectl exec", PEER, partial(bench.shell, STREAM, str(tree), pod.namespace, pod.pod), clear, bench.peers.why_not("kubectl")),
    ]
    goal = Goal("× the tar stream", lambda found: found["pod_copy, verified"].seconds / found["one tar stream alone"].seconds, limit)
    return Plan(contenders, [goal], repeats=1 if full == MANY else 3)


def _changed(bench: Bench) -> Plan:
    pod, tree = bench.pod(images.PYTHON), _small_files(bench, bench.size(FILES))
    where = {"pod": pod.pod, "namespace": pod.namespace}
    bench.execute(pod, "mkdir", "/tmp/tree")
    numbers = itertools.count()

    def change() -> None:
        (tree / "0/file-1").write_text(f"change {next(numbers)}")

    copy = partial(bench.operation, "pod_copy", local_path=str(tree), remote_path="/tmp/tree", **where)
    contenders = [
        Contender("pod_copy, one file changed", OURS, copy, change),
        Contender(
            "tar | kubectl exec, all files", PEER, partial(bench.shell, STREAM, str(tree), pod.namespace, pod.pod), absent=bench.peers.why_not("kubectl")
        ),
    ]
    return Plan(contenders, [Goal("", lambda found: found["pod_copy, one file changed"].seconds, 1.5, "s")])


def _bytes(bench: Bench, mebibytes: int) -> Callable[[], Sample]:
    pod, source = bench.pod(), _file(bench, mebibytes << 20)
    return partial(bench.operation, "pod_copy", local_path=str(source), remote_path="/tmp/copied", pod=pod.pod, namespace=pod.namespace)


def _files(bench: Bench, count: int) -> Callable[[], Sample]:
    pod, tree = bench.pod(images.PYTHON), _small_files(bench, count)
    return partial(bench.operation, "pod_copy", local_path=str(tree), remote_path="/tmp/tree", pod=pod.pod, namespace=pod.namespace)


SIZE = f"{COPIED >> 20} MiB"
ROWS = [
    Row("upload", f"{SIZE} to a pod without Python", partial(_up, image="busybox")),
    Row("upload-python", f"{SIZE} to a pod with Python", partial(_up, image=images.PYTHON)),
    Row("download", f"{SIZE} from a pod without Python", partial(_down, image="busybox")),
    Row("download-python", f"{SIZE} from a pod with Python", partial(_down, image=images.PYTHON)),
    Row("tree", "5,000 small files", partial(_tree, full=FILES, make=_small_files, limit=1.2)),
    Row("tree-changed", "5,000 small files, one of them changed", _changed),
    Row("node-modules", "30,000 files as in node_modules", partial(_tree, full=MANY, make=_node_modules, limit=1.3), heavy=True),
    Row("site-packages", "30,000 files as in site-packages", partial(_tree, full=MANY, make=_site_packages, limit=1.3), heavy=True),
]
CURVES = [Curve("bytes", "MiB to a pod", (20, 60, 200), _bytes), Curve("files", "small files to a pod", (500, 1500, 5000), _files)]
