# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What to do about a pod that does not start, from the messages of schedulers, kubelets and container runtimes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Reasons of events about the devices of a pod: its ResourceClaim was not created from the template, or its node does not prepare them.
FAILED_CLAIM, FAILED_PREPARE = "FailedResourceClaimCreation", "FailedPrepareDynamicResources"
_IMAGES = {"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError", "SignatureValidationFailed"}
# The first that matches: a registry that refuses answers like one that lacks the image, and names resolve before anything else.
_IMAGE_HINTS = (
    (r"toomanyrequests|Too Many Requests", "The registry limits pulls: use image_pull_secrets of an account with a higher limit, or another registry."),
    (r"x509|certificate|HTTP response to HTTPS", "The container runtime of the nodes must trust the registry: add its certificate there."),
    (r"no such host|dial tcp|i/o timeout|connection refused|TLS handshake", "The nodes must reach the registry: correct the host in image, or their network."),
    (r"no match(ing manifest)? for (platform|\S+/)", "The image does not exist for the platform of the node: use another image, or node_selector."),
    (
        r"(?i)unauthorized|denied|forbidden|authorization failed|no basic auth|insufficient_scope",
        "Correct image, or set image_pull_secrets to a Secret with credentials of the registry that may pull it.",
    ),
    (r"(?i)not found|manifest unknown|does not exist", "Correct the name or the tag in image."),
    ("", "Check image, its registry and image_pull_secrets."),
)
# All that match: a scheduler counts the nodes by what excludes them.
_NODE_HINTS = (
    (r"Insufficient|Too many pods", "Lower resources.requests, or free or add nodes."),
    (r"untolerated taint|that the pod didn't tolerate", "Add tolerations."),
    (r"didn't match Pod's node affinity|didn't match node selector", "Correct node_selector and affinity."),
    (r"free ports for the requested pod ports", "Use another host_port, or none, or free it."),
    (r"unbound immediate PersistentVolumeClaims", "Give the PersistentVolumeClaim a StorageClass that provides volumes."),
    (r'persistentvolumeclaim "[^"]+" not found', "Create the PersistentVolumeClaim first."),
    ("cannot allocate all claims", "Request fewer or other devices, or free or add some: their driver lists those that exist in ResourceSlices."),
    ("device class .* does not exist", "Correct deviceClassName in the ResourceClaim or ResourceClaimTemplate, or install the driver of these devices."),
)
# Of the kubelet about a ConfigMap or Secret. Events stand between the message and the hint, so that the hint names the object.
_REFERENCES = (
    (r'(\w+ "[^"]+") not found', r"Create \1 first."),
    (r"couldn't find key (\S+) in (\w+ \S+)", r"Add the key \1 to \2 first."),
    (r"non-existent (secret|config) key: (\S+)", r"Add the key \2 first."),
    ("not found", "Create what is not found first."),
)
_HINTS = {
    "Starting": ((r"requires .*\bResourceClaim", "Create what does not exist in the namespace of the pod, or correct resource_claims."),),
    FAILED_CLAIM: (
        (r"resource claim template .* not found", "Create the ResourceClaimTemplate in the namespace of the pod, or correct resource_claims."),
        (r"exceeded quota", "Wait for other tasks to finish, or raise the quota."),
    ),
    FAILED_PREPARE: ((r"DRA driver \S+ is not registered", "Start the driver of these devices on the node: it has stopped, or was never started there."),),
    "InvalidImageName": (("", "Correct image."),),
    "ErrImageNeverPull": (("", "Set image_pull_policy to IfNotPresent, or load the image onto the node."),),
    "CreateContainerConfigError": (
        (r"runAsNonRoot|non-numeric user", "Set run_as_user to a number other than 0."),
        *_REFERENCES,
    ),
    "FailedMount": ((r"CSI drivers|no CSIDriver object", "Install the CSI driver in the cluster and on its nodes."), *_REFERENCES),
    "StartError": (
        (
            r"error mounting.*not a directory",
            "A file can be mounted only over a file, a directory only over a directory: correct mount_path and sub_path of volumes.",
        ),
        (r"Cwd must be an absolute path", "working_dir must be an absolute path."),
        (r"mkdir \S+: not a directory|chdir to cwd", "Correct working_dir: it must be a directory that the user of the container may enter."),
        (r"executable file not found|no such file or directory", "Correct command and working_dir: the image has no such file."),
        (r"permission denied|exec format error", "The program of command must be executable, and built for the platform of the node."),
    ),
}

_PROBE = re.compile(r"Container (\S+) failed (liveness|startup) probe")  # of the kubelet, when it terminates the container
_TERMINATED = (137, 143)  # exit codes of a process after SIGKILL and SIGTERM
_LENGTH_HINT = "Linux limits each argument and each variable to 128 KiB: pass long text by stdin or by a file."
# What runc writes in place of the output of a program that the kernel does not execute.
_NOT_EXECUTED = re.compile(r"^exec \S+: (argument list too long|no such file or directory|exec format error|permission denied)$", re.MULTILINE)
_EXECUTION_HINTS = {
    "argument list too long": _LENGTH_HINT,
    "no such file or directory": "The program exists, but not its interpreter: that in the first line of a script, which may have Windows line endings, "
    "or the dynamic loader of a binary, such as that of glibc in Alpine Linux.",
    "exec format error": "The program must be built for the platform of the node; a script must begin with the line of its interpreter, such as #!/bin/sh.",
    "permission denied": "The program must be executable for the user of the container.",
}


def output_hint(text: str) -> str:
    """What to do about a program that could not be executed, from what the container runtime wrote in place of its output; empty if it was."""
    found = _NOT_EXECUTED.search(text)
    return _EXECUTION_HINTS[found[1]] if found else ""


def probe_hint(messages: Iterable[str], container: str, rc: int | None) -> str:
    """What to do about a container that the kubelet has terminated because a probe failed, from the messages of its pod's events; empty if it has not."""
    found = [match for text in messages if (match := _PROBE.match(text)) and match[1] == container] if rc in _TERMINATED else []
    failed = found[0][2] if found else ""
    return f"The kubelet terminated it because its {failed}_probe failed: correct the probe, or raise its failure_threshold." if failed else ""


def start_hint(reason: str, message: str) -> str:
    """What to do about a pod that does not start for a reason, or whose init container does not; empty if nothing is known or the message says it."""
    if reason == "Unschedulable":
        return " ".join(hint for pattern, hint in _NODE_HINTS if re.search(pattern, message))
    hints = _IMAGE_HINTS if reason in _IMAGES else _HINTS.get(reason.removeprefix("Init"), ())
    matches = ((re.search(pattern, message), hint) for pattern, hint in hints)
    return next((match.expand(hint) for match, hint in matches if match), "")
