# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The connection plugin with random commands and files: output, exit codes and contents are exact, and an error leaves the old file or none."""

from __future__ import annotations

import os
import random
import re
import resource
import shlex
import shutil
import sys
import tempfile
from contextlib import closing
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.playbook.play_context import PlayContext
from ansible.plugins.become.sudo import BecomeModule as Sudo
from ansible.plugins.shell.sh import ShellModule
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.podwright.core.plugins.connection import pod as plugin
from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.exec_stream import V5
from ansible_collections.podwright.core.plugins.module_utils._engine.errors import PodwrightError

from ..support.environment import scaled
from ..support.traces import shown_on_failure
from ..support.waiting import wait_for
from .fake_cluster import Killed
from .local_pod import BUSYBOX
from .model_copies import NAMES
from .test_copy_model import IS_ROOT, SECONDS, TEMPORARY, TOOLS, USER, FaultyPod, draw_fault, lower_limits

EXAMPLES, CHECKS = scaled(20), ("lost", "wrong", "hung")
NEEDED = ("sha256sum", "dd", "stat", "mv", "head", "find")  # by a copy of one file
CONTENTS = [b"", b"\0", b"\n", b"text\n", b"no line feed", b"\xff\xfe\x80\n", b"a\r\nb\0c", bytes(range(256)) * 3]
SIZES = [511, 65_535, 65_536, 65_537, 140_000, 300_000, 3 << 20]
PASSWORD = "pass word'é"
# Asks for a password three times, like sudo; reads no further than a line.
SUDO = """#!/bin/sh
while :; do
  case $1 in -p) prompt=$2; shift 2 ;; -u) shift 2 ;; -*) shift ;; *) break ;; esac
done
if [ "$prompt" ]; then
  echo 'The usual lecture' >&2
  for attempt in 1 2 3; do
    printf %s "$prompt" >&2
    IFS= read -r given || { echo >&2; echo 'sudo: no password was provided' >&2; exit 1; }
    printf '%s\\n' "$given" >> "$PASSWORDS"
    [ "$given" != PASSWORD ] || exec "$@"
    printf 'Sorry, %s again.\\n' try >&2
  done
  echo 'sudo: 3 incorrect password attempts' >&2; exit 1
fi
exec "$@"
"""


class Pod(FaultyPod):
    """A FaultyPod that takes no other words than the API server, and whose client a Connection can use.

    Attributes:
        is_old: whether its server is older than v5.channel.k8s.io.
    """

    def __init__(self, path, monkeypatch, options):
        super().__init__(path, monkeypatch, options)
        self.client.configuration, self.client.close = SimpleNamespace(namespace="n"), lambda: None
        self.is_old = False

    def _open(self, client, request, protocols):
        assert request.target, "it is encoded as UTF-8"
        if self.is_old and protocols == [V5]:
            raise PodwrightError("unable to upgrade: unsupported protocol", status=403, reason="HTTP 403")
        return super()._open(client, request, protocols)


class Session:
    """A host that is a container, with directories `controller` and `pod`."""

    def __init__(self, seed, monkeypatch):
        self.rng = rng = random.Random(seed)
        self.trace = [f"seed {seed}"]
        self.base = base = os.fsencode(tempfile.mkdtemp(prefix="podwright-test-"))
        os.chmod(base, 0o755)  # noqa: S103 - other users enter it
        for name in (b"controller", b"pod/data", b"tmp", b"bin"):
            os.makedirs(base + b"/" + name)
        os.chmod(base + b"/tmp", 0o1777)  # noqa: S103
        monkeypatch.setattr(tempfile, "tempdir", os.fsdecode(base + b"/tmp"))
        user = rng.choice([0, 0, USER]) if IS_ROOT else os.geteuid()
        self.is_privileged = user == 0
        for name in (b"pod", b"pod/data"):
            os.chown(base + b"/" + name, user, -1)
        self._install_tools()
        own = {"user": user, "group": user} if IS_ROOT else {}
        self.pod = Pod(os.fsdecode(base + b"/bin"), monkeypatch, {"cwd": base + b"/pod", "umask": rng.choice([0o022, 0o077]), **own})
        self.pod.environment |= {"PASSWORDS": os.fsdecode(base + b"/tmp/passwords")}
        self.pod.is_old = rng.random() < 0.2
        if rng.random() < 0.3:
            self.pod.environment.pop("HOME", None)
        monkeypatch.setattr(plugin, "Configuration", lambda _options: None)
        monkeypatch.setattr(plugin, "Client", lambda _configuration: self.pod.client)
        self.connection = connect({"pod": "p", "container": "c", "namespace": "n", "timeout": 3}, monkeypatch)

    def _install_tools(self):
        rng, directory = self.rng, os.fsdecode(self.base + b"/bin")
        is_busybox = BUSYBOX.exists() and rng.random() < 0.4
        self.missing = {tool for tool in ("tar", "python3") if rng.random() < 0.5} | ({rng.choice(NEEDED)} if rng.random() < 0.1 else set())
        self.has_tar = "tar" not in self.missing
        for name in {*TOOLS, "sleep", "env", "su"} - self.missing - ({"python3"} if is_busybox else set()):
            os.symlink(BUSYBOX if is_busybox else sys.executable if name == "python3" else shutil.which(name), f"{directory}/{name}")
        with open(f"{directory}/sudo", "w", encoding="utf-8") as script:
            script.write(SUDO.replace("PASSWORD ]", f"{shlex.quote(PASSWORD)} ]"))
        os.chmod(f"{directory}/sudo", 0o755)  # noqa: S103
        self.shell = rng.choice(["busybox"] if is_busybox else [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)])
        os.symlink(shutil.which(self.shell), f"{directory}/sh")
        self.trace.append(f"shell {self.shell}, busybox {is_busybox}, without {self.missing}, privileged {self.is_privileged}")

    def content(self):
        """Bytes of a file or an output."""
        return self.rng.choice(CONTENTS) if self.rng.random() < 0.6 else self.rng.randbytes(self.rng.choice(SIZES))

    def write(self, path, content):
        """Write a file, which everybody may read."""
        with open(path, "wb") as sink:
            sink.write(content)
        os.chmod(path, 0o644)
        return path

    def leftovers(self):
        """Temporary files anywhere."""
        found = [os.path.join(top, name) for top, _directories, names in os.walk(self.base) for name in names]
        return {path for path in found if TEMPORARY in path}

    def close(self):
        """Delete all of it."""
        shutil.rmtree(self.base, ignore_errors=True)


def connect(options, monkeypatch):
    """A Connection with options, which Ansible reads from its documentation otherwise."""
    context = PlayContext()
    context.executable = "sh"
    connection = plugin.Connection(context, os.devnull)
    connection.get_option, connection.has_option = options.get, options.__contains__
    return connection


class Outcome(SimpleNamespace):
    """What a call returned, or its error; `cancelled` if it was cancelled."""


def call(session, function, *arguments, **options):
    """Call a method of the connection. Errors are those of Ansible, and say something that can be shown."""
    session.pod.commands = 0
    shown = [argument if isinstance(argument, (str, int)) else f"{len(argument or b'')} bytes" for argument in arguments]
    outcome = Outcome(value=None, error=None, is_cancelled=False)
    try:
        outcome.value = function(*arguments, **options)
    except AnsibleError as error:
        outcome.error = error
    except Killed:
        outcome.is_cancelled = True
    session.trace.append(f"{function.__name__} {shown}: {outcome.error!r} {'cancelled' * outcome.is_cancelled}")
    return outcome


def call_with_fault(session, function, *arguments):
    """Call a method with a fault. Returns: the Outcome, None of a process that was killed; the fault."""
    fault, limits = draw_fault(session), resource.getrlimit(resource.RLIMIT_FSIZE)
    session.trace.append(f"fault {vars(fault)}")
    session.pod.fault, outcome = fault, None
    if fault.kind == "kill":
        pid = os.fork()
        if pid == 0:
            try:
                call(session, function, *arguments)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
    else:
        is_fetch = function.__name__ == "fetch_file"
        if fault.kind == "full" and is_fetch:
            resource.setrlimit(resource.RLIMIT_FSIZE, (fault.bytes, limits[1]))
        try:
            outcome = call(session, function, *arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    session.pod.fault = None
    wait_for(session.pod.has_stopped, SECONDS)
    return outcome, fault


# -- commands -----------------------------------------------------------------------------------------------


def run_command(session):
    """A command with known output, perhaps after a fault."""
    rng, top = session.rng, session.base + b"/pod/data/"
    marks = session.base + b"/pod/data/ran"
    name = rng.choice(NAMES)
    stdout, stderr, rc = session.content(), session.content(), rng.choice([0, 0, 1, 2, 126, 127, 137, 255])
    for path, content in ((top + b"o" + name[:200], stdout), (top + b"e", stderr)):
        session.write(path, content)
    words = [f"cat {shlex.quote('./data/o' + os.fsdecode(name[:200]))}", "cat data/e >&2"]
    data = rng.choice([None, None, b"", session.content(), session.content()])
    if data and rng.random() < 0.6:
        words, stdout = [*words, "cat"], stdout + data
    elif data and rng.random() < 0.3:
        words, stdout = [*words, "head -c 2"], stdout + data[:2]
    rng.random() < 0.2 and words.append("sleep 0.05 &")
    ending = f"exit {rc}" if rc != 137 or rng.random() < 0.5 else "kill -9 $$"
    command = f"echo x >> data/ran; {'; '.join(words)}; {ending}".replace("&;", "&")
    if rng.random() < 0.3:
        command = f"sh -c {shlex.quote(command)}"
    remove(marks)
    is_killed = ending.startswith("kill")
    session.connection.set_become_plugin(rng.choice([None, Sudo()]))  # which has built no command
    if rng.random() < 0.25:
        outcome, fault = call_with_fault(session, session.connection.exec_command, command, data)
        may_differ = fault.kind in ("full", "tool")
        assert not os.path.exists(marks) or os.path.getsize(marks) <= 2, "it ran twice"
        if outcome and outcome.error:
            assert isinstance(outcome.error, AnsibleConnectionFailure), outcome.error
            assert "container 'c' of pod 'p'" in str(outcome.error), outcome.error
        elif outcome and not outcome.is_cancelled and not may_differ:
            check_output(outcome.value, (rc, stdout, stderr), is_killed)
        return
    outcome = call(session, session.connection.exec_command, command, data)
    assert outcome.error is None, outcome.error
    check_output(outcome.value, (rc, stdout, stderr), is_killed)


def check_output(value, expected, is_killed=False):
    """Exit code and outputs are as expected; a shell may report that its child was killed."""
    rc, stdout, stderr = value
    stderr = stderr[: len(expected[2])] if is_killed else stderr
    assert (isinstance(rc, int), isinstance(stdout, bytes), isinstance(stderr, bytes)) == (True, True, True)
    assert rc == expected[0], f"exit code {rc}, not {expected[0]}: {stderr[-300:]}"
    assert stdout == expected[1], f"standard output {stdout[:80]} of {len(stdout)} instead of {expected[1][:80]} of {len(expected[1])} bytes"
    assert stderr == expected[2], f"standard error {stderr[:80]} of {len(stderr)} instead of {expected[2][:80]} of {len(expected[2])} bytes"


def become(session):
    """A command as another user, with the right password, a wrong one or none."""
    rng, connection = session.rng, session.connection
    given = rng.choice([None, PASSWORD, "wrong", 1234])
    options = {"become_pass": given, "become_user": "root", "become_flags": rng.choice(["-H -S -n", "-S"])}
    sudo = Sudo()
    sudo.get_option = lambda name, **_given: options.get(name)
    shell = ShellModule()
    shell.executable = "sh"
    data, rc, passwords = rng.choice([None, b"module\n" * 3, session.content()]), rng.choice([0, 3]), session.base + b"/tmp/passwords"
    if os.path.exists(passwords):
        os.unlink(passwords)
    command = sudo.build_become_command(f"cat; echo problem >&2; exit {rc}", shell)
    connection.set_become_plugin(sudo)
    outcome = call(session, connection.exec_command, f"sh -c {shlex.quote(command)}", data)
    connection.set_become_plugin(None)
    read = look(passwords)[0].splitlines() if os.path.exists(passwords) else []
    assert all(password == str(given).encode() for password in read), f"passwords {read}"
    if given and session.pod.is_old:
        assert "Kubernetes 1.30" in str(outcome.error), outcome
        return
    if given in ("wrong", 1234):
        assert outcome.error and not isinstance(outcome.error, AnsibleConnectionFailure) and "Incorrect sudo password" in str(outcome.error), outcome
        return
    assert outcome.error is None, outcome.error
    rc_now, stdout, stderr = outcome.value
    success, _line, stdout = stdout.partition(b"\n")  # Ansible removes this line
    assert success == sudo.success.encode(), success
    check_output((rc_now, stdout, stderr), (rc, data or b"", b"problem\n"))


# -- files --------------------------------------------------------------------------------------------------


def prepare_target(session, directory):
    """(path, whether a copy to it may fail): a path in a directory, with something at it or not."""
    rng = session.rng
    name = rng.choice(NAMES)
    path = directory + b"/" + name
    if os.path.lexists(path) and not (os.path.isdir(path) and not os.path.islink(path)):
        os.unlink(path)
    kind = rng.choice(["none", "none", "none", "file", "file", "directory", "link", "dangling", "no parent", "unwritable", "below a file"])
    may_fail = kind in ("directory", "below a file")
    if os.path.isdir(path):
        return path, True
    if kind == "file" or kind == "unwritable":
        session.write(path, session.content())
        os.chmod(path, 0o400 if kind == "unwritable" else rng.choice([0o600, 0o644, 0o755]))
    elif kind == "directory":
        os.mkdir(path)
    elif kind == "link":
        session.write(directory + b"/linked", session.content())
        os.chmod(directory + b"/linked", 0o600)
        os.symlink(b"linked", path)
    elif kind == "dangling":
        os.symlink(b"missing-" + os.urandom(4).hex().encode(), path)
    elif kind == "no parent":
        path = directory + b"/new" + os.urandom(4).hex().encode() + b"/" + name
    elif kind == "below a file":
        session.write(directory + b"/file", b"x")
        path = directory + b"/file/" + name
    session.trace.append(f"target {kind}")
    return path, may_fail


def prepare_source(session, directory):
    """(path, content or None if it cannot be copied)."""
    rng = session.rng
    path = directory + b"/s" + rng.choice(NAMES)[:200]
    kind = rng.choice(["file"] * 8 + ["missing", "directory", "link", "fifo", "proc"])
    session.trace.append(f"source {kind}")
    remove(path)
    if kind == "proc":
        return b"/proc/version", None
    if kind in ("file", "link"):
        content = session.content()
        if kind == "link":
            session.write(directory + b"/original", content)
            os.symlink(b"original", path)
        else:
            session.write(path, content)
        return path, content
    if kind == "directory":
        os.mkdir(path)
    elif kind == "fifo":
        os.mkfifo(path)
    return path, None


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def look(path):
    """(content, mode) of a file, or what else there is."""
    if os.path.isfile(path):
        with open(path, "rb") as source:
            return source.read(), os.stat(path).st_mode & 0o7777
    return ("directory" if os.path.isdir(path) else "nothing" if not os.path.lexists(path) else "other"), None


def copy_file(session):
    """A file to the container or out of it, perhaps after a fault."""
    rng, is_put = session.rng, session.rng.random() < 0.6
    sides = (b"/controller", b"/pod/data") if is_put else (b"/pod/data", b"/controller")
    source, content = prepare_source(session, session.base + sides[0])
    target, may_fail = prepare_target(session, session.base + sides[1])
    before, old, link = look(target), session.leftovers(), os.path.islink(target)
    function = session.connection.put_file if is_put else session.connection.fetch_file
    inside = target if is_put else source
    shown = os.fsdecode(inside.removeprefix(session.base + b"/pod/")) if rng.random() < 0.3 else os.fsdecode(inside)
    arguments = (os.fsdecode(source), shown) if is_put else (shown, os.fsdecode(target))
    may_differ = bool(session.missing - {"tar", "python3"}) or not session.is_privileged
    if rng.random() < 0.4:
        outcome, fault = call_with_fault(session, function, *arguments)
        may_leave = fault.kind in ("kill", "cut", "cancel") or (fault.kind == "tool" and fault.tool in ("rm", "xargs"))
        assert may_leave or not session.leftovers() - old, session.leftovers() - old
        if outcome is None or outcome.error or outcome.is_cancelled:
            now = look(target)
            assert now[0] in (before[0], content), f"neither old nor new: {now[0][:80]} of {len(now[0])}"
        else:
            assert look(target)[0] == content
        return
    outcome = call(session, function, *arguments)
    wait_for(session.pod.has_stopped, SECONDS)
    if outcome.error:
        check_error(outcome.error, is_put, content, target if content is not None else source, may_fail or may_differ)
        assert look(target) == before, f"{look(target)} instead of {before}"
    else:
        assert content is not None and not may_fail, "it should fail"
        now, mode = look(target)
        assert now == content, f"{now[:80]} instead of {content[:80]}"
        if before[1] is not None:
            assert mode == before[1], f"mode {mode:o} instead of {before[1]:o}"
        assert is_put or os.path.islink(target) == link, "the link was replaced"
    assert not session.leftovers() - old, session.leftovers()


def check_error(error, is_put, content, path, may_fail):
    """It has a reason, is of the task and not of the connection, and names what failed."""
    text = str(error)
    assert content is None or may_fail, f"no reason to fail: {error}"
    assert not isinstance(error, AnsibleConnectionFailure), f"the host is reachable: {error}"
    if content is None and not os.path.lexists(path) and "lacks" not in text:
        assert isinstance(error, AnsibleFileNotFound), error
        assert is_put or "on the Ansible Controller" not in text, error
    elif content is None:
        assert "not found" not in text, error
    assert "lost" not in text, error
    assert isinstance(error, AnsibleFileNotFound) or re.search(r"[.:]\s", text), f"what to do: {error}"


def copy_wrong_path(session):
    """A path that no file can have."""
    source = os.fsdecode(session.write(session.base + b"/controller/source", b"x"))
    path = session.rng.choice(["", "a\0b", "\ud800"])
    for function, arguments in ((session.connection.put_file, (source, path)), (session.connection.fetch_file, (path, source + "-copy"))):
        outcome = call(session, function, *arguments)
        assert "path must not" in str(outcome.error) and not isinstance(outcome.error, AnsibleConnectionFailure), outcome


# -- sequences ----------------------------------------------------------------------------------------------


def reset(session):
    session.connection.reset()
    assert not session.connection.connected


def play(seed):
    with pytest.MonkeyPatch.context() as monkeypatch:
        lower_limits(monkeypatch)
        with closing(Session(seed, monkeypatch)) as session, shown_on_failure(session.trace):
            for _step in range(session.rng.randrange(1, 6)):
                session.rng.choice([run_command, run_command, copy_file, copy_file, copy_file, become, reset, copy_wrong_path])(session)


@settings(max_examples=EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32))
def test_a_connection_holds_its_promises_whatever_happens(tried, seed):
    play(seed)
    tried("commands and files of the connection plugin with odd names, wrong passwords, cuts, kills, full disks and tools that fail", 1, *CHECKS)


@pytest.mark.parametrize("no_log", [False, True])
def test_steps_are_shown_at_verbosity_3_but_for_tasks_with_no_log(no_log, monkeypatch):
    session = Session(1, monkeypatch)
    shown = []
    monkeypatch.setattr(session.connection._display, "vvv", lambda text, host=None: shown.append((host, text)))
    session.connection._play_context.no_log = no_log
    session.connection.exec_command("echo secret", sudoable=False)
    with pytest.raises(AnsibleError):
        session.connection.put_file("/missing", "/tmp/it")
    assert shown == ([] if no_log else [("n/p", "EXEC echo secret"), ("n/p", "PUT /missing TO /tmp/it")])
