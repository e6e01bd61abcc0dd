# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copies between trees that change at random: the target is what the documentation says, and a failure leaves the old file or the new one."""

from __future__ import annotations

import os
import random
import resource
import shutil
import sys
import tempfile
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.module_utils._engine.text import printable
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer import download, remote, scripts, upload
from ansible_collections.podwright.core.plugins.module_utils._engine.transfer.scripts import Script

from ..support.environment import scaled
from ..support.traces import shown_on_failure
from ..support.waiting import wait_for
from .fake_cluster import Killed
from .local_pod import BUSYBOX, LocalPod, run_copy
from .model_copies import DIRECTORY, FILE, NAMES, SPECIAL, Gardener, Node, differences, expect, followed, has_links, is_below, read, show

EXAMPLES = scaled(20)
SECONDS = 300  # in which a copy must return, also on a machine with a high load
USER, IS_ROOT = 1234, os.geteuid() == 0
TOOLS = ["find", "stat", "sha256sum", "xargs", "sed", "dd", "tar", "python3"]
TOOLS += ["readlink", "cat", "mkdir", "rm", "ln", "chmod", "chown", "mv", "touch", "head", "tail", "dirname"]
FAILING = [
    "tar",
    "mv",
    "sha256sum",
    "chmod",
    "chown",
    "ln",
    "rm",
    "mkdir",
    "stat",
    "dd",
    "head",
    "tail",
    "find",
    "xargs",
]  # not touch: not every file system stores times
LARGE = 1 << 17  # bytes from which a file is transferred in parts and hashed by Python, instead of MiB
TEMPORARY = b".podwright"
MISSING = Node(SPECIAL)


class Cut:
    """A socket that is cut after so many bytes, in both directions together; `action` is called then."""

    def __init__(self, sock, limit, action):
        self._sock, self._left, self._action = sock, limit, action

    def _limit(self, data):
        passed = data[: self._left]
        self._left -= len(passed)
        return passed

    def sendall(self, data):
        passed = self._limit(data)
        self._sock.sendall(passed)
        if len(passed) < len(data):
            self._end()
            raise ConnectionAbortedError

    def _end(self):
        self._action()
        self._sock.shutdown(2)

    def makefile(self, mode):
        self._file = self._sock.makefile(mode)
        return self

    def read(self, size):
        data = self._file.read(size)
        passed = self._limit(data)
        if len(passed) < len(data):
            self._end()
        return passed

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self._file.close()

    def close(self):
        self._sock.close()


class FaultyPod(LocalPod):
    """A LocalPod whose connections and commands fail, and which has a helper container.

    Attributes:
        fault: None, or has `kind`, `at` (the number of the command that fails), `lasts` (whether those after it fail, too) and `bytes`.
    """

    def __init__(self, path, monkeypatch, options):
        super().__init__("gnu", None, monkeypatch, path, **options)
        self.fault, self._running, self._counting = None, 0, threading.Lock()
        self.client.get = self._get

    def _get(self, _kind, _namespace, _name):
        name = "podwright-helper-x"
        spec = {"containers": [{"name": "c"}], "ephemeralContainers": [{"name": name, "targetContainerName": "c", "image": "busybox"}]}
        return {"spec": spec, "status": {"ephemeralContainerStatuses": [{"name": name, "state": {"running": {}}}]}}

    def _open(self, client, request, protocols):
        if self._hits(self.commands + 1, "cancel"):
            raise Killed
        return super()._open(client, request, protocols)

    def _hits(self, number, kind):
        fault = self.fault
        return fault and fault.kind == kind and (number == fault.at or (fault.lasts and number > fault.at))

    def serve(self, sock, words, has_input, protocol, environment, number):
        if self._hits(number, "cut"):
            sock = Cut(sock, self.fault.bytes, lambda: None)
        if self._hits(number, "kill"):
            sock = Cut(sock, self.fault.bytes, lambda: os._exit(0))
        if self._hits(number, "full"):
            words = ["sh", "-c", f'ulimit -f {self.fault.bytes >> 9}; trap "" XFSZ; exec "$@"', "sh", *words]
        if self.fault and self.fault.kind == "tool":
            environment = environment | {"PATH": f"{self.fault.path}:{environment['PATH']}"}
        with self._counting:
            self._running += 1
        try:
            super().serve(sock, words, has_input, protocol, environment, number)
        finally:
            with self._counting:
                self._running -= 1

    def has_stopped(self):
        """Whether no command runs any more, also none of a process that was killed."""
        mark = self.environment["PATH"].encode()
        return not self._running and not any(mark in _environment_of(pid) for pid in filter(str.isdigit, os.listdir("/proc")))


def _environment_of(pid):
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


class Session:
    """Two sides, `controller` and `pod`, between whose trees copies are made.

    Attributes:
        base: a directory with one for each side, and one `outside`, to which links lead.
        users, umasks: those of the processes of each side.
    """

    def __init__(self, seed, monkeypatch):
        self.rng = rng = random.Random(seed)
        self.trace = []
        self.base = base = os.fsencode(tempfile.mkdtemp(prefix="podwright-test-"))
        os.chmod(base, 0o755)  # noqa: S103 - other users enter it
        for name in (b"outside/directory", b"controller", b"pod", b"tmp", b"bin"):
            os.makedirs(base + b"/" + name)
        os.chmod(base + b"/tmp", 0o1777)  # noqa: S103
        for name in ("outside/file", "outside/directory/inner"):
            Path(os.fsdecode(base), name).write_bytes(b"outside")
        os.symlink(b"pod", base + b"/rootfs")
        monkeypatch.setattr(tempfile, "tempdir", os.fsdecode(base + b"/tmp"))
        monkeypatch.setattr(remote, "HELPER_ROOT", os.fsdecode(base + b"/rootfs"))
        monkeypatch.setitem(scripts._CONSTANTS, "HELPER_ROOT", os.fsdecode(base + b"/rootfs"))
        self.users = {side: rng.choice([0, 0, 0, USER]) if IS_ROOT else os.geteuid() for side in ("controller", "pod")}
        self.umasks = {side: rng.choice([0o022, 0o022, 0o077, 0o002]) for side in ("controller", "pod")}
        self.names = rng.sample(NAMES, 5) + rng.sample([b"a", b"b", b"sub"], 2)
        self.gardener = Gardener(rng, self.names, base + b"/outside", [0, USER, 77] if IS_ROOT else [])
        own = {"user": self.users["pod"], "group": self.users["pod"]} if IS_ROOT else {}
        self.pod = FaultyPod(self._install_tools(), monkeypatch, {"cwd": base + b"/pod", "umask": self.umasks["pod"], **own})

    def _install_tools(self):
        """The directory with the tools of the image."""
        rng, directory = self.rng, os.fsdecode(self.base + b"/bin")
        left_out = {tool for tool in ("tar", "python3") if rng.random() < 0.25}
        is_busybox = BUSYBOX.exists() and rng.random() < 0.4
        self.has_tar = "tar" not in left_out
        for name in set(TOOLS) - left_out - ({"python3"} if is_busybox else set()):
            os.symlink(BUSYBOX if is_busybox else sys.executable if name == "python3" else shutil.which(name), f"{directory}/{name}")
        shells = ["busybox"] if is_busybox else [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]
        shell = rng.choice(shells)
        os.symlink(shutil.which(shell), f"{directory}/sh")
        self.trace.append(f"shell {shell}, busybox {is_busybox}, without {left_out}, users {self.users}, umasks {self.umasks}")
        return directory

    @property
    def is_privileged(self):
        """Whether nothing can fail for lack of permissions."""
        return IS_ROOT and not any(self.users.values())

    def root(self, side):
        """The tree of a side."""
        return self.base + b"/" + side.encode() + b"/tree"

    def change(self):
        """Change the trees, and let most of their entries belong to the users of their sides."""
        for side, other in (("controller", "pod"), ("pod", "controller")):
            if self.rng.random() < 0.8:
                self.gardener.change(self.root(side), self.root(other))
            top = self.base + b"/" + side.encode()
            for path, node in read(top).items() if self.users[side] and IS_ROOT else ():
                if node.links == 1 and self.rng.random() < 0.95:
                    os.chown(top + b"/" + path if path else top, self.users[side], self.users[side], follow_symlinks=False)
            self.trace.append(f"{side}: {', '.join(f'{show(path)} {node}' for path, node in read(self.root(side)).items())}")

    def everything(self):
        """{path: Node} of both sides, of what is outside them and of temporary files."""
        tops = (b"controller", b"pod", b"outside", b"tmp")
        return {top + b"/" + path if path else top: node for top in tops for path, node in read(self.base + b"/" + top).items()}

    @contextmanager
    def as_controller(self):
        """Be the user of the controller."""
        umask, user = os.umask(self.umasks["controller"]), self.users["controller"]
        try:
            if IS_ROOT and user:
                os.setegid(user)
                os.seteuid(user)
            yield
        finally:
            if IS_ROOT:
                os.seteuid(0)
                os.setegid(0)
            os.umask(umask)

    def perform(self, options, check_mode=False, diff_mode=False):
        """One run. Returns: (result, error or None, warnings)."""
        begun, self.pod.commands = time.monotonic(), 0
        with self.as_controller():
            result, error, warnings = run_copy(self.pod.client, options, check_mode, diff_mode)
        self.trace.append(f"{'check' if check_mode else 'run'} {options}: {error!r} {result.get('changes')}")
        assert time.monotonic() - begun < SECONDS, "it took too long"
        return result, error, warnings

    def perform_and_be_killed(self, options):
        """One run in a process of its own, which is killed at the fault."""
        pid = os.fork()
        if pid == 0:
            try:
                self.perform(options)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)

    def close(self):
        """Delete all of it."""
        shutil.rmtree(self.base, ignore_errors=True)


# -- copies -------------------------------------------------------------------------------------------------


def draw(session):
    """(options, source, target): a copy of a tree or of one file; the source is None for `content`."""
    rng, options = session.rng, {"state": session.rng.choice(["to_pod", "from_pod"])}
    for name, value, share in (("no_preserve", True, 0.2), ("checksum", False, 0.2), ("delete", True, 0.5), ("follow", True, 0.2)):
        if rng.random() < share:
            options[name] = value
    if "no_preserve" in options:
        options.pop("checksum", None)
    if rng.random() < 0.2:
        options["mode"] = rng.choice(["0640", "0444", "755", "0600"])
    sides = ("controller", "pod") if options["state"] == "to_pod" else ("pod", "controller")
    if rng.random() < 0.2 and session.users[sides[1]] == 0:
        options["owner"], options["group"] = rng.choice([("77", "78"), ("1234", None), (None, "5")])
    if rng.random() < 0.3:
        name = os.fsdecode(rng.choice(session.names))
        options["exclude"] = rng.sample([name, "*", "a*", "sub/*", f"*/{name}", "[a]", "?", "*.log", f"sub/{name}"], 2)
    options["method"] = rng.choice(["auto", "auto", "stream", "helper", *(["tar"] if session.has_tar else [])])
    source, target = map(session.root, sides)
    return draw_file(session, options, source, target) if rng.random() < 0.25 else (options, source, target)


def draw_file(session, options, source, target):
    """A copy of one file to a place in the tree of the other side."""
    rng = session.rng
    files = [path for path in read(source) if path and os.path.isfile(source + b"/" + path)]
    place = rng.choice([path for path in read(target) if not has_links(target, path + b"/x")] or [b""])
    if rng.random() < (0.6 if os.path.isdir(target + b"/" + place) else 0.1):
        name = rng.choice(session.names)
        place = place + b"/" + name if place else name
    if os.path.islink(target + b"/" + place):
        place = b"place"
    options = {name: value for name, value in options.items() if name not in ("exclude", "delete")}
    target = target + b"/" + place if place else target
    if options["state"] == "to_pod" and (not files or rng.random() < 0.3):
        options.pop("checksum", None)
        return options | {"content": rng.choice(["", "text\n", "ünï\r\n", "x" * 70_000])}, None, target
    source = source + b"/" + rng.choice(files) if files else source
    if os.path.islink(target + b"/" + os.path.basename(source)):
        target += b"/place"  # not a file outside the trees
    return options, source, target


class Step:
    """One copy.

    Attributes:
        options: those of pod_copy.
        side: of which the target is.
        before: the target before it.
        old_leftovers: temporary files of earlier copies.
    """

    def __init__(self, session, options, source, target):
        self.session, self.source, self.target = session, source, target
        rng, is_upload = session.rng, options["state"] == "to_pod"
        self.side = "pod" if is_upload else "controller"
        local, remote_path = (source, target) if is_upload else (target, source)
        if options["method"] == "helper":
            remote_path = remote_path.removeprefix(session.base + b"/pod")
        elif rng.random() < 0.2:
            remote_path = remote_path.removeprefix(session.base + b"/pod/")
        if source and os.path.isdir(source) and rng.random() < 0.15:
            remote_path += b"/"
        self.options = options | {"remote_path": os.fsdecode(remote_path)} | ({"local_path": os.fsdecode(local)} if local else {})
        if source and os.path.isfile(source) and os.path.isdir(target):
            self.target = target + b"/" + os.path.basename(source)
        self.before, self._others, self.old_leftovers = read(self.target), self._read_others(), self.leftovers()

    def found(self):
        """The target now, without temporary files."""
        return {path: node for path, node in read(self.target).items() if TEMPORARY not in path}

    def expect(self):
        """The Expectation, or None if it may fail."""
        session, options = self.session, self.options
        if self.source is None:
            tree, has_loop = {b"": Node(FILE, options["content"].encode())}, False
        else:
            tree, has_loop = followed(self.source) if options.get("follow") else (read(self.source), False)
        if tree.get(b"", MISSING).type == SPECIAL or (has_loop and self.side == "controller"):
            return None
        target, user = self.found(), session.users[self.side]
        tree = {path: node for path, node in tree.items() if TEMPORARY not in path or self.side == "controller"}
        parent = os.path.dirname(self.target)
        while not os.path.lexists(parent):
            parent = os.path.dirname(parent)
        expected = expect(tree, target, options, session.umasks[self.side], user)
        return expected if os.path.isdir(parent) else replace(expected, refusal=f"{parent!r} is not a directory")

    def _read_others(self):
        """What is not at the target; of directories without their times, of hard links only the content."""
        top = self.target.removeprefix(self.session.base + b"/")
        return {
            path: Node(node.type, node.content) if node.links > 1 else replace(node, mtime=None) if node.type == DIRECTORY else node
            for path, node in self.session.everything().items()
            if TEMPORARY not in path and not is_below(path, top) and path != top
        }

    def check_others(self):
        """Nothing outside the target has changed, but its parents may be new."""
        now, target = self._read_others(), self.target.removeprefix(self.session.base + b"/")
        found = {path: node for path, node in now.items() if path in self._others or not is_below(target, path)}
        wrong = differences(found, self._others)
        assert not wrong, "outside the target: " + "\n".join(wrong)

    def leftovers(self):
        """The temporary files of both sides."""
        return [path for path in self.session.everything() if TEMPORARY in path]

    def wrong(self, expected):
        """What differs from the expected target."""
        lines = differences(self.found(), expected.tree)
        return lines if self.session.is_privileged else [line for line in lines if ": owner is" not in line and ": group is" not in line]


def make(session, step):
    """Check mode predicts the run, the run does what is documented, and a second one changes nothing."""
    options, expected, diff_mode, whole = step.options, step.expect(), session.rng.random() < 0.2, session.everything()
    predicted, refusal, _warnings = session.perform(options, True, diff_mode)
    assert session.everything() == whole, "check mode changed something"
    result, error, warnings = session.perform(options, False, diff_mode)
    if refusal and session.is_privileged:
        assert error and str(error) == str(refusal), f"check mode: {refusal}; the run: {error}"
        assert session.everything() == whole, "a refused copy changed something"
    if error:
        is_refused = error.reason == "HelperRefused" or "is a link. Delete it first" in str(error)
        assert expected is None or expected.refusal or is_refused or not session.is_privileged, f"no reason to fail: {error}"
        check_failure(step, expected, result)
        return
    check_success(step, expected, warnings)
    assert not step.leftovers(), step.leftovers()
    for name in ("changed", "changes", "files", "bytes", "method", *(["checksum"] if options.get("checksum", True) else [])):
        assert predicted.get(name) == result.get(name), f"{name}: check mode {predicted.get(name)}, run {result.get(name)}"
    found = step.found()
    assert result["changed"] == bool(result["changes"])
    assert result["changed"] or found == step.before, "it changed something without saying so"
    again, error, _warnings = session.perform(options)
    if (error and not session.is_privileged and "ermission denied" in str(error)) or any(node.links > 1 for node in found.values()):
        return  # the user may not read the copy; the attributes of one hard link are those of another
    assert error is None and not again["changed"] and step.found() == found, f"a second run changed {again.get('changes')}: {error}"


def check_success(step, expected, warnings):
    """The target is what is documented."""
    assert expected, "it should fail"
    assert not expected.refusal, f"it should refuse: {expected.refusal}"
    wrong = step.wrong(expected)
    assert not wrong, "\n".join(wrong)
    step.check_others()
    for path in expected.skipped:
        text = printable(f"{show(path)} is skipped: it")
        assert any(text in warning or "more entries" in warning for warning in warnings), f"no warning about {path!r}: {warnings}"


def check_failure(step, expected, result):
    """Each entry is the old one or the new one, and the result says no more and no less than was done."""
    found, before = step.found(), {path: node for path, node in step.before.items() if TEMPORARY not in path}
    after = expected.tree if expected and not expected.refusal else before
    replaced = [path for path in before if path in after and before[path].type != after[path].type]
    for path in {*found, *before}:
        now, versions = found.get(path), [tree[path] for tree in (before, after) if path in tree]
        if now is None:
            assert path not in after or any(top == path or is_below(path, top) for top in replaced), f"{path!r} is lost"
        elif now.type == DIRECTORY:
            assert DIRECTORY in [version.type for version in versions], f"{path!r} is a directory"
        else:
            now = replace(now, owner=None, group=None, mode=now.mode if step.session.is_privileged else None)
            problems = [differences({path: now}, {path: version}) for version in versions]
            assert not all(problems), f"neither old nor new: {problems or path}"
    step.check_others()
    if result and not result.get("changed"):
        assert not differences(found, before), f"it says that nothing changed: {differences(found, before)}"
    for line in (result or {}).get("changes", ()):
        path = next((path for path in after if line == f"copy {show(path) or '.'}"), None)
        assert path is None or not differences({path: found[path]}, {path: after[path]}), f"it says {line}"


# -- faults -------------------------------------------------------------------------------------------------


def make_with_fault(session, step):
    """A run with a fault."""
    fault, expected, limits = draw_fault(session), step.expect(), resource.getrlimit(resource.RLIMIT_FSIZE)
    session.trace.append(f"fault {vars(fault)}")
    result = error = None
    session.pod.fault = fault
    if fault.kind == "kill":
        session.perform_and_be_killed(step.options)
    else:
        if fault.kind == "full" and step.side == "controller":
            resource.setrlimit(resource.RLIMIT_FSIZE, (fault.bytes, limits[1]))
        try:
            result, error, warnings = session.perform(step.options)
        except Killed:
            session.trace.append("cancelled")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    session.pod.fault = None
    wait_for(session.pod.has_stopped, SECONDS)
    may_leave = fault.kind in ("kill", "cut", "cancel") or (fault.kind == "tool" and fault.tool in ("rm", "xargs"))
    assert may_leave or not {*step.leftovers()} - {*step.old_leftovers}, step.leftovers()
    if result is not None and error is None:
        check_success(step, expected, warnings)
    else:
        check_failure(step, expected, result)


def draw_fault(session):
    """A connection that is cut, a process that is killed or cancelled, a full disk (a limit of the size of files), or a tool that fails."""
    rng = session.rng
    kind = rng.choice(["cut", "cut", "cut", "kill", "kill", "cancel", "full", "full", "tool", "tool"])
    amount = rng.choice([0, 100, rng.randrange(3000), rng.randrange(20_000), rng.randrange(400_000)])
    fault = SimpleNamespace(kind=kind, at=rng.randrange(1, 9), bytes=amount, lasts=rng.random() < 0.4)
    if kind == "full":
        fault.at, fault.lasts, fault.bytes = 1, True, rng.choice([0, 512, 1024, 70_000, 200_000])
    if kind == "tool":
        break_tool(session, fault)
    return fault


def break_tool(session, fault):
    """One of the tools fails in one of its calls, without or after doing what it should."""
    rng, fault.path = session.rng, os.fsdecode(session.base + b"/broken")
    shutil.rmtree(fault.path, ignore_errors=True)
    os.makedirs(fault.path)
    os.chmod(fault.path, 0o1777)  # noqa: S103
    fault.tool, at = rng.choice([tool for tool in FAILING if session.has_tar or tool != "tar"]), rng.choice([1, 1, 2, 3])
    real, error = os.fsdecode(session.base + b"/bin/") + fault.tool, f'echo "{fault.tool}: Input/output error" >&2; exit 1'
    fault.action = rng.choice([error, "kill -9 $$", f'{real} "$@"; {error}'])
    count = f"{fault.path}/count"
    text = f'#!/bin/sh\necho >> {count}; n=0; while read x; do n=$((n+1)); done < {count}\n[ $n != {at} ] || {{ {fault.action}; }}\nexec {real} "$@"\n'
    Path(fault.path, fault.tool).write_text(text)
    Path(fault.path, fault.tool).chmod(0o755)


# -- sequences ----------------------------------------------------------------------------------------------


def play(seed):
    with pytest.MonkeyPatch.context() as monkeypatch:
        lower_limits(monkeypatch)
        with closing(Session(seed, monkeypatch)) as session, shown_on_failure(session.trace):
            for _step in range(session.rng.randrange(1, 4)):
                session.change()
                options, source, target = draw(session)
                if session.rng.random() < 0.5:
                    make_with_fault(session, Step(session, options, source, target))
                make(session, Step(session, options, source, target))
                if session.rng.random() < 0.2 and source and os.path.isdir(source):
                    state = "from_pod" if options["state"] == "to_pod" else "to_pod"
                    back = {name: value for name, value in options.items() if name not in ("owner", "group")} | {"state": state}
                    make(session, Step(session, back, target, source))


def lower_limits(monkeypatch):
    """Files are large from LARGE bytes on."""
    monkeypatch.setattr(upload, "LARGE", LARGE)
    monkeypatch.setattr(download, "LARGE", LARGE)
    monkeypatch.setattr(upload, "SMALLEST_PART", LARGE >> 1)
    monkeypatch.setattr(upload, "LARGEST_PART", LARGE)
    for name, script in list(vars(scripts).items()):
        if isinstance(script, Script) and "16777216" in script.text:
            monkeypatch.setattr(scripts, name, replace(script, text=script.text.replace("16777216", str(LARGE))))


@settings(max_examples=EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_copies_hold_their_promises_whatever_happens(tried, seed):
    play(seed)
    tried("copies between random trees, with connections that are cut, kills, full disks and tools that fail", 1, "lost", "wrong", "hung")
