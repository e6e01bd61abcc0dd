# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The local cluster starts again after a crash. The tests use a second cluster with a number of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..support.environment import ROOT
from ..support.waiting import wait_for

pytestmark = pytest.mark.xdist_group("cluster")  # both use one number


@pytest.fixture
def state(tmp_path_factory):
    """The state directory of a cluster that is removed after the test."""
    directory = tmp_path_factory.mktemp("cluster") / "state"
    yield directory
    run(directory, "down")


def run(state, *arguments, **options):
    """Run a command of `python -m tests.cluster`."""
    environment = os.environ | {"PODWRIGHT_CLUSTER_NUMBER": "1"}
    command = [sys.executable, "-m", "tests.cluster", "--state", str(state), *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, **options)


def test_a_running_cluster_is_kept_and_a_killed_one_is_started_again(state):
    started = time.monotonic()
    first = run(state, "up", "--core")
    assert first.returncode == 0, first.stderr
    assert time.monotonic() - started < 60  # only against hanging; CONTRIBUTING has the usual time
    assert run(state, "status").returncode == 0
    pid = (state / "pid").read_text()
    assert run(state, "up", "--core").returncode == 0
    assert (state / "pid").read_text() == pid  # the running cluster was kept

    # With the first process the kernel kills all others; the next start replaces the stale state directory.
    os.kill(int(pid.split()[0]), signal.SIGKILL)
    wait_for(lambda: run(state, "status").returncode == 1)
    assert run(state, "up", "--core").returncode == 0
    assert run(state, "status").returncode == 0

    assert run(state, "down").returncode == 0
    assert not state.exists() and not Path("/sys/class/net/podwright1").exists()


def test_a_start_that_was_killed_can_be_repeated(state):
    command = [sys.executable, "-m", "tests.cluster", "--state", str(state), "up", "--core"]
    starting = subprocess.Popen(command, env=os.environ | {"PODWRIGHT_CLUSTER_NUMBER": "1"}, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for((state / "processes/apiserver.json").exists)
    starting.kill()
    starting.wait()
    again = run(state, "up", "--core")
    assert again.returncode == 0, again.stderr
