# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings of all unit tests."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster import transport

from ..support.environment import SCALE

# A deadline per example fails on a busy machine, and finds no fault. The examples are the same in each run, unless more of them are asked for.
settings.register_profile("podwright", deadline=None, derandomize=SCALE == 1)
settings.load_profile("podwright")

os.environ["SSL_CERT_FILE"] = os.devnull  # no test trusts the authorities of this machine, which take 30 ms to read


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """Operations write files into a directory of the test, and retry at once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(transport, "_backoff", lambda *_: 0)
