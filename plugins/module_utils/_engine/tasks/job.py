# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the options of a task to the specification of its Job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import option_error
from ..objects.containers import TASK_CONTAINER
from .field_names import camelize
from .options import JOB_OPTIONS, check_keys
from .retries import build_failure_policy

if TYPE_CHECKING:
    from ..values import Manifest, Options
    from .task_spec import TaskSpec

STARTING_SECONDS = 600  # for the scheduling and image pulls of a Job's attempts, beyond their timeouts
LONGEST_DEADLINE = 2**31 - 1  # seconds; the Job controller counts nanoseconds in 64 bits, and a longer one than 2**63 of these has passed at once
MAX_INDEXED_COMPLETIONS = 10**5  # API reference, JobSpec, completions
INDEXED = "Indexed"
_NUMBERS = ("completions", "parallelism", "backoff_limit_per_index", "max_failed_indexes")


def build_job(spec: TaskSpec, template: Manifest) -> Manifest:
    """The `spec` of a Job."""
    options = spec.options
    # Without a limit for all indexes together, those of one are the only ones.
    limit = None if options.get("backoff_limit_per_index") is not None and not options["retries"] else options["retries"]
    job: Manifest = {"template": template, "backoffLimit": limit, "ttlSecondsAfterFinished": options.get("ttl")}
    job |= {camelized: options[name] for name in _NUMBERS if options.get(name) is not None for camelized in camelize({name: None})}
    job |= {"completionMode": options["completion_mode"]} if options.get("completion_mode") else {}
    if spec.timeout is not None:
        # The deadline of one attempt is that of its pod, which keeps the log. That of the Job, which deletes its pods, includes all attempts.
        job["activeDeadlineSeconds"] = min(spec.timeout * attempts_in_a_row(options) + STARTING_SECONDS, LONGEST_DEADLINE)
    policy = camelize(options["pod_failure_policy"]) if options.get("pod_failure_policy") else build_failure_policy(options, TASK_CONTAINER)
    if policy:
        job["podFailurePolicy"] = policy
    if options.get("queue") or options.get("suspend"):
        job["suspend"] = True  # Kueue resumes a Job that it admits
    return job


def attempts_in_a_row(options: Options) -> int:
    """How many attempts of a task follow each other at most."""
    completions, parallelism = options.get("completions") or 1, options.get("parallelism") or 1
    retries: int = options["retries"] or options.get("backoff_limit_per_index") or 0
    return (retries + 1) * -(-completions // parallelism)


def check_job(spec: TaskSpec) -> None:
    """Validate the options that only a Job has. Raises: PodwrightError."""
    options, given = spec.options, [name for name in (*JOB_OPTIONS, "suspend") if spec.options.get(name) is not None]
    if given and not spec.is_job:
        raise option_error(given[0], "requires kind to be Job.")
    is_indexed = options.get("completion_mode") == INDEXED
    if is_indexed and not 1 <= (options.get("completions") or 0) <= MAX_INDEXED_COMPLETIONS:
        rule = f"must be from 1 to {MAX_INDEXED_COMPLETIONS} if completion_mode is {INDEXED}"
        raise option_error("completions", f"{rule}, got {options.get('completions') or 'nothing'}.")
    if options.get("backoff_limit_per_index") is not None and not is_indexed:
        raise option_error("backoff_limit_per_index", f"requires completion_mode to be {INDEXED}.")
    if options.get("max_failed_indexes") is not None and options.get("backoff_limit_per_index") is None:
        raise option_error("max_failed_indexes", "requires backoff_limit_per_index, which is not set.")
    if options.get("suspend") is not None and options.get("queue"):
        raise option_error("suspend", "must not be set with queue, which suspends and resumes the Job.")
    if options.get("pod_failure_policy"):
        _check_failure_policy(options)
    if options.get("restart_policy") == "OnFailure" and options.get("backoff_limit_per_index") is not None:
        raise option_error("restart_policy", "must be Never for a Job with backoff_limit_per_index, got 'OnFailure'.")


def _check_failure_policy(options: Options) -> None:
    policy = options["pod_failure_policy"]
    check_keys("pod_failure_policy", policy, ("rules",))
    if not isinstance(policy.get("rules"), list) or not all(isinstance(rule, dict) for rule in policy["rules"]):
        raise option_error("pod_failure_policy.rules", "must be a list of mappings, as in the field podFailurePolicy of a Job.")
    clashing = [name for name in ("retry_on", "skip_on") if options.get(name) is not None]
    if clashing:
        raise option_error("pod_failure_policy", f"must not be set with {clashing[0]}, which becomes one.")
    if options.get("restart_policy") == "OnFailure":
        raise option_error("restart_policy", "must be Never for a Job with pod_failure_policy, got 'OnFailure'.")
