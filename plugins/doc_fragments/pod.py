# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options that say what a pod is."""

from __future__ import annotations


class ModuleDocFragment:
    """The options of a pod and of its own container."""

    DOCUMENTATION = r"""
options:
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
        socket's place in C(SPIFFE_ENDPOINT_SOCKET), unless O(env) names that.
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
    default: false
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
    default: auto
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
"""
