# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes every task's result as one JSON line to the file of PODWRIGHT_RECORD, for the tests to look at."""

from __future__ import annotations

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: record
type: notification
short_description: Record results for tests
description: Writes every task's result as one JSON line.
"""


class CallbackModule(CallbackBase):
    """Records results."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "record"

    def v2_runner_on_ok(self, result):
        self._write(result, "ok")

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._write(result, "failed")

    def v2_runner_on_skipped(self, result):
        self._write(result, "skipped")

    def _write(self, result, outcome):
        entry = {"task": result._task.get_name(), "action": result._task.action, "outcome": outcome, "result": result._result}
        with open(os.environ["PODWRIGHT_RECORD"], "a", encoding="utf-8") as sink:
            sink.write(json.dumps(entry, default=str) + "\n")
