# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tasks for unit tests."""

from __future__ import annotations

from ansible_collections.podwright.core.plugins.module_utils._engine.tasks import options as opts
from ansible_collections.podwright.core.plugins.module_utils._engine.tasks.task_spec import TaskSpec


def spec(state="completed", name="t", **options):
    defaults = {option: entry.get("default") for option, entry in opts.TASK_OPTIONS.items()}
    return TaskSpec(name, "n", defaults | {"image": "i"} | options, state)
