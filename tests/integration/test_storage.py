# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role storage beside objects that it did not create. What it creates is used by a task in molecule's scenario."""

from __future__ import annotations

from ansible_collections.podwright.core.plugins.module_utils._engine.cluster.kinds import BUILT_IN

STORAGE_CLASS = BUILT_IN["storage.k8s.io/v1", "StorageClass"]
VOLUME, CLAIM = BUILT_IN["v1", "PersistentVolume"], BUILT_IN["v1", "PersistentVolumeClaim"]
NOTHING = {"host_path": None, "local": "", "class": None}


def role(namespace, **variables):
    """A task that includes the role."""
    variables = {f"storage_{key}": value for key, value in {"namespace": namespace, **variables}.items()}
    return {"ansible.builtin.include_role": {"name": "podwright.core.storage"}, "vars": variables}


def test_a_storage_class_of_others_is_neither_changed_nor_deleted(client, play, namespace):
    theirs = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": namespace}, "provisioner": "example.com/theirs"}
    created = client.create(STORAGE_CLASS, None, theirs, "test")
    variables = {"storage_namespace": namespace, "storage_classes": [{"name": namespace}]}
    storage = {"ansible.builtin.include_role": {"name": "podwright.core.storage"}, "vars": variables}
    absent = storage | {"vars": variables | {"storage_state": "absent"}}
    try:
        refused = play([storage], namespace=namespace, expect=2)
        assert f"must not take over objects that exist and are not its members: StorageClass '{namespace}'" in " ".join(refused.output.split())
        assert not play([absent], namespace=namespace).is_changed
        assert client.get(STORAGE_CLASS, None, namespace)["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]
    finally:
        client.delete(STORAGE_CLASS, None, namespace)
    play([storage, absent], namespace=namespace)
    assert client.get(STORAGE_CLASS, None, namespace) is None


def test_options_that_are_null_or_empty_are_left_out(client, play, namespace):
    volume = {"name": namespace, "capacity": "1Gi", "nfs": {"server": "nowhere.example.com", "path": "/a"}} | NOTHING
    claim = {"name": "data", "size": "1Gi", "access_modes": ["ReadWriteMany"], "volume": None, "class": None}  # the volume does not fit
    play([role(namespace, volumes=[volume], claims=[claim])], namespace=namespace)
    spec = client.get(VOLUME, None, namespace)["spec"]
    assert spec["nfs"] == volume["nfs"] and not spec.keys() & {"hostPath", "local"} and not spec.get("storageClassName")
    assert "volumeName" not in client.get(CLAIM, namespace, "data")["spec"]
    play([role(namespace, state="absent")], namespace=namespace)
    assert client.get(VOLUME, None, namespace) is None


def test_a_volume_has_one_source_and_a_local_one_its_nodes(play):
    volumes = [{}, {"host_path": "/a", "local": "/b"}, {"local": "/a"}]
    given = [volume | {"name": "a", "capacity": "1Gi"} for volume in volumes]
    played = play([role("nothing", volumes=given, node_labels={"node": "a=b"})], kubeconfig="/dev/null", expect=2)
    said = " ".join(played.output.split())
    assert "storage_volumes[0]: must have one of host_path, nfs and local, got none. storage_volumes[1]: must have one of host_path, nfs and" in said
    assert "storage_volumes[2].nodes: must name the nodes that have the path of a local volume. storage_node_labels.node: must be a mapping" in said


def test_labels_of_a_node_that_has_left_the_cluster_are_absent(client, play, namespace):
    labels = {f"{namespace}-gone": {"a": "b"}}
    said = play([role(namespace, node_labels=labels)], namespace=namespace, expect=2).output
    assert f"storage_node_labels: node '{namespace}-gone' not found." in said.replace("''", "'")
    assert not play([role(namespace, node_labels=labels, state="absent")], namespace=namespace).is_changed
    assert client.get(BUILT_IN["v1", "Node"], None, f"{namespace}-gone") is None
