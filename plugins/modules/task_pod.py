#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: task_pod
short_description: Run tasks in pods
version_added: 0.1.0
author: Podwright contributors (@podwright)
description:
  - Runs a task, or a batch of them, in pods or Jobs, waits for it with the cluster's own events and says what went wrong where it did.
  - A task is known by its name. Run again, a task that is there with the same options is left as it is, and an interrupted run goes on
    where it was.
  - Pods are made as strict as the namespace's Pod Security level asks, get no service account token and end at a deadline if they complete.
  - A failure tells the reason, the last events and the end of the log.
extends_documentation_fragment:
  - podwright.core.connection
  - podwright.core.pod
  - podwright.core.attributes
options:
  name:
    description: Name of the task, of its pod or Job, and the value of its label C(podwright.io/task).
    type: str
  generate_name:
    description: Beginning of a name that is made anew in each run. Such a task is not idempotent.
    type: str

  namespace:
    description: Namespace of the task. Where it is not given, the context's, else V(default).
    type: str
  kind:
    description: Whether the task is a V(Pod) or a V(Job), in any case.
    type: str
    default: Pod
  timeout:
    description: Seconds that an attempt may take. Without it, 3600 for tasks that complete and no limit for those that keep running.
    type: int
  retries:
    description: How many more attempts a failed task gets.
    type: int
    default: 0
  rerun:
    description:
      - When a task that is there already is run again.
      - V(never) leaves it; V(on_change) runs it again when its options changed, or when it was ended from outside (eviction, preemption, a lost
        node); V(on_failure) also when it failed; V(always) also when it succeeded. A task that is still running with the same options is never
        disturbed.
    type: str
    choices: [never, on_change, on_failure, always]
    default: on_change
  on_immutable:
    description: What to do when the options of an existing task changed and a pod cannot be changed in place; resources of running pods can.
    type: str
    choices: [fail, replace]
    default: replace
  cleanup:
    description: When to delete the pod or Job after the task ended. Its result is remembered, unless O(record) is false.
    type: str
    choices: [always, on_success, on_failure, never]
    default: never
  ttl:
    description: Seconds after its end for which the task is kept. Kubernetes deletes expired Jobs.
    type: int
  grace_period:
    description: Seconds that a task has for its end when it is deleted.
    type: int
  force:
    description: Whether to kill it at once when it is deleted.
    type: bool
    default: false
  logs:
    description:
      - Whether to V(collect) the log of the task's container into the result (at most 1 MiB).
      - V(stream) does the same, and on the controller shows each line in the terminal as it comes, on standard error, after the task's name.
    type: str
    choices: [none, collect, stream]
    default: none
  log_tail:
    description: How many lines of log an error message shows.
    type: int
    default: 20
  record:
    description:
      - Whether to remember the task's result (exit code, times, the end of the log) in a ConfigMap, so that it is not run again once its pod is gone.
        Without it, that is so where O(cleanup) deletes the pod.
      - M(podwright.core.pod_gc) deletes records by age; V(absent) deletes the record with the task.
    type: bool
  propagation_policy:
    description: What happens to what belongs to the task when it is deleted. V(Foreground) deletes it first, V(Orphan) leaves it.
    type: str
    choices: [Background, Foreground, Orphan]
    default: Background
  failure_grace:
    description: Seconds that a problem which may pass (an image that cannot be pulled, a crash loop) may last before the task counts as failed.
    type: int
    default: 30

  stdin:
    description:
      - Text given to the task's standard input. It needs O(command), and a shell in the image.
      - It is kept in a Secret that goes with the task, so that an interrupted run can go on.
    type: str
  restart_policy:
    description: When a container that ended is started again. V(Never) for tasks that complete and V(Always) for others where it is not given.
    type: str
    choices: [Always, OnFailure, Never]
  parent:
    description:
      - The object that the task belongs to, the name of a pod or a mapping with C(name), C(kind), C(api_version) and C(uid). When it is deleted, so is the
        task. It must be in the task's namespace, or in none.
    type: raw
  max_depth:
    description: How many levels of tasks there may be below this one.
    type: int
  max_children:
    description: How many tasks that have not ended may belong to this one, and to each of those below it that says nothing else.
    type: int
  network:
    description:
      - Which traffic the task may have. V(default) is what the namespace allows; V(isolated) is none.
      - A mapping with lists C(ingress) and C(egress) allows what they name and nothing else. An entry is V(dns), V(same_namespace), a range of
        addresses, or a mapping with C(cidr) and C(except), or with C(namespace) (its name) and C(pods) (labels), and with C(ports) (C(443), C(53/UDP)).
      - The NetworkPolicy exists before the pod and is deleted with it. It needs a network plugin that enforces policies.
    type: raw
    default: default
  queue:
    description:
      - Name of a Kueue LocalQueue in the task's namespace that admits the task. It must exist.
      - Tested with Kueue's definitions only, not with Kueue itself.
    type: str
  tasks:
    description: A batch of tasks. Every task option may stand in an item; what stands beside O(tasks) is their default.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the task, of its pod or Job, and the value of its label C(podwright.io/task).
        type: str
      generate_name:
        description: Beginning of a name that is made anew in each run. Such a task is not idempotent.
        type: str

      namespace:
        description: Namespace of the task. Where it is not given, the context's, else V(default).
        type: str
      kind:
        description: Whether the task is a V(Pod) or a V(Job), in any case.
        type: str
      timeout:
        description: Seconds that an attempt may take. Without it, 3600 for tasks that complete and no limit for those that keep running.
        type: int
      retries:
        description: How many more attempts a failed task gets.
        type: int
      rerun:
        description:
          - When a task that is there already is run again.
          - V(never) leaves it; V(on_change) runs it again when its options changed, or when it was ended from outside (eviction, preemption, a lost
            node); V(on_failure) also when it failed; V(always) also when it succeeded. A task that is still running with the same options is never
            disturbed.
        type: str
        choices: [never, on_change, on_failure, always]
      on_immutable:
        description: What to do when the options of an existing task changed and a pod cannot be changed in place; resources of running pods can.
        type: str
        choices: [fail, replace]
      cleanup:
        description: When to delete the pod or Job after the task ended. Its result is remembered, unless C(record) is false.
        type: str
        choices: [always, on_success, on_failure, never]
      ttl:
        description: Seconds after its end for which the task is kept. Kubernetes deletes expired Jobs.
        type: int
      grace_period:
        description: Seconds that a task has for its end when it is deleted.
        type: int
      force:
        description: Whether to kill it at once when it is deleted.
        type: bool
      logs:
        description:
          - Whether to V(collect) the log of the task's container into the result (at most 1 MiB).
          - V(stream) does the same, and on the controller shows each line in the terminal as it comes, on standard error, after the task's name.
        type: str
        choices: [none, collect, stream]
      log_tail:
        description: How many lines of log an error message shows.
        type: int
      record:
        description:
          - Whether to remember the task's result (exit code, times, the end of the log) in a ConfigMap, so that it is not run again once its pod is gone.
            Without it, that is so where C(cleanup) deletes the pod.
          - M(podwright.core.pod_gc) deletes records by age; V(absent) deletes the record with the task.
        type: bool
      propagation_policy:
        description: What happens to what belongs to the task when it is deleted. V(Foreground) deletes it first, V(Orphan) leaves it.
        type: str
        choices: [Background, Foreground, Orphan]
      failure_grace:
        description: Seconds that a problem which may pass (an image that cannot be pulled, a crash loop) may last before the task counts as failed.
        type: int

      image:
        description: Image of the task's container.
        type: str
      command:
        description: Command of the container, as a list of words; no shell splits it. The image's entry point where it is not given.
        type: raw
      args:
        description: Arguments of the command, or of the image's entry point.
        type: list
        elements: str
      env:
        description:
          - "Environment variables. A value may be a mapping, one of C({secret: NAME, key: KEY}), C({config_map: NAME, key: KEY}),
            C({field: PATH}) and C({resource: NAME})."
          - Literal values are not shown in results, since they may be secrets; a reference to a Secret keeps them out of the pod's manifest, too.
        type: dict
      env_from:
        description: "Sources of environment variables, each C({secret: NAME}) or C({config_map: NAME}), with C(prefix) and C(optional)."
        type: list
        elements: dict
      working_dir:
        description: Folder the command runs in.
        type: str
      ports:
        description: Ports of the container, each a number or a mapping with C(container_port), C(name) and C(protocol).
        type: list
        elements: raw
      resources:
        description: What the container may use and what is set aside for it.
        type: dict
        suboptions:
          limits:
            description: Quantities by resource that it may use.
            type: dict
          requests:
            description: Quantities by resource that are set aside for it.
            type: dict
      request_ratio:
        description: Share of the cpu and memory limits that is requested where only limits are given. Other resources are requested whole.
        type: float
      readiness_probe:
        description:
          - Tells when the container is ready. One of C(http) (C(PATH:PORT)), C(tcp) (port), C(grpc) (port) and C(exec) (command), with
            C(initial_delay), C(interval), C(timeout), C(success_threshold) and C(failure_threshold); or Kubernetes' own form.
        type: dict
      liveness_probe:
        description: Tells when the container must be started anew; as C(readiness_probe).
        type: dict
      startup_probe:
        description: Tells when the container has started; as C(readiness_probe).
        type: dict
      image_pull_policy:
        description: When to pull the image. Kubernetes' default where it is not given.
        type: str
        choices: [Always, IfNotPresent, Never]
      lifecycle:
        description: What to run after the start and before the end, C(post_start) and C(pre_stop), in Kubernetes' form.
        type: dict

      stdin:
        description:
          - Text given to the task's standard input. It needs O(command), and a shell in the image.
          - It is kept in a Secret that goes with the task, so that an interrupted run can go on.
        type: str
      containers:
        description: Further containers beside the task's own. Where the task completes they are sidecars that end with it.
        type: list
        elements: dict
        suboptions:
          name:
            description: Name of the container.
            type: str
            required: true

          image:
            description: Image of the task's container.
            type: str
          command:
            description: Command of the container, as a list of words; no shell splits it. The image's entry point where it is not given.
            type: raw
          args:
            description: Arguments of the command, or of the image's entry point.
            type: list
            elements: str
          env:
            description:
              - "Environment variables. A value may be a mapping, one of C({secret: NAME, key: KEY}), C({config_map: NAME, key: KEY}),
                C({field: PATH}) and C({resource: NAME})."
              - Literal values are not shown in results, since they may be secrets; a reference to a Secret keeps them out of the pod's manifest, too.
            type: dict
          env_from:
            description: "Sources of environment variables, each C({secret: NAME}) or C({config_map: NAME}), with C(prefix) and C(optional)."
            type: list
            elements: dict
          working_dir:
            description: Folder the command runs in.
            type: str
          ports:
            description: Ports of the container, each a number or a mapping with C(container_port), C(name) and C(protocol).
            type: list
            elements: raw
          resources:
            description: What the container may use and what is set aside for it.
            type: dict
            suboptions:
              limits:
                description: Quantities by resource that it may use.
                type: dict
              requests:
                description: Quantities by resource that are set aside for it.
                type: dict
          request_ratio:
            description: Share of the cpu and memory limits that is requested where only limits are given. Other resources are requested whole.
            type: float
            default: 0.5
          readiness_probe:
            description:
              - Tells when the container is ready. One of C(http) (C(PATH:PORT)), C(tcp) (port), C(grpc) (port) and C(exec) (command), with
                C(initial_delay), C(interval), C(timeout), C(success_threshold) and C(failure_threshold); or Kubernetes' own form.
            type: dict
          liveness_probe:
            description: Tells when the container must be started anew; as C(readiness_probe).
            type: dict
          startup_probe:
            description: Tells when the container has started; as C(readiness_probe).
            type: dict
          image_pull_policy:
            description: When to pull the image. Kubernetes' default where it is not given.
            type: str
            choices: [Always, IfNotPresent, Never]
          lifecycle:
            description: What to run after the start and before the end, C(post_start) and C(pre_stop), in Kubernetes' form.
            type: dict
      init_containers:
        description: Containers that run to their end before the task's own starts.
        type: list
        elements: dict
        suboptions:
          name:
            description: Name of the container.
            type: str
            required: true

          image:
            description: Image of the task's container.
            type: str
          command:
            description: Command of the container, as a list of words; no shell splits it. The image's entry point where it is not given.
            type: raw
          args:
            description: Arguments of the command, or of the image's entry point.
            type: list
            elements: str
          env:
            description:
              - "Environment variables. A value may be a mapping, one of C({secret: NAME, key: KEY}), C({config_map: NAME, key: KEY}),
                C({field: PATH}) and C({resource: NAME})."
              - Literal values are not shown in results, since they may be secrets; a reference to a Secret keeps them out of the pod's manifest, too.
            type: dict
          env_from:
            description: "Sources of environment variables, each C({secret: NAME}) or C({config_map: NAME}), with C(prefix) and C(optional)."
            type: list
            elements: dict
          working_dir:
            description: Folder the command runs in.
            type: str
          ports:
            description: Ports of the container, each a number or a mapping with C(container_port), C(name) and C(protocol).
            type: list
            elements: raw
          resources:
            description: What the container may use and what is set aside for it.
            type: dict
            suboptions:
              limits:
                description: Quantities by resource that it may use.
                type: dict
              requests:
                description: Quantities by resource that are set aside for it.
                type: dict
          request_ratio:
            description: Share of the cpu and memory limits that is requested where only limits are given. Other resources are requested whole.
            type: float
            default: 0.5
          readiness_probe:
            description:
              - Tells when the container is ready. One of C(http) (C(PATH:PORT)), C(tcp) (port), C(grpc) (port) and C(exec) (command), with
                C(initial_delay), C(interval), C(timeout), C(success_threshold) and C(failure_threshold); or Kubernetes' own form.
            type: dict
          liveness_probe:
            description: Tells when the container must be started anew; as C(readiness_probe).
            type: dict
          startup_probe:
            description: Tells when the container has started; as C(readiness_probe).
            type: dict
          image_pull_policy:
            description: When to pull the image. Kubernetes' default where it is not given.
            type: str
            choices: [Always, IfNotPresent, Never]
          lifecycle:
            description: What to run after the start and before the end, C(post_start) and C(pre_stop), in Kubernetes' form.
            type: dict
      shared_workspace:
        description: Path of an empty folder that all containers share.
        type: str
      volumes:
        description: Volumes and where all containers mount them. Further entries of a name without a source mount it elsewhere, too.
        type: list
        elements: dict
        suboptions:
          name:
            description: Name of the volume.
            type: str
            required: true
          mount_path:
            description: Where the containers see it.
            type: str
          read_only:
            description: Whether they may only read it.
            type: bool
            default: false
          sub_path:
            description: The folder or file of the volume to mount.
            type: str
          empty_dir:
            description: An empty folder; V(true), or C({medium, size_limit}).
            type: raw
          host_path:
            description: A path of the node, or C({path, type}).
            type: raw
          nfs:
            description: A share as C(SERVER:PATH), or C({server, path, read_only}).
            type: raw
          claim:
            description: Name of a PersistentVolumeClaim.
            type: raw
          ephemeral:
            description: A claim of the pod's own, C({storage, storage_class, access_modes}) or Kubernetes' form.
            type: dict
          config_map:
            description: Name of a ConfigMap, or Kubernetes' form.
            type: raw
          secret:
            description: Name of a Secret, or Kubernetes' form.
            type: raw
          projected:
            description: Several sources in one, in Kubernetes' form.
            type: dict
          csi:
            description: A volume of a CSI driver, in Kubernetes' form.
            type: dict
      spiffe:
        description:
          - Gives all containers the SPIFFE Workload API, from which programs get the identity of their pod, by the volume of the SPIFFE CSI driver, and its
            socket's place in C(SPIFFE_ENDPOINT_SOCKET), unless O(tasks[].env) names that.
          - A mapping may set C(driver) (V(csi.spiffe.io)), C(mount_path) (V(/spiffe-workload-api))
            and C(socket) (V(spire-agent.sock)), the name in that folder.
          - The driver must run on the node. Tested as far as the pod goes, without a driver.
        type: raw
      service_account:
        description: Service account of the pod.
        type: str
      automount_service_account_token:
        description: Whether the containers get the service account's token.
        type: bool
      image_pull_secrets:
        description: Names of the Secrets to pull images with.
        type: list
        elements: str
      security_profile:
        description:
          - How strict the pod is. V(auto) is as strict as the namespace's Pod Security level asks, and at least V(baseline).
          - V(baseline) uses the runtime's seccomp profile and forbids privilege escalation; V(restricted) also drops all capabilities and runs
            as user 65532 where O(run_as_user) names none; V(privileged) sets nothing.
        type: str
        choices: [auto, restricted, baseline, privileged]
      run_as_user:
        description: Number of the user to run as, or V(image) for the image's own also where the profile would choose one.
        type: raw
      run_as_group:
        description: Number of the group to run as.
        type: int
      fs_group:
        description: Number of the group that owns the volumes.
        type: int
      selinux_options:
        description: SELinux options, or V(auto) for a level of its own for each task.
        type: raw
      node_selector:
        description: Labels that the node must have.
        type: dict
      affinity:
        description: Affinity in Kubernetes' form; keys may be in snake_case.
        type: dict
      tolerations:
        description: Tolerations in Kubernetes' form; keys may be in snake_case.
        type: list
        elements: dict
      priority_class:
        description: Priority class of the pod.
        type: str
      runtime_class:
        description: Runtime class of the pod.
        type: str
      restart_policy:
        description: When a container that ended is started again. V(Never) for tasks that complete and V(Always) for others where it is not given.
        type: str
        choices: [Always, OnFailure, Never]
      termination_grace_period:
        description: Seconds that the containers have for their end.
        type: int
      host_aliases:
        description: Further lines of the hosts file, each C({ip, hostnames}).
        type: list
        elements: dict
      dns:
        description: Name resolution, with C(policy), C(nameservers), C(searches), C(options), C(hostname) and C(subdomain).
        type: dict
      labels:
        description: Further labels.
        type: dict
      annotations:
        description: Further annotations.
        type: dict
      definition:
        description: A manifest that the options are merged onto.
        type: dict
      patches:
        description: RFC 6902 operations on the manifest that results.
        type: list
        elements: dict
      parent:
        description:
          - The object that the task belongs to, the name of a pod or a mapping with C(name), C(kind), C(api_version) and C(uid). When it is deleted, so is the
            task. It must be in the task's namespace, or in none.
        type: raw
      max_depth:
        description: How many levels of tasks there may be below this one.
        type: int
      max_children:
        description: How many tasks that have not ended may belong to this one, and to each of those below it that says nothing else.
        type: int
      network:
        description:
          - Which traffic the task may have. V(default) is what the namespace allows; V(isolated) is none.
          - A mapping with lists C(ingress) and C(egress) allows what they name and nothing else. An entry is V(dns), V(same_namespace), a range of
            addresses, or a mapping with C(cidr) and C(except), or with C(namespace) (its name) and C(pods) (labels), and with C(ports) (C(443), C(53/UDP)).
          - The NetworkPolicy exists before the pod and is deleted with it. It needs a network plugin that enforces policies.
        type: raw
      queue:
        description:
          - Name of a Kueue LocalQueue in the task's namespace that admits the task. It must exist.
          - Tested with Kueue's definitions only, not with Kueue itself.
        type: str
  state:
    description:
      - V(present) makes the pods, V(running) also waits until they are ready, V(completed) waits until the tasks ended and fails where one
        did not end with exit code 0, V(absent) deletes them.
    type: str
    choices: [present, running, completed, absent]
    default: running
  wait:
    description: Whether to wait. Done by default for V(running) and V(completed).
    type: bool
  wait_timeout:
    description:
      - Seconds to wait for all tasks together.
      - By default 300, and for tasks that complete what all their attempts may take, plus 300.
    type: int
  wait_sleep:
    description: Seconds between two looks where the cluster allows no watch.
    type: int
    default: 5
  set:
    description: Name of the set that the tasks belong to.
    type: str
  prune:
    description: Whether the tasks are the whole of their O(set), so that others of it are deleted.
    type: bool
    default: false
  concurrency:
    description: How many tasks may be under way at the same time.
    type: int
    default: 100
  on_error:
    description: Whether to V(continue) with the other tasks when one failed, or to V(stop) starting more.
    type: str
    choices: [continue, stop]
    default: continue
  full:
    description: Whether to return the pods' manifests in a batch, too.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Run a task to its end and get its output
  podwright.core.task_pod:
    name: hello
    namespace: default
    image: busybox
    image_pull_policy: IfNotPresent
    command: [echo, hello]
    state: completed
    logs: collect
  register: hello

- name: A batch with limits, three at a time
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

- name: A coordinator and a worker that share a folder
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

- name: A task that may only ask for names and talk to one range, and leaves nothing but its record
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

- name: A task that others may belong to
  podwright.core.task_pod:
    name: lead
    namespace: default
    image: busybox
    image_pull_policy: IfNotPresent
    command: [sleep, "600"]
    max_children: 10

- name: One that goes when it does
  podwright.core.task_pod:
    name: follower
    namespace: default
    image: busybox
    image_pull_policy: IfNotPresent
    command: [sleep, "600"]
    parent: lead
"""

RETURN = r"""
tasks:
  description: What became of each task.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the task.
      type: str
      returned: always
    namespace:
      description: Its namespace.
      type: str
      returned: always
    uid:
      description: Uid of its pod or Job.
      type: str
      returned: always
    kind:
      description: V(Pod) or V(Job).
      type: str
      returned: always
    phase:
      description: Phase of its pod, which may lag behind the task.
      type: str
      returned: always
    state:
      description: One of V(absent), V(pending), V(running), V(succeeded), V(failed) and V(deleting).
      type: str
      returned: always
    reason:
      description: Why, in one word of the API's.
      type: str
      returned: always
    recorded:
      description: That its pod is gone and its record told the result.
      returned: where it did
      type: bool
    rc:
      description: Exit code of the task's container.
      type: int
      returned: always
    exit_codes:
      description: Exit code by container, for those that ended.
      type: dict
      returned: always
    node:
      description: The node it ran on.
      type: str
      returned: always
    pod_ip:
      description: Address of the pod.
      type: str
      returned: always
    attempt:
      description: Number of the attempt.
      type: int
      returned: always
    started_at:
      description: When the task's container started.
      type: str
      returned: always
    finished_at:
      description: When the task's container ended.
      type: str
      returned: always
    duration:
      description: Seconds between the two.
      type: float
      returned: always
    logs:
      description: The log where it was asked for, or its end where the task failed.
      type: str
      returned: always
    events:
      description: Events about a task that failed.
      type: list
      elements: dict
      returned: always
    msg:
      description: What went wrong.
      type: str
      returned: on failure
    pod:
      description: The pod as last seen, without the values of environment variables.
      type: dict
      returned: for a single task, or with O(full)
summary:
  description: How many tasks are in each state, and in all.
  returned: always
  type: dict
  sample: {succeeded: 8, total: 8}
plan:
  description: What was done, or in check mode would be, task by task.
  returned: always
  type: list
  elements: dict
duration:
  description: Seconds it all took.
  returned: always
  type: float
"""

from ansible_collections.podwright.core.plugins.module_utils.module_edge import run_module
from ansible_collections.podwright.core.plugins.module_utils.operations.task_pod import OPERATION


def main():
    """Run the operation as a module."""
    run_module(OPERATION)


if __name__ == "__main__":
    main()
