# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The labels and annotations of objects."""

from __future__ import annotations

from collections.abc import Mapping

from ..text import parse_integer
from ..values import Manifest

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED = {MANAGED_BY: "podwright"}

# Labels: name of the task, its set, number of the attempt, hash of its options, uid of its parent; and that an object is the record of a task.
TASK, SET, ATTEMPT, HASH, PARENT, RECORD = (f"podwright.io/{name}" for name in ("task", "set", "attempt", "hash", "parent", "record"))

PLACEMENT = "placement"  # the value of RECORD for an object that says in which cluster a task was started

# The annotation of a pod whose result is to be recorded; without it or its record, nobody depends on a finished pod.
KEEPS_RECORD = "podwright.io/keeps-record"
# Annotations: seconds until a finished task is deleted, hash of its resources, limits of the depth and width of the tree below it.
TTL, RESOURCES, MAX_DEPTH, MAX_CHILDREN = (f"podwright.io/{name}" for name in ("ttl", "resources", "max-depth", "max-children"))

# Deployments: the labels of all objects and of those of one generation; the annotations for the revision, the active generation, the step of a
# canary and its start, the generations that were rolled back, those that were in service, the strategy, and the Service.
DEPLOYMENT, GENERATION = (f"podwright.io/{name}" for name in ("deployment", "generation"))
REVISION, ACTIVE, STEP, STEP_SINCE, ROLLED_BACK, SERVED, STRATEGY, PORTS = (
    f"podwright.io/{name}" for name in ("revision", "active", "step", "step-since", "rolled-back", "served", "strategy", "service-ports")
)

# The annotation by which a member of a set of objects outlives it, unless its value is the second: no typing error deletes data.
PRUNE, PRUNE_ENABLED = "podwright.io/prune", "enabled"
# The annotation of an object that pod_autoscale scales itself, without an autoscaler of the cluster.
AUTOSCALED = "podwright.io/autoscaled"
# The annotation with the time of the last change by engine direct, in seconds since the epoch.
LAST_SCALED = "podwright.io/last-scaled"
# Labels and annotations of others: the queue of Kueue that admits a Job, and the revision that the controller of a Deployment counts.
QUEUE = "kueue.x-k8s.io/queue-name"
KUBERNETES_REVISION = "deployment.kubernetes.io/revision"


def label_of(item: Manifest, name: str) -> str | None:
    """A label of an object, or None."""
    value: str | None = (item["metadata"].get("labels") or {}).get(name)
    return value


def annotation_of(item: Manifest, name: str) -> str | None:
    """An annotation of an object, or None."""
    value: str | None = (item["metadata"].get("annotations") or {}).get(name)
    return value


def selector_of(labels: Mapping[str, str]) -> str:
    """The label selector for objects that have all of these labels."""
    return ",".join(f"{name}={value}" for name, value in labels.items())


def number_of(item: Manifest, name: str) -> int | None:
    """The whole number (0 or more) in an annotation of an object, or None."""
    return parse_integer(annotation_of(item, name))


def owner_reference(owner: Manifest) -> Manifest:
    """A reference to a live object as the owner of others; a foreground deletion of the owner waits for them."""
    metadata = owner["metadata"]
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": metadata["name"], "uid": metadata["uid"], "blockOwnerDeletion": True}
