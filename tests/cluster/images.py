# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Container images built from static busybox of Debian, since the cluster has no network to pull images."""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import io
import json
import re
import subprocess
import sys
import sysconfig
import tarfile
import urllib.request
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
PYTHON = "docker.io/podwright/python:latest"
REGISTRAR = "registry.k8s.io/sig-storage/csi-node-driver-registrar:v2.15.0"
SANDBOX = "podwright.local/sandbox:1"
_PASSWD = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
_IDLE = 'trap "exit 0" TERM INT; while :; do sleep 86400 & wait $!; done'


class Image:
    """An image with one layer. `save` writes an OCI archive for `ctr images import`; `push` uploads it. `config` is of the OCI specification."""

    def __init__(self, name: str, command: list[str], files: dict[str, bytes], links: dict[str, str] | None = None, **config: object):
        self.name = name
        layer = _layer(files, links or {})
        # Without a modification time the digest is the same on every machine.
        self.layer = gzip.compress(layer, compresslevel=1, mtime=0)
        config = {
            "architecture": _architecture(),
            "os": "linux",
            "config": {"Cmd": command, "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]} | config,
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
        self.config = json.dumps(config).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _descriptor("application/vnd.oci.image.config.v1+json", self.config),
            "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar+gzip", self.layer)],
        }
        self.manifest = json.dumps(manifest).encode()

    def save(self, path: Path) -> Path:
        """Write the image as an OCI archive. Returns: the path."""
        index_entry = _descriptor("application/vnd.oci.image.manifest.v1+json", self.manifest)
        index_entry["annotations"] = {"io.containerd.image.name": self.name, "org.opencontainers.image.ref.name": self.name}
        with tarfile.open(path, "w") as archive:
            _add(archive, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
            _add(archive, "index.json", json.dumps({"schemaVersion": 2, "manifests": [index_entry]}).encode())
            for blob in (self.config, self.layer, self.manifest):
                _add(archive, "blobs/sha256/" + _digest(blob).removeprefix("sha256:"), blob)
        return path

    def push(self, registry: str) -> None:
        """Push to a registry (OCI distribution specification)."""
        repository, tag = self.name.split("/", 1)[1].rsplit(":", 1)
        for blob in (self.config, self.layer):
            request = urllib.request.Request(f"{registry}/v2/{repository}/blobs/uploads/", method="POST", data=b"")
            with urllib.request.urlopen(request, timeout=10) as response:
                location = response.headers["Location"]
            separator = "&" if "?" in location else "?"
            _put(f"{location}{separator}digest={_digest(blob)}", blob, "application/octet-stream")
        _put(f"{registry}/v2/{repository}/manifests/{tag}", self.manifest, "application/vnd.oci.image.manifest.v1+json")


def all_images() -> list[Image]:
    """The images of the local cluster: `busybox`, of which `musl` is known to be static, `static` without a shell, and the pod sandbox."""
    files, links = _busybox()
    return [
        *(Image(f"docker.io/library/busybox:{tag}", ["sh"], files, links) for tag in ("latest", "musl")),
        Image("docker.io/podwright/static:latest", ["/sleep", "86400"], {"sleep": files["bin/busybox"]}),
        Image(SANDBOX, ["/bin/busybox", "sh", "-c", _IDLE], files, links),
    ]


def python_image(name: str = PYTHON, program: Path | None = None) -> Image:
    """An image with the running Python, busybox, and the gRPC libraries in /opt/grpc. If a program is given, the image starts it."""
    files, links = _busybox()
    executable = Path(sys._base_executable).resolve()
    library = Path(sysconfig.get_path("stdlib", vars={"base": sys.base_prefix, "installed_base": sys.base_prefix}))
    excluded = {"test", "tests", "idlelib", "site-packages", "dist-packages", "__pycache__", "ensurepip", "lib2to3", "tkinter", "turtledemo"}
    sources = [executable]
    sources += [path for path in library.rglob("*") if path.is_file() and not excluded & set(path.parts) and path.suffix != ".a"]
    sources += [path for top in sources if top == executable or top.suffix == ".so" for path in needed_by(top)]
    files |= {str(path).lstrip("/"): path.read_bytes() for path in dict.fromkeys(sources)}
    packages = Path(sysconfig.get_path("platlib"))
    for package in ("grpc", "grpc_health", "grpc_reflection", "google", "typing_extensions.py"):
        for path in (packages / package).rglob("*") if (packages / package).is_dir() else [packages / package]:
            if path.is_file() and "__pycache__" not in path.parts:
                files[f"opt/grpc/{path.relative_to(packages)}"] = path.read_bytes()
                if path.suffix == ".so":
                    files |= {str(needed).lstrip("/"): needed.read_bytes() for needed in needed_by(path)}
    links["usr/bin/python3"] = str(executable)
    if not program:
        return Image(name, ["sh"], files, links)
    files["opt/program.py"] = program.read_bytes()
    environment = ["PATH=/usr/bin:/bin", "PYTHONPATH=/opt/grpc", "PYTHONDONTWRITEBYTECODE=1"]
    return Image(name, [], files, links, Entrypoint=["/usr/bin/python3", "/opt/program.py"], Env=environment)


def python_image_version() -> str:
    """What decides the content of the image with Python."""
    parts = [Path(__file__).read_bytes(), sys.version.encode(), sys.base_prefix.encode(), importlib.metadata.version("grpcio").encode()]
    return _digest(b"\n".join(parts))


def program_image(
    program: Path, name: str, entrypoint: tuple[str, ...], others: dict[str, Path] | None = None, other_links: dict[str, str] | None = None
) -> Image:
    """The image of a static program, with busybox. The name and the entrypoint have `{}` for the name of the program.

    Args:
        others: further files, {path in the image: path here}, with the shared libraries that they need.
        other_links: further links.
    """
    files, links = _busybox()
    command = [word.format(program.name) for word in entrypoint]
    others = {command[0].lstrip("/"): program} | (others or {})
    libraries = {str(path).lstrip("/"): path for other in others.values() for path in needed_by(other)}
    files |= {target: path.read_bytes() for target, path in (libraries | others).items()}
    return Image(name.format(program.name), [], files, links | (other_links or {}), Entrypoint=command)


def _busybox() -> tuple[dict[str, bytes], dict[str, str]]:
    """(files, links) of busybox."""
    applets = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split()
    files = {"bin/busybox": BUSYBOX.read_bytes(), "etc/passwd": _PASSWD, "etc/group": b"root:x:0:\nnobody:x:65534:\n"}
    return files, {f"bin/{applet}": "/bin/busybox" for applet in applets if applet != "busybox"}


def needed_by(program: Path) -> list[Path]:
    """The paths of the shared libraries of a program."""
    listed = subprocess.run(["ldd", program], check=False, capture_output=True, text=True).stdout
    return [Path(path) for path in re.findall(r"(?:=> )?(/\S+) \(0x", listed)]


def _layer(files: dict[str, bytes], links: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        temporary = tarfile.TarInfo("tmp")
        temporary.type, temporary.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(temporary)
        for name, content in files.items():
            _add(archive, name, content, 0o644 if name.startswith("etc/") else 0o755)
        for name, target in links.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def _put(url: str, content: bytes, media_type: str) -> None:
    request = urllib.request.Request(url, method="PUT", data=content, headers={"Content-Type": media_type})
    with urllib.request.urlopen(request, timeout=30):
        pass


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _descriptor(media_type: str, content: bytes) -> dict:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _architecture() -> str:
    return subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout.strip()
