# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The local cluster itself survives what happens to it. It runs beside the one of the other tests, under another number."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import ROOT, wait_for

pytestmark = pytest.mark.xdist_group("cluster")  # both use one number


@pytest.fixture
def state(tmp_path_factory):
    """The state folder of a cluster that is gone afterwards."""
    directory = tmp_path_factory.mktemp("cluster") / "state"
    yield directory
    run(directory, "down")


def run(state, *arguments, **options):
    """Run one of the cluster's commands."""
    environment = os.environ | {"PODWRIGHT_CLUSTER_NUMBER": "1"}
    command = [sys.executable, "-m", "tests.cluster", "--state", str(state), *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, **options)


def test_it_is_started_twice_killed_and_started_over(state):
    started = time.monotonic()
    first = run(state, "up", "--core")
    assert first.returncode == 0, first.stderr
    assert time.monotonic() - started < 60  # a bound against hanging; the usual time is in CONTRIBUTING
    assert run(state, "status").returncode == 0
    pid = (state / "pid").read_text()
    assert run(state, "up", "--core").returncode == 0
    assert (state / "pid").read_text() == pid  # the second start found it running

    # Killed from outside: everything in it goes with its first process, and the next start begins anew over the stale folder.
    os.kill(int(pid.split()[0]), signal.SIGKILL)
    wait_for(lambda: run(state, "status").returncode == 1)
    assert run(state, "up", "--core").returncode == 0
    assert run(state, "status").returncode == 0

    assert run(state, "down").returncode == 0
    assert not state.exists() and not Path("/sys/class/net/podwright1").exists()


def test_it_survives_being_killed_while_it_starts(state):
    command = [sys.executable, "-m", "tests.cluster", "--state", str(state), "up", "--core"]
    starting = subprocess.Popen(command, env=os.environ | {"PODWRIGHT_CLUSTER_NUMBER": "1"}, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for((state / "processes/apiserver.json").exists)
    starting.kill()
    starting.wait()
    again = run(state, "up", "--core")
    assert again.returncode == 0, again.stderr
