# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether and when a failed task is retried, and whether its failure counts as skipped. Pure functions."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import option_error
from ..objects.pod_status import SKIPPED
from ..text import parse_integer

if TYPE_CHECKING:
    from ..objects.pod_status import Status
    from ..values import Manifest, Options
    from .task_spec import TaskSpec

INTERRUPTED = "Interrupted"  # any interruption: an eviction, a preemption, a lost node, a deletion
MAX_EXIT_CODE = 255
DEFAULT_DELAY_MAX = 600  # seconds
MANY_RETRIES = 1000  # by then the delay does not grow any more
# Reasons that are written in another case are misspelled: there are others than these, but none that differ from them in that alone.
_REASONS = {
    reason.lower(): reason
    for reason in (
        *("OOMKilled", "Error", "DeadlineExceeded", "Evicted", "Preempted", "Deleted", "NodeLost", "NodeShutdown", "ErrImagePull", "ImagePullBackOff"),
        *("InvalidImageName", "CreateContainerConfigError", "CrashLoopBackOff", "FailedMount", "Unschedulable", "ScheduleTimeout", "PullTimeout"),
        *("StartTimeout", "StartError", "ContainerCannotRun", "ContainerStatusUnknown", "OutOfcpu", "OutOfmemory", "OutOfpods", INTERRUPTED),
    )
}
_WORD = re.compile(r"[A-Z][A-Za-z]{1,62}|OutOf[A-Za-z0-9./_-]{1,317}")  # such as OOMKilled, or OutOf with the name of a resource


def read_conditions(options: Options, name: str) -> tuple[int | str, ...] | None:
    """The exit codes and reasons that an option lists, or None if it is not set. Raises: PodwrightError."""
    entries = options.get(name)
    return None if entries is None else tuple(_read_condition(f"{name}[{index}]", entry) for index, entry in enumerate(entries))


def _read_condition(option: str, entry: Any) -> int | str:
    known = _REASONS.get(entry.lower(), entry) if isinstance(entry, str) else entry
    if known != entry:
        raise option_error(option, f"unknown reason {entry!r}; did you mean {known}?")
    if isinstance(entry, str) and _WORD.fullmatch(entry):
        return entry
    code = parse_integer(entry, MAX_EXIT_CODE, 1) if isinstance(entry, str) else entry
    if isinstance(code, bool) or not isinstance(code, int) or not 1 <= code <= MAX_EXIT_CODE:
        rule = f"must be an exit code from 1 to {MAX_EXIT_CODE} or a reason such as OOMKilled or {INTERRUPTED}"
        raise option_error(option, f"{rule}, got {entry!r}." if isinstance(entry, (str, int, float)) else f"{rule}.")
    return code


def _matches(conditions: tuple[int | str, ...], status: Status) -> bool:
    return any(entry in (status.rc, status.reason) or (entry == INTERRUPTED and status.is_interrupted) for entry in conditions)


def with_skips(spec: TaskSpec, status: Status) -> Status:
    """The status of a task; a failure that `skip_on` lists is that of a skipped task."""
    conditions = read_conditions(spec.options, "skip_on")
    is_skipped = conditions and status.state == "failed" and _matches(conditions, status)
    return replace(status, state=SKIPPED) if is_skipped else status


def can_retry(spec: TaskSpec, status: Status, attempt: int) -> bool:
    """Whether the failed attempt of a task is followed by another one of the same run; a Job is retried by Kubernetes."""
    if spec.is_job or status.state != "failed" or attempt > spec.options["retries"]:
        return False
    conditions = read_conditions(spec.options, "retry_on")
    return conditions is None or _matches(conditions, status)


def names_reason(spec: TaskSpec, reason: str) -> bool:
    """Whether `retry_on` lists a reason."""
    return reason in (read_conditions(spec.options, "retry_on") or ())


def delay_before(options: Options, attempt: int) -> float:
    """Seconds between the end of an attempt and the next one: `retry_delay`, multiplied by `retry_backoff` for each further retry."""
    given = options.get("retry_delay_max")
    longest = DEFAULT_DELAY_MAX if given is None else given
    delay = float(options.get("retry_delay") or 0)
    for _retry in range(attempt - 1):
        if not 0 < delay < longest:
            break
        delay *= options.get("retry_backoff") or 1
    return min(delay, longest)


def total_delay(options: Options) -> float:
    """The delays before all retries together, in seconds."""
    retries = options["retries"] if options.get("retry_delay") else 0
    first = [delay_before(options, attempt) for attempt in range(1, min(retries, MANY_RETRIES) + 1)]
    return sum(first) + max(retries - MANY_RETRIES, 0) * (first[-1] if first else 0)


def check_retries(spec: TaskSpec) -> None:
    """Validate the options of retries. Raises: PodwrightError."""
    options = spec.options
    retry_on, skip_on = read_conditions(options, "retry_on"), read_conditions(options, "skip_on")
    for name in ("retry_backoff", "retry_delay_max"):
        if options.get(name) is not None and options.get("retry_delay") is None:
            raise option_error(name, "requires retry_delay, which is not set.")
    if (options.get("retry_backoff") or 1) < 1:
        raise option_error("retry_backoff", f"must be 1 or greater, got {options['retry_backoff']:g}.")
    if skip_on and not spec.completes:
        raise option_error("skip_on", "requires state to be completed, since a task that keeps running has no exit code that is wanted.")
    if not spec.is_job:
        return
    if options.get("retry_delay") is not None:
        hint = "Kubernetes delays the retries of a Job itself: 10 s, then twice as long each time, up to 6 minutes. Or set kind to Pod."
        raise option_error("retry_delay", "must not be set for a Job.", hint)
    for name, conditions in (("retry_on", retry_on), ("skip_on", skip_on)):
        words = [entry for entry in conditions or () if isinstance(entry, str) and entry != INTERRUPTED]
        if words:
            raise option_error(name, f"must be exit codes or {INTERRUPTED} for a Job, got '{words[0]}'.", "Kubernetes decides on the retries of a Job.")
    if (retry_on is not None or skip_on) and options.get("restart_policy") == "OnFailure":
        raise option_error("restart_policy", "must be Never for a Job with retry_on or skip_on, got 'OnFailure'.")


def build_failure_policy(options: Options, container: str) -> Manifest | None:
    """The `podFailurePolicy` of a Job (KEP-3329) that corresponds to `retry_on` and `skip_on`, or None."""
    retry_on, skip_on = read_conditions(options, "retry_on"), read_conditions(options, "skip_on")
    codes = {name: sorted({entry for entry in conditions or () if isinstance(entry, int)}) for name, conditions in (("retry", retry_on), ("skip", skip_on))}
    rules: list[Manifest] = []
    if INTERRUPTED in (retry_on or ()):
        rules.append({"action": "Count", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]})
    if codes["skip"]:
        rules.append(_exit_rule(container, "In", codes["skip"]))
    if retry_on is not None:
        rules.append(_exit_rule(container, "NotIn", codes["retry"] or [0]))
    return {"rules": rules} if rules else None


def _exit_rule(container: str, operator: str, codes: list[int]) -> Manifest:
    return {"action": "FailJob", "onExitCodes": {"containerName": container, "operator": operator, "values": codes}}
