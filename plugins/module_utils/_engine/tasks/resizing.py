# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pods that are resized in place, and replaced if that is impossible."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import PodwrightError
from ..objects.pod_status import read_resize
from .prediction import plan_replacement

if TYPE_CHECKING:
    from ..objects.pod_status import Status
    from ..values import Manifest
    from .task_run import TaskRun
    from .task_spec import TaskSpec


def replace_instead(run: TaskRun, spec: TaskSpec, live: Manifest, why: str) -> None:
    """Replace a pod that cannot be resized."""
    try:
        run.replan(plan_replacement(run.plan, spec, live, why))
    except PodwrightError as error:
        run.fail(error)


def awaits_resize(run: TaskRun, spec: TaskSpec, status: Status) -> bool:
    """Whether the resize of a pod is not complete; the pod is replaced if its node cannot carry that out."""
    resize = read_resize(run.live) if run.effects.resized and run.live and not status.is_finished else None
    if resize and run.live and resize.reason == "Infeasible":
        replace_instead(run, spec, run.live, resize.message)
    elif resize:
        run.status = resize
    return resize is not None
