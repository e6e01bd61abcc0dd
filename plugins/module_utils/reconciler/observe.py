# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Live state with few requests: one LIST per kind and namespace where that is cheaper than GETs."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

from ..cluster.errors import PodwrightError
from ..cluster.kinds import AUTOSCALER
from .manifest import Key, key_of

FEW = 2  # up to this many objects of a kind and namespace are read one by one


def observe(client, wanted, label_selector=None, concurrency=10):
    """Read the wanted objects.

    Args:
        wanted: mapping Key -> Kind.
        label_selector: the set's label; its members are listed by it first.

    Returns: (mapping Key -> object, list of all (Kind, Key, object) that carry the label).
    """
    places = defaultdict(list)
    for key, kind in wanted.items():
        places[kind, key.namespace].append(key)
    with ThreadPoolExecutor(max(1, min(concurrency, len(places)))) as pool:
        answers = pool.map(lambda place: _observe_place(client, *place, label_selector), [(kind, ns, keys) for (kind, ns), keys in places.items()])
        live, members = {}, []
        for found, labelled in answers:
            live |= found
            members += labelled
    return live, members


def list_members(client, kinds_and_namespaces, label_selector):
    """All (Kind, Key, object) with the label among the given (Kind, namespace) pairs."""
    members = []
    for kind, namespace in kinds_and_namespaces:
        members += [(kind, key_of(item, kind), item) for item in _list(client, kind, namespace, label_selector) or []]
    return members


# Marks an object that pod_autoscale scales itself, where the cluster has no autoscaler for it.
AUTOSCALED = "podwright.io/autoscaled"


def autoscaled_keys(client, desired, live):
    """Keys of desired objects whose replicas an autoscaler holds, in the cluster or in the desired state itself, or we do."""
    scalable = {key for key, (_kind, manifest) in desired.items() if "replicas" in manifest.get("spec", {})}
    if not scalable:
        return frozenset()
    autoscalers = [manifest for _kind, manifest in desired.values() if manifest["kind"] == AUTOSCALER.name]
    for namespace in {key.namespace for key in scalable if key.namespace}:
        autoscalers += _list(client, AUTOSCALER, namespace, None) or []
    targets = {key for key, item in live.items() if AUTOSCALED in (item["metadata"].get("annotations") or {})}
    return frozenset(scalable & (targets | set(map(target_of, autoscalers))))


def target_of(autoscaler):
    """The Key of what a HorizontalPodAutoscaler scales."""
    target = autoscaler["spec"]["scaleTargetRef"]
    return Key(target.get("apiVersion", "").rpartition("/")[0], target["kind"], autoscaler["metadata"].get("namespace", ""), target["name"])


def _observe_place(client, kind, namespace, keys, label_selector):
    labelled = _list(client, kind, namespace, label_selector) if label_selector else []
    members = [(kind, key_of(item, kind), item) for item in labelled or []]
    live = {key: item for _kind, key, item in members if key in keys}
    missing = [key for key in keys if key not in live]
    items = None
    if len(missing) > FEW:
        items = _list(client, kind, namespace, None)
    if items is None:
        items = [item for item in (client.get(kind, key.namespace or None, key.name) for key in missing) if item]
    live |= {key: item for key, item in ((key_of(item, kind), item) for item in items) if key in keys}
    return live, members


def _list(client, kind, namespace, label_selector):
    """The items, or None where listing is forbidden (GETs may not be) or the kind is unknown to the server."""
    try:
        return client.list(kind, namespace or None, label_selector=label_selector)[0]
    except PodwrightError as error:
        if error.is_forbidden or error.is_not_found:
            return None
        raise
