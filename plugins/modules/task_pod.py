#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: task_pod
short_description: Run tasks in pods
version_added: 1.0.0
author: Podwright contributors (@podwright)
description:
  - Runs a task, or a batch of tasks, in Pods or Jobs and waits for them by watch.
  - The name of a task is its identity. A task that exists with the same options is left alone, and an interrupted run is resumed.
  - Pods are as restricted as the Pod Security level of the namespace requires, mount no service account token, and have a deadline if they complete.
  - An error message contains the reason and the last log lines. It also contains warnings among the events, or the last events if there is no log.
extends_documentation_fragment:
  - podwright.core.task
  - podwright.core.task.tasks
  - podwright.core.connection
  - podwright.core.pod
  - podwright.core.review
  - podwright.core.attributes
options:
  tasks:
    description: Batch of tasks. Each item accepts every task option, the options beside O(tasks) are their defaults.
    type: list
    elements: dict
  state:
    description:
      - V(present) creates pods that keep running. V(running) also waits until they are ready.
      - V(completed) creates pods that run once, waits until the tasks have finished and fails unless each exited with code 0. It replaces a pod that is to
        keep running, so start a task that is collected later with V(completed) and O(wait=false).
      - V(absent) deletes the tasks, or all tasks of the O(set) if neither O(name) nor O(tasks) is set.
    type: str
    choices: [present, running, completed, absent]
    default: running
  wait:
    description: Wait for the tasks. Defaults to V(true), except for the state V(present), which waits for deletions only.
    type: bool
  wait_timeout:
    description: Timeout of the wait for all tasks together, in seconds. Defaults to 300, plus all attempts' timeouts for tasks that complete.
    type: int
  wait_sleep:
    description: Polling interval in seconds if watching is forbidden.
    type: int
    default: 5
  set:
    description: Name of the set to which the tasks belong. With O(state=absent) and without tasks, all of its tasks in O(namespace) are deleted.
    type: str
  prune:
    description: Delete the tasks of the O(set) that are not listed.
    type: bool
    default: false
  concurrency:
    description: Maximum number of tasks in progress at the same time.
    type: int
    default: 100
  on_error:
    description:
      - After a failure, V(continue) with the other tasks or V(stop) them at once.
      - V(stop) starts no further task (state V(skipped), reason V(NotStarted)) and deletes those that have not finished (state V(stopped), reason V(Stopped)).
        Tasks that were running before and must keep running are left alone.
    type: str
    choices: [continue, stop]
    default: continue
  stop_grace:
    description: Deletion grace period in seconds of tasks that O(on_error=stop) stops. Defaults to O(grace_period), then to that of the pod.
    type: int
  on_cancel:
    description:
      - If the run is cancelled (Ctrl-C, SIGTERM, the O(ignore:timeout) of the Ansible task, a job cancelled in AWX), V(keep) the pods, so that the next run
        resumes them, or V(delete) the pods and Jobs that this run started and that have not finished.
      - One line on the standard error says what is left. A process that is killed by SIGKILL with its workers can do neither.
      - Ansible also kills a task whose O(ignore:async) expires by SIGKILL. Set O(timeout) and O(wait_timeout) to less than O(ignore:async).
    type: str
    choices: [keep, delete]
    default: keep
  image_policy:
    description:
      - Images that the tasks may run, checked before the first request. It applies to every container, init container and image volume of each task.
      - The whole run fails, with the reason V(ImageRefused), if one image is refused. Set at least one rule.
    type: dict
    suboptions:
      registries:
        description: Registries or repositories from which images are allowed, as HOST[:PORT][/PATH]. V(docker.io/library) has the official images.
        type: list
        elements: str
      require_digest:
        description: Whether each image must have a sha256 or sha512 digest.
        type: bool
        default: false
      reports:
        description:
          - Reports of a scanner, of which one must be about each image, by its digest if it has one, else by its tag. JSON of Trivy, or SARIF 2.1.0 as
            Trivy writes it.
          - A directory contains reports in its files C(*.json) and C(*.sarif). Several reports about an image all count.
        type: list
        elements: path
      severities:
        description: Severities of findings for which an image is refused, V([HIGH, CRITICAL]) by default.
        type: list
        elements: str
        choices: [UNKNOWN, LOW, MEDIUM, HIGH, CRITICAL]
      ignore:
        description: IDs of findings to ignore, such as V(CVE-2024-3094).
        type: list
        elements: str
      ignore_unfixed:
        description: Whether to ignore vulnerabilities without a fixed version. SARIF does not say which are.
        type: bool
      max_age:
        description: Maximum age of a report in seconds. A report without a date, such as SARIF of Trivy, then does not count.
        type: int
      public_keys:
        description: Files with public keys in PEM, of which one must have signed each image. Requires the Python library C(cryptography).
        type: list
        elements: path
      signatures:
        description: Files with signatures, as C(cosign download signature) writes them.
        type: list
        elements: path
      command:
        description:
          - Command that is run once for each image, which is its last argument, also in check mode. The exit code 0 allows the image.
          - Any other exit code, a signal and the timeout refuse it, and the error contains the end of its output.
        type: list
        elements: str
      command_timeout:
        description: Timeout of the command in seconds, V(60) by default.
        type: int
  full:
    description: Return the pods' manifests for a batch as well.
    type: bool
    default: false
  report:
    description:
      - File to which a report of the run is written when the tasks have finished or failed, as one HTML page without scripts. It shows the timeline of each
        task and attempt, the events and the failures, and the logs that O(logs) or a failure collects.
      - A new file can be read by its owner only, an existing one keeps its mode. The file does not count as a change, and check mode does not write it.
      - A relative path is relative to the playbook. If the module runs on another host, the file is on that host.
    type: path
  trace:
    description:
      - Trace of OpenTelemetry that the run belongs to. The containers of each task get its context in the environment variable C(TRACEPARENT), unless they have
        that variable already, so what they record becomes a part of the trace.
      - When the tasks have finished or failed, the spans of the run are sent to a collector, one for each task, attempt and phase that the run brought about.
        A collector that does not take them is a warning.
      - A task whose containers have a C(TRACEPARENT) of their own has no span.
      - Check mode sends nothing. A task does not run again because the trace differs.
    type: dict
    suboptions:
      endpoint:
        description: URL of a collector that receives OTLP over HTTP with JSON, such as V(http://collector:4318). Credentials belong in O(trace.headers).
        type: str
        required: true
      parent:
        description:
          - Context of the span to which the run belongs, in the form of C(traceparent) of the W3C.
          - Defaults to the environment variable C(TRACEPARENT) of the process, if it is valid, else to a new trace.
        type: str
      headers:
        description: HTTP headers of the requests to the collector, such as those with credentials.
        type: dict
  runtime:
    description:
      - What runs the tasks. V(podman) is the Podman 4.3 or later of the host on which the Ansible task runs, and of its remote user.
      - V(auto) means V(kubernetes) if a cluster is configured and responds, else V(podman) with a warning.
      - Options that Podman has no equivalent for are refused before anything starts.
    type: str
    choices: [auto, kubernetes, podman]
    default: kubernetes
  clusters:
    description:
      - Contexts of the kubeconfig whose clusters run the tasks. Each task runs in one of them, and one that exists stays in its cluster.
      - A cluster that cannot be reached or has no room is left out with a warning. A task that was started in a cluster that cannot be reached is not started
        elsewhere, and fails with the reason V(ClusterUnreachable).
      - For each task, a ConfigMap in every cluster names the one in which it was started. V(absent) deletes the tasks in all clusters.
      - Not with O(context), O(host), O(report) and O(runtime).
    type: list
    elements: str
  min_clusters:
    description:
      - Number of O(clusters) that must be reachable. With more than half of them, a task cannot run in two clusters, whichever were unreachable before.
    type: int
    default: 1
"""

EXAMPLES = r"""
- name: Run a task to completion and collect its log
  podwright.core.task_pod:
    name: hello
    namespace: default
    image: busybox
    image_pull_policy: IfNotPresent
    command: [echo, hello]
    state: completed
    logs: collect
  register: hello

- name: Run a batch with resource limits, three tasks at a time
  podwright.core.task_pod:
    namespace: default
    image: busybox
    image_pull_policy: IfNotPresent
    resources:
      limits:
        cpu: 200m
        memory: 64Mi
    state: completed
    concurrency: 3
    tasks:
      - name: count-1
        command: [seq, "1"]
      - name: count-2
        command: [seq, "2"]
      - name: count-3
        kind: Job
        command: [seq, "3"]

- name: Build, then test what was built
  podwright.core.task_pod:
    namespace: default
    image: busybox
    image_pull_policy: IfNotPresent
    state: completed
    tasks:
      - name: build
        command: [echo, built]
      - name: test
        command: [sh, -c, "echo testing what pod $PODWRIGHT_NEED_BUILD_POD built"]
        needs: [build]

- name: Run a coordinator and a worker that share a directory
  podwright.core.task_pod:
    name: team
    namespace: default
    image: busybox
    image_pull_policy: IfNotPresent
    command: [sh, -c, "until [ -e /work/done ]; do sleep 0.1; done; cat /work/done"]
    shared_workspace: /work
    containers:
      - name: worker
        command: [sh, -c, "echo finished > /work/done.part; mv /work/done.part /work/done; sleep 60"]
    termination_grace_period: 1
    state: completed
    logs: collect

- name: Run a task that may only reach DNS and one network, and keep only its record
  podwright.core.task_pod:
    name: fetch
    namespace: default
    image: busybox
    image_pull_policy: IfNotPresent
    command: [echo, fetched]
    network:
      egress: [dns, {cidr: 10.20.0.0/16, ports: [443]}]
    state: completed
    cleanup: on_success

- name: Start a task that may have at most ten children
  podwright.core.task_pod:
    name: lead
    namespace: default
    image: busybox
    image_pull_policy: IfNotPresent
    command: [sleep, "600"]
    max_children: 10

- name: Start a child, which Kubernetes deletes with its parent
  podwright.core.task_pod:
    name: follower
    namespace: default
    image: busybox
    image_pull_policy: IfNotPresent
    command: [sleep, "600"]
    parent: lead
"""

RETURN = r"""
runtime:
  description: What runs the tasks.
  returned: unless the options are invalid
  type: dict
  contains:
    name:
      description: V(kubernetes) or V(podman).
      type: str
      returned: always
    reason:
      description: Why it was chosen.
      type: str
      returned: always
clusters:
  description: The clusters of O(clusters).
  returned: with O(clusters)
  type: list
  elements: dict
  contains:
    name:
      description: Context of the cluster.
      type: str
      returned: always
    server:
      description: URL of its API server.
      type: str
      returned: always
    reachable:
      description: Whether it could be reached until the end.
      type: bool
      returned: always
    msg:
      description: Why it was left out; empty if it was not.
      type: str
      returned: always
    tasks:
      description: Number of tasks in the result that are in this cluster.
      type: int
      returned: always
tasks:
  description: Results of the tasks. The values of a single task are also returned at the top level.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the task.
      type: str
      returned: always
    namespace:
      description: Namespace of the task.
      type: str
      returned: always
    cluster:
      description: Context of the cluster of the task. With O(state=absent), a task has an entry for each cluster that had it.
      type: str
      returned: with O(clusters)
    uid:
      description: UID of the Pod or Job.
      type: str
      returned: always
    kind:
      description: V(Pod) or V(Job).
      type: str
      returned: always
    phase:
      description: Phase of the pod, which can lag behind RV(tasks[].state).
      type: str
      returned: always
    state:
      description:
        - State of the task, one of V(absent), V(pending), V(running), V(succeeded), V(failed), V(deleting), V(stopped) and V(skipped).
        - V(stopped) and V(skipped) tasks have not failed by themselves. A stopped task was deleted because another one failed, a skipped one did not start, or
          exited as O(skip_on) says.
      type: str
      returned: always
    reason:
      description: Reason of the state, as in the Kubernetes API; empty if there is none.
      type: str
      returned: always
    recorded:
      description: Whether the result comes from the task's record because its pod is deleted.
      returned: if it does
      type: bool
    rc:
      description:
        - Exit code of the task's container; null if it has not terminated.
        - At the top of the result, ansible-core 2.21 omits it if it is null. Test RV(tasks[].rc) there, or whether the result is a success.
      type: int
      returned: always
    exit_codes:
      description: Exit codes of the terminated containers.
      type: dict
      returned: always
    node:
      description: Node to which the pod was scheduled.
      type: str
      returned: always
    pod_ip:
      description: IP address of the pod.
      type: str
      returned: always
    attempt:
      description: Number of the attempt.
      type: int
      returned: always
    started_at:
      description: Start time of the task's container.
      type: str
      returned: always
    finished_at:
      description: Termination time of the task's container.
      type: str
      returned: always
    duration:
      description: Run time of the task's container in seconds.
      type: float
      returned: always
    logs:
      description: Log of the task with O(logs), or the last lines if it failed or its result is RV(tasks[].recorded).
      type: str
      returned: always
    container_logs:
      description:
        - Logs of its other containers with O(logs), by the name of the container. Without O(logs), the last lines of one that failed and kept the task from
          starting.
      type: dict
      returned: if it has other containers that have started
    results:
      description: Results of the task by name, each as text or as the value of its JSON. Not returned at the top level, whose C(results) Ansible renames.
      type: dict
      returned: with O(results)
    artifacts:
      description: Artifacts of the task.
      type: list
      elements: dict
      returned: with O(artifacts)
      contains:
        path:
          description: Path in the container.
          type: str
          returned: always
        dest:
          description: The option O(artifacts[].dest).
          type: str
          returned: always
        target:
          description: Absolute path of the copy. A file is copied into RV(tasks[].artifacts[].dest) if that is a directory.
          type: str
          returned: if the task left it
        exists:
          description: Whether the task left it.
          type: bool
          returned: always
        changed:
          description: Whether this run changed files on the host that runs this task.
          type: bool
          returned: always
        bytes:
          description: Bytes that were copied.
          type: int
          returned: if it was compared in this run
        files:
          description: Numbers of files that were C(copied) and C(unchanged).
          type: dict
          returned: if it was compared in this run
        checksum:
          description: The sha256 of a file.
          type: str
          returned: for a file
    events:
      description: Events of a failed task.
      type: list
      elements: dict
      returned: always
    indexes:
      description:
        - The latest pod of each index, a mapping with C(index), C(state), C(reason), C(rc), C(pod_name), C(node) and, with O(logs), C(logs) and
          C(container_logs). All logs together have at most 1 MiB.
        - With O(results), C(results) has those of the index.
        - A record that replaces the Job has them without logs, unless there are too many.
      type: list
      elements: dict
      returned: for a Job with O(completion_mode=Indexed)
    msg:
      description: Error message, or why the task was stopped or skipped.
      type: str
      returned: on failure
    pod:
      description: Manifest of the pod, as RV(pod).
      type: dict
      returned: for a batch with O(full)
pod:
  description: Manifest and status of the pod of a single task, without literal values of environment variables.
  returned: for a single task
  type: dict
report:
  description: Absolute path of the report.
  returned: if O(report) is set and was written
  type: str
trace_id:
  description: Trace that the run belongs to.
  returned: if O(trace) is set
  type: str
  sample: 0af7651916cd43dd8448eb211c80319c
summary:
  description: Number of tasks in each state, and in total.
  returned: always
  type: dict
  sample: {succeeded: 8, total: 8}
plan:
  description: Changes that were made, or would be made in check mode; after a failure without the manifests of created objects.
  returned: always
  type: list
  elements: dict
plan_digest:
  description: Digest of the plan for its review, see O(expect).
  returned: in check mode, or if O(expect) or O(plan_file) is set
  type: str
duration:
  description: Duration of the invocation in seconds.
  returned: always
  type: float
"""

from ansible_collections.podwright.core.plugins.module_utils import _bytecode  # pylint: disable=unused-import
from ansible_collections.podwright.core.plugins.module_utils._engine.module_edge import run_module
from ansible_collections.podwright.core.plugins.module_utils._engine.operations.task_pod import OPERATION


def main():
    """Run the operation as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
