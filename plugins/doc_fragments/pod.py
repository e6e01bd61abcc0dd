# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the options that describe a pod."""

from __future__ import annotations


class ModuleDocFragment:
    """The options of a pod, of its main container and of its other containers."""

    DOCUMENTATION = r"""
options:
  <<: &container
    image:
      description: Container image.
      type: str
    command:
      description:
        - Command of the container as a list of strings, without a shell. Defaults to the image's entrypoint.
        - Kubernetes replaces V($(NAME\)) in it, in C(args) and in C(env) by the variable of that name, and C($$) by one dollar sign. Write C($$$$) for two,
          such as in a script that uses the ID of its process.
      type: raw
    args:
      description: Arguments of the command or of the image's entrypoint.
      type: list
      elements: raw
    env:
      description:
        - "Environment variables, each a literal or one of the references C({secret: NAME, key: KEY}), C({config_map: NAME, key: KEY}),
          C({field: PATH}) and C({resource: NAME})."
        - Results never show literals, since they may be secrets. A value that is known to be from a vault, and each literal of a task with C(no_log), is
          kept out of the pod's manifest as by C(secret_env).
      type: dict
    secret_env:
      description:
        - Environment variables whose values are kept in a Secret that the pod or Deployment owns, so no manifest of a pod contains them.
        - They are set before C(env), whose values can refer to them as V($(NAME\)). In their own values, Kubernetes replaces nothing.
      type: dict
    env_from:
      description: "Sources of environment variables, each C({secret: NAME}) or C({config_map: NAME}), with optional C(prefix) and C(optional)."
      type: list
      elements: dict
    working_dir:
      description: Working directory of the command.
      type: str
    ports:
      description: Ports of the container, each a number or a mapping with C(container_port), C(name) and C(protocol).
      type: list
      elements: raw
    resources:
      description: Resource requests and limits. Memory and ephemeral storage are rounded up to whole bytes.
      type: dict
      suboptions:
        limits:
          description: Resource limits, a quantity for each resource.
          type: dict
        requests:
          description: Resource requests, a quantity for each resource.
          type: dict
        claims:
          description:
            - "Names in O(resource_claims) that the container uses, or C({name, request})."
            - The task's own container uses all of them unless this is set, other containers none.
          type: list
          elements: raw
    request_ratio:
      description: Share of the cpu and memory limits to request if only limits are given. Other resources are requested in full.
      type: float
      default: 0.5
    readiness_probe:
      description:
        - Readiness probe, with one of C(http) (C(PATH:PORT)), C(tcp) (a port), C(grpc) (a port) and C(exec) (a command), and optional
          C(initial_delay), C(interval), C(timeout), C(success_threshold) and C(failure_threshold).
        - The API's own form is accepted as well.
      type: dict
    liveness_probe:
      description: Liveness probe, in the form of C(readiness_probe).
      type: dict
    startup_probe:
      description: Startup probe, in the form of C(readiness_probe).
      type: dict
    image_pull_policy:
      description: Image pull policy. Defaults to that of Kubernetes.
      type: str
      choices: [Always, IfNotPresent, Never]
    lifecycle:
      description: Lifecycle hooks C(post_start) and C(pre_stop), in the API's form.
      type: dict
    privileged:
      description: Run the container with all privileges on the node. Requires the Pod Security level V(privileged).
      type: bool
    allow_privilege_escalation:
      description:
        - Allow processes to gain more privileges than their parent. Defaults to V(false), unless O(security_profile) is V(privileged) or the container is
          privileged.
      type: bool
    capabilities:
      description: Linux capabilities, with or without C(CAP_), in any case.
      type: dict
      suboptions:
        add:
          description:
            - Capabilities to add. V(NET_BIND_SERVICE) is allowed by each Pod Security level, those of a container runtime's default except V(NET_RAW) by
              V(baseline), and others by V(privileged).
          type: list
          elements: str
        drop:
          description: Capabilities to drop. The profile V(restricted) drops V(ALL) in any case.
          type: list
          elements: str
    read_only_root_filesystem:
      description: Mount the root file system of the container read-only.
      type: bool
    proc_mount:
      description: Type of the proc mount. V(Unmasked) requires O(host_users) V(false), and the Pod Security level V(baseline).
      type: str
      choices: [Default, Unmasked]
  containers:
    description: Additional containers of the pod. If the task completes, they are sidecars that terminate with it.
    type: list
    elements: dict
    suboptions: &named_container
      name:
        description: Name of the container.
        type: str
        required: true
      run_as_user:
        description: User ID to run as. Defaults to that of the pod.
        type: raw
      run_as_group:
        description: Group ID to run as. Defaults to that of the pod.
        type: int
      run_as_non_root:
        description: Refuse to run as root. Defaults to that of the pod.
        type: bool
      selinux_options:
        description: SELinux options. Defaults to those of the pod.
        type: raw
      seccomp:
        description: Seccomp profile. Defaults to that of the pod.
        type: str
      apparmor:
        description: AppArmor profile. Defaults to that of the pod.
        type: str
      <<: *container
  init_containers:
    description: Init containers, which run to completion one after the other before the main container starts.
    type: list
    elements: dict
    suboptions: *named_container
  shared_workspace:
    description: Mount path of an empty directory that all containers share.
    type: str
  volumes:
    description: Volumes and their mounts in all containers. Repeat a name without a source to mount the same volume at another path.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the volume.
        type: str
        required: true
      mount_path:
        description: Path of the mount in the containers.
        type: str
      read_only:
        description: Mount the volume read-only.
        type: bool
        default: false
      sub_path:
        description: Directory or file of the volume to mount instead of its root.
        type: str
      empty_dir:
        description: Empty directory, V(true) or C({medium, size_limit}).
        type: raw
      host_path:
        description: Path on the node, or C({path, type}).
        type: raw
      nfs:
        description: NFS export as C(SERVER:PATH), or C({server, path, read_only}).
        type: raw
      claim:
        description: Name of a PersistentVolumeClaim.
        type: raw
      ephemeral:
        description: Generic ephemeral volume, C({storage, storage_class, access_modes}) or the API's form.
        type: dict
      config_map:
        description: Name of a ConfigMap, or the API's form. Modes may be quoted octal numbers such as V('0755'), also those of C(secret).
        type: raw
      secret:
        description: Name of a Secret, or the API's form.
        type: raw
      projected:
        description: Projected volume, in the API's form.
        type: dict
      csi:
        description: Inline CSI volume, in the API's form.
        type: dict
  spiffe:
    description:
      - Mount the SPIFFE Workload API into all containers through the SPIFFE CSI driver, and set E(SPIFFE_ENDPOINT_SOCKET) unless O(env) sets it.
      - V(true), or a mapping with C(driver) (V(csi.spiffe.io)), C(mount_path) (V(/spiffe-workload-api)) and C(socket), the name of the socket in
        that directory (V(spire-agent.sock)).
      - The nodes must run the driver. The role P(podwright.core.workload_identity#role) installs it with SPIRE.
    type: raw
  service_account:
    description: Service account of the pod. Defaults to E(PODWRIGHT_SERVICE_ACCOUNT).
    type: str
  automount_service_account_token:
    description: Mount a token of the service account into the containers.
    type: bool
    default: false
  registry:
    description:
      - Registry of images that name none, C(HOST[:PORT][/PATH]) without a scheme, which becomes their prefix. Defaults to E(PODWRIGHT_REGISTRY).
      - An image names its registry if the part before its first slash contains a dot or a colon, or is C(localhost).
    type: str
  image_pull_secrets:
    description: Names of the image pull Secrets. Defaults to E(PODWRIGHT_IMAGE_PULL_SECRETS), separated by commas.
    type: list
    elements: str
  security_profile:
    description:
      - Security settings of the pod. V(auto) follows the namespace's Pod Security level and is never looser than V(baseline).
      - V(baseline) uses the runtime's seccomp profile and forbids privilege escalation. V(restricted) also drops all capabilities and runs as user
        65532 unless O(run_as_user) is set.
      - V(privileged) sets nothing.
      - Other options override these settings. An option that the level of the namespace (V(auto)) or the profile that is set forbids is an error before
        anything is created.
    type: str
    choices: [auto, restricted, baseline, privileged]
    default: auto
  run_as_user:
    description:
      - User ID to run as, or V(image) for the image's own user even if the security profile would set one.
      - V(auto) leaves user and groups to the admission of the cluster, such as the ranges of a security context constraint in OpenShift.
    type: raw
  run_as_group:
    description: Group ID to run as.
    type: int
  run_as_non_root:
    description: Refuse to run as root. The profile V(restricted) sets it.
    type: bool
  fs_group:
    description: Group ID that owns the volumes.
    type: int
  fs_group_change_policy:
    description: When to change the group of a volume's files to O(fs_group). Defaults to V(Always).
    type: str
    choices: [Always, OnRootMismatch]
  supplemental_groups:
    description: Further group IDs of the processes.
    type: list
    elements: int
  supplemental_groups_policy:
    description: Whether the groups that the image's C(/etc/group) lists for the user are added. Requires Kubernetes 1.33 for V(Strict).
    type: str
    choices: [Merge, Strict]
  selinux_options:
    description:
      - SELinux options C(level), C(role), C(type) and C(user), or V(auto) for a separate level for each task.
      - User, role and types other than those of containers require the Pod Security level V(privileged).
    type: raw
  seccomp:
    description:
      - Seccomp profile, V(RuntimeDefault), V(localhost/PATH) for a profile of the node, or V(Unconfined), which requires the Pod Security level
        V(privileged).
    type: str
  apparmor:
    description:
      - AppArmor profile, V(RuntimeDefault), V(localhost/PROFILE) for a profile of the node, or V(Unconfined), which requires the Pod Security level
        V(privileged). Requires Kubernetes 1.30.
    type: str
  sysctls:
    description:
      - Kernel parameters of the pod, a value for each name. Those that are not safe require the Pod Security level V(privileged), and a node that allows
        them.
    type: dict
  host_network:
    description:
      - Run in the network of the node. Requires the Pod Security level V(privileged), and cannot be combined with C(network) of M(podwright.core.task_pod).
      - To resolve the names of Services, set C(policy) of O(dns) to V(ClusterFirstWithHostNet).
    type: bool
  host_pid:
    description: See the processes of the node. Requires the Pod Security level V(privileged).
    type: bool
  host_ipc:
    description: Use the IPC namespace of the node. Requires the Pod Security level V(privileged).
    type: bool
  host_users:
    description: Whether user IDs are those of the node. V(false) maps them to unprivileged ones (user namespaces, Kubernetes 1.33).
    type: bool
  share_process_namespace:
    description: Let the containers of the pod see each other's processes.
    type: bool
  node_selector:
    description: Labels that the node must have. Defaults to E(PODWRIGHT_NODE_SELECTOR), C(NAME=VALUE) separated by commas.
    type: dict
  affinity:
    description: Affinity in the API's form. Keys may be in snake_case.
    type: dict
  tolerations:
    description: Tolerations in the API's form. Keys may be in snake_case.
    type: list
    elements: dict
  topology_spread:
    description:
      - Spread of pods over the domains of a topology, each a topology key such as V(topology.kubernetes.io/zone), or a mapping with C(topology_key) and the
        other fields of the API's form. Keys may be in snake_case.
      - Defaults are C(max_skew) 1, C(when_unsatisfiable) V(ScheduleAnyway), and a C(label_selector) of the pods of the same set, the same deployment, or
        without either all tasks in the namespace.
    type: list
    elements: raw
  scheduler_name:
    description: Scheduler of the pod.
    type: str
  priority_class:
    description: Priority class of the pod.
    type: str
  preemption_policy:
    description: Preemption policy that the O(priority_class) must have, which determines that of the pod.
    type: str
    choices: [Never, PreemptLowerPriority]
  resource_claims:
    description:
      - "Claims of devices such as GPUs (dynamic resource allocation, Kubernetes 1.34): C({name, claim: NAME}) for a ResourceClaim, whose devices all its pods
        share, or C({name, template: NAME}) for a ResourceClaimTemplate, from which each pod gets a claim of its own."
      - They are waited for until they exist in the namespace of the pod and their devices are free.
    type: list
    elements: dict
  runtime_class:
    description: Runtime class of the pod.
    type: str
  termination_grace_period:
    description: Termination grace period of the pod in seconds.
    type: int
  host_aliases:
    description: Additional entries of the hosts file, each C({ip, hostnames}).
    type: list
    elements: dict
  dns:
    description:
      - DNS settings C(policy), C(nameservers), C(searches), C(options), C(hostname) and C(subdomain).
      - If C(subdomain) is the name of a headless Service that selects the pod, other pods reach it as C(HOSTNAME.SUBDOMAIN). The host name defaults to the
        name of the task, unless the task is a Job.
    type: dict
  labels:
    description: Additional labels.
    type: dict
  annotations:
    description: Additional annotations.
    type: dict
  definition:
    description:
      - Manifest onto which the options are merged. It overrides default values, those of O(security_profile) included, and options with another value
        override it, its name included.
      - Its namespace is that of the task, unless O(namespace) is set.
    type: dict
  patches:
    description: RFC 6902 operations on the resulting manifest.
    type: list
    elements: dict
"""
