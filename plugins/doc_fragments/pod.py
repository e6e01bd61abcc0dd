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
      description: Command of the container as a list of strings, without a shell. Defaults to the image's entrypoint.
      type: raw
    args:
      description: Arguments of the command or of the image's entrypoint.
      type: list
      elements: raw
    env:
      description:
        - "Environment variables, each a literal or one of the references C({secret: NAME, key: KEY}), C({config_map: NAME, key: KEY}),
          C({field: PATH}) and C({resource: NAME})."
        - Results never show literals, since they may be secrets. Only a reference to a Secret also keeps a value out of the pod's manifest.
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
      description: Resource requests and limits.
      type: dict
      suboptions:
        limits:
          description: Resource limits, a quantity for each resource.
          type: dict
        requests:
          description: Resource requests, a quantity for each resource.
          type: dict
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
  containers:
    description: Additional containers of the pod. If the task completes, they are sidecars that terminate with it.
    type: list
    elements: dict
    suboptions: &named_container
      name:
        description: Name of the container.
        type: str
        required: true
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
        description: Name of a ConfigMap, or the API's form.
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
      - The node must run the driver. The resulting pod is tested, without a driver.
    type: raw
  service_account:
    description: Service account of the pod.
    type: str
  automount_service_account_token:
    description: Mount a token of the service account into the containers.
    type: bool
    default: false
  image_pull_secrets:
    description: Names of the image pull Secrets.
    type: list
    elements: str
  security_profile:
    description:
      - Security settings of the pod. V(auto) follows the namespace's Pod Security level and is never looser than V(baseline).
      - V(baseline) uses the runtime's seccomp profile and forbids privilege escalation. V(restricted) also drops all capabilities and runs as user
        65532 unless O(run_as_user) is set.
      - V(privileged) sets nothing.
    type: str
    choices: [auto, restricted, baseline, privileged]
    default: auto
  run_as_user:
    description: User ID to run as, or V(image) for the image's own user even if the security profile would set one.
    type: raw
  run_as_group:
    description: Group ID to run as.
    type: int
  fs_group:
    description: Group ID that owns the volumes.
    type: int
  selinux_options:
    description: SELinux options, or V(auto) for a separate level for each task.
    type: raw
  node_selector:
    description: Labels that the node must have.
    type: dict
  affinity:
    description: Affinity in the API's form. Keys may be in snake_case.
    type: dict
  tolerations:
    description: Tolerations in the API's form. Keys may be in snake_case.
    type: list
    elements: dict
  priority_class:
    description: Priority class of the pod.
    type: str
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
    description: DNS settings C(policy), C(nameservers), C(searches), C(options), C(hostname) and C(subdomain).
    type: dict
  labels:
    description: Additional labels.
    type: dict
  annotations:
    description: Additional annotations.
    type: dict
  definition:
    description: Manifest onto which the options are merged.
    type: dict
  patches:
    description: RFC 6902 operations on the resulting manifest.
    type: list
    elements: dict
"""
