# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the options that describe a task, and of the same options in an item of a batch."""

from __future__ import annotations

import re

import yaml

from ansible_collections.podwright.core.plugins.doc_fragments.pod import ModuleDocFragment as Pod


def items_documentation(*documents: str) -> str:
    """The documentation of `tasks`: items have the options of the documents, without defaults since the options beside `tasks` are their defaults."""
    options: dict = {}
    for document in documents:
        options |= yaml.safe_load(document)["options"]
    items = {name: {key: value for key, value in option.items() if key != "default"} for name, option in options.items()}
    text = yaml.safe_dump({"options": {"tasks": {"suboptions": items}}}, width=100000)
    return re.sub(r"O\((\w+)\)", lambda link: f"O(tasks[].{link[1]})" if link[1] in items else link[0], text)


class ModuleDocFragment:
    """The options of a task beside those of its pod."""

    DOCUMENTATION = r"""
options:
  name:
    description: Name of the task and of its Pod or Job, and value of the label C(podwright.io/task).
    type: str
  generate_name:
    description: Prefix of a name that is generated in each run. Such a task is not idempotent, and must be deleted by its name.
    type: str
  namespace:
    description: Namespace of the task. Defaults to E(PODWRIGHT_NAMESPACE), then to the namespace of the context, then to V(default).
    type: str
  kind:
    description: Kind of object that runs the task, V(Pod) or V(Job) (case-insensitive).
    type: str
    default: Pod
  timeout:
    description:
      - Timeout of one attempt in seconds. Defaults to 3600 for a task that completes, and to no timeout for one that keeps running.
      - It includes the time in which files of O(results) and O(artifacts) are fetched.
    type: int
  schedule_timeout:
    description: Seconds within which each attempt must be scheduled to a node (reason V(ScheduleTimeout)). There is no timeout by default.
    type: int
  pull_timeout:
    description:
      - Seconds that pulling the images of an attempt may take without interruption (reason V(PullTimeout)). There is no timeout by default.
      - O(failure_grace) applies as well if pulling fails. Before Kubernetes 1.29 it includes the mounting of volumes.
    type: int
  start_timeout:
    description:
      - Seconds from the scheduling of an attempt to the start of the task's container, with volumes, image pulls and init containers (reason V(StartTimeout)).
      - There is no timeout by default. Like the other two, it is measured while the run waits for the task.
    type: int
  retries:
    description:
      - Number of retries of a failed task. An attempt one of whose timeouts expires has failed.
      - A task whose command succeeds and that does not leave its O(results) or O(artifacts) fails, and is not retried.
      - An attempt that cannot start for another reason (V(ErrImagePull), V(CreateContainerConfigError)) is retried only if O(retry_on) names the reason.
    type: int
    default: 0
  completions:
    description: Number of pods of a Job that must succeed, 1 by default.
    type: int
  parallelism:
    description: Number of pods of a Job that run at the same time, 1 by default.
    type: int
  completion_mode:
    description:
      - V(Indexed) gives each of the O(completions) pods of a Job an index, from 0, in the variable C(JOB_COMPLETION_INDEX). The result of each is in
        RV(tasks[].indexes).
    type: str
    choices: [NonIndexed, Indexed]
  backoff_limit_per_index:
    description: Number of retries of each index of a Job whose O(completion_mode) is V(Indexed). O(retries), unless it is 0, limits those of all indexes.
    type: int
  max_failed_indexes:
    description: Number of indexes that may fail before the Job terminates its other pods. Requires O(backoff_limit_per_index).
    type: int
  pod_failure_policy:
    description: Rules by which a Job retries, ignores or gives up failed pods, as in the field C(podFailurePolicy). Instead of O(retry_on) and O(skip_on).
    type: dict
  suspend:
    description:
      - Suspend a Job (V(true)), which deletes its pods and which the run does not wait for, or resume it (V(false)). The reason of a suspended Job is
        V(Suspended).
      - By default a Job is not suspended when it is created, and left as it is afterwards.
    type: bool
  retry_delay:
    description: Seconds between a failed attempt and the next one. Not for a Job, whose retries Kubernetes delays.
    type: int
  retry_backoff:
    description: Factor by which O(retry_delay) grows with each further retry, V(1) by default.
    type: float
  retry_delay_max:
    description: Maximum of the growing O(retry_delay) in seconds, V(600) by default.
    type: int
  retry_on:
    description:
      - Exit codes and reasons (V(OOMKilled), V(StartTimeout)) of failures that are retried. All are by default.
      - V(Interrupted) matches every eviction, preemption, deletion and loss of a node. A Job accepts exit codes and V(Interrupted).
    type: list
    elements: raw
  skip_on:
    description:
      - Exit codes and reasons of failures that count as skipped, for a task that finds nothing to do. Its state is V(skipped), the run does not fail, and
        tasks that need it are skipped.
      - Such a task is not retried, and not run again until its options change. A Job accepts exit codes and V(Interrupted).
    type: list
    elements: raw
  rerun:
    description:
      - When to run an existing task again. A running task whose options are unchanged is always left alone.
      - V(never) leaves every existing task alone. V(on_change) runs it again if its options changed, or if it was interrupted by eviction,
        preemption or the loss of its node.
      - V(on_failure) also runs a failed task again, with all its O(retries). V(always) also runs a succeeded task again.
    type: str
    choices: [never, on_change, on_failure, always]
    default: on_failure
  on_immutable:
    description: What to do if options of an existing task changed that cannot be updated in place. Resources of a running pod can.
    type: str
    choices: [fail, replace]
    default: replace
  cleanup:
    description: When to delete the Pod or Job of a finished task. Its result is recorded unless O(record) is V(false).
    type: str
    choices: [always, on_success, on_failure, never]
    default: never
  ttl:
    description: Retention of the finished task in seconds. Kubernetes deletes expired Jobs, M(podwright.core.pod_gc) expired Pods.
    type: int
  grace_period:
    description: Deletion grace period in seconds.
    type: int
  force:
    description: Delete immediately, without a grace period.
    type: bool
    default: false
  logs:
    description:
      - V(collect) returns the log of the task's container, at most its last 1 MiB, and those of its O(init_containers) and further O(containers) as
        RV(tasks[].container_logs), together at most 1 MiB. A longer log begins with a whole line, and has a warning.
      - Of a Job with several pods, each line begins with the index or the name of its pod in brackets.
      - V(stream) also writes each line to the controller's standard error as it arrives, prefixed with the name of the task (of the pod,
        if a Job has several), or with C(TASK/CONTAINER) if it is from a container other than that of the task. Of a line that carriage
        returns overwrite, such as a progress bar, it shows the last state.
    type: str
    choices: [none, collect, stream]
    default: none
  log_tail:
    description: Number of log lines in an error message.
    type: int
    default: 20
  record:
    description:
      - Record the result of the task (exit code and times) in a ConfigMap, so that the task is not run again after its pod is deleted. Defaults to
        V(true) if O(cleanup) deletes the pod, or if files are fetched with O(results) or O(artifacts).
      - The record contains the last O(log_tail) log lines if the task failed, or if O(logs) is not V(none).
      - If the record cannot be written, the pod is kept with a warning, and the next run records the result.
      - M(podwright.core.pod_gc) deletes records by age, O(state=absent) deletes the record with the task.
    type: bool
  propagation_policy:
    description: Propagation policy when the task is deleted. V(Foreground) deletes its dependents first, V(Orphan) keeps them.
    type: str
    choices: [Background, Foreground, Orphan]
    default: Background
  failure_grace:
    description: Seconds that a possibly transient problem (an image that cannot be pulled, a crash loop) may last before the task fails.
    type: int
    default: 30
  inputs:
    description:
      - Files and directories that are copied to the pod before its containers start, each with C(src) or C(content). Requires O(kind=Pod).
      - They are part of the options of the task, which runs again if their content changes. Results and the API server never contain it.
      - They can be written by the task. Each is verified by its sha256, as by M(podwright.core.pod_copy).
    type: list
    elements: dict
    suboptions:
      path:
        description: Path in the containers. What the image has there is hidden, and the directory that contains it is not, unless it is in a volume.
        type: str
        required: true
      src:
        description:
          - File or directory on the host that runs this task, for a local task also in C(files) of the role or beside the playbook.
          - Files that are encrypted with Ansible Vault are copied as they are.
        type: path
      content:
        description: Content of a file. The lookup P(ansible.builtin.file#lookup) decrypts one that is encrypted with Ansible Vault.
        type: str
      mode:
        description: Mode of the files, as a quoted octal number. Defaults to the modes in C(src), and to V('0644') for C(content).
        type: raw
  results:
    description:
      - Small values that a task leaves when it completes, by name. They are returned as RV(ignore:tasks[].results).
      - Each is the path of a file in the container, or a mapping with C(path) or C(termination_message=true), with optional C(type) (C(text), the default,
        or C(json)) and C(optional) (C(true) if a task that succeeds may leave it out).
      - At most 64 KiB each, 256 KiB together, and 4095 bytes of a termination message, less in a pod with more than three containers. A larger result fails
        the task.
      - They are kept in the record of the task, which users who can read ConfigMaps can read, and returned by later runs.
      - A directory in which no volume is mounted becomes an empty volume, which hides what the image has in it. Files require O(kind=Pod).
    type: dict
  artifacts:
    description:
      - Files and directories to copy from the container when the task has completed, also if it failed, before O(cleanup). Requires O(kind=Pod).
      - Each is verified by its sha256, as by M(podwright.core.pod_copy).
      - A container of their own in the pod holds them until they are copied. If this run is interrupted, the next one copies them.
      - The task runs again if a copy does not exist any more, if that of a single file has another content, or if the files were lost before they were
        copied.
    type: list
    elements: dict
    suboptions:
      path:
        description: >-
          Path in the container. A directory in which no volume is mounted becomes an empty volume, which hides what the image has in it: the one that
          contains the path, or the path itself if it ends with a slash.
        type: str
        required: true
      dest:
        description:
          - Path on the host that runs this task. The content of a directory is copied into it.
          - A file is placed under its own name in a directory that exists, or whose path ends with a slash.
        type: path
        required: true
      optional:
        description: Whether a task that succeeds may leave it out.
        type: bool
        default: false
  helper_image:
    description: >-
      Image of the containers for O(inputs), and for the files of O(results) and O(artifacts), with C(sh), C(find), C(stat), C(sha256sum), C(xargs), C(sed)
      and C(dd). The image of the task needs none of them.
    type: str
    default: busybox
  helper_resources:
    description: Resource requests and limits of each of these containers. Defaults to 100m of cpu and 64Mi of memory if O(resources) is set, else to none.
    type: dict
    suboptions:
      limits:
        description: Resource limits, a quantity for each resource.
        type: dict
      requests:
        description: Resource requests, a quantity for each resource.
        type: dict
  stdin:
    description:
      - Text for the standard input of the task. Requires O(command) and a shell in the image.
      - Stored in a Secret that is deleted with the task, so that an interrupted run can be resumed.
      - A label of the pod contains a salted digest of it, by which somebody who can read pods could find an input as short as a PIN.
    type: str
  restart_policy:
    description: Restart policy of the pod. Defaults to V(Never) for a task that completes and to V(Always) for one that keeps running.
    type: str
    choices: [Always, OnFailure, Never]
  parent:
    description:
      - Owner of the task, the name of a pod or a mapping with C(name), C(kind), C(api_version) and C(uid), of which only the name is required.
        Kubernetes deletes the task with its owner.
      - The owner must be in the namespace of the task or cluster-scoped.
    type: raw
  max_depth:
    description: Maximum number of levels of tasks below this task.
    type: int
  max_children:
    description: Maximum number of unfinished children of this task, and of each task below it that sets no maximum of its own.
    type: int
  network:
    description:
      - Network access of the task. V(default) follows the policies of the namespace, V(isolated) denies all traffic.
      - A mapping with lists C(ingress) and C(egress) allows only the listed peers. A peer is V(dns), V(same_namespace), a CIDR, or a mapping with C(cidr)
        and C(except), or with C(namespace) (a name) and C(pods) (labels), each with optional C(ports).
      - A port is a number, the name of a container's port, or a range, such as C(443), C(53/UDP), C(web) or C(8000-8100).
      - The NetworkPolicy is created before the pod and deleted with it. If it is deleted or edited meanwhile, the next run restores it.
      - The cluster needs a network plugin that enforces policies.
    type: raw
    default: default
  queue:
    description:
      - Name of an existing Kueue LocalQueue, in the namespace of the task, that admits the task.
      - The Job is suspended, or the pod has a scheduling gate, until Kueue admits it. Until then its reason is V(Queued), and its message says why.
      - Kueue queues a Job that it preempts again. It deletes a pod, which is an interruption, so O(retries) queues it again.
    type: str
"""

    ITEMS = r"""
options:
  needs:
    description:
      - Tasks of the batch that must succeed, or be ready if they keep running, before this one starts. C(NAMESPACE/NAME) is one of another namespace.
      - If one of them fails, is stopped or is skipped, this task is skipped (state V(skipped), reason V(NeedFailed)); the other tasks continue.
      - A task runs again after one that it needs runs again, unless O(rerun=never).
      - Its containers get the variables C(PODWRIGHT_NEED_NAME_STATE), C(PODWRIGHT_NEED_NAME_RC), C(PODWRIGHT_NEED_NAME_POD) and C(PODWRIGHT_NEED_NAME_IP) of
        each, with C(NAME) in upper case and V(_) for V(-), and C(PODWRIGHT_NEED_NAME_RESULT_KEY) for each of its RV(tasks[].results) up to 32 KiB, as JSON if
        it is not text. What is not known is not set.
      - Requires that the run waits for its tasks.
    type: list
    elements: str
"""

    # The annotation hides the value from the sanity test yamllint, which reads literals only.
    TASKS: str = items_documentation(DOCUMENTATION, Pod.DOCUMENTATION, ITEMS)
