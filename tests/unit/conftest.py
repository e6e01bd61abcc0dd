# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings of all unit tests."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import logs, transport, watch
from ansible_collections.podwright.core.plugins.module_utils._engine.podman import feeds

from ..support.environment import SCALE

# A deadline per example fails on a busy machine, and finds no fault. The examples are the same in each run, unless more of them are asked for.
settings.register_profile("podwright", deadline=None, derandomize=SCALE == 1)
settings.load_profile("podwright")

os.environ["SSL_CERT_FILE"] = os.devnull  # no test trusts the authorities of this machine, which take 30 ms to read


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Retries, reconnects and polls pause for milliseconds; the tests of a pause set it themselves."""
    backoff = transport._backoff
    monkeypatch.setattr(transport, "_backoff", lambda *arguments: min(backoff(*arguments), 0.005))
    monkeypatch.setattr(watch, "_PAUSE", 0.005)
    monkeypatch.setattr(logs, "FIRST_PAUSE", 0.005)
    monkeypatch.setattr(logs, "WAITING_SECONDS", 0.02)
    monkeypatch.setattr(feeds, "POLL_SECONDS", 0.03)


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """Operations write files into a directory of the test."""
    monkeypatch.chdir(tmp_path)
